//! A loaded set of fingerprints: several trees of files under one version.

use super::Fingerprint;
use super::diagnostic::Diagnostic;
use super::files::read_roots;
use super::lint::duplicate_id;
use super::parse::parse_file;
use crate::query::Schema;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// All fingerprints in force at one time. An id is used once: where two files have the same one, the
/// earlier root's (in a root, the first by name) is in force and the other is an error.
#[derive(Debug, Clone, Default)]
pub struct FingerprintSet {
    /// The fingerprints in the order of roots and file names.
    pub fingerprints: Vec<Arc<Fingerprint>>,
    /// Sixteen hexadecimal digits that stand for the names and contents of what is in force.
    pub version: String,
    /// What is wrong with the files.
    pub diagnostics: Vec<Diagnostic>,
    /// Number of files seen, broken ones included.
    pub files: usize,
}

/// One fingerprint in force with what its version is made of.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) fingerprint: Arc<Fingerprint>,
    relative: String,
    digest: Vec<u8>,
}

/// What one reading of the roots gave, before it becomes a set.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// By path, in the order of reading.
    pub(super) entries: Vec<(PathBuf, Entry)>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Files that are there but broken.
    pub(super) broken: Vec<PathBuf>,
    /// Roots and folders that cannot be read.
    pub(super) missing: Vec<PathBuf>,
    pub(super) files: usize,
}

impl FingerprintSet {
    /// Loads the trees below the roots. Nothing stops at a broken file; see `diagnostics`.
    pub fn load(roots: &[PathBuf]) -> Self {
        Self::load_for(roots, &Schema::default())
    }

    /// The same for an index whose fields are of other kinds.
    pub fn load_for(roots: &[PathBuf], schema: &Schema) -> Self {
        load(roots, schema).into_set()
    }
}

impl Loaded {
    /// Drops second uses of an id, computes the version.
    pub(super) fn into_set(mut self) -> FingerprintSet {
        let mut first: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut kept = Vec::new();
        for (path, entry) in self.entries {
            let id = entry.fingerprint.id.clone();
            if let Some(other) = first.get(&id) {
                let (file, other) = (path.display().to_string(), other.display().to_string());
                self.diagnostics.push(duplicate_id(&file, "", &id, &other));
                continue;
            }
            first.insert(id, path);
            kept.push(entry);
        }
        FingerprintSet {
            version: version(&kept),
            fingerprints: kept.into_iter().map(|entry| entry.fingerprint).collect(),
            diagnostics: self.diagnostics,
            files: self.files,
        }
    }
}

fn version(entries: &[Entry]) -> String {
    let mut parts: Vec<_> = entries.iter().map(|e| (&e.relative, &e.digest)).collect();
    parts.sort();
    let mut hash = Sha256::new();
    for (name, digest) in parts {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(digest);
    }
    let digest = hash.finalize();
    let hex = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    hex.collect()
}

/// Reads every file of every root.
pub(super) fn load(roots: &[PathBuf], schema: &Schema) -> Loaded {
    let tree = read_roots(roots);
    let mut loaded = Loaded {
        files: tree.sources.len(),
        diagnostics: tree.problems,
        missing: tree.missing,
        ..Loaded::default()
    };
    for source in tree.sources {
        let parsed = source.text.map_err(|found| vec![found]);
        let parsed = parsed.and_then(|text| Ok((parse_file(&source.path, &text, schema)?, text)));
        match parsed {
            Ok((fingerprint, text)) => loaded.entries.push((
                source.path,
                Entry {
                    fingerprint: Arc::new(fingerprint),
                    relative: source.relative,
                    digest: Sha256::digest(text.as_bytes()).to_vec(),
                },
            )),
            Err(found) => {
                loaded.diagnostics.extend(found);
                loaded.broken.push(source.path);
            }
        }
    }
    loaded
}
