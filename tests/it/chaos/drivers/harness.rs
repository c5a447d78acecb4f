//! The whole service, of which calls fail on purpose: builds go in, and afterwards it is looked at what
//! is there. Used by the tests and by the large run (`benches/chaos_drivers.rs`).

use super::look;
use super::sink::Sink;
use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use whorl::chance::{Fault, Plan, Record, Tally};
use whorl::classify::engine::Engine;
use whorl::config::Config;
use whorl::web::{Local, Service};

/// Lines of each log.
pub(crate) const LINES: u64 = 5;
/// How long a sender goes on with one request.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may get better on the way to a clean service when nothing fails any more.
const RECOVERY: Duration = Duration::from_secs(120);

/// SQL in, the first column out.
type Ask = dyn Fn(&str) -> Vec<String> + Send + Sync;

/// A `PostgreSQL` server in place of a file: its address, and what asks it past the service for the first
/// column of rows.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) ask: Arc<Ask>,
}

/// What is to be done.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) rate: f64,
    pub(crate) builds: usize,
    /// Senders at the same time.
    pub(crate) senders: usize,
    /// How long the service may work on while calls still fail.
    pub(crate) settle: Duration,
    /// Where the state is kept, if not in a file.
    pub(crate) server: Option<Server>,
}

/// What was there at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct Left {
    /// Complete builds without a verdict.
    pub(crate) pending: u64,
    /// Builds whose logs are still to be fetched.
    pub(crate) fetching: u64,
    /// Notes that are still to be said.
    pub(crate) due: u64,
    /// Notes that wait for a person.
    pub(crate) parked: u64,
    /// Builds that are still to be indexed.
    pub(crate) unindexed: u64,
    /// It is not known which builds the index lacks.
    pub(crate) comparing: bool,
}

impl Left {
    pub(crate) fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) rate: f64,
    pub(crate) builds: usize,
    /// Requests of senders that had to be repeated.
    pub(crate) resent: u64,
    /// Calls and faults by site.
    pub(crate) sites: Vec<Tally>,
    #[serde(skip)]
    pub(crate) faults: Vec<Fault>,
    /// What the service was still to do when it was stopped.
    pub(crate) left: Left,
    /// Notes that were delivered more than once, under the same number.
    pub(crate) repeated: u64,
    pub(crate) taken_ms: u64,
    /// How long it took to become clean when nothing failed any more, and what was left then.
    pub(crate) recovered_ms: u64,
    pub(crate) after: Left,
    /// What does not hold though it must.
    pub(crate) broken: Vec<String>,
    /// It was done twice, and the same calls failed.
    pub(crate) repeats: bool,
}

impl Report {
    /// Calls that were made to fail: before and after they were done.
    pub(crate) fn injected(&self) -> (u64, u64) {
        let sum = |of: fn(&Tally) -> u64| self.sites.iter().map(of).sum();
        (sum(|site| site.before), sum(|site| site.after))
    }

    /// Calls of these sites that were done though an error came back.
    pub(crate) fn after(&self, names: &[&str]) -> u64 {
        let some = self
            .sites
            .iter()
            .filter(|s| names.contains(&s.site.as_str()));
        some.map(|site| site.after).sum()
    }
}

/// A running service.
struct Live {
    base: String,
    engine: Arc<Local>,
    plan: Option<Arc<Plan>>,
    stop: tokio_util::sync::CancellationToken,
    running: tokio::task::JoinHandle<bool>,
}

impl Live {
    async fn start(place: &Place, sink: &Sink, chaos: &str) -> Self {
        let dir = place.dir.as_path();
        let text = format!(
            "listen: 127.0.0.1:0\ndata-dir: {data}\nfingerprints: [{rules}]\ndrain: 60s\n\
             intake: {{queue: 100000, workers: 4}}\n\
             download: {{private-hosts: ['{address}'], retry: 20ms, tries: 3, waiting: 100000}}\n\
             notes:\n  webhooks:\n{hooks}{chaos}\n{state}",
            address = sink.address(),
            data = dir.join("data").display(),
            rules = dir.join("rules").display(),
            hooks = hooks(sink),
            state = place.state(),
        );
        let config = Config::parse("chaos.yaml", &text, &|_| None).unwrap();
        let mut kept = None;
        let service = Service::open(config, |config, spool, state, voices| {
            let open = || Local::open(config, spool, state.clone(), voices);
            let local = Arc::new(tokio::task::block_in_place(open)?);
            kept = Some((local.clone(), state.plan().cloned()));
            Ok(local)
        });
        let service = service.await.unwrap();
        let (engine, plan) = kept.unwrap();
        let base = format!("http://{}", service.address().unwrap());
        let stop = service.stopper();
        let running = tokio::spawn(async move { service.run().await.unwrap() });
        Self {
            base,
            engine,
            plan,
            stop,
            running,
        }
    }

