//! The refresher: what is asked when, and that no tracker is in another's way.

use super::fake::{Fake, Trouble, until};
use super::github::{TOKEN, hub, issue};
use super::{Shared, config, gerrit, github, gitlab, named};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use whorl::event::{BugRef, BugStatus, Build, Match, Verdict};
use whorl::state::{State, VerdictRecord};
use whorl::tracker::{Refresher, Round, Wanted};

/// A refresher with a clock that only moves when it is told to.
pub(crate) struct Bench {
    pub(crate) state: Arc<State>,
    pub(crate) refresher: Refresher,
    clock: Shared<Timestamp>,
    sites: String,
    folder: tempfile::TempDir,
}

impl Bench {
    /// With these sites, written as in the file.
    pub(crate) fn new(sites: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State::open(folder.path().join("state.db")).unwrap());
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let clock: Shared<Timestamp> = Arc::new(start.into());
        let refresher = refresher(sites, &state, &clock);
        Self {
            state,
            refresher,
            clock,
            sites: sites.to_owned(),
            folder,
        }
    }

    /// The program is started again with other sites, or with another state.
    pub(crate) fn restart(&mut self, sites: Option<&str>, new_state: bool) {
        if new_state {
            let path = self.folder.path().join("other.db");
            self.state = Arc::new(State::open(path).unwrap());
        }
        self.sites = sites.unwrap_or(&self.sites).to_owned();
        self.refresher = refresher(&self.sites, &self.state, &self.clock);
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.clock.lock().unwrap()
    }

    pub(crate) fn pass(&self, minutes: i64) {
        let mut clock = self.clock.lock().unwrap();
        *clock += SignedDuration::from_mins(minutes);
    }

    pub(crate) async fn round(&self, bugs: &[&str]) -> Round {
        self.refresher.round(&wanted(bugs)).await.unwrap()
    }

    /// A failed build that had the bug so many minutes ago.
    pub(crate) fn hit(&self, bug: &str, minutes_ago: i64) {
        let at = self.now() - SignedDuration::from_mins(minutes_ago);
        hit(&self.state, bug, at);
    }

    fn status(&self, bug: &str) -> Option<BugStatus> {
        let row = self.state.bug(bug).unwrap()?;
        Some(row.facts?.status)
    }
}

fn refresher(sites: &str, state: &Arc<State>, clock: &Shared<Timestamp>) -> Refresher {
    let clock = clock.clone();
    let made = Refresher::with_clock(&config(sites), state.clone(), move || {
        *clock.lock().unwrap()
    });
    made.unwrap()
        .with_pauses(Duration::from_millis(20), Duration::ZERO)
}

fn wanted(bugs: &[&str]) -> Vec<Wanted> {
    bugs.iter()
        .map(|name| Wanted {
            bug: named(name),
            resolved_at: None,
        })
        .collect()
}

pub(crate) fn hit(state: &State, bug: &str, at: Timestamp) {
    let uuid = format!(
        "u{}-{}",
        at.as_second(),
        bug.replace(|c: char| !c.is_alphanumeric(), "-")
    );
    let build = Build {
        result: Some("FAILURE".into()),
        finished: Some(at),
        ..Build::new(uuid.as_str())
    };
    state.put_build(&build).unwrap();
    state.complete(&uuid, None, None).unwrap();
    let found = Match {
        fingerprint: bug.into(),
        title: bug.into(),
        bug: BugRef {
            name: bug.into(),
            url: None,
        },
        hits: 1,
        evidence: Vec::new(),
        advice: None,
        category: None,
        returned: false,
        quiet: false,
    };
    let record = VerdictRecord {
        uuid,
        verdict: Verdict::Matched,
        rules_version: "v".into(),
        at,
        matches: vec![found],
        problems: Vec::new(),
    };
    state.record_verdict(&record, &[]).unwrap();
}

fn github_site(fake: &Fake) -> String {
    format!(
        "  sites:\n    - {{kind: github, web: '{}', token: {TOKEN}}}\n",
        fake.url()
    )
}

#[tokio::test]
async fn a_tracker_that_is_down_removes_nothing_and_its_age_shows() {
    let (fake, _) = github::start(hub(vec![issue(7, "open", None)])).await;
    let bench = Bench::new(&github_site(&fake));
    let bug = "github:acme/tool#7";
    assert_eq!(
        bench.round(&[bug]).await,
        Round {
            asked: 1,
            ..Round::default()
        }
    );
    let row = bench.state.bug(bug).unwrap().unwrap();
    assert_eq!(row.fetched_at, Some(bench.now()));
    let day = SignedDuration::from_hours(6);
    assert!(!row.stale(bench.now(), day));
    fake.trouble(Some(Trouble::Status(500, vec![])));
    for _ in 0..30 {
        bench.pass(60);
        bench.round(&[bug]).await;
    }
    let row = bench.state.bug(bug).unwrap().unwrap();
    assert_eq!(row.facts.as_ref().unwrap().title, "Bug 7");
    assert_eq!(row.age(bench.now()), Some(SignedDuration::from_hours(30)));
    assert!(row.stale(bench.now(), day) && row.failures > 3, "{row:?}");
    assert_eq!(row.error.as_deref(), Some("the tracker answered 500"));
    fake.trouble(None);
    bench.pass(24 * 60);
    bench.round(&[bug]).await;
    let row = bench.state.bug(bug).unwrap().unwrap();
    assert_eq!((row.failures, row.error.as_deref()), (0, None));
    assert!(!row.stale(bench.now(), day));
}

