//! Several processes on one `PostgreSQL` and one cluster: one is killed in the middle.

use super::cluster::{Cluster, TAKEOVER, one_is_killed, until};
use super::program::{Program, log_of};
use crate::elastic::{clusters, prefix};
use serde_json::{Value, json};
use url::Url;

/// How many events a process finds for a query.
fn found(program: &Program, query: &str) -> u64 {
    let answer = program.json(&format!("/api/v1/search?q={query}"));
    answer["events"].as_u64().unwrap()
}

#[test]
fn the_indexes_of_a_killed_process_hold_each_log_once() {
    for (name, url) in clusters() {
        // Underscores: what follows `-` is a day.
        let own = prefix("own").replace('-', "_");
        let store = format!(
            "store: {{kind: elasticsearch, elasticsearch: {{urls: ['{url}'], prefix: '{own}'}}}}\n"
        );
        let Some(cluster) = Cluster::on(store, None) else {
            return;
        };
        let (second, again, builds) = one_is_killed(&cluster);
        println!("{name}: {} builds", builds.len());
        let all = cluster.count("SELECT count(*) FROM builds WHERE completed_at IS NOT NULL");
        for program in [&second, &again] {
            // Each log ends in one such line; one half written and written again would have two.
            until("each log once", TAKEOVER, || {
                (found(program, "message:boom") == all as u64).then_some(())
            });
            assert_eq!(found(program, "message:step"), 500 * all as u64);
            let text = program.get("/api/v1/builds/d0/logs/console.txt");
            assert!(text.ends_with("boom\n"), "{name}");
        }
        assert_eq!((again.stop(), second.stop()), (Some(0), Some(0)));
        delete(&url, &format!("{own}-*"));
    }
}

#[test]
fn builds_of_somebody_elses_indexes_have_one_verdict_each_when_one_process_is_killed() {
    for (name, url) in clusters() {
        let theirs = prefix("theirs");
        let store = format!(
            "store: {{kind: elasticsearch, elasticsearch: {{urls: ['{url}'],\n  layout: {{preset: \
             openstack, indexes: ['{theirs}']}}, ready: {{quiet: 0s, deadline: 60s}}}}}}\n"
        );
        // What kinds the fields have is learned at the start.
        fill(&url, &theirs, "before");
        let (at, index) = (url.clone(), theirs.clone());
        let put = move |uuid: &str| fill(&at, &index, uuid);
        let Some(cluster) = Cluster::on(store, Some(Box::new(put))) else {
            return;
        };
        let (second, again, builds) = one_is_killed(&cluster);
        println!("{name}: {} builds", builds.len());
        for uuid in &builds {
            let build = again.build(uuid);
            assert_eq!(build["matches"][0]["hits"], 1, "{name}: {build}");
            assert_eq!(build["problems"], json!([]), "{name}: {build}");
        }
        assert_eq!((again.stop(), second.stop()), (Some(0), Some(0)));
        delete(&url, &theirs);
    }
}

/// Writes a log as a log sender does, and waits until it can be found.
fn fill(url: &Url, index: &str, uuid: &str) {
    let log = String::from_utf8(log_of(200)).unwrap();
    let mut body = String::new();
    for (n, line) in log.lines().enumerate() {
        let document = json!({
            "@timestamp": format!("2026-03-01T10:00:00.{n:03}Z"), "build_uuid": uuid,
            "filename": "console.txt", "voting": 1, "message": line,
        });
        body.extend([
            "{\"index\":{}}\n".to_owned(),
            document.to_string(),
            "\n".into(),
        ]);
    }
    let path = format!("{index}/_bulk?refresh=true");
    let answer = reqwest::blocking::Client::new()
        .post(url.join(&path).unwrap())
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .unwrap();
    let answer: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
    assert_eq!(answer["errors"], false, "{answer}");
}

fn delete(url: &Url, indexes: &str) {
    let request = reqwest::blocking::Client::new().delete(url.join(indexes).unwrap());
    request.send().unwrap();
}
