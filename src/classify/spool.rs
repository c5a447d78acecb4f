//! The logs of builds on disk, as they were sent.
//!
//! A log is written beside and moved into place, so a reader never sees half of one.

use jiff::Timestamp;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// What nobody has written to for so long is not being received any more.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The folder of all logs.
#[derive(Debug, Clone)]
pub struct Spool {
    logs: PathBuf,
    incoming: PathBuf,
}

impl Spool {
    /// Uses `dir`, makes it when missing and drops what an earlier run left half received.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let incoming = dir.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        Self::make(dir, incoming)
    }

    /// As [`Spool::open`], where other processes use `dir` too: what they are receiving now stays.
    pub fn open_shared(dir: &Path) -> io::Result<Self> {
        let spool = Self::make(dir, dir.join("incoming"))?;
        for entry in fs::read_dir(&spool.incoming)?.flatten() {
            let changed = entry.metadata().and_then(|facts| facts.modified());
            let age = changed.ok().and_then(|changed| changed.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED) {
                // Another process may have been faster.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(spool)
    }

    fn make(dir: &Path, incoming: PathBuf) -> io::Result<Self> {
        let logs = dir.join("logs");
        fs::create_dir_all(&incoming)?;
        fs::create_dir_all(&logs)?;
        Ok(Self { logs, incoming })
    }

    /// A file for a log that is being received.
    pub fn receive(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.incoming)
    }

    /// A folder for logs that are being received; it is gone when it is dropped.
    pub fn receive_folder(&self) -> io::Result<tempfile::TempDir> {
        tempfile::TempDir::new_in(&self.incoming)
    }

    /// Moves a received log to its place. False when the same bytes were there already.
    ///
    /// `path` must have gone through [`crate::intake::clean_name`], `uuid` through
    /// [`crate::event::Build::check_uuid`].
    pub fn accept(&self, uuid: &str, path: &str, received: NamedTempFile) -> io::Result<bool> {
        let target = self.root(uuid).join(path);
        if same_bytes(&target, received.path())? {
            return Ok(false);
        }
        let parent = target.parent().unwrap_or(&self.logs);
        fs::create_dir_all(parent)?;
        received.as_file().sync_all()?;
        received.persist(&target).map_err(|error| error.error)?;
        File::open(parent)?.sync_all()?;
        Ok(true)
    }

    /// The folder of one build's logs; it need not exist.
    pub fn root(&self, uuid: &str) -> PathBuf {
        self.logs.join(uuid)
    }

    /// The names of one build's logs below its root, sorted.
    pub fn files(&self, uuid: &str) -> io::Result<Vec<String>> {
        let root = self.root(uuid);
        let mut found = Vec::new();
        if root.is_dir() {
            walk(&root, &root, &mut found)?;
        }
        found.sort();
        Ok(found)
    }

    /// The builds that have a folder.
    pub fn builds(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.logs)?;
        let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    /// When something was last added to or taken from a build's folder.
    pub fn changed(&self, uuid: &str) -> Option<Timestamp> {
        let changed = fs::metadata(self.root(uuid)).ok()?.modified().ok()?;
        changed.try_into().ok()
    }

    /// Drops one build's logs.
    pub fn remove(&self, uuid: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.root(uuid)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(root, &path, found)?;
            continue;
        }
        if let Ok(name) = path.strip_prefix(root) {
            found.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn same_bytes(old: &Path, new: &Path) -> io::Result<bool> {
    let (Ok(old_meta), new_meta) = (fs::metadata(old), fs::metadata(new)?) else {
        return Ok(false);
    };
    if !old_meta.is_file() || old_meta.len() != new_meta.len() {
        return Ok(false);
    }
    let mut left = io::BufReader::with_capacity(1 << 16, File::open(old)?);
    let mut right = io::BufReader::with_capacity(1 << 16, File::open(new)?);
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = left.read(&mut a)?;
        if n == 0 {
            return Ok(true);
        }
        if right.read_exact(&mut b[..n]).is_err() || a[..n] != b[..n] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn put(spool: &Spool, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let mut file = spool.receive().unwrap();
        file.write_all(bytes).unwrap();
        spool.accept("u1", name, file)
    }

    #[test]
    fn a_log_sent_twice_is_not_new() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        assert!(put(&spool, "logs/a.txt", b"one").unwrap());
        assert!(!put(&spool, "logs/a.txt", b"one").unwrap());
        assert!(put(&spool, "logs/a.txt", b"two").unwrap());
        assert!(put(&spool, "b.txt", b"").unwrap());
        assert_eq!(spool.files("u1").unwrap(), ["b.txt", "logs/a.txt"]);
        assert_eq!(spool.builds().unwrap(), ["u1"]);
        spool.remove("u1").unwrap();
        spool.remove("u1").unwrap();
        assert!(spool.files("u1").unwrap().is_empty());
    }

    #[test]
    fn another_process_keeps_what_it_is_receiving() {
        let dir = tempfile::tempdir().unwrap();
        let first = Spool::open_shared(dir.path()).unwrap();
        let receiving = first.receive().unwrap();
        let left = first.receive().unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * ABANDONED;
        left.as_file().set_modified(long_ago).unwrap();
        Spool::open_shared(dir.path()).unwrap();
        assert!(receiving.path().exists() && !left.path().exists());
        Spool::open(dir.path()).unwrap();
        assert!(!receiving.path().exists(), "alone nobody else receives");
    }

    #[test]
    fn a_file_where_a_folder_is_needed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        put(&spool, "a", b"one").unwrap();
        assert!(put(&spool, "a/b", b"two").is_err());
        assert_eq!(spool.files("u1").unwrap(), ["a"]);
    }
}
