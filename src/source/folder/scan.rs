//! What is in a spool folder, without reading it.

use super::drop::{DONE, FAILED, METADATA, NOTE, Spool};
use crate::config::FolderComplete;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

/// A folder in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) inode: u64,
    /// Complete, and not set aside.
    pub(super) ready: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Folders of builds, by name.
    pub(super) folders: Vec<Seen>,
    /// Things that cannot be builds and are not ours.
    pub(super) odd: Vec<String>,
}

/// Looks at all names in the spool.
pub(super) fn scan(spool: &Spool) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in fs::read_dir(&spool.root)? {
        let entry = entry?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            found
                .odd
                .push(format!("{}: a name that is not UTF-8", path.display()));
            continue;
        };
        // A dot hides what is still being written.
        if name.starts_with('.') || name == DONE || name == FAILED {
            continue;
        }
        // It may be gone by now.
        let Ok(facts) = fs::symlink_metadata(&path) else {
            continue;
        };
        if name.chars().any(char::is_control) {
            found
                .odd
                .push(format!("{name:?}: a name with control characters"));
        } else if facts.is_symlink() {
            found
                .odd
                .push(format!("{name}: a link; links are not followed"));
        } else if !facts.is_dir() {
            found.odd.push(format!("{name}: not a folder"));
        } else {
            let ready = ready(spool, &path);
            found.folders.push(Seen {
                name,
                inode: inode(&facts),
                ready,
            });
        }
    }
    found.folders.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn ready(spool: &Spool, folder: &Path) -> bool {
    let complete = match spool.complete {
        FolderComplete::Marker => is_file(&folder.join(&spool.marker)),
        FolderComplete::Rename => true,
    };
    complete && fs::symlink_metadata(folder.join(NOTE)).is_err()
}

/// True for a file itself, not for a link to one.
pub(super) fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file())
}

/// Where the metadata of a build are.
pub(super) fn metadata(folder: &Path) -> std::path::PathBuf {
    folder.join(METADATA)
}

#[cfg(unix)]
pub(super) fn inode(facts: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    facts.ino()
}

#[cfg(not(unix))]
pub(super) fn inode(_facts: &Metadata) -> u64 {
    0
}
