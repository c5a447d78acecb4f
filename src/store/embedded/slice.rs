//! One time slice: the index of the builds that ended on one day.

use super::document::Columns;
use super::gate::Gate;
use super::lower::exactly;
use crate::store::StoreError;
use jiff::civil::Date;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::collector::{Collector, Count, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::Query;
use tantivy::store::Compressor;
use tantivy::{
    DocAddress, Index, IndexReader, IndexSettings, ReloadPolicy, Score, Searcher, SegmentReader,
    TantivyDocument, TantivyError,
};

/// The file that says which form of slice a folder has, and what it says of this one.
const FORM_FILE: &str = "form";
const FORM: &str = "blocks 2\n";
/// What is damaged when a block has no build.
const BUILDS: &str = "the column of builds";
/// Stored blocks that each searcher keeps for each segment. They are read by copying them, whether kept or not, and
/// a hundred, as is usual, are hundreds of megabytes for a search of all; even four grow with what is stored.
const KEPT: usize = 0;

/// An open slice.
pub(super) struct Slice {
    pub(super) day: Date,
    pub(super) folder: PathBuf,
    pub(super) index: Index,
    pub(super) gate: Arc<Gate>,
    reader: IndexReader,
}

/// A block that was found, still in the index.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) address: DocAddress,
    pub(super) build: Arc<str>,
    pub(super) first: u64,
    pub(super) count: u64,
    /// The earliest and the latest moment.
    pub(super) time: (i64, i64),
}

/// The columns of one segment.
struct Segment {
    first: Column<u64>,
    count: Column<u64>,
    from: Column<i64>,
    to: Column<i64>,
    build: StrColumn,
}

impl Slice {
    /// Makes the files of an empty slice.
    pub(super) fn create(folder: &Path, columns: &Columns) -> Result<(), StoreError> {
        let settings = IndexSettings {
            // Blocks are packed already.
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let builder = Index::builder().schema(columns.schema.clone());
        let made = builder.settings(settings).create_in_dir(folder);
        made.map_err(|e| failure(&e))?;
        let path = folder.join(FORM_FILE);
        std::fs::write(&path, FORM).map_err(super::folder::io("write", &path))
    }

    /// Opens a slice and reads all of it once when `check` is set.
    pub(super) fn open(
        folder: &Path,
        day: Date,
        columns: &Columns,
        check: bool,
    ) -> Result<Self, TantivyError> {
        let refused = |message: &str| Err(TantivyError::SchemaError(message.to_owned()));
        if std::fs::read_to_string(folder.join(FORM_FILE))
            .ok()
            .as_deref()
            != Some(FORM)
        {
            return refused(super::folder::OTHER_FORM);
        }
        let index = Index::open_in_dir(folder)?;
        if index.schema() != columns.schema {
            return refused("its fields are not those of this program");
        }
        if check {
            let damaged = index.validate_checksum()?;
            if let Some(file) = damaged.iter().next() {
                let message = format!("checksum of {} is wrong", file.display());
                return Err(TantivyError::InternalError(message));
            }
        }
        let gate = Arc::default();
        Columns::prepare(&index, &gate);
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(KEPT)
            .try_into()?;
        Ok(Self {
            day,
            folder: folder.to_owned(),
            index,
            gate,
            reader,
        })
    }

    /// Makes what was committed visible.
    pub(super) fn reload(&self) -> Result<(), TantivyError> {
        self.reader.reload()
    }

    /// What is visible now and stays so.
    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// What a panic of the index means: damage only where a file's checksum says so, so that a
    /// fault of the program never takes a good slice away.
    pub(super) fn after_panic(&self) -> StoreError {
        let what = format!("the index of {}", self.day);
        match self.index.validate_checksum() {
            Ok(damaged) if damaged.is_empty() => StoreError::Index(format!("{what} failed")),
            _ => StoreError::Damaged(what),
        }
    }

    /// True when the slice has events of a build.
    pub(super) fn holds(&self, build: &str, columns: &Columns) -> Result<bool, TantivyError> {
        let query = exactly(columns.build_term(build));
        Ok(self.searcher().search(&*query, &Count)? > 0)
    }

    /// What each build was marked with.
    pub(super) fn marks(&self, all: &mut HashMap<String, u64>) -> Result<(), TantivyError> {
        let searcher = self.searcher();
        for segment in searcher.segment_readers() {
            let mark = segment.fast_fields().u64("mark")?;
            let Some(build) = segment.fast_fields().str("build")? else {
                continue;
            };
            let mut marks: HashMap<u64, u64> = HashMap::new();
            for doc in segment.doc_ids_alive() {
                let ord = build.term_ords(doc).next();
                marks.extend(ord.zip(mark.first(doc)));
            }
            let mut marks: Vec<(u64, u64)> = marks.into_iter().collect();
            marks.sort_unstable();
            let ords: Vec<u64> = marks.iter().map(|(ord, _)| *ord).collect();
            let names = names(&build, &ords)
                .ok_or_else(|| TantivyError::InternalError(BUILDS.to_owned()))?;
            let marked = names.iter().zip(marks);
            all.extend(marked.map(|(name, (_, mark))| (name.to_string(), mark)));
        }
        Ok(())
    }

    /// Number of events.
    pub(super) fn events(&self) -> u64 {
        let searcher = self.searcher();
        let count = |segment: &SegmentReader| {
            let column = segment.fast_fields().u64("count").ok()?;
            let alive = segment.doc_ids_alive();
            Some(
                alive
                    .map(|doc| column.first(doc).unwrap_or_default())
                    .sum::<u64>(),
            )
        };
        searcher.segment_readers().iter().filter_map(count).sum()
    }
}

/// Where the blocks of a slice are that meet a condition, in the order of the index.
pub(super) fn find(searcher: &Searcher, query: &dyn Query) -> Result<Vec<DocAddress>, StoreError> {
    searcher.search(query, &Addresses).map_err(|e| failure(&e))
}

/// Those of some blocks, which are in the order of the index, that have events in a span of time.
pub(super) fn read(
    searcher: &Searcher,
    addresses: &[DocAddress],
    time: &std::ops::Range<i64>,
) -> Result<Vec<Block>, StoreError> {
    let mut all = Vec::new();
    for some in addresses.chunk_by(|one, next| one.segment_ord == next.segment_ord) {
        let segment = Segment::open(searcher, some[0].segment_ord)?;
        segment.blocks(some, time, &mut all)?;
    }
    Ok(all)
}

/// Collects where blocks are: eight bytes of memory for each.
struct Addresses;

/// Those of one segment.
struct InSegment {
    ord: u32,
    found: Vec<DocAddress>,
}

impl Collector for Addresses {
    type Fruit = Vec<DocAddress>;
    type Child = InSegment;

