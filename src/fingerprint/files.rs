//! The files below the roots: which of them are fingerprints, and their texts.

use super::diagnostic::Diagnostic;
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A fingerprint file larger than this is not one.
const LARGEST_FILE: u64 = 1 << 20;

/// Folders deeper than this are no longer looked into.
const DEEPEST: usize = 32;

/// A file that was found below a root.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The name below the root, `/` between the parts.
    pub(super) relative: String,
    pub(super) text: Result<String, Diagnostic>,
}

/// What was found below all roots.
#[derive(Default)]
pub(super) struct Tree {
    /// In the order of the roots, then of the names.
    pub(super) sources: Vec<Source>,
    /// Roots and folders that cannot be read.
    pub(super) problems: Vec<Diagnostic>,
    /// The paths of these.
    pub(super) missing: Vec<PathBuf>,
}

/// One look at the names below a root, without reading the files.
#[derive(Default)]
pub(super) struct Names {
    pub(super) files: Vec<PathBuf>,
    /// Folders below the root that cannot be read, with the reason.
    unreadable: Vec<(PathBuf, String)>,
    /// Folders that were looked into, by their real path: a loop of links ends here.
    seen: BTreeSet<PathBuf>,
}

/// Reads every fingerprint file below the roots. A file that two roots reach under the same name
/// (a root given twice, a root inside a root) is read once.
pub(super) fn read_roots(roots: &[PathBuf]) -> Tree {
    let mut tree = Tree::default();
    let mut seen = BTreeSet::new();
    for root in roots {
        let Some(names) = names(root) else {
            let message = "the fingerprint directory is not there or cannot be read";
            tree.refuse(root, "missing-directory", message);
            continue;
        };
        for (folder, reason) in &names.unreadable {
            tree.refuse(
                folder,
                "unreadable",
                &format!("this folder cannot be read: {reason}"),
            );
        }
        for path in names.files {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if seen.insert((real, path.file_stem().map(ToOwned::to_owned))) {
                tree.sources.push(source(root, path));
            }
        }
    }
    tree
}

impl Tree {
    fn refuse(&mut self, path: &Path, code: &'static str, message: &str) {
        let file = path.display().to_string();
        self.problems.push(Diagnostic::whole(&file, code, message));
        self.missing.push(path.to_owned());
    }
}

fn source(root: &Path, path: PathBuf) -> Source {
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
}

/// The fingerprint files below a root, sorted; `None` when the root cannot be read. A root may be
/// a single file.
pub(super) fn names(root: &Path) -> Option<Names> {
    let mut names = Names::default();
    if root.is_file() {
        names.files.push(root.to_owned());
        return Some(names);
    }
    std::fs::read_dir(root).ok()?;
    names.walk(root, 0);
    names.files.sort();
    Some(names)
}

impl Names {
    fn walk(&mut self, folder: &Path, depth: usize) {
        let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if depth > DEEPEST || !self.seen.insert(real) {
            return;
        }
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable.push((folder.to_owned(), error.to_string()));
                return;
            }
        };
        let mut folders = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if is_fingerprint(&path) {
                self.files.push(path);
            }
        }
        // Sorted, so that the same one of two ways into a folder is taken each time.
        folders.sort();
        for path in folders {
            self.walk(&path, depth + 1);
        }
    }
}

fn is_fingerprint(path: &Path) -> bool {
    let suffix = path.extension().and_then(|e| e.to_str());
    matches!(suffix, Some("yaml" | "yml"))
}

#[expect(
    clippy::result_large_err,
    reason = "one per broken file; boxing buys nothing"
)]
fn read_text(path: &Path) -> Result<String, Diagnostic> {
    let file = path.display().to_string();
    let refuse = |message: String| Diagnostic::whole(&file, "unreadable", message);
    let failed = |error: std::io::Error| refuse(format!("this file cannot be read: {error}"));
    let facts = std::fs::metadata(path).map_err(failed)?;
    check_kind(&facts).map_err(|why| refuse(why.to_owned()))?;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).map_err(failed)?;
    // One byte more than allowed: the file may be growing.
    let mut limited = opened.take(LARGEST_FILE + 1);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(refuse(
            "the file is larger than 1 MiB; a fingerprint is not".into(),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| not_text(&file, &error))?;
    // Some editors begin a file with a mark that is no part of the text.
    Ok(text
        .strip_prefix('\u{feff}')
        .map_or(text.clone(), str::to_owned))
}

/// A pipe would wait for ever and a device would never end.
fn check_kind(facts: &Metadata) -> Result<(), &'static str> {
    if !facts.is_file() {
        return Err("this is not a regular file");
    }
    Ok(())
}

/// Points at the first byte that is no text.
fn not_text(file: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let at = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let text = String::from_utf8_lossy(bytes);
    let before = std::str::from_utf8(&bytes[..at]).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.lines().last().filter(|_| !before.ends_with('\n'));
    let column = column.map_or(0, |last| last.chars().count()) + 1;
    let message = format!("byte {at} of the file is not UTF-8; save the file as UTF-8");
    Diagnostic::at(file, &text, (line, column), "unreadable", message)
}