#[tokio::test]
async fn what_has_not_changed_is_asked_for_with_its_validator_but_all_is_read_now_and_then() {
    let (fake, _) = github::start(hub(vec![issue(7, "open", None)])).await;
    let bench = Bench::new(&github_site(&fake));
    let bug = "github:acme/tool#7";
    bench.hit(bug, 1);
    bench.round(&[bug]).await;
    let read = bench.now();
    fake.asked();
    bench.pass(30);
    bench.round(&[bug]).await;
    let asked = fake.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].header("if-none-match").is_some());
    let row = bench.state.bug(bug).unwrap().unwrap();
    assert_eq!(
        (row.fetched_at, row.read_at),
        (Some(bench.now()), Some(read))
    );
    bench.pass(6 * 60);
    bench.round(&[bug]).await;
    let asked = fake.asked();
    assert!(asked.len() > 1 && asked[0].header("if-none-match").is_none());
    assert_eq!(
        bench.state.bug(bug).unwrap().unwrap().read_at,
        Some(bench.now())
    );
}

#[tokio::test]
async fn a_limit_is_kept_to_and_then_one_bug_is_tried_first() {
    let (fake, _) = github::start(hub(vec![issue(1, "open", None), issue(2, "open", None)])).await;
    let bench = Bench::new(&github_site(&fake));
    let bugs = ["github:acme/tool#1", "github:acme/tool#2"];
    let after = vec![("retry-after", "3600".to_owned())];
    fake.trouble(Some(Trouble::Status(429, after)));
    assert_eq!(
        bench.round(&bugs).await,
        Round {
            asked: 1,
            failed: 1,
            written: 0
        }
    );
    fake.trouble(None);
    for _ in 0..59 {
        bench.pass(1);
        assert_eq!(bench.round(&bugs).await.asked, 0);
    }
    assert_eq!(fake.paths().len(), 1);
    bench.pass(1);
    assert_eq!(bench.round(&bugs).await.asked, 1);
    bench.pass(1);
    assert_eq!(bench.round(&bugs).await.asked, 1);
    assert!(bugs.iter().all(|bug| bench.status(bug).is_some()));
}

#[tokio::test]
async fn no_more_than_so_many_bugs_in_a_minute_and_those_hit_last_first() {
    let issues = (1..=9).map(|n| issue(n, "open", None)).collect();
    let (fake, _) = github::start(hub(issues)).await;
    let sites = format!("  per-minute: 3\n{}", github_site(&fake));
    let bench = Bench::new(&sites);
    let names: Vec<String> = (1..=9).map(|n| format!("github:acme/tool#{n}")).collect();
    let bugs: Vec<&str> = names.iter().map(String::as_str).collect();
    for n in [4, 5, 6] {
        bench.hit(bugs[n], i64::try_from(n).unwrap());
    }
    assert_eq!(bench.round(&bugs).await.asked, 3);
    let known: Vec<String> = bench
        .state
        .bugs()
        .unwrap()
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(known, [bugs[4], bugs[5], bugs[6]]);
    assert_eq!(bench.round(&bugs).await.asked, 0, "the minute is not over");
    for wanted in [3, 3, 0] {
        bench.pass(1);
        assert_eq!(bench.round(&bugs).await.asked, wanted);
    }
}

#[tokio::test]
async fn a_bug_that_does_not_exist_is_in_nobodys_way() {
    let (fake, _) = github::start(hub(vec![issue(7, "open", None)])).await;
    let bench = Bench::new(&github_site(&fake));
    let (gone, good) = ("github:acme/tool#404", "github:acme/tool#7");
    bench.hit(gone, 1);
    assert_eq!(
        bench.round(&[gone, good]).await,
        Round {
            asked: 2,
            failed: 1,
            written: 0
        }
    );
    let row = bench.state.bug(gone).unwrap().unwrap();
    assert!(row.facts.is_none() && row.error.unwrap().contains("404"));
    assert_eq!(bench.status(good), Some(BugStatus::Open));
}

#[tokio::test]
async fn two_names_of_one_bug_are_one_question() {
    let (fake, _) = github::start(hub(vec![issue(7, "open", None)])).await;
    let bench = Bench::new(&github_site(&fake));
    let long = format!("{}/acme/tool/issues/7", fake.url());
    assert_eq!(bench.round(&["github:acme/tool#7", &long]).await.asked, 1);
    assert!(bench.status("github:acme/tool#7").is_some() && bench.status(&long).is_some());
    bench.pass(1);
    assert_eq!(bench.round(&["github:acme/tool#7", &long]).await.asked, 0);
}

