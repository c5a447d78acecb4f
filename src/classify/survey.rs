//! What a cluster that somebody else fills knows for reports: its builds, and which fingerprint finds
//! which, though nobody may ever have announced them.
//!
//! Asked span by span and kept in `state`, so that a report asks only for what is new; a fingerprint
//! that is new or means something new is asked for over the whole time that reports speak of.

use super::cluster::one_query;
use crate::event::Build;
use crate::fingerprint::{Fingerprint, FingerprintSet};
use crate::query::Schema;
use crate::state::{Mark, State, StateError};
use crate::store::StoreError;
use crate::store::elastic::{Effort, ElasticStore, Finds, Named, Span, Survey, SurveyError};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How far back reports speak.
const BACK: SignedDuration = SignedDuration::from_hours(240);
/// Logs reach an index after their build has ended, with the moments at which they were written:
/// each survey begins this long before the end of the one before.
const OVERLAP: SignedDuration = SignedDuration::from_hours(12);
/// The first span.
const FIRST: SignedDuration = SignedDuration::from_hours(12);
/// The longest span.
const LONGEST: SignedDuration = SignedDuration::from_hours(48);
/// The shortest span.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
/// Spans grow while no request takes longer than this.
const QUICK: Duration = Duration::from_millis(500);

/// What one survey did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests and the slowest of them.
    pub effort: Effort,
    /// Fingerprints that a cluster cannot be asked for by aggregation: patterns and conditions over
    /// several events.
    pub not_counted: Vec<String>,
    /// What is missing, one sentence each.
    pub problems: Vec<String>,
}

/// Why nothing was asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The cluster.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks the cluster for what is new since the last time, for at most `budget`; what is left then is
/// asked the next time. `now` is the moment up to which is asked.
pub fn ask(
    store: &ElasticStore,
    schema: &Schema,
    set: &FingerprintSet,
    state: &State,
    now: Timestamp,
    budget: Duration,
) -> Result<Asked, AskError> {
    let (counted, other): (Vec<&Fingerprint>, Vec<_>) = set
        .fingerprints
        .iter()
        .map(AsRef::as_ref)
        .partition(|f| one_query(f).is_some());
    let wanted: Vec<(String, String)> = counted
        .iter()
        .map(|f| (f.id.clone(), f.meaning()))
        .collect();
    let since = now.checked_sub(BACK).unwrap_or(Timestamp::MIN);
    let marks = state.survey_marks(&wanted, since)?;
    let mut asking = Asking {
        store,
        schema,
        state,
        counted: counted.iter().map(|f| (f.id.as_str(), *f)).collect(),
        queue: queue(&marks, since),
        now,
        pace: FIRST,
        asked: Asked {
            not_counted: other.iter().map(|f| f.id.clone()).collect(),
            ..Asked::default()
        },
    };
    asking.go(Instant::now() + budget)?;
    asking.asked.problems.sort();
    asking.asked.problems.dedup();
    Ok(asking.asked)
}

/// The fingerprints by the moment from which on they are asked for.
fn queue(marks: &[Mark], since: Timestamp) -> BTreeMap<Timestamp, Vec<String>> {
    let mut queue: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    for mark in marks {
        let from = mark.upto.checked_sub(OVERLAP).unwrap_or(since).max(since);
        queue
            .entry(from)
            .or_default()
            .push(mark.fingerprint.clone());
    }
    queue
}

struct Asking<'a> {
    store: &'a ElasticStore,
    schema: &'a Schema,
    state: &'a State,
    counted: BTreeMap<&'a str, &'a Fingerprint>,
    queue: BTreeMap<Timestamp, Vec<String>>,
    now: Timestamp,
    pace: SignedDuration,
    asked: Asked,
}

impl Asking<'_> {
    fn go(&mut self, end: Instant) -> Result<(), AskError> {
        while let Some((from, ids)) = self.queue.pop_first() {
            if from >= self.now {
                continue;
            }
            if Instant::now() >= end {
                self.asked.problems.push(format!(
                    "no time was left for what came after {from}; the next report goes on there"
                ));
                return Ok(());
            }
            let to = self.end_of_span(from);
            match self.span(Span { from, to }, &ids) {
                Ok(()) => self.queue.entry(to).or_default().extend(ids),
                Err(Failure::TooMuch) if self.pace > SHORTEST => {
                    self.pace = (self.pace / 2).max(SHORTEST);
                    self.queue.entry(from).or_default().extend(ids);
                }
                Err(Failure::TooMuch) => {
                    self.asked.problems.push(format!(
                        "the cluster is too slow for one minute of logs from {from} on"
                    ));
                    return Ok(());
                }
                Err(Failure::Ask(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Groups meet where one of them begins.
    fn end_of_span(&self, from: Timestamp) -> Timestamp {
        let next = self.queue.keys().next().copied().unwrap_or(self.now);
        let paced = from.checked_add(self.pace).unwrap_or(self.now);
        paced.min(next).min(self.now)
    }

    fn span(&mut self, span: Span, ids: &[String]) -> Result<(), Failure> {
        let mut survey = self.store.survey(span);
        let heard = self.hear(&mut survey, ids);
        let effort = survey.effort();
        self.asked.effort.requests += effort.requests;
        self.asked.effort.slowest = self.asked.effort.slowest.max(effort.slowest);
        let (builds, finds) = heard?;
        if effort.slowest < QUICK {
            self.pace = (self.pace * 2).min(LONGEST);
        }
        let hits = self.applying(&builds, &finds);
        let kept = self.state.survey_keep(&builds, &hits, ids, span.to);
        kept.map_err(AskError::from)?;
        for (id, why) in finds.refused {
            let problem = format!("the cluster cannot answer fingerprint {id}: {why}");
            self.asked.problems.push(problem);
        }
        Ok(())
    }

    fn hear(
        &self,
        survey: &mut Survey<'_>,
        ids: &[String],
    ) -> Result<(Vec<Build>, Finds), Failure> {
        let builds = survey.builds(self.schema)?;
        let of = |id: &String| self.counted.get(id.as_str()).and_then(|f| one_query(f));
        let queries: Vec<Named<'_>> = ids.iter().filter_map(of).collect();
        Ok((builds, survey.finds(&queries)?))
    }

    /// What was found in builds that the fingerprint is meant for.
    fn applying<'f>(&self, builds: &[Build], finds: &'f Finds) -> Vec<(&'f str, &'f str)> {
        let known: BTreeMap<&str, &Build> = builds.iter().map(|b| (b.uuid.as_str(), b)).collect();
        let mut hits = Vec::new();
        for (id, uuids) in &finds.builds {
            let Some(fingerprint) = self.counted.get(id.as_str()) else {
                continue;
            };
            let meant = uuids.iter().filter(|uuid| {
                let build = known.get(uuid.as_str());
                build.is_some_and(|build| fingerprint.applies_to(build, self.now))
            });
            hits.extend(meant.map(|uuid| (id.as_str(), uuid.as_str())));
        }
        hits
    }
}

enum Failure {
    TooMuch,
    Ask(AskError),
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        match error {
            SurveyError::TooMuch(_) => Self::TooMuch,
            SurveyError::Store(error) => Self::Ask(error.into()),
        }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}