    /// Stops it; true when nothing was left over.
    async fn stop(self) -> bool {
        self.stop.cancel();
        self.running.await.unwrap()
    }

    fn left(&self, place: &Place) -> Left {
        let index = self.engine.index_status().unwrap();
        Left {
            unindexed: index.waiting_builds,
            comparing: index.comparing,
            ..look::left(&place.database())
        }
    }

    /// Waits until nothing is left to do, and gives what is left when nothing happens for long.
    async fn recovered(&self, place: &Place) -> Left {
        let mut left = self.settled(place, RECOVERY).await;
        loop {
            let before = left;
            left = self.settled(place, RECOVERY).await;
            if left.is_clean() || left == before {
                return left;
            }
        }
    }

    /// Waits until nothing is left to do, and gives what is left when that takes too long.
    async fn settled(&self, place: &Place, limit: Duration) -> Left {
        let begun = Instant::now();
        loop {
            let left = self.left(place);
            if left.is_clean() || begun.elapsed() > limit {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Where a run happens.
pub(crate) struct Place {
    dir: PathBuf,
    server: Option<Server>,
}

impl Place {
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where received logs are.
    pub(crate) fn kept(&self) -> PathBuf {
        match self.server {
            Some(_) => self.dir.join("shared"),
            None => self.data(),
        }
    }

    pub(crate) fn database(&self) -> look::Database {
        match &self.server {
            Some(server) => look::Database::Server(server.clone()),
            None => look::Database::File(self.data().join("state.db")),
        }
    }

    /// The part of the configuration.
    fn state(&self) -> String {
        let Some(server) = &self.server else {
            return String::new();
        };
        let shared = self.kept();
        format!(
            "state: {{url: '{}', shared-dir: {}}}\n",
            server.url,
            shared.display()
        )
    }
}

fn hooks(sink: &Sink) -> String {
    let hook = |name: &str| {
        let at = sink.hook(name);
        format!("    - {{url: '{at}', secret: k3y, retry: 20ms, max-tries: 1000}}\n")
    };
    hook("one") + &hook("two")
}

/// What a build is like, by its number.
pub(crate) fn failed(number: usize) -> bool {
    number % 10 != 9
}

/// Whether the fingerprint is in the log of a build.
pub(crate) fn known(number: usize) -> bool {
    !number.is_multiple_of(3)
}

/// Whether a build's logs are not sent but fetched.
fn fetched(number: usize) -> bool {
    number % 25 == 3
}

pub(crate) fn name(number: usize) -> String {
    format!("chaos{number:06}")
}

/// The log of a build.
pub(crate) fn log(number: usize) -> String {
    let boom = if known(number) { "boom" } else { "fine" };
    let mut text = String::new();
    for line in 0..LINES {
        let _ = writeln!(text, "line {line} of build {number} says {boom}");
    }
    text
}

/// Does all of it.
pub(crate) async fn run(run: &Run) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    let rule = "title: It goes boom\nquery: 'message:boom'\n";
    std::fs::write(rules.join("boom.yaml"), rule).unwrap();
    let sink = Sink::start().await;
    let place = Place {
        dir: dir.path().to_owned(),
        server: run.server.clone(),
    };
    if run.server.is_some() {
        std::fs::create_dir(place.kept()).unwrap();
    }

    let chaos = format!(
        "chaos: {{allow-chaos: true, seed: {}, rate: {}}}",
        run.seed, run.rate
    );
    let begun = Instant::now();
    let live = Live::start(&place, &sink, &chaos).await;
    let resent = send_all(run, &live.base, &sink).await;
    let left = live.settled(&place, run.settle).await;
    let taken_ms = milliseconds(begun);
    let plan = live.plan.clone().unwrap();
    live.stop().await;
    let faults = recorded(&place.data().join("chaos"));
    let mut broken = foretold(&plan, &faults);

    let begun = Instant::now();
    let live = Live::start(&place, &sink, "").await;
    let after = live.recovered(&place).await;
    let recovered_ms = milliseconds(begun);
    if !live.stop().await {
        broken.push("the service did not stop clean when nothing failed".to_owned());
    }
    let deliveries = sink.stop();
    broken.extend(look::broken(&place, run.builds, &deliveries));
    let mut report = Report {
        seed: run.seed,
        rate: run.rate,
        builds: run.builds,
        resent,
        sites: plan.tally(),
        faults,
        left,
        repeated: look::repeated(&deliveries),
        taken_ms,
        recovered_ms,
        after,
        broken,
        repeats: false,
    };
    finish(&mut report);
    report
}

fn milliseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap()
}

/// What can only be said of all of it.
fn finish(report: &mut Report) {
    if !report.after.is_clean() {
        let after = report.after;
        report.broken.push(format!("it did not recover: {after:?}"));
    }
    // Each repetition has a cause: an answer that was lost on purpose.
    let lost = report.after(&["note.say", "http.note"]);
    if report.repeated > lost {
        let repeated = report.repeated;
        let text = format!("{repeated} notes came again, though only {lost} answers were lost");
        report.broken.push(text);
    }
}

/// The faults that were written down, one file for each run.
fn recorded(folder: &Path) -> Vec<Fault> {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    let paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    Record::read(&paths[0]).unwrap()
}

/// Each fault is the one that the seed foretells, all are written down, and none is missing.
fn foretold(plan: &Plan, faults: &[Fault]) -> Vec<String> {
    let mut broken = Vec::new();
    for fault in faults {
        let wanted = plan.foretell(&fault.site, &fault.key, fault.n);
        if wanted != Some((fault.error.as_str(), fault.phase)) {
            broken.push(format!("not foretold: {fault:?}"));
        }
    }
    let tally = plan.tally();
    let injected: u64 = tally.iter().map(|site| site.before + site.after).sum();
    if injected != faults.len() as u64 {
        let written = faults.len();
        broken.push(format!("{injected} faults, {written} written down"));
    }
    broken
}

/// Sends all builds; gives how many requests had to be repeated.
async fn send_all(run: &Run, base: &str, sink: &Sink) -> u64 {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build();
    let client = client.unwrap();
    let next = Arc::new(Mutex::new(0..run.builds));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..run.senders {
        let (client, base, next) = (client.clone(), base.to_owned(), next.clone());
        let logs = sink.logs();
        senders.spawn(async move {
            let mut resent = 0;
            loop {
                let number = next.lock().unwrap().next();
                let Some(number) = number else { return resent };
                resent += send(&client, &base, &logs, number).await;
            }
        });
    }
    senders.join_all().await.into_iter().sum()
}

/// What is sent of a build: method, address below that of the build, body.
fn requests(number: usize, logs: &str) -> Vec<(&'static str, &'static str, String)> {
    let result = if failed(number) { "FAILURE" } else { "SUCCESS" };
    let finished = Timestamp::now().to_string();
    let facts =
        json!({"job": "unit", "project": "p", "change": number.to_string(), "patchset": "1"});
    let mut done = json!({"result": result, "finished": finished});
    let facts = ("PUT", "", facts.to_string());
    if fetched(number) {
        done["url"] = json!(format!("{logs}/{number}"));
        done["name"] = json!("console.txt");
        return vec![facts, ("POST", "/fetch", done.to_string())];
    }
    let log = ("PUT", "/logs/console.txt", log(number));
    vec![facts, log, ("POST", "/complete", done.to_string())]
}

/// Sends one build until each request is acknowledged; gives how many had to be repeated.
async fn send(client: &Client, base: &str, logs: &str, number: usize) -> u64 {
    let at = format!("{base}/api/v1/builds/{}", name(number));
    let mut resent = 0;
    for (method, below, body) in requests(number, logs) {
        let (url, begun) = (format!("{at}{below}"), Instant::now());
        loop {
            let method = method.parse().unwrap();
            let sent = client.request(method, &url).body(body.clone()).send().await;
            let status = sent.unwrap().status();
            if status.is_success() {
                break;
            }
            let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            assert!(again, "{url}: {status}");
            assert!(begun.elapsed() < PATIENCE, "{url}: {status} for too long");
            resent += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    resent
}

/// What two runs with the same seed must have in common: at each site, and for each key, the same calls
/// fail with the same errors at the same side of what they do. One may have had more calls, as how often
/// something is looked for depends on time; what a sender makes happen is the same altogether.
pub(crate) fn differences(one: &Report, other: &Report) -> Vec<String> {
    let begins = |a: &[Value], b: &[Value]| a.iter().zip(b).all(|(a, b)| a == b);
    let (one, other) = (sequences(one), sequences(other));
    let mut all = Vec::new();
    for place in one.keys().chain(other.keys()) {
        let of = |from: &BTreeMap<_, Vec<Value>>| from.get(place).cloned().unwrap_or_default();
        let (a, b) = (of(&one), of(&other));
        let sent = ["state.put_build", "state.record_log", "state.complete"];
        // Logs that are fetched are recorded as often as that is tried, which depends on time.
        let whole = sent.contains(&place.0.as_str()) && !is_fetched(&place.1);
        if !begins(&a, &b) || (whole && a.len() != b.len()) {
            all.push(format!("{place:?}: {a:?} and {b:?}"));
        }
    }
    all
}

fn is_fetched(build: &str) -> bool {
    let number = build.strip_prefix("chaos").and_then(|n| n.parse().ok());
    number.is_some_and(fetched)
}

type Sequences = BTreeMap<(String, String), Vec<Value>>;

fn sequences(report: &Report) -> Sequences {
    let mut all = Sequences::new();
    for fault in &report.faults {
        let place = (fault.site.clone(), fault.key.clone());
        let one = json!([fault.n, fault.phase, fault.error]);
        all.entry(place).or_default().push(one);
    }
    for calls in all.values_mut() {
        calls.sort_by_key(|call| call[0].as_u64());
    }
    all
}
