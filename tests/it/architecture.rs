//! Which room may use which: the table of `ARCHITECTURE.md`, held against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use; `*` is every other room.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("event", &[][..]),
        ("chance", &[][..]),
        ("query", &["event"][..]),
        ("fingerprint", &["query", "event"][..]),
        ("intake", &["chance", "event"][..]),
        ("matcher", &["query", "fingerprint", "intake", "event"][..]),
        ("store", &["chance", "query", "matcher", "event"][..]),
        ("state", &["chance", "event"][..]),
        ("forge", &["chance"][..]),
        (
            "source",
            &["chance", "forge", "intake", "state", "config", "event"][..],
        ),
        ("note", &["chance", "forge", "state", "event"][..]),
        ("report", &["store", "state", "event"][..]),
        ("tracker", &["chance", "state", "config", "event"][..]),
        ("config", &[][..]),
        (
            "classify",
            &[
                "event",
                "query",
                "fingerprint",
                "intake",
                "matcher",
                "store",
                "state",
                "note",
                "config",
            ][..],
        ),
        ("chaos", &["*"][..]),
        ("web", &["*"][..]),
        ("cli", &["*"][..]),
    ])
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a source names by `crate::ROOM` (one or many in braces).
fn used(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            None => vec![rest],
            Some(list) => list
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .collect(),
        };
        for name in names {
            let word: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            rooms.insert(word);
        }
    }
    rooms
}

#[test]
fn no_room_uses_one_that_it_may_not() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed = allowed();
    let mut wrong = Vec::new();
    for (room, may_use) in &allowed {
        let mut files = Vec::new();
        rust_files(&source.join(room), &mut files);
        assert!(!files.is_empty(), "room {room} is empty");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for other in used(&text) {
                let known = allowed.contains_key(other.as_str()) && other != *room;
                if known && !may_use.contains(&"*") && !may_use.contains(&other.as_str()) {
                    wrong.push(format!("{} uses {other}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                allowed().contains_key(name.as_str()),
                "{name} is not in the table"
            );
        }
    }
}
