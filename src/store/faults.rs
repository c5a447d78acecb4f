//! Which errors each method of a store may raise, for stores that fail on purpose.

use super::StoreError;
use crate::chance::{Kind, MARK, Site};
use std::path::PathBuf;

const READ: &[Kind] = &[
    Kind::before("io"),
    Kind::before("index"),
    Kind::before("unavailable"),
];
/// A file that cannot be opened says that nothing was done; an index or a cluster that fails does not.
const WRITE: &[Kind] = &[
    Kind::before("io"),
    Kind::either("index"),
    Kind::either("unavailable"),
];

/// The methods of [`super::LogStore`] and [`super::MarkedStore`] that can fail. `health` cannot.
pub const SITES: &[Site] = &[
    Site::new("store.append", WRITE),
    Site::new("store.search", READ),
    Site::new("store.count_by_field", READ),
    Site::new("store.histogram", READ),
    Site::new("store.distinct_builds", READ),
    Site::new("store.events_of", READ),
    Site::new("store.delete_before", WRITE),
    Site::new("store.append_many", WRITE),
    Site::new("store.marks", READ),
];

/// The error of a kind.
pub fn error(kind: &'static str) -> StoreError {
    match kind {
        "io" => StoreError::Io {
            action: "open",
            path: PathBuf::from("index"),
            source: std::io::Error::other(MARK),
        },
        "unavailable" => StoreError::Unavailable(MARK.to_owned()),
        _ => StoreError::Index(MARK.to_owned()),
    }
}
