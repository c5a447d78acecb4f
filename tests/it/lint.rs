//! Tests of `whorl lint`, the real program.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn run(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whorl"))
        .arg("lint")
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// A folder with `queries/` and these files in it.
fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let queries = folder.path().join("queries");
    fs::create_dir(&queries).unwrap();
    for (name, text) in files {
        let path = queries.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn folder(query: &str) -> tempfile::TempDir {
    tree(&[("1.yaml", query.as_bytes())])
}

fn texts<'a>(files: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a [u8])> {
    files
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect()
}

/// What the program prints as text for these files.
fn printed(files: &[(&str, &str)], code: i32) -> String {
    let folder = tree(&texts(files));
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(code));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    String::from_utf8(output.stdout).unwrap()
}

fn json(dir: &Path, arguments: &[&str]) -> Value {
    let output = run(dir, &[arguments, &["--format", "json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn codes(report: &Value) -> Vec<&str> {
    let found = report["diagnostics"].as_array().unwrap();
    found.iter().map(|d| d["code"].as_str().unwrap()).collect()
}

#[test]
fn exit_codes_say_what_was_found() {
    let good = folder("query: message:a\n");
    assert_eq!(run(good.path(), &[]).status.code(), Some(0));
    let warned = folder("query: a b\n");
    assert_eq!(run(warned.path(), &[]).status.code(), Some(0));
    let bad = folder("query: (a\n");
    assert_eq!(run(bad.path(), &[]).status.code(), Some(1));
    let missing = run(bad.path(), &["elsewhere"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("elsewhere does not exist"));
}

#[test]
fn without_a_directory_it_looks_for_queries_and_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let output = run(empty.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
    assert!(output.stdout.is_empty());
    fs::create_dir(empty.path().join("queries")).unwrap();
    let output = run(empty.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn help_tells_a_user_what_to_do() {
    let output = run(Path::new("."), &["--help"]);
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

/// Every error of the format, one file each.
const BROKEN: &[(&str, &str)] = &[
    ("a01-unknown-key.yaml", "query: a\nqueri: b\n"),
    (
        "a02-unknown-key-inside.yaml",
        "query: a\nscope: {job: [x]}\n",
    ),
    ("a03-duplicate-key.yaml", "query: a\ntitle: x\nquery: b\n"),
    (
        "a04-duplicate-key-inside.yaml",
        "query: a\nexamples:\n  match: [a]\n  match: [b]\n",
    ),
    ("b01-query-is-a-list.yaml", "query: [a]\n"),
    ("b02-all-is-text.yaml", "all: message:a\n"),
    ("b03-priority-is-text.yaml", "query: a\npriority: high\n"),
    ("b04-flag-is-text.yaml", "query: a\nsuppress-graph: maybe\n"),
    ("b05-the-file-is-a-list.yaml", "- query: a\n"),
    ("b06-the-file-is-text.yaml", "message:a\n"),
    ("b07-query-is-nothing.yaml", "title: x\nquery:\n"),
    ("c01-no-condition.yaml", "title: a\n"),
    ("c02-several-conditions.yaml", "query: a\npattern: b\n"),
    (
        "c03-files-without-pattern.yaml",
        "query: a\nfiles: ['*.log']\n",
    ),
    ("c04-within-without-sequence.yaml", "query: a\nwithin: 3\n"),
    ("c05-empty-list.yaml", "all: []\n"),
    ("c06-none-alone.yaml", "none: [a]\n"),
    (
        "d01-group-not-closed.yaml",
        "query: >-\n  message:\"a\" AND\n  (message:b OR\n   message:c\n",
    ),
    ("d02-no-right-side.yaml", "query: message:a AND\n"),
    (
        "d03-query-in-a-list.yaml",
        "all:\n  - message:a\n  - message:b AND AND c\n",
    ),
    ("d04-bad-pattern.yaml", "pattern: 'error ('\n"),
    ("d05-look-behind.yaml", "pattern: '(?<=x)error'\n"),
    (
        "d06-bad-glob.yaml",
        "query: a\nscope:\n  jobs: ['gate-[']\n",
    ),
    ("d07-bad-bug.yaml", "query: a\nbug: nova#7\n"),
    ("d08-bad-day.yaml", "query: a\nvalid-from: 31.1.2026\n"),
    (
        "d09-days-in-the-wrong-order.yaml",
        "query: a\nvalid-from: 2026-02-01\nvalid-until: 2026-01-01\n",
    ),
    ("d10-bad-moment.yaml", "query: a\nresolved_at: last week\n"),
    (
        "d11-bad-distance.yaml",
        "sequence: [a, b]\nwithin: 3 days\n",
    ),
    (
        "e01-must-match.yaml",
        "query: message:a AND message:b\nexamples:\n  match:\n    - a b\n    - only a\n",
    ),
    (
        "e02-must-not-match.yaml",
        "pattern: '^ERROR'\nexamples: {no-match: ['INFO', 'ERROR x']}\n",
    ),
    ("f01-several-documents.yaml", "query: a\n---\nquery: b\n"),
    ("f02-empty.yaml", ""),
    ("f03-only-a-comment.yaml", "# nothing yet\n"),
    ("f04-tab.yaml", "query: a\nexamples:\n\tmatch: [a]\n"),
    ("f05-bracket.yaml", "query: a\nscope: {jobs: [x\n"),
    ("f06-quote.yaml", "query: \"a\ntitle: b\n"),
];

#[test]
fn every_error_has_a_place_and_a_reason() {
    let text = printed(BROKEN, 1);
    for (name, _) in BROKEN {
        assert!(text.contains(&format!("queries/{name}:")), "{name}: {text}");
    }
    assert!(!text.contains("warning["), "{text}");
    insta::assert_snapshot!(text);
}

/// Every warning, one file each.
const DOUBTFUL: &[(&str, &str)] = &[
    (
        "a01-or-beside-and.yaml",
        "query: >-\n  message:\"a\" OR\n  message:\"b\" AND tags:\"console\"\n",
    ),
    (
        "a02-groups.yaml",
        "query: (message:a AND message:b) OR (message:c AND message:d) AND message:e AND tags:x\n",
    ),
    (
        "a03-inside.yaml",
        "query: tags:x AND (message:a AND message:b OR message:c)\n",
    ),
    (
        "b01-two-phrases.yaml",
        "query: message:\"a b\" message:\"c d\"\n",
    ),
    (
        "b02-optional.yaml",
        "query: (message:\"p q\" message:\"r s\" AND tags:\"console\")\n",
    ),
    ("b03-words.yaml", "query: connection refused\n"),
    ("b04-cut.yaml", "query: message:time-out AND tags:console\n"),
    (
        "b05-field-group.yaml",
        "query: message:x AND build_name:(\"j1\" \"j2\")\n",
    ),
    ("b06-slash.yaml", "query: message:/var/log AND tags:y\n"),
    ("c01-only-not.yaml", "query: NOT message:a\n"),
    (
        "c02-only-not-inside.yaml",
        "query: message:a OR (NOT message:b)\n",
    ),
    (
        "d01-wildcard-in-quotes.yaml",
        "query: message:a AND build_name:\"gate-*\"\n",
    ),
    ("d02-case.yaml", "query: message:a AND tags:\"Console\"\n"),
    (
        "d03-status.yaml",
        "query: message:a AND build_status:failure\n",
    ),
    ("d04-blank.yaml", "query: message:a AND tags:\"console \"\n"),
    ("d05-field-case.yaml", "query: message:a AND Build_Name:x\n"),
    ("d06-field-misspelt.yaml", "query: mesage:\"a b\"\n"),
    (
        "d07-path-as-tag.yaml",
        "query: message:a AND tags:\"logs/screen-n-cpu.txt.gz\"\n",
    ),
    ("d08-wildcard-over-words.yaml", "query: message:time-out*\n"),
    (
        "e01-no-message.yaml",
        "query: tags:\"console\" AND build_name:\"x\"\n",
    ),
    (
        "e02-one-alternative.yaml",
        "query: message:\"a b\" OR tags:\"console\"\n",
    ),
    ("f01-everything.yaml", "query: '*:*'\n"),
    ("f02-any-message.yaml", "query: message:*\n"),
    ("f03-empty-pattern.yaml", "pattern: ''\n"),
    ("f04-pattern-of-anything.yaml", "pattern: '.*'\n"),
    ("f05-pattern-of-any-character.yaml", "pattern: '.+'\n"),
    (
        "g01-meaning.yaml",
        "query: message:\"same thing\" AND tags:x\n",
    ),
    (
        "g02-same-meaning.yaml",
        "query: >-\n  tags:\"x\" AND\n  message:\"Same -- thing\"\n",
    ),
    (
        "h01-no-words.yaml",
        "query: message:\"a b\" AND message:\"--\"\n",
    ),
    ("h02-nothing-left.yaml", "query: message:\"::\"\n"),
    (
        "h03-quote-in-a-phrase.yaml",
        "query: >-\n  message:\"got BadStatusLine(\"''\",))\" AND\n  tags:x\n",
    ),
    ("h04-empty-query.yaml", "query: ''\n"),
    (
        "i01-test-ids.yaml",
        "query: message:y\ntest_ids:\n  - a.b.test_c\n",
    ),
    (
        "h05-all-forbidden.yaml",
        "query: \'message:a AND NOT *:*\'\n",
    ),
    (
        "j01-in-none.yaml",
        "query: message:z\nnone:\n  - message:q message:r\n",
    ),
];

#[test]
fn every_warning_has_a_place_a_reason_and_a_better_query() {
    let text = printed(DOUBTFUL, 0);
    for (name, _) in DOUBTFUL
        .iter()
        .filter(|(name, _)| *name != "g01-meaning.yaml")
    {
        assert!(text.contains(&format!("queries/{name}:")), "{name}: {text}");
    }
    assert!(!text.contains("error["), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_suggestion_pasted_in_leaves_nothing_to_say() {
    let mut pasted = 0;
    for (name, text) in DOUBTFUL {
        let before = json(folder(text).path(), &[]);
        for found in before["diagnostics"].as_array().unwrap() {
            let suggestion = found["suggestion"].as_str().expect(name);
            if found["code"] == "test-ids-need-results" {
                continue;
            }
            let key = if text.starts_with("pattern") {
                "pattern"
            } else {
                "query"
            };
            let better = format!("{key}: {}\n", serde_json::to_string(suggestion).unwrap());
            let after = json(folder(&better).path(), &[]);
            assert_eq!(
                after["diagnostics"],
                serde_json::json!([]),
                "{name}: {better}"
            );
            pasted += 1;
        }
    }
    assert!(pasted >= 30, "{pasted}");
}

#[test]
fn a_flat_group_of_alternatives_is_not_warned_about() {
    let good = [
        "message:\"a b\" OR message:\"c d\"",
        "message:(\"a b\" OR \"c d\") AND tags:x AND NOT build_name:gate-*",
        "message:timeout~1",
        "message:\"what*\"",
        "message:/tim.*out/ AND tags:\"n-cpu.log\"",
        "message:a AND build_node:x",
        "message:a AND my_own_field:\"X y\"",
    ];
    for query in good {
        let text = format!("query: '{query}'\n");
        let report = json(folder(&text).path(), &[]);
        assert_eq!(report["diagnostics"], serde_json::json!([]), "{query}");
    }
}

#[test]
fn json_is_one_object_with_exactly_the_promised_keys() {
    let bad = folder("query: a\nexamples: {match: [b]}\n");
    let output = run(bad.path(), &["--format", "json"]);
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
    let good = folder("query: a\n");
    let output = run(good.path(), &["--format", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "{\"files\":1,\"diagnostics\":[]}\n");
}

#[test]
fn what_cannot_be_read_is_said_file_by_file() {
    let large = format!("query: a # {}\n", "x".repeat(1 << 20));
    let folder = tree(&[
        ("a-good.yaml", b"query: message:good\n"),
        ("b-latin.yaml", b"title: x\nquery: caf\xe9\n"),
        ("c-utf16.yaml", b"\xff\xfeq\0u\0e\0"),
        ("d-nul.yaml", b"query: a\0b\n"),
        ("e-large.yaml", large.as_bytes()),
        ("not-one.txt", b"("),
        (".hidden/1.yaml", b"("),
    ]);
    let queries = folder.path().join("queries");
    std::os::unix::fs::symlink("nowhere", queries.join("f-dangling.yaml")).unwrap();
    nix::unistd::mkfifo(&queries.join("g-pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink(".", queries.join("loop")).unwrap();
    std::os::unix::fs::symlink("..", queries.join("up")).unwrap();
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn a_file_without_permission_is_an_error_and_not_silence() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tree(&[
        ("1.yaml", b"query: message:a\n"),
        ("deep/2.yaml", b"query: message:b\n"),
    ]);
    let queries = folder.path().join("queries");
    fs::set_permissions(queries.join("1.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(queries.join("deep"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(queries.join("1.yaml")).is_ok() {
        crate::skip("this user may read everything");
        return;
    }
    let report = json(folder.path(), &[]);
    fs::set_permissions(queries.join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(codes(&report), ["unreadable", "unreadable"]);
}

#[test]
fn line_ends_marks_and_tabs_of_other_systems_are_read() {
    let folder = tree(&[
        ("1.yaml", b"\xef\xbb\xbfquery: message:a\r\ntitle: x\r\n"),
        (
            "2.yaml",
            b"query: >-\r\n  message:\"b c\" AND\r\n  message:\"d\r\n",
        ),
        ("3.yaml", b"query:\tmessage:c\n"),
    ]);
    let output = run(folder.path(), &[]);
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn hostile_files_end_soon_with_a_message() {
    let mut bomb = String::from("query: x\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..10 {
        let parts = vec![format!("*a{}", n - 1); 10].join(", ");
        writeln!(bomb, "a{n}: &a{n} [{parts}]").unwrap();
    }
    let mut inside = String::from("query: x\nexamples:\n  match:\n    - &b0 lol\n");
    for _ in 0..2000 {
        inside.push_str("    - *b0\n");
    }
    let deep = format!("query: {}x\n", "[".repeat(100_000));
    let braces = format!("scope: {}", "{jobs: ".repeat(50_000));
    let groups = format!("query: '{}a{}'\n", "(".repeat(5000), ")".repeat(5000));
    let indent: String = (0..3000)
        .map(|n| format!("{}a:\n", " ".repeat(n)))
        .take(600)
        .collect();
    let many = format!("query: {}\n", vec!["message:a"; 3000].join(" OR "));
    let pattern = "pattern: '((((a{99}){99}){99}){99})'\n".to_owned();
    let line = format!("query: \"{}\n", "x".repeat(900_000));
    let files = [
        ("1.yaml", &bomb),
        ("2.yaml", &inside),
        ("3.yaml", &deep),
        ("4.yaml", &braces),
        ("5.yaml", &groups),
        ("6.yaml", &indent),
        ("7.yaml", &many),
        ("8.yaml", &pattern),
        ("9.yaml", &line),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let folder = tree(&texts(&files));
    let begun = std::time::Instant::now();
    let output = run(folder.path(), &[]);
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    // The lines of the files are long; what matters is what is said of them.
    let said: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("queries/"))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    assert!(text.len() < 20_000, "{}", text.len());
}

#[test]
fn ten_thousand_files_are_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let queries = folder.path().join("queries");
    for n in 0..10_000 {
        let team = queries.join(format!("team-{}", n % 40));
        fs::create_dir_all(&team).unwrap();
        let text = format!("query: message:\"error number {n}\" AND tags:\"console\"\n");
        fs::write(team.join(format!("{n}.yaml")), text).unwrap();
    }
    let begun = std::time::Instant::now();
    let report = json(folder.path(), &[]);
    eprintln!("lint over 10,000 files: {:?}", begun.elapsed());
    assert_eq!(report["files"], 10_000);
    assert_eq!(report["diagnostics"], serde_json::json!([]));
}

#[test]
fn an_id_in_two_roots_is_an_error_that_names_both() {
    let folder = tempfile::tempdir().unwrap();
    for (root, query) in [("ours", "message:a"), ("theirs", "message:b")] {
        fs::create_dir(folder.path().join(root)).unwrap();
        fs::write(
            folder.path().join(root).join("7.yaml"),
            format!("query: {query}\n"),
        )
        .unwrap();
    }
    let output = run(folder.path(), &["ours", "theirs"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
    // The same file reached twice is one file.
    let twice = json(folder.path(), &["ours", "./ours", "ours/7.yaml"]);
    assert_eq!(
        (&twice["files"], codes(&twice).len()),
        (&serde_json::json!(1), 0)
    );
}

#[test]
fn the_guide_to_writing_fingerprints_says_what_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("queries/README.md")).unwrap();
    let mut blocks = Vec::new();
    for block in guide.split("```yaml\n").skip(1) {
        blocks.push(block.split("```").next().unwrap());
    }
    assert!(blocks.len() >= 3, "{blocks:?}");
    for block in blocks {
        let report = json(folder(block).path(), &[]);
        assert_eq!(report["diagnostics"], serde_json::json!([]), "{block}");
    }
    // Files that it points at are there.
    for name in guide
        .split('`')
        .filter(|word| Path::new(word).extension().is_some_and(|end| end == "yaml"))
        .filter(|word| word.starts_with(char::is_alphabetic))
    {
        assert!(root.join("queries").join(name).is_file(), "{name}");
    }
    let report = json(root, &["queries"]);
    assert_eq!(report["diagnostics"], serde_json::json!([]));
    assert!(report["files"].as_u64().unwrap() > 20);
}

/// The queries of the guide's table, and what it says of them.
#[test]
fn the_traps_of_the_guide_are_the_ones_that_lint_knows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("queries/README.md")).unwrap();
    let rows = guide
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("` | reads as"));
    let mut tried = 0;
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [trap, .., better] = cells.as_slice() else {
            panic!("{row}")
        };
        let text = |cell: &str| cell.split('`').nth(1).unwrap().to_owned();
        let of = |query: &str| format!("query: {}\n", serde_json::to_string(query).unwrap());
        let warned = json(folder(&of(&text(trap))).path(), &[]);
        assert_eq!(
            warned["diagnostics"][0]["suggestion"],
            text(better),
            "{row}"
        );
        let silent = json(folder(&of(&text(better))).path(), &[]);
        assert_eq!(silent["diagnostics"], serde_json::json!([]), "{row}");
        tried += 1;
    }
    assert!(tried >= 5, "{tried}");
}

/// Asserts what the schema of SARIF 2.1.0 requires and what readers of it need.
fn check_sarif(log: &Value) {
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let runs = log["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    let kind = run["columnKind"].as_str().unwrap();
    assert!(["unicodeCodePoints", "utf16CodeUnits"].contains(&kind));
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "whorl");
    let rules = driver["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    let mut once = ids.clone();
    once.dedup();
    assert_eq!(once, ids, "rules are listed once");
    for rule in rules {
        let text = rule["shortDescription"]["text"].as_str().unwrap();
        assert_ne!(text, rule["id"], "a rule without a sentence");
    }
    for result in run["results"].as_array().unwrap() {
        check_result(result, &ids);
    }
}

fn check_result(result: &Value, ids: &[&str]) {
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(ids[index], result["ruleId"].as_str().unwrap());
    let level = result["level"].as_str().unwrap();
    assert!(["error", "warning", "note", "none"].contains(&level));
    assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    let locations = result["locations"].as_array().unwrap();
    assert_eq!(locations.len(), 1);
    let place = &locations[0]["physicalLocation"];
    for number in ["startLine", "startColumn"] {
        assert!(place["region"][number].as_u64().unwrap() >= 1);
    }
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%!$&'()*+,;=:@".contains(&b);
    assert!(uri.bytes().all(allowed), "{uri}");
    assert!(
        !uri.starts_with('/') || uri.starts_with("file:///"),
        "{uri}"
    );
}

fn sarif(dir: &Path, arguments: &[&str]) -> Value {
    let output = run(dir, &[arguments, &["--format", "sarif"]].concat());
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    check_sarif(&log);
    log
}

#[test]
fn sarif_has_what_the_format_requires() {
    let both: Vec<(&str, &str)> = BROKEN.iter().chain(DOUBTFUL).copied().collect();
    let folder = tree(&texts(&both));
    let log = sarif(folder.path(), &[]);
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() >= both.len() - 1, "{}", results.len());
    let empty = tree(&[("1.yaml", b"query: message:a\n")]);
    assert_eq!(
        sarif(empty.path(), &[])["runs"][0]["results"],
        serde_json::json!([])
    );
}

#[test]
fn sarif_places_are_right_in_any_alphabet() {
    // The column counts characters, of which some have two UTF-16 units.
    let folder = tree(&[(
        "a b%c#d?ü.yaml",
        "query: message:\"🦀é\" AND (b\n".as_bytes(),
    )]);
    let log = sarif(folder.path(), &["queries"]);
    let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(log["runs"][0]["columnKind"], "unicodeCodePoints");
    assert_eq!(place["region"]["startColumn"], 25);
    assert_eq!(
        place["artifactLocation"]["uri"],
        "queries/a%20b%25c%23d%3F%C3%BC.yaml"
    );
    let whole = folder.path().join("queries");
    let log = sarif(folder.path(), &[whole.to_str().unwrap()]);
    let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    assert!(uri.starts_with("file:///"), "{uri}");
}
