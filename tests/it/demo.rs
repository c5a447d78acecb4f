//! `whorl demo` as a new user runs it: the real program, the recorded builds, the real fingerprints.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::blocking::Client;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(120);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A running demo; killed when dropped.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    temp: TempDir,
    client: Client,
    base: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Nothing to do when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Demo {
    /// Starts it somewhere else than in the project, so that the project's own folders are found.
    fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_whorl"))
            .args(["demo", "--listen", "127.0.0.1:0", "--every", "20ms"])
            .current_dir(temp.path())
            .env("TMPDIR", temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // Nobody listens any more once the test has ended.
                let _ = sender.send(line);
            }
        });
        let mut demo = Self {
            child,
            lines,
            temp,
            client: Client::builder().no_proxy().build().unwrap(),
            base: String::new(),
        };
        let first = demo.line("http://");
        let base = first.split_whitespace().last().unwrap();
        base.trim_end_matches('/').clone_into(&mut demo.base);
        demo
    }

    /// The next line that holds `part`.
    fn line(&self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            let left = LONG.saturating_sub(begun.elapsed());
            let line = self.lines.recv_timeout(left).expect(part);
            if line.contains(part) {
                return line;
            }
        }
    }

    fn text(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.base)).send();
        let answer = answer.unwrap().error_for_status().unwrap();
        answer.text().unwrap()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }

    /// Every build that has a verdict, by recording.
    fn looked_at(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        let page = self.json("/api/v1/builds?limit=500");
        for item in page["items"].as_array().unwrap() {
            if item["verdict"] == "pending" {
                continue;
            }
            let uuid = item["uuid"].as_str().unwrap();
            let build = self.json(&format!("/api/v1/builds/{uuid}"));
            let name = build["build"]["extra"]["recording"].as_str().unwrap();
            found.insert(name.to_owned(), build);
        }
        found
    }

    /// Waits until each recording came in at least once.
    fn all(&self, wanted: usize) -> BTreeMap<String, Value> {
        let begun = Instant::now();
        loop {
            let found = self.looked_at();
            if found.len() == wanted {
                return found;
            }
            assert!(
                begun.elapsed() < LONG,
                "{} of {wanted} recordings came in",
                found.len()
            );
        }
    }

    fn stop(&mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::yield_now();
        }
        panic!("it does not stop");
    }
}

/// The recordings with their causes.
fn causes() -> BTreeMap<String, String> {
    let causes = read_json(&fixtures().join("causes.json"));
    let mut by_name = BTreeMap::new();
    for entry in std::fs::read_dir(fixtures().join("builds")).unwrap() {
        let folder = entry.unwrap().path();
        let build = read_json(&folder.join("build.json"));
        let cause = causes[build["uuid"].as_str().unwrap()].as_str().unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap();
        by_name.insert(name.to_owned(), cause.to_owned());
    }
    by_name
}

/// What is wrong with the matches of one build, if anything.
fn complaint(cause: &str, build: &Value) -> Option<String> {
    let matches = build["matches"].as_array().unwrap();
    let found: BTreeSet<&str> = matches
        .iter()
        .map(|m| m["fingerprint"].as_str().unwrap())
        .collect();
    // This one is too wide on purpose.
    let others = found.iter().filter(|id| **id != "connection-refused");
    let others: Vec<&str> = others.copied().collect();
    let headline = matches.first().map(|m| m["fingerprint"].as_str().unwrap());
    let right = if matches!(cause, "passed" | "unexplained") {
        others.is_empty()
    } else {
        headline == Some(cause) && others.iter().all(|id| *id == cause)
    };
    let evidence = matches.iter().all(|m| m["evidence"][0]["line"].is_u64());
    let times = build["build"]["finished"].as_str() <= build["received_at"].as_str();
    (!right || !evidence || !times).then(|| format!("cause {cause}: {build}"))
}

