//! The log index: what is damaged is told and mended from the kept logs.

use super::program::{Home, until};
use nix::sys::signal::Signal;
use whorl::store::{EmbeddedStore, LogStore, Options};

#[test]
fn a_damaged_index_is_told_and_mended_from_the_logs() {
    let home = Home::new("");
    let program = home.start();
    assert_eq!(program.feed("u1", b"boom once\nquiet\n"), 202);
    program.verdict("u1", "matched");
    let search = "/api/v1/search?q=quiet";
    until("it is indexed", || {
        (program.json(search)["events"] == 1).then_some(())
    });
    assert_eq!(program.stop(), Some(0));

    let slices = home.data().join("index/slices");
    let slice = std::fs::read_dir(slices).unwrap().next().unwrap().unwrap();
    std::fs::write(slice.path().join("meta.json"), "{").unwrap();

    let program = home.start();
    until("it is mended", || {
        (program.json(search)["events"] == 1).then_some(())
    });
    until("it is told", || {
        program.said("put back into the index").then_some(())
    });
    assert!(program.said("a damaged slice was set aside"));
    let page = program.get("/");
    assert!(page.contains("a damaged slice was set aside"), "{page}");
    let (status, text) = program.send("GET", "/readyz", "");
    assert_eq!(status, 200, "{text}");
    program.verdict("u1", "matched");
}

#[test]
fn new_fingerprints_do_not_write_the_index_again() {
    let home = Home::new("");
    let program = home.start();
    assert_eq!(program.feed("u1", b"pump\n"), 202);
    program.verdict("u1", "unmatched");
    let slices = home.data().join("index/slices");
    let files = || -> Vec<_> {
        let slice = std::fs::read_dir(&slices).unwrap().next().unwrap().unwrap();
        let names = std::fs::read_dir(slice.path()).unwrap();
        let mut names: Vec<_> = names.map(|n| n.unwrap().file_name()).collect();
        names.sort();
        names
    };
    until("it is indexed", || {
        (program.json("/api/v1/search?q=pump")["events"] == 1).then_some(())
    });
    let before = files();
    home.rule("pump", "message:pump");
    program.verdict("u1", "matched");
    assert_eq!(files(), before);
}

#[test]
fn a_search_that_takes_too_long_is_ended_with_a_word_why() {
    let home = Home::new("store: {search-timeout: 1ns}\n");
    let program = home.start();
    assert_eq!(program.feed("u1", b"pump\n"), 202);
    program.verdict("u1", "unmatched");
    let said = until("it is indexed, and searched for", || {
        let (status, said) = program.send("GET", "/api/v1/search?q=pump", "");
        (status == 503).then_some(said)
    });
    assert!(said.contains("took too long"), "{said}");
    let page = program.get("/search?q=pump");
    assert!(page.contains("took too long"), "{page}");
    // Nothing else is shorter for it.
    assert!(program.get("/builds/u1").contains("unmatched"));
}

#[test]
fn what_a_kill_keeps_from_the_index_is_found_again() {
    let home = Home::new("");
    let mut program = home.start();
    for n in 0..20 {
        let uuid = format!("u{n}");
        let log = format!("boom once\nneedle {n}\n");
        assert_eq!(program.feed(&uuid, log.as_bytes()), 202);
        program.verdict(&uuid, "matched");
    }
    program.signal(Signal::SIGKILL);
    program.ended();
    let program = home.start();
    until("all are indexed once", || {
        let found = program.json("/api/v1/search?q=needle");
        (found["events"] == 20 && found["unindexed_builds"] == 0).then_some(())
    });
    assert_eq!(program.json("/api/v1/search?q=boom")["events"], 20);
    let index = &program.json("/api/v1/status")["index"];
    assert_eq!(index["waiting_builds"], 0, "{index}");
    let metrics = program.get("/metrics");
    assert!(metrics.contains("whorl_index_waiting 0"), "{metrics}");
    assert!(metrics.contains("whorl_index_lag_seconds 0"), "{metrics}");
    // A stop finishes what waits.
    assert_eq!(program.feed("late", b"boom\nneedle 20\n"), 202);
    program.verdict("late", "matched");
    assert_eq!(program.stop(), Some(0));
    let store = EmbeddedStore::open(&home.data().join("index"), Options::default()).unwrap();
    assert_eq!(store.events_of("late").unwrap().len(), 2);
}
