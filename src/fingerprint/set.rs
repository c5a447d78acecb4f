//! A loaded set of fingerprints: several trees of files under one version.

use super::Fingerprint;
use super::diagnostic::Diagnostic;
use super::parse::{Parsed, parse};
use crate::query::Schema;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A fingerprint file larger than this is not one.
const LARGEST_FILE: u64 = 1 << 20;

/// Folders deeper than this are a loop of links.
const DEEPEST: usize = 32;

/// All fingerprints in force at one time.
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

/// A file that was found below a root.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The name below the root, `/` between the parts.
    pub(super) relative: String,
    pub(super) text: Result<String, Diagnostic>,
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
    /// Roots that cannot be read.
    pub(super) missing: Vec<PathBuf>,
    pub(super) files: usize,
}

impl FingerprintSet {
    /// Loads the trees below the roots. Nothing stops at a broken file; see `diagnostics`.
    pub fn load(roots: &[PathBuf]) -> Self {
        load(roots).into_set()
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
                let message = format!("the id `{id}` is already taken by {}", other.display());
                let file = path.display().to_string();
                self.diagnostics
                    .push(Diagnostic::whole(&file, "duplicate-id", message));
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
pub(super) fn load(roots: &[PathBuf]) -> Loaded {
    let mut loaded = Loaded::default();
    let schema = Schema::default();
    for root in roots {
        let Some(sources) = read_root(root) else {
            let file = root.display().to_string();
            let message = "the fingerprint directory is not there or cannot be read";
            loaded
                .diagnostics
                .push(Diagnostic::whole(&file, "missing-directory", message));
            loaded.missing.push(root.clone());
            continue;
        };
        for source in sources {
            loaded.files += 1;
            match read_source(&source, &schema) {
                Ok((parsed, text)) => loaded.entries.push((
                    source.path.clone(),
                    Entry {
                        fingerprint: Arc::new(parsed.fingerprint),
                        relative: source.relative.clone(),
                        digest: Sha256::digest(text.as_bytes()).to_vec(),
                    },
                )),
                Err(found) => {
                    loaded.diagnostics.extend(found);
                    loaded.broken.push(source.path.clone());
                }
            }
        }
    }
    loaded
}

pub(super) fn read_source<'a>(
    source: &'a Source,
    schema: &Schema,
) -> Result<(Parsed, &'a str), Vec<Diagnostic>> {
    let text = source.text.as_ref().map_err(|found| vec![found.clone()])?;
    Ok((parse(&source.path, text, schema)?, text))
}

/// The fingerprint files below a root, sorted; `None` when the root cannot be read. A root may be
/// a single file.
pub(super) fn read_root(root: &Path) -> Option<Vec<Source>> {
    let mut paths = Vec::new();
    if root.is_file() {
        paths.push(root.to_owned());
    } else {
        std::fs::read_dir(root).ok()?;
        walk(root, 0, &mut paths);
    }
    paths.sort();
    let sources = paths.into_iter().map(|path| {
        let below = path.strip_prefix(root).ok();
        let below = below.filter(|p| !p.as_os_str().is_empty());
        let name = below.map_or_else(|| path.file_name().map(Path::new), Some);
        let parts = name.into_iter().flat_map(Path::iter);
        let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
        Source {
            relative: parts.join("/"),
            text: read_text(&path),
            path,
        }
    });
    Some(sources.collect())
}

fn walk(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < DEEPEST {
                walk(&path, depth + 1, paths);
            }
        } else if matches!(
            path.extension().and_then(|e| e.to_str()),
            Some("yaml" | "yml")
        ) {
            paths.push(path);
        }
    }
}

fn read_text(path: &Path) -> Result<String, Diagnostic> {
    let file = path.display().to_string();
    let refuse = |message: String| Diagnostic::whole(&file, "unreadable", message);
    let size = std::fs::metadata(path).map_err(|e| refuse(e.to_string()))?;
    if size.len() > LARGEST_FILE {
        return Err(refuse("the file is larger than 1 MiB".into()));
    }
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        refuse(format!("not UTF-8 at byte {at}"))
    })
}
