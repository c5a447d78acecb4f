//! Reports.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use whorl::event::{BugRef, Build, Match, Verdict};
use whorl::report::{FingerprintInfo, Report, build_report, render_html, write};
use whorl::state::{State, VerdictRecord};

const NOW: &str = "2026-11-21T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn open() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path().join("state.db")).unwrap();
    (folder, state)
}

fn put(state: &State, uuid: &str, hours: i64, project: &str, verdict: Verdict, bugs: &[&str]) {
    let build = Build {
        project: Some(project.into()),
        job: Some("<b>gate</b>".into()),
        result: Some("FAILURE".into()),
        log_url: Some("javascript:alert(1)".into()),
        finished: Some(now() - SignedDuration::from_hours(hours)),
        ..Build::new(uuid)
    };
    state.put_build(&build).unwrap();
    let matches = bugs.iter().map(|id| found(id)).collect();
    let record = VerdictRecord {
        uuid: uuid.into(),
        verdict,
        rules_version: "rules-7".into(),
        at: now(),
        matches,
        problems: Vec::new(),
    };
    state.record_verdict(&record, &[]).unwrap();
}

fn found(id: &str) -> Match {
    Match {
        fingerprint: id.into(),
        title: id.into(),
        bug: BugRef {
            name: id.into(),
            url: None,
        },
        hits: 2,
        evidence: Vec::new(),
        advice: None,
        category: None,
        returned: false,
        quiet: false,
    }
}

fn info(id: &str, suppress_graph: bool) -> FingerprintInfo {
    FingerprintInfo {
        id: id.into(),
        title: format!("Title of <{id}>"),
        bug: BugRef {
            name: format!("launchpad:{id}"),
            url: Some(format!("https://bugs.launchpad.net/bugs/{id}")),
        },
        suppress_graph,
        category: None,
    }
}

fn sample() -> (tempfile::TempDir, State, Report) {
    let (folder, state) = open();
    put(&state, "a", 1, "nova", Verdict::Matched, &["1"]);
    put(&state, "b", 30, "nova", Verdict::Matched, &["1", "2"]);
    put(&state, "c", 2, "nova", Verdict::Unmatched, &[]);
    put(&state, "d", 40, "neutron", Verdict::Unmatched, &[]);
    put(&state, "e", 3, "neutron", Verdict::NoLog, &[]);
    put(&state, "f", 3, "swift", Verdict::PartialLog, &[]);
    put(&state, "g", 3, "nova", Verdict::Matched, &["hidden"]);
    put(&state, "h", 3, "nova", Verdict::Matched, &["gone"]);
    put(&state, "z", 300, "nova", Verdict::Matched, &["1"]);
    state.put_build(&Build::new("unfinished")).unwrap();
    let infos = [
        info("1", false),
        info("2", false),
        info("hidden", true),
        info("silent", false),
    ];
    let report = build_report(&state, &infos, now()).unwrap();
    (folder, state, report)
}

#[test]
fn a_report_counts_n_of_m_in_both_windows() {
    let (_folder, _state, report) = sample();
    let (day, ten) = (&report.all.windows.day, &report.all.windows.ten_days);
    assert_eq!((day.failed, day.classified, day.of), (6, 3, 4));
    assert_eq!((ten.failed, ten.classified, ten.of), (8, 4, 6));
    assert_eq!(ten.verdicts[&Verdict::NoLog], 1);
    assert_eq!(ten.verdicts[&Verdict::PartialLog], 1);
    assert_eq!(ten.verdicts[&Verdict::Pending], 0);
    let rate = ten.rate.unwrap();
    assert!(rate.low < rate.value && rate.value < rate.high);
    let projects: Vec<_> = report.projects.iter().map(|g| g.name.as_deref()).collect();
    assert_eq!(projects, [Some("nova"), Some("neutron"), Some("swift")]);
    let swift = &report.projects[2].windows.ten_days;
    assert_eq!((swift.of, swift.rate), (0, None));
    assert_eq!(report.rules_version.as_deref(), Some("rules-7"));
    let unexplained: Vec<_> = report.unexplained.iter().map(|b| &*b.uuid).collect();
    assert_eq!(unexplained, ["c", "d"]);
    assert_eq!(report.unexplained_total, 2);
}

