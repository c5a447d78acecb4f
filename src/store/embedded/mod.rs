//! The log store that needs no server: one Tantivy index for each day.
//!
//! Invariants: one commit for each append, so that a build is there whole or not at all whenever
//! the process dies; a build lives in one slice; only this module knows Tantivy; a slice that
//! cannot be read is set aside and reported, and the others go on.

mod document;
mod folder;
mod lower;
mod slice;

use super::{
    Health, HealthState, LogStore, SearchRequest, SearchResult, Selection, StoreError, StoredHit,
};
use crate::event::{Build, Event};
use crate::query::{Document, Schema};
use crate::store::fields::{day_of, keyword_of, votes};
use document::Columns;
use folder::{Folder, io};
use jiff::Timestamp;
use jiff::civil::Date;
use lower::{Lowered, Lowering};
use slice::{Found, Slice, Wanted, count_values, failure, find, load, matches};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tantivy::query::{AllQuery, BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{Index, IndexWriter, Searcher};

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kinds of the fields; queries must have been read with the same.
    pub schema: Schema,
    /// Bytes that the writer gathers before it writes them out, 15 MB at least.
    pub writer_memory: usize,
    /// Whether opening reads every file once and compares its checksum.
    pub check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: Schema::default(),
            writer_memory: 32_000_000,
            check: true,
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
}

/// Events found in one slice.
struct Part {
    searcher: Searcher,
    found: Vec<Found>,
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

    /// Works on a slice; `None` when it turns out to be damaged and was set aside.
    fn on_slice<T>(
        &self,
        slice: &Slice,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        // The index panics on some kinds of damage.
        let result =
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(slice.after_panic()));
        match result {
            Err(StoreError::Damaged(why)) => {
                let mut writer = self.writer();
                self.forget(slice.day, &mut writer);
                if slice.folder.exists() {
                    self.folder.set_aside(slice.day, &why)?;
                }
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// The slice that a build's events go to: where it is already, else that of its last day.
    fn slice_for(&self, build: &Build) -> Result<Arc<Slice>, StoreError> {
        let slices = self.slices();
        for slice in &slices {
            let holds = || {
                slice
                    .holds(&build.uuid, &self.columns)
                    .map_err(|e| failure(&e))
            };
            if holds()? {
                return Ok(Arc::clone(slice));
            }
        }
        let end = build
            .finished
            .or(build.started)
            .unwrap_or_else(Timestamp::now);
        let day = day_of(end);
        if let Some(slice) = slices.into_iter().find(|slice| slice.day == day) {
            return Ok(slice);
        }
        self.create_slice(day)
    }

    fn create_slice(&self, day: Date) -> Result<Arc<Slice>, StoreError> {
        let (new, folder) = (self.folder.unfinished(day), self.folder.slice(day));
        if new.exists() {
            std::fs::remove_dir_all(&new).map_err(io("remove", &new))?;
        }
        std::fs::create_dir_all(&new).map_err(io("create", &new))?;
        Index::create_in_dir(&new, self.columns.schema.clone()).map_err(|e| failure(&e))?;
        // The name comes last: a folder that has it is a whole index.
        std::fs::rename(&new, &folder).map_err(io("create", &folder))?;
        let slice = Slice::open(&folder, day, &self.columns, false).map_err(|e| failure(&e))?;
        let slice = Arc::new(slice);
        let mut slices = self.slices.write().unwrap_or_else(PoisonError::into_inner);
        slices.insert(day, Arc::clone(&slice));
        Ok(slice)
    }

    /// Takes the slice's writer out of its place: if anything fails before it is put back, it is
    /// dropped with all that was not committed.
    fn take_writer(&self, slice: &Slice, kept: &mut Writer) -> Result<IndexWriter, StoreError> {
        match kept.take() {
            Some((day, writer)) if day == slice.day => Ok(writer),
            other => {
                if let Some((_, writer)) = other {
                    writer.wait_merging_threads().map_err(|e| failure(&e))?;
                }
                let writer: IndexWriter = slice
                    .index
                    .writer_with_num_threads(1, self.options.writer_memory)
                    .map_err(|e| failure(&e))?;
                // Files of a commit that a kill cut off would be in the way of the next one.
                let collected = writer.garbage_collect_files().wait();
                collected.map_err(|e| failure(&e))?;
                Ok(writer)
            }
        }
    }

    fn lower(&self, selection: &Selection<'_>) -> Lowered {
        let lowering = Lowering {
            columns: &self.columns,
            schema: &self.options.schema,
        };
        let mut exact = true;
        let mut parts: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, Box::new(AllQuery))];
        let filters = &selection.filters;
        let equal = filters
            .equal
            .iter()
            .map(|(field, value)| lowering.equal(field, value));
        let query = selection.query.map(|query| lowering.lower(query.root()));
        for lowered in equal.chain(query) {
            exact &= lowered.exact;
            parts.push((Occur::Must, lowered.query));
        }
        if let Some(uuid) = &filters.build_uuid {
            parts.push((Occur::Must, exactly(self.columns.build_term(uuid))));
        }
        if let Some(voting) = filters.voting {
            let occur = if voting { Occur::MustNot } else { Occur::Must };
            parts.push((occur, exactly(self.columns.not_voting_term())));
        }
        let query = Box::new(BooleanQuery::new(parts));
        Lowered { query, exact }
    }

