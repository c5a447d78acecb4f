//! What went wrong while a log was read, in words for people.

use std::path::PathBuf;

/// Something that was not as it should be in a log. Reading goes on where it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A compressed file or an archive ends too early.
    #[error("{file}: ends too early; the first {offset} bytes were read; upload it again")]
    Truncated {
        /// The log file.
        file: String,
        /// Decompressed bytes that could be read.
        offset: u64,
    },
    /// Compressed data that makes no sense.
    #[error(
        "{file}: damaged after {offset} bytes ({reason}); what came before was read; upload it again"
    )]
    Damaged {
        /// The log file.
        file: String,
        /// Decompressed bytes that could be read.
        offset: u64,
        /// What the decoder says.
        reason: String,
    },
    /// Few compressed bytes that become very many.
    #[error(
        "{file}: looks like a decompression bomb (more than {ratio} bytes per compressed byte); reading stopped after {offset} bytes"
    )]
    Bomb {
        /// The log file.
        file: String,
        /// Decompressed bytes that were read.
        offset: u64,
        /// The limit that was passed.
        ratio: u32,
    },
    /// Many files that are harmless alone and a bomb together.
    #[error(
        "{file}: the logs together look like a decompression bomb (more than {ratio} bytes per compressed byte); reading stopped after {offset} bytes of them"
    )]
    Bombs {
        /// The last file that was read.
        file: String,
        /// Decompressed bytes of all files that were read.
        offset: u64,
        /// The limit that was passed.
        ratio: u32,
    },
    /// More bytes than a file may have.
    #[error("{file}: larger than the limit of {limit} bytes; reading stopped there")]
    TooLarge {
        /// The log file.
        file: String,
        /// The limit that was passed.
        limit: u64,
    },
    /// The file or the stream failed.
    #[error("{file}: cannot be read{}: {reason}", after(*offset))]
    NotReadable {
        /// The log file.
        file: String,
        /// Decompressed bytes that could be read.
        offset: u64,
        /// What the system says.
        reason: String,
    },
    /// Somebody wrote to the file while it was read.
    #[error(
        "{file}: its size changed from {size} to {now} bytes while it was read; the first {size} bytes were looked at; look again when nobody writes to it any more"
    )]
    Changing {
        /// The log file.
        file: String,
        /// Its size when it was opened, as it lies there.
        size: u64,
        /// Its size afterwards.
        now: u64,
    },
    /// So many problems that they are no longer told one by one.
    #[error("{count} more problems of files and archives")]
    More {
        /// How many.
        count: u64,
        /// True when a part of the log was not read because of one of them.
        lost: bool,
    },
    /// A packed file of a kind that is not taken apart.
    #[error(
        "{file}: {kind}, which is not taken apart; unpack it, or pack the logs as tar, zip, gzip or zstd"
    )]
    Packed {
        /// The file.
        file: String,
        /// What it is.
        kind: &'static str,
        /// True when it is the build's main log, and no artefact beside the logs.
        main: bool,
    },
    /// Lines that were cut into pieces; nothing is lost, but a phrase across a cut is not found.
    #[error(
        "{file}:{line}: longer than {limit} bytes, cut into pieces ({count} such lines in this file); a phrase across a cut is not found"
    )]
    LongLine {
        /// The log file.
        file: String,
        /// The first such line.
        line: u64,
        /// Number of such lines.
        count: u64,
        /// Length of a piece.
        limit: usize,
    },
    /// Bytes that are no text. Nothing is lost, but what they stood for is not known.
    #[error(
        "{file}:{line}: not UTF-8 ({count} such lines in this file), the bytes are read as \u{FFFD}; the words around them are found"
    )]
    NotUtf8 {
        /// The log file.
        file: String,
        /// The first such line.
        line: u64,
        /// Number of such lines.
        count: u64,
    },
    /// NUL bytes: binary data, or UTF-16.
    #[error(
        "{file}:{line}: NUL bytes ({count} such lines in this file), read as blanks between words; if this is UTF-16, convert it to UTF-8"
    )]
    Nul {
        /// The log file.
        file: String,
        /// The first such line.
        line: u64,
        /// Number of such lines.
        count: u64,
    },
    /// A file name that must not be used.
    #[error("{name:?}: refused, {reason}; rename the file")]
    BadName {
        /// The name, cut to a readable length.
        name: String,
        /// Why.
        reason: NameError,
    },
    /// More files than a build may have.
    #[error("more than {limit} log files; the others were not read")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// Folders in folders beyond the limit.
    #[error("{name}: more than {limit} folders deep, not read")]
    TooDeep {
        /// The folder.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// A link that leads out of the build's folder.
    #[error("{name}: a link that leads out of the log folder, not followed; copy the file instead")]
    Outside {
        /// The link.
        name: String,
    },
}

impl Problem {
    /// True when a part of the log was not read because of it.
    pub fn loses_data(&self) -> bool {
        match self {
            Self::LongLine { .. } | Self::NotUtf8 { .. } | Self::Nul { .. } => false,
            Self::Packed { main, .. } => *main,
            Self::More { lost, .. } => *lost,
            Self::Truncated { .. }
            | Self::Damaged { .. }
            | Self::Bomb { .. }
            | Self::Bombs { .. }
            | Self::Changing { .. }
            | Self::TooLarge { .. }
            | Self::NotReadable { .. }
            | Self::BadName { .. }
            | Self::TooManyFiles { .. }
            | Self::TooDeep { .. }
            | Self::Outside { .. } => true,
        }
    }
}

fn after(offset: u64) -> String {
    match offset {
        0 => String::new(),
        bytes => format!(" after {bytes} bytes"),
    }
}

/// Why nothing could be read at all.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The path cannot be looked at.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Why the name of a log file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of it.
    #[error("the name is empty")]
    Empty,
    /// `..` as a part.
    #[error("the name leads out of the log folder")]
    Parent,
    /// `/…`, `\…` or `C:…`.
    #[error("the name is absolute")]
    Absolute,
    /// NUL or another control character.
    #[error("the name holds a control character")]
    Control,
    /// More than 1,024 bytes.
    #[error("the name is longer than 1024 bytes")]
    TooLong,
}
