//! A running service and what tests do to it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Shorter than the time after which left-out builds are looked for anyway.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Waits until `found` gives something.
pub(crate) fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    until_within(what, LONG, found)
}

/// Waits until `found` gives something, for so long.
pub(crate) fn until_within<T>(
    what: &str,
    limit: Duration,
    mut found: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(one) = found() {
            return one;
        }
        assert!(
            begun.elapsed() < limit,
            "it never came in {limit:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder with a configuration file and fingerprints.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
}

impl Home {
    /// `more` is added to the configuration.
    pub(crate) fn new(more: &str) -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(home.rules()).unwrap();
        home.rule("boom", "message:boom");
        home.configure(more);
        home
    }

    pub(crate) fn configure(&self, more: &str) {
        let text = format!(
            "listen: 127.0.0.1:0\ndata-dir: {}\nfingerprints: [{}]\n{more}",
            self.data().display(),
            self.rules().display(),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("whorl.yaml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn rules(&self) -> PathBuf {
        self.dir.path().join("queries")
    }

    /// Writes a fingerprint beside and moves it into place, as editors and git do.
    pub(crate) fn rule(&self, id: &str, query: &str) {
        let beside = self.dir.path().join("new");
        std::fs::write(&beside, format!("title: It goes {id}\nquery: '{query}'\n")).unwrap();
        std::fs::rename(beside, self.rules().join(format!("{id}.yaml"))).unwrap();
    }

    /// What starts the service.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whorl"));
        command.arg("serve").arg("--config").arg(self.config());
        command
    }

    /// Runs to its end, for a service that should not start.
    pub(crate) fn fails(&self) -> Output {
        self.fails_with(&[])
    }

    pub(crate) fn fails_with(&self, options: &[&str]) -> Output {
        self.command().args(options).output().unwrap()
    }

    pub(crate) fn start(&self) -> Program {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, options: &[&str]) -> Program {
        let mut command = self.command();
        command.args(options);
        Self::start_by(command)
    }

    /// Starts it where so few files may be open.
    pub(crate) fn start_with_files(&self, files: u32) -> Program {
        let program = self.command();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]);
        command.arg(program.get_program()).args(program.get_args());
        Self::start_by(command)
    }

    /// Starts the service by a command that becomes it.
    pub(crate) fn start_by(mut command: Command) -> Program {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, kept) = (BufReader::new(child.stderr.take().unwrap()), lines.clone());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let mut program = Program {
            child,
            lines,
            base: String::new(),
            client: Client::builder().no_proxy().timeout(LONG).build().unwrap(),
        };
        program.base = until("address", || {
            let ended = program.child.try_wait().unwrap();
            assert!(ended.is_none(), "{:?}", program.log());
            program.log().iter().find_map(|line| address(line))
        });
        program
    }
}

/// The address in the line that says it, whether text or JSON.
fn address(line: &str) -> Option<String> {
    let at = line
        .find("127.0.0.1:")
        .filter(|_| line.contains("listening"))?;
    let port = line[at + "127.0.0.1:".len()..].chars();
    let port: String = port.take_while(char::is_ascii_digit).collect();
    Some(format!("http://127.0.0.1:{port}"))
}

/// A running service; killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    pub(crate) base: String,
    pub(crate) client: Client,
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing to do when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn said(&self, part: &str) -> bool {
        self.log().iter().any(|line| line.contains(part))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    /// Waits for the end and gives the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        until("end", || self.child.try_wait().unwrap()).code()
    }

    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
        said(self.request(method, path).body(body.into()))
    }

    pub(crate) fn send_json(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
        let request = self.request(method, path);
        said(
            request
                .header("content-type", "application/json")
                .body(body),
        )
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().unwrap();
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let (status, text) = self.send("GET", path, "");
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    pub(crate) fn build(&self, uuid: &str) -> Value {
        self.json(&format!("/api/v1/builds/{uuid}"))
    }

    pub(crate) fn log_file(&self, uuid: &str, name: &str, bytes: &[u8]) {
        let path = format!("/api/v1/builds/{uuid}/logs/{name}");
        let (status, text) = self.send("PUT", &path, bytes);
        assert_eq!(status, 200, "{text}");
    }

    /// Metadata, one log, complete; the status of the last call.
    pub(crate) fn feed(&self, uuid: &str, log: &[u8]) -> u16 {
        let at = format!("/api/v1/builds/{uuid}");
        let meta = r#"{"job":"unit","project":"p","change":"7","patchset":"1"}"#;
        assert_eq!(self.send("PUT", &at, meta).0, 200);
        self.log_file(uuid, "console.txt", log);
        let done = r#"{"result":"FAILURE"}"#;
        self.send("POST", &format!("{at}/complete"), done).0
    }

    /// Waits for the verdict and gives the build.
    pub(crate) fn verdict(&self, uuid: &str, wanted: &str) -> Value {
        until(&format!("{wanted} of {uuid}"), || {
            Some(self.build(uuid)).filter(|build| build["verdict"] == wanted)
        })
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
            .parse()
            .unwrap()
    }
}

/// A log of that many lines and one more, which tells.
pub(crate) fn log_of(lines: usize) -> Vec<u8> {
    let mut log = Vec::new();
    for n in 0..lines {
        let node = n % 7;
        writeln!(
            log,
            "2026-11-21 10:00:00 | step {n} went well on node-{node}"
        )
        .unwrap();
    }
    log.extend_from_slice(b"boom\n");
    log
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// All files below a folder, by name.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The status and the text of an answer.
fn said(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().unwrap();
    (answer.status().as_u16(), answer.text().unwrap())
}
