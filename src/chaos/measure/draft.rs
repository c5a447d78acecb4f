//! Drafts: how a fingerprint for a cause that nothing finds could begin.
//!
//! A phrase that the logs of its failed runs share and no other run has. It is chosen on half of the
//! runs and scored on the other half: what was learned from a run is not judged by it.

use super::count::{Measured, Share};
use super::labelled::Kind;
use crate::event::Fields;
use crate::intake::{Limits, open_path, read_all};
use crate::query::analyser::{Word, analyse};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How a fingerprint could begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Its query.
    pub query: String,
    /// Of the failed runs that it was not learned from, those that have the phrase.
    pub recall: Share,
}

/// Words without one of which a line says nothing of a failure.
const TELLING: [&str; 16] = [
    "error",
    "errors",
    "failed",
    "fail",
    "fatal",
    "refused",
    "denied",
    "exception",
    "timeout",
    "timed",
    "cannot",
    "invalid",
    "unable",
    "lost",
    "closed",
    "missing",
];
/// Phrases have this many words at least, and at most.
const WORDS: (usize, usize) = (3, 10);
/// Phrases of one log that are kept.
const PHRASES: usize = 20_000;

type Phrases = BTreeSet<String>;

/// Adds drafts to the causes that no fingerprint finds. `logs` says where the logs of each run are.
pub(super) fn add(measured: &mut Measured, logs: &BTreeMap<&str, PathBuf>) {
    if measured.uncaught.is_empty() {
        return;
    }
    let runs = measured
        .runs
        .iter()
        .filter(|run| run.kind != Kind::Inconclusive);
    let read: Vec<(&super::Run, Phrases)> = runs
        .filter_map(|run| Some((run, phrases(logs.get(run.name.as_str())?))))
        .collect();
    let mut drafts = Vec::new();
    for uncaught in &measured.uncaught {
        let own = |run: &super::Run| run.kind == Kind::Failed && run.label() == uncaught.cause;
        let mine: Vec<&Phrases> = read
            .iter()
            .filter(|(run, _)| own(run))
            .map(|(_, p)| p)
            .collect();
        let others: Vec<&Phrases> = read
            .iter()
            .filter(|(run, _)| !own(run))
            .map(|(_, p)| p)
            .collect();
        drafts.push(draft(&mine, &others));
    }
    for (uncaught, draft) in measured.uncaught.iter_mut().zip(drafts) {
        uncaught.draft = draft;
    }
}

fn draft(mine: &[&Phrases], others: &[&Phrases]) -> Option<Draft> {
    let (learn, score): (Vec<_>, Vec<_>) = mine.iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let first = learn.first()?.1;
    let everywhere = first
        .iter()
        .filter(|phrase| learn.iter().all(|(_, has)| has.contains(*phrase)));
    let nowhere_else = everywhere.filter(|phrase| !others.iter().any(|has| has.contains(*phrase)));
    // The more words the surer, and the same one each time.
    let best = nowhere_else
        .max_by_key(|phrase| (phrase.split(' ').count(), std::cmp::Reverse(*phrase)))?;
    let had = score.iter().filter(|(_, has)| has.contains(best)).count();
    Some(Draft {
        query: format!("message:\"{best}\""),
        recall: Share::new(had as u64, score.len() as u64),
    })
}

fn phrases(logs: &Path) -> Phrases {
    let limits = Limits::default();
    let mut found = Phrases::new();
    let Ok(inputs) = open_path(logs, &limits) else {
        return found;
    };
    read_all(&inputs, &Fields::default(), &limits, &mut |event| {
        for line in event.message.lines() {
            if found.len() < PHRASES {
                found.extend(phrase(line));
            }
        }
    });
    found
}

/// The longest row of words of a line that do not change from run to run.
fn phrase(line: &str) -> Option<String> {
    let words: Vec<Word<'_>> = analyse(line).collect();
    let tells = |word: &Word<'_>| TELLING.iter().any(|telling| word.text.contains(telling));
    if !words.iter().any(tells) {
        return None;
    }
    let rows = words.split(|word| !steady(line, word));
    let longest = rows.max_by_key(|row| row.len())?;
    let row = &longest[..longest.len().min(WORDS.1)];
    let texts: Vec<&str> = row.iter().map(|word| &*word.text).collect();
    (row.len() >= WORDS.0).then(|| texts.join(" "))
}

/// No number, no part of a path, and not cut off.
fn steady(line: &str, word: &Word<'_>) -> bool {
    let plain = word
        .text
        .chars()
        .all(|c| c.is_alphabetic() || "._'".contains(c));
    let (before, behind) = (&line[..word.start], &line[word.end..]);
    plain && !before.ends_with('/') && !behind.starts_with('/') && !behind.starts_with("...")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> Phrases {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_phrase_has_no_word_that_changes() {
        assert_eq!(
            phrase("ERROR 4711 shop.api lost connection to peer 10.0.0.1").as_deref(),
            Some("shop.api lost connection to peer")
        );
        assert_eq!(
            phrase("no such file error in /tmp/a/b of the run er...").as_deref(),
            Some("no such file error in")
        );
        assert_eq!(phrase("all is well here"), None);
        assert_eq!(phrase("error 1 2"), None);
    }

    #[test]
    fn a_draft_is_scored_on_runs_that_it_was_not_learned_from() {
        let (a, b) = (set(&["x y z error", "q r s error"]), set(&["x y z error"]));
        let other = set(&["q r s error"]);
        let draft = draft(&[&a, &b, &a, &other], &[&other]).unwrap();
        assert_eq!(draft.query, "message:\"x y z error\"");
        assert_eq!((draft.recall.n, draft.recall.of), (1, 2));
    }

    #[test]
    fn what_others_say_too_is_no_draft() {
        let a = set(&["x y z error"]);
        assert_eq!(draft(&[&a], &[&a]), None);
        assert_eq!(draft(&[], &[]), None);
    }
}
