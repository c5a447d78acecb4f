//! Logs that are larger than memory, have no lines, or never end: `whorl classify`.

use super::{BUG, Classify, Lines, sized};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Stops a thread when it is dropped.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_log_far_larger_than_memory_streams() {
    let size = sized(5 << 30, 256 << 20);
    let ran = Classify::piped(move |stdin| {
        let (mut lines, mut sent) = (Lines::new(), 0);
        while sent < size {
            let some = lines.some();
            sent += some.len() as u64;
            stdin.write_all(&some).unwrap();
        }
        stdin.write_all(BUG.as_bytes()).unwrap();
    });
    assert_eq!(ran.code, 0, "{}", ran.err);
    let stats = &ran.json["stats"];
    assert!(stats["bytes"].as_u64().unwrap() > size);
    assert_eq!(ran.json["matches"][0]["hits"], 1);
    assert_eq!(
        ran.place(),
        ("stdin".into(), stats["lines"].as_u64().unwrap())
    );
    ran.small();
}

#[test]
fn one_line_of_a_gigabyte_is_read_in_pieces() {
    let size = sized(1 << 30, 160 << 20);
    let ran = Classify::piped(move |stdin| {
        let words = "no end of this line ".repeat(4096);
        let mut sent = 0;
        while sent < size {
            sent += words.len() as u64;
            stdin.write_all(words.as_bytes()).unwrap();
        }
        stdin.write_all(b"\n").unwrap();
        stdin.write_all(BUG.as_bytes()).unwrap();
    });
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json["stats"]["lines"], 2);
    assert_eq!(ran.place(), ("stdin".into(), 2));
    let told = "stdin:1: longer than 1048576 bytes, cut into pieces";
    assert!(ran.err.contains(told), "{}", ran.err);
    ran.small();
}

/// Writes to the log as long as it may, without filling the disk.
fn grow(log: &Path, stop: &AtomicBool) {
    let mut file = File::options().append(true).open(log).unwrap();
    let (mut lines, mut written) = (Lines::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        if written < 512 << 20 {
            let some = lines.some();
            written += some.len() as u64;
            file.write_all(&some).unwrap();
        } else {
            file.write_all(b".").unwrap();
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn a_log_that_grows_while_it_is_read_ends_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    // A log that is read before anything is added to it has not grown: then a longer one.
    for pieces in (0..6).map(|n| 64 << n) {
        let log = dir.path().join("job.log");
        let mut file = File::create(&log).unwrap();
        let mut lines = Lines::new();
        file.write_all(BUG.as_bytes()).unwrap();
        (0..pieces).for_each(|_| file.write_all(&lines.some()).unwrap());
        let before = file.metadata().unwrap().len();
        let ran = {
            let stop = Stop(Arc::default());
            let (at, flag) = (log.clone(), Arc::clone(&stop.0));
            let writer = std::thread::spawn(move || grow(&at, &flag));
            let ran = Classify::of(&log);
            drop(stop);
            writer.join().unwrap();
            ran
        };
        assert_eq!(ran.json["matches"][0]["hits"], 1);
        let read = ran.json["stats"]["bytes"].as_u64().unwrap();
        assert!(read >= before, "{read} of {before}");
        if ran.code == 0 {
            continue;
        }
        assert_eq!(ran.code, 4, "{}", ran.err);
        assert_eq!(ran.json["verdict"], "partial-log");
        let told = format!("job.log: its size changed from {read} to ");
        assert!(ran.err.contains(&told), "{}", ran.err);
        ran.small();
        // When nobody writes to it any more it is a log like others.
        let ran = Classify::of(&log);
        assert_eq!(
            (ran.code, ran.json["verdict"].as_str()),
            (0, Some("matched"))
        );
        return;
    }
    panic!("it never grew while it was read");
}
