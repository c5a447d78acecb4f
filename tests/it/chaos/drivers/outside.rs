//! What stands outside, through the whole service: a source that notifies and has the logs, notes on a
//! merge request, a chat channel; and a tracker through its room, whose waits of minutes a test cannot
//! sit out. Requests to them fail, and so do the drivers themselves.

use crate::chat::hook::{MATTERMOST, mattermost};
use crate::review::fake::{Fake, Reply, Request, Service};
use crate::review::lab::{Lab, PROJECT, SHA, TOKEN};
use crate::serve::program::{Home, Program};
use crate::tracker::github;
use crate::tracker::refresh::Bench;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use whorl::chance::{Plan, Rates, Record};
use whorl::chaos::driver::ChaoticTracker;
use whorl::tracker::Bug;

const JOBS: u64 = 12;
const SECRET: &str = "0123456789abcdef";
const READER: &str = "glpat-reader";
/// Notes wait five seconds after a try in vain, and twice as long after the next.
const PATIENCE: Duration = Duration::from_secs(120);

/// The part of a GitLab that a source asks: merge requests of a commit, and traces.
struct Traces;

impl Service for Traces {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("private-token") != READER || request.method != "GET" {
            return Reply::json(401, &json!({"message": "401 Unauthorized"}));
        }
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [.., "commits", SHA, "merge_requests"] => {
                Reply::json(200, &json!([{"iid": 7, "state": "opened", "sha": SHA}]))
            }
            [.., "jobs", number, "trace"] => {
                Reply::text(200, "text/plain", format!("job {number} goes boom\n"))
            }
            _ => Reply::json(404, &json!({"message": "404 Not Found"})),
        }
    }
}

/// Says that a job has failed, again until that is taken.
fn notify(program: &Program, number: u64) {
    let time = "2026-03-04 05:06:07 UTC";
    let body = json!({
        "object_kind": "build", "ref": "topic", "sha": SHA, "build_id": number,
        "build_name": format!("unit-{number:02}"), "build_status": "failed",
        "build_started_at": time, "build_finished_at": time, "build_allow_failure": false,
        "project_id": 5, "pipeline_id": 1,
        "project": {"id": 5, "path_with_namespace": PROJECT, "web_url": "https://gitlab.example/x"},
    });
    let begun = Instant::now();
    loop {
        let request = program.client.post(format!("{}/hooks/lab", program.base));
        let answer = request
            .header("x-gitlab-event", "Job Hook")
            .header("x-gitlab-token", SECRET)
            .body(body.to_string())
            .send();
        let status = answer.unwrap().status();
        if status.is_success() {
            return;
        }
        assert!(status.is_server_error(), "{status}");
        assert!(begun.elapsed() < PATIENCE, "{status} for too long");
    }
}

