//! `whorl classify` as people run it: the real program over recorded builds and over bad input.

mod allocations;
mod bad_input;
mod sources;

use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run of the program left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// Ids of the matched fingerprints.
    fn matched(&self) -> Vec<String> {
        let answer = self.json();
        let all = answer["matches"].as_array().unwrap();
        all.iter()
            .map(|m| m["fingerprint"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program, in the project's folder, so that `queries` is the default.
fn whorl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whorl"));
    command.current_dir(root()).stdin(Stdio::null());
    command
}

fn classify<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    whorl().arg("classify").args(args).output().unwrap().into()
}

/// Runs with `bytes` on standard input.
fn classify_input(bytes: &[u8], args: &[&str]) -> Ran {
    let mut command = whorl();
    command.arg("classify").args(args).stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    // The program may have stopped reading.
    let _ = writer.join().unwrap();
    output.into()
}

/// Folder of a recorded build's logs.
fn recorded(number: &str) -> PathBuf {
    let builds = std::fs::read_dir(root().join("fixtures/builds")).unwrap();
    let mut folders = builds.map(|entry| entry.unwrap().path());
    let found = folders.find(|f| {
        let name = f.file_name().unwrap().to_string_lossy();
        name.starts_with(&format!("{number}-"))
    });
    found.unwrap().join("logs")
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with one fingerprint.
fn fingerprint(id: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{id}.yaml")), text).unwrap();
    dir
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Recordings are made again now and then, and fingerprints are added: what changes then.
fn settings() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d\d:\d\d:\d\d[.,]\d+", "[TIME]");
    settings.add_filter(r"\d\d\d\d-\d\d-\d\d|\d\d [A-Z][a-z][a-z] \d{4}", "[DATE]");
    settings.add_filter(r"\b\d+:M ", "[PID]:M ");
    settings.add_filter(r"of \d+ fingerprints", "of [ALL] fingerprints");
    settings.add_filter(r"\d+ more do not apply", "[OTHERS] more do not apply");
    settings.add_filter(r"(line[=, ]+|:)\d{3}\b", "$1[LINE]");
    settings.add_filter(r"/tmp/tmp\w+", "[FOLDER]");
    settings.bind_to_scope()
}

// --- answers -------------------------------------------------------------------------------

#[test]
fn text_for_people() {
    let _filters = settings();
    let ran = classify(&[recorded("001")]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_snapshot!(ran.out);
    let ran = classify(&[recorded("081")]);
    assert_eq!(ran.code, 0);
    assert_snapshot!("text_of_a_traceback", ran.out);
}

#[test]
fn json_for_programs() {
    let _filters = settings();
    let logs = recorded("001");
    let ran = classify(&[
        path(&logs),
        "--format",
        "json",
        "--field",
        "build_name=api",
        "--field",
        "rack=r1",
    ]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_json_snapshot!(ran.json(), {
        ".stats.fingerprints" => "[ALL]",
        ".stats.set_aside" => "[OTHERS]",
        ".stats.seconds" => "[SECONDS]",
        ".stats.mb_per_second" => "[RATE]",
    });
    assert_eq!(ran.out.lines().count(), 1, "one object on one line");
    let order: Vec<String> = ran.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(order, ["build", "verdict", "matches", "stats", "problems"]);
}

#[test]
fn spans_are_bytes_of_the_excerpt_and_offsets_bytes_of_the_log() {
    let logs = recorded("001");
    let ran = classify(&[path(&logs), "--format", "json"]);
    let answer = ran.json();
    let evidence = answer["matches"][0]["evidence"].as_array().unwrap();
    assert!(evidence.len() > 1);
    for shown in evidence {
        let excerpt = shown["excerpt"].as_str().unwrap();
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let span = &shown["spans"][0];
        assert_eq!(
            &excerpt[number(&span[0])..number(&span[1])],
            "Address already in use"
        );
        let log = std::fs::read_to_string(logs.join(shown["file"].as_str().unwrap())).unwrap();
        let line = log[number(&shown["offset"])..].lines().next().unwrap();
        assert!(line.ends_with(excerpt), "{line}");
        assert_eq!(log.lines().nth(number(&shown["line"]) - 1), Some(line));
    }
}

#[test]
fn github_workflow_commands() {
    let _filters = settings();
    let ran = classify(&[path(&recorded("001")), "--format", "github"]);
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.out);
}

#[test]
fn markdown_for_a_comment() {
    let _filters = settings();
    let ran = classify(&[path(&recorded("081")), "--format", "markdown"]);
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.out);
}

#[test]
fn a_pipe_gets_no_colour_and_no_control_characters() {
    let log = "\u{1b}[31mbind: Address already in use\u{1b}[0m \u{7}\u{202e}x\n";
    for format in ["text", "markdown", "github"] {
        let ran = classify_input(log.as_bytes(), &["-", "--format", format]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains("»Address already in use«"), "{}", ran.out);
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!ran.out.contains(bad), "{:?}", ran.out);
    }
}

#[test]
fn the_help_says_what_one_must_know() {
    let ran = classify(&["--help"]);
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.out);
}

