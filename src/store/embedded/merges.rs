//! Which segments of a slice become one: some of about one size, as long as that reads few bytes.
//!
//! A merge maps the files of all that it reads, and writes as much: a large one counts for hundreds of
//! megabytes of memory and keeps a disk busy for seconds, in which no verdict can be kept on it. How many bytes
//! the blocks of a segment are depends on the log, by a factor of ten; so files are counted, not blocks.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use tantivy::SegmentMeta;
use tantivy::index::SegmentId;
use tantivy::indexer::{LogMergePolicy, MergeCandidate, MergePolicy};

/// Smaller segments are merged as if they were of this many blocks.
const SMALL: u32 = 64;
/// Bytes that one merge reads at most in a small slice, some 300 MB of usual logs.
const READ: u64 = 32 << 20;
/// Bytes that one merge reads at most in any slice.
const MOST: u64 = 128 << 20;
/// In between, this part of the slice: so its segments, each of which is opened and searched, are some dozens.
const PART: u64 = 32;

/// Levels of about one size, as Lucene and Tantivy merge them, each merge within a limit.
#[derive(Debug)]
pub(super) struct Merges {
    folder: PathBuf,
    levels: LogMergePolicy,
    read: u64,
}

impl Merges {
    /// For the index in a folder.
    pub(super) fn of(folder: &Path) -> Self {
        let mut levels = LogMergePolicy::default();
        levels.set_min_layer_size(SMALL);
        Self {
            folder: folder.to_owned(),
            levels,
            read: READ,
        }
    }

    /// Bytes that one merge may read.
    fn limit(&self, sizes: &Sizes) -> u64 {
        let slice: u64 = sizes.values().sum();
        (slice / PART).clamp(self.read, MOST)
    }

    /// The smallest segments of a level, as many as are read together; more than one, or it is no merge.
    fn together(level: MergeCandidate, sizes: &Sizes, limit: u64) -> Option<MergeCandidate> {
        let sized = |id: SegmentId| sizes.get(&id.uuid_string()).map(|size| (*size, id));
        let mut level: Vec<(u64, SegmentId)> = level.0.into_iter().filter_map(sized).collect();
        level.sort_unstable();
        let mut read = 0;
        let fitting = level.into_iter().take_while(|(size, _)| {
            read += size;
            read <= limit
        });
        let fitting: Vec<SegmentId> = fitting.map(|(_, id)| id).collect();
        (fitting.len() > 1).then_some(MergeCandidate(fitting))
    }
}

impl MergePolicy for Merges {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        if self.levels.compute_merge_candidates(segments).is_empty() {
            return Vec::new();
        }
        // Segments whose files cannot be looked at are merged another time.
        let sizes = sizes(&self.folder).unwrap_or_default();
        let limit = self.limit(&sizes);
        let fits = |segment: &&SegmentMeta| {
            let size = sizes.get(&segment.id().uuid_string());
            size.is_some_and(|size| *size <= limit / 2)
        };
        let small: Vec<SegmentMeta> = segments.iter().filter(fits).cloned().collect();
        let levels = self.levels.compute_merge_candidates(&small);
        levels
            .into_iter()
            .filter_map(|level| Self::together(level, &sizes, limit))
            .collect()
    }
}

/// Bytes of each segment's files, by the segment's name.
type Sizes = HashMap<String, u64>;

fn sizes(folder: &Path) -> io::Result<Sizes> {
    let mut sizes = Sizes::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let (segment, _) = name.split_once('.').unwrap_or((&name, ""));
        // A file that has gone meanwhile was of a segment that is no more.
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        *sizes.entry(segment.to_owned()).or_default() += bytes;
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantivy::schema::{STORED, Schema};
    use tantivy::{Index, IndexWriter, doc};

    const KIB: usize = 1 << 10;

    /// How large the segments are that are left of some builds of so many KiB each, in KiB.
    fn left(builds: &[usize], read: u64) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let mut schema = Schema::builder();
        let text = schema.add_bytes_field("text", STORED);
        let index = Index::create_in_dir(folder.path(), schema.build()).unwrap();
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.set_merge_policy(Box::new(Merges {
            read,
            ..Merges::of(folder.path())
        }));
        let mut dice = 7_u64;
        for kib in builds {
            let mut random = || {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                dice.to_be_bytes()[0]
            };
            let bytes: Vec<u8> = (0..kib * KIB).map(|_| random()).collect();
            writer.add_document(doc!(text => bytes)).unwrap();
            writer.commit().unwrap();
        }
        writer.wait_merging_threads().unwrap();
        let sizes = sizes(folder.path()).unwrap();
        let segments = index.searchable_segment_ids().unwrap();
        let size = |id: SegmentId| sizes[&id.uuid_string()] / KIB as u64;
        let mut left: Vec<u64> = segments.into_iter().map(size).collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn small_segments_become_one() {
        let left = left(&[10; 8], 1 << 20);
        assert!(matches!(left[..], [80..=90]), "{left:?}");
    }

    #[test]
    fn no_merge_reads_more_than_it_may() {
        let left = left(&[100; 40], 350 << 10);
        assert!(left.iter().all(|kib| *kib <= 350), "{left:?}");
        assert!((14..30).contains(&left.len()), "{left:?}");
    }

    #[test]
    fn in_a_large_slice_more_is_read_at_once() {
        let limit = |bytes: &[u64]| {
            let sizes = bytes.iter().enumerate();
            let sizes = sizes
                .map(|(name, bytes)| (name.to_string(), *bytes))
                .collect();
            Merges::of(Path::new("/")).limit(&sizes)
        };
        assert_eq!(limit(&[]), READ);
        assert_eq!(limit(&[1 << 30, 1 << 20]), (1 << 25) + (1 << 15));
        assert_eq!(limit(&[1 << 31, 1 << 30]), 3 << 25);
        assert_eq!(limit(&[1 << 40]), MOST);
    }

    #[test]
    fn what_is_large_stays_as_it_is() {
        let left = left(&[200; 20], 350 << 10);
        assert_eq!(left.len(), 20);
        assert!(left.iter().all(|kib| (200..=203).contains(kib)), "{left:?}");
    }
}