#[tokio::test]
async fn a_tracker_that_hangs_holds_up_no_other_and_no_stop() {
    let (slow, _) = github::start(hub(vec![issue(7, "open", None)])).await;
    let (quick, _) = gitlab::start(gitlab::lab("opened", None)).await;
    slow.trouble(Some(Trouble::Hang));
    let sites = format!(
        "{}    - {{kind: gitlab, web: '{}'}}\n",
        github_site(&slow),
        quick.url()
    );
    let bench = Bench::new(&sites);
    let stop = CancellationToken::new();
    let bugs = || wanted(&["github:acme/tool#7", "gitlab:acme/deep/tool#7"]);
    let begun = Instant::now();
    let running = tokio::spawn(bench.refresher.clone().run(bugs, stop.clone()));
    until("the quick one is known", || {
        bench.status("gitlab:acme/deep/tool#7").is_some()
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_millis(1900),
        "before the slow one was given up"
    );
    until("the slow one hangs", || !slow.asked().is_empty()).await;
    let begun = Instant::now();
    stop.cancel();
    running.await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(bench.status("github:acme/tool#7"), None);
}

#[tokio::test]
async fn a_bug_that_comes_back_is_raised_once_for_each_closing() {
    let (fake, hub) = github::start(hub(vec![issue(7, "closed", Some("completed"))])).await;
    let mut bench = Bench::new(&github_site(&fake));
    let bug = "github:acme/tool#7";
    let mut news = bench.refresher.news();
    bench.round(&[bug]).await;
    assert!(news.try_recv().is_err(), "closed, and not hit since");
    bench.hit(bug, 2);
    bench.round(&[bug]).await;
    let back = news.try_recv().unwrap();
    assert_eq!(
        (back.bug.as_str(), back.closed_at),
        (bug, "2026-11-10T08:00:00Z".parse().unwrap())
    );
    assert_eq!(back.hit_at, bench.now() - SignedDuration::from_mins(2));
    bench.hit(bug, 1);
    bench.round(&[bug]).await;
    bench.restart(None, false);
    let mut news = bench.refresher.news();
    bench.round(&[bug]).await;
    assert!(
        news.try_recv().is_err(),
        "once is enough, after a restart too"
    );
    let told = bench.state.returns_to_tell().unwrap();
    assert_eq!(told, std::slice::from_ref(&back));
    assert!(
        bench
            .state
            .return_told(bug, back.closed_at, bench.now())
            .unwrap()
    );
    assert!(
        !bench
            .state
            .return_told(bug, back.closed_at, bench.now())
            .unwrap()
    );
    assert_eq!(bench.state.returns_to_tell().unwrap(), []);
    // It is closed again, and comes back again.
    let closed = bench.now();
    hub.lock().unwrap().issues.get_mut(&7).unwrap()["closed_at"] = closed.to_string().into();
    hub.lock().unwrap().issues.get_mut(&7).unwrap()["updated_at"] = closed.to_string().into();
    bench.pass(5 * 60);
    bench.hit(bug, 0);
    bench.round(&[bug]).await;
    assert!(
        news.try_recv().is_err(),
        "too soon: builds from before the fix still fail"
    );
    bench.pass(2 * 60);
    bench.hit(bug, 0);
    bench.round(&[bug]).await;
    assert_eq!(news.try_recv().unwrap().closed_at, closed);
}

#[tokio::test]
async fn a_fingerprint_that_says_resolved_needs_no_tracker() {
    let bench = Bench::new("  sites: []\n");
    let bug = "launchpad:1182131";
    bench.hit(bug, 1);
    let resolved = Wanted {
        bug: named(bug),
        resolved_at: Some(bench.now() - SignedDuration::from_hours(9)),
    };
    bench.refresher.round(&[resolved]).await.unwrap();
    assert_eq!(bench.state.returned_bugs(5).unwrap().len(), 1);
}

#[tokio::test]
async fn reviews_in_gerrit_stay_known_while_it_is_down() {
    let gerrit = gerrit::start().await;
    let pad = Fake::start(|base, asked| {
        let body = if asked.path.ends_with("/bug_tasks") {
            serde_json::json!({"entries": [{"status": "Triaged"}]})
        } else {
            let tasks = format!("{base}{}/bug_tasks", asked.path);
            serde_json::json!({"title": "t", "bug_tasks_collection_link": tasks})
        };
        super::fake::Said::json(200, &body)
    })
    .await;
    let sites = format!(
        "  gerrit: '{}/r'\n  sites:\n    - {{kind: launchpad, api: '{}/devel'}}\n",
        gerrit.url(),
        pad.url()
    );
    let bench = Bench::new(&sites);
    let bug = "launchpad:1182131";
    let reviews = || {
        bench
            .state
            .bug(bug)
            .unwrap()
            .unwrap()
            .facts
            .unwrap()
            .reviews
    };
    bench.round(&[bug]).await;
    assert_eq!(reviews().len(), 1);
    assert_eq!(reviews()[0].title, "Close the race");
    gerrit.trouble(Some(Trouble::Html));
    bench.pass(5 * 60);
    bench.round(&[bug]).await;
    assert_eq!(
        bench.state.bug(bug).unwrap().unwrap().read_at,
        Some(bench.now())
    );
    assert_eq!(reviews().len(), 1);
}