// --- exit codes ----------------------------------------------------------------------------

#[test]
fn exit_codes() {
    let found = recorded("001");
    let passing = recorded("097");
    let ran = classify(&[&found]);
    assert_eq!(ran.code, 0);
    let ran = classify(&[&passing]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("0 of "), "{}", ran.out);
    let wrong: [&[&str]; 7] = [
        &[],
        &["--no-such-option", path(&found)],
        &["no/such/log.txt"],
        &[path(&found), "--field", "=x"],
        &[path(&found), "--field", "voting=perhaps"],
        &["http://[", "--format", "text"],
        &[path(&found), "--queries", "no/such/folder"],
    ];
    for args in wrong {
        let ran = classify(args);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (2, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
    }
}

#[test]
fn not_all_read_wins_over_found_and_not_found() {
    for number in ["001", "097"] {
        let dir = tempfile::tempdir().unwrap();
        let log = recorded(number);
        let args = [path(&log), path(dir.path()), "--format", "json"];
        std::os::unix::fs::symlink("nowhere", dir.path().join("gone.txt")).unwrap();
        let ran = classify(&args);
        assert_eq!(ran.code, 4, "{}", ran.err);
        assert_eq!(ran.json()["verdict"], "partial-log");
        assert_eq!(ran.matched().len(), usize::from(number == "001"));
        assert!(
            ran.err.contains("gone.txt: cannot be read: "),
            "{}",
            ran.err
        );
        let text = classify(&args[..2]).out;
        assert!(text.contains("Not everything could be read"), "{text}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        crate::skip("no /dev/full here");
        return;
    };
    let mut command = whorl();
    command.arg("classify").arg(recorded("001")).stdout(full);
    let ran = Ran::from(command.stderr(Stdio::piped()).output().unwrap());
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.starts_with("error: cannot write the answer: "),
        "{}",
        ran.err
    );
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    for (out_closed, err_closed) in [(true, false), (false, true), (true, true)] {
        let mut command = whorl();
        command.args(["classify", "-", "--stats", "--field", "job=x"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The program cannot write its answer before it has read all of the log.
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        out = out.filter(|_| !out_closed);
        err = err.filter(|_| !err_closed);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"bind: Address already in use\n").unwrap();
        drop(stdin);
        let mut said = String::new();
        if let Some(err) = &mut err {
            err.read_to_string(&mut said).unwrap();
        }
        if let Some(out) = &mut out {
            out.read_to_string(&mut said).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
        assert!(
            !said.contains("panicked") && !said.contains("error"),
            "{said}"
        );
    }
}

// --- what is known of the build ------------------------------------------------------------

#[test]
fn fields_decide_which_fingerprints_apply_and_can_be_asked_for() {
    let rules = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(rules.path().join(name), text).unwrap();
    write(
        "scoped.yaml",
        "query: message:boom\nscope: {jobs: [\"gate-*\"]}\n",
    );
    write(
        "asks.yaml",
        "query: message:boom AND build_name:\"gate-x\" AND rack:r1\n",
    );
    write(
        "nonvoting.yaml",
        "query: message:boom\nallow-nonvoting: true\n",
    );
    write(
        "tagged.yaml",
        "query: message:boom AND tags:special AND tags:console\n",
    );
    let matched = |fields: &[&str]| {
        let mut args = vec!["-", "--format", "json", "--queries", path(rules.path())];
        for field in fields {
            args.extend(["--field", field]);
        }
        let ran = classify_input(b"boom\n", &args);
        let mut ids = ran.matched();
        ids.sort();
        (
            ids.join(" "),
            ran.json()["stats"]["fingerprints"].as_u64().unwrap(),
        )
    };
    assert_eq!(
        matched(&["build_name=gate-x", "rack=r1"]),
        ("asks nonvoting scoped".into(), 4)
    );
    assert_eq!(
        matched(&["build_name=check-x", "rack=r1"]),
        ("nonvoting".into(), 3)
    );
    assert_eq!(
        matched(&["build_name=gate-x", "voting=0"]),
        ("nonvoting".into(), 1)
    );
    assert_eq!(
        matched(&["build_name=check", "tags=special"]),
        ("nonvoting tagged".into(), 3)
    );
}

#[test]
fn fingerprints_that_do_not_apply_are_counted_apart() {
    let rules = fingerprint("scoped", "query: message:boom\nscope: {jobs: [gate]}\n");
    std::fs::write(rules.path().join("all.yaml"), "query: message:boom\n").unwrap();
    let args = [
        "-",
        "--queries",
        path(rules.path()),
        "--field",
        "build_name=other",
    ];
    let ran = classify_input(b"boom\n", &args);
    let end = "1 more do not apply to this build (scope, dates, vote or tests); `--field` tells of it\n1 of 1 fingerprints matched\n";
    assert!(ran.out.ends_with(end), "{}", ran.out);
}

#[test]
fn a_field_with_the_name_of_the_page_gets_a_hint() {
    let ran = classify_input(b"x\n", &["-", "--field", "job=gate-x"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("`build_name`"), "{}", ran.err);
}

#[test]
fn stats_stand_on_standard_error() {
    let ran = classify_input(b"one\ntwo\n  at x.y(z)\n", &["-", "--stats"]);
    let (stats, ready) = ran.err.trim().split_once('\n').unwrap();
    let words: Vec<&str> = stats.split(", ").collect();
    assert_eq!(
        words[..3],
        ["20 bytes", "3 lines", "2 events"],
        "{}",
        ran.err
    );
    let number = |text: &str, unit: &str| text.strip_suffix(unit).unwrap().parse::<f64>().unwrap();
    assert!(number(words[3], " s") >= 0.0 && number(words[4], " MB/s") >= 0.0);
    let (ready, memory) = ready.split_once(" s, at most ").unwrap();
    assert!(ready.contains(" fingerprints made ready in 0."), "{ready}");
    assert!(number(memory, " MiB of memory in all") > 1.0);
    assert!(!ran.out.contains("MB/s"));
}

// --- fingerprint folders -------------------------------------------------------------------

#[test]
fn folders_of_fingerprints() {
    let log = recorded("001").join("services/redis.log");
    let empty = tempfile::tempdir().unwrap();
    let mut command = whorl();
    command.current_dir(empty.path()).arg("classify").arg(&log);
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 2);
    assert_snapshot!(ran.err, @"error: no fingerprint folder `queries`; name one with `--queries DIR`");
    let ran = classify(&[path(&log), "--queries", path(empty.path())]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.starts_with("error: no usable fingerprint in `/"),
        "{}",
        ran.err
    );
    let other = fingerprint("other", "title: Other\nquery: message:\"in use\"\n");
    let ran = classify(&[
        path(&log),
        "--format",
        "json",
        "--queries",
        "queries",
        "--queries",
        path(other.path()),
    ]);
    assert_eq!(ran.matched(), ["port-taken", "other"]);
}

#[test]
fn a_broken_fingerprint_is_told_and_the_others_work() {
    let rules = fingerprint("good", "title: Good\nquery: message:boom\n");
    std::fs::write(
        rules.path().join("bad.yaml"),
        "title: Bad\nquery: AND message:x\n",
    )
    .unwrap();
    let ran = classify_input(b"boom\n", &["-", "--queries", path(rules.path())]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.ends_with("1 of 1 fingerprints matched\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.starts_with("warning: left out: ") && ran.err.contains("bad.yaml:2:8"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains('^'), "{}", ran.err);
}
