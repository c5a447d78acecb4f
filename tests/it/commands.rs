//! Commands of people, against a real state.

use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use whorl::classify::engine::{Rule, Rules};
use whorl::config::Config;
use whorl::event::{BugRef, Build, Evidence, Match, Verdict};
use whorl::note::{Hears, Markup, Speaker, Voice, Wording};
use whorl::source::Said;
use whorl::state::{NewOutage, NoteFilter, State, VerdictRecord};
use whorl::web::commands::{Commander, Person};

struct Place {
    folder: tempfile::TempDir,
    state: Arc<State>,
    commander: Commander,
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn place(recheck: &str) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "notes: {{base-url: 'https://whorl.example'}}\n\
         commands: {{silence: ['*:nobody', 'gerrit:ann', ann], recheck: [ann], per-minute: 60}}\n\
         recheck: {{{recheck}}}\n"
    );
    let config = Config::parse("x", &text, &|_| None).unwrap();
    let state = Arc::new(State::open(folder.path().join("state.db")).unwrap());
    fill(&state);
    let rules = Arc::new(Rules {
        version: "v".into(),
        fingerprints: vec![
            rule("1182131", "launchpad:1182131"),
            rule("7", "github:a/b#99"),
            rule("net", "github:a/b#99"),
        ],
        broken: Vec::new(),
    });
    let voices = vec![Voice {
        target: "gerrit".into(),
        hears: Hears::Patchsets,
        markup: Markup::Plain,
        route: None,
    }];
    let speaker = Speaker::new(
        Wording::new(None).unwrap(),
        voices,
        "https://whorl.example",
        true,
    );
    let commander = Commander::new(&config, state.clone(), Box::new(move || rules.clone()));
    Place {
        folder,
        commander: commander.unwrap().speaking(speaker),
        state,
    }
}

fn rule(id: &str, bug: &str) -> Rule {
    Rule {
        id: id.into(),
        title: format!("Title of {id}"),
        bug: BugRef {
            name: bug.into(),
            url: None,
        },
        category: None,
        owner: None,
        advice: None,
        retry: None,
        resolved_at: None,
        hidden: false,
        source: String::new(),
    }
}

fn fill(state: &State) {
    let found = Match {
        fingerprint: "1182131".into(),
        title: "Security group race".into(),
        bug: BugRef {
            name: "launchpad:1182131".into(),
            url: Some("https://bugs.launchpad.net/bugs/1182131".into()),
        },
        hits: 1,
        evidence: vec![Evidence {
            file: "job-output.txt".into(),
            line: 7,
            offset: 0,
            excerpt: "SecurityGroupNotFound password=hunter2".into(),
            spans: vec![(0, 21)],
        }],
        advice: None,
        category: None,
        returned: false,
        quiet: false,
    };
    for (uuid, job, project, change, verdict, matches) in [
        (
            "u1",
            "tempest-full",
            "openstack/nova",
            "1234",
            Verdict::Matched,
            vec![found],
        ),
        (
            "u2",
            "docs",
            "openstack/nova",
            "1234",
            Verdict::Unmatched,
            vec![],
        ),
        ("u3", "docs", "openstack/nova", "7", Verdict::NoLog, vec![]),
        (
            "u4",
            "unit",
            "openstack/nova",
            "50",
            Verdict::PartialLog,
            vec![],
        ),
        (
            "u5",
            "unit",
            "openstack/glance",
            "50",
            Verdict::Unmatched,
            vec![],
        ),
    ] {
        let build = Build {
            job: Some(job.into()),
            project: Some(project.into()),
            change: Some(change.into()),
            patchset: Some("2".into()),
            result: Some("FAILURE".into()),
            finished: Some(now() - SignedDuration::from_hours(1)),
            ..Build::new(uuid)
        };
        state.put_build(&build).unwrap();
        let record = VerdictRecord {
            uuid: uuid.into(),
            verdict,
            rules_version: "v".into(),
            at: now(),
            matches,
            problems: Vec::new(),
        };
        let generation = state.job(uuid).unwrap().unwrap().generation;
        state
            .record_verdict_of(
                generation,
                &record,
                &|_| Vec::new(),
                whorl::state::Age::News,
            )
            .unwrap();
    }
}

fn person(nick: &str, account: Option<&str>) -> Person {
    Person {
        place: "libera".into(),
        nick: nick.into(),
        account: account.map(str::to_owned),
    }
}

impl Place {
    fn chat(&self, who: &Person, text: &str) -> String {
        let said = self.commander.in_chat(who, text, false, now()).unwrap();
        said.unwrap_or_else(|| "(nothing)".into())
    }

