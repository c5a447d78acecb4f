//! Reports from a cluster: what its aggregations say is what a plain count over all events says.

use super::text;
use crate::elastic::{clusters, prefix};
use crate::proxy::{Fault, Proxy};
use crate::serve::program::{Home, until};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use whorl::classify::survey;
use whorl::event::{Build, Event};
use whorl::fingerprint::{FingerprintSet, Library};
use whorl::query::{Document, Query, Schema};
use whorl::state::State;
use whorl::store::elastic::{Connection, ElasticStore, Layout, Options, Span};

const NOW: &str = "2026-11-21T12:00:00Z";
const TIME: Duration = Duration::from_secs(100);

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// One event as it is indexed.
struct Line {
    build: Build,
    at: Timestamp,
    message: String,
}

/// More builds than one answer has room for, over eleven days: each has one line that says little
/// and some have another that says more.
fn lines(from: usize, to: usize) -> Vec<Line> {
    let mut all = Vec::new();
    for n in from..to {
        let build = Build {
            job: Some(["tempest", "unit"][n % 2].into()),
            result: Some(["FAILURE", "SUCCESS", "TIMED_OUT"][n % 3].into()),
            project: Some(format!("p{}", n % 5)),
            voting: Some(n % 7 != 0),
            ..Build::new(format!("b{n:05}"))
        };
        let minutes = i64::try_from(n).unwrap() * 13 / 10;
        let at = now() - SignedDuration::from_mins(minutes);
        let mut line = |at: Timestamp, message: String| {
            let build = build.clone();
            all.push(Line { build, at, message });
        };
        line(at, format!("console of node {}", n % 11));
        if n % 4 == 0 {
            let before = at - SignedDuration::from_mins(90);
            line(before, format!("Connection refused by mirror {}", n % 100));
        }
    }
    all
}

fn rules() -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("every", "message:console".to_owned()),
        ("mirror", "message:\"connection refused\"".to_owned()),
        ("few", "message:\"mirror 8\" AND message:refused".to_owned()),
        ("job", "message:console AND build_name:unit".to_owned()),
        ("none", "message:\"never said\"".to_owned()),
    ];
    // More than one request's worth.
    for n in 0..300 {
        let name: &'static str = Box::leak(format!("node-{n}").into_boxed_str());
        all.push((name, format!("message:\"node {n}\"")));
    }
    all
}

struct Filled {
    url: Url,
    prefix: String,
    folder: tempfile::TempDir,
}

impl Filled {
    fn new(url: Url, lines: &[Line]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let filled = Self {
            url,
            prefix: prefix("survey"),
            folder,
        };
        for (name, query) in rules() {
            filled.rule(name, &format!("query: '{query}'\n"));
        }
        filled.rule("later", "all: ['message:console', 'message:refused']\n");
        filled.rule(
            "scoped",
            "query: 'message:console'\nscope: {projects: [p3]}\n",
        );
        filled.index(lines);
        filled
    }

    fn rules(&self) -> PathBuf {
        self.folder.path().join("rules")
    }

    fn rule(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.rules()).unwrap();
        std::fs::write(self.rules().join(format!("{name}.yaml")), text).unwrap();
    }

    fn index(&self, lines: &[Line]) {
        let client = reqwest::blocking::Client::new();
        for part in lines.chunks(5_000) {
            let mut body = String::new();
            for line in part {
                let day = line.at.strftime("%Y.%m.%d");
                let action = json!({"index": {"_index": format!("{}-{day}", self.prefix)}});
                let build = &line.build;
                let event = json!({
                    "@timestamp": line.at.to_string(), "build_uuid": build.uuid,
                    "build_name": build.job, "build_status": build.result,
                    "project": build.project, "voting": i64::from(build.votes()),
                    "message": line.message,
                });
                writeln!(body, "{action}\n{event}").unwrap();
            }
            let answer = client
                .post(self.url.join("_bulk?refresh=true").unwrap())
                .header("content-type", "application/x-ndjson")
                .body(body)
                .send()
                .unwrap();
            let answer: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
            assert_eq!(answer["errors"], false, "{answer}");
        }
    }

    fn layout(&self) -> Layout {
        Layout {
            indexes: vec![format!("{}-%Y.%m.%d", self.prefix)],
            ..Layout::openstack()
        }
    }

    fn store(&self, url: &Url) -> (ElasticStore, Schema) {
        let store = ElasticStore::open(Options {
            connection: Connection {
                urls: vec![url.clone()],
                ..Connection::default()
            },
            layout: Some(self.layout()),
            ..Options::default()
        });
        let store = store.unwrap();
        let (schema, _) = store.schema().unwrap();
        (store, schema)
    }

    fn set(&self, schema: &Schema) -> Arc<FingerprintSet> {
        let library = Library::open_for(&[self.rules()], schema.clone()).unwrap();
        library.current()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let url = self.url.join(&format!("{}-*", self.prefix)).unwrap();
        let _ = reqwest::blocking::Client::new().delete(url).send();
    }
}

