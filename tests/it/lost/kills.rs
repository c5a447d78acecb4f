//! `kill -9` at moments that nobody chose: while the service starts, takes logs, classifies, looks at stored
//! builds again, makes a report, says notes.

use super::sent::{Kept, Sent, broken};
use crate::chaos::drivers::sink::Sink;
use crate::review::fake::Fake;
use crate::review::lab::{Lab, PROJECT, TOKEN};
use crate::say;
use crate::serve::program::{Home, Program, until};
use nix::sys::signal::Signal;
use reqwest::blocking::Client;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Rounds, unless the environment says another number.
const ROUNDS: usize = 50;
/// Rounds after which it is given up to meet each kind of work in the middle.
const MOST: usize = 150;
/// How long the service may take to become clean after the last kill.
const RECOVERY: Duration = Duration::from_secs(180);
const RECEIVERS: [&str; 2] = ["one", "two"];

/// When a round's kill comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Start,
    Intake,
    Classification,
    Again,
    Report,
    Notes,
}

const PHASES: [Phase; 6] = [
    Phase::Start,
    Phase::Intake,
    Phase::Classification,
    Phase::Again,
    Phase::Report,
    Phase::Notes,
];

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % most.max(1)
    }
}

fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The service, who sends to it, and who hears of it.
struct Scene {
    runtime: Runtime,
    sink: Sink,
    lab: Fake<Lab>,
    home: Home,
    client: Client,
    sent: Sent,
    dice: Dice,
    /// How often the fingerprints were changed.
    changes: u64,
    /// How long a start takes.
    start: Duration,
    /// Requests for a report that were under way when the service died.
    cut_reports: u64,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let runtime = Runtime::new().unwrap();
        let sink = runtime.block_on(Sink::start());
        let lab = runtime.block_on(Fake::start(Lab::new));
        let home = Home::new(&config(&sink, &lab));
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60));
        Self {
            runtime,
            sink,
            lab,
            home,
            client: client.build().unwrap(),
            sent: Sent::default(),
            dice: Dice(seed),
            changes: 0,
            start: Duration::from_millis(100),
            cut_reports: 0,
        }
    }

    /// Fingerprints that were never there before; every other set knows what is turning.
    fn change(&mut self) {
        self.changes += 1;
        let query = if self.turned() { "turning" } else { "nothing" };
        let query = format!("message:{query} OR message:never{}", self.changes);
        self.home.rule("turning", &query);
    }

    fn turned(&self) -> bool {
        self.changes % 2 == 1
    }

    fn begun(&mut self) -> Program {
        let begun = Instant::now();
        let program = self.home.start();
        self.start = begun.elapsed();
        program
    }

    /// Notes that receivers have heard.
    fn heard(&self) -> u64 {
        let heard = self.sink.so_far();
        heard.values().flat_map(BTreeMap::values).sum()
    }

    fn pause(&mut self, most: u64) {
        let micros = self.dice.below(most * 1000);
        std::thread::sleep(Duration::from_micros(micros));
    }

    /// The service is killed before it listens, or soon after.
    fn kill_at_start(&mut self) {
        let mut command = self.home.command();
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let longest = self.start.as_millis() * 2;
        self.pause(u64::try_from(longest).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// One round: builds are sent, something goes on, the service dies.
    fn round(&mut self, phase: Phase, lines: u64) {
        if phase == Phase::Start {
            return self.kill_at_start();
        }
        let mut program = self.begun();
        let mut numbers: Vec<usize> = (0..2 + self.dice.below(6))
            .map(|_| self.dice.below(lines) + 2)
            .map(|lines| self.sent.begin(lines))
            .collect();
        // A sender that got no answer sends again, now or later.
        let unsure = self.sent.unsure().into_iter();
        numbers.extend(unsure.filter(|_| self.dice.below(3) == 0));
        if phase == Phase::Again {
            self.change();
            program.signal(Signal::SIGHUP);
        }
        let (over, before) = (AtomicBool::new(false), self.heard());
        let cut_reports = AtomicU64::new(0);
        let (client, base) = (self.client.clone(), program.base.clone());
        let sent = std::mem::take(&mut self.sent);
        std::thread::scope(|scope| {
            for half in numbers.chunks(numbers.len().div_ceil(2)) {
                let (sent, client, base, over) = (&sent, &client, &base, &over);
                scope.spawn(move || {
                    let mut numbers = half.iter();
                    let going = |number: &&usize| sent.send(client, base, **number);
                    while !over.load(Ordering::Relaxed)
                        && numbers.next().is_some_and(|number| going(&number))
                    {}
                });
            }
            if phase == Phase::Report {
                let (client, url, over) = (&client, format!("{base}/api/v1/report"), &over);
                let cut = &cut_reports;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let answer = client.post(&url).send();
                        if let Err(error) = answer {
                            cut.fetch_add(u64::from(!error.is_connect()), Ordering::Relaxed);
                            return;
                        }
                    }
                });
            }
            self.wait_for(phase, &program, &sent, before);
            program.signal(Signal::SIGKILL);
            over.store(true, Ordering::Relaxed);
        });
        self.cut_reports += cut_reports.into_inner();
        self.sent = sent;
        assert_eq!(program.ended(), None, "killed, and nothing else");
    }

    /// Until the moment of the kill.
    fn wait_for(&mut self, phase: Phase, program: &Program, sent: &Sent, heard: u64) {
        let before = sent.acknowledged();
        let some = usize::try_from(self.dice.below(4)).unwrap();
        match phase {
            Phase::Start => {}
            Phase::Intake => self.pause(60),
            Phase::Classification => {
                // Some may have been acknowledged since the round began: then it is only later.
                let begun = Instant::now();
                while sent.acknowledged() < before + some
                    && begun.elapsed() < Duration::from_secs(1)
                {
                    std::thread::sleep(Duration::from_micros(200));
                }
                self.pause(20);
            }
            Phase::Again => {
                until("a second look", || {
                    let none = sent.acknowledged() == 0;
                    (none || program.said("looking at stored builds again")).then_some(())
                });
                self.pause(100);
            }
            Phase::Report => self.pause(120),
            Phase::Notes => {
                let begun = Instant::now();
                while self.heard() == heard && begun.elapsed() < Duration::from_secs(1) {
                    std::thread::sleep(Duration::from_micros(200));
                }
                self.pause(20);
            }
        }
    }

    /// What the dead service was at.
    fn middle(&self) -> BTreeMap<&'static str, u64> {
        let kept = Kept::open(&self.home.data());
        let version = "SELECT rules_version FROM verdicts ORDER BY id DESC LIMIT 1";
        let stale = format!("builds WHERE waiting = 0 AND rules_version <> ({version})");
        BTreeMap::from([
            (
                "builds that wait",
                kept.count("builds WHERE waiting = 1 AND completed_at IS NOT NULL"),
            ),
            ("builds of older fingerprints", kept.count(&stale)),
            ("notes to say", kept.count("notes WHERE state = 'due'")),
        ])
    }

    /// Waits until nothing is left to do.
    fn settle(&self, program: &Program) {
        let begun = Instant::now();
        loop {
            let status = program.json("/api/v1/status");
            let version = status["fingerprints"]["version"].as_str().unwrap();
            let kept = Kept::open(&self.home.data());
            let left = [
                kept.count("builds WHERE waiting = 1 AND completed_at IS NOT NULL"),
                kept.count(&format!(
                    "builds WHERE waiting = 0 AND rules_version <> '{version}'"
                )),
                kept.count("notes WHERE state = 'due'"),
                status["index"]["waiting_builds"].as_u64().unwrap(),
                u64::from(status["index"]["comparing"].as_bool().unwrap()),
            ];
            if left == [0; 5] {
                return;
            }
            assert!(begun.elapsed() < RECOVERY, "still to do: {left:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the service itself finds of the events, build by build, and of its reports.
    fn ask(&self, program: &Program) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, (_, lines)) in self.sent.wanted() {
            let found = &program.json(&format!("/api/v1/search?q={name}"))["events"];
            if *found != lines {
                wrong.push(format!("{found} events of {name} are found, not {lines}"));
            }
        }
        let page = program.get("/reports");
        let links = page.split("href=\"/reports/").skip(1);
        let links: Vec<&str> = links.filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() > 2, "{page}");
        for link in links {
            let (status, _) = program.send("GET", &format!("/reports/{link}"), "");
            if status != 200 {
                wrong.push(format!("report {link} is listed and answers {status}"));
            }
        }
        wrong
    }
}

