//! Logs in tar archives, one after the other, without holding any of them.

use super::decode::{Decoded, Meter, decode};
use super::limits::Limits;
use super::name::clean_name;
use super::problem::Problem;
use super::read::{BuildSummary, FileContext, read_decoded};
use crate::event::Event;
use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;
use tar::{Archive, Entry, EntryType};

/// Longest extended header that is looked at; names are refused beyond 1,024 bytes anyway.
const MAX_HEADER: u64 = 64 * 1024;

/// Reads every log of the archive. `root` goes before the names when the build has other logs.
pub(crate) fn read_archive(
    decoded: Decoded<'_>,
    root: Option<&str>,
    context: &FileContext,
    limits: &Limits,
    sink: &mut dyn FnMut(Event),
    summary: &mut BuildSummary,
) {
    let meter = decoded.meter;
    let failure =
        |error: &io::Error, meter: &Arc<Meter>, at| meter.problem(error, &context.name, at, limits);
    let mut archive = Archive::new(decoded.reader);
    let entries = match archive.entries() {
        Ok(entries) => entries.raw(true),
        Err(error) => {
            summary.problems.push(failure(&error, &meter, 0));
            return;
        }
    };
    let mut names = Names::default();
    let mut read = 0;
    for entry in entries {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                summary.problems.push(failure(&error, &meter, read));
                return;
            }
        };
        let Some(name) = names.of(&mut entry) else {
            continue;
        };
        if summary.files.len() >= limits.max_files {
            let limit = limits.max_files;
            summary.problems.push(Problem::TooManyFiles { limit });
            return;
        }
        match clean_name(&name) {
            Ok(name) => {
                let name = root.map_or(name.clone(), |root| format!("{root}/{name}"));
                let member = FileContext {
                    name,
                    ..context.clone()
                };
                read += read_member(&mut entry, member, limits, sink, summary);
            }
            Err(reason) => summary.problems.push(Problem::BadName {
                name: name.chars().take(200).collect(),
                reason,
            }),
        }
    }
}

/// True when the archive holds exactly one log.
pub(crate) fn holds_one(decoded: Decoded<'_>) -> bool {
    let mut archive = Archive::new(decoded.reader);
    let Ok(entries) = archive.entries() else {
        return false;
    };
    let files = entries
        .raw(true)
        .map_while(Result::ok)
        .filter(|entry| is_file(entry.header().entry_type()));
    files.take(2).count() == 1
}

fn is_file(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
    )
}

fn read_member<R: Read>(
    entry: &mut Entry<'_, R>,
    context: FileContext,
    limits: &Limits,
    sink: &mut dyn FnMut(Event),
    summary: &mut BuildSummary,
) -> u64 {
    let size = entry.size();
    let seen = Cell::new(0_u64);
    let failed = Cell::new(false);
    let counted = Counted {
        inner: entry,
        seen: &seen,
        failed: &failed,
    };
    let mut file = read_decoded(decode(Box::new(counted), limits), &context, limits, sink);
    // The archive's end inside a member is no error to the archive reader.
    if file.complete() && !failed.get() && seen.get() < size {
        file.problems.push(Problem::Truncated {
            file: context.name.clone(),
            offset: file.bytes,
        });
    }
    summary.files.push((context.name, file));
    seen.get()
}

/// Counts what is read of a member.
struct Counted<'a, R> {
    inner: R,
    seen: &'a Cell<u64>,
    failed: &'a Cell<bool>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        match &result {
            Ok(n) => self.seen.set(self.seen.get() + *n as u64),
            Err(_) => self.failed.set(true),
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
