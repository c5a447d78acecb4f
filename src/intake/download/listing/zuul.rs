//! `zuul-manifest.json`: the tree of a build's logs.

use super::{Bounds, Entry, Found, Left, below};
use crate::intake::name::clean_name;
use serde::Deserialize;
use url::Url;

#[derive(Deserialize)]
struct Manifest {
    tree: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    mimetype: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
    // Older versions write numbers that are no whole ones.
    #[serde(default)]
    size: Option<f64>,
    #[serde(default)]
    children: Option<Vec<Node>>,
}

/// The kind that folders have.
const FOLDER: &str = "application/directory";

/// The files that a manifest names; `None` when this is none. JSON nests as deep as its reader allows,
/// which is a hundred and some.
pub(super) fn read(bytes: &[u8], folder: &Url, bounds: &Bounds) -> Option<Found> {
    let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
    let mut found = Found::new(bounds.files);
    gather("", manifest.tree, folder, bounds.depth, bounds, &mut found);
    Some(found)
}

fn gather(
    parent: &str,
    nodes: Vec<Node>,
    folder: &Url,
    deeper: usize,
    bounds: &Bounds,
    found: &mut Found,
) {
    for node in nodes {
        // A name is one part: a `/` in it would lead to another folder.
        let name = match clean_name(&node.name) {
            Ok(name) if !name.contains(['/', '\\']) => name,
            Ok(_) => {
                found.bad_name(&node.name, crate::intake::NameError::Parent);
                continue;
            }
            Err(reason) => {
                found.bad_name(&node.name, reason);
                continue;
            }
        };
        let path = if parent.is_empty() {
            name
        } else {
            format!("{parent}/{name}")
        };
        let is_folder = node.mimetype.as_deref() == Some(FOLDER);
        match node.children {
            Some(children) if deeper > 0 => {
                gather(&path, children, folder, deeper - 1, bounds, found);
            }
            Some(_) => found.leave(Left::Deep {
                folder: path,
                limit: bounds.depth,
            }),
            None if is_folder => {}
            None => {
                if let Some(url) = below(folder, &path) {
                    found.add(Entry {
                        name: path,
                        url,
                        size: node.size.and_then(whole),
                        mimetype: node.mimetype,
                        encoding: node.encoding,
                    });
                }
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a size that is none is no size"
)]
fn whole(size: f64) -> Option<u64> {
    (size.is_finite() && size >= 0.0).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"tree": [
        {"name": "job-output.txt", "mimetype": "text/plain", "encoding": null,
         "last_modified": 1571680000, "size": 4711},
        {"name": "zuul-info", "mimetype": "application/directory", "encoding": null, "children": [
            {"name": "host info.txt", "mimetype": "text/plain", "encoding": "gzip", "size": 12.0},
            {"name": "empty", "mimetype": "application/directory", "children": []}]},
        {"name": "../../etc/passwd", "size": 1},
        {"name": "a/b", "size": 1}],
        "index_links": false}"#;

    #[test]
    fn the_tree_of_a_manifest() {
        let folder = Url::parse("https://h/x/").unwrap();
        let found = read(MANIFEST.as_bytes(), &folder, &Bounds::default()).unwrap();
        let names: Vec<_> = found
            .entries
            .iter()
            .map(|e| (e.name.as_str(), e.size))
            .collect();
        assert_eq!(
            names,
            [
                ("job-output.txt", Some(4711)),
                ("zuul-info/host info.txt", Some(12))
            ]
        );
        assert_eq!(
            found.entries[1].url.as_str(),
            "https://h/x/zuul-info/host%20info.txt"
        );
        assert_eq!(found.entries[1].encoding.as_deref(), Some("gzip"));
        assert_eq!(found.left.len(), 2, "{:?}", found.left);
    }

    #[test]
    fn what_is_no_manifest() {
        let folder = Url::parse("https://h/x/").unwrap();
        for text in ["", "<html>", "[]", "{}", "{\"tree\": 1}"] {
            assert!(
                read(text.as_bytes(), &folder, &Bounds::default()).is_none(),
                "{text}"
            );
        }
        let deep = format!(
            "{}{}",
            r#"{"tree":[{"name":"a","children":["#.repeat(1000),
            ""
        );
        assert!(read(deep.as_bytes(), &folder, &Bounds::default()).is_none());
    }
}
