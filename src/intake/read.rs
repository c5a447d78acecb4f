//! Logs to events: one log, a stream, or all logs of a build.

use super::archive;
use super::decode::{Archive, Decoded, decode};
use super::format::{Format, job_output};
use super::input::LogInput;
use super::limits::Limits;
use super::name::{base_name, is_main, without_compression};
use super::problem::Problem;
use super::taker::{Events, Log, Taker};
use super::zipped;
use crate::event::{Event, FieldValue, Fields};
use std::io::{self, Read};
use std::sync::Arc;

/// Problems that are told one by one.
const MOST_PROBLEMS: usize = 1000;
/// Bombs in one build whose neighbours are still read.
const BOMBS: u64 = 2;

/// What is known about a log file before it is read.
#[derive(Debug, Clone, Default)]
pub struct FileContext {
    /// Path below the build's log root, `/` between the parts.
    pub name: String,
    /// True when it is known to be the build's main log. Names and formats that always are need
    /// not be told.
    pub main: bool,
    /// Fields that all events of the build share.
    pub shared: Fields,
    /// Tags besides those that the name gives.
    pub extra_tags: Vec<String>,
}

/// What became of one log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The recognised format.
    pub format: Format,
    /// Decompressed bytes that were read.
    pub bytes: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Events that were made of them: of all lines, or of those that are worth an exact look.
    pub events: u64,
    /// What was not as it should be.
    pub problems: Vec<Problem>,
}

impl Summary {
    /// True when nothing of the log is missing.
    pub fn complete(&self) -> bool {
        !self.problems.iter().any(Problem::loses_data)
    }
}

/// What became of the logs of one build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildSummary {
    /// Each log file that was read, in this order.
    pub files: Vec<(String, Summary)>,
    /// What concerns no single log: refused names, damaged archives.
    pub problems: Vec<Problem>,
    /// Bytes of the inputs that were read to their end, as they lay there.
    taken: u64,
    /// Decompressed bytes of all files.
    given: u64,
}

impl BuildSummary {
    /// Adds a log that was read.
    pub(crate) fn add(&mut self, name: String, file: Summary) {
        self.given += file.bytes;
        self.files.push((name, file));
    }

    /// Adds a problem; those that are too many are only counted.
    pub(crate) fn tell(&mut self, problem: Problem) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
            return;
        }
        let loses = problem.loses_data();
        if let Some(Problem::More { count, lost }) = self.problems.last_mut() {
            *count += 1;
            *lost |= loses;
            return;
        }
        let (count, lost) = (1, loses);
        self.problems.push(Problem::More { count, lost });
    }

    /// What is wrong when the logs together are a bomb, though none of them need be one: so many bytes
    /// were taken of the input that is being read.
    pub(crate) fn bombs(&self, taking: u64, limits: &Limits) -> Option<Problem> {
        let ratio = self.given / (self.taken + taking).max(1);
        let harmless = limits.ratio_from.saturating_mul(BOMBS);
        if self.given <= harmless || ratio <= u64::from(limits.max_ratio) {
            return None;
        }
        let file = self.files.last().map(|(name, _)| name.clone());
        Some(Problem::Bombs {
            file: file.unwrap_or_default(),
            offset: self.given,
            ratio: limits.max_ratio,
        })
    }

    /// True when there was not one byte of log, so that nothing could be looked at.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// True when nothing of the build's logs is missing.
    pub fn complete(&self) -> bool {
        !self.problems.iter().any(Problem::loses_data)
            && self.files.iter().all(|(_, summary)| summary.complete())
    }

    /// All problems, those of the files first.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        let of_files = self.files.iter().flat_map(|(_, summary)| &summary.problems);
        of_files.chain(&self.problems)
    }

    /// Decompressed bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, summary)| summary.bytes).sum()
    }

    /// Lines of all files.
    pub fn lines(&self) -> u64 {
        self.files.iter().map(|(_, summary)| summary.lines).sum()
    }

    /// Events of all files.
    pub fn events(&self) -> u64 {
        self.files.iter().map(|(_, summary)| summary.events).sum()
    }
}

