//! Logs that stood in a message: a folder for each build, whole or not there.

use super::message::Inline;
use crate::intake::clean_name;
use crate::source::Logs;
use crate::source::digest::digest;
use crate::state::StateError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where logs are kept, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Keep {
    folder: PathBuf,
    age: Duration,
}

impl Keep {
    pub(super) fn new(folder: PathBuf, age: Duration) -> Self {
        Self { folder, age }
    }

    /// Writes the files of a build; they are on the disk when this returns.
    pub(super) async fn put(&self, uuid: &str, files: Vec<Inline>) -> Result<Logs, StateError> {
        let (keep, uuid) = (self.clone(), uuid.to_owned());
        let done = tokio::task::spawn_blocking(move || keep.write(&uuid, &files)).await;
        let written = done.map_err(|error| StateError::Value(format!("a task failed: {error}")))?;
        let path = written.map_err(|error| StateError::Value(format!("a log: {error}")))?;
        let path = path.to_str().map(str::to_owned);
        let path = path.ok_or_else(|| StateError::Value("a folder's name is no text".into()))?;
        Ok(Logs::Folder { path })
    }

    /// Folders are named by what is in them: the same message sent twice writes nothing new, and other
    /// logs of a build are another folder.
    fn write(&self, uuid: &str, files: &[Inline]) -> io::Result<PathBuf> {
        let parts = files.iter().flat_map(|file| [&*file.name, &*file.text]);
        let parts: Vec<&str> = std::iter::once(uuid).chain(parts).collect();
        let place = self.folder.join(format!("build-{}", digest(&parts)));
        if place.is_dir() {
            return Ok(place);
        }
        fs::create_dir_all(&self.folder)?;
        let making = tempfile::Builder::new()
            .prefix("new-")
            .tempdir_in(&self.folder)?;
        for file in files {
            one(making.path(), file)?;
        }
        match fs::rename(making.path(), &place) {
            // Somebody else has just written the same.
            Err(_) if place.is_dir() => Ok(place),
            Err(error) => Err(error),
            Ok(()) => {
                // The folder is not where it was made any more.
                let _ = making.keep();
                File::open(&self.folder)?.sync_all()?;
                Ok(place)
            }
        }
    }

    /// Removes what is older than it is kept.
    pub(super) async fn tidy(&self) {
        let keep = self.clone();
        let done = tokio::task::spawn_blocking(move || keep.remove_old(SystemTime::now())).await;
        match done {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "old logs of a webhook are not removed");
            }
            _ => {}
        }
    }

    fn remove_old(&self, now: SystemTime) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let ours = name.starts_with("build-") || name.starts_with("new-");
            let age = now.duration_since(entry.metadata()?.modified()?);
            if ours && age.unwrap_or_default() > self.age {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn one(folder: &Path, log: &Inline) -> io::Result<()> {
    let name = clean_name(&log.name).map_err(|error| io::Error::other(error.to_string()))?;
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(path)?;
    file.write_all(log.text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_whole_once_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(dir.path().join("hooks"), Duration::from_secs(60));
        let log = |text: &str| Inline {
            name: "sub/console.txt".into(),
            text: text.into(),
        };
        let first = keep.write("u", &[log("grün\n")]).unwrap();
        assert_eq!(keep.write("u", &[log("grün\n")]).unwrap(), first);
        let text = fs::read_to_string(first.join("sub/console.txt")).unwrap();
        assert_eq!(text, "grün\n");
        assert_ne!(keep.write("u", &[log("other")]).unwrap(), first);
        let names = || fs::read_dir(&keep.folder).unwrap().count();
        assert_eq!(names(), 2);
        keep.remove_old(SystemTime::now()).unwrap();
        assert_eq!(names(), 2);
        let later = SystemTime::now() + Duration::from_secs(61);
        keep.remove_old(later).unwrap();
        assert_eq!(names(), 0);
    }
}
