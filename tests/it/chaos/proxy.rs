//! Faults of the proxy by their real effect: a real server behind it, real clients in front.

use super::{Place, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A port that nobody listens at.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An HTTP server that knows what it was asked for. It ends with the test.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let answer = move |request: axum::extract::Request| async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
            heard.lock().unwrap().push(line.clone());
            if line.ends_with("/large") {
                return "x".repeat(20_000);
            }
            format!("{line} {}", body.unwrap().len())
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let app = axum::Router::new().fallback(answer);
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A command behind another one.
pub(super) fn behind(prefix: &[String], command: Command) -> Command {
    let Some((program, arguments)) = prefix.split_first() else {
        return command;
    };
    let mut whole = Command::new(program);
    whole
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        whole.current_dir(folder);
    }
    for (key, value) in command.get_envs() {
        whole.env(key, value.unwrap_or_default());
    }
    whole
}

/// A run that has put one fault in and waits; it is ended at the latest when this is dropped.
pub(super) struct Holding {
    pub(super) place: Place,
    run: Child,
}

impl Holding {
    pub(super) fn of(place: Place, fault: &str, seed: u64, arguments: &Value) -> Self {
        let provider = json!({"fault": fault, "arguments": arguments, "seed": seed});
        Self::within(place, &[], &[provider])
    }

    /// A run with some faults, started by another command: `nsenter …`.
    pub(super) fn within(place: Place, prefix: &[String], faults: &[Value]) -> Self {
        let mut method = Vec::new();
        for (n, provider) in faults.iter().enumerate() {
            let mut provider = provider.clone();
            provider["type"] = json!("fault");
            method
                .push(json!({"type": "action", "name": format!("fault{n}"), "provider": provider}));
        }
        method.push(json!({"type": "probe", "name": "wait", "provider":
            {"type": "process", "path": "sh", "arguments": ["-c", "touch begun; exec sleep 40"]}}));
        let experiment = json!({"title": "t", "description": "d", "method": method});
        place.write("e.json", experiment.to_string());
        let command = place.command(&["run", "e.json"]);
        let mut command = behind(prefix, command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = command.spawn().unwrap();
        until("the fault", || {
            if run.try_wait().unwrap().is_some() {
                let mut text = String::new();
                run.stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
                panic!("the run is over: {text}");
            }
            place.path("begun").exists()
        });
        let holding = Self { place, run };
        let state = holding.place.runs();
        let journal = std::fs::read_to_string(state[0].join("undo.jsonl")).unwrap();
        let applied = journal.matches("\"applied\"").count();
        assert_eq!(applied, faults.len(), "{journal}");
        holding
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.run.id()).unwrap()
    }

    pub(super) fn send(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Ends the run as an operator does, and waits for its end.
    pub(super) fn end(mut self) -> Place {
        self.send(Signal::SIGTERM);
        self.run.wait().unwrap();
        std::mem::replace(&mut self.place, Place::new())
    }

    /// The runner dies without a word.
    pub(super) fn kill_runner(&mut self) {
        self.send(Signal::SIGKILL);
        self.run.wait().unwrap();
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.send(Signal::SIGTERM);
        // Already waited for, it says so.
        let _ = self.run.wait();
    }
}

/// A proxy of a run, and the way through it.
struct Through {
    holding: Holding,
    port: u16,
}

impl Through {
    fn of(fault: &str, upstream: u16, seed: u64, mut arguments: Value) -> Self {
        let port = free_port();
        arguments["listen"] = json!(format!("127.0.0.1:{port}"));
        arguments["upstream"] = json!(format!("127.0.0.1:{upstream}"));
        arguments["record"] = json!("record.jsonl");
        let holding = Holding::of(Place::new(), fault, seed, &arguments);
        Self { holding, port }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn get(&self, path: &str) -> reqwest::Result<Response> {
        client().get(self.url(path)).send()
    }

    /// What was written down, as `effect n value`.
    fn record(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.holding.place.path("record.jsonl"));
        let text = text.unwrap_or_default();
        text.lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                format!(
                    "{} {} {}",
                    line["effect"].as_str().unwrap(),
                    line["n"],
                    line["value"]
                )
            })
            .collect()
    }
}

fn client() -> Client {
    Client::builder()
        .timeout(Duration::from_millis(1500))
        .no_proxy()
        .build()
        .unwrap()
}