/// Reads one log, compressed or not, and hands out its events. An archive is read as one text
/// here; [`read_all`] and [`read_stream`] take archives apart.
pub fn read_log(
    reader: &mut dyn Read,
    context: &FileContext,
    limits: &Limits,
    sink: &mut dyn FnMut(Event),
) -> Summary {
    let decoded = decode(Box::new(reader), limits);
    read_decoded(decoded, context, limits, &mut Events(sink))
}

pub(crate) fn read_decoded(
    mut decoded: Decoded<'_>,
    context: &FileContext,
    limits: &Limits,
    taker: &mut dyn Taker,
) -> Summary {
    let mut head = Head::default();
    if job_output::is_named(base_name(&context.name)) {
        head = Head::read(&mut decoded.reader);
        if let Some(summary) = head.failures(context, taker) {
            return summary;
        }
    }
    let mut reader = head.chain(&mut decoded.reader);
    let taken = taker.log(Log {
        reader: &mut reader,
        context,
        limits,
    });
    let mut problems = taken.problems;
    if let Some(error) = taken.error {
        let name = &context.name;
        problems.push(decoded.meter.problem(&error, name, taken.bytes, limits));
    }
    Summary {
        format: taken.format,
        bytes: taken.bytes,
        lines: taken.lines,
        events: taken.events,
        problems,
    }
}

/// The beginning of a file that is read as a whole where it is not too large.
#[derive(Default)]
struct Head {
    bytes: Vec<u8>,
    given: usize,
    /// What stopped the reading, which is told after the bytes before it.
    error: Option<io::Error>,
    /// True when it is all of the file.
    whole: bool,
}

impl Head {
    fn read(reader: &mut dyn Read) -> Self {
        let mut bytes = Vec::new();
        let read = reader.take(job_output::LARGEST + 1).read_to_end(&mut bytes);
        Self {
            whole: read.is_ok() && bytes.len() as u64 <= job_output::LARGEST,
            bytes,
            given: 0,
            error: read.err(),
        }
    }

    /// The tasks that failed, if it is a whole `job-output.json`.
    fn failures(&self, context: &FileContext, taker: &mut dyn Taker) -> Option<Summary> {
        let text = Some(&self.bytes).filter(|_| self.whole)?;
        let all = job_output::events(text, &context.name)?;
        let shared = Arc::new(shared_fields(context, Format::ZuulJson));
        let events = all.len() as u64;
        for mut event in all {
            event.shared = Arc::clone(&shared);
            taker.event(event);
        }
        let ends = memchr::memchr_iter(b'\n', text).count() as u64;
        let open = text.last().is_some_and(|byte| *byte != b'\n');
        Some(Summary {
            format: Format::ZuulJson,
            bytes: text.len() as u64,
            lines: ends + u64::from(open),
            events,
            problems: Vec::new(),
        })
    }
}

impl Read for Head {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.bytes[self.given..];
        let count = rest.read(buffer)?;
        self.given += count;
        match self.error.take() {
            Some(error) if count == 0 => Err(error),
            kept => {
                self.error = kept;
                Ok(count)
            }
        }
    }
}

/// The build's fields with `filename` and `tags` of this file.
pub(crate) fn shared_fields(context: &FileContext, format: Format) -> Fields {
    let mut fields = context.shared.clone();
    let name = without_compression(&context.name);
    fields.set("filename", FieldValue::text(name));
    fields.add("tags", FieldValue::text(base_name(&context.name)));
    if context.main || format.is_job_log() || is_main(&context.name) {
        fields.add("tags", FieldValue::text("console"));
    }
    for tag in &context.extra_tags {
        fields.add("tags", FieldValue::text(tag));
    }
    fields
}

