//! The records of a run's faults.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FILE: &str = "undo.jsonl";

/// A fault that was going to be put in.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Entry {
    /// Its number in the run.
    pub id: u64,
    /// Its name.
    pub fault: String,
    /// The activity that put it in.
    pub activity: String,
    /// Everything that is needed to take it back.
    pub plan: Value,
    /// The seed it was given.
    pub seed: u64,
    /// The start of the machine that `until` counts from.
    pub boot: String,
    /// When it is taken back at the latest, in seconds after that start.
    pub until: f64,
    /// The wall clock when it was written down.
    pub at: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Record {
    Intent(Entry),
    Applied(serde::de::IgnoredAny),
    Undone { id: u64 },
}

/// What a run's folder says.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    undone: BTreeSet<u64>,
}

impl Journal {
    /// Reads what is there. A last line that was torn was never acted upon.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = fs::read(folder.join(FILE))?;
        let mut journal = Self::default();
        let mut lines = text.split_inclusive(|b| *b == b'\n').peekable();
        while let Some(line) = lines.next() {
            match serde_json::from_slice(line) {
                Ok(Record::Intent(entry)) => journal.entries.push(entry),
                Ok(Record::Applied(_)) => {}
                Ok(Record::Undone { id, .. }) => {
                    journal.undone.insert(id);
                }
                Err(_) if lines.peek().is_none() => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        Ok(journal)
    }

    /// What is written down and not taken back.
    pub fn pending(&self) -> Vec<&Entry> {
        let open = |entry: &&Entry| !self.undone.contains(&entry.id);
        self.entries.iter().filter(open).collect()
    }

    /// Begins a journal.
    pub(in crate::chaos::fault) fn create(folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        // What faults hit, and copies of what they change, are nobody else's business.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        File::create(folder.join(FILE))?.sync_all()?;
        sync_folder(folder)?;
        folder.parent().map_or(Ok(()), sync_folder)
    }

    /// Writes down what is going to be done; on return it is on the disk.
    pub(in crate::chaos::fault) fn append_intent(folder: &Path, entry: &Entry) -> io::Result<()> {
        sync_folder(folder)?;
        append(folder, &json!({"intent": entry}))
    }

    /// Writes down that it was done.
    pub(in crate::chaos::fault) fn append_applied(folder: &Path, id: u64) -> io::Result<()> {
        append(folder, &json!({"applied": id}))
    }

    /// Writes down that it was taken back.
    pub(super) fn append_undone(folder: &Path, id: u64, text: &str) -> io::Result<()> {
        append(folder, &json!({"undone": {"id": id, "text": text}}))
    }
}

fn append(folder: &Path, record: &Value) -> io::Result<()> {
    let path = folder.join(FILE);
    let mut file = OpenOptions::new().append(true).read(true).open(&path)?;
    // A line that a dying writer has torn must not swallow this one.
    let whole = fs::read(&path)?.last().is_none_or(|last| *last == b'\n');
    if !whole {
        let length = fs::read(&path)?;
        let keep = length
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        file.set_len(keep as u64)?;
    }
    file.write_all(format!("{record}\n").as_bytes())?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64) -> Entry {
        Entry {
            id,
            fault: "file-moved".into(),
            activity: "a".into(),
            plan: json!({"path": "/x"}),
            seed: 0,
            boot: "b".into(),
            until: 1.0,
            at: "now".into(),
        }
    }

    #[test]
    fn a_journal_cut_anywhere_says_no_more_than_what_was_synced() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        Journal::create(folder).unwrap();
        Journal::append_intent(folder, &entry(1)).unwrap();
        Journal::append_applied(folder, 1).unwrap();
        Journal::append_intent(folder, &entry(2)).unwrap();
        Journal::append_undone(folder, 1, "done").unwrap();
        let whole = fs::read(folder.join(FILE)).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|n| whole[*n] == b'\n').collect();
        for cut in 0..=whole.len() {
            fs::write(folder.join(FILE), &whole[..cut]).unwrap();
            // A line without its end is whole already when only the line break is missing.
            let lines = ends.iter().filter(|end| cut >= **end).count();
            let expected: &[u64] = match lines {
                0 => &[],
                1 | 2 => &[1],
                3 => &[1, 2],
                _ => &[2],
            };
            let ids: Vec<u64> = Journal::read(folder)
                .unwrap()
                .pending()
                .iter()
                .map(|e| e.id)
                .collect();
            assert_eq!(ids, expected, "cut at {cut}");
            // Whatever was torn, the next record is read.
            Journal::append_intent(folder, &entry(9)).unwrap();
            let ids: Vec<u64> = Journal::read(folder)
                .unwrap()
                .pending()
                .iter()
                .map(|e| e.id)
                .collect();
            assert_eq!(ids.last(), Some(&9), "cut at {cut}");
        }
    }
}