fn until(what: &str, program: &Program, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        let log = || program.log().into_iter().rev().take(20).collect::<Vec<_>>();
        assert!(begun.elapsed() < PATIENCE, "never: {what}: {:#?}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Faults by site: before and after.
fn faults(program: &Program) -> BTreeMap<String, (u64, u64)> {
    // Asking may fail as well.
    let begun = Instant::now();
    let status = loop {
        let (status, text) = program.send("GET", "/api/v1/status", "");
        if status == 200 {
            break serde_json::from_str::<Value>(&text).unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
    };
    let sites = status["chaos"]["sites"].as_array().unwrap().iter();
    let one = |site: &Value| {
        let number = |key: &str| site[key].as_u64().unwrap();
        let name = site["site"].as_str().unwrap().to_owned();
        (name, (number("before"), number("after")))
    };
    sites.map(one).collect()
}

/// A seed with which one of the first calls of a source fails, and few more.
fn seed() -> u64 {
    let fails = |seed: &u64| {
        let rates = Rates::new(0.1, BTreeMap::new()).unwrap();
        let plan = Plan::new(*seed, rates, "test", Record::nowhere());
        let spot = plan.spot(&whorl::source::faults::SITES[0]);
        let numbers = (0..20).filter(|n| spot.foretell("", *n).is_some());
        numbers.collect::<Vec<u64>>()
    };
    let wanted = |seed: &u64| matches!(fails(seed)[..], [n] if n < JOBS);
    (1..1000).find(wanted).unwrap()
}

#[test]
fn a_source_a_review_and_a_channel_that_fail_lose_nothing_and_the_review_says_it_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lab = runtime.block_on(Fake::start(Lab::new));
    let traces = runtime.block_on(Fake::start(|_| Traces));
    let (chat, heard) = runtime.block_on(mattermost());
    let port = traces.url.port().unwrap();
    let home = Home::new(&format!(
        "sources:
  gitlab:
    - {{name: lab, secret: {SECRET}, token: {READER}, api: '{traces}api/v4'}}
download: {{private-hosts: ['127.0.0.1:{port}'], retry: 20ms, tries: 3}}
notes:
  review: {{gitlab: {{url: '{lab}', token: {TOKEN}}}}}
  chat:
    hooks: [{{kind: mattermost, url: '{chat}{MATTERMOST}', hears: {{channel: ci, events: [matched]}}}}]
chaos:
  allow-chaos: true
  seed: {seed}
  rate: 0.03
  rates: {{note: 0.15, http: 0.08, source: 0.1}}
",
        traces = traces.url,
        lab = lab.url,
        chat = chat.url,
        seed = seed(),
    ));
    let program = home.start();
    (1..=JOBS).for_each(|number| notify(&program, number));
    let name = |number: u64| format!("unit-{number:02}");
    let all = |text: &str| (1..=JOBS).all(|number| text.contains(&name(number)));
    let notes = || lab.service.lock().unwrap().notes.clone();
    until("the whole note", &program, || {
        let notes = notes();
        notes.iter().any(|note| all(note["body"].as_str().unwrap()))
    });
    let lines = || -> Vec<String> {
        let heard = heard.lock().unwrap();
        let text = |one: &Value| one["text"].as_str().unwrap().replace('\\', "");
        heard.iter().map(text).collect()
    };
    until("all lines", &program, || all(&lines().join("\n")));
    until("nothing to say", &program, || {
        let state = whorl::state::State::open(home.data().join("state.db")).unwrap();
        let filter = whorl::state::NoteFilter {
            state: Some(whorl::state::NoteState::Due),
            ..whorl::state::NoteFilter::default()
        };
        state.notes(&filter).is_ok_and(|page| page.total == 0)
    });
    let faults = faults(&program);
    let of = |site: &str| faults.get(site).copied().unwrap_or_default();
    // The seed was chosen so; of the others chance decides.
    assert!(of("source.headers").0 > 0, "{faults:?}");
    assert_eq!(notes().len(), 1, "the review has one note: {:?}", notes());
    // A channel cannot be asked: exactly one more for an answer that was lost, and never less than one.
    let lines = lines();
    let more = lines.len() as u64 - JOBS;
    let lost = of("note.say").1 + of("http.note").1;
    assert!(
        more <= lost,
        "{more} lines again, {lost} answers lost: {lines:?}"
    );
    assert_eq!(program.stop(), Some(0));
}

fn bug() -> Bug {
    Bug {
        project: "acme/tool".into(),
        id: "7".into(),
    }
}

/// A plan whose first comment is written though an error comes back, and whose second one is not.
fn plan() -> Plan {
    let with = |seed| {
        let rates = [("tracker".to_owned(), 0.5)];
        let rates = Rates::new(0.0, rates.into()).unwrap();
        Plan::new(seed, rates, "test", Record::nowhere())
    };
    let wanted = |seed: &u64| {
        let plan = with(*seed);
        let add = whorl::tracker::faults::SITES.iter();
        let add = add
            .into_iter()
            .find(|site| site.name == "tracker.add_comment");
        let spot = plan.spot(add.unwrap());
        let key = format!("{:?}", bug());
        let first = spot.foretell(&key, 0).map(|(_, phase)| phase);
        first == Some(whorl::chance::Phase::After)
    };
    with((1..1000).find(wanted).unwrap())
}

#[tokio::test]
async fn a_tracker_that_fails_after_it_has_written_gets_one_comment() {
    let hub = github::Hub {
        issues: [(7, github::issue(7, "open", None))].into(),
        ..github::Hub::default()
    };
    let (fake, hub) = github::start(hub).await;
    let sites = format!(
        "  sites:\n    - {{kind: github, web: '{}', token: {}, counts: write}}\n",
        fake.url(),
        github::TOKEN
    );
    let mut bench = Bench::new(&sites);
    let plan = Arc::new(plan());
    let failing = plan.clone();
    bench.refresher = bench
        .refresher
        .wrapped(move |tracker| Arc::new(ChaoticTracker::new(tracker, &failing)));
    let bug = "github:acme/tool#7";
    bench.hit(bug, 60);
    let mut written = 0;
    for _ in 0..200 {
        written += bench.round(&[bug]).await.written;
        // Longer than it waits for a tracker that is down, and for the next comment.
        bench.pass(25 * 60);
    }
    let tally = plan.tally();
    let of = |name: &str| tally.iter().find(|one| one.site == name).unwrap();
    assert!(of("tracker.fetch").before > 20, "{tally:?}");
    assert!(of("tracker.add_comment").after > 0, "{tally:?}");
    assert!(written > 0);
    let comments = hub.lock().unwrap().comments.clone();
    assert_eq!(comments.len(), 1, "{comments:?}");
    let row = bench.state.bug(bug).unwrap().unwrap();
    assert!(row.facts.is_some(), "what it said is kept: {row:?}");
}
