//! From what is asked to the blocks and events that are meant, on all processors.

use super::document::Columns;
use super::lower::{Lowered, Lowering, all_of, exactly};
use super::scan::{Hit, Question, Scanner};
use super::slice::{Block, find, with_payload};
use super::unpack::{Facts, Payload, Unpacker};
use crate::query::Schema;
use crate::store::{Background, Selection, StoreError};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tantivy::query::AllQuery;
use tantivy::{DocAddress, Searcher};

/// Fewer pieces of work are not worth a second thread.
const WORTH_A_THREAD: usize = 8;

/// More threads would only wait for memory.
const MOST_THREADS: usize = 8;

/// What was found in some blocks of one slice.
pub(super) struct Part {
    pub(super) searcher: Searcher,
    pub(super) blocks: Vec<(Block, Found)>,
    /// What cannot be on the page that is asked for: builds, and how many of their events are meant.
    pub(super) rest: Vec<(Arc<str>, u64)>,
}

impl Part {
    /// How many events are meant.
    pub(super) fn total(&self) -> u64 {
        let blocks = self.blocks.iter().map(|(block, found)| found.count(block));
        blocks
            .chain(self.rest.iter().map(|(_, count)| *count))
            .sum()
    }

    /// The builds of these events; some more than once.
    pub(super) fn builds(&self) -> impl Iterator<Item = &Arc<str>> {
        let blocks = self.blocks.iter().map(|(block, _)| &block.build);
        blocks.chain(self.rest.iter().map(|(build, _)| build))
    }
}

/// The events of a block that are meant.
pub(super) enum Found {
    All,
    Some {
        /// How many there are.
        count: u64,
        /// All of them, or those that may be on the page that is asked for.
        hits: Vec<Hit>,
    },
}

impl Found {
    pub(super) fn count(&self, block: &Block) -> u64 {
        match self {
            Self::All => block.count,
            Self::Some { count, .. } => *count,
        }
    }

    /// True when none of the events can be on the page.
    fn is_counted_only(&self) -> bool {
        matches!(self, Self::Some { hits, .. } if hits.is_empty())
    }

    /// The events with their moments, which are read when they are not known yet.
    pub(super) fn hits(
        &self,
        searcher: &Searcher,
        block: &Block,
        columns: &Columns,
    ) -> Result<Cow<'_, [Hit]>, StoreError> {
        if let Self::Some { hits, .. } = self {
            return Ok(Cow::Borrowed(hits));
        }
        with_payload(searcher, block.address, columns, |payload| {
            let mut facts = Vec::new();
            Unpacker::new()?.facts(&Payload::read(payload)?, &mut facts)?;
            let times = Facts::read(&facts)?.times()?;
            Ok(Cow::Owned((0..).zip(times).collect()))
        })
    }

    /// The numbers of the events in a block of so many.
    pub(super) fn numbers(&self, count: usize) -> Vec<usize> {
        match self {
            Self::All => (0..count).collect(),
            Self::Some { hits, .. } => hits.iter().map(|(number, _)| *number as usize).collect(),
        }
    }
}

/// The condition on blocks for a selection; `None` is every block.
pub(super) fn lower(selection: &Selection<'_>, columns: &Columns, schema: &Schema) -> Lowered {
    let lowering = Lowering { columns, schema };
    let filters = &selection.filters;
    let equal = filters.equal.iter();
    let equal = equal.map(|(field, value)| lowering.equal(field, value));
    let query = selection.query.map(|query| lowering.lower(query.root()));
    let build = filters.build_uuid.as_ref();
    let build = build.map(|uuid| Some(exactly(columns.build_term(uuid))));
    let voting = filters.voting;
    let voting = voting.map(|voting| Some(exactly(columns.voting_term(voting))));
    all_of(equal.chain(query).chain(build).chain(voting))
}

/// Where the blocks of a slice are that may have an answer.
pub(super) fn addresses(
    searcher: &Searcher,
    lowered: &Lowered,
) -> Result<Vec<DocAddress>, StoreError> {
    match lowered {
        Some(query) => find(searcher, &**query),
        None => find(searcher, &AllQuery),
    }
}

