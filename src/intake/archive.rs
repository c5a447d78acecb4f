//! Logs in tar archives, one after the other, without holding any of them.

use super::decode::{Decoded, Meter, decode};
use super::limits::Limits;
use super::name::clean_name;
use super::problem::Problem;
use super::read::{BuildSummary, FileContext, read_decoded};
use super::taker::Taker;
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Seek};
use tar::{Archive, Entry, EntryType};
use tempfile::SpooledTempFile;

/// Longest extended header that is looked at; names are refused beyond 1,024 bytes anyway.
const MAX_HEADER: u64 = 64 * 1024;
/// Largest first member that is held back; a larger one is the console only if its name says so.
const MAX_HELD: u64 = 1 << 30;
/// How much of it stays in memory.
const IN_MEMORY: usize = 1 << 20;

/// Reads every log of the archive. `root` goes before the names when the build has other logs.
/// Where `context` says that this is the build's main log, an archive of one log is meant: whether
/// it is one is known only when the next log is asked for, so the first is held back until then.
pub(crate) fn read_archive(
    decoded: Decoded<'_>,
    root: Option<&str>,
    context: &FileContext,
    limits: &Limits,
    taker: &mut dyn Taker,
    summary: &mut BuildSummary,
) {
    let meter = decoded.meter;
    let mut archive = Archive::new(decoded.reader);
    let mut members = Members {
        root,
        context,
        limits,
        summary,
        taker,
        meter: &meter,
        held: None,
        broken: false,
        count: 0,
        read: 0,
    };
    let failure = match archive.entries() {
        Ok(entries) => members.all(entries.raw(true)),
        Err(error) => Err(error),
    };
    let only = members.count == 1;
    members.release(only);
    let broken = members.broken;
    if let (Err(error), false) = (failure, broken) {
        let problem = meter.problem(&error, &context.name, members.read, limits);
        members.summary.tell(problem);
    }
}

/// The logs of one archive as they are met.
struct Members<'a> {
    root: Option<&'a str>,
    context: &'a FileContext,
    limits: &'a Limits,
    summary: &'a mut BuildSummary,
    taker: &'a mut dyn Taker,
    meter: &'a Meter,
    held: Option<(FileContext, Held)>,
    /// True when the end of the archive was met inside a log, and told.
    broken: bool,
    count: usize,
    read: u64,
}

impl Members<'_> {
    fn all<R: Read>(&mut self, entries: tar::Entries<'_, R>) -> io::Result<()> {
        let mut names = Names::default();
        for entry in entries {
            let mut entry = entry?;
            let Some(name) = names.of(&mut entry) else {
                continue;
            };
            self.release(false);
            self.count += 1;
            let limit = self.limits.max_files;
            if self.summary.files.len() >= limit || self.count > limit {
                self.summary.tell(Problem::TooManyFiles { limit });
                return Ok(());
            }
            match clean_name(&name) {
                Ok(name) => self.one(entry, name),
                Err(reason) => self.summary.tell(Problem::BadName {
                    name: name.chars().take(200).collect(),
                    reason,
                }),
            }
            // Members that are compressed once more may be harmless alone.
            if let Some(problem) = self.summary.bombs(self.meter.bytes(), self.limits) {
                self.summary.tell(problem);
                return Ok(());
            }
        }
        Ok(())
    }

    fn one<R: Read>(&mut self, mut entry: Entry<'_, R>, name: String) {
        let member = FileContext {
            name: match self.root {
                Some(root) => format!("{root}/{name}"),
                None => name,
            },
            main: false,
            ..self.context.clone()
        };
        let size = entry.size();
        if self.context.main && self.count == 1 && size <= MAX_HELD {
            self.held = Some((member, Held::take(&mut entry, size)));
            return;
        }
        self.member(entry, size, member);
    }

    /// Reads one log. What stops the archive inside it is told with the name of this log.
    fn member(&mut self, member: impl Read, size: u64, context: FileContext) {
        let (seen, failure) = (Cell::new(0_u64), Cell::new(None));
        let counted = Counted {
            inner: member,
            seen: &seen,
            failure: &failure,
        };
        let decoded = decode(Box::new(counted), self.limits);
        if let Some(kind) = decoded.inner_packing() {
            self.summary.tell(Problem::Packed {
                file: context.name,
                kind,
                main: context.main,
            });
            return;
        }
        let mut file = read_decoded(decoded, &context, self.limits, self.taker);
        if let Some(error) = failure.take() {
            // The log's own reader has only seen that the archive failed, and not why.
            file.problems.retain(|problem| !problem.loses_data());
            let problem = self
                .meter
                .problem(&error, &context.name, file.bytes, self.limits);
            file.problems.push(problem);
            self.broken = true;
        } else if file.complete() && seen.get() < size {
            // The archive's end inside a member is no error to the archive reader.
            file.problems.push(Problem::Truncated {
                file: context.name.clone(),
                offset: file.bytes,
            });
            self.broken = true;
        }
        self.summary.add(context.name, file);
        self.read += seen.get();
    }

    /// Reads the log that was held back.
    fn release(&mut self, main: bool) {
        let Some((mut member, held)) = self.held.take() else {
            return;
        };
        member.main = main;
        let size = held.size;
        self.member(held, size, member);
    }
}

