//! Digests of the whole service, by a real mail server.

use super::{server, word};
use crate::serve::program::{Home, until};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use whorl::state::{NoteFilter, State};

#[test]
fn a_digest_that_was_missed_comes_once_when_the_service_is_back() {
    let Some(server) = server() else { return };
    let word = word();
    // Due at the beginning of this hour, every day.
    let now = Timestamp::now();
    let due = Timestamp::from_second(now.as_second() / 3600 * 3600).unwrap();
    let home = Home::new(&format!(
        "notes:
  mail:
    host: 127.0.0.1
    port: {}
    security: plain
    from: whorl <whorl@example.org>
    to: [team@example.org]
    list-id: {word}.example.org
    daily: '0 {} * * *'
    weekly: '0 0 * * 1'
",
        server.port,
        due.strftime("%H"),
    ));
    let program = home.start();
    let ended = due - SignedDuration::from_mins(30);
    for (uuid, job, log) in [("u1", "unit", "boom\n"), ("u2", word.as_str(), "quiet\n")] {
        let meta = format!("{{\"job\":\"{job}\",\"finished\":\"{ended}\"}}");
        let at = format!("/api/v1/builds/{uuid}");
        assert_eq!(program.send("PUT", &at, meta).0, 200);
        program.log_file(uuid, "console.txt", log.as_bytes());
        let done = r#"{"result":"FAILURE"}"#;
        assert_eq!(program.send("POST", &format!("{at}/complete"), done).0, 202);
    }
    program.verdict("u1", "matched");
    program.verdict("u2", "unmatched");
    let mine = || {
        let mut mails = server.mails("whorl, ");
        mails.retain(|mail| mail.has("List-Id") && mail.header("List-Id").contains(&word));
        mails
    };
    assert!(mine().is_empty(), "nobody wanted one when it was due");
    assert_eq!(program.stop(), Some(0));

    // It was wanted since yesterday, and nobody was there when it was due.
    let place = home.data().join("state.db");
    let wanted = due - SignedDuration::from_hours(20);
    let state = State::open(&place).unwrap();
    state.set_digests_until("daily", wanted).unwrap();
    drop(state);
    let program = home.start();
    let mails = until("a mail", || Some(mine()).filter(|mails| !mails.is_empty()));
    assert_eq!(
        mails[0].header("Subject"),
        "whorl, daily: 1 of 2 failed builds explained"
    );
    let [(plain, text), (html, page)] = &mails[0].parts[..] else {
        panic!("{:?}", mails[0].parts);
    };
    assert!(plain.contains("text/plain") && html.contains("text/html"));
    for part in [text, page] {
        assert!(
            part.contains("1 of 2 failed builds are explained"),
            "{part}"
        );
        assert!(
            part.contains("It goes boom") && part.contains(&word),
            "{part}"
        );
    }
    until("it is on the page", || {
        let notes = program.get("/notes");
        (notes.contains("<td>mail</td><td>delivered") && notes.contains("Daily digest"))
            .then_some(())
    });

    // Whatever happens to the service, nobody hears it again.
    program.signal(Signal::SIGKILL);
    drop(program);
    for _ in 0..2 {
        let program = home.start();
        assert_eq!(program.feed("u3", b"boom\n"), 202);
        program.verdict("u3", "matched");
        assert_eq!(program.stop(), Some(0));
    }
    let state = State::open(&place).unwrap();
    let all = state.notes(&NoteFilter {
        target: Some("mail".into()),
        ..NoteFilter::default()
    });
    assert_eq!(all.unwrap().total, 1);
    assert_eq!(mine().len(), 1);
}