/// What each block has of what is meant; blocks with nothing are left out.
pub(super) fn events(
    searcher: Searcher,
    blocks: Vec<Block>,
    question: &Question<'_>,
    columns: &Columns,
) -> Result<Part, StoreError> {
    let found = each(&blocks, question, |scanner, block| {
        look(&searcher, block, scanner, question, columns)
    })?;
    let mut rest: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    let mut kept = Vec::new();
    for (block, found) in blocks.into_iter().zip(found) {
        match found.count(&block) {
            0 => {}
            count if found.is_counted_only() => *rest.entry(block.build).or_default() += count,
            _ => kept.push((block, found)),
        }
    }
    Ok(Part {
        searcher,
        blocks: kept,
        rest: rest.into_iter().collect(),
    })
}

/// The builds that have such an event.
pub(super) fn builds(
    searcher: &Searcher,
    blocks: Vec<Block>,
    question: &Question<'_>,
    columns: &Columns,
) -> Result<Vec<Arc<str>>, StoreError> {
    let mut by_build: BTreeMap<Arc<str>, Vec<Block>> = BTreeMap::new();
    for block in blocks {
        by_build
            .entry(Arc::clone(&block.build))
            .or_default()
            .push(block);
    }
    let by_build: Vec<_> = by_build.into_iter().collect();
    let found = each(&by_build, question, |scanner, (_, blocks)| {
        for block in blocks {
            if look(searcher, block, scanner, question, columns)?.count(block) > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    let pairs = by_build.into_iter().zip(found);
    Ok(pairs
        .filter_map(|((build, _), found)| found.then_some(build))
        .collect())
}

fn look(
    searcher: &Searcher,
    block: &Block,
    scanner: &mut Scanner<'_>,
    question: &Question<'_>,
    columns: &Columns,
) -> Result<Found, StoreError> {
    let (from, to) = block.time;
    if question.asks_nothing() && question.time.contains(&from) && question.time.contains(&to) {
        return Ok(Found::All);
    }
    let hits = with_payload(searcher, block.address, columns, |payload| {
        scanner.scan(payload)
    })?;
    Ok(Found::Some {
        count: hits.len() as u64,
        hits: scanner.of_page(hits),
    })
}

/// Works on all on as many threads as are worth it; results are in the order of the list. It begins with the last
/// ones, which mostly have the newest events.
fn each<T: Sync, R: Send>(
    all: &[T],
    question: &Question<'_>,
    work: impl Fn(&mut Scanner<'_>, &T) -> Result<R, StoreError> + Sync,
) -> Result<Vec<R>, StoreError> {
    let next = AtomicUsize::new(0);
    let some = || -> Result<Vec<(usize, R)>, StoreError> {
        let (mut scanner, mut done) = (Scanner::new(question)?, Vec::new());
        loop {
            let done_before = next.fetch_add(1, Ordering::Relaxed);
            let Some(at) = all.len().checked_sub(done_before + 1) else {
                return Ok(done);
            };
            let one = &all[at];
            if question.is_late() {
                return Err(StoreError::TooLong);
            }
            done.push((at, work(&mut scanner, one)?));
        }
    };
    let mut done = if all.len() < 2 * WORTH_A_THREAD {
        some()?
    } else {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MOST_THREADS).min(all.len() / WORTH_A_THREAD);
        let done = giving_way(threads, some)?;
        done.into_iter().flatten().collect()
    };
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Runs work on so many threads that give way: builds get their verdicts, and the index what is new, while
/// somebody searches years of logs.
fn giving_way<R: Send, E: Send>(
    threads: usize,
    work: impl Fn() -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let nicely = || {
        Background::Search.give_way();
        work()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(nicely)).collect();
        // A panic goes on here: the caller knows what it means.
        let ended = all
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        ended.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[test]
    fn threads_that_search_give_way_and_the_one_that_asks_stays_as_it_is() {
        let before = getpriority_process(None).unwrap();
        let seen = giving_way(3, || getpriority_process(None)).unwrap();
        assert_eq!(seen, [(before + Background::Search.steps()).min(19); 3]);
        assert_eq!(getpriority_process(None).unwrap(), before);
        let failed = giving_way(2, || Err::<(), _>("no"));
        assert_eq!(failed, Err("no"));
    }
}
