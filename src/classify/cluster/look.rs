//! How few events of one build are moved to know what it holds.
//!
//! A first small request says how many events there are. Those of most builds are few enough to come
//! in one answer; our own matcher then says what it says of a log on disk, in the same words. Of a
//! larger build only those events come that have a word which some fingerprint needs, and what no word
//! decides is counted by the cluster. When even these are too many, the cluster counts the hits of
//! every fingerprint and shows their places, in two requests at the same time. Only what neither
//! answers (patterns and conditions over several events, without such a word) needs all events, page
//! by page up to a limit.

use super::plan::{Plan, one_query};
use crate::event::{Build, Match, Verdict};
use crate::fingerprint::Fingerprint;
use crate::matcher::{MAX_EVIDENCE, Matcher, Needed, Run};
use crate::store::StoreError;
use crate::store::elastic::{BuildView, ElasticStore, Named};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Events that are pulled at most where others than ours can count: it moves less than 5 MB, and is
/// faster than counting. `benches/cluster.py` measures both.
pub const PULLED: u64 = 6_000;
/// Queries that are counted beside pulled events: few enough for one request.
const BESIDE: usize = 99;
/// Fingerprints that one sentence names.
const NAMED: usize = 5;

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
    /// Among them pages of events after the first.
    pub extra_pages: u64,
    /// Among them those that became necessary because one request could not hold all queries.
    pub splits: u64,
    /// What could not be looked at, one sentence each.
    pub problems: Vec<String>,
}

impl Looked {
    /// The verdict that follows. What could not be looked at leaves the build `partial-log`.
    pub fn verdict(&self) -> Verdict {
        match (
            self.events,
            self.problems.is_empty(),
            self.matches.is_empty(),
        ) {
            (0, _, _) => Verdict::NoLog,
            (_, false, _) => Verdict::PartialLog,
            (_, true, false) => Verdict::Matched,
            (_, true, true) => Verdict::Unmatched,
        }
    }
}

/// How many events of one build are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A build of up to so many is pulled; of a larger one the cluster counts.
    pub pulled: u64,
    /// At most so many are pulled where a cluster cannot count.
    pub most: u64,
    /// How many there are, when that is known; else it is asked.
    pub known: Option<u64>,
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
    let bounds = Bounds {
        pulled: PULLED,
        most: max_events,
        known: None,
    };
    look_within(store, matcher, build, now, bounds)
}

/// As [`look`], with bounds of the caller's own.
pub fn look_within(
    store: &ElasticStore,
    matcher: &Matcher,
    build: &Build,
    now: Timestamp,
    bounds: Bounds,
) -> Result<Looked, StoreError> {
    let mut looking = Looking {
        view: store.view(build),
        matcher,
        build,
        now,
        problems: Vec::new(),
        extra_pages: 0,
        splits: 0,
    };
    let run = matcher.start(build, now);
    let looked_for = run.applicable();
    let (matches, events) = looking.go(run, bounds)?;
    Ok(Looked {
        matches,
        looked_for,
        events,
        requests: looking.view.requests(),
        extra_pages: looking.extra_pages,
        splits: looking.splits,
        problems: looking.problems,
    })
}

struct Looking<'a> {
    view: BuildView<'a>,
    matcher: &'a Matcher,
    build: &'a Build,
    now: Timestamp,
    problems: Vec<String>,
    extra_pages: u64,
    splits: u64,
}

impl<'a> Looking<'a> {
    fn go(&mut self, run: Run<'_>, bounds: Bounds) -> Result<(Vec<Match>, u64), StoreError> {
        let plan = Plan::new(self.applying(), self.view.splits_words());
        let (total, bearing) = match bounds.known.filter(|known| *known <= bounds.pulled) {
            Some(known) => (known, None),
            None => self.measure(&plan)?,
        };
        if total == 0 {
            return Ok((Vec::new(), 0));
        }
        if total <= bounds.pulled && plan.is_whole() && !plan.words.is_empty() {
            // Events without any of the words say nothing to anybody.
            let (matches, _) = self.pull(run, total, Some(&plan.words))?;
            return Ok((matches, total));
        }
        if total <= bounds.pulled {
            return self.pull(run, total, None);
        }
        let few = bearing.filter(|n| *n <= PULLED.min(bounds.pulled));
        let few = few.filter(|_| plan.open.len() <= BESIDE && !plan.held.is_empty());
        if total <= bounds.most
            && !(if few.is_some() {
                &plan.rest
            } else {
                &plan.complex
            })
            .is_empty()
        {
            return self.pull(run, total, None);
        }
        let Some(few) = few else {
            self.leave_out(&plan.complex, total, bounds.most);
            let every = self
                .applying()
                .into_iter()
                .filter_map(one_query)
                .collect::<Vec<_>>();
            return Ok((self.count_and_show(run, &every, 2)?, total));
        };
        self.leave_out(&plan.rest, total, bounds.most);
        Ok((self.pull_some(run, &plan, few)?, total))
    }