fn config(sink: &Sink, lab: &Fake<Lab>) -> String {
    let mut hooks = String::new();
    for name in RECEIVERS {
        let at = sink.hook(name);
        let _ = writeln!(
            hooks,
            "    - {{url: '{at}', secret: k3y, retry: 20ms, max-tries: 1000}}"
        );
    }
    format!(
        "intake: {{queue: 1000, workers: 2}}\nnotes:\n  webhooks:\n{hooks}  review:\n    gitlab: \
         {{url: '{url}', token: {TOKEN}, projects: [{PROJECT}]}}\n",
        url = lab.url
    )
}

#[test]
fn fifty_kills_lose_nothing_and_double_nothing() {
    let seed = set("WHORL_LOST_SEED").unwrap_or(7);
    let rounds = set("WHORL_LOST_ROUNDS").map_or(ROUNDS, |n| usize::try_from(n).unwrap());
    say(&format!(
        "WHORL_LOST_SEED={seed} WHORL_LOST_ROUNDS={rounds}"
    ));
    let mut scene = Scene::new(seed);
    scene.change();
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    let begun = Instant::now();
    let mut round = 0;
    while round < rounds || (met.values().any(|count| *count == 0) && round < MOST) {
        let phase = PHASES[round % PHASES.len()];
        // On a fast machine logs grow until it is met in the middle.
        let lines = 200 << (round / ROUNDS * 2);
        scene.round(phase, lines);
        if scene.home.data().join("state.db").exists() {
            for (what, count) in scene.middle() {
                *met.entry(what).or_default() += u64::from(count > 0);
            }
        }
        met.insert("reports under way", scene.cut_reports);
        met.insert("requests of senders under way", scene.sent.cut());
        round += 1;
    }
    say(&format!(
        "{round} kills in {:?} left {met:?}",
        begun.elapsed()
    ));
    assert!(
        met.values().all(|count| *count > 0),
        "never in the middle: {met:?}"
    );

    let program = scene.begun();
    for number in scene.sent.unsure() {
        // Half of the senders never came back.
        if scene.dice.below(2) == 0 {
            assert!(scene.sent.send(&scene.client, &program.base, number));
        }
    }
    assert!(
        scene.sent.acknowledged() > rounds,
        "{}",
        scene.sent.acknowledged()
    );
    scene.settle(&program);
    let mut wrong = scene.ask(&program);
    assert_eq!(program.stop(), Some(0));
    let turned = scene.turned();
    let Scene {
        runtime,
        sink,
        lab,
        home,
        sent,
        ..
    } = scene;
    let heard = runtime.block_on(async { sink.stop() });
    wrong.extend(broken(&home.data(), &sent, &heard, &RECEIVERS, turned));
    let comments = lab.service.lock().unwrap().notes.len();
    if comments != 1 {
        wrong.push(format!("{comments} comments on one patchset"));
    }
    say(&format!(
        "{} builds acknowledged, all checked after {:?}",
        sent.acknowledged(),
        begun.elapsed()
    ));
    assert!(wrong.is_empty(), "WHORL_LOST_SEED={seed}: {wrong:#?}");
}
