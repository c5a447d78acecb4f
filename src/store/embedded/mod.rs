//! The log store that needs no server: one Tantivy index for each day.
//!
//! A document of the index is a block of some hundred to a few thousand events of one build: one
//! packed frame of texts, one of all else, the different words as terms, a few columns
//! (`pack.rs`). What is asked becomes a condition on blocks that leaves none out (`lower.rs`); the
//! events of the blocks found are evaluated exactly (`scan.rs`).
//!
//! Invariants: one commit for all that is appended together, so that a build is there whole or not
//! at all whenever the process dies; a build lives in one slice; only this module knows Tantivy; a
//! slice that cannot be read is set aside and reported, and the others go on.

mod append;
mod ask;
mod bytes;
mod count;
mod document;
mod excerpt;
mod folder;
mod gate;
mod identifiers;
mod lower;
mod merges;
mod need;
mod neighbours;
mod pack;
mod page;
mod scan;
mod slice;
mod unpack;
mod when;
mod words;

use super::{
    Health, HealthState, LogStore, MarkedStore, ReadEvents, SearchRequest, SearchResult, Selection,
    StoreError,
};
use crate::event::{Build, Event};
use crate::query::Schema;
use crate::store::fields::day_of;
use ask::{Found, Part};
use document::Columns;
use folder::Folder;
use jiff::Timestamp;
use jiff::civil::Date;
use scan::Question;
use slice::{Block, Slice, failure, with_payload};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tantivy::{IndexWriter, Searcher};
use unpack::Unpacker;

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kinds of the fields; queries must have been read with the same.
    pub schema: Schema,
    /// Bytes that the writer gathers before it writes them out, 15 MB at least.
    pub writer_memory: usize,
    /// Whether opening reads every file once and compares its checksum.
    pub check: bool,
    /// Blocks that a search looks at together: what is known of them is in memory at the same time.
    pub together: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: Schema::default(),
            // Words that are all different need three times as much while they are written out.
            writer_memory: 20_000_000,
            check: true,
            together: 8192,
        }
    }
}

/// The writer of the slice that was appended to last; others are opened when needed.
type Writer = Option<(Date, IndexWriter)>;

/// A log store in a folder.
pub struct EmbeddedStore {
    folder: Folder,
    options: Options,
    columns: Columns,
    slices: RwLock<BTreeMap<Date, Arc<Slice>>>,
    writer: Mutex<Writer>,
    /// Slices that were set aside since the store was opened.
    losses: AtomicU64,
}

impl EmbeddedStore {
    /// Opens the store in `root`, which is made when it is not there, and locks it.
    pub fn open(root: &Path, options: Options) -> Result<Self, StoreError> {
        let store = Self {
            folder: Folder::open(root)?,
            options,
            columns: Columns::new(),
            slices: RwLock::default(),
            writer: Mutex::default(),
            losses: AtomicU64::new(0),
        };
        for day in store.folder.days()? {
            match store.open_slice(day) {
                Ok(slice) => store.insert(slice),
                Err(StoreError::Damaged(why)) => store.folder.set_aside(day, &why)?,
                Err(error) => return Err(error),
            }
        }
        Ok(store)
    }

    /// The builds that the store has, events or not, with what each was marked with when it was
    /// appended.
    pub fn marks(&self) -> Result<HashMap<String, u64>, StoreError> {
        let mut all = HashMap::new();
        for slice in self.slices() {
            let read = || slice.marks(&mut all).map_err(|e| failure(&e));
            self.on_slice(&slice, read)?;
        }
        Ok(all)
    }

