//! Files moved away, unreadable, corrupted.

mod corrupted;
mod moved;
mod unreadable;

pub(super) use corrupted::Corrupted;
pub(super) use moved::Moved;
pub(super) use unreadable::Unreadable;

use super::{FaultError, Ground};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Where a file is put aside: beside itself, so that this is a rename.
fn stash(path: &Path, ground: &Ground<'_>) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let run = ground
        .folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(
        ".{}.whorl-{}-{}",
        name.unwrap_or_default(),
        run.unwrap_or_default(),
        ground.id
    ))
}

pub(super) fn path_in(plan: &Value, key: &str) -> PathBuf {
    PathBuf::from(plan[key].as_str().unwrap_or_default())
}

/// The file is there, though it may be a link to nowhere.
pub(super) fn there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn must_be_there(path: &Path) -> Result<fs::Metadata, FaultError> {
    fs::symlink_metadata(path).map_err(FaultError::io(path))
}

/// Makes the names in a folder durable.
fn sync_folder_of(path: &Path) -> Result<(), FaultError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FaultError::io(folder))
}

/// Puts back what was put aside, unless somebody has written the file anew meanwhile.
fn put_back(path: &Path, stash: &Path) -> Result<String, FaultError> {
    if !there(stash) {
        return Ok(format!(
            "{} was not moved, or is back already",
            path.display()
        ));
    }
    if there(path) {
        return Ok(format!(
            "{} was written anew meanwhile and stays; the earlier one is {}",
            path.display(),
            stash.display()
        ));
    }
    fs::rename(stash, path).map_err(FaultError::io(path))?;
    sync_folder_of(path)?;
    Ok(format!("{} is back", path.display()))
}
