//! One time slice: the index of the builds that ended on one day.

use super::document::{Columns, value_prefix};
use crate::event::Event;
use crate::query::{Document, Query as OurQuery};
use crate::store::StoreError;
use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::collector::DocSetCollector;
use tantivy::columnar::StrColumn;
use tantivy::query::{Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{
    DocAddress, DocSet, Index, IndexReader, ReloadPolicy, Searcher, TERMINATED, TantivyDocument,
    TantivyError,
};

/// An open slice.
pub(super) struct Slice {
    pub(super) day: Date,
    pub(super) folder: PathBuf,
    pub(super) index: Index,
    reader: IndexReader,
}

/// What is looked for in a slice.
pub(super) struct Wanted<'a> {
    pub(super) query: Box<dyn Query>,
    /// Asked about every candidate when the index query finds more than is meant.
    pub(super) verify: Option<&'a dyn Fn(&Event) -> bool>,
    /// Microseconds since 1970, the end excluded.
    pub(super) time: std::ops::Range<i64>,
}

/// One event that was found, still in the index.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) time: i64,
    pub(super) build: Arc<str>,
    pub(super) seq: u64,
    pub(super) address: DocAddress,
}

/// The columns of one segment.
struct Segment {
    time: tantivy::columnar::Column<i64>,
    seq: tantivy::columnar::Column<u64>,
    build: Option<StrColumn>,
    names: HashMap<u64, Arc<str>>,
}

impl Slice {
    /// Opens a slice and reads all of it once when `check` is set.
    pub(super) fn open(
        folder: &Path,
        day: Date,
        columns: &Columns,
        check: bool,
    ) -> Result<Self, TantivyError> {
        let index = Index::open_in_dir(folder)?;
        if index.schema() != columns.schema {
            let message = "it was written by another version of this program".to_owned();
            return Err(TantivyError::SchemaError(message));
        }
        if check {
            let damaged = index.validate_checksum()?;
            if let Some(file) = damaged.iter().next() {
                let message = format!("checksum of {} is wrong", file.display());
                return Err(TantivyError::InternalError(message));
            }
        }
        Columns::prepare(&index);
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Self {
            day,
            folder: folder.to_owned(),
            index,
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
        let query = TermQuery::new(columns.build_term(build), IndexRecordOption::Basic);
        Ok(query_count(&self.searcher(), &query)? > 0)
    }
}

fn query_count(searcher: &Searcher, query: &dyn Query) -> Result<usize, TantivyError> {
    searcher.search(query, &tantivy::collector::Count)
}

/// All events of a slice that are wanted, in no order.
pub(super) fn find(
    searcher: &Searcher,
    wanted: &Wanted<'_>,
    columns: &Columns,
) -> Result<Vec<Found>, StoreError> {
    let mut addresses: Vec<DocAddress> = searcher
        .search(&*wanted.query, &DocSetCollector)
        .map_err(|e| failure(&e))?
        .into_iter()
        .collect();
    addresses.sort_unstable();
    let mut segments: HashMap<u32, Segment> = HashMap::new();
    let mut all = Vec::new();
    for address in addresses {
        let segment = match segments.entry(address.segment_ord) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Segment::open(searcher, address.segment_ord)?)
            }
        };
        let time = segment.time.first(address.doc_id).unwrap_or_default();
        if !wanted.time.contains(&time) {
            continue;
        }
        if let Some(verify) = wanted.verify
            && !verify(&load(searcher, address, columns)?)
        {
            continue;
        }
        all.push(segment.found(address, time)?);
    }
    Ok(all)
}

impl Segment {
    fn open(searcher: &Searcher, ord: u32) -> Result<Self, StoreError> {
        let fast = searcher.segment_reader(ord).fast_fields();
        Ok(Self {
            time: fast.i64("time").map_err(|e| failure(&e))?,
            seq: fast.u64("seq").map_err(|e| failure(&e))?,
            build: fast.str("build").map_err(|e| failure(&e))?,
            names: HashMap::new(),
        })
    }

    fn found(&mut self, address: DocAddress, time: i64) -> Result<Found, StoreError> {
        let ord = self
            .build
            .as_ref()
            .and_then(|column| column.term_ords(address.doc_id).next())
            .ok_or_else(|| StoreError::Damaged("the column of builds".to_owned()))?;
        let build = match self.names.get(&ord) {
            Some(name) => Arc::clone(name),
            None => self.name(ord)?,
        };
        Ok(Found {
            time,
            build,
            seq: self.seq.first(address.doc_id).unwrap_or_default(),
            address,
        })
    }

    fn name(&mut self, ord: u64) -> Result<Arc<str>, StoreError> {
        let mut text = String::new();
        let known = match &self.build {
            Some(column) => column.ord_to_str(ord, &mut text),
            None => Ok(false),
        };
        if !known.is_ok_and(|known| known) {
            return Err(StoreError::Damaged("the column of builds".to_owned()));
        }
        let name: Arc<str> = text.into();
        self.names.insert(ord, Arc::clone(&name));
        Ok(name)
    }
}

/// The event at an address.
pub(super) fn load(
    searcher: &Searcher,
    address: DocAddress,
    columns: &Columns,
) -> Result<Event, StoreError> {
    let document: TantivyDocument = searcher.doc(address).map_err(|e| failure(&e))?;
    columns
        .event(&document)
        .ok_or_else(|| StoreError::Damaged("a stored event".to_owned()))
}

/// Adds to `counts` how many of the events found have which value of a field.
pub(super) fn count_values(
    searcher: &Searcher,
    found: &[Found],
    field: &str,
    columns: &Columns,
    counts: &mut BTreeMap<String, u64>,
) -> Result<(), StoreError> {
    let mut segments: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for one in found {
        let address = one.address;
        segments
            .entry(address.segment_ord)
            .or_default()
            .push(address.doc_id);
    }
    for (ord, documents) in segments {
        count_segment(searcher, ord, &documents, field, columns, counts)
            .map_err(|e| failure(&TantivyError::from(e)))?;
    }
    Ok(())
}

/// Walks the field's terms and meets each one's events with those found (ascending).
fn count_segment(
    searcher: &Searcher,
    ord: u32,
    documents: &[u32],
    field: &str,
    columns: &Columns,
    counts: &mut BTreeMap<String, u64>,
) -> std::io::Result<()> {
    let reader = searcher.segment_reader(ord);
    let index = reader
        .inverted_index(columns.keyword)
        .map_err(std::io::Error::other)?;
    let prefix = value_prefix(field);
    let mut terms = index.terms().range().ge(prefix.as_bytes()).into_stream()?;
    while terms.advance() {
        let Some(value) = terms.key().strip_prefix(prefix.as_bytes()) else {
            break;
        };
        let value = String::from_utf8_lossy(value).into_owned();
        let mut postings =
            index.read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)?;
        let mut count = 0;
        while postings.doc() != TERMINATED {
            count += u64::from(documents.binary_search(&postings.doc()).is_ok());
            postings.advance();
        }
        if count > 0 {
            *counts.entry(value).or_default() += count;
        }
    }
    Ok(())
}

/// Evaluates our query over one event.
pub(super) fn matches(query: &OurQuery, event: &Event, now: Timestamp) -> bool {
    query.matches(&Document::new(event), now)
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
