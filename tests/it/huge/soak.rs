//! A short soak: builds, pages, searches, reports and changing fingerprints at the same time, at a rate
//! that any machine holds. Afterwards every build has its verdict, and had it soon, and memory and open
//! files have not grown. `benches/soak` is the long one, which also finds the highest rate.

use super::{eventually, open_files, resident};
use crate::serve::program::{Home, Program, log_of};
use jiff::{SignedDuration, Timestamp};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long builds come.
const LASTS: Duration = Duration::from_secs(24);
/// How long one sender waits between builds.
const PAUSE: Duration = Duration::from_millis(150);
const SENDERS: u64 = 2;
/// Open files that come and go with connections and with the index.
const COME_AND_GO: usize = 24;
/// How long a verdict may take.
const SOON: SignedDuration = SignedDuration::from_secs(1);
/// KiB that the second half may need more than the first: what an index writes is merged now and then.
const GROWS: u64 = 32 << 10;

/// What was seen of the process, time after time.
#[derive(Default)]
struct Seen {
    memory: Vec<u64>,
    files: Vec<usize>,
}

impl Seen {
    fn look(&mut self, pid: u32) {
        self.memory.push(resident(pid).unwrap());
        self.files.push(open_files(pid));
    }

    /// The middle of what was seen in the second quarter, and in the last one: the first is warming up.
    fn quarters<T: Copy + Ord>(all: &[T]) -> (T, T) {
        let quarter = all.len() / 4;
        let middle = |part: &[T]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part[part.len() / 2]
        };
        (
            middle(&all[quarter..2 * quarter]),
            middle(&all[all.len() - quarter..]),
        )
    }
}

/// The builds that were sent, and when.
type Sent = Mutex<Vec<(String, Timestamp)>>;

/// Sends builds until it is told to stop.
fn feed(program: &Program, sender: u64, sent: &Sent, stop: &AtomicBool) {
    let logs: Vec<Vec<u8>> = (1..5).map(|n| log_of(n * 100)).collect();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let uuid = format!("soak-{sender}-{number}");
        let log = &logs[number % logs.len()];
        let mut begun = Timestamp::now();
        while program.feed(&uuid, log) == 429 {
            std::thread::sleep(PAUSE);
            begun = Timestamp::now();
        }
        number += 1;
        sent.lock().unwrap().push((uuid, begun));
        std::thread::sleep(PAUSE);
    }
}

/// Reads what people and programs read.
fn read(program: &Program, stop: &AtomicBool) {
    let pages = [
        "/",
        "/builds",
        "/bugs",
        "/unexplained",
        "/search?q=message:boom",
        "/api/v1/search?q=message:%22step%203%22&limit=10",
        "/api/v1/builds?limit=20",
        "/builds/soak-0-0",
        "/builds/soak-0-0/logs/console.txt",
        "/metrics",
        "/status",
    ];
    for page in pages.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (status, text) = program.send("GET", page, "");
        assert!(status == 200 || status == 404, "{page}: {status} {text}");
        std::thread::sleep(PAUSE / 3);
    }
}

/// From when a build was sent to its first verdict: of a hundred builds, ninety-nine took no longer.
fn p99(program: &Program, sent: &[(String, Timestamp)]) -> SignedDuration {
    let took = sent.iter().map(|(uuid, begun)| {
        let first = &program.build(uuid)["history"][0]["at"];
        first
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap()
            .duration_since(*begun)
    });
    let mut took: Vec<SignedDuration> = took.collect();
    took.sort_unstable();
    took[(took.len() * 99).div_ceil(100) - 1]
}

#[test]
fn under_mixed_load_memory_and_files_stay_and_verdicts_come_soon() {
    let home = Home::new("");
    let program = home.start();
    assert_eq!(program.feed("soak-0-0", b"boom\n"), 202);
    program.verdict("soak-0-0", "matched");
    let (sent, stop) = (Sent::default(), AtomicBool::new(false));
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let (program, sent, stop) = (&program, &sent, &stop);
        for sender in 1..=SENDERS {
            scope.spawn(move || feed(program, sender, sent, stop));
        }
        scope.spawn(move || read(program, stop));
        let begun = Instant::now();
        let mut rounds = 0_u32;
        while begun.elapsed() < LASTS {
            std::thread::sleep(Duration::from_millis(200));
            seen.look(program.pid());
            rounds += 1;
            if rounds.is_multiple_of(25) {
                // All builds are looked at again, and somebody wants a report.
                home.rule("other", &format!("message:other{rounds}"));
                assert_eq!(program.send("POST", "/api/v1/report", "").0, 200);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let builds = sent.into_inner().unwrap();
    let sent = builds.len() as u64;
    assert!(sent > 20, "only {sent} builds in {LASTS:?}");
    eventually("all have a verdict", || {
        let found = program.json("/api/v1/builds?verdict=matched&limit=1");
        (found["total"] == sent + 1).then_some(())
    });
    eventually("all can be searched", || {
        let found = program.json("/api/v1/search?q=message:boom&limit=1");
        (found["events"] == sent + 1).then_some(())
    });
    assert_eq!(
        program.json("/api/v1/builds?verdict=error&limit=1")["total"],
        0
    );
    let p99 = p99(&program, &builds);
    assert!(p99 < SOON, "{p99:?}");
    let (before, after) = Seen::quarters(&seen.files);
    assert!(
        after <= before + COME_AND_GO,
        "open files: {:?}",
        seen.files
    );
    let (before, after) = Seen::quarters(&seen.memory);
    eprintln!("p99 {p99:?}, KiB {before} to {after}");
    assert!(after <= before + GROWS, "KiB: {:?}", seen.memory);
}
