//! Decompression by content, with guards against bombs.

use super::limits::Limits;
use super::problem::Problem;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Compressed files in compressed files are opened this often; deeper ones are read as they are.
const MAX_LAYERS: usize = 3;
const HEAD: usize = 512;
const XZ_MEMORY: u64 = 256 << 20;

/// What the layers of one file tell each other. Decoders wrap the errors of what they read from,
/// so the reason is kept here.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    taken: AtomicU64,
    source_failed: AtomicBool,
    stopped: AtomicU8,
}

const TOO_LARGE: u8 = 1;
const BOMB: u8 = 2;

impl Meter {
    /// Of a source of which so many bytes were taken already.
    pub(crate) fn taken(bytes: u64) -> Self {
        Self {
            taken: AtomicU64::new(bytes),
            ..Self::default()
        }
    }

    /// Bytes that were taken of the source.
    pub(crate) fn bytes(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// True when a limit has stopped the reading.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) != 0
    }

    /// Says that this is a bomb; gives the error to fail with.
    pub(crate) fn stop_as_bomb(&self) -> io::Error {
        self.stop(BOMB)
    }

    /// Says that there are too many bytes; gives the error to fail with.
    pub(crate) fn stop_as_too_large(&self) -> io::Error {
        self.stop(TOO_LARGE)
    }

    fn stop(&self, why: u8) -> io::Error {
        self.stopped.store(why, Ordering::Relaxed);
        io::Error::other("a limit of the intake was passed")
    }

    /// The problem that an error of the decoded reader stands for.
    pub(crate) fn problem(
        &self,
        error: &io::Error,
        file: &str,
        offset: u64,
        limits: &Limits,
    ) -> Problem {
        let file = file.to_owned();
        match self.stopped.load(Ordering::Relaxed) {
            TOO_LARGE => {
                return Problem::TooLarge {
                    file,
                    limit: limits.max_bytes,
                };
            }
            BOMB => {
                return Problem::Bomb {
                    file,
                    offset,
                    ratio: limits.max_ratio,
                };
            }
            _ => {}
        }
        let reason = error.to_string();
        if self.source_failed.load(Ordering::Relaxed) {
            return Problem::NotReadable {
                file,
                offset,
                reason,
            };
        }
        if error.kind() == ErrorKind::UnexpectedEof {
            return Problem::Truncated { file, offset };
        }
        Problem::Damaged {
            file,
            offset,
            reason,
        }
    }
}

/// A decompressing reader and what is known about it.
pub(crate) struct Decoded<'a> {
    pub(crate) reader: Box<dyn Read + 'a>,
    pub(crate) meter: Arc<Meter>,
    /// What the content is when it is an archive of logs.
    pub(crate) archive: Option<Archive>,
    /// What the content is when it is packed in a way that is not taken apart.
    pub(crate) packed: Option<&'static str>,
}

/// Archives that are taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Archive {
    Tar,
    Zip,
}

impl Decoded<'_> {
    /// What the content is when it is packed once more inside an archive, and no text.
    pub(crate) fn inner_packing(&self) -> Option<&'static str> {
        let zip = self.archive == Some(Archive::Zip);
        zip.then_some("a zip archive").or(self.packed)
    }
}

/// Opens what `reader` gives: gzip, zstd, xz and bzip2 by their first bytes, nested.
pub(crate) fn decode<'a>(reader: Box<dyn Read + 'a>, limits: &Limits) -> Decoded<'a> {
    let meter = Arc::new(Meter::default());
    let source = Source {
        inner: reader,
        meter: Arc::clone(&meter),
    };
    let mut peek = Peek::new(Box::new(guard(Box::new(source), limits, &meter)));
    for _ in 0..MAX_LAYERS {
        let Some(kind) = kind_of(peek.head()) else {
            break;
        };
        let decoder = match decoder(kind, peek) {
            Ok(decoder) => decoder,
            Err(error) => Box::new(Broken(Some(error))),
        };
        peek = Peek::new(Box::new(guard(decoder, limits, &meter)));
    }
    let archive = archive_of(peek.head());
    let packed = packed(peek.head());
    Decoded {
        reader: Box::new(peek),
        meter,
        archive,
        packed,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

fn kind_of(head: &[u8]) -> Option<Kind> {
    if head.starts_with(&[0x1f, 0x8b, 8]) {
        return Some(Kind::Gzip);
    }
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Some(Kind::Zstd);
    }
    if head.starts_with(b"\xfd7zXZ\0") {
        return Some(Kind::Xz);
    }
    let block = head.get(4..10)?;
    let bzip2 = head.starts_with(b"BZh")
        && head[3].is_ascii_digit()
        && (block == [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]
            || block == [0x17, 0x72, 0x45, 0x38, 0x50, 0x90]);
    bzip2.then_some(Kind::Bzip2)
}