    fn open_slice(&self, day: Date) -> Result<Slice, StoreError> {
        let folder = self.folder.slice(day);
        let open = || Slice::open(&folder, day, &self.columns, self.options.check);
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(slice)) => Ok(slice),
            // Whatever keeps an index from opening, its folder is of no use.
            Ok(Err(error)) => Err(StoreError::Damaged(error.to_string())),
            Err(_) => Err(StoreError::Damaged(format!("the index of {day}"))),
        }
    }

    fn insert(&self, slice: Slice) {
        let mut slices = self.slices.write().unwrap_or_else(PoisonError::into_inner);
        slices.insert(slice.day, Arc::new(slice));
    }

    fn slices(&self) -> Vec<Arc<Slice>> {
        let slices = self.slices.read().unwrap_or_else(PoisonError::into_inner);
        slices.values().cloned().collect()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, day: Date, writer: &mut Writer) {
        if writer.as_ref().is_some_and(|(open, _)| *open == day) {
            *writer = None;
        }
        let mut slices = self.slices.write().unwrap_or_else(PoisonError::into_inner);
        slices.remove(&day);
    }

    /// Takes a damaged slice away; another thread may have been faster.
    fn lose(&self, slice: &Slice, why: &str, writer: &mut Writer) -> Result<(), StoreError> {
        let known = self
            .slices()
            .iter()
            .any(|one| std::ptr::eq(Arc::as_ptr(one), slice));
        if !known {
            return Ok(());
        }
        self.forget(slice.day, writer);
        if slice.folder.exists() {
            self.folder.set_aside(slice.day, why)?;
        }
        self.losses.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Works on a slice; `None` when it turns out to be damaged and was set aside.
    fn on_slice<T>(
        &self,
        slice: &Slice,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match guarded(slice, work) {
            Err(StoreError::Damaged(why)) => {
                let mut writer = self.writer();
                self.lose(slice, &why, &mut writer)?;
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Asks all slices, some blocks after the other and the newest first; what is damaged is set aside and has
    /// nothing to say.
    fn ask<T>(
        &self,
        selection: &Selection<'_>,
        question: &Question<'_>,
        look: impl Fn(Searcher, Vec<Block>, &Question<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let lowered = ask::lower(selection, &self.columns, &self.options.schema);
        let mut answers = Vec::new();
        for slice in self.slices() {
            let work = || {
                let searcher = slice.searcher();
                let addresses = ask::addresses(&searcher, &lowered)?;
                let some = addresses.rchunks(self.options.together.max(1)).map(|some| {
                    let blocks = slice::read(&searcher, some, &question.time)?;
                    look(searcher.clone(), blocks, question)
                });
                some.collect::<Result<Vec<T>, StoreError>>()
            };
            answers.extend(self.on_slice(&slice, work)?.into_iter().flatten());
        }
        Ok(answers)
    }

    fn question<'a>(&self, selection: &'a Selection<'a>, now: Timestamp) -> Question<'a> {
        Question::new(selection, &self.options.schema, now)
    }

    /// All events that are meant.
    fn find(&self, selection: &Selection<'_>, now: Timestamp) -> Result<Vec<Part>, StoreError> {
        self.events(selection, &self.question(selection, now))
    }

    /// The events that may be on a page, and how many there are in all.
    fn find_page(
        &self,
        request: &SearchRequest<'_>,
        now: Timestamp,
    ) -> Result<Vec<Part>, StoreError> {
        let wanted = request.offset.saturating_add(request.limit);
        let question = self.question(&request.selection, now);
        let question = question.for_page(wanted, request.newest_first);
        self.events(&request.selection, &question)
    }

    fn events(
        &self,
        selection: &Selection<'_>,
        question: &Question<'_>,
    ) -> Result<Vec<Part>, StoreError> {
        self.ask(selection, question, |searcher, blocks, question| {
            ask::events(searcher, blocks, question, &self.columns)
        })
    }

    fn result(
        &self,
        parts: &[Part],
        request: &SearchRequest<'_>,
    ) -> Result<SearchResult, StoreError> {
        Ok(SearchResult {
            total: parts.iter().map(Part::total).sum(),
            hits: page::page(parts, request, &self.columns)?,
        })
    }

    /// The events of a build as its blocks have them.
    fn events_in(&self, parts: &[Part]) -> Result<Vec<Event>, StoreError> {
        let blocks = parts.iter().flat_map(|part| {
            let blocks = part.blocks.iter();
            blocks.map(|(block, _)| (&part.searcher, block))
        });
        let mut blocks: Vec<_> = blocks.collect();
        blocks.sort_unstable_by_key(|(_, block)| block.first);
        let (mut events, mut unpacker) = (Vec::new(), Unpacker::new()?);
        for (searcher, block) in blocks {
            let read = |payload: &[u8]| unpacker.events(payload, &mut events);
            with_payload(searcher, block.address, &self.columns, read)?;
        }
        Ok(events)
    }
}

/// Works on a slice; the index panics on some kinds of damage.
fn guarded<T>(
    slice: &Slice,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(slice.after_panic()))
}

impl LogStore for EmbeddedStore {
    fn append(
        &self,
        build: &Build,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<u64, StoreError> {
        let counts = self.append_many(&[(build.clone(), 0)], &mut |_, sink| {
            events.for_each(&mut *sink);
        })?;
        Ok(counts.into_iter().sum())
    }

    fn search(
        &self,
        request: &SearchRequest<'_>,
        now: Timestamp,
    ) -> Result<SearchResult, StoreError> {
        let parts = self.find_page(request, now)?;
        self.result(&parts, request)
    }

    fn search_with_builds(
        &self,
        request: &SearchRequest<'_>,
        now: Timestamp,
    ) -> Result<(SearchResult, Vec<String>), StoreError> {
        let parts = self.find_page(request, now)?;
        let builds: BTreeSet<&str> = parts.iter().flat_map(Part::builds).map(|b| &**b).collect();
        let builds = builds.into_iter().map(str::to_owned).collect();
        Ok((self.result(&parts, request)?, builds))
    }

    fn count_by_field(
        &self,
        selection: &Selection<'_>,
        field: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let mut counts = BTreeMap::new();
        for part in self.find(selection, now)? {
            count::values(&part, field, &self.columns, &mut counts)?;
        }
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        // Stable: equal counts stay in the order of the values.
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.truncate(limit);
        Ok(counts)
    }

    fn histogram(
        &self,
        selection: &Selection<'_>,
        interval: u64,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        let seconds = i64::try_from(interval.max(1)).unwrap_or(i64::MAX);
        let width = seconds.saturating_mul(1_000_000);
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for part in self.find(selection, now)? {
            count::spans(&part, width, &self.columns, &mut counts)?;
        }
        let counts = counts.into_iter();
        Ok(counts.map(|(at, count)| (timestamp(at), count)).collect())
    }

    fn distinct_builds(
        &self,
        selection: &Selection<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let question = self.question(selection, now);
        let found = self.ask(selection, &question, |searcher, blocks, question| {
            ask::builds(&searcher, blocks, question, &self.columns)
        })?;
        let builds: BTreeSet<&str> = found.iter().flatten().map(|build| &**build).collect();
        Ok(builds.into_iter().map(str::to_owned).collect())
    }

    fn events_of(&self, build_uuid: &str) -> Result<Vec<Event>, StoreError> {
        let mut selection = Selection::default();
        selection.filters.build_uuid = Some(build_uuid.to_owned());
        let parts = self.find(&selection, Timestamp::UNIX_EPOCH)?;
        self.events_in(&parts)
    }

    fn delete_before(&self, limit: Timestamp) -> Result<u64, StoreError> {
        let first_kept = day_of(limit);
        let mut writer = self.writer();
        let mut gone = 0;
        for slice in self.slices().into_iter().filter(|s| s.day < first_kept) {
            self.forget(slice.day, &mut writer);
            self.folder.remove(slice.day)?;
            gone += slice.events();
        }
        Ok(gone)
    }

    fn health(&self) -> Health {
        let slices = self.slices();
        let problems = self.folder.problems();
        Health {
            state: if problems.is_empty() {
                HealthState::Ok
            } else {
                HealthState::Degraded
            },
            documents: slices.iter().map(|slice| slice.events()).sum(),
            bytes: self.folder.bytes(),
            slices: slices.len() as u64,
            problems,
        }
    }
}

impl MarkedStore for EmbeddedStore {
    fn append_many(
        &self,
        builds: &[(Build, u64)],
        read: &mut ReadEvents<'_>,
    ) -> Result<Vec<u64>, StoreError> {
        Self::append_many(self, builds, read)
    }

    fn marks(&self) -> Result<HashMap<String, u64>, StoreError> {
        Self::marks(self)
    }

    fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }
}

fn timestamp(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
