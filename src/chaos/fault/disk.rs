//! Disks that are full, have no inodes left, or cannot be written.

mod full;
mod inodes;
mod readonly;

pub(super) use full::Full;
pub(super) use inodes::InodesFull;
pub(super) use readonly::ReadOnly;

use super::FaultError;
use crate::chaos::mounts;
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is left on a file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    /// Bytes that everybody may use.
    pub(super) available: u64,
    /// Inodes that everybody may use.
    pub(super) inodes: u64,
    /// All of its inodes; none where they are made as they are needed.
    pub(super) all_inodes: u64,
}

/// Looks at the file system of a folder.
pub(super) fn space(path: &Path) -> Result<Space, FaultError> {
    let error = |errno: nix::errno::Errno| FaultError::Io {
        path: path.to_owned(),
        source: errno.into(),
    };
    let data = statvfs(path).map_err(error)?;
    if !path.is_dir() {
        return Err(FaultError::Target(format!(
            "{} is no folder",
            path.display()
        )));
    }
    Ok(Space {
        available: data.blocks_available() * data.fragment_size(),
        inodes: data.files_available(),
        all_inodes: data.files(),
    })
}

/// Whether a path is on the file system that everything on this machine needs.
fn on_root(path: &Path) -> Result<bool, FaultError> {
    let device = |path: &Path| {
        fs::metadata(path)
            .map(|data| data.dev())
            .map_err(FaultError::io(path))
    };
    Ok(device(path)? == device(Path::new("/"))?)
}

/// Does something where the plan was made: in its mount namespace, or here when that is gone.
pub(super) fn inside<T: Send>(
    plan: &Value,
    act: impl FnOnce() -> Result<T, FaultError> + Send,
) -> Result<T, FaultError> {
    let space = plan["namespace"].as_str().unwrap_or_default();
    mounts::within(space, act).map_err(FaultError::io(Path::new(space)))?
}

/// Tries whether we may mount something, where nobody sees it.
pub(super) fn may_mount() -> Result<(), String> {
    use nix::mount::{MsFlags, mount};
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let tried = mounts::apart(|| {
        let nothing = MsFlags::empty();
        let mounted = mount(
            Some("tmpfs"),
            folder.path(),
            Some("tmpfs"),
            nothing,
            Some("size=64k"),
        );
        Ok(mounted?)
    });
    tried.map_err(|error| format!("mounting is not allowed: {error}"))
}
