//! Which files of a build are worth downloading.

use super::Entry;
use crate::intake::name::without_compression;
use globset::{GlobBuilder, GlobMatcher};

/// What is wanted, the most important first.
#[derive(Debug, Clone)]
pub struct Choice {
    globs: Vec<GlobMatcher>,
    max_files: usize,
    max_bytes: u64,
}

/// What was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The files, the most important first.
    pub files: Vec<Entry>,
    /// Files that are wanted and do not fit the limits.
    pub left_out: usize,
    /// Bytes of them, as far as the listing says how long they are.
    pub left_bytes: u64,
    /// Files that nobody wants.
    pub unwanted: usize,
}

impl Chosen {
    /// True when all that is wanted is chosen.
    pub fn is_complete(&self) -> bool {
        self.left_out == 0
    }
}

impl Choice {
    /// Files that match `globs`, in this order; a name is also looked at without the suffix that says
    /// how it is compressed. `**` stands for any folders, `*` for a part of one name. The error names
    /// the glob.
    pub fn new(globs: &[String], max_files: usize, max_bytes: u64) -> Result<Self, String> {
        let read = |text: &String| {
            let glob = GlobBuilder::new(text).literal_separator(true).build();
            glob.map(|glob| glob.compile_matcher())
                .map_err(|error| error.to_string())
        };
        Ok(Self {
            globs: globs.iter().map(read).collect::<Result<_, _>>()?,
            max_files,
            max_bytes,
        })
    }

    /// All bytes that may be downloaded together.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    fn rank(&self, name: &str) -> Option<usize> {
        let plain = without_compression(name);
        let wanted = |glob: &GlobMatcher| glob.is_match(name) || glob.is_match(plain);
        self.globs.iter().position(wanted)
    }

    /// True when a file in this folder may be wanted, so that the folder is worth a look.
    pub(super) fn looks_into(&self, folder: &str) -> bool {
        let folder: Vec<&str> = folder.split('/').collect();
        self.globs
            .iter()
            .any(|glob| leads(glob.glob().glob(), &folder))
    }

    /// Chooses among the files.
    pub fn choose(&self, entries: Vec<Entry>) -> Chosen {
        let all = entries.len();
        let mut ranked: Vec<(usize, Entry)> = entries
            .into_iter()
            .filter_map(|entry| Some((self.rank(&entry.name)?, entry)))
            .collect();
        ranked.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.name.cmp(&y.name)));
        let mut chosen = Chosen {
            unwanted: all - ranked.len(),
            ..Chosen::default()
        };
        let mut bytes = 0_u64;
        for (_, entry) in ranked {
            let size = entry.size.unwrap_or(0);
            if chosen.files.len() >= self.max_files || bytes.saturating_add(size) > self.max_bytes {
                chosen.left_out += 1;
                chosen.left_bytes += size;
                continue;
            }
            bytes += size;
            chosen.files.push(entry);
        }
        chosen
    }
}

/// True when the glob can match a name below the folder.
fn leads(glob: &str, folder: &[&str]) -> bool {
    // Alternatives may hold `/`: then every folder is worth a look.
    if glob.contains('{') {
        return true;
    }
    let parts: Vec<&str> = glob.split('/').collect();
    for (n, name) in folder.iter().enumerate() {
        match parts.get(n) {
            Some(&"**") => return true,
            // The last part of a glob is a file's.
            Some(part) if n + 1 < parts.len() && fits(part, name) => {}
            _ => return false,
        }
    }
    true
}

fn fits(part: &str, name: &str) -> bool {
    GlobBuilder::new(part)
        .build()
        .is_ok_and(|glob| glob.compile_matcher().is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, size: u64) -> Entry {
        Entry {
            name: name.into(),
            url: url::Url::parse("https://h/").unwrap().join(name).unwrap(),
            size: Some(size),
            mimetype: None,
            encoding: None,
        }
    }

    fn choice(globs: &[&str], max_files: usize, max_bytes: u64) -> Choice {
        let globs: Vec<String> = globs.iter().map(|g| (*g).to_owned()).collect();
        Choice::new(&globs, max_files, max_bytes).unwrap()
    }

    fn names(chosen: &Chosen) -> Vec<&str> {
        chosen.files.iter().map(|f| f.name.as_str()).collect()
    }

    #[test]
    fn the_most_important_come_first() {
        let all = [
            "z.txt",
            "logs/b.txt.gz",
            "logs/deep/a.txt",
            "console.html",
            "job-output.txt.gz",
            "x.png",
        ];
        let entries = all.iter().map(|name| entry(name, 1)).collect();
        let chosen = choice(
            &["job-output.txt", "console.html", "logs/**/*.txt*"],
            10,
            100,
        )
        .choose(entries);
        assert_eq!(
            names(&chosen),
            [
                "job-output.txt.gz",
                "console.html",
                "logs/b.txt.gz",
                "logs/deep/a.txt"
            ]
        );
        assert_eq!((chosen.unwanted, chosen.left_out), (2, 0));
    }

    #[test]
    fn limits_leave_the_least_important_and_say_so() {
        let entries = vec![entry("a.txt", 60), entry("b.txt", 50), entry("c.txt", 40)];
        let chosen = choice(&["b.txt", "*.txt"], 2, 1000).choose(entries.clone());
        assert_eq!(
            (names(&chosen), chosen.left_out),
            (vec!["b.txt", "a.txt"], 1)
        );
        let chosen = choice(&["*.txt"], 9, 100).choose(entries);
        assert_eq!(names(&chosen), ["a.txt", "c.txt"]);
        assert_eq!((chosen.left_out, chosen.left_bytes), (1, 50));
        assert!(!chosen.is_complete());
    }

    #[test]
    fn only_folders_that_can_hold_something_are_looked_into() {
        let choice = choice(&["job-output.txt", "logs/**/*.txt", "c*/x/*.log"], 1, 1);
        for folder in ["logs", "logs/a/b", "controller", "controller/x"] {
            assert!(choice.looks_into(folder), "{folder}");
        }
        for folder in ["docs", "x", "controller/y", "controller/x/z"] {
            assert!(!choice.looks_into(folder), "{folder}");
        }
    }

    #[test]
    fn a_bad_glob_is_an_error() {
        assert!(
            Choice::new(&["a[".to_owned()], 1, 1)
                .unwrap_err()
                .contains("a[")
        );
    }
}
