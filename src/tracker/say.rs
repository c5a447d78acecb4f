//! Texts of strangers, made fit to be kept and shown.

use crate::event::is_deceptive;
use url::Url;

/// Longest title or name that is kept.
const LONGEST: usize = 300;
/// Longest address that is kept.
const LONGEST_URL: usize = 2000;
/// Reviews that are kept of one bug.
pub(super) const REVIEWS: usize = 20;

/// One line without characters that deceive, of a readable length.
pub(super) fn line(text: &str) -> String {
    let visible = |c| if is_deceptive(c) { ' ' } else { c };
    let text: String = text.chars().take(4 * LONGEST).map(visible).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST).collect()
}

/// A name, if there is any.
pub(super) fn name(text: Option<&str>) -> Option<String> {
    let text = line(text?);
    (!text.is_empty()).then_some(text)
}

/// An address that a page may link to.
pub(super) fn link(text: Option<&str>) -> Option<String> {
    let text = text?;
    let url = Url::parse(text).ok()?;
    let fit = matches!(url.scheme(), "http" | "https") && text.len() <= LONGEST_URL;
    (fit && url.username().is_empty() && url.password().is_none()).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_one_line_that_does_not_deceive() {
        assert_eq!(line(" a\n\u{202e}b\u{7}\tc "), "a b c");
        assert_eq!(line(&"x".repeat(9000)).len(), LONGEST);
        assert_eq!(name(Some(" \u{0}")), None);
    }

    #[test]
    fn only_web_addresses_are_links() {
        assert!(link(Some("https://example.org/b/1")).is_some());
        for bad in ["javascript:alert(1)", "b/1", "https://u:p@example.org/", ""] {
            assert_eq!(link(Some(bad)), None, "{bad}");
        }
    }
}
