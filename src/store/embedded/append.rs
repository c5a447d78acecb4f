//! Putting builds into the index: any number of them with one commit.

use super::folder::io;
use super::merges::Merges;
use super::pack::{Packed, Packer};
use super::slice::{Slice, failure};
use super::{EmbeddedStore, Writer, guarded};
use crate::event::Build;
use crate::store::fields::day_of;
use crate::store::{ReadEvents, StoreError};
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};
use tantivy::IndexWriter;
use tantivy::indexer::IndexWriterOptions;

/// What goes to one slice: places of builds, and whether the slice has events of them already.
struct OfDay {
    slice: Arc<Slice>,
    builds: Vec<(usize, bool)>,
}

/// A writer and the slice that it writes.
struct Open<'a> {
    slice: &'a Slice,
    writer: IndexWriter,
}

impl EmbeddedStore {
    /// Stores the events of several builds in place of those they had, and returns their numbers.
    /// `read` hands over the events of the build with the given place in the list. Each build is
    /// visible whole or not at all, whatever happens; when this returns, all are. Builds of one day
    /// are committed together, which costs hardly more than a single one. With each build goes a
    /// number that [`EmbeddedStore::marks`] gives back.
    pub fn append_many(
        &self,
        builds: &[(Build, u64)],
        read: &mut ReadEvents<'_>,
    ) -> Result<Vec<u64>, StoreError> {
        let mut kept = self.writer();
        let mut days: BTreeMap<Date, OfDay> = BTreeMap::new();
        let mut counts = vec![0; builds.len()];
        // Of a build that stands there twice the last one counts, wherever the first one went.
        let mut seen = HashSet::new();
        for (number, (build, _)) in builds.iter().enumerate().rev() {
            if seen.insert(build.uuid.as_str()) {
                let (slice, known) = self.slice_for(build, &mut kept)?;
                let builds = Vec::new();
                let day = days.entry(slice.day);
                let day = day.or_insert(OfDay { slice, builds });
                day.builds.push((number, known));
            }
        }
        for OfDay {
            slice,
            builds: numbers,
        } in days.into_values()
        {
            let work = || {
                let writer = self.take_writer(&slice, &mut kept)?;
                let open = Open {
                    slice: &slice,
                    writer,
                };
                for (number, known) in numbers.into_iter().rev() {
                    if known {
                        let term = self.columns.build_term(&builds[number].0.uuid);
                        open.writer.delete_term(term);
                    }
                    counts[number] = self.write(&open, &builds[number], number, read)?;
                }
                let mut writer = open.writer;
                writer.commit().map_err(|e| failure(&e))?;
                slice.reload().map_err(|e| failure(&e))?;
                *kept = Some((slice.day, writer));
                Ok(())
            };
            if let Err(error) = work() {
                return Err(self.after_failure(&slice, error, &mut kept));
            }
        }
        Ok(counts)
    }

    /// A slice that cannot be written because it is damaged is taken away, so that the next try finds
    /// another one. Whether it is, only its checksums say: a full disk has many faces.
    fn after_failure(&self, slice: &Slice, error: StoreError, kept: &mut Writer) -> StoreError {
        if let StoreError::Damaged(why) = &error
            && matches!(slice.after_panic(), StoreError::Damaged(_))
            && let Err(worse) = self.lose(slice, why, kept)
        {
            return worse;
        }
        error
    }

    fn write(
        &self,
        open: &Open<'_>,
        marked: &(Build, u64),
        number: usize,
        read: &mut ReadEvents<'_>,
    ) -> Result<u64, StoreError> {
        let mut packer = Packer::new(end_of(&marked.0).as_microsecond())?;
        let mut result = Ok(());
        read(number, &mut |event| {
            if result.is_ok() {
                result = packer.push(&event).and_then(|b| self.add(open, marked, b));
            }
        });
        result?;
        let last = packer.finish()?;
        self.add(open, marked, last)?;
        Ok(packer.count())
    }

    fn add(
        &self,
        open: &Open<'_>,
        (build, mark): &(Build, u64),
        block: Option<Packed>,
    ) -> Result<(), StoreError> {
        let Some(block) = block else { return Ok(()) };
        open.slice.gate.enter(block.words.len());
        let document = self.columns.document(&build.uuid, *mark, block);
        let added = open.writer.add_document(document);
        added.map(drop).map_err(|e| failure(&e))
    }

    /// The slice that a build's events go to, and whether it has some already: where it is, else that
    /// of its last day.
    fn slice_for(
        &self,
        build: &Build,
        kept: &mut Writer,
    ) -> Result<(Arc<Slice>, bool), StoreError> {
        for slice in self.slices() {
            let holds = || slice.holds(&build.uuid, &self.columns);
            match guarded(&slice, || holds().map_err(|e| failure(&e))) {
                Ok(true) => return Ok((slice, true)),
                Ok(false) => {}
                Err(StoreError::Damaged(why)) => self.lose(&slice, &why, kept)?,
                Err(error) => return Err(error),
            }
        }
        let day = day_of(end_of(build));
        if let Some(slice) = self.slices().into_iter().find(|slice| slice.day == day) {
            return Ok((slice, false));
        }
        Ok((self.create_slice(day)?, false))
    }

    fn create_slice(&self, day: Date) -> Result<Arc<Slice>, StoreError> {
        let (new, folder) = (self.folder.unfinished(day), self.folder.slice(day));
        if new.exists() {
            std::fs::remove_dir_all(&new).map_err(io("remove", &new))?;
        }
        std::fs::create_dir_all(&new).map_err(io("create", &new))?;
        Slice::create(&new, &self.columns)?;
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
                self.open_writer(slice)
            }
        }
    }

    fn open_writer(&self, slice: &Slice) -> Result<IndexWriter, StoreError> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(self.options.writer_memory)
            .build();
        let writer: IndexWriter = slice
            .index
            .writer_with_options(options)
            .map_err(|e| failure(&e))?;
        writer.set_merge_policy(Box::new(Merges::of(&slice.folder)));
        slice.gate.clear();
        // Files of a commit that a kill cut off would be in the way of the next one.
        let collected = writer.garbage_collect_files().wait();
        collected.map_err(|e| failure(&e))?;
        Ok(writer)
    }
}

/// The moment of a build's events that name none themselves.
fn end_of(build: &Build) -> Timestamp {
    let end = build.finished.or(build.started);
    end.unwrap_or_else(Timestamp::now)
}
