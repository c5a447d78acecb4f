//! What the service says about itself: configuration, log, metrics, health, reports.

use super::program::{Home, files, until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// `whorl config check` on a text: exit code and everything that was said.
fn check(home: &Home, text: &str) -> (Option<i32>, String) {
    std::fs::write(home.config(), text).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_whorl"))
        .args(["config", "check", "whorl.yaml"])
        .current_dir(home.dir.path())
        .env_remove("NOPE")
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn config_check_says_what_is_wrong_and_where() {
    let home = Home::new("");
    assert_eq!(
        check(&home, "fingerprints: [queries]\n"),
        (Some(0), "whorl.yaml: ok\n".into())
    );
    let cases = [
        (
            "report:\n  schedule: 61 * * * *\n",
            "2:13: report.schedule: ",
        ),
        ("report:\n  schedule: '* * *'\n", "2:13: report.schedule: "),
        ("log:\n  level: whorl=loud\n", "2:10: log.level: "),
        (
            "fingerprints:\n  - queries\n  - nowhere\n",
            "3:5: fingerprints[1]: ",
        ),
        ("data-dir: whorl.yaml\n", "1:11: data-dir: "),
        ("drain: soon\n", "1:8: \"soon\" is not a period"),
        (
            "intake:\n  max-boddy: 1\n",
            "2:3: unknown key `max-boddy`: did you mean `max-body`?",
        ),
        (
            "intake:\n  token: ${NOPE}\n",
            "2:10: environment variable NOPE is not set",
        ),
        (
            "notes:\n  base-url: here\n",
            "2:13: notes.base-url: not an address",
        ),
        ("listen: localhost\n", "1:9: "),
        ("drain: 1s\ndrain: 2s\n", "2:1: "),
        ("intake: [\n", "1:9: expected mapping"),
    ];
    for (text, wanted) in cases {
        let whole = if text.starts_with("fingerprints") {
            text.to_owned()
        } else {
            format!("{text}fingerprints: [queries]\n")
        };
        let (code, said) = check(&home, &whole);
        assert_eq!(code, Some(1), "{text}: {said}");
        assert!(
            said.contains(&format!("whorl.yaml:{wanted}")),
            "{text}: {said}"
        );
    }
    let (code, said) = check(&home, "report: {schedule: never}\nlog: {level: a=b=c}\n");
    assert_eq!(code, Some(1));
    assert!(
        said.contains("report.schedule") && said.contains("log.level"),
        "all at once: {said}"
    );
    std::fs::remove_file(home.config()).unwrap();
    assert_eq!(home.fails().status.code(), Some(1));
}

#[test]
fn a_text_log_is_plain_when_nobody_looks_at_it() {
    let home = Home::new("");
    let program = home.start();
    program.feed("u1", b"boom\n");
    program.verdict("u1", "matched");
    until("a line", || program.said("classified").then_some(()));
    let lines = program.log();
    assert!(
        lines.iter().all(|line| !line.contains('\u{1b}')),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|l| l.contains("uuid=\"u1\"") && l.contains("verdict=matched")),
        "{lines:?}"
    );
}

#[test]
fn a_json_log_is_json_line_by_line() {
    let home = Home::new("log: {format: json, level: debug}\n");
    let mut program = home.start();
    program.feed("u1", b"boom\n");
    program.verdict("u1", "matched");
    program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(program.ended(), Some(0));
    let line = until("the last line", || {
        let lines = program.log();
        lines
            .iter()
            .find(|line| line.contains("\"stopped\""))
            .cloned()
    });
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap()["level"],
        "INFO"
    );
    for line in program.log() {
        let parsed: Result<Value, _> = serde_json::from_str(&line);
        assert!(parsed.is_ok_and(|v| v["timestamp"].is_string()), "{line}");
    }
}

