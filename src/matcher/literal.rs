//! The words that every text has in which a regular expression matches.

use super::anchor::{Needed, all_needed, rarest};
use regex_syntax::hir::{Hir, HirKind, Look};

/// Words of one expression, in multi-line mode; `None` when no word must be there.
///
/// Only those count that stand between spaces or at the ends of a line in the expression itself: what
/// else stands beside them in a text may make them part of a longer word.
pub(super) fn words_of_pattern(source: &str) -> Option<Vec<Needed>> {
    let mut parser = regex_syntax::ParserBuilder::new().multi_line(true).build();
    words(&parser.parse(source).ok()?, false, false)
}

/// `starts` and `ends` say that a line does so before and behind.
fn words(hir: &Hir, starts: bool, ends: bool) -> Option<Vec<Needed>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            let found = rarest(of_literal(text, starts, ends));
            (!found.is_empty()).then(|| vec![found])
        }
        HirKind::Capture(capture) => words(&capture.sub, starts, ends),
        HirKind::Repetition(repeated) if repeated.min > 0 => words(&repeated.sub, false, false),
        HirKind::Alternation(all) => {
            let mut found = Vec::new();
            for one in all {
                found.extend(words(one, starts, ends)?);
            }
            Some(found)
        }
        HirKind::Concat(all) => {
            let looks = |at: Option<&Hir>, outer: bool, wanted: fn(Look) -> bool| match at {
                None => outer,
                Some(hir) => matches!(hir.kind(), HirKind::Look(look) if wanted(*look)),
            };
            let each = (0..all.len()).filter_map(|n| {
                let before = n.checked_sub(1).map(|n| &all[n]);
                let starts = looks(before, starts, |l| matches!(l, Look::Start | Look::StartLF));
                let ends = looks(all.get(n + 1), ends, |l| {
                    matches!(l, Look::End | Look::EndLF)
                });
                words(&all[n], starts, ends)
            });
            all_needed(each.collect())
        }
        _ => None,
    }
}

fn of_literal(text: &str, starts: bool, ends: bool) -> impl Iterator<Item = String> {
    let pieces: Vec<&str> = text.split([' ', '\t', '\n']).collect();
    let last = pieces.len() - 1;
    let inner = pieces.into_iter().enumerate().filter(move |(n, piece)| {
        let whole = (*n > 0 || starts) && (*n < last || ends);
        // Longer ones are cut by the analyser.
        whole
            && (1..=255).contains(&piece.len())
            && piece.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    let inner: Vec<String> = inner.map(|(_, piece)| piece.to_ascii_lowercase()).collect();
    inner.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::analyser::analyse;

    #[test]
    fn only_whole_words_count() {
        let known = words_of_pattern;
        let one = |words: &str| {
            Some(vec![
                words.split(' ').map(str::to_owned).collect::<Needed>(),
            ])
        };
        assert_eq!(
            known("memwatch: Killed process \\d+"),
            one("process killed")
        );
        assert_eq!(known("^panic: "), None);
        assert_eq!(known("^panic now"), one("panic"));
        assert_eq!(known("it went away$"), one("away went"));
        let both = Some(vec![vec!["went".to_owned()], vec!["came".to_owned()]]);
        assert_eq!(known("(?:a went b|a came b)"), both);
        assert_eq!(known("a went b|gone"), None);
        assert_eq!(known("(?i)a went b"), None);
        assert_eq!(known("(a went b)*"), None);
        assert_eq!(known("x( went )+y"), one("went"));
        assert_eq!(known("x went\\b"), None);
        assert_eq!(known("x_y error: z"), None);
        assert_eq!(known(r"\.[ch]:\d+:\d+: error:"), None);
    }

    #[test]
    fn a_text_that_matches_has_the_word() {
        let cases = [
            ("a (?:went|came)? far z", "a  far z\u{301}"),
            ("^now .* then$", "x\nNOW\nnow and then\ny"),
            ("of 5x of", "of 5x of"),
        ];
        for (pattern, text) in cases {
            let regex = regex::RegexBuilder::new(pattern)
                .multi_line(true)
                .build()
                .unwrap();
            assert!(regex.is_match(text), "{pattern}");
            let words: Vec<_> = analyse(text).map(|word| word.text.into_owned()).collect();
            let wanted = words_of_pattern(pattern).unwrap();
            assert!(
                wanted
                    .iter()
                    .any(|all| all.iter().all(|one| words.contains(one))),
                "{wanted:?} {words:?}"
            );
        }
    }
}
