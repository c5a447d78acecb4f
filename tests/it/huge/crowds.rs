//! Very many builds completed at once.

use super::{SERVICE, bounded, eventually, gzip_of, peak, sized};
use crate::serve::program::{Home, Program};
use reqwest::blocking::Client;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SENDERS: u64 = 32;
/// Builds that may wait.
const QUEUE: u64 = 16;

/// What the senders were told.
#[derive(Default)]
struct Told {
    accepted: AtomicU64,
    later: AtomicU64,
}

fn client() -> Client {
    let wait = Duration::from_secs(120);
    Client::builder().no_proxy().timeout(wait).build().unwrap()
}

/// Completes these builds as a CI does: who is told to come later comes later.
fn complete(base: &str, builds: impl Iterator<Item = u64>, told: &Told) {
    let client = client();
    for n in builds {
        let begun = Instant::now();
        loop {
            let request = client.post(format!("{base}/api/v1/builds/b{n}/complete"));
            let answer = request.body(r#"{"result":"FAILURE"}"#).send().unwrap();
            if answer.status().as_u16() == 202 {
                told.accepted.fetch_add(1, Ordering::Relaxed);
                break;
            }
            assert_eq!(answer.status().as_u16(), 429);
            told.later.fetch_add(1, Ordering::Relaxed);
            let wait = answer.headers()["retry-after"].to_str().unwrap();
            assert!(wait.parse::<u64>().unwrap() <= 60, "{wait}");
            assert!(begun.elapsed() < super::DEADLINE, "it is never its turn");
            // The program says seconds; there is less time in a test.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The builds of one sender.
fn share(sender: u64, builds: u64) -> impl Iterator<Item = u64> {
    (sender..builds).step_by(usize::try_from(SENDERS).unwrap())
}

fn announce(base: &str, builds: impl Iterator<Item = u64>) {
    let client = client();
    for n in builds {
        let at = format!("{base}/api/v1/builds/b{n}");
        let facts = format!(r#"{{"job":"unit-{n}","project":"p","change":"{n}","patchset":"1"}}"#);
        assert!(
            client
                .put(&at)
                .body(facts)
                .send()
                .unwrap()
                .status()
                .is_success()
        );
        let log = client
            .put(format!("{at}/logs/console.txt"))
            .body("all\nboom\n");
        assert!(log.send().unwrap().status().is_success());
    }
}

/// Gives all workers something to do for a while.
fn occupy(program: &Program) {
    let log = gzip_of(b' ', 60 << 20);
    for n in 0..2 {
        for file in 0..2 {
            program.log_file(&format!("heavy-{n}"), &format!("{file}.gz"), &log);
        }
        let path = format!("/api/v1/builds/heavy-{n}/complete");
        assert_eq!(
            program.send("POST", &path, r#"{"result":"FAILURE"}"#).0,
            202
        );
    }
    eventually("both work", || {
        let status = program.json("/api/v1/status");
        (status["queue"]["running"] == 2).then_some(())
    });
}

#[test]
fn very_many_builds_completed_at_once_all_get_one_verdict() {
    let builds = sized(10_000, 300);
    let home = Home::new(&format!("intake: {{queue: {QUEUE}, workers: 2}}\n"));
    let program = home.start();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let base = &program.base;
            scope.spawn(move || announce(base, share(sender, builds)));
        }
    });
    let before = peak(program.pid()).unwrap();
    occupy(&program);
    let (told, ready) = (
        Told::default(),
        Barrier::new(usize::try_from(SENDERS).unwrap()),
    );
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (base, told, ready) = (&program.base, &told, &ready);
            scope.spawn(move || {
                ready.wait();
                complete(base, share(sender, builds), told);
            });
        }
        // Others ask meanwhile, and the queue never holds more than it may.
        eventually("all are accepted", || {
            let status = program.json("/api/v1/status");
            let waiting = status["queue"]["waiting"].as_u64().unwrap();
            assert!(waiting <= QUEUE + SENDERS, "{waiting} wait");
            program.get("/builds");
            (told.accepted.load(Ordering::Relaxed) == builds).then_some(())
        });
    });
    assert!(told.later.load(Ordering::Relaxed) > 0, "nobody had to wait");
    eventually("all have a verdict", || {
        let found = program.json("/api/v1/builds?verdict=matched&limit=1");
        (found["total"] == builds).then_some(())
    });
    for n in (0..builds).step_by(7) {
        let build = program.build(&format!("b{n}"));
        assert_eq!(build["history"].as_array().unwrap().len(), 1, "{build}");
    }
    bounded(before, peak(program.pid()).unwrap(), SERVICE);
}
