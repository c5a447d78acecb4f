//! From runs to numbers.
//!
//! Recall of a fingerprint: of the runs that failed with one of its causes put in, those in which it
//! fired. Precision: of the runs in which it fired, those that failed with one of its causes put in. A
//! run that passed though its cause was put in, and a control run that failed, count in neither: the log
//! may well show the cause in the one, and nobody knows the cause of the other. They are listed.

use super::draft::Draft;
use super::labelled::{Kind, Run};
use crate::report::wilson;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// So many of so many, with Wilson's 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Share {
    /// So many.
    pub n: u64,
    /// Of so many.
    pub of: u64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Share {
    /// `n` of `of`.
    pub fn new(n: u64, of: u64) -> Self {
        let (low, high) = wilson(n, of).unwrap_or((0.0, 1.0));
        Self { n, of, low, high }
    }

    /// From 0 to 1; nothing when there is nothing to divide by.
    pub fn rate(self) -> Option<f64> {
        (self.of > 0).then(|| self.n as f64 / self.of as f64)
    }

    /// `0.82 – 0.98`; empty when there is nothing to divide by.
    pub fn interval(self) -> String {
        if self.of == 0 {
            return String::new();
        }
        format!("{:.2} – {:.2}", self.low, self.high)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate() {
            Some(rate) => write!(f, "{rate:.2} ({} of {})", self.n, self.of),
            None => f.write_str("unknown (0 of 0)"),
        }
    }
}

/// How many runs of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All.
    pub runs: u64,
    /// Fault put in, failed.
    pub failed: u64,
    /// Fault put in, passed.
    pub passed: u64,
    /// No fault, failed.
    pub noise: u64,
    /// No fault, passed.
    pub clean: u64,
    /// Judge nobody.
    pub inconclusive: u64,
    /// Of `failed`: nothing at all was found.
    pub unexplained: u64,
}

/// A cause (or several at once): a row of the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The fingerprints that are meant to find it.
    pub expects: Vec<String>,
    /// Runs that failed: what the row counts.
    pub failed: u64,
    /// Runs that passed all the same.
    pub passed: u64,
    /// Runs that judge nobody.
    pub inconclusive: u64,
    /// Of those that failed, in how many one of `expects` fired.
    pub caught: u64,
    /// Of those that failed, in how many each fingerprint fired.
    pub found: BTreeMap<String, u64>,
}

/// What a fingerprint is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Its id.
    pub fingerprint: String,
    /// Its causes among those that were put in.
    pub causes: Vec<String>,
    /// Of the failed runs with its cause, those in which it fired.
    pub recall: Share,
    /// Of the runs in which it fired, the failed ones with its cause.
    pub precision: Share,
    /// Fired in runs that passed though its cause was put in: in neither number.
    pub passed: u64,
    /// Fired in control runs that failed: in neither number.
    pub noise: u64,
    /// Fired in control runs that passed: counts against its precision.
    pub clean: u64,
    /// Fired for causes that are not its own, by cause.
    pub others: BTreeMap<String, u64>,
}

impl Score {
    /// `measured: recall 0.93 (42 of 45), precision 1.00 (42 of 42)`.
    pub fn in_words(&self) -> String {
        format!(
            "measured: recall {}, precision {}",
            self.recall, self.precision
        )
    }
}

/// A cause that none of its fingerprints ever finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Uncaught {
    /// The cause.
    pub cause: String,
    /// Runs that failed of it.
    pub failed: u64,
    /// Fingerprints of other causes that fired in them.
    pub echoes: Vec<String>,
    /// How a fingerprint could begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Draft>,
}

/// A fingerprint that fired where nothing was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnControls {
    /// The fingerprint.
    pub fingerprint: String,
    /// The control runs that passed.
    pub runs: Vec<String>,
    /// The plan knows of it and allows it.
    pub allowed: bool,
}

