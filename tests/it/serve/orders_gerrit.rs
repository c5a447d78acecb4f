//! Commands in comments on a change of a real Gerrit, and another run that is asked for there.

use super::road::{connected, failed, home, logs, until};
use crate::review::gerrit::{Change, SERVER, server};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Rechecks are carried out, and the administrator may do everything.
const MORE: &str = "recheck: {dry-run: false, quiet: 4s}
commands: {silence: ['review:admin'], recheck: ['review:admin'], per-minute: 60}
";

#[test]
fn a_change_is_asked_about_and_rechecked_once() {
    let Some(gerrit) = server() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _running = runtime.block_on(SERVER.read());
    let change = runtime.block_on(Change::push(&gerrit));
    let logs = logs();
    let Some(home) = home(&gerrit, &logs, &change, MORE) else {
        return;
    };
    let rule = "title: It goes boom\nbug: launchpad:7\nquery: 'message:boom'\nretry: true\n";
    std::fs::write(home.rules().join("boom.yaml"), rule).unwrap();
    let texts = || -> Vec<String> {
        let all = runtime.block_on(change.messages());
        let text = |one: &Value| one["message"].as_str().unwrap().to_owned();
        all.iter().map(text).collect()
    };
    let with = |part: &str| {
        texts()
            .into_iter()
            .filter(|text| text.contains(part))
            .count()
    };
    let program = home.start();
    until("the source hears", || connected(&program));
    runtime.block_on(change.review("ci", &failed(&logs, "unit")));
    until("a note is there", || (with("known bug") == 1).then_some(()));
    assert_eq!(runtime.block_on(change.vote()), 1);
    // Before the time of rest is over: killed, and started again.
    program.signal(Signal::SIGKILL);
    drop(program);
    let program = home.start();
    until("the CI is asked", || {
        (with("recheck launchpad:7") == 1).then_some(())
    });
    let ledger = program.json("/api/v1/rechecks");
    assert_eq!(ledger["rechecks"][0]["sent"], true, "{ledger}");
    assert_eq!(ledger["open"], 0, "{ledger}");
    assert_eq!(
        runtime.block_on(change.vote()),
        1,
        "what is said to the CI votes nothing"
    );

    until("the source hears", || connected(&program));
    runtime.block_on(change.review(
        "admin",
        &json!({"message": "Thank you.\n\nwhorl: why unit"}),
    ));
    until("an answer", || {
        (with("admin: unit (FAILURE)") == 1).then_some(())
    });
    // Our own words, said by our own account as a person might, and by a CI.
    let echo = json!({"message": "whorl: status"});
    runtime.block_on(change.review("whorl", &echo));
    runtime.block_on(change.review("ci", &echo));
    runtime.block_on(change.review("admin", &json!({"message": "whorl: recheck"})));
    until("an answer", || {
        (with("was asked for already") == 1).then_some(())
    });
    runtime.block_on(change.review("admin", &json!({"message": "recheck"})));
    runtime.block_on(change.review("admin", &json!({"message": "whorl: status"})));
    until("the last answer", || (with("admin: ") == 3).then_some(()));
    assert_eq!(runtime.block_on(change.vote()), 1, "nor do answers");
    let ledger = program.json("/api/v1/rechecks");
    let kinds: Vec<&Value> = ledger["rechecks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["kind"])
        .collect();
    assert_eq!(kinds, ["comment", "rule"], "{ledger}");
    // One note, one recheck, three answers, and what we made its account say.
    assert_eq!(texts().len(), 6, "{:?}", texts());
    assert_eq!(program.stop(), Some(0));
}