/// Failed builds in 24 hours and in ten days, and builds that did not fail.
type Counts = BTreeMap<String, (u64, u64, u64)>;

/// The same by looking at every event.
fn plain(set: &FingerprintSet, lines: &[Line], ids: &[&str]) -> Counts {
    let (ten, day) = (
        now() - SignedDuration::from_hours(240),
        now() - SignedDuration::from_hours(24),
    );
    let mut last: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for line in lines
        .iter()
        .filter(|line| line.at >= ten && line.at < now())
    {
        let at = last.entry(&line.build.uuid).or_insert(line.at);
        *at = (*at).max(line.at);
    }
    let mut counts = Counts::new();
    for fingerprint in set.fingerprints.iter().filter(|f| ids.contains(&&*f.id)) {
        let query = fingerprint.queries().next().unwrap();
        let hit = lines.iter().filter(|line| {
            let mut event = Event::from_message(line.message.clone());
            event.shared = Arc::new(line.build.fields());
            let inside = line.at >= ten && line.at < now();
            inside
                && fingerprint.applies_to(&line.build, now())
                && query.matches(&Document::new(&event), now())
        });
        let builds: BTreeMap<&str, &Build> =
            hit.map(|line| (&*line.build.uuid, &line.build)).collect();
        let of = |failed: bool, since: Timestamp| {
            let some = builds
                .iter()
                .filter(|(uuid, build)| build.failed() == failed && last[*uuid] >= since);
            some.count() as u64
        };
        let count = (of(true, day), of(true, ten), of(false, ten));
        if count != (0, 0, 0) {
            counts.insert(fingerprint.id.clone(), count);
        }
    }
    counts
}

fn counted(state: &State, ids: &[&str]) -> Counts {
    let known = state.surveyed(now(), 10).unwrap().unwrap();
    let rows = known.fingerprints.into_iter();
    rows.filter(|row| ids.contains(&&*row.fingerprint))
        .map(|row| {
            let counts = (row.builds_24h, row.builds_10d, row.passing_builds_10d);
            (row.fingerprint, counts)
        })
        .collect()
}

const COMPARED: [&str; 9] = [
    "every", "mirror", "few", "job", "none", "node-3", "node-10", "node-299", "scoped",
];

#[test]
fn a_survey_counts_what_a_plain_count_counts() {
    let older = lines(40, 12_500);
    for (name, url) in clusters() {
        let filled = Filled::new(url.clone(), &older);
        let proxy = Proxy::to(&url);
        let (store, schema) = filled.store(&proxy.url());
        let set = filled.set(&schema);
        let state = State::open(filled.folder.path().join("state.db")).unwrap();
        let ask =
            |set: &FingerprintSet| survey::ask(&store, &schema, set, &state, now(), TIME).unwrap();
        let first = ask(&set);
        assert_eq!(first.problems, [""; 0], "{name}");
        assert_eq!(first.not_counted, ["later"], "{name}");
        assert!(first.effort.slowest < Duration::from_secs(5), "{first:?}");
        assert_eq!(
            counted(&state, &COMPARED),
            plain(&set, &older, &COMPARED),
            "{name}"
        );
        // The count saw the large list come page by page, and the whole as what it is.
        let known = state.surveyed(now(), 10).unwrap().unwrap();
        assert_eq!(known.upto, now());
        let builds: BTreeSet<_> = older.iter().map(|line| &line.build.uuid).collect();
        let ten = known.ten_days;
        assert!(ten.failed + ten.passing <= builds.len() as u64);
        assert!(ten.failed + ten.passing > 10_000, "{ten:?}");

        // Newer builds come; one fingerprint changes, one goes. Only these are asked for.
        let newer = lines(0, 40);
        filled.index(&newer);
        filled.rule("few", "query: 'message:\"mirror 12\"'\n");
        std::fs::remove_file(filled.rules().join("job.yaml")).unwrap();
        let set = filled.set(&schema);
        let sent = proxy.count("_search").sent;
        let second = ask(&set);
        let more = proxy.count("_search").sent - sent;
        assert!(
            more * 3 < sent,
            "{name}: {sent} bytes, then {more}: {second:?}"
        );
        let all: Vec<Line> = lines(0, 12_500);
        let compared = plain(&set, &all, &COMPARED);
        assert!(!compared.contains_key("job") && compared.contains_key("few"));
        assert_eq!(counted(&state, &COMPARED), compared, "{name}");
        whole_time_at_once(&store, &schema, &all);
        let third = ask(&set);
        assert!(third.effort.requests <= 8, "{name}: {third:?}");
        assert_eq!(counted(&state, &COMPARED), compared, "{name}");
    }
}

