//! Chaos experiments: what the Chaos Toolkit does, and what must not be lost when somebody dies.

mod crashes;
mod database;
mod disks;
pub(crate) mod drivers;
mod example;
mod faults;
mod library;
mod measure;
mod method;
mod names;
mod network;
mod ours;
mod pressure;
mod programs;
mod providers;
mod proxy;
mod recorded;
mod room;
mod safety;
mod tls;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with experiments, their journal and the faults' state.
struct Place {
    folder: tempfile::TempDir,
    /// What the command line says to faults: tests hit only what they have made.
    allows: &'static [&'static str],
}

/// How `whorl chaos` ended.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// The log lines, as `[LEVEL] text`.
    fn log(&self) -> Vec<String> {
        log_lines(&self.err)
    }
}

fn log_lines(text: &str) -> Vec<String> {
    let line = regex::Regex::new(r"(?m)^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\w+)\] (.*)$").unwrap();
    let found = line.captures_iter(text);
    found
        .map(|found| format!("[{}] {}", &found[1], &found[2]))
        .collect()
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            allows: &["--yes", "--i-own-this-machine"],
        }
    }

    /// A place where nothing is said to faults that the test does not say itself.
    fn plain() -> Self {
        Self {
            allows: &[],
            ..Self::new()
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whorl"));
        command
            .arg("chaos")
            .args(&args[..1])
            .args(
                self.allows
                    .iter()
                    .filter(|_| ["run", "measure"].contains(&args[0])),
            )
            .args(&args[1..])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("WHORL_CHAOS_STATE", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    fn chaos(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The run folders that are left.
    fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("state")).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.is_dir()).collect()
    }
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file beside these tests.
fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/chaos")
        .join(name)
}