/// One line of the Prometheus text format: name, label pairs, value.
fn sample(line: &str) -> Option<(String, f64)> {
    let name_end = line.find(['{', ' '])?;
    let name = &line[..name_end];
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let mut rest = &line[name_end..];
    if let Some(inner) = rest.strip_prefix('{') {
        let (labels, tail) = inner.split_once('}')?;
        for pair in labels.split(',') {
            let (key, value) = pair.split_once('=')?;
            let value = value.strip_prefix('"')?.strip_suffix('"')?;
            if !word(key) || value.contains(['"', '\\']) {
                return None;
            }
        }
        rest = tail;
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    word(name).then(|| (name.to_owned(), value))
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let home = Home::new("");
    let program = home.start();
    program.feed("u1", b"boom\n");
    program.verdict("u1", "matched");
    until("counted", || {
        (program.metric("whorl_events_total") > 0.0).then_some(())
    });
    let answer = program
        .client
        .get(format!("{}/metrics", program.base))
        .send()
        .unwrap();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = answer.text().unwrap();
    assert!(text.ends_with('\n'));
    let (mut typed, mut helped, mut series) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                ["counter", "gauge", "summary", "histogram"].contains(&kind),
                "{line}"
            );
            assert!(typed.insert(name.to_owned()), "told twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            helped.insert(rest.split(' ').next().unwrap().to_owned());
        } else {
            let (name, _) = sample(line).unwrap_or_else(|| panic!("{line}"));
            let family = ["_sum", "_count", "_bucket"]
                .iter()
                .find_map(|s| name.strip_suffix(s));
            let known = typed.contains(&name) || family.is_some_and(|f| typed.contains(f));
            assert!(known, "no type before {line}");
            let id = line.rsplit_once(' ').unwrap().0.to_owned();
            assert!(series.insert(id), "told twice: {line}");
        }
    }
    assert_eq!(typed, helped, "every family is explained");
    for wanted in [
        "whorl_queue_waiting",
        "whorl_index_lag_seconds",
        "whorl_reclassify_left",
        "whorl_intake_refused_total",
    ] {
        assert!(typed.contains(wanted), "{wanted}");
    }
}

#[test]
fn a_report_is_made_kept_and_served() {
    let home = Home::new("report: {keep: 2}\n");
    let program = home.start();
    for (uuid, log) in [("a", "boom\n"), ("b", "boom\n"), ("c", "quiet\n")] {
        program.feed(uuid, log.as_bytes());
    }
    program.verdict("b", "matched");
    program.verdict("c", "unmatched");
    program.verdict("a", "matched");
    let mut made = Value::Null;
    for _ in 0..3 {
        let (status, text) = program.send("POST", "/api/v1/report", "");
        assert_eq!(status, 200, "{text}");
        made = serde_json::from_str(&text).unwrap();
    }
    let report = program.json(made["json"].as_str().unwrap());
    let ten = &report["all"]["10d"];
    assert_eq!((&ten["classified"], &ten["of"]), (&2.into(), &3.into()));
    // Wilson's interval of 2 of 3 at 95 %.
    let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 0.001;
    assert!(
        near(&ten["rate"]["low"], 0.2077) && near(&ten["rate"]["high"], 0.9385),
        "{ten}"
    );
    let page = program.get(made["html"].as_str().unwrap());
    assert!(page.contains("2 of 3"), "{page}");
    assert!(
        page.contains("20.8") && page.contains("93.9"),
        "the interval: {page}"
    );
    let id = made["id"].as_i64().unwrap();
    let mut kept: Vec<String> = Vec::new();
    for id in [id - 1, id] {
        kept.extend([format!("{id}.html"), format!("{id}.json")]);
    }
    assert_eq!(files(&home.data().join("reports")), kept, "report.keep");
    let text = std::fs::read_to_string(home.data().join(format!("reports/{id}.json"))).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), report);
    assert_eq!(program.json("/api/v1/status")["report"]["stale"], false);
}

#[test]
fn builds_older_than_the_history_go_at_the_next_start() {
    let home = Home::new("");
    let program = home.start();
    for (uuid, hours) in [("old", 72), ("young", 1)] {
        let ended = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        let meta = format!("{{\"finished\":\"{ended}\"}}");
        assert_eq!(
            program
                .send("PUT", &format!("/api/v1/builds/{uuid}"), meta)
                .0,
            200
        );
        assert_eq!(program.feed(uuid, b"boom\n"), 202);
        program.verdict(uuid, "matched");
    }
    assert_eq!(program.stop(), Some(0));
    let slices = || files(&home.data().join("index/slices"));
    assert_eq!(slices().len(), 2, "{:?}", slices());
    home.configure("store: {retention-days: 2}\nreport: {history-days: 2}\n");
    let program = home.start();
    until("it is gone", || {
        let gone = program.send("GET", "/api/v1/builds/old", "").0 == 404;
        (gone && files(&home.data().join("logs")) == ["young"] && slices().len() == 1).then_some(())
    });
    program.verdict("young", "matched");
}
