//! Logs that are larger than memory, sent to the service while others send theirs.

use super::{BUG, Lines, SERVICE, bounded, eventually, peak, resident, sized};
use crate::serve::program::{Home, Program};
use std::io::{self, Read};
use std::time::Duration;

/// A log that is made while it is read.
struct Made<F> {
    more: F,
    part: Vec<u8>,
    at: usize,
}

impl<F: FnMut() -> Vec<u8>> Read for Made<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.part.len() {
            (self.part, self.at) = ((self.more)(), 0);
        }
        let count = (&self.part[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

/// Sends what `more` gives until it gives nothing.
fn send(program: &Program, uuid: &str, more: impl FnMut() -> Vec<u8> + Send + 'static) {
    let made = Made {
        more,
        part: Vec::new(),
        at: 0,
    };
    let url = format!("{}/api/v1/builds/{uuid}/logs/console.txt", program.base);
    let client = reqwest::blocking::Client::builder().no_proxy();
    let client = client.timeout(Duration::from_secs(900)).build().unwrap();
    let body = reqwest::blocking::Body::new(made);
    let answer = client.put(url).body(body).send().unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{:?}", answer.text());
    let path = format!("/api/v1/builds/{uuid}/complete");
    assert_eq!(
        program.send("POST", &path, r#"{"result":"FAILURE"}"#).0,
        202
    );
}

fn verdict(program: &Program, uuid: &str, wanted: &str) -> serde_json::Value {
    eventually(&format!("{wanted} of {uuid}"), || {
        Some(program.build(uuid)).filter(|build| build["verdict"] == wanted)
    })
}

/// The service with room for such logs, warm.
fn started(home: &Home) -> (Program, u64) {
    let program = home.start();
    assert_eq!(program.feed("first", b"boom\n"), 202);
    verdict(&program, "first", "matched");
    indexed(&program);
    let before = peak(program.pid()).unwrap();
    (program, before)
}

/// Waits until all is indexed, and gives the most memory of its own that the service had meanwhile, in KiB: of
/// the files that are merged for so large a log the system keeps as many pages as it has room for.
fn indexed_within(program: &Program) -> u64 {
    let mut most = 0;
    eventually("all is indexed", || {
        most = most.max(resident(program.pid()).unwrap());
        let status = program.json("/api/v1/status");
        (status["index"]["waiting_builds"] == 0).then_some(())
    });
    most
}

fn indexed(program: &Program) {
    indexed_within(program);
}

#[test]
fn a_log_far_larger_than_memory_goes_through_the_service() {
    let size = sized(5 << 30, 160 << 20);
    let home = Home::new("intake: {max-body: 6 GiB, max-log: 6 GiB}\n");
    let (program, before) = started(&home);
    let own = resident(program.pid()).unwrap();
    let (mut lines, mut sent, mut ended) = (Lines::new(), 0, false);
    let more = move || {
        if sent >= size {
            let last = if ended { "" } else { BUG };
            ended = true;
            return last.as_bytes().to_vec();
        }
        let some = lines.some();
        sent += some.len() as u64;
        some
    };
    std::thread::scope(|scope| {
        let program = &program;
        let large = scope.spawn(move || send(program, "large", more));
        let mut beside = 0;
        while !large.is_finished() || beside < 3 {
            assert_eq!(program.feed(&format!("beside-{beside}"), b"boom\n"), 202);
            verdict(program, &format!("beside-{beside}"), "matched");
            beside += 1;
        }
        large.join().unwrap();
        bounded(before, peak(program.pid()).unwrap(), SERVICE);
    });
    // While it is looked at, the other worker looks at others.
    assert_eq!(program.feed("behind", b"boom\n"), 202);
    verdict(&program, "behind", "matched");
    let build = verdict(&program, "large", "matched");
    assert!(build["logs"][0]["bytes"].as_u64().unwrap() > size);
    assert_eq!(build["matches"][0]["hits"], 1);
    bounded(own, indexed_within(&program), SERVICE);
    let found = program.json("/api/v1/search?q=message:boom%20AND%20build_uuid:large");
    assert_eq!(found["events"], 1, "{found}");
    bounded(before, peak(program.pid()).unwrap(), SERVICE);
}

#[test]
fn a_line_without_end_goes_through_the_service() {
    let size = sized(1 << 30, 128 << 20);
    let home = Home::new("intake: {max-body: 2 GiB, max-log: 2 GiB}\n");
    let (program, before) = started(&home);
    let (words, mut sent, mut ended) = ("no end of this line ".repeat(4096), 0, false);
    let more = move || {
        if sent >= size {
            let last = if ended {
                String::new()
            } else {
                format!("\n{BUG}")
            };
            ended = true;
            return last.into_bytes();
        }
        sent += words.len() as u64;
        words.clone().into_bytes()
    };
    send(&program, "line", more);
    assert_eq!(program.feed("beside", b"boom\n"), 202);
    verdict(&program, "beside", "matched");
    let build = verdict(&program, "line", "matched");
    let told = build["problems"].to_string();
    assert!(told.contains("cut into pieces"), "{told}");
    assert_eq!(build["matches"][0]["evidence"][0]["line"], 2);
    indexed(&program);
    let page = program.get("/builds/line/logs/console.txt");
    assert!(page.len() < 1 << 20, "{} bytes of page", page.len());
    bounded(before, peak(program.pid()).unwrap(), SERVICE);
}
