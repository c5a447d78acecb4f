//! The service and its parts while calls fail on purpose.

mod calls;
mod harness;
mod look;
mod notes;
mod options;
mod outside;
mod requests;
pub(crate) mod sink;
mod wrapped;

use crate::state::place::Place;
use harness::{Report, Run, Server, differences};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn run(seed: u64, rate: f64, builds: usize) -> Report {
    run_with(seed, rate, builds, None)
}

fn run_with(seed: u64, rate: f64, builds: usize, server: Option<Server>) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let run = Run {
        seed,
        rate,
        builds,
        senders: 8,
        settle: Duration::from_secs(10),
        server,
    };
    let report = runtime.block_on(harness::run(&run));
    let text = serde_json::to_string(&report).unwrap();
    println!("{text}");
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    report
}

/// What must be so after every run.
fn holds(seed: u64, rate: f64) {
    let report = run(seed, rate, 500);
    let (before, after) = report.injected();
    // Each build takes some dozen calls, so that none without a fault would be a defect of the harness.
    assert!(
        before as f64 > 500.0 * rate && after > 0,
        "{before} {after}"
    );
    assert!(report.resent > 0);
}

#[test]
fn five_hundred_builds_are_kept_when_one_call_of_a_hundred_fails() {
    holds(1, 0.01);
}

#[test]
fn five_hundred_builds_are_kept_when_one_call_of_twenty_fails() {
    holds(2, 0.05);
}

#[test]
fn five_hundred_builds_are_kept_when_one_call_of_five_fails() {
    holds(3, 0.20);
}

/// The same with the state on a server: `tests/real/run postgresql -- chaos::drivers`.
#[test]
fn builds_are_kept_when_calls_of_a_server_fail() {
    let Some(place) = Place::server() else { return };
    let place = Arc::new(place);
    let asked = place.clone();
    let server = Server {
        url: place.url(),
        ask: Arc::new(move |sql| asked.ask(sql)),
    };
    let report = run_with(4, 0.05, 200, Some(server));
    let errors: BTreeSet<&str> = report.faults.iter().map(|f| f.error.as_str()).collect();
    assert!(
        errors.contains("connections") && errors.contains("deadline"),
        "{errors:?}"
    );
    assert!(report.after(&["state.record_verdict_of", "state.complete"]) > 0);
}

#[test]
fn the_same_seed_makes_the_same_calls_fail_and_another_one_others() {
    let (one, again, other) = (run(7, 0.1, 60), run(7, 0.1, 60), run(8, 0.1, 60));
    assert!(one.faults.len() > 30, "{}", one.faults.len());
    let found = differences(&one, &again);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!differences(&one, &other).is_empty());
}