/// Reads all logs of one build, archives taken apart. The only log of a build is its main log.
pub fn read_all(
    inputs: &[LogInput],
    shared: &Fields,
    limits: &Limits,
    sink: &mut dyn FnMut(Event),
) -> BuildSummary {
    take_all(inputs, shared, limits, &mut Events(sink))
}

/// Has all logs of one build taken, as [`read_all`] reads them.
pub(crate) fn take_all(
    inputs: &[LogInput],
    shared: &Fields,
    limits: &Limits,
    taker: &mut dyn Taker,
) -> BuildSummary {
    let mut summary = BuildSummary::default();
    let only = inputs
        .iter()
        .filter(|input| input.problem().is_none())
        .count()
        == 1;
    for input in inputs {
        if let Some(problem) = input.problem() {
            summary.tell(problem.clone());
            continue;
        }
        read_input(input, only, shared, limits, taker, &mut summary);
        if let Some(problem) = summary.bombs(0, limits) {
            if !matches!(summary.problems.last(), Some(Problem::Bombs { .. })) {
                summary.tell(problem);
            }
            break;
        }
    }
    summary
}

fn read_input(
    input: &LogInput,
    only: bool,
    shared: &Fields,
    limits: &Limits,
    taker: &mut dyn Taker,
    summary: &mut BuildSummary,
) {
    let raw = match input.raw() {
        Ok(raw) => raw,
        Err(error) => {
            summary.tell(Problem::NotReadable {
                file: input.name().to_owned(),
                offset: 0,
                reason: error.to_string(),
            });
            return;
        }
    };
    let context = FileContext {
        name: input.name().to_owned(),
        main: only || input.is_main(),
        shared: shared.clone(),
        extra_tags: Vec::new(),
    };
    let root = if only { None } else { Some(input.name()) };
    let decoded = decode(raw.reader, limits);
    let meter = Arc::clone(&decoded.meter);
    read_source(decoded, root, context, limits, taker, summary);
    summary.taken += meter.bytes();
    let size = raw.watch.as_ref().map(|watch| watch.size);
    let now = raw.watch.and_then(|watch| watch.now());
    if let (Some(size), Some(now)) = (size, now)
        && size != now
    {
        let file = input.name().to_owned();
        summary.tell(Problem::Changing { file, size, now });
    }
}

/// Reads a log, or all logs of an archive, with `root` before their names.
fn read_source(
    decoded: Decoded<'_>,
    root: Option<&str>,
    context: FileContext,
    limits: &Limits,
    taker: &mut dyn Taker,
    summary: &mut BuildSummary,
) {
    let artefact = zipped::is_artefact(&context.name);
    match decoded.archive {
        Some(Archive::Tar) => {
            archive::read_archive(decoded, root, &context, limits, taker, summary);
            return;
        }
        Some(Archive::Zip) if !artefact => {
            zipped::read_zip(decoded, root, &context, limits, taker, summary);
            return;
        }
        _ => {}
    }
    if let Some(kind) = decoded.inner_packing() {
        let main = context.main || is_main(&context.name);
        let file = context.name;
        summary.tell(Problem::Packed { file, kind, main });
        return;
    }
    let file = read_decoded(decoded, &context, limits, taker);
    summary.add(context.name, file);
}

/// Reads a stream, such as standard input: one log, which is the build's main log, or an archive
/// of logs.
pub fn read_stream(
    name: &str,
    reader: &mut dyn Read,
    shared: &Fields,
    limits: &Limits,
    sink: &mut dyn FnMut(Event),
) -> BuildSummary {
    let mut summary = BuildSummary::default();
    let context = FileContext {
        name: name.to_owned(),
        main: true,
        shared: shared.clone(),
        extra_tags: Vec::new(),
    };
    let decoded = decode(Box::new(reader), limits);
    let taker = &mut Events(sink);
    read_source(decoded, None, context, limits, taker, &mut summary);
    summary
}
