//! HTTP and Python providers against a real server and a real Python; controls.

use super::{Place, Ran};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A server that keeps what it was asked and answers by the path.
fn server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, asked) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let asked = format!("{head}\n{}", String::from_utf8(body).unwrap());
            let answer = answer(&asked);
            let _ = send.send(asked);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

fn answer(asked: &str) -> String {
    let path = asked.split_whitespace().nth(1).unwrap_or_default();
    let (status, kind, body) = match path.split('?').next().unwrap() {
        "/json" => ("200 OK", "application/json", r#"{"n": [1, 2]}"#),
        "/almost" => ("200 OK", "application/json; charset=utf-8", "{}"),
        "/broken" => ("200 OK", "application/json", "{"),
        "/slow" => {
            thread::sleep(Duration::from_secs(3));
            ("200 OK", "text/plain", "late")
        }
        "/down" => ("503 Service Unavailable", "text/plain", "down"),
        _ => ("200 OK", "text/plain", "hello"),
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nX-Own: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn action(name: &str, provider: Value) -> Value {
    let mut action = json!({"type": "action", "name": name});
    action["provider"] = provider;
    action
}

fn run(place: &Place, experiment: &Value, args: &[&str]) -> (Ran, Value) {
    place.write("e.json", experiment.to_string());
    let mut all = vec!["run"];
    all.extend(args);
    all.push("e.json");
    let mut command = place.command(&all);
    command.env("PYTHONPATH", place.folder.path());
    let ran = Ran::of(&command.output().unwrap());
    assert!(place.path("journal.json").exists(), "{}", ran.err);
    (ran, place.json("journal.json"))
}

fn method(place: &Place, method: &[Value]) -> (Ran, Value) {
    run(
        place,
        &json!({"title": "t", "description": "d", "method": method,
        "configuration": {"who": "Jane"}, "secrets": {"s": {"token": "hush"}}}),
        &[],
    )
}

#[test]
fn http_calls() {
    let (address, asked) = server();
    let place = Place::new();
    let http = |path: &str, more: Value| {
        let mut provider = json!({"type": "http", "url": format!("{address}{path}")});
        for (key, value) in more.as_object().unwrap() {
            provider[key] = value.clone();
        }
        action(path, provider)
    };
    let began = Instant::now();
    let (ran, journal) = method(
        &place,
        &[
            http(
                "/json",
                json!({"arguments": {"a": [1, 2], "b": "${who}", "c": null}}),
            ),
            http(
                "/form",
                json!({"method": "post", "arguments": {"a": "x y"}, "headers": {"X-Token": "${token}"}}),
            ),
            http(
                "/body",
                json!({"method": "PUT", "arguments": {"a": 1}, "headers": {"Content-Type": "application/json"}}),
            ),
            http("/almost", json!({})),
            http("/down", json!({})),
            http("/slow", json!({"timeout": [1, 0.3]})),
        ],
    );
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "the time-out is kept"
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let output = |n: usize| journal["run"][n]["output"].clone();
    assert_eq!(output(0)["body"], json!({"n": [1, 2]}));
    assert_eq!(output(0)["headers"]["Content-Type"], "application/json");
    assert_eq!(output(0)["headers"]["X-Own"], "1");
    assert_eq!(output(3)["body"], "{}", "only the exact type is parsed");
    assert_eq!(output(4)["status"], 503);
    assert_eq!(journal["run"][4]["status"], "succeeded");
    assert!(
        ran.err.contains("HTTP status code above 400"),
        "{}",
        ran.err
    );
    assert_eq!(journal["run"][5]["status"], "failed");
    assert!(
        ran.err
            .contains("=> failed: activity took too long to complete"),
        "{}",
        ran.err
    );
    let asked: Vec<String> = asked.try_iter().collect();
    assert!(
        asked[0].starts_with("GET /json?a=1&a=2&b=Jane HTTP/1.1"),
        "{}",
        asked[0]
    );
    assert!(
        asked[1].contains("X-Token: hush") && asked[1].ends_with("a=x+y"),
        "{}",
        asked[1]
    );
    assert!(
        asked[2].starts_with("PUT") && asked[2].ends_with(r#"{"a":1}"#),
        "{}",
        asked[2]
    );
}

#[test]
fn an_answer_that_is_no_json_aborts() {
    let (address, _asked) = server();
    let place = Place::new();
    let (ran, journal) = method(
        &place,
        &[action(
            "x",
            json!({"type": "http", "url": format!("{address}/broken")}),
        )],
    );
    assert_eq!(
        (ran.code, &journal["status"]),
        (1, &json!("aborted")),
        "{}",
        ran.err
    );
}

#[test]
fn experiments_come_from_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/e", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::from("x");
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let body = "title: far\ndescription: d\nmethod: []\n";
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).unwrap();
    });
    let place = Place::new();
    let ran = place.chaos(&["run", &url]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(place.json("journal.json")["experiment"]["title"], "far");
}

const MODULE: &str = "
import time
def add(a, b=1): print('noise'); return {'sum': a + b}
def fails(): raise RuntimeError('no luck')
def knows(secrets=None, configuration=None): return [secrets['token'], configuration['who']]
def slow(): time.sleep(30)
def between(low, high, value=None): return low <= value['sum'] <= high
def before_activity_control(context, configuration=None, **kwargs):
    open('controls', 'a').write('before ' + context['name'] + '\\n')
def after_experiment_control(context, state, **kwargs):
    open('controls', 'a').write('end ' + state['status'] + '\\n')
class InterruptExecution(Exception): pass
def before_method_control(context, **kwargs):
    if context['title'] == 'stop me': raise InterruptExecution('enough')
";

fn python(func: &str, arguments: Value) -> Value {
    let mut provider = json!({"type": "python", "module": "own", "func": func});
    provider["arguments"] = arguments;
    provider
}

#[test]
fn python_functions() {
    let place = Place::new();
    place.write("own.py", MODULE);
    let mut slow = python("slow", json!({}));
    slow["timeout"] = json!(0.5);
    let mut knows = python("knows", json!({}));
    knows["secrets"] = json!(["s"]);
    let began = Instant::now();
    let (ran, journal) = method(
        &place,
        &[
            action("add", python("add", json!({"a": 2}))),
            action("fails", python("fails", json!({}))),
            action("knows", knows),
            action("slow", slow),
            action(
                "stdlib",
                json!({"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "/etc"}}),
            ),
        ],
    );
    assert!(began.elapsed() < Duration::from_secs(15));
    let run = &journal["run"];
    assert_eq!(run[0]["output"], json!({"sum": 3}), "{}", ran.err);
    assert!(
        ran.err.contains("=> failed: RuntimeError: no luck"),
        "{}",
        ran.err
    );
    // What it was given is a secret, so the journal does not say it.
    assert_eq!(run[2]["output"], json!(["*****", "Jane"]));
    assert_eq!(run[3]["status"], "failed");
    assert_eq!(run[4]["output"], true);
}

#[test]
fn python_is_asked_when_it_is_checked() {
    let place = Place::new();
    place.write("own.py", MODULE);
    for (provider, message) in [
        (
            python("add", json!({})),
            "required argument 'a' is missing from activity 'add'",
        ),
        (
            python("add", json!({"a": 1, "c": 2})),
            "argument 'c' is not part of the function signature in activity 'add'",
        ),
        (
            python("nothing", json!({})),
            "The python module 'own' does not expose a function called 'nothing' in action 'x'",
        ),
        (
            json!({"type": "python", "module": "no_such_module", "func": "f"}),
            "could not find Python module 'no_such_module' in activity 'x'",
        ),
    ] {
        let experiment =
            json!({"title": "t", "description": "d", "method": [action("x", provider)]});
        place.write("e.json", experiment.to_string());
        let mut command = place.command(&["validate", "e.json"]);
        let ran = Ran::of(
            &command
                .env("PYTHONPATH", place.folder.path())
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 1);
        assert!(
            ran.log().contains(&format!("[ERROR] {message}")),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_python_function_judges() {
    let place = Place::new();
    place.write("own.py", MODULE);
    for (high, met) in [(5, true), (2, false)] {
        let tolerance = json!({"type": "probe", "name": "t", "provider": python("between", json!({"low": 1, "high": high}))});
        let probe = json!({"type": "probe", "name": "p", "tolerance": tolerance, "provider": python("add", json!({"a": 2}))});
        let experiment = json!({"title": "t", "description": "d", "method": [],
            "steady-state-hypothesis": {"title": "h", "probes": [probe]}});
        let (ran, journal) = run(&place, &experiment, &[]);
        assert_eq!(
            journal["steady_states"]["before"]["steady_state_met"], met,
            "{}",
            ran.err
        );
    }
}

#[test]
fn controls_are_called() {
    let place = Place::new();
    place.write("own.py", MODULE);
    let control = json!([{"name": "c", "provider": {"type": "python", "module": "own"}}]);
    let step = action("step", json!({"type": "process", "path": "true"}));
    let mut experiment =
        json!({"title": "t", "description": "d", "controls": control, "method": [step]});
    let (ran, _) = run(&place, &experiment, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(place.read("controls"), "before step\nend completed\n");
    experiment["title"] = json!("stop me");
    let (ran, journal) = run(&place, &experiment, &[]);
    assert_eq!(
        (ran.code, &journal["status"]),
        (1, &json!("interrupted")),
        "{}",
        ran.err
    );
    assert!(ran.log().contains(&"[CRITICAL] enough".to_owned()));
}
