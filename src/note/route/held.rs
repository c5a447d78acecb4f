//! Notes that were held back, and the one text that stands for them.

use super::Happening;
use crate::note::chat::text::one_line;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Bugs that a digest names.
const NAMED: usize = 5;

/// A note that was held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its number in the outbox.
    pub note: i64,
    /// What it is about.
    pub happening: Happening,
    /// Which build.
    pub build: String,
    /// The bugs that it names.
    pub bugs: Vec<String>,
    /// When it was to be said.
    pub at: Timestamp,
}

/// One text for all of them: how many builds, by bug, how many unexplained, and where to read more.
/// Empty where nothing was held back.
pub fn digest_of(held: &[Held], link: &str) -> String {
    if held.is_empty() {
        return String::new();
    }
    let builds = builds(held, |_| true);
    let mut text = format!(
        "{} held back: {}",
        count(held.len(), "note was", "notes were"),
        count(builds, "failed build", "failed builds")
    );
    let bugs = by_bug(held);
    let named: Vec<String> = bugs
        .iter()
        .take(NAMED)
        .map(|(name, builds)| format!("{} ×{builds}", one_line(name)))
        .collect();
    if !named.is_empty() {
        let _ = write!(text, ", known bugs: {}", named.join(", "));
    }
    if bugs.len() > NAMED {
        let _ = write!(text, " and {} more bugs", bugs.len() - NAMED);
    }
    for (happening, word) in [
        (Happening::Unmatched, "unexplained"),
        (Happening::LateLog, "with late logs"),
        (Happening::ReturnedBug, "with a returned bug"),
    ] {
        let builds = self::builds(held, |one| one.happening == happening);
        if builds > 0 {
            let _ = write!(text, "; {builds} {word}");
        }
    }
    let outages = held.iter().filter(|one| one.happening == Happening::Outage);
    match outages.count() {
        0 => {}
        n => {
            let _ = write!(text, "; {} of outages", count(n, "note", "notes"));
        }
    }
    format!("{text} {link}").trim_end().to_owned()
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Builds that the notes of some kind are about; an outage is about none.
fn builds(held: &[Held], of: impl Fn(&Held) -> bool) -> usize {
    let some = held
        .iter()
        .filter(|one| of(one) && one.happening != Happening::Outage);
    some.map(|one| &one.build).collect::<BTreeSet<_>>().len()
}

/// Bugs with how many builds they are in, the most first.
fn by_bug(held: &[Held]) -> Vec<(&str, usize)> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in held {
        for bug in &one.bugs {
            found.entry(bug).or_default().insert(&one.build);
        }
    }
    let mut all: Vec<_> = found
        .into_iter()
        .map(|(bug, builds)| (bug, builds.len()))
        .collect();
    all.sort_by_key(|(_, builds)| std::cmp::Reverse(*builds));
    all
}
