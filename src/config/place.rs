//! Where in the file a value stands, so that a message about it can say so.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// A YAML value with the places of its parts.
#[derive(Debug)]
pub(super) enum Node {
    /// Keys and values.
    Map(Vec<(String, Spanned<Node>)>),
    /// Values in order.
    List(Vec<Spanned<Node>>),
    /// A text, and what else a value may be.
    Text(String),
}

/// One value: its path as `notes.webhooks[0].url`, its text if it is one, line and column.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) text: Option<String>,
    pub(super) line: u64,
    pub(super) column: u64,
}

/// Every value of a document, the outer ones before the inner ones.
pub(super) fn leaves(text: &str) -> Vec<Leaf> {
    let mut found = Vec::new();
    // What is no YAML has been refused before.
    if let Ok(root) = serde_saphyr::from_str::<Spanned<Node>>(text) {
        gather("", &root, &mut found);
    }
    found
}

fn gather(path: &str, node: &Spanned<Node>, found: &mut Vec<Leaf>) {
    let text = match &node.value {
        Node::Text(text) => Some(text.clone()),
        Node::Map(_) | Node::List(_) => None,
    };
    found.push(Leaf {
        path: path.to_owned(),
        text,
        line: node.referenced.line(),
        column: node.referenced.column(),
    });
    match &node.value {
        Node::Map(pairs) => {
            for (key, value) in pairs {
                let dot = if path.is_empty() { "" } else { "." };
                gather(&format!("{path}{dot}{key}"), value, found);
            }
        }
        Node::List(values) => {
            for (n, value) in values.iter().enumerate() {
                gather(&format!("{path}[{n}]"), value, found);
            }
        }
        Node::Text(_) => {}
    }
}

/// The place of a path, or of the nearest value around it.
pub(super) fn place(leaves: &[Leaf], path: &str) -> (u64, u64) {
    let around = leaves
        .iter()
        .filter(|leaf| !leaf.path.is_empty() && path.starts_with(&leaf.path));
    let nearest = around.max_by_key(|leaf| leaf.path.len());
    nearest.map_or((1, 1), |leaf| (leaf.line, leaf.column))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = map.next_key()? {
            pairs.push((key, map.next_value()?));
        }
        Ok(Node::Map(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Node::List(values))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(inner).map(|_| Node::Text(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place() {
        let found = leaves("a: 1\nb:\n  c: [x, {d: yes}]\n  e:\n");
        let places: Vec<_> = found
            .iter()
            .map(|l| (l.path.as_str(), l.line, l.column))
            .collect();
        assert!(places.contains(&("a", 1, 4)), "{places:?}");
        assert!(places.contains(&("b.c[0]", 3, 7)), "{places:?}");
        assert!(places.contains(&("b.c[1].d", 3, 14)), "{places:?}");
        assert_eq!(place(&found, "b.c[0]"), (3, 7));
        assert_eq!(place(&found, "nowhere"), (1, 1));
    }
}
