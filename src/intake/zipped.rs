//! Logs in zip archives, one after the other. The index of a zip stands at its end, so the archive
//! lies in a temporary file meanwhile; what comes out of it is never held.

use super::archive::Counted;
use super::decode::{Decoded, Meter, decode};
use super::limits::Limits;
use super::name::clean_name;
use super::problem::Problem;
use super::read::{BuildSummary, FileContext, read_decoded};
use super::taker::Taker;
use std::cell::Cell;
use std::io::{self, Read, Seek};
use tempfile::SpooledTempFile;
use zip::CompressionMethod;
use zip::read::{ZipFileEntry, ZipReadOptions};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

/// How much of an archive stays in memory.
const IN_MEMORY: usize = 4 << 20;
/// Entries that are looked at for each log that a build may have: folders and links are entries too.
const ENTRIES_PER_FILE: usize = 10;

/// Zip files that are no archives of logs but what was built, by the ends of their names.
const ARTEFACTS: [&str; 14] = [
    ".jar", ".war", ".ear", ".whl", ".egg", ".apk", ".aar", ".docx", ".xlsx", ".odt", ".ods",
    ".npz", ".nupkg", ".vsix",
];

/// True when a zip of this name is an artefact beside the logs.
pub(crate) fn is_artefact(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ARTEFACTS.iter().any(|end| name.ends_with(end))
}

/// Reads every log of the archive. `root` goes before the names when the build has other logs. An
/// entry that is damaged or encrypted is told, and the others are read all the same.
pub(crate) fn read_zip(
    mut decoded: Decoded<'_>,
    root: Option<&str>,
    context: &FileContext,
    limits: &Limits,
    taker: &mut dyn Taker,
    summary: &mut BuildSummary,
) {
    let mut kept = SpooledTempFile::new(IN_MEMORY);
    let size = match io::copy(&mut decoded.reader, &mut kept) {
        Ok(size) => size,
        Err(error) => {
            let problem = decoded.meter.problem(&error, &context.name, 0, limits);
            summary.tell(problem);
            return;
        }
    };
    let meter = Meter::taken(size);
    let mut entries = Entries {
        root,
        context,
        limits,
        taker,
        summary,
        meter: &meter,
        given: Cell::new(0),
        size,
        taken: decoded.meter.bytes(),
    };
    let read = kept
        .rewind()
        .map_err(ZipError::Io)
        .and_then(|()| ZipIterable::try_new(kept, config()))
        .and_then(|mut archive| entries.all(&mut archive));
    if let Err(error) = read {
        let problem = damaged(&context.name, entries.given.get(), &error);
        summary.tell(problem);
    }
}

/// An archive begins where its file does: its list, sought anywhere, would be kept as one place for each byte.
fn config() -> zip::read::Config {
    zip::read::Config {
        archive_offset: zip::read::ArchiveOffset::Known(0),
    }
}

/// The logs of one archive as they are met.
struct Entries<'a> {
    root: Option<&'a str>,
    context: &'a FileContext,
    limits: &'a Limits,
    taker: &'a mut dyn Taker,
    summary: &'a mut BuildSummary,
    meter: &'a Meter,
    /// Bytes that all entries together have given. Entries may share their compressed bytes, so
    /// that none alone looks like a bomb.
    given: Cell<u64>,
    size: u64,
    /// Bytes of the archive as it came, which may have been compressed once more.
    taken: u64,
}

