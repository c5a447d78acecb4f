//! The words of which at least one must be in an event's message for a query to match it.

use crate::query::{Clause, Kind, Node, Occur};

/// Words of one query; `None` when no word must be there (fields only, pure negation, patterns).
pub(super) fn anchor(node: &Node) -> Option<Vec<String>> {
    match &node.kind {
        Kind::Nothing => Some(Vec::new()),
        Kind::Term { field, value } if field == "message" => Some(vec![value.clone()]),
        Kind::Phrase { field, words, .. } if field == "message" => {
            let rarest = words.iter().max_by_key(|(_, word)| rarity(word))?;
            Some(vec![rarest.1.clone()])
        }
        Kind::Fuzzy {
            field,
            value,
            distance: 0,
        } if field == "message" => Some(vec![value.clone()]),
        Kind::Boost(inner, _) => anchor(inner),
        Kind::Bool(clauses) => of_group(clauses),
        _ => None,
    }
}

/// The rarest anchor of the required clauses; without any, the anchors of all optional ones.
fn of_group(clauses: &[Clause]) -> Option<Vec<String>> {
    let required = clauses.iter().filter(|c| c.occur == Occur::Must);
    let best = required
        .filter_map(|c| anchor(&c.node))
        .min_by_key(|words| cost(words));
    if best.is_some() || clauses.iter().any(|c| c.occur == Occur::Must) {
        return best;
    }
    let mut optional = clauses
        .iter()
        .filter(|c| c.occur == Occur::Should)
        .peekable();
    optional.peek()?;
    let mut all = Vec::new();
    for clause in optional {
        all.extend(anchor(&clause.node)?);
    }
    Some(all)
}

/// Long words are rarer in logs than short ones; digits make a word rarer still.
fn rarity(word: &str) -> usize {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    word.len() + digits.min(4)
}

/// Fewer and rarer words are cheaper.
fn cost(words: &[String]) -> usize {
    words.iter().map(|word| 1000 / rarity(word).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, Schema};

    fn words(query: &str) -> Option<Vec<String>> {
        anchor(Query::parse(query, &Schema::default()).unwrap().root())
    }

    #[test]
    fn required_clauses_give_one_anchor_and_optional_ones_give_all() {
        let one = |word: &str| Some(vec![word.to_owned()]);
        assert_eq!(
            words("message:\"in refused\" AND tags:console"),
            one("refused")
        );
        assert_eq!(
            words("alpha OR beta"),
            Some(vec!["alpha".into(), "beta".into()])
        );
        assert_eq!(words("alpha OR tags:console"), None);
        assert_eq!(words("tags:console AND alpha"), one("alpha"));
        assert_eq!(words("NOT alpha"), None);
        assert_eq!(words("err* AND build_name:x"), None);
    }
}
