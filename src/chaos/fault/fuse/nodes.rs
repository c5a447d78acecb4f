//! The numbers by which the kernel knows files, and their paths below the mirrored folder.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The mirrored folder itself.
pub(super) const ROOT: u64 = 1;

/// Numbers and paths.
#[derive(Debug)]
pub(super) struct Nodes {
    paths: HashMap<u64, PathBuf>,
    numbers: HashMap<PathBuf, u64>,
    next: u64,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            paths: HashMap::from([(ROOT, PathBuf::new())]),
            numbers: HashMap::from([(PathBuf::new(), ROOT)]),
            next: ROOT + 1,
        }
    }
}

impl Nodes {
    /// The path of a number.
    pub(super) fn path(&self, number: u64) -> Option<PathBuf> {
        self.paths.get(&number).cloned()
    }

    /// The path of something in a folder.
    pub(super) fn child(&self, parent: u64, name: &OsStr) -> Option<PathBuf> {
        Some(self.paths.get(&parent)?.join(name))
    }

    /// The number of a path.
    pub(super) fn number(&mut self, path: &Path) -> u64 {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.paths.insert(number, path.to_owned());
        self.numbers.insert(path.to_owned(), number);
        number
    }

    /// A path is gone. Who has the file open keeps its number.
    pub(super) fn removed(&mut self, path: &Path) {
        self.numbers.remove(path);
    }

    /// A path is another one now, with all below it.
    pub(super) fn renamed(&mut self, from: &Path, to: &Path) {
        self.removed(to);
        let moved: Vec<(u64, PathBuf)> = self
            .numbers
            .iter()
            .filter_map(|(path, number)| {
                let rest = path.strip_prefix(from).ok()?;
                let path = if rest.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(rest)
                };
                Some((*number, path))
            })
            .collect();
        self.numbers.retain(|path, _| !path.starts_with(from));
        for (number, path) in moved {
            self.paths.insert(number, path.clone());
            self.numbers.insert(path, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_their_files() {
        let mut nodes = Nodes::default();
        let (folder, file) = (nodes.number(Path::new("a")), nodes.number(Path::new("a/f")));
        let other = nodes.number(Path::new("ab"));
        assert_eq!(nodes.child(folder, OsStr::new("f")), Some("a/f".into()));
        nodes.renamed(Path::new("a"), Path::new("b"));
        assert_eq!(nodes.path(file), Some("b/f".into()));
        assert_eq!(nodes.number(Path::new("b/f")), file);
        assert_eq!(nodes.path(other), Some("ab".into()));
        nodes.removed(Path::new("b/f"));
        assert_ne!(
            nodes.number(Path::new("b/f")),
            file,
            "a new file is another one"
        );
    }
}