/// The query of a fingerprint, asked of the index: the builds are those that it matched.
fn a_search_finds_what_the_fingerprint_found(demo: &Demo, builds: &BTreeMap<String, Value>) {
    let query = "message:%22Address%20already%20in%20use%22";
    let answer = demo.json(&format!("/api/v1/search?q={query}"));
    let has = |build: &&Value| build.to_string().contains("\"fingerprint\":\"port-taken\"");
    let expected: BTreeSet<&str> = builds
        .values()
        .filter(has)
        .map(|build| build["build"]["uuid"].as_str().unwrap())
        .collect();
    let found = answer["builds"].as_array().unwrap().iter();
    let found: BTreeSet<&str> = found.map(|uuid| uuid.as_str().unwrap()).collect();
    assert!(expected.len() > 5 && expected.is_subset(&found), "{answer}");
    let page = demo.text(&format!("/search?q={query}"));
    assert!(
        page.contains("<mark>Address already in use</mark>"),
        "{page}"
    );
    // As it was understood: its words in lower case.
    assert!(
        page.contains("<code>message:&#34;address already in use&#34;</code>"),
        "{page}"
    );
    let wrong = demo.text("/search?q=%22open");
    assert!(wrong.contains("column 1"), "{wrong}");
}

#[test]
fn every_fingerprint_shows_what_it_is_for() {
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let set = whorl::fingerprint::FingerprintSet::load(&[queries]);
    assert!(set.diagnostics.is_empty(), "{:?}", set.diagnostics);
    for fingerprint in &set.fingerprints {
        let examples = &fingerprint.examples;
        assert!(!examples.matches.is_empty(), "{}", fingerprint.id);
        assert!(!examples.no_match.is_empty(), "{}", fingerprint.id);
        assert!(fingerprint.advice.is_some(), "{}", fingerprint.id);
    }
}

/// Follows the link of the first evidence: the page shows that line, marked, with its text.
fn the_evidence_is_in_the_log(demo: &Demo, build: &Value) {
    let evidence = &build["matches"][0]["evidence"][0];
    let Some(line) = evidence["line"].as_u64() else {
        return;
    };
    let uuid = build["build"]["uuid"].as_str().unwrap();
    let page = demo.text(&format!("/builds/{uuid}"));
    let mark = format!("?line={line}#L{line}\"");
    let end = page.find(&mark).expect(&mark);
    let begin = page[..end].rfind('"').unwrap() + 1;
    let log = demo.text(&page[begin..end + mark.len() - 1]);
    let wanted = format!("<li id=\"L{line}\" class=\"wanted\">");
    let (_, after) = log.split_once(&wanted).expect(&wanted);
    let shown = after.split("</li>").next().unwrap();
    let first_word = evidence["excerpt"].as_str().unwrap();
    let first_word = first_word.split(|c: char| !c.is_ascii_alphanumeric());
    let first_word = first_word.max_by_key(|w| w.len()).unwrap();
    assert!(after.contains(first_word), "{first_word} in {shown}");
    let raw = page[begin..end].split('?').next().unwrap().to_owned();
    assert!(!demo.text(&format!("/api/v1{raw}")).is_empty());
}

#[test]
fn every_recorded_build_gets_its_cause() {
    let mut demo = Demo::start();
    let loaded = demo.line("are loaded");
    let causes = causes();
    let kept_back = causes.len() - 20;
    assert!(loaded.starts_with(&format!("{kept_back} ")), "{loaded}");
    let report = demo.json("/api/v1/report");
    assert!(report.to_string().contains("port-taken"), "{report}");
    assert!(demo.text("/").contains("port-taken"));
    let found = demo.all(causes.len());
    let wrong: Vec<String> = causes
        .iter()
        .filter_map(|(name, cause)| Some(format!("{name}: {}", complaint(cause, &found[name])?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for build in found.values() {
        the_evidence_is_in_the_log(&demo, build);
    }
    a_search_finds_what_the_fingerprint_found(&demo, &found);
    assert_eq!(demo.stop(), Some(0));
    let left: Vec<_> = std::fs::read_dir(demo.temp.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let out = Command::new(env!("CARGO_BIN_EXE_whorl"))
        .args(["demo", "--listen", &address])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{message}");
    assert!(message.contains("another program listens"), "{message}");
}
