//! One folder of a build: read, set aside, cleared away.

use super::scan::{Seen, inode, is_file, metadata};
use crate::config::{FolderAfter, FolderComplete, FolderSource};
use crate::event::Build;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The file with what is known of a build.
pub(super) const METADATA: &str = "build.json";
/// The file that says why a folder was set aside.
pub(super) const NOTE: &str = "whorl-problem.txt";
/// Where folders go whose logs were taken over.
pub(super) const DONE: &str = "done";
/// Where folders go that cannot be taken.
pub(super) const FAILED: &str = "failed";
/// The largest metadata.
const LARGEST: u64 = 1 << 20;
/// Names that are tried for one folder.
const NAMES: usize = 10_000;

/// A spool folder on disk.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) root: PathBuf,
    pub(super) complete: FolderComplete,
    pub(super) marker: String,
    pub(super) after: FolderAfter,
}

/// What came of a folder.
pub(super) enum Taken {
    Build(Box<Build>),
    /// It was set aside.
    Broken(String),
    /// It is not there any more.
    Gone,
}

impl Spool {
    pub(super) fn new(config: &FolderSource) -> Self {
        // Its logs are read by others, who may start elsewhere.
        let root = std::path::absolute(&config.path).unwrap_or_else(|_| config.path.clone());
        Self {
            root,
            complete: config.complete,
            marker: config.marker.clone(),
            after: config.after,
        }
    }

    /// Reads what is known of the build; a folder that is no build is set aside.
    pub(super) fn read(&self, seen: &Seen) -> io::Result<Taken> {
        let folder = self.root.join(&seen.name);
        match fs::symlink_metadata(&folder) {
            Ok(facts) if facts.is_dir() && inode(&facts) == seen.inode => {}
            _ => return Ok(Taken::Gone),
        }
        match build(&folder, &seen.name) {
            Ok(build) => Ok(Taken::Build(Box::new(build))),
            Err(why) => {
                self.set_aside(&seen.name, &why)?;
                Ok(Taken::Broken(why))
            }
        }
    }

    /// Gives a folder a name under which nothing was taken yet.
    pub(super) fn rename_apart(&self, seen: &Seen) -> io::Result<String> {
        let (from, done) = (self.root.join(&seen.name), self.root.join(DONE));
        for n in 2..NAMES {
            let name = format!("{}~{n}", seen.name);
            let to = self.root.join(&name);
            if is_free(&to) && is_free(&done.join(&name)) {
                fs::rename(&from, &to)?;
                return Ok(name);
            }
        }
        Err(io::Error::other(format!(
            "{}: no name is left for it",
            seen.name
        )))
    }

    /// Clears away a folder whose logs were taken over, all of them or not.
    pub(super) fn clear(&self, name: &str, problems: &[String]) -> io::Result<()> {
        if !problems.is_empty() {
            return self.set_aside(name, &problems.join("\n"));
        }
        match self.after {
            FolderAfter::Keep => Ok(()),
            FolderAfter::Move => self.move_to(DONE, name),
            // Links in it are removed, not what they lead to.
            FolderAfter::Delete => unless_gone(fs::remove_dir_all(self.root.join(name))),
        }
    }

    /// Notes why a folder is not taken, and puts it where nobody takes it again.
    fn set_aside(&self, name: &str, why: &str) -> io::Result<()> {
        let note = self.root.join(name).join(NOTE);
        // Another's file, or a link, under this name is not written through.
        match fs::remove_file(&note) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let again = "When it is repaired, remove this file and put the folder back into the spool.";
        let mut file = File::create_new(&note)?;
        io::Write::write_all(&mut file, format!("{why}\n\n{again}\n").as_bytes())?;
        if self.after == FolderAfter::Keep {
            return Ok(());
        }
        self.move_to(FAILED, name)
    }

    fn move_to(&self, place: &str, name: &str) -> io::Result<()> {
        let (from, place) = (self.root.join(name), self.root.join(place));
        fs::create_dir_all(&place)?;
        let mut to = place.join(name);
        let mut n = 2;
        while !is_free(&to) {
            if n > NAMES {
                return Err(io::Error::other(format!("{name}: no name is left for it")));
            }
            to = place.join(format!("{name}~{n}"));
            n += 1;
        }
        unless_gone(fs::rename(from, to))
    }
}

fn is_free(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What `build.json` says; the folder's name is the build's where it says none.
fn build(folder: &Path, name: &str) -> Result<Build, String> {
    let path = metadata(folder);
    if !is_file(&path) {
        return Err(format!("{METADATA}: there is no such file"));
    }
    let wrong = |error: &dyn std::fmt::Display| format!("{METADATA}: {error}");
    let file = File::open(&path).map_err(|error| wrong(&error))?;
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(&error))?;
    if text.len() as u64 > LARGEST {
        return Err(wrong(&format_args!("larger than {LARGEST} bytes")));
    }
    let mut build: Build = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    if build.uuid.is_empty() {
        name.clone_into(&mut build.uuid);
    }
    Build::check_uuid(&build.uuid).map_err(|error| wrong(&error))?;
    Ok(build)
}
