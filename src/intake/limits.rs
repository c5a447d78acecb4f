//! How much intake takes before it stops.

const MIB: u64 = 1024 * 1024;

/// Bounds on what is read; past each of them reading stops or cuts, and a problem says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Decompressed bytes of one file.
    pub max_bytes: u64,
    /// Decompressed bytes per compressed byte, once `ratio_from` bytes came out.
    pub max_ratio: u32,
    /// Decompressed bytes from which on the ratio counts: small files may be very repetitive.
    pub ratio_from: u64,
    /// Bytes of one line that stay together; a longer line is cut into pieces of this length.
    pub max_line: usize,
    /// Lines of one event; a longer block goes on in another event.
    pub max_event_lines: u32,
    /// Bytes of one event's message.
    pub max_event_bytes: usize,
    /// Files of one build.
    pub max_files: usize,
    /// Folders below the build's log root.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 16 * 1024 * MIB,
            max_ratio: 200,
            ratio_from: 64 * MIB,
            max_line: 1 << 20,
            max_event_lines: 1000,
            max_event_bytes: 4 << 20,
            max_files: 10_000,
            max_depth: 32,
        }
    }
}