/// A fingerprint that sees what follows from causes, and not a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The fingerprint.
    pub fingerprint: String,
    /// Failed runs with its own cause in which it fired.
    pub own: u64,
    /// Failed runs of other causes in which it fired, by cause.
    pub of: BTreeMap<String, u64>,
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Of what.
    pub title: String,
    /// When. The only thing in it that two measurements with the same seeds and verdicts differ in.
    pub at: Timestamp,
    /// Which fingerprints.
    pub fingerprints_version: String,
    /// How many runs of each kind.
    pub totals: Totals,
    /// Of the failed runs with a fault, those whose headline is meant to find it.
    pub headline: Share,
    /// The rows of the matrix.
    pub causes: Vec<Cause>,
    /// What each fingerprint is worth: those that have a cause here or fired.
    pub fingerprints: Vec<Score>,
    /// Fingerprints in force of which this says nothing.
    pub silent: Vec<String>,
    /// Causes that no fingerprint finds.
    pub uncaught: Vec<Uncaught>,
    /// Fingerprints that fire where nothing is wrong.
    pub on_controls: Vec<OnControls>,
    /// Fingerprints that only see an echo.
    pub echoes: Vec<Echo>,
    /// The runs.
    pub runs: Vec<Run>,
}

impl Measured {
    /// What was measured of a fingerprint.
    pub fn of(&self, fingerprint: &str) -> Option<&Score> {
        self.fingerprints
            .iter()
            .find(|score| score.fingerprint == fingerprint)
    }

    /// True when a fingerprint fired where nothing was wrong, and nobody said that it may.
    pub fn fails(&self) -> bool {
        self.on_controls.iter().any(|found| !found.allowed)
    }
}

/// What the runs are held against.
#[derive(Debug, Clone, Default)]
pub struct Meant {
    /// For each cause, the fingerprints that are meant to find it; a cause that is not there is found by
    /// the fingerprint of its name.
    pub expects: BTreeMap<String, Vec<String>>,
    /// What the causes are, in words.
    pub texts: BTreeMap<String, String>,
    /// Fingerprints that may fire on control runs.
    pub allowed: BTreeSet<String>,
    /// The fingerprints in force.
    pub known: Vec<String>,
}

impl Meant {
    /// The fingerprints that are meant to find one of the causes.
    pub fn to_find(&self, causes: &[String]) -> Vec<String> {
        let mut all = BTreeSet::new();
        for cause in causes {
            match self.expects.get(cause) {
                Some(expects) => all.extend(expects.iter().cloned()),
                None => all.extend(self.known.iter().find(|id| *id == cause).cloned()),
            }
        }
        all.into_iter().collect()
    }
}

/// Counts.
pub fn measured(title: &str, version: &str, runs: Vec<Run>, meant: &Meant) -> Measured {
    let causes = causes(&runs, meant);
    let fingerprints = scores(&runs, &causes, meant);
    let said: BTreeSet<&String> = fingerprints
        .iter()
        .map(|score| &score.fingerprint)
        .collect();
    let silent = meant
        .known
        .iter()
        .filter(|id| !said.contains(id))
        .cloned()
        .collect();
    Measured {
        title: title.to_owned(),
        at: Timestamp::now(),
        fingerprints_version: version.to_owned(),
        totals: totals(&runs),
        headline: headline(&runs, meant),
        silent,
        uncaught: uncaught(&causes),
        on_controls: on_controls(&runs, meant),
        echoes: echoes(&fingerprints),
        causes,
        fingerprints,
        runs,
    }
}

fn of_kind(runs: &[Run], kind: Kind) -> impl Iterator<Item = &Run> {
    runs.iter().filter(move |run| run.kind == kind)
}

fn totals(runs: &[Run]) -> Totals {
    let count = |kind| of_kind(runs, kind).count() as u64;
    Totals {
        runs: runs.len() as u64,
        failed: count(Kind::Failed),
        passed: count(Kind::Passed),
        noise: count(Kind::Noise),
        clean: count(Kind::Clean),
        inconclusive: count(Kind::Inconclusive),
        unexplained: of_kind(runs, Kind::Failed)
            .filter(|run| run.found.is_empty())
            .count() as u64,
    }
}

fn headline(runs: &[Run], meant: &Meant) -> Share {
    let right = |run: &&Run| {
        let first = run.found.first();
        first.is_some_and(|first| meant.to_find(&run.causes).contains(first))
    };
    let failed = of_kind(runs, Kind::Failed);
    let (right, all) = (
        failed.filter(right).count(),
        of_kind(runs, Kind::Failed).count(),
    );
    Share::new(right as u64, all as u64)
}

