//! Tests of the rewriter on its own queries and on recorded ones.

use super::*;

fn repaired(text: &str) -> String {
    let schema = Schema::default();
    let query = Query::parse(text, &schema).unwrap();
    let rewriter = Rewriter {
        query: &query,
        schema: &schema,
        main: true,
        bare: None,
    };
    rewriter.repaired().unwrap_or_default()
}

#[test]
fn every_operator_is_spelled_out() {
    let queries = [
        "a AND b OR c",
        "a AND tags:x OR b AND tags:y",
        "(a AND b) OR (c AND d) AND e AND tags:x",
        "a OR b AND tags:x",
        "a AND build_name:x OR build_name:y",
        "tags:x OR tags:y AND a",
        "a AND *:* AND NOT b",
        "*:* -b",
        "tags:x AND a OR b",
        "a AND b OR c NOT d",
        "(a AND b) OR message:\"c d\" tags:x",
        "message:\"a\" message:\"b\"",
        "build_name:(\"a\" \"b\") AND message:x",
        "message:(\"a b\" \"c d\")",
        "connection refused",
        "message:foo-bar AND tags:console",
        "NOT a",
        "a OR (NOT b)",
        "a AND (NOT b)",
        "tags:console AND build_name:x",
        "a OR tags:console",
        "*:*",
        "message:*",
        "message:\"--\"",
        "a AND \"--\"",
        "a AND tags:\"scr*\" AND NOT build_status:\"failure\"",
        "a^2 AND \"b c\"~3 AND message:[a TO b] AND d~1 AND /e+/ AND f*",
        "a AND tags:*",
        "+a +b -c",
        "message:foo-bar*",
        "a AND mesage:\"x y\"",
    ];
    let lines = queries.map(|q| format!("{q}\n  => {}", repaired(q)));
    insta::assert_snapshot!(lines.join("\n"));
}

/// Queries with the answers of a real cluster.
fn recorded() -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth/queries.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .map(|line: serde_json::Value| line["query"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_needs_no_repair_keeps_its_meaning_and_every_repair_is_a_query() {
    let schema = Schema::default();
    let (mut same, mut better) = (0, 0);
    for text in recorded() {
        let Ok(query) = Query::parse(&text, &schema) else {
            continue;
        };
        let found = super::super::warnings::check_query(&query, &schema, true);
        for finding in &found {
            assert!(finding.offset <= text.len(), "{text}");
            if let Some(suggestion) = &finding.suggestion {
                assert!(
                    Query::parse(suggestion, &schema).is_ok(),
                    "{text}: {suggestion}"
                );
                better += 1;
            }
        }
        if !found.is_empty() {
            continue;
        }
        let Some(again) = (Rewriter {
            query: &query,
            schema: &schema,
            main: true,
            bare: None,
        })
        .repaired() else {
            continue;
        };
        let meaning = |query: &Query| super::super::canonical::node(query.root());
        let again = Query::parse(&again, &schema).unwrap();
        assert_eq!(
            meaning(&again),
            meaning(&query),
            "{text} => {}",
            again.source()
        );
        same += 1;
    }
    assert!(same > 500 && better > 200, "{same} {better}");
}