#[test]
fn error_statuses_by_path_and_method() {
    let server = Server::start();
    let through = Through::of(
        "http-proxy",
        server.port,
        1,
        json!({"status": 429, "retry-after": 7, "body": "{\"error\": \"slow down\"}",
               "path": "/api/*", "method": ["GET", "PUT"]}),
    );
    let answer = through.get("/api/a/b?c=d").unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.text().unwrap(), "{\"error\": \"slow down\"}");
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    let post = client().post(through.url("/api/a")).body("four").send();
    assert_eq!(post.unwrap().text().unwrap(), "POST /api/a 4");
    assert_eq!(
        through.get("/other").unwrap().text().unwrap(),
        "GET /other 0"
    );
    // One client, one connection, as far as it knows.
    let client = client();
    for _ in 0..3 {
        let put = client
            .put(through.url("/api/x"))
            .body(vec![0; 300_000])
            .send();
        assert_eq!(put.unwrap().status(), 429);
    }
    assert_eq!(
        through.record(),
        [
            "status 0 429",
            "status 0 429",
            "status 1 429",
            "status 2 429"
        ]
    );
    let port = through.port;
    let place = through.holding.end();
    assert!(place.runs().is_empty());
    let gone = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
}

/// Which of sixty requests fail.
fn victims(server: &Server, seed: u64) -> Vec<u64> {
    let arguments = json!({"status": 503, "intensity": 30});
    let through = Through::of("http-proxy", server.port, seed, arguments);
    let failed = (0..60).filter(|_| through.get("/a").unwrap().status() == 503);
    let failed: Vec<u64> = failed.collect();
    let record: Vec<String> = failed.iter().map(|n| format!("status {n} 503")).collect();
    assert_eq!(
        through.record(),
        record,
        "what was written down is what was seen"
    );
    failed
}

#[test]
fn the_seed_decides_who_is_hit() {
    let server = Server::start();
    let first = victims(&server, 11);
    assert!((8..30).contains(&first.len()), "{first:?}");
    assert_eq!(victims(&server, 11), first);
    assert_ne!(victims(&server, 12), first);
}

#[test]
fn late_answers() {
    let server = Server::start();
    let arguments = json!({"delay": 300, "jitter": 100});
    let through = Through::of("http-proxy", server.port, 1, arguments);
    for n in 0..3 {
        let begin = Instant::now();
        assert_eq!(through.get("/a").unwrap().text().unwrap(), "GET /a 0");
        let took = begin.elapsed().as_millis();
        let said = through.record().pop().unwrap();
        let said = said.strip_prefix(&format!("delay {n} ")).unwrap();
        let said: u128 = said.parse().unwrap();
        assert!(
            (200..=400).contains(&said) && took >= said,
            "{said}: {took}"
        );
    }
}

#[test]
fn lost_requests_and_lost_answers() {
    let server = Server::start();
    let lost = Through::of("http-proxy", server.port, 1, json!({"loss": 100}));
    assert!(lost.get("/a").unwrap_err().is_timeout());
    assert!(server.asked().is_empty(), "it was not passed on");
    let arguments = json!({"loss": 100, "at": "answer"});
    let lost = Through::of("http-proxy", server.port, 1, arguments);
    assert!(lost.get("/b").unwrap_err().is_timeout());
    assert_eq!(
        server.asked(),
        ["GET /b"],
        "it was done, but nobody is told"
    );
    assert_eq!(lost.record(), ["loss 0 \"answer\""]);
}

/// What a read behind a request comes to.
fn raw(port: u16) -> Result<String, ErrorKind> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn real_resets() {
    let server = Server::start();
    for at in ["request", "answer"] {
        for fault in ["http-proxy", "tcp-proxy"] {
            let arguments = json!({"reset": 100, "at": at});
            let through = Through::of(fault, server.port, 1, arguments);
            let end = if fault == "tcp-proxy" && at == "request" {
                // It may come before the request is written.
                ErrorKind::ConnectionReset
            } else {
                raw(through.port).unwrap_err()
            };
            assert_eq!(end, ErrorKind::ConnectionReset, "{fault} {at}");
            let curl = Command::new("curl")
                .args(["-s", &through.url("/a")])
                .status();
            // 56: failure in receiving network data; 55: in sending it.
            assert!(
                matches!(curl.unwrap().code(), Some(55 | 56)),
                "{fault} {at}"
            );
        }
    }
    assert_eq!(server.asked().len(), 4, "twice two of those at the answer");
}