fn archive_of(head: &[u8]) -> Option<Archive> {
    if head.get(257..262) == Some(b"ustar") {
        return Some(Archive::Tar);
    }
    // The second one is an archive without entries.
    let zip = head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06");
    zip.then_some(Archive::Zip)
}

/// Packed files that would only look like a log without any known bug.
fn packed(head: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 4] = [
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a rar archive"),
        (b"\x04\x22\x4d\x18", "compressed by lz4"),
        (b"\x1f\x9d", "compressed by compress (.Z)"),
    ];
    let found = kinds.iter().find(|(magic, _)| head.starts_with(magic));
    found.map(|(_, kind)| *kind)
}

fn decoder<'a>(kind: Kind, from: Peek<'a>) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match kind {
        Kind::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
        Kind::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(BufReader::new(
            from,
        ))?),
        Kind::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags)?;
            Box::new(liblzma::read::XzDecoder::new_stream(from, stream))
        }
        Kind::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(from)),
    })
}

/// A reader that only has an error.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// The bytes as they came, counted.
struct Source<'a> {
    inner: Box<dyn Read + 'a>,
    meter: Arc<Meter>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        match &result {
            Ok(n) => {
                self.meter.taken.fetch_add(*n as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.meter.source_failed.store(true, Ordering::Relaxed),
        }
        result
    }
}

/// Stops a layer that gives more than the limits allow.
struct Guard<'a> {
    inner: Box<dyn Read + 'a>,
    meter: Arc<Meter>,
    given: u64,
    max_bytes: u64,
    max_ratio: u64,
    ratio_from: u64,
}

fn guard<'a>(inner: Box<dyn Read + 'a>, limits: &Limits, meter: &Arc<Meter>) -> Guard<'a> {
    Guard {
        inner,
        meter: Arc::clone(meter),
        given: 0,
        max_bytes: limits.max_bytes,
        max_ratio: u64::from(limits.max_ratio),
        ratio_from: limits.ratio_from,
    }
}

impl Guard<'_> {
    fn is_bomb(&self) -> bool {
        let taken = self.meter.taken.load(Ordering::Relaxed).max(1);
        self.given > self.ratio_from && self.given / taken > self.max_ratio
    }
}

impl Read for Guard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_bomb() {
            return Err(self.meter.stop(BOMB));
        }
        let left = self.max_bytes - self.given;
        if left == 0 {
            let more = self.inner.read(&mut [0; 1])? > 0;
            return if more {
                Err(self.meter.stop(TOO_LARGE))
            } else {
                Ok(0)
            };
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let n = self.inner.read(&mut buffer[..most])?;
        self.given += n as u64;
        Ok(n)
    }
}

/// A reader whose first bytes can be looked at. An error met on the way comes after them.
struct Peek<'a> {
    head: Cursor<Vec<u8>>,
    error: Option<io::Error>,
    inner: Box<dyn Read + 'a>,
}

impl<'a> Peek<'a> {
    fn new(mut inner: Box<dyn Read + 'a>) -> Self {
        let mut head = vec![0; HEAD];
        let mut have = 0;
        let mut error = None;
        while have < HEAD {
            match inner.read(&mut head[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    error = Some(e);
                    break;
                }
            }
        }
        head.truncate(have);
        Self {
            head: Cursor::new(head),
            error,
            inner,
        }
    }

    fn head(&self) -> &[u8] {
        self.head.get_ref()
    }
}

impl Read for Peek<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.head.read(buffer)?;
        if n > 0 {
            return Ok(n);
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.inner.read(buffer)
    }
}