#[test]
fn the_ranking_leaves_suppressed_fingerprints_out() {
    let (_folder, _state, report) = sample();
    let rank: Vec<_> = report
        .fingerprints
        .iter()
        .map(|row| (&*row.stats.fingerprint, row.stats.builds_10d, row.in_force))
        .collect();
    let expected = [
        ("1", 2, true),
        ("gone", 1, false),
        ("2", 1, true),
        ("silent", 0, true),
    ];
    assert_eq!(rank, expected);
    assert_eq!(report.suppressed.len(), 1);
    assert_eq!(report.fingerprints[0].stats.builds_24h, 1);
    assert_eq!(report.fingerprints[3].passing_share, None);
}

#[test]
fn files_are_written_whole_and_read_back() {
    let (folder, _state, report) = sample();
    let target = folder.path().join("reports");
    write(&report, &target).unwrap();
    let paths = write(&report, &target).unwrap();
    let back: Report = serde_json::from_slice(&std::fs::read(&paths.json).unwrap()).unwrap();
    assert_eq!(back, report);
    let html = std::fs::read_to_string(&paths.html).unwrap();
    assert_eq!(html, render_html(&report).unwrap());
    let names = std::fs::read_dir(&target).unwrap().count();
    assert_eq!(names, 2, "no temporary file is left");
}

#[test]
fn the_page_shows_everything_and_escapes_it() {
    let (_folder, _state, report) = sample();
    let html = render_html(&report).unwrap();
    assert!(html.contains("4 of 6") && html.contains("3 of 4"));
    assert!(html.contains("Title of &#60;1&#62;"), "escaped titles");
    assert!(!html.contains("<b>gate</b>"));
    assert!(!html.contains("javascript:"), "no script becomes a link");
    assert!(!html.contains("<script"), "works without scripts");
    assert!(
        !html.contains("src=") && !html.contains("<link"),
        "needs nothing else"
    );
    assert!(html.contains("<svg role=\"img\"") && html.contains("as a table"));
    assert!(html.contains("no rate yet"));
    assert!(html.contains("https://bugs.launchpad.net/bugs/1"));
}

#[test]
fn an_empty_state_has_a_report() {
    let (_folder, state) = open();
    let report = build_report(&state, &[], now()).unwrap();
    assert_eq!(report.all.windows.ten_days.rate, None);
    let html = render_html(&report).unwrap();
    assert!(html.contains("0 of 0") && html.contains("no rate yet"));
}

/// Ten days with 200,000 failed builds, each with a match of one of 1,000 fingerprints.
const MANY: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
    INSERT INTO builds (id, uuid, meta, job, project, pipeline, branch, failed, received_at,
                        completed_at, at, waiting, verdict, rules_version)
    SELECT i, 'u' || i, json_object('uuid', 'u' || i, 'result', 'FAILURE'), 'job' || (i % 80),
           'p' || (i % 30), 'gate', 'b' || (i % 4), 1, 0, 0, ?1 - i * 4300000, 0,
           iif(i % 4, 'matched', 'unmatched'), 'v'
    FROM n";
const MANY_MATCHES: &str = "
    INSERT INTO matches (build, fingerprint, at, failed, hits, title, bug_name, returned, quiet)
    SELECT id, 'f' || (id / 4 % 1000), at, 1, 2, 't', 'b', 0, 0 FROM builds
    WHERE verdict = 'matched'";

#[test]
fn a_big_report_is_exact_and_does_not_take_long() {
    let (folder, state) = open();
    let raw = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    raw.execute(MANY, [now().as_microsecond()]).unwrap();
    raw.execute(MANY_MATCHES, []).unwrap();
    let started = std::time::Instant::now();
    let report = build_report(&state, &[], now()).unwrap();
    let counted = started.elapsed();
    let drawing = std::time::Instant::now();
    let html = render_html(&report).unwrap();
    let drawn = drawing.elapsed();
    println!(
        "counted in {counted:?}, page of {} bytes in {drawn:?}",
        html.len()
    );
    let ten = &report.all.windows.ten_days;
    assert_eq!((ten.classified, ten.of), (150_000, 200_000));
    assert_eq!(report.fingerprints.len(), 1000);
    let ranked: u64 = report
        .fingerprints
        .iter()
        .map(|row| row.stats.builds_10d)
        .sum();
    assert_eq!(ranked, 150_000);
    // Generous: an unoptimised build on a busy machine. The budget is 2 s.
    assert!(counted < Duration::from_secs(20), "{counted:?}");
}