/// A member that is kept until it is known whether others come; on the disk unless it is small.
struct Held {
    kept: SpooledTempFile,
    size: u64,
    error: Option<io::Error>,
}

impl Held {
    fn take(entry: &mut impl Read, size: u64) -> Self {
        let mut kept = SpooledTempFile::new(IN_MEMORY);
        let copied = io::copy(entry, &mut kept).and_then(|_| kept.rewind());
        let error = copied.err();
        if error.is_some() {
            // What came before the error is read; when not even this is possible the error says so.
            let _ = kept.rewind();
        }
        Self { kept, size, error }
    }
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.kept.read(buffer)? {
            0 if !buffer.is_empty() => self.error.take().map_or(Ok(0), Err),
            n => Ok(n),
        }
    }
}

fn is_file(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
    )
}

/// Counts what is read of a member, and keeps what stopped it.
pub(super) struct Counted<'a, R> {
    pub(super) inner: R,
    pub(super) seen: &'a Cell<u64>,
    pub(super) failure: &'a Cell<Option<io::Error>>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        match &result {
            Ok(n) => self.seen.set(self.seen.get() + *n as u64),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                let same = io::Error::new(error.kind(), error.to_string());
                self.failure.set(Some(same));
            }
        }
        result
    }
}

/// Names of members, which may stand in members of their own before the real one. Read here with
/// a limit: the archive reader would take any length into memory.
#[derive(Default)]
struct Names {
    long: Option<Vec<u8>>,
}

impl Names {
    /// The name of a log; `None` for folders, links and headers.
    fn of<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Option<String> {
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                self.long = Some(until_nul(limited(entry)));
                None
            }
            EntryType::XHeader => {
                self.long = pax_path(&limited(entry)).or_else(|| self.long.take());
                None
            }
            _ => {
                let long = self.long.take();
                let name = long.unwrap_or_else(|| entry.path_bytes().into_owned());
                is_file(kind).then(|| String::from_utf8_lossy(&name).into_owned())
            }
        }
    }
}

fn limited(entry: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is missing shows as an error when the next member is asked for.
    let _ = entry.take(MAX_HEADER).read_to_end(&mut bytes);
    bytes
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn pax_path(header: &[u8]) -> Option<Vec<u8>> {
    header.split(|b| *b == b'\n').find_map(|line| {
        let blank = line.iter().position(|b| *b == b' ')?;
        line[blank + 1..].strip_prefix(b"path=").map(<[u8]>::to_vec)
    })
}
