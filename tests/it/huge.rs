//! Input that is too large or hostile, and senders that never end: the real program, measured. Memory is
//! the highest that the system saw (`VmHWM`), and always compared with what the same program needs for one
//! small log. With `WHORL_HUGE=full` logs have the sizes of the largest that people have met (5 GB, one
//! line of 1 GB, 10,000 builds at once); without it they are smaller, and still far larger than the memory
//! that is allowed.

mod archives;
mod bombs;
mod clients;
mod crowds;
mod logs;
mod slow;
mod soak;
mod streams;

use crate::serve::program::until_within;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// The line that a fingerprint knows.
const BUG: &str = "it all went boom\n";
/// KiB that huge input may need more than a small one.
const MORE: u64 = 48 << 10;
/// KiB that the service may need more: it commits up to 64 MiB of logs to the index at a time.
const SERVICE: u64 = 128 << 10;
/// How long anything may take here; on an idle machine it takes seconds.
const DEADLINE: Duration = Duration::from_secs(300);

/// The first where everything is wanted, else the second.
fn sized(full: u64, small: u64) -> u64 {
    match std::env::var("WHORL_HUGE").as_deref() {
        Ok("full") => full,
        _ => small,
    }
}

/// Waits until `found` gives something; machines that also do other things are slow.
fn eventually<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    until_within(what, DEADLINE, found)
}

/// The most memory that a process ever had, in KiB; `None` when it has ended.
fn peak(pid: u32) -> Option<u64> {
    status(pid, "VmHWM:")
}

/// The memory of its own that it has now, in KiB; pages of files that the system keeps do not count.
fn resident(pid: u32) -> Option<u64> {
    status(pid, "RssAnon:")
}

fn status(pid: u32, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Open files of a process.
fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Files that this process may open, and those that it starts; as many as the system allows.
fn files_allowed() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    // The old limit may be enough.
    let _ = setrlimit(Resource::Nofile, all);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// `whorl classify` while it runs.
struct Classify {
    child: Child,
    _rules: tempfile::TempDir,
}

/// What it left.
struct Ran {
    code: i32,
    json: Value,
    err: String,
    /// KiB.
    peak: u64,
}

impl Drop for Classify {
    fn drop(&mut self) {
        // Nothing to do when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Classify {
    /// Starts it on a path, or on standard input (`-`).
    fn start(log: &Path) -> Self {
        let rules = tempfile::tempdir().unwrap();
        let rule = "title: It goes boom\nquery: 'message:boom'\n";
        std::fs::write(rules.path().join("boom.yaml"), rule).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_whorl"));
        command
            .arg("classify")
            .arg(log)
            .args(["--format", "json", "--stats", "--queries"])
            .arg(rules.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            child: command.spawn().unwrap(),
            _rules: rules,
        }
    }

    /// Runs on what `write` sends to its standard input.
    fn piped(write: impl FnOnce(&mut ChildStdin) + Send + 'static) -> Ran {
        let mut one = Self::start(Path::new("-"));
        let mut stdin = one.child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || write(&mut stdin));
        let ran = one.end();
        writer.join().unwrap();
        ran
    }

    fn of(log: &Path) -> Ran {
        let mut one = Self::start(log);
        drop(one.child.stdin.take());
        one.end()
    }

    /// Waits for its end and looks at its memory meanwhile.
    fn end(&mut self) -> Ran {
        let (mut out, mut err) = (
            self.child.stdout.take().unwrap(),
            self.child.stderr.take().unwrap(),
        );
        let out = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        });
        let err = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        let (begun, mut most) = (Instant::now(), 0);
        let code = loop {
            most = most.max(peak(self.child.id()).unwrap_or(0));
            if let Some(code) = self.child.try_wait().unwrap() {
                break code.code().expect("ended by a signal");
            }
            assert!(begun.elapsed() < DEADLINE, "it takes too long");
            std::thread::sleep(Duration::from_millis(5));
        };
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        Ran {
            code,
            json: serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")),
            err,
            peak: most,
        }
    }
}

impl Ran {
    /// It needed hardly more memory than for a small log.
    fn small(&self) {
        bounded(baseline(), self.peak, MORE);
    }

    /// The places of the first evidence: file and line.
    fn place(&self) -> (String, u64) {
        let first = &self.json["matches"][0]["evidence"][0];
        let file = first["file"].as_str().unwrap_or_default();
        (file.to_owned(), first["line"].as_u64().unwrap_or(0))
    }
}

/// What the program needs for a small log, in KiB.
fn baseline() -> u64 {
    // Open until its memory was looked at.
    let mut one = Classify::start(Path::new("-"));
    let mut stdin = one.child.stdin.take().unwrap();
    let lines = "an ordinary line of a log\n".repeat(40_000);
    stdin.write_all(lines.as_bytes()).unwrap();
    let most = peak(one.child.id()).unwrap();
    drop(stdin);
    one.end().peak.max(most)
}

/// Huge input took hardly more memory than a small one.
fn bounded(before: u64, peak: u64, more: u64) {
    eprintln!("at most {peak} KiB, {before} KiB for a small log");
    assert!(peak < before + more, "{peak} KiB, before {before}");
}

/// Lines of a log that no fingerprint knows, about 64 KiB of them, no two alike.
struct Lines {
    seed: u32,
    count: u64,
}

impl Lines {
    fn new() -> Self {
        Self { seed: 7, count: 0 }
    }

    fn some(&mut self) -> Vec<u8> {
        let mut text = Vec::with_capacity(70_000);
        while text.len() < 64 << 10 {
            self.seed = self
                .seed
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let (seed, count) = (self.seed, self.count);
            writeln!(
                text,
                "2026-11-21 10:00:00.000 | INFO step {count} of host {seed:x} went well, nothing to be seen here"
            )
            .unwrap();
            self.count += 1;
        }
        text
    }
}

/// Bytes of one kind, compressed: few that become very many.
fn gzip_of(byte: u8, count: u64) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(byte).take(count), &mut out).unwrap();
    out.finish().unwrap()
}

fn zstd_of(byte: u8, count: u64) -> Vec<u8> {
    let mut out = zstd::Encoder::new(Vec::new(), 3).unwrap();
    std::io::copy(&mut std::io::repeat(byte).take(count), &mut out).unwrap();
    out.finish().unwrap()
}

/// One member of a tar, name and bytes.
fn member(out: &mut impl Write, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // The builder refuses bad names, so they are written by hand.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(bytes)?;
    let rest = bytes.len().next_multiple_of(512) - bytes.len();
    out.write_all(&[0; 512][..rest])
}