    /// Number of the build's events, and of those with one of the words.
    fn measure(&mut self, plan: &Plan<'_>) -> Result<(u64, Option<u64>), StoreError> {
        let before = self.view.requests();
        let measured = self.view.measure(&plan.words);
        self.splits += (self.view.requests() - before).saturating_sub(1);
        measured
    }

    fn leave_out(&mut self, which: &[&str], total: u64, most: u64) {
        if which.is_empty() {
            return;
        }
        let more = if which.len() > NAMED { ", …" } else { "" };
        self.problems.push(format!(
            "the build has {total} events, more than the {most} that are pulled: patterns and \
             conditions over several events were not looked for: {}{more}",
            which[..which.len().min(NAMED)].join(", ")
        ));
    }

    fn applying(&self) -> Vec<&'a Fingerprint> {
        let all = self.matcher.set().fingerprints.iter();
        all.map(AsRef::as_ref)
            .filter(|f| f.applies_to(self.build, self.now))
            .collect()
    }

    /// Takes the `few` events that bear a word, and lets the cluster count what no word decides.
    fn pull_some(
        &mut self,
        run: Run<'_>,
        plan: &Plan<'_>,
        few: u64,
    ) -> Result<Vec<Match>, StoreError> {
        let mut matches = Vec::new();
        if few > 0 {
            matches = self.pull(run, few, Some(&plan.words))?.0;
            matches.retain(|found| plan.held.contains(found.fingerprint.as_str()));
        }
        if !plan.open.is_empty() {
            let run = self.matcher.start(self.build, self.now);
            matches.extend(self.count_and_show(run, &plan.open, 1)?);
            self.order(&mut matches);
        }
        Ok(matches)
    }

    /// As one run would have ordered them: the headline first.
    fn order(&self, matches: &mut [Match]) {
        let all = self.matcher.set().fingerprints.iter();
        let rank: BTreeMap<&str, _> = all
            .map(|f| (f.id.as_str(), Reverse(f.specificity())))
            .collect();
        matches.sort_by(|a, b| {
            let rank = |m: &Match| rank.get(m.fingerprint.as_str());
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.fingerprint.cmp(&b.fingerprint))
        });
    }

    /// Takes all events, or all that bear one of the words, page by page, and says how many there are
    /// by now.
    fn pull(
        &mut self,
        mut run: Run<'_>,
        expected: u64,
        words: Option<&[Needed]>,
    ) -> Result<(Vec<Match>, u64), StoreError> {
        let mut page = self.view.page(None, expected, words)?;
        // More may have come since they were counted.
        let (total, mut seen) = (page.total, 0);
        loop {
            seen += page.events.len() as u64;
            page.events.iter().for_each(|event| run.event(event));
            if seen >= total || page.events.is_empty() {
                break;
            }
            page = self.view.page(Some(&page), total - seen, words)?;
            self.extra_pages += 1;
        }
        if seen < total {
            // Events of one moment can stand on both sides of a page's end.
            self.problems.push(format!(
                "only {seen} of the build's {total} events could be told apart: give the layout an \
                 `order` field, such as a line number"
            ));
        }
        Ok((run.finish(), total))
    }

    /// Lets the cluster count and show the places, in `parts` requests when all is well.
    fn count_and_show(
        &mut self,
        mut run: Run<'_>,
        queries: &[Named<'_>],
        parts: u64,
    ) -> Result<Vec<Match>, StoreError> {
        let before = self.view.requests();
        let counts = self.view.counts(queries, MAX_EVIDENCE)?;
        counts.events.iter().for_each(|event| run.event(event));
        // Two halves at the same time are no split.
        self.splits += (self.view.requests() - before).saturating_sub(parts);
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
