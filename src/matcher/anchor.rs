//! The words of which at least one must be in an event's message for a query to match it; and, where
//! asking for more costs nothing, pairs of words of which both must.

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

/// Words, at most two, that are all in a message; the rarest first.
pub type Needed = Vec<String>;

/// What an event's message has at least one of for a query to match it; as [`anchor`], but with two
/// words where the query has two.
pub(super) fn needed(node: &Node) -> Option<Vec<Needed>> {
    match &node.kind {
        Kind::Phrase { field, words, .. } if field == "message" => {
            let both = rarest(words.iter().map(|(_, word)| word.clone()));
            (!both.is_empty()).then(|| vec![both])
        }
        Kind::Boost(inner, _) => needed(inner),
        Kind::Bool(clauses) => needed_of_group(clauses),
        _ => Some(anchor(node)?.into_iter().map(|word| vec![word]).collect()),
    }
}

fn needed_of_group(clauses: &[Clause]) -> Option<Vec<Needed>> {
    let of = |wanted: Occur| {
        clauses
            .iter()
            .filter(move |c| c.occur == wanted)
            .map(|c| needed(&c.node))
    };
    let required: Vec<Option<Vec<Needed>>> = of(Occur::Must).collect();
    if !required.is_empty() {
        return all_needed(required.into_iter().flatten().collect());
    }
    let mut optional = of(Occur::Should).peekable();
    optional.peek()?;
    let all: Vec<Vec<Needed>> = optional.collect::<Option<_>>()?;
    Some(all.concat())
}

/// The cheapest of what is all needed, each with the words of those that leave no choice.
pub(super) fn all_needed(all: Vec<Vec<Needed>>) -> Option<Vec<Needed>> {
    let sure: Vec<String> = all
        .iter()
        .filter(|one| one.len() == 1)
        .flatten()
        .flatten()
        .cloned()
        .collect();
    let firsts = |all: &[Needed]| {
        all.iter()
            .filter_map(|one| one.first().cloned())
            .collect::<Vec<_>>()
    };
    let best = all.into_iter().min_by_key(|one| cost(&firsts(one)))?;
    let with = |one: Needed| rarest(one.into_iter().chain(sure.iter().cloned()));
    Some(best.into_iter().map(with).collect())
}

/// The rarest two of words.
pub(super) fn rarest(words: impl Iterator<Item = String>) -> Needed {
    let mut words: Vec<String> = words.collect();
    words.sort_by(|a, b| rarity(b).cmp(&rarity(a)).then_with(|| a.cmp(b)));
    words.dedup();
    words.truncate(2);
    words
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

    #[test]
    fn two_words_are_needed_where_there_are_two() {
        let needed = |query: &str| needed(Query::parse(query, &Schema::default()).unwrap().root());
        let all = |all: &[&[&str]]| -> Option<Vec<Needed>> {
            let one = |words: &&[&str]| words.iter().map(|&word| word.to_owned()).collect();
            Some(all.iter().map(one).collect())
        };
        assert_eq!(needed("\"in refused at\""), all(&[&["refused", "at"]]));
        assert_eq!(needed("\"a a\""), all(&[&["a"]]));
        assert_eq!(needed("alpha AND tags:x"), all(&[&["alpha"]]));
        assert_eq!(needed("alpha AND beta1"), all(&[&["beta1", "alpha"]]));
        assert_eq!(
            needed("(alpha7 OR \"bbbb7 cc\") AND d"),
            all(&[&["alpha7", "d"], &["bbbb7", "cc"]])
        );
        assert_eq!(needed("alpha OR tags:x"), None);
        assert_eq!(needed("NOT alpha"), None);
        assert_eq!(needed("alpha AND NOT beta"), all(&[&["alpha"]]));
        assert_eq!(needed("alpha \"b cc\""), all(&[&["alpha"], &["cc", "b"]]));
    }
}
