//! Ten days of builds, made from a seed.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use std::path::Path;
use whorl::event::{BugRef, Build, Match, Verdict};
use whorl::state::{State, VerdictRecord};

const DAYS: i64 = 10;
/// Builds of one transaction.
const TOGETHER: u64 = 50_000;

/// What is generated.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) builds: u64,
    pub(crate) fingerprints: u64,
    pub(crate) seed: u64,
}

/// A build as it was drawn.
pub(crate) struct Drawn {
    pub(crate) uuid: String,
    pub(crate) at: Timestamp,
    pub(crate) failed: bool,
    pub(crate) verdict: Verdict,
    /// Project, pipeline, job, branch.
    pub(crate) places: [String; 4],
    /// Fingerprints, each with its hits.
    pub(crate) matches: Vec<(u64, u64)>,
}

pub(crate) fn now() -> Timestamp {
    // Neither at the edge of an hour nor of a day.
    "2026-03-11T14:17:23.456789Z".parse().unwrap()
}

pub(crate) fn fingerprint(number: u64) -> String {
    format!("{}", 1_000_000 + number)
}

impl Case {
    /// Builds that end in the half hour after `now`.
    pub(crate) fn later(self) -> u64 {
        self.builds / (DAYS as u64 * 48)
    }
}

/// Numbers that look random, from two numbers.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Small numbers much more often than large ones.
    fn skewed(&mut self, end: u64) -> u64 {
        let share = self.next() as f64 / u64::MAX as f64;
        ((end as f64 * share.powi(3)) as u64).min(end - 1)
    }
}

/// The build of that number; those from `case.builds` on end after `now`.
pub(crate) fn draw(case: Case, number: u64) -> Drawn {
    let mut dice = Dice(case.seed.wrapping_mul(0x1_0000_0001) ^ (number << 20));
    let apart = DAYS * 86_400_000_000 / case.builds as i64;
    let start = now() - SignedDuration::from_hours(DAYS * 24);
    let jitter = dice.below(apart.max(1) as u64) as i64;
    let at = start + SignedDuration::from_micros(number as i64 * apart + jitter + 1);
    let failed = number.is_multiple_of(5);
    let verdict = match dice.below(100) {
        _ if !failed && dice.below(100) < 98 => Verdict::Unmatched,
        0..65 => Verdict::Matched,
        65..90 => Verdict::Unmatched,
        90..95 => Verdict::PartialLog,
        95..99 => Verdict::NoLog,
        _ => Verdict::Error,
    };
    let mut matches = Vec::new();
    if verdict == Verdict::Matched {
        for _ in 0..=dice.skewed(4) {
            let one = dice.skewed(case.fingerprints);
            if matches.iter().all(|(known, _)| *known != one) {
                matches.push((one, 1 + dice.skewed(50)));
            }
        }
    }
    Drawn {
        uuid: format!("{number:010x}-5c1f-4f0e-9a35-{:012x}", dice.below(1 << 48)),
        at,
        failed,
        verdict,
        places: [
            format!("openstack/project-{}", dice.skewed(150)),
            ["check", "gate", "periodic", "experimental"][dice.skewed(4) as usize].to_owned(),
            format!("tempest-full-job-number-{}", dice.skewed(600)),
            format!("stable/{}", dice.skewed(6)),
        ],
        matches,
    }
}

impl Drawn {
    fn build(&self) -> Build {
        let [project, pipeline, job, branch] = self.places.clone().map(Some);
        Build {
            project,
            pipeline,
            job,
            branch,
            result: Some(if self.failed { "FAILURE" } else { "SUCCESS" }.into()),
            finished: Some(self.at),
            log_url: Some(format!("https://logs.example.org/{}/", self.uuid)),
            ..Build::new(self.uuid.clone())
        }
    }
}

/// Fills a new file, as much at a time as SQLite likes.
pub(crate) fn fill(path: &Path, case: Case) {
    drop(State::open(path).unwrap());
    let mut raw = Connection::open(path).unwrap();
    raw.pragma_update(None, "synchronous", "OFF").unwrap();
    raw.pragma_update(None, "journal_mode", "WAL").unwrap();
    raw.pragma_update(None, "cache_size", -262_144).unwrap();
    for first in (0..case.builds).step_by(TOGETHER as usize) {
        let tx = raw.transaction().unwrap();
        for number in first..case.builds.min(first + TOGETHER) {
            insert(&tx, &draw(case, number));
        }
        tx.commit().unwrap();
    }
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
}

fn insert(raw: &Connection, one: &Drawn) {
    let build = one.build();
    let at = one.at.as_microsecond();
    let mut add = raw
        .prepare_cached(
            "INSERT INTO builds (uuid, meta, project, pipeline, job, branch, result, failed,
             received_at, completed_at, at, waiting, verdict, verdict_at, rules_version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?9, 0, ?10, ?9, 'v1')",
        )
        .unwrap();
    let [project, pipeline, job, branch] = &one.places;
    let meta = serde_json::to_string(&build).unwrap();
    add.execute(params![
        one.uuid,
        meta,
        project,
        pipeline,
        job,
        branch,
        build.result,
        one.failed,
        at,
        one.verdict.as_str()
    ])
    .unwrap();
    let id = raw.last_insert_rowid();
    for (number, hits) in &one.matches {
        let mut add = raw
            .prepare_cached(
                "INSERT INTO matches (build, fingerprint, at, failed, hits, title, bug_name,
                 returned, quiet) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0)",
            )
            .unwrap();
        add.execute(params![
            id,
            fingerprint(*number),
            at,
            one.failed,
            *hits as i64,
            format!("Bug {number}"),
            format!("launchpad:{number}"),
        ])
        .unwrap();
    }
}

/// What ends in the half hour after `now` comes as in the service.
pub(crate) fn half_an_hour(path: &Path, case: Case) {
    let state = State::open(path).unwrap();
    for number in case.builds..case.builds + case.later() {
        let one = draw(case, number);
        state.put_build(&one.build()).unwrap();
        state.complete(&one.uuid, None, None).unwrap();
        let found = one.matches.iter().map(|(number, hits)| Match {
            fingerprint: fingerprint(*number),
            title: format!("Bug {number}"),
            bug: BugRef {
                name: format!("launchpad:{number}"),
                url: None,
            },
            hits: *hits,
            evidence: Vec::new(),
            advice: None,
            category: None,
            returned: false,
            quiet: false,
        });
        let record = VerdictRecord {
            uuid: one.uuid.clone(),
            verdict: one.verdict,
            rules_version: "v1".into(),
            at: one.at,
            matches: found.collect(),
            problems: Vec::new(),
        };
        state.record_verdict(&record, &[]).unwrap();
    }
}
