//! Clocks and system calls of programs that run.

use super::proxy::Holding;
use super::{Place, until};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program that does something for each line it is told, and says what came of it.
struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn ask(&mut self) -> String {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // By itself, as it has nothing more to read: the semaphore that libfaketime made for one who is
        // killed stays, in the way of whoever has its pid next.
        self.child.stdin = None;
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn skip(why: &str) {
    // Not `eprintln!`: that is only seen when a test fails.
    let text = format!("SKIPPED: {why}\n");
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// Why this machine cannot do what a fault needs.
fn lacking(name: &str) -> Option<String> {
    let all = whorl::chaos::fault::ALL;
    let fault = all.iter().find(|fault| fault.name() == name).unwrap();
    fault.check().err()
}

const CLOCK: &str = "
import sys, time
for line in sys.stdin:
    print(int(time.time()), flush=True)
";

/// How far a program's clock is from ours, in hours.
fn hours(program: &mut Program) -> i64 {
    let now = jiff::Timestamp::now().as_second();
    let said: i64 = program.ask().parse().unwrap();
    (said - now + 1800).div_euclid(3600)
}

#[test]
fn a_program_believes_that_it_is_later() {
    if let Some(why) = lacking("clock-offset") {
        return skip(&why);
    }
    let place = Place::new();
    let file = place.write("clock", "+0s\n");
    let found = Command::new("sh")
        .args(["-c", "ls /usr/lib/*/faketime/libfaketime.so.1"])
        .output();
    let library = String::from_utf8(found.unwrap().stdout).unwrap();
    let mut command = Command::new("python3");
    command
        .args(["-c", CLOCK])
        .env("LD_PRELOAD", library.trim())
        .env("FAKETIME_TIMESTAMP_FILE", &file)
        .env("FAKETIME_NO_CACHE", "1");
    let mut program = Program::start(&mut command);
    assert_eq!(hours(&mut program), 0);
    let forward = json!({"file": "clock", "offset": 7200});
    let mut holding = Holding::of(place, "clock-offset", 1, &forward);
    assert_eq!(hours(&mut program), 2);
    holding.kill_runner();
    until("the clock is right", || hours(&mut program) == 0);
    until("the written down", || holding.place.runs().is_empty());
    let back = Place::new();
    let place = std::mem::replace(&mut holding.place, back);
    let holding = Holding::of(
        again(place),
        "clock-offset",
        1,
        &json!({"file": "clock", "offset": -86400}),
    );
    assert_eq!(hours(&mut program), -24);
    holding.end();
    // Its folder is gone, and with it the file: what it says last is what it had read.
}

/// The same place for another run.
fn again(place: Place) -> Place {
    std::fs::remove_file(place.path("begun")).unwrap();
    place
}

const WRITES: &str = "
import os, sys
for line in sys.stdin:
    try:
        with open('kept', 'a') as f:
            f.write('x'); f.flush(); os.fsync(f.fileno())
        print('kept', flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
";

#[test]
fn system_calls_of_a_running_program_fail() {
    if let Some(why) = lacking("syscall-error") {
        return skip(&why);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    let mut program = Program::start(command.args(["-c", WRITES]).current_dir(folder.path()));
    assert_eq!(program.ask(), "kept");
    let pid = program.child.id();
    let arguments = json!({"pid": pid, "calls": "fsync", "error": "ENOSPC"});
    let holding = Holding::of(Place::new(), "syscall-error", 1, &arguments);
    assert_eq!(program.ask(), "No space left on device");
    let place = holding.end();
    assert_eq!(program.ask(), "kept");
    assert!(place.runs().is_empty());
    let arguments = json!({"pid": pid, "calls": "fsync", "error": "EIO", "every": 3});
    let mut holding = Holding::of(Place::new(), "syscall-error", 1, &arguments);
    let said: Vec<String> = (0..7).map(|_| program.ask()).collect();
    let failed: Vec<usize> = (0..7)
        .filter(|n| said[*n] == "Input/output error")
        .collect();
    assert_eq!(failed, [1, 4], "{said:?}");
    holding.kill_runner();
    until("nobody traces it", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.contains("TracerPid:\t0")
    });
    for _ in 0..4 {
        assert_eq!(program.ask(), "kept");
    }
}

#[test]
fn a_slow_system_call() {
    if let Some(why) = lacking("syscall-error") {
        return skip(&why);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    let mut program = Program::start(command.args(["-c", WRITES]).current_dir(folder.path()));
    program.ask();
    let arguments = json!({"pid": program.child.id(), "calls": "fsync", "delay": 300});
    let _holding = Holding::of(Place::new(), "syscall-error", 1, &arguments);
    let begin = std::time::Instant::now();
    assert_eq!(program.ask(), "kept");
    assert!(begin.elapsed() >= std::time::Duration::from_millis(300));
}

#[test]
fn what_the_machine_lacks_is_said() {
    for fault in whorl::chaos::fault::ALL {
        let found = fault.check();
        assert!(!fault.needs().is_empty());
        assert!(
            found.err().is_none_or(|why| !why.is_empty()),
            "{}",
            fault.name()
        );
    }
}
