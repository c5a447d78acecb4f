//! Switching it on, and being told.

use crate::serve::program::{Home, until};

const ALLOWED: &str = "chaos: {allow-chaos: true}\n";

fn fails(more: &str, option: &[&str]) -> String {
    let home = Home::new(more);
    let ended = home.fails_with(option);
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).unwrap()
}

#[test]
fn it_is_refused_unless_it_is_allowed() {
    let text = fails("chaos: {seed: 7}\n", &[]);
    assert!(
        text.contains("chaos.seed: makes calls of this service fail on purpose"),
        "{text}"
    );
    assert!(text.contains("allow-chaos: true"), "{text}");
    let text = fails("", &["--chaos", "seed=7"]);
    assert!(
        text.contains("refused unless the configuration says"),
        "{text}"
    );
    let text = fails(ALLOWED, &["--chaos", "rate=0.1"]);
    assert!(text.contains("say seed=NUMBER"), "{text}");
    let text = fails(ALLOWED, &["--chaos", "seed=7,stor.append=0.1"]);
    assert!(
        text.contains("stor.append: there is no such site"),
        "{text}"
    );
    let text = fails(ALLOWED, &["--chaos", "seed=7,state.put_biuld=0.1"]);
    let wanted = "state.put_biuld: there is no such site; did you mean `state.put_build`?";
    assert!(text.contains(wanted), "{text}");
    let text = fails("chaos: {allow-chaos: true, rate: 2}\n", &[]);
    assert!(text.contains("chaos.rate: a share of calls"), "{text}");
}

#[test]
fn people_are_told_that_it_is_on() {
    let home = Home::new(ALLOWED);
    let program = home.start_with(&["--chaos", "seed=7,rate=0,store.append_many=1"]);
    until("a warning", || {
        program.said("Chaos is on (seed 7)").then_some(())
    });
    for page in ["/", "/status"] {
        let text = program.get(page);
        assert!(text.contains("Chaos is on (seed 7)"), "{page}: {text}");
    }
    // It really fails: the events are never indexed, and the verdict comes all the same.
    assert_eq!(program.feed("u1", b"boom\n"), 202);
    program.verdict("u1", "matched");
    until("a failing index", || {
        program.said("made to fail on purpose").then_some(())
    });
    let status: serde_json::Value = serde_json::from_str(&program.get("/api/v1/status")).unwrap();
    assert_eq!(status["chaos"]["seed"], 7);
    let records = std::fs::read_dir(home.data().join("chaos")).unwrap();
    assert_eq!(records.count(), 1);
}

#[test]
fn nobody_is_told_when_it_is_off() {
    let home = Home::new(ALLOWED);
    let program = home.start();
    assert!(!program.get("/").contains("Chaos is on"));
    assert!(!program.said("Chaos is on"));
    assert!(!home.data().join("chaos").exists());
}
