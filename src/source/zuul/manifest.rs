//! `zuul-manifest.json`: the list of a build's log files.

use crate::intake::clean_name;
use crate::intake::loose::text;
use serde_json::Value;

/// Most files that are listed.
const MOST_FILES: usize = 20_000;
/// Most folders in each other.
const DEEPEST: usize = 64;

/// One file of a build's logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its path below the build's log folder.
    pub path: String,
    /// Its size in bytes, where the manifest says it.
    pub size: Option<u64>,
    /// Its media type.
    pub mimetype: Option<String>,
}

/// What a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// The files, in order.
    pub files: Vec<LogFile>,
    /// How many things have no name, or one that leads out of the folder.
    pub refused: usize,
    /// How many were left out because there are too many, or they lie too deep.
    pub left_out: usize,
}

/// Reads a manifest; none if it is none.
pub fn files(manifest: &Value) -> Option<Files> {
    let tree = manifest["tree"].as_array()?;
    let mut found = Files::default();
    // Folders that are still to be read, the next one last: no recursion, whatever the depth.
    let mut open: Vec<(String, &Value, usize)> = Vec::new();
    open.extend(tree.iter().rev().map(|node| (String::new(), node, 0)));
    while let Some((folder, node, depth)) = open.pop() {
        let Some(path) = path(&folder, node) else {
            found.refused += 1;
            continue;
        };
        let Some(children) = node["children"].as_array() else {
            found.add(node, path);
            continue;
        };
        if depth >= DEEPEST {
            found.left_out += 1;
            continue;
        }
        let inside = children.iter().rev();
        open.extend(inside.map(|child| (path.clone(), child, depth + 1)));
    }
    Some(found)
}

impl Files {
    fn add(&mut self, node: &Value, path: String) {
        if self.files.len() >= MOST_FILES {
            self.left_out += 1;
            return;
        }
        self.files.push(LogFile {
            path,
            size: node["size"].as_u64(),
            mimetype: text(&node["mimetype"]),
        });
    }
}

/// The path of a node, if its name is one that may stand in a folder.
fn path(folder: &str, node: &Value) -> Option<String> {
    let name = node["name"].as_str()?;
    if name.contains(['/', '\\']) {
        return None;
    }
    let joined = if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    };
    let clean = clean_name(&joined).ok()?;
    (clean == joined).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_are_listed_with_their_folders() {
        let manifest = json!({"index_links": false, "tree": [
            {"name": "job-output.txt", "mimetype": "text/plain", "size": 17, "encoding": null, "last_modified": 1},
            {"name": "logs", "mimetype": "application/directory", "size": null, "children": [
                {"name": "controller", "children": [{"name": "syslog.txt.gz", "size": 3}]},
                {"name": "empty", "children": []},
            ]},
            {"name": "zuul-info.txt"},
        ]});
        let found = files(&manifest).unwrap();
        let paths: Vec<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "job-output.txt",
                "logs/controller/syslog.txt.gz",
                "zuul-info.txt"
            ]
        );
        assert_eq!(found.files[0].size, Some(17));
        assert_eq!(found.files[0].mimetype.as_deref(), Some("text/plain"));
        assert_eq!((found.refused, found.left_out), (0, 0));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let manifest = json!({"tree": [
            {"name": ".."}, {"name": "."}, {"name": ""}, {"name": "a/b"}, {"name": "/etc"}, {"name": "a\\..\\b"},
            {"name": 7}, {}, 3, {"name": "a\u{0}"},
            {"name": "..", "children": [{"name": "passwd"}]},
            {"name": "good"},
        ]});
        let found = files(&manifest).unwrap();
        assert_eq!((found.files.len(), found.refused), (1, 11));
    }

    #[test]
    fn a_manifest_without_end_is_cut() {
        let mut deep = json!({"name": "a"});
        for _ in 0..100 {
            deep = json!({"name": "a", "children": [deep]});
        }
        let found = files(&json!({"tree": [deep]})).unwrap();
        assert_eq!((found.files.len(), found.left_out), (0, 1));
        let many: Vec<Value> = (0..MOST_FILES + 5)
            .map(|n| json!({"name": n.to_string()}))
            .collect();
        let found = files(&json!({"tree": many})).unwrap();
        assert_eq!((found.files.len(), found.left_out), (MOST_FILES, 5));
    }

    #[test]
    fn what_is_no_manifest_is_none() {
        for other in [json!(null), json!([]), json!({"tree": {}}), json!({})] {
            assert_eq!(files(&other), None);
        }
    }
}
