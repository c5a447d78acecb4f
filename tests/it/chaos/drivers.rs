//! The service and its parts while calls fail on purpose.

mod calls;
mod harness;
mod look;
mod notes;
mod options;
mod requests;
pub(crate) mod sink;
mod wrapped;

use harness::{Report, Run, differences};
use std::time::Duration;

fn run(seed: u64, rate: f64, builds: usize) -> Report {
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

#[test]
fn the_same_seed_makes_the_same_calls_fail_and_another_one_others() {
    let (one, again, other) = (run(7, 0.1, 60), run(7, 0.1, 60), run(8, 0.1, 60));
    assert!(one.faults.len() > 30, "{}", one.faults.len());
    let found = differences(&one, &again);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!differences(&one, &other).is_empty());
}
