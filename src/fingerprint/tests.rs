//! Tests of the whole room.

use super::*;
use crate::query::Schema;
use std::path::Path;

fn read(text: &str) -> Fingerprint {
    parse_file(Path::new("q/12.yaml"), text, &Schema::default()).unwrap()
}

fn refused(text: &str) -> String {
    let found = parse_file(Path::new("12.yaml"), text, &Schema::default()).unwrap_err();
    let lines = found
        .iter()
        .map(|d| format!("{}:{} {}", d.line, d.column, d.code));
    lines.collect::<Vec<_>>().join(", ")
}

fn warned(query: &str) -> Vec<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("query: |-\n  {}\n", query.replace('\n', "\n  "));
    std::fs::write(folder.path().join("1.yaml"), text).unwrap();
    let report = lint(&[folder.path().to_owned()]);
    report.diagnostics.iter().map(|d| d.code).collect()
}

#[test]
fn what_is_nested_or_long_beyond_reason_is_refused_and_ends() {
    let nested = format!("{}{}", "{".repeat(200_000), "}".repeat(200_000));
    let glob = format!("query: a\nscope: {{projects: ['{nested}']}}\n");
    assert_eq!(refused(&glob), "2:20 bad-glob");
    let files = format!("pattern: a\nfiles: ['{nested}']\n");
    assert_eq!(refused(&files), "2:9 bad-glob");
    let steps = |count| format!("sequence:\n{}", "- message:a\n".repeat(count));
    assert_eq!(refused(&steps(101)), "2:3 too-complex");
    assert_eq!(read(&steps(100)).queries().count(), 100);
    let query = format!("{}tags:a{}", "(".repeat(90), " OR tags:b)".repeat(90));
    assert_eq!(warned(&query), ["no-message-clause"]);
    assert_eq!(refused("query: |1\n   €€€\"€€€\n"), "2:7 bad-query");
}

#[test]
fn every_key_is_read() {
    let found = read(
        "title: T\nbug: github:a/b#3\nsequence: [a, b]\nwithin: 20 lines\nnone: [c]\nscope: {jobs: ['x-*']}\nvalid-from: 2026-01-01\nvalid-until: 2026-02-01\ncategory: infra\nowner: me\nadvice: wait\npriority: 3\nexamples: {match: [a], no-match: [z]}\nsuppress-graph: true\nsuppress-notification: true\nallow-nonvoting: true\nresolved_at: 2026-01-03\ntest_ids: [t]\n",
    );
    assert_eq!((found.id.as_str(), found.title.as_str()), ("12", "T"));
    assert_eq!(found.queries().count(), 3);
    assert_eq!(found.specificity(), (3, 2, 1));
    assert!(found.suppress_graph && found.suppress_notification && found.allow_nonvoting);
}

#[test]
fn a_rerun_is_asked_for_only_where_the_file_says_so() {
    assert_eq!(read("query: a\n").retry, None);
    assert_eq!(read("query: a\nretry: false\n").retry, None);
    assert_eq!(read("query: a\nretry: true\n").retry, Some(1));
    assert_eq!(read("query: a\nretry: {max: 3}\n").retry, Some(3));
}

#[test]
fn what_is_wrong_has_a_place() {
    assert_eq!(refused("query: a\nqueri: b\n"), "2:1 unknown-key");
    assert_eq!(refused("query: a\nquery: b\n"), "2:1 duplicate-key");
    assert_eq!(refused("query: [a]\n"), "1:8 wrong-type");
    assert_eq!(refused("title: a\n"), "1:1 no-condition");
    assert_eq!(refused("query: a\npattern: b\n"), "2:10 several-conditions");
    assert_eq!(refused("pattern: '('\n"), "1:11 bad-pattern");
    assert_eq!(refused("query: a\nwithin: 3\n"), "2:9 stray-key");
    assert_eq!(
        refused("sequence: [a, b]\nwithin: 3 days\n"),
        "2:9 bad-within"
    );
    assert_eq!(refused("query: a\nbug: x\n"), "2:6 bad-bug");
    assert_eq!(refused("query: a\nretry: {max: 0}\n"), "2:8 bad-retry");
    assert_eq!(refused("query: a\nretry: {max: 11}\n"), "2:8 bad-retry");
    assert_eq!(refused("query: a\nretry: often\n"), "2:8 wrong-type");
    assert_eq!(refused("query: a\nretry: {most: 1}\n"), "2:8 wrong-type");
    assert!(refused("query: a\n---\nquery: b\n").contains("several-documents"));
}

#[test]
fn a_place_in_a_folded_query_is_exact() {
    assert_eq!(
        refused("query: >-\n  message:\"a\" AND\n  (b AND c\n"),
        "3:3 bad-query"
    );
}

#[test]
fn a_fingerprint_applies_to_voting_builds_in_scope() {
    let found =
        read("query: a\nscope: {jobs: ['gate-*']}\ntest_ids: [t]\nvalid-until: 2026-01-01\n");
    let now = "2026-01-01T23:00:00Z".parse().unwrap();
    let mut build = Build::new("u");
    assert!(!found.applies_to(&build, now));
    build.job = Some("gate-x".into());
    assert!(found.applies_to(&build, now));
    build.failed_tests = Some(vec!["other".into()]);
    assert!(!found.applies_to(&build, now));
    build.failed_tests = Some(vec!["t".into()]);
    build.voting = Some(false);
    assert!(!found.applies_to(&build, now));
    build.voting = None;
    assert!(!found.applies_to(&build, "2026-01-02T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_hit_after_the_repair_is_a_returned_bug() {
    let found = read("query: a\nresolved_at: 2026-01-03\n");
    let mut build = Build::new("u");
    assert!(!found.returned(&build));
    build.finished = "2026-01-04T00:00:00Z".parse().ok();
    assert!(found.returned(&build));
}

#[test]
fn lint_warns_of_what_is_meant_otherwise() {
    let cases = [
        ("a AND b OR c", "mixed-and-or"),
        ("message:\"a\" message:\"b\"", "missing-operator"),
        ("NOT message:a", "only-not"),
        ("message:a AND tags:\"scr*\"", "never-matches-keyword"),
        ("message:a AND tags:\"Console\"", "never-matches-keyword"),
        ("tags:console AND build_name:x", "no-message-clause"),
        ("*:*", "matches-everything"),
        ("message:a AND message:\"--\"", "empty-phrase"),
    ];
    for (query, code) in cases {
        assert_eq!(warned(query), [code], "{query}");
    }
}

#[test]
fn lint_is_silent_about_good_queries() {
    let good = [
        "message:\"a b\" AND tags:\"console\"",
        "(message:a OR message:b) AND NOT build_name:gate-*",
        "+message:a +message:b",
        "message:a AND (NOT tags:x)",
        "message:\"what*\"",
    ];
    for query in good {
        assert!(warned(query).is_empty(), "{query}: {:?}", warned(query));
    }
}

#[test]
fn examples_ask_only_the_message() {
    let found = read("query: message:(\"a b\" AND c) AND tags:x AND NOT build_name:y\n");
    assert!(examples::sees(&found, "c a b"));
    assert!(!examples::sees(&found, "c b a"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC*") {
        let _ = parse_file(Path::new("1.yaml"), &text, &Schema::default());
        let folded = format!("query: >\n  {text}\n");
        let _ = parse_file(Path::new("1.yaml"), &folded, &Schema::default());
    }
}
