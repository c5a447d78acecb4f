//! One build whose events are in a cluster: from there to its verdict.
//!
//! Most builds are small enough that all of their events come in one answer; our own matcher then
//! says what it says of a log on disk, in the same words. For a build with more events than one
//! answer holds, the cluster counts the hits of every fingerprint in one request and shows the
//! places of those that have some in another. Only what a cluster cannot answer (patterns, and
//! conditions over several events) needs all events, page by page up to a limit.

use crate::event::{Build, Match};
use crate::fingerprint::{Condition, Fingerprint};
use crate::matcher::{MAX_EVIDENCE, Matcher, Run};
use crate::store::StoreError;
use crate::store::elastic::{BuildView, ElasticStore, Named, Page};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What was found of a build in a cluster.
#[derive(Debug, Default)]
pub struct Looked {
    /// The matches, the headline first.
    pub matches: Vec<Match>,
    /// Number of fingerprints that were looked for.
    pub looked_for: usize,
    /// Number of the build's events.
    pub events: u64,
    /// Requests that it took, repetitions not counted.
    pub requests: u64,
    /// What could not be looked at, one sentence each.
    pub problems: Vec<String>,
}

/// Looks for all fingerprints in one build. At most `max_events` events are pulled where events must
/// be pulled.
pub fn look(
    store: &ElasticStore,
    matcher: &Matcher,
    build: &Build,
    now: Timestamp,
    max_events: u64,
) -> Result<Looked, StoreError> {
    let mut looking = Looking {
        view: store.view(build),
        matcher,
        build,
        now,
        problems: Vec::new(),
    };
    let run = matcher.start(build, now);
    let looked_for = run.applicable();
    let (matches, events) = looking.go(run, max_events)?;
    Ok(Looked {
        matches,
        looked_for,
        events,
        requests: looking.view.requests(),
        problems: looking.problems,
    })
}

struct Looking<'a> {
    view: BuildView<'a>,
    matcher: &'a Matcher,
    build: &'a Build,
    now: Timestamp,
    problems: Vec<String>,
}

impl<'a> Looking<'a> {
    fn go(&mut self, run: Run<'_>, max_events: u64) -> Result<(Vec<Match>, u64), StoreError> {
        let first = self.view.page(None)?;
        let total = first.total;
        if total <= first.events.len() as u64 {
            return Ok((self.pull(run, first)?, total));
        }
        let complex = self.applying().into_iter().any(|f| one_query(f).is_none());
        if complex && total <= max_events {
            return Ok((self.pull(run, first)?, total));
        }
        if complex {
            self.problems.push(format!(
                "the build has {total} events, more than the {max_events} that are pulled: \
                 patterns and conditions over several events were not looked for"
            ));
        }
        Ok((self.count_and_show(run)?, total))
    }

    fn applying(&self) -> Vec<&'a Fingerprint> {
        let all = self.matcher.set().fingerprints.iter();
        all.map(AsRef::as_ref)
            .filter(|f| f.applies_to(self.build, self.now))
            .collect()
    }

    /// Takes all events, page by page.
    fn pull(&mut self, mut run: Run<'_>, first: Page) -> Result<Vec<Match>, StoreError> {
        let (total, mut page, mut seen) = (first.total, first, 0);
        loop {
            seen += page.events.len() as u64;
            page.events.iter().for_each(|event| run.event(event));
            if seen >= total || page.events.is_empty() {
                break;
            }
            page = self.view.page(Some(&page))?;
        }
        if seen < total {
            // Events of one moment can stand on both sides of a page's end.
            self.problems.push(format!(
                "only {seen} of the build's {total} events could be told apart: give the layout an \
                 `order` field, such as a line number"
            ));
        }
        Ok(run.finish())
    }

    /// Lets the cluster count, then asks for the places.
    fn count_and_show(&mut self, mut run: Run<'_>) -> Result<Vec<Match>, StoreError> {
        let queries: Vec<Named<'_>> = self.applying().into_iter().filter_map(one_query).collect();
        let counts = self.view.counts(&queries)?;
        let has_hits = |(id, _): &&Named<'_>| counts.hits.get(*id).is_some_and(|n| *n > 0);
        let hit: Vec<Named<'_>> = queries.iter().filter(has_hits).copied().collect();
        for event in self.view.places(&hit, MAX_EVIDENCE)? {
            run.event(&event);
        }
        for (id, why) in counts.refused {
            self.problems
                .push(format!("the cluster cannot answer fingerprint {id}: {why}"));
        }
        Ok(counted(run.finish(), &counts.hits))
    }
}

/// The matches with the cluster's numbers; only of queries that it counted.
fn counted(matches: Vec<Match>, hits: &BTreeMap<String, u64>) -> Vec<Match> {
    let known = matches.into_iter().filter_map(|mut found| {
        found.hits = *hits.get(&found.fingerprint)?;
        Some(found)
    });
    known.collect()
}

/// The query that alone decides, so that a cluster can count.
fn one_query(fingerprint: &Fingerprint) -> Option<Named<'_>> {
    match &fingerprint.condition {
        Condition::Query(query) if fingerprint.none.is_empty() => Some((&fingerprint.id, query)),
        _ => None,
    }
}
