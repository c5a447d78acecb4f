//! The same counts, counted plainly from what was generated.

use crate::fill::{Case, Drawn, draw, fingerprint, now};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use whorl::event::Verdict;
use whorl::report::{FingerprintRow, Group, Report};

/// Failed builds by verdict, of 24 hours and of ten days.
type Windows = [BTreeMap<Verdict, u64>; 2];

#[derive(Default, PartialEq, Debug)]
struct Bug {
    builds: [u64; 2],
    hits: [u64; 2],
    passing: u64,
    seen: Option<(Timestamp, Timestamp)>,
    hours: BTreeMap<i64, u64>,
}

#[derive(Default)]
struct Plain {
    all: Windows,
    groups: [BTreeMap<String, Windows>; 4],
    bugs: BTreeMap<String, Bug>,
}

/// Stops when the report says anything else than a plain count.
pub(crate) fn compare(report: &Report, case: Case, later: bool) {
    let moment = now() + SignedDuration::from_mins(if later { 30 } else { 0 });
    assert_eq!(report.now, moment);
    let mut plain = Plain::default();
    let end = case.builds + if later { case.later() } else { 0 };
    for number in 0..end {
        plain.count(&draw(case, number), moment);
    }
    let all = |group: &Group| {
        let of = |verdicts: &BTreeMap<Verdict, u64>| {
            let some = verdicts.iter().filter(|(_, builds)| **builds > 0);
            some.map(|(verdict, builds)| (*verdict, *builds)).collect()
        };
        let windows = &group.windows;
        assert_eq!(
            windows.day.failed,
            windows.day.verdicts.values().sum::<u64>()
        );
        [of(&windows.day.verdicts), of(&windows.ten_days.verdicts)]
    };
    assert_eq!(all(&report.all), plain.all);
    let parts = [
        &report.projects,
        &report.pipelines,
        &report.jobs,
        &report.branches,
    ];
    for (found, expected) in parts.into_iter().zip(&plain.groups) {
        let found: BTreeMap<String, Windows> = found
            .iter()
            .map(|group| (group.name.clone().unwrap(), all(group)))
            .collect();
        assert_eq!(&found, expected);
    }
    let unexplained = plain.all[1].get(&Verdict::Unmatched).copied();
    assert_eq!(report.unexplained_total, unexplained.unwrap_or(0));
    let rows = report.fingerprints.iter().chain(&report.suppressed);
    let found: BTreeMap<String, Bug> = rows.filter_map(bug).collect();
    assert_eq!(found.len(), plain.bugs.len());
    assert_eq!(found, plain.bugs);
}

fn bug(row: &FingerprintRow) -> Option<(String, Bug)> {
    let stats = &row.stats;
    let hours = stats.histogram.iter();
    let one = Bug {
        builds: [stats.builds_24h, stats.builds_10d],
        hits: [stats.hits_24h, stats.hits_10d],
        passing: stats.passing_builds_10d,
        seen: stats.first_seen.zip(stats.last_seen),
        hours: hours.map(|(hour, n)| (hour.as_second(), *n)).collect(),
    };
    (one != Bug::default()).then(|| (stats.fingerprint.clone(), one))
}

impl Plain {
    fn count(&mut self, one: &Drawn, moment: Timestamp) {
        let within = |hours| one.at >= moment - SignedDuration::from_hours(hours);
        let windows = [within(24), within(240)];
        if one.at > moment {
            return;
        }
        for (number, hits) in &one.matches {
            let bug = self.bugs.entry(fingerprint(*number)).or_default();
            bug.count(one, *hits, windows);
        }
        if !one.failed {
            return;
        }
        let add = |to: &mut Windows| {
            for (counts, _) in to.iter_mut().zip(windows).filter(|(_, inside)| *inside) {
                *counts.entry(one.verdict).or_default() += 1;
            }
        };
        add(&mut self.all);
        for (group, name) in self.groups.iter_mut().zip(&one.places) {
            if windows[1] {
                add(group.entry(name.clone()).or_default());
            }
        }
    }
}

impl Bug {
    fn count(&mut self, one: &Drawn, hits: u64, windows: [bool; 2]) {
        if !one.failed {
            self.passing += u64::from(windows[1]);
            return;
        }
        let seen = self.seen.get_or_insert((one.at, one.at));
        *seen = (seen.0.min(one.at), seen.1.max(one.at));
        for (n, inside) in windows.into_iter().enumerate() {
            self.builds[n] += u64::from(inside);
            self.hits[n] += if inside { hits } else { 0 };
        }
        if windows[1] {
            let hour = one.at.as_second().div_euclid(3600) * 3600;
            *self.hours.entry(hour).or_default() += 1;
        }
    }
}
