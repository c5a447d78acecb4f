//! The store's folder: lock, names of slices, and the place for what is damaged.

use crate::store::StoreError;
use jiff::civil::Date;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Prefix of folders that are being made or removed; they hold nothing that counts.
const UNFINISHED: &str = ".unfinished-";

/// Says of a slice that another version of this program wrote it.
pub(super) const OTHER_FORM: &str = "it was written by another version of this program";

/// A locked store folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder when needed and takes its lock, which goes with the process.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        for folder in [root.join("slices"), root.join("aside")] {
            fs::create_dir_all(&folder).map_err(io("create", &folder))?;
        }
        let path = root.join("LOCK");
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(root, &path)),
            Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
        }
        let named = lock
            .set_len(0)
            .and_then(|()| write!(lock, "process {}", std::process::id()));
        named.map_err(io("write", &path))?;
        let folder = Self {
            root: root.to_owned(),
            _lock: lock,
        };
        folder.remove_unfinished()?;
        Ok(folder)
    }

    /// The folder of one day's slice.
    pub(super) fn slice(&self, day: Date) -> PathBuf {
        self.root.join("slices").join(day.to_string())
    }

    /// Where a slice is made before it gets its name, and renamed to before it is removed.
    pub(super) fn unfinished(&self, day: Date) -> PathBuf {
        self.root.join("slices").join(format!("{UNFINISHED}{day}"))
    }

    /// The days that have a folder.
    pub(super) fn days(&self) -> Result<Vec<Date>, StoreError> {
        let names = names_in(&self.root.join("slices"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Moves a slice out of the way, with the reason beside it.
    pub(super) fn set_aside(&self, day: Date, why: &str) -> Result<(), StoreError> {
        let from = self.slice(day);
        let aside = self.root.join("aside");
        let free = (1..=u32::MAX)
            .map(|n| aside.join(format!("{day}.{n}")))
            .find(|p| !p.exists());
        let Some(to) = free else { return Ok(()) };
        fs::rename(&from, &to).map_err(io("set aside", &from))?;
        // On a full disk there may be no room for it; the slice is out of the way all the same.
        let _ = fs::write(to.join("reason.txt"), why);
        Ok(())
    }

    /// One sentence for each slice that was set aside and is still there.
    pub(super) fn problems(&self) -> Vec<String> {
        let aside = self.root.join("aside");
        let names = match names_in(&aside) {
            Ok(names) => names,
            Err(error) => return vec![error.to_string()],
        };
        let sentence = |name: &String| {
            let folder = aside.join(name);
            let why = fs::read_to_string(folder.join("reason.txt")).unwrap_or_default();
            let folder = folder.display();
            if why.contains(OTHER_FORM) {
                return format!(
                    "a slice that another version of this program wrote was set aside as {folder}; it is filled \
                     again from the logs that are kept, and the folder can be removed"
                );
            }
            format!(
                "a damaged slice was set aside as {folder}: {why}; it is filled again from the logs that are kept, and \
                 the folder can be removed"
            )
        };
        names.iter().map(sentence).collect()
    }

    /// Removes a slice's folder; when the process dies in between, the rest goes at the next start.
    pub(super) fn remove(&self, day: Date) -> Result<(), StoreError> {
        let (from, to) = (self.slice(day), self.unfinished(day));
        fs::rename(&from, &to).map_err(io("remove", &from))?;
        fs::remove_dir_all(&to).map_err(io("remove", &to))
    }

    /// Bytes of all slices.
    pub(super) fn bytes(&self) -> u64 {
        let slices = self.root.join("slices");
        let names = names_in(&slices).unwrap_or_default();
        names.iter().map(|name| bytes_in(&slices.join(name))).sum()
    }

    fn remove_unfinished(&self) -> Result<(), StoreError> {
        let slices = self.root.join("slices");
        for name in names_in(&slices)? {
            if name.starts_with(UNFINISHED) {
                let path = slices.join(name);
                fs::remove_dir_all(&path).map_err(io("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn held(root: &Path, lock: &Path) -> StoreError {
    let holder = fs::read_to_string(lock).unwrap_or_default();
    let holder = if holder.is_empty() {
        "another process".to_owned()
    } else {
        holder
    };
    StoreError::Locked {
        folder: root.to_owned(),
        holder,
    }
}

fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = fs::read_dir(folder).map_err(io("list", folder))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .sum()
}

/// Names action and path in an error of the file system.
pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}