    fn find(&self, selection: &Selection<'_>, now: Timestamp) -> Result<Vec<Part>, StoreError> {
        let Lowered { query, exact } = self.lower(selection);
        let holds = |event: &Event| holds(selection, event, now);
        let wanted = Wanted {
            query,
            verify: if exact { None } else { Some(&holds) },
            time: selection.from.map_or(i64::MIN, Timestamp::as_microsecond)
                ..selection.to.map_or(i64::MAX, Timestamp::as_microsecond),
        };
        let mut parts = Vec::new();
        for slice in self.slices() {
            let work = || {
                let searcher = slice.searcher();
                let found = find(&searcher, &wanted, &self.columns)?;
                Ok(Part { searcher, found })
            };
            parts.extend(self.on_slice(&slice, work)?);
        }
        Ok(parts)
    }

    fn hit(
        &self,
        searcher: &Searcher,
        found: &Found,
        request: &SearchRequest<'_>,
    ) -> Result<StoredHit, StoreError> {
        let event = load(searcher, found.address, &self.columns)?;
        let spans = match request.selection.query {
            Some(query) if request.highlight => query.spans(&Document::new(&event)),
            _ => Vec::new(),
        };
        Ok(StoredHit {
            spans,
            event,
            build_uuid: found.build.to_string(),
            time: timestamp(found.time),
        })
    }
}

impl LogStore for EmbeddedStore {
    fn append(
        &self,
        build: &Build,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<u64, StoreError> {
        let mut kept = self.writer();
        let slice = self.slice_for(build)?;
        let mut writer = self.take_writer(&slice, &mut kept)?;
        let otherwise = build
            .finished
            .or(build.started)
            .unwrap_or_else(Timestamp::now);
        writer.delete_term(self.columns.build_term(&build.uuid));
        let mut count = 0;
        for event in events {
            let document = self.columns.document(&build.uuid, count, &event, otherwise);
            let document = document.map_err(|e| StoreError::Index(e.to_string()))?;
            writer.add_document(document).map_err(|e| failure(&e))?;
            count += 1;
        }
        writer.commit().map_err(|e| failure(&e))?;
        slice.reload().map_err(|e| failure(&e))?;
        *kept = Some((slice.day, writer));
        Ok(count)
    }

    fn search(
        &self,
        request: &SearchRequest<'_>,
        now: Timestamp,
    ) -> Result<SearchResult, StoreError> {
        let parts = self.find(&request.selection, now)?;
        let mut all: Vec<(&Searcher, &Found)> = parts
            .iter()
            .flat_map(|part| part.found.iter().map(|found| (&part.searcher, found)))
            .collect();
        all.sort_unstable_by(|(_, a), (_, b)| {
            let time = a.time.cmp(&b.time);
            let time = if request.newest_first {
                time.reverse()
            } else {
                time
            };
            time.then_with(|| a.build.cmp(&b.build))
                .then(a.seq.cmp(&b.seq))
        });
        let page = all.iter().skip(request.offset).take(request.limit);
        let hits = page.map(|(searcher, found)| self.hit(searcher, found, request));
        Ok(SearchResult {
            total: all.len() as u64,
            hits: hits.collect::<Result<_, _>>()?,
        })
    }

    fn count_by_field(
        &self,
        selection: &Selection<'_>,
        field: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let mut counts = BTreeMap::new();
        for mut part in self.find(selection, now)? {
            part.found.sort_unstable_by_key(|found| found.address);
            count_values(
                &part.searcher,
                &part.found,
                field,
                &self.columns,
                &mut counts,
            )?;
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
        for found in self
            .find(selection, now)?
            .iter()
            .flat_map(|part| &part.found)
        {
            let start = found.time.div_euclid(width).saturating_mul(width);
            *counts.entry(start).or_default() += 1;
        }
        Ok(counts
            .into_iter()
            .map(|(at, count)| (timestamp(at), count))
            .collect())
    }

    fn distinct_builds(
        &self,
        selection: &Selection<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let parts = self.find(selection, now)?;
        let builds: BTreeSet<&str> = parts
            .iter()
            .flat_map(|part| part.found.iter().map(|found| &*found.build))
            .collect();
        Ok(builds.into_iter().map(str::to_owned).collect())
    }

    fn events_of(&self, build_uuid: &str) -> Result<Vec<Event>, StoreError> {
        let mut selection = Selection::default();
        selection.filters.build_uuid = Some(build_uuid.to_owned());
        let mut events = Vec::new();
        for mut part in self.find(&selection, Timestamp::UNIX_EPOCH)? {
            part.found.sort_unstable_by_key(|found| found.seq);
            for found in &part.found {
                events.push(load(&part.searcher, found.address, &self.columns)?);
            }
        }
        Ok(events)
    }

    fn delete_before(&self, limit: Timestamp) -> Result<u64, StoreError> {
        let first_kept = day_of(limit);
        let mut writer = self.writer();
        let mut gone = 0;
        for slice in self.slices().into_iter().filter(|s| s.day < first_kept) {
            self.forget(slice.day, &mut writer);
            self.folder.remove(slice.day)?;
            gone += slice.searcher().num_docs();
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
            documents: slices.iter().map(|slice| slice.searcher().num_docs()).sum(),
            bytes: self.folder.bytes(),
            slices: slices.len() as u64,
            problems,
        }
    }
}

fn exactly(term: tantivy::Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

/// What is meant, asked of one event; build, votes and time are exact in the index.
fn holds(selection: &Selection<'_>, event: &Event, now: Timestamp) -> bool {
    let equal = |(field, wanted): &(String, String)| {
        let values = event
            .field(field)
            .map(|value| value.values())
            .unwrap_or_default();
        values
            .into_iter()
            .any(|value| keyword_of(value).as_ref() == Some(wanted))
    };
    selection.filters.equal.iter().all(equal)
        && selection
            .filters
            .voting
            .is_none_or(|voting| votes(event) == voting)
        && selection
            .query
            .is_none_or(|query| matches(query, event, now))
}

fn timestamp(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