#[test]
fn answers_cut_off() {
    let server = Server::start();
    let arguments = json!({"truncate": 100, "after": 5000});
    let through = Through::of("http-proxy", server.port, 1, arguments);
    let answer = through.get("/large").unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.content_length()),
        (200, Some(20_000))
    );
    assert!(answer.bytes().is_err(), "it is shorter than it said");
    let curl = Command::new("curl")
        .args(["-s", &through.url("/large")])
        .output()
        .unwrap();
    // 18: only a part of the file was transferred.
    assert_eq!((curl.status.code(), curl.stdout.len()), (Some(18), 5000));
    assert_eq!(
        through.get("/short").unwrap().text().unwrap(),
        "GET /short 0"
    );
    assert_eq!(through.record(), ["truncate 0 5000", "truncate 1 5000"]);
}

#[test]
fn slow_answers() {
    let server = Server::start();
    for fault in ["http-proxy", "tcp-proxy"] {
        let through = Through::of(fault, server.port, 1, json!({"rate": 40_000}));
        let begin = Instant::now();
        assert_eq!(through.get("/large").unwrap().text().unwrap().len(), 20_000);
        let took = begin.elapsed();
        assert!(took > Duration::from_millis(400), "{took:?}");
    }
}

/// A server that gives back what it gets, a line at a time.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut copy = stream.try_clone().unwrap();
                // Clients go as they like.
                let _ = std::io::copy(&mut copy, &mut stream);
            });
        }
    });
    address
}

fn say(stream: &mut TcpStream, text: &str) -> Result<String, ErrorKind> {
    stream
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    let mut said = vec![0; text.len()];
    let written = stream.write_all(text.as_bytes());
    let read = written.and_then(|()| stream.read(&mut said));
    let length = read.map_err(|error| error.kind())?;
    Ok(String::from_utf8(said[..length].to_vec()).unwrap())
}

#[test]
fn connections_of_any_protocol() {
    let port = echo().port();
    let dial = |through: &Through| TcpStream::connect(("127.0.0.1", through.port)).unwrap();
    let plain = Through::of("tcp-proxy", port, 1, json!({}));
    let mut stream = dial(&plain);
    for text in ["one", "two"] {
        assert_eq!(say(&mut stream, text).unwrap(), text);
    }
    let late = Through::of("tcp-proxy", port, 1, json!({"delay": 200}));
    let mut stream = dial(&late);
    for _ in 0..2 {
        let begin = Instant::now();
        assert_eq!(say(&mut stream, "late").unwrap(), "late");
        assert!(begin.elapsed() >= Duration::from_millis(200), "each time");
    }
    let cut = Through::of("tcp-proxy", port, 1, json!({"truncate": 100, "after": 3}));
    let mut stream = dial(&cut);
    assert_eq!(say(&mut stream, "a").unwrap(), "a");
    assert_eq!(say(&mut stream, "bcde").unwrap(), "bc");
    assert_eq!(say(&mut stream, "f"), Ok(String::new()), "it is closed");
    let lost = Through::of("tcp-proxy", port, 1, json!({"loss": 100}));
    assert_eq!(say(&mut dial(&lost), "a"), Err(ErrorKind::WouldBlock));
}

fn refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[test]
fn a_killed_runner_leaves_no_proxy() {
    let server = Server::start();
    let mut through = Through::of("http-proxy", server.port, 1, json!({"delay": 1}));
    assert_eq!(through.get("/a").unwrap().status(), 200);
    let begin = Instant::now();
    through.holding.kill_runner();
    until("nobody listens", || refused(through.port));
    assert!(begin.elapsed() < Duration::from_secs(5));
    until("the written down", || {
        through.holding.place.runs().is_empty()
    });
}

#[test]
fn what_makes_no_sense_is_said() {
    let place = Place::new();
    for (arguments, wanted) in [
        (json!({}), "`upstream`: must be a host and a port"),
        (
            json!({"upstream": "http://a:1"}),
            "`upstream`: must be a host and a port",
        ),
        (
            json!({"upstream": "a:1", "loss": 101}),
            "`loss`: must be a number from 0 to 100",
        ),
        (
            json!({"upstream": "a:1", "status": 200}),
            "`status`: must be a whole number from 400",
        ),
        (
            json!({"upstream": "a:1", "path": "[a"}),
            "`path`: error parsing glob",
        ),
        (
            json!({"upstream": "a:1", "delays": 1}),
            "`delays`: is not known here",
        ),
    ] {
        let method = json!([{"type": "action", "name": "a", "provider":
            {"type": "fault", "fault": "http-proxy", "arguments": arguments}}]);
        let experiment = json!({"title": "t", "description": "d", "method": method});
        place.write("e.json", experiment.to_string());
        let ran = place.chaos(&["validate", "e.json"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains(wanted), "{wanted}: {}", ran.err);
    }
}