impl Entries<'_> {
    fn all(&mut self, archive: &mut ZipIterable<SpooledTempFile>) -> Result<(), ZipError> {
        let only = self.count(archive)? == 1;
        let entries = archive.files()?;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if !is_log(&entry) {
                continue;
            }
            if self.summary.files.len() >= self.limits.max_files {
                return Ok(());
            }
            let raw = entry.name_raw();
            let name = match entry.name() {
                Ok(name) => name.into_owned(),
                Err(_) => String::from_utf8_lossy(raw).into_owned(),
            };
            match clean_name(&name) {
                Ok(name) => self.one(entry, entries.reader_mut(), &name, only),
                Err(reason) => self.summary.tell(Problem::BadName {
                    name: name.chars().take(200).collect(),
                    reason,
                }),
            }
            if self.meter.is_stopped() {
                return Ok(());
            }
            // Entries that are compressed once more may be harmless alone.
            // Of the archive, what its entries gave so far counts, and never more than all of it.
            let taken = self.taken.min(self.given.get());
            if let Some(problem) = self.summary.bombs(taken, self.limits) {
                self.summary.tell(problem);
                return Ok(());
            }
        }
        Ok(())
    }

    /// How many logs there are; more than a build may have are told.
    fn count(&mut self, archive: &mut ZipIterable<SpooledTempFile>) -> Result<usize, ZipError> {
        let limit = self.limits.max_files;
        let mut logs = 0;
        let (mut seen, most) = (0_usize, limit.saturating_mul(ENTRIES_PER_FILE));
        for entry in archive.files()? {
            logs += usize::from(is_log(&entry?));
            seen += 1;
            if logs + self.summary.files.len() > limit || seen > most {
                self.summary.tell(Problem::TooManyFiles { limit });
                break;
            }
        }
        Ok(logs)
    }

    fn one(
        &mut self,
        entry: ZipFileEntry<'_>,
        archive: &mut SpooledTempFile,
        name: &str,
        only: bool,
    ) {
        let context = FileContext {
            name: match self.root {
                Some(root) => format!("{root}/{name}"),
                None => name.to_owned(),
            },
            main: only && self.context.main,
            ..self.context.clone()
        };
        if let Some(reason) = unreadable(&entry) {
            self.summary.tell(Problem::NotReadable {
                file: context.name,
                offset: 0,
                reason,
            });
            return;
        }
        match entry.with_reader(archive, ZipReadOptions::new()) {
            Ok(log) => self.read(log, context),
            Err(error) => {
                let problem = damaged(&context.name, 0, &error);
                self.summary.tell(problem);
            }
        }
    }

    fn read(&mut self, log: impl Read, context: FileContext) {
        let (seen, failure) = (Cell::new(0_u64), Cell::new(None));
        let guarded = Guarded {
            inner: log,
            given: &self.given,
            taken: self.size,
            meter: self.meter,
            limits: self.limits,
        };
        let counted = Counted {
            inner: guarded,
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
            let name = &context.name;
            let problem = self.meter.problem(&error, name, file.bytes, self.limits);
            file.problems.push(problem);
        }
        self.summary.add(context.name, file);
    }
}

/// Why an entry cannot be read at all.
fn unreadable(entry: &ZipFileEntry<'_>) -> Option<String> {
    if entry.encrypted() {
        return Some("encrypted; pack the logs without a password".into());
    }
    let method = entry.compression();
    let known = [CompressionMethod::Stored, CompressionMethod::Deflated].contains(&method);
    (!known).then(|| format!("packed by {method:?}, which is not taken apart; pack it by deflate"))
}

/// True for a file; folders and links are none.
fn is_log(entry: &ZipFileEntry<'_>) -> bool {
    !entry.is_dir() && !entry.is_symlink()
}

/// A limit on what all entries of an archive give together.
struct Guarded<'a, R> {
    inner: R,
    given: &'a Cell<u64>,
    taken: u64,
    meter: &'a Meter,
    limits: &'a Limits,
}

impl<R: Read> Read for Guarded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let given = self.given.get() + n as u64;
        self.given.set(given);
        let ratio = given / self.taken.max(1);
        if given > self.limits.ratio_from && ratio > u64::from(self.limits.max_ratio) {
            return Err(self.meter.stop_as_bomb());
        }
        if given > self.limits.max_bytes {
            return Err(self.meter.stop_as_too_large());
        }
        Ok(n)
    }
}

fn damaged(file: &str, offset: u64, error: &ZipError) -> Problem {
    let file = file.to_owned();
    match error {
        // The index stands at the end: an archive without one has lost it.
        // The index stands at the end: where an archive breaks off it is the first to miss.
        ZipError::InvalidArchive(why) if why.contains("EOCD") || why.contains("Unexpected end") => {
            Problem::Truncated { file, offset }
        }
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Problem::Truncated { file, offset }
        }
        error => Problem::Damaged {
            file,
            offset,
            reason: error.to_string(),
        },
    }
}
