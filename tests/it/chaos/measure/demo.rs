//! The repository's own plan, some of its faults: on the real shop with `PostgreSQL` and Redis.
//! All of them run in `tests/real/measure`.

use crate::chaos::Place;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use whorl::chaos::measure::Plan;

fn plan() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/demo.yaml")
}

/// What is missing here for the shop.
fn missing() -> Option<String> {
    let works = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let postgres = "compgen -G '/usr/lib/postgresql/*/bin/initdb' || command -v initdb";
    if !works("bash", &["-c", postgres]) {
        return Some("PostgreSQL (postgresql)".into());
    }
    for program in ["redis-server", "openssl", "setpriv", "curl"] {
        if !works(program, &["--version"]) {
            return Some(program.into());
        }
    }
    let modules = "import psycopg2, redis, pytest, pytest_timeout";
    (!works("/usr/bin/python3", &["-c", modules]))
        .then(|| "python3-psycopg2, python3-redis, python3-pytest or python3-pytest-timeout".into())
}

#[test]
fn the_plan_has_enough_faults_and_each_says_its_cause() {
    let plan = Plan::load(&plan()).unwrap();
    assert!(plan.faults.len() >= 12, "{}", plan.faults.len());
    assert!(plan.seeds >= 10 && plan.controls >= 1);
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    for fault in &plan.faults {
        assert!(fault.cause.is_some(), "{}", fault.name);
        for id in fault.expects.as_ref().unwrap() {
            assert!(
                queries.join(format!("{id}.yaml")).exists(),
                "{}: {id}",
                fault.name
            );
        }
    }
}

#[test]
fn the_shop_is_measured() {
    if let Some(missing) = missing() {
        eprintln!("SKIPPED: measuring the shop: no {missing}");
        return;
    }
    let place = Place::new();
    let plan = plan();
    let ran = place.chaos(&[
        "measure",
        plan.to_str().unwrap(),
        "--seeds",
        "1",
        "--format",
        "json",
        "--no-strict",
        "--fault",
        "redis-memory-limit",
        "--fault",
        "postgres-killed",
        "--fault",
        "settings-lost",
    ]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    let found = |name: &str| {
        let runs = json["runs"].as_array().unwrap();
        let run = runs.iter().find(|run| run["name"] == name).unwrap();
        let found: Vec<String> = serde_json::from_value(run["found"].clone()).unwrap();
        (run["kind"].as_str().unwrap().to_owned(), found)
    };
    assert_eq!(
        found("redis-memory-limit-s01"),
        ("failed".into(), vec!["redis-maxmemory".into()])
    );
    let (kind, postgres) = found("postgres-killed-s01");
    assert_eq!(
        (kind.as_str(), postgres[0].as_str()),
        ("failed", "database-refused")
    );
    assert_eq!(found("settings-lost-s01"), ("failed".into(), vec![]));
    assert_eq!(json["totals"]["clean"], 2, "{}", ran.out);
}
