//! Fingerprints that change, break, go and come back while the service runs.

use super::program::{Home, until};
use nix::sys::signal::Signal;

#[test]
fn an_unexplained_build_is_explained_once_somebody_writes_the_fingerprint() {
    let home = Home::new("");
    let program = home.start();
    for n in 0..3 {
        assert_eq!(program.feed(&format!("u{n}"), b"crash in the pump\n"), 202);
    }
    for n in 0..3 {
        program.verdict(&format!("u{n}"), "unmatched");
    }
    let before = program.json("/api/v1/status")["fingerprints"]["version"].clone();
    home.rule("pump", "message:\"crash in the pump\"");
    for n in 0..3 {
        let build = program.verdict(&format!("u{n}"), "matched");
        assert_eq!(build["matches"][0]["fingerprint"], "pump");
        assert_ne!(build["rules_version"], before);
        assert_eq!(build["history"].as_array().unwrap().len(), 2);
    }
    until("it is counted", || {
        (program.metric("whorl_reclassified_total") >= 3.0).then_some(())
    });
    until("it is over", || {
        let status = program.json("/api/v1/status");
        (status["reclassification"].is_null() && program.metric("whorl_reclassify_left") == 0.0)
            .then_some(())
    });
}

#[test]
fn a_folder_that_disappears_keeps_its_fingerprints_in_force_and_is_picked_up_again() {
    let home = Home::new("");
    let program = home.start();
    assert_eq!(program.send("GET", "/readyz", "").0, 200);
    let away = home.dir.path().join("away");
    std::fs::rename(home.rules(), &away).unwrap();
    let (status, text) = program.send("GET", "/readyz", "");
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("queries is gone"), "{text}");
    until("it is logged", || {
        program.said("stays in force").then_some(())
    });
    assert_eq!(program.feed("u1", b"boom\n"), 202);
    program.verdict("u1", "matched");
    assert_eq!(program.feed("u2", b"pump\n"), 202);
    program.verdict("u2", "unmatched");

    std::fs::rename(&away, home.rules()).unwrap();
    until("ready", || {
        (program.send("GET", "/readyz", "").0 == 200).then_some(())
    });
    // The folder is watched as before.
    home.rule("pump", "message:pump");
    program.verdict("u2", "matched");
    std::fs::remove_file(home.rules().join("pump.yaml")).unwrap();
    program.verdict("u2", "unmatched");
}

#[test]
fn a_broken_file_is_told_and_its_last_good_form_stays() {
    let home = Home::new("");
    let program = home.start();
    std::fs::write(home.rules().join("boom.yaml"), "query: '(boom'\n").unwrap();
    until("it is told", || {
        let broken = program.json("/api/v1/status")["fingerprints"]["broken"].clone();
        broken[0]["place"]
            .as_str()?
            .contains("boom.yaml:1:")
            .then_some(())
    });
    assert!(program.metric("whorl_fingerprint_files_broken") > 0.0);
    assert_eq!(program.feed("u1", b"boom\n"), 202);
    program.verdict("u1", "matched");
}

#[test]
fn sighup_reads_the_fingerprints_again() {
    let home = Home::new("");
    let program = home.start();
    assert!(!program.said("read again"));
    program.signal(Signal::SIGHUP);
    until("it is read", || program.said("read again").then_some(()));
    assert_eq!(program.get("/healthz"), "ok\n");
}