#[test]
fn a_slow_or_lost_cluster_loses_no_count() {
    let Some((name, url)) = clusters().into_iter().next() else {
        return;
    };
    let all = lines(0, 900);
    let filled = Filled::new(url.clone(), &all);
    let proxy = Proxy::to(&url);
    let (store, schema) = filled.store(&proxy.url());
    let set = filled.set(&schema);
    let state = State::open(filled.folder.path().join("state.db")).unwrap();
    let ask = || survey::ask(&store, &schema, &set, &state, now(), TIME);
    // Nothing is said of a cluster that has not answered.
    proxy.next_on("_search", 1, Fault::Refuse);
    let lost = ask().unwrap_err().to_string();
    assert!(lost.contains("127.0.0.1"), "{name}: {lost}");
    assert!(counted(&state, &COMPARED).is_empty());
    // Too slow for all at once: asked for less.
    proxy.next_on("_search", 2, Fault::Delay(Duration::from_secs(7)));
    let slow = ask().unwrap();
    assert_eq!(slow.problems, [""; 0], "{slow:?}");
    assert_eq!(counted(&state, &COMPARED), plain(&set, &all, &COMPARED));
    // What is known stays known when the cluster is away.
    proxy.next_on("_search", 1, Fault::Status(503, None));
    assert!(ask().is_err());
    assert_eq!(counted(&state, &COMPARED), plain(&set, &all, &COMPARED));
}

/// Shorter spans never have that many builds here.
fn whole_time_at_once(store: &ElasticStore, schema: &Schema, all: &[Line]) {
    let every = Query::parse("message:console", schema).unwrap();
    let none = Query::parse("message:never", schema).unwrap();
    let span = Span {
        from: now() - SignedDuration::from_hours(2_000),
        to: now() + SignedDuration::from_hours(1),
    };
    let mut survey = store.survey(span);
    let finds = survey.finds(&[("every", &every), ("none", &none)]).unwrap();
    let builds: BTreeSet<String> = all.iter().map(|line| line.build.uuid.clone()).collect();
    assert!(builds.len() > 10_000);
    assert_eq!(finds.builds["every"], builds);
    assert!(finds.builds["none"].is_empty());
    assert!(survey.effort().requests > 5, "page by page");
}

#[test]
fn a_report_says_what_the_whole_cluster_knows() {
    let all = lines(0, 400);
    for (name, url) in clusters() {
        let filled = Filled::new(url, &all);
        let home = Home::new(&format!(
            "store:\n  kind: elasticsearch\n  elasticsearch:\n    urls: ['{}']\n    layout:\n      \
             preset: openstack\n      indexes: ['{}-%Y.%m.%d']\n",
            filled.url, filled.prefix
        ));
        home.rule("mirror", "message:\"connection refused\"");
        let program = home.start();
        let made = until("a report is made", || {
            let made = program.send("POST", "/api/v1/report", "");
            (made.0 == 200).then_some(made.1)
        });
        let made: Value = serde_json::from_str(&made).unwrap();
        let report = program.json(made["json"].as_str().unwrap());
        let cluster = &report["cluster"];
        // The service's own time decides what is ten days ago; the builds are of a fixed time.
        assert_eq!(cluster["problems"], json!([]), "{name}: {cluster}");
        assert!(cluster["cost"]["requests"].as_u64() > Some(0), "{cluster}");
        let page = program.send("GET", made["html"].as_str().unwrap(), "").1;
        assert!(
            page.contains("In the whole cluster"),
            "{}",
            text(page.as_bytes())
        );
    }
}