    fn review(&self, author: &str, text: &str) -> Vec<String> {
        let said = Said {
            source: "gerrit".into(),
            project: "openstack/nova".into(),
            change: "1234".into(),
            patchset: Some("2".into()),
            author: author.into(),
            text: text.into(),
            at: now(),
        };
        self.commander.in_review(&said, now()).unwrap()
    }

    fn audit(&self) -> String {
        let all = self.state.audit_log(50).unwrap();
        let lines = all.iter().rev().map(|row| {
            format!(
                "{} {} {}: {}",
                row.actor, row.action, row.subject, row.detail
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn answers_in_chat() {
    let place = place("dry-run: true");
    assert!(place.folder.path().exists());
    let outage = NewOutage {
        text: "The mirror is down.".into(),
        until: None,
        by: "page".into(),
    };
    let (ann, eve) = (person("ann_", Some("ann")), person("eve", None));
    let mut shown = Vec::new();
    let mut say = |who: &Person, text: &str| {
        let answer = place.chat(who, text);
        assert!(answer.lines().count() <= 2, "{answer}");
        shown.push(format!("<{}> {text}\n  {answer}", who.nick));
    };
    for text in [
        "whorl: help",
        "whorl: status",
        "whorl: status 1234",
        "whorl: status 4321",
        "whorl: status 50",
        "whorl: status openstack/glance#50",
        "!whorl why tempest-full",
        "!whorl why tempest 1234",
        "!whorl why docs 1234",
        "!whorl why docs 7",
        "!whorl why unit openstack/nova#50",
        "!whorl why nothing",
        "!whorl why nothing 1234",
        "whorl: silence 1182131 2h",
        "whorl: recheck 1234",
        "whorl: dance",
        "whorl: sing",
    ] {
        say(&eve, text);
    }
    for text in [
        "whorl: silence 1182131 2h too loud",
        "whorl: silence bug 99 1d",
        "whorl: silence 7 1h",
        "whorl: silence change 7 1h",
        "whorl: silence this 1h",
        "whorl: silence project openstack/glance 1h",
        "whorl: silence project none 1h",
        "whorl: silence 4321 1h",
        "whorl: silence 1234 tomorrow",
    ] {
        say(&ann, text);
    }
    place.state.begin_outage(&outage, now()).unwrap();
    for text in [
        "whorl: status",
        "whorl: unsilence 1182131",
        "whorl: unsilence 1182131",
        "whorl: unsilence bug 99",
        "whorl: recheck",
        "whorl: recheck 1234 the mirror",
        "whorl: recheck 1234",
    ] {
        say(&ann, text);
    }
    say(&person("zuul", Some("zuul")), "whorl: status");
    insta::assert_snapshot!("answers_in_chat", shown.join("\n"));
    insta::assert_snapshot!("audit_of_commands", place.audit());
}

#[test]
fn comments_on_a_change() {
    let place = place("dry-run: false");
    let mut shown = Vec::new();
    for (author, text) in [
        ("bob", "Patch Set 2:\n\nwhorl: status"),
        ("bob", "whorl: why docs\nwhorl: why tempest-full"),
        ("bob", "whorl: silence this 2h"),
        ("ann", "whorl: silence this 2h being worked on"),
        ("ann", "whorl: unsilence this"),
        ("ann", "whorl: recheck bug 7"),
        ("ann", "whorl: recheck"),
        ("ann", "I would say whorl: status"),
        ("whorl", "whorl: status"),
        ("zuul", "whorl: status"),
    ] {
        let answers = place.review(author, text);
        shown.push(format!("<{author}> {text}\n  {}", answers.join("\n  ")));
    }
    insta::assert_snapshot!("answers_in_review", shown.join("\n"));
    let notes = place.state.notes(&NoteFilter::default()).unwrap().items;
    let asks: Vec<_> = notes
        .iter()
        .map(|n| (n.kind.as_str(), n.topic.as_str(), n.text.as_str()))
        .collect();
    assert_eq!(
        asks,
        [("recheck", "recheck/1234,2/openstack/nova", "recheck bug 7")]
    );
}

#[test]
fn rechecks_that_people_write_go_into_the_ledger() {
    let place = place("");
    assert!(place.review("bob", "recheck").is_empty());
    assert!(
        place
            .review("eve", "Patch Set 2:\n\nrecheck bug 1182131")
            .is_empty()
    );
    assert!(place.review("zuul", "recheck").is_empty());
    assert!(place.review("bob", "please recheck this").is_empty());
    let counts = place.state.recheck_counts(now()).unwrap();
    assert_eq!((counts[0].with_reason, counts[0].without_reason), (1, 1));
    let ledger = place.state.rechecks(9).unwrap();
    assert_eq!((ledger.len(), ledger[0].patchset.as_str()), (2, "2"));
}
