//! One service at a time in one folder.

use super::StateError;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Name of the lock's file.
const NAME: &str = "whorl.lock";

/// Holds a folder for this process; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _held: Held,
}

#[cfg(unix)]
type Held = nix::fcntl::Flock<File>;
#[cfg(not(unix))]
type Held = File;

impl FolderLock {
    /// Takes the folder (making it when it is missing), or says who has it.
    pub fn acquire(folder: impl AsRef<Path>) -> Result<Self, StateError> {
        let folder = folder.as_ref();
        let path = folder.join(NAME);
        let failed = |source| StateError::File {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut held = lock(file, folder)?;
        write_owner(&mut held).map_err(failed)?;
        Ok(Self { _held: held })
    }
}

#[cfg(unix)]
fn lock(file: File, folder: &Path) -> Result<Held, StateError> {
    use nix::fcntl::{Flock, FlockArg};
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, errno)| {
        if errno == nix::errno::Errno::EWOULDBLOCK {
            return StateError::Locked {
                path: folder.to_owned(),
                holder: owner(&mut file),
            };
        }
        StateError::File {
            path: folder.join(NAME),
            source: errno.into(),
        }
    })
}

#[cfg(not(unix))]
fn lock(file: File, _folder: &Path) -> Result<Held, StateError> {
    Ok(file)
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(64).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "unknown process".to_owned(),
    }
}

fn write_owner(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(folder.path()).unwrap();
        let error = FolderLock::acquire(folder.path()).unwrap_err().to_string();
        assert!(error.contains("in use by another whorl"), "{error}");
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        FolderLock::acquire(folder.path()).unwrap();
    }
}