    fn for_segment(&self, ord: u32, _: &SegmentReader) -> tantivy::Result<InSegment> {
        let found = Vec::new();
        Ok(InSegment { ord, found })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, mut all: Vec<Vec<DocAddress>>) -> tantivy::Result<Vec<DocAddress>> {
        all.sort_unstable_by_key(|segment| segment.first().copied());
        Ok(all.concat())
    }
}

impl SegmentCollector for InSegment {
    type Fruit = Vec<DocAddress>;

    fn collect(&mut self, doc: u32, _: Score) {
        self.found.push(DocAddress::new(self.ord, doc));
    }

    fn harvest(self) -> Vec<DocAddress> {
        self.found
    }
}

impl Segment {
    fn open(searcher: &Searcher, ord: u32) -> Result<Self, StoreError> {
        let fast = searcher.segment_reader(ord).fast_fields();
        let number = |name| fast.u64(name).map_err(|e| failure(&e));
        let moment = |name| fast.i64(name).map_err(|e| failure(&e));
        let build = fast.str("build").map_err(|e| failure(&e))?;
        Ok(Self {
            first: number("first")?,
            count: number("count")?,
            from: moment("from")?,
            to: moment("to")?,
            build: build.ok_or_else(no_builds)?,
        })
    }

    /// The blocks that have events in a span of time.
    fn blocks(
        &self,
        addresses: &[DocAddress],
        time: &std::ops::Range<i64>,
        all: &mut Vec<Block>,
    ) -> Result<(), StoreError> {
        let mut found = Vec::new();
        for address in addresses {
            let span = self.time(address.doc_id);
            if span.0 < time.end && span.1 >= time.start {
                let build = self.build.term_ords(address.doc_id).next();
                found.push((*address, span, build.ok_or_else(no_builds)?));
            }
        }
        let mut ords: Vec<u64> = found.iter().map(|(_, _, build)| *build).collect();
        ords.sort_unstable();
        ords.dedup();
        let names = names(&self.build, &ords).ok_or_else(no_builds)?;
        for (address, time, build) in found {
            let name = ords.binary_search(&build).ok().and_then(|at| names.get(at));
            all.push(Block {
                address,
                build: name.map(Arc::clone).ok_or_else(no_builds)?,
                first: self.first.first(address.doc_id).unwrap_or_default(),
                count: self.count.first(address.doc_id).unwrap_or_default(),
                time,
            });
        }
        Ok(())
    }

    fn time(&self, doc: u32) -> (i64, i64) {
        let from = self.from.first(doc).unwrap_or_default();
        (from, self.to.first(doc).unwrap_or_default())
    }
}

/// The names of builds by their numbers in a column, which are sorted; `None` when the column does not have them.
/// They are read in one go: each by itself would unpack the names before it too, which makes seconds of what takes
/// milliseconds.
fn names(column: &StrColumn, ords: &[u64]) -> Option<Vec<Arc<str>>> {
    let mut names = Vec::with_capacity(ords.len());
    let known = column.dictionary().sorted_ords_to_term_cb(ords, |name| {
        names.push(Arc::from(String::from_utf8_lossy(name)));
    });
    known.is_ok_and(|known| known).then_some(names)
}

fn no_builds() -> StoreError {
    StoreError::Damaged(BUILDS.to_owned())
}

/// Works on the payload of a block.
pub(super) fn with_payload<T>(
    searcher: &Searcher,
    address: DocAddress,
    columns: &Columns,
    work: impl FnOnce(&[u8]) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let document: TantivyDocument = searcher.doc(address).map_err(|e| failure(&e))?;
    let payload = columns.payload(&document);
    work(payload.ok_or_else(|| StoreError::Damaged("a stored block".to_owned()))?)
}

/// Sorts the index's errors into damage and refusals.
pub(super) fn failure(error: &TantivyError) -> StoreError {
    match error {
        TantivyError::DataCorruption(_)
        | TantivyError::OpenReadError(_)
        | TantivyError::IncompatibleIndex(_)
        | TantivyError::DeserializeError(_)
        | TantivyError::SchemaError(_)
        | TantivyError::InternalError(_)
        | TantivyError::FieldNotFound(_) => StoreError::Damaged(error.to_string()),
        TantivyError::IoError(io)
            if matches!(
                io.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::Damaged(error.to_string())
        }
        other => StoreError::Index(other.to_string()),
    }
}
