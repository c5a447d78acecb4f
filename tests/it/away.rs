//! The service while the cluster that keeps the logs is away: it starts, says so, and goes on by itself
//! when the cluster comes.

use crate::elastic::{clusters, prefix};
use crate::foreign::Filled;
use crate::proxy::{Fault, Proxy};
use crate::serve::program::{Home, Program, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use url::Url;

/// A configuration with indexes of our own.
fn own(url: &Url, prefix: &str, more: &str) -> Home {
    Home::new(&format!(
        "store:\n  kind: elasticsearch\n  elasticsearch:\n    urls: ['{url}']\n    prefix: {prefix}\n    \
         timeout: 2s\n{more}"
    ))
}

/// A configuration with indexes that somebody else fills.
fn foreign(url: &Url) -> Home {
    Home::new(&format!(
        "store:\n  kind: elasticsearch\n  elasticsearch:\n    urls: ['{url}']\n    layout: {{preset: \
         openstack}}\n    ready: {{quiet: 0s, deadline: 1s}}\n"
    ))
}

/// An address where nobody listens.
fn nobody() -> Url {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    format!("http://{address}/").parse().unwrap()
}

/// Says that a build has ended whose log is elsewhere.
fn announce(program: &Program, uuid: &str) {
    let at = format!("/api/v1/builds/{uuid}");
    let meta = r#"{"finished":"2026-03-02T11:00:00Z"}"#;
    assert_eq!(program.send("PUT", &at, meta).0, 200);
    let done = program.send("POST", &format!("{at}/complete"), r#"{"result":"FAILURE"}"#);
    assert_eq!(done.0, 202, "{}", done.1);
}

/// What `/readyz` complains of.
fn complaint(program: &Program) -> String {
    let (status, text) = program.send("GET", "/readyz", "");
    assert_eq!(status, 503, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["reasons"][0].as_str().unwrap().to_owned()
}

#[test]
fn it_starts_where_nobody_listens_and_serves() {
    let begun = Instant::now();
    let home = foreign(&nobody());
    let program = home.start();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let why = complaint(&program);
    assert!(
        why.starts_with("the log cluster was not reached since the start:"),
        "{why}"
    );
    assert!(why.contains("Connection refused"), "{why}");
    assert!(program.get("/").contains("not reached since the start"));
    announce(&program, "u1");
    assert!(program.get("/builds").contains("Connection refused"));
    assert!(program.get("/builds/u1").contains("Connection refused"));
    let status = program.json("/api/v1/status");
    assert_eq!(status["cluster"]["reached"], false, "{status}");
    assert!(program.metric("whorl_cluster_reached") < 0.5);
    until("attempts go on and the breaker opens", || {
        (program.metric("whorl_cluster_breaker_open") > 0.0).then_some(())
    });
    assert!(program.get("/").contains("left alone"));
    assert_eq!(program.build("u1")["verdict"], "pending");
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn no_verdict_waits_for_an_index_of_our_own() {
    let home = own(&nobody(), "whorl", "");
    let program = home.start();
    assert_eq!(program.feed("u1", b"boom\n"), 202);
    program.verdict("u1", "matched");
    assert!(program.metric("whorl_builds_unindexed") > 0.5);
    let (status, text) = program.send("GET", "/api/v1/search?q=boom", "");
    assert_eq!(status, 500, "{text}");
}

#[test]
fn it_starts_in_front_of_a_cluster_that_does_not_answer_or_is_ill() {
    for fault in [
        Fault::Hang,
        Fault::HalfJson,
        Fault::Refuse,
        Fault::Status(503, None),
        Fault::Status(500, None),
        Fault::Status(429, None),
    ] {
        let proxy = Proxy::alone();
        proxy.next(u64::MAX, fault.clone());
        let begun = Instant::now();
        let home = foreign(&proxy.url());
        let program = home.start();
        assert!(begun.elapsed() < Duration::from_secs(10), "{fault:?}");
        let begun = Instant::now();
        let why = complaint(&program);
        program.get("/");
        assert!(begun.elapsed() < Duration::from_secs(2), "{fault:?}");
        let told = match fault {
            Fault::Hang => "no answer in 5 s".to_owned(),
            Fault::Refuse => "http://127.0.0.1".to_owned(),
            Fault::HalfJson => "the answer is no JSON".to_owned(),
            Fault::Status(status, _) => status.to_string(),
            _ => unreachable!(),
        };
        assert!(why.contains(&told), "{why}");
    }
}

#[test]
fn what_cannot_heal_is_told_at_the_start() {
    let guarded = Proxy::guarded(None, "Basic right");
    let url = guarded.url();
    let wrong = own(&url, "whorl", "    user: whorl\n    password: wrong\n");
    let out = wrong.fails();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(
        said.contains("401") && said.contains("unable to authenticate"),
        "{said}"
    );
    let home = own(&url, "whorl", "    ca-file: none.pem\n");
    let out = home.fails();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("ca-file: none.pem"), "{said}");
    let pem = home.dir.path().join("ca.pem");
    std::fs::write(&pem, "-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
    let home = own(&url, "whorl", &format!("    ca-file: {}\n", pem.display()));
    let out = home.fails();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("the CA file"), "{said}");
    let out = own(&url, "whorl-2", "").fails();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("store.elasticsearch.prefix"), "{said}");
}

#[test]
fn an_index_of_our_own_is_filled_when_the_cluster_comes() {
    for (name, url) in clusters() {
        let proxy = Proxy::to(&url);
        proxy.next(u64::MAX, Fault::Refuse);
        let prefix = prefix("away").replace("-1", "-a1");
        let home = own(&proxy.url(), &prefix, "");
        let program = home.start();
        complaint(&program);
        program.feed("u1", b"all went boom\n");
        program.verdict("u1", "matched");
        // The next process must know, too, what is not indexed.
        assert_eq!(program.stop(), Some(0));
        let program = home.start();
        program.feed("u2", b"quiet\n");
        program.verdict("u2", "unmatched");
        proxy.calm();
        until("it is ready", || {
            (program.send("GET", "/readyz", "").0 == 200).then_some(())
        });
        let found = until("both are indexed", || {
            let (status, text) = program.send("GET", "/api/v1/search?q=boom%20OR%20quiet", "");
            let found: Value = serde_json::from_str(&text).unwrap();
            (status == 200 && found["events"] == 2).then_some(found)
        });
        assert_eq!(found["builds"], json!(["u1", "u2"]), "{name}");
        until("nothing is left to index", || {
            (program.metric("whorl_builds_unindexed") < 1.0).then_some(())
        });
        // Away once more, in the middle of the work.
        proxy.next(u64::MAX, Fault::Refuse);
        program.feed("u3", b"later boom\n");
        program.verdict("u3", "matched");
        proxy.calm();
        until("the third is indexed", || {
            let (_, text) = program.send("GET", "/api/v1/search?q=later", "");
            text.contains("\"u3\"").then_some(())
        });
        let page = program.get("/");
        assert!(page.contains("<strong class=\"good\">answers"), "{page}");
    }
}

#[test]
fn a_build_gets_its_verdict_when_the_cluster_comes() {
    for filled in Filled::each() {
        let proxy = Proxy::to(&filled.url);
        proxy.next(u64::MAX, Fault::Refuse);
        // A cluster that is away for longer than the deadline.
        let home = filled.home_at(&proxy.url(), "ready: {quiet: 0s, deadline: 2s}");
        let program = home.start();
        let begun = Instant::now();
        announce(&program, "u1");
        announce(&program, "u9");
        until("longer away than the deadline", || {
            (begun.elapsed() > Duration::from_secs(3)).then_some(())
        });
        assert_eq!(program.build("u1")["verdict"], "pending");
        assert_eq!(program.build("u9")["verdict"], "pending");
        proxy.calm();
        // Read with the kinds that the cluster's fields have: `tags` is exact there.
        let build = program.verdict("u1", "matched");
        assert_eq!(build["matches"].as_array().unwrap().len(), 2, "{build}");
        program.verdict("u9", "no-log");
        // And once more while it runs, now with answers that are none.
        for (n, fault) in [Fault::Status(503, None), Fault::Status(403, None)]
            .into_iter()
            .enumerate()
        {
            proxy.next(u64::MAX, fault.clone());
            let begun = Instant::now();
            let uuid = ["u2", "u3"][n];
            announce(&program, uuid);
            until("longer away than the deadline", || {
                (begun.elapsed() > Duration::from_secs(3)).then_some(())
            });
            assert_eq!(program.build(uuid)["verdict"], "pending", "{fault:?}");
            proxy.calm();
            let build = program.verdict(uuid, "unmatched");
            assert_eq!(build["problems"], json!([]), "{build}");
        }
        let status = program.json("/api/v1/status");
        assert_eq!(status["cluster"]["waiting_builds"], 0, "{status}");
        assert!(program.metric("whorl_cluster_requests_total") > 5.0);
        assert!(program.metric("whorl_cluster_received_bytes_total") > 1000.0);
        println!("{}: {}", filled.name, status["cluster"]);
    }
}

#[test]
fn a_cluster_without_an_index_is_learned_when_one_comes() {
    for filled in Filled::each_empty() {
        let home = filled.home_at(&filled.url, "ready: {quiet: 0s, deadline: 60s}");
        let program = home.start();
        announce(&program, "u1");
        assert_eq!(program.send("GET", "/readyz", "").0, 200, "{}", filled.name);
        filled.fill();
        program.verdict("u1", "matched");
    }
}

/// Whoever fills the cluster was away from it, too: the log comes after the cluster.
#[test]
fn time_without_a_cluster_is_no_time_to_wait_for_a_log() {
    for filled in Filled::each_empty() {
        let proxy = Proxy::to(&filled.url);
        proxy.next(u64::MAX, Fault::Refuse);
        let home = filled.home_at(&proxy.url(), "ready: {quiet: 0s, deadline: 4s}");
        let program = home.start();
        let begun = Instant::now();
        announce(&program, "u1");
        until("longer away than the deadline", || {
            (begun.elapsed() > Duration::from_secs(5)).then_some(())
        });
        proxy.calm();
        until("the cluster is there", || {
            (program.metric("whorl_cluster_reached") > 0.5).then_some(())
        });
        // It has said that it has nothing of the build.
        let before = program.metric("whorl_cluster_requests_total");
        until("the cluster is asked for the build", || {
            (program.metric("whorl_cluster_requests_total") > before).then_some(())
        });
        filled.fill();
        let build = program.verdict("u1", "matched");
        let history = build["history"].as_array().unwrap();
        assert_eq!(history.len(), 1, "{}: {history:?}", filled.name);
    }
}