fn causes(runs: &[Run], meant: &Meant) -> Vec<Cause> {
    let mut rows: Vec<Cause> = Vec::new();
    for run in runs.iter().filter(|run| !run.causes.is_empty()) {
        let label = run.label();
        let place = rows.iter().position(|row| row.name == label);
        let place = place.unwrap_or_else(|| {
            let texts = run.causes.iter().filter_map(|cause| meant.texts.get(cause));
            let texts: Vec<&str> = texts.map(String::as_str).collect();
            rows.push(Cause {
                name: label,
                text: (!texts.is_empty()).then(|| texts.join("; ")),
                expects: meant.to_find(&run.causes),
                failed: 0,
                passed: 0,
                inconclusive: 0,
                caught: 0,
                found: BTreeMap::new(),
            });
            rows.len() - 1
        });
        add(&mut rows[place], run);
    }
    rows
}

fn add(row: &mut Cause, run: &Run) {
    match run.kind {
        Kind::Failed => row.failed += 1,
        Kind::Passed => row.passed += 1,
        Kind::Noise | Kind::Clean | Kind::Inconclusive => row.inconclusive += 1,
    }
    if run.kind != Kind::Failed {
        return;
    }
    let found: BTreeSet<&String> = run.found.iter().collect();
    row.caught += u64::from(row.expects.iter().any(|id| found.contains(id)));
    for id in found {
        *row.found.entry(id.clone()).or_default() += 1;
    }
}

fn scores(runs: &[Run], causes: &[Cause], meant: &Meant) -> Vec<Score> {
    let expected = causes.iter().flat_map(|row| &row.expects);
    let judging = runs.iter().filter(|run| run.kind != Kind::Inconclusive);
    let fired = judging.flat_map(|run| &run.found);
    let ids: BTreeSet<&String> = expected.chain(fired).collect();
    ids.into_iter()
        .map(|id| score(id, runs, causes, meant))
        .collect()
}

fn score(id: &str, runs: &[Run], causes: &[Cause], meant: &Meant) -> Score {
    let is_own = |run: &Run| {
        meant
            .to_find(&run.causes)
            .iter()
            .any(|expected| expected == id)
    };
    let (mut had, mut own, mut foreign) = (0, 0, 0);
    let (mut passed, mut noise, mut clean) = (0, 0, 0);
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    for run in runs {
        let fired = run.found.iter().any(|found| found == id);
        had += u64::from(run.kind == Kind::Failed && is_own(run));
        if !fired {
            continue;
        }
        match run.kind {
            Kind::Failed if is_own(run) => own += 1,
            Kind::Passed if is_own(run) => passed += 1,
            Kind::Failed | Kind::Passed => {
                foreign += 1;
                *others.entry(run.label()).or_default() += 1;
            }
            Kind::Noise => noise += 1,
            Kind::Clean => clean += 1,
            Kind::Inconclusive => {}
        }
    }
    let of = causes
        .iter()
        .filter(|row| row.expects.iter().any(|expected| expected == id));
    Score {
        fingerprint: id.to_owned(),
        causes: of.map(|row| row.name.clone()).collect(),
        recall: Share::new(own, had),
        precision: Share::new(own, own + foreign + clean),
        passed,
        noise,
        clean,
        others,
    }
}

fn uncaught(causes: &[Cause]) -> Vec<Uncaught> {
    let missed = causes
        .iter()
        .filter(|row| row.failed > 0 && row.caught == 0);
    let row = |row: &Cause| Uncaught {
        cause: row.name.clone(),
        failed: row.failed,
        echoes: row.found.keys().cloned().collect(),
        draft: None,
    };
    missed.map(row).collect()
}

fn on_controls(runs: &[Run], meant: &Meant) -> Vec<OnControls> {
    let mut found: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for run in of_kind(runs, Kind::Clean) {
        for id in &run.found {
            found.entry(id).or_default().push(run.name.clone());
        }
    }
    let row = |(id, runs): (&String, Vec<String>)| OnControls {
        fingerprint: id.clone(),
        allowed: meant.allowed.contains(id),
        runs,
    };
    found.into_iter().map(row).collect()
}

/// Those that fired for other causes, and more often than for their own.
fn echoes(scores: &[Score]) -> Vec<Echo> {
    let echo = |score: &Score| {
        let others: u64 = score.others.values().sum();
        (others > score.recall.n).then(|| Echo {
            fingerprint: score.fingerprint.clone(),
            own: score.recall.n,
            of: score.others.clone(),
        })
    };
    scores.iter().filter_map(echo).collect()
}
