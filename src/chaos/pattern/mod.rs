//! Regular expressions as Python reads them.
//!
//! In: a pattern. Out: the same for our engine, or Python's own words for what is wrong with it.

mod class;
mod group;
mod translate;

use fancy_regex::Regex;

/// A pattern that Python would not compile, in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub(crate) String);

/// A pattern of Python's `re`.
#[derive(Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let translated = translate::translate(pattern)?;
        Regex::new(&translated)
            .map(Self)
            .map_err(|error| PatternError(error.to_string()))
    }

    /// Whether the pattern matches somewhere in the text.
    pub fn search(&self, text: &str) -> Result<bool, PatternError> {
        self.0
            .is_match(text)
            .map_err(|error| PatternError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_python() {
        for (pattern, text, expected) in [
            ("^[0-9]{2}", "42 x", true),
            ("a$", "a\n", true),
            (r"a\Z", "a\n", false),
            ("(?m)^b$", "a\nb\nc", true),
            ("x{", "x{", true),
            ("x{1,a}", "x{1,a}", true),
            ("a{,2}b", "aab", true),
            ("[[]", "[", true),
            ("[a&&b]", "&", true),
            ("[]]", "]", true),
            (r"(?P<n>a)b(?P=n)", "aba", true),
            (r"(a)\1", "aa", true),
            ("a(?=b)", "ab", true),
            ("(?<!x)a", "xa", false),
            ("(?i)HELLO", "hello", true),
            ("(?i:H)ello", "hello", true),
            (r"\$\{level\}", "${level}", true),
            ("(a)?(?(1)b|c)", "c", true),
            ("a++b", "aaab", true),
            (r"\x41\u0042\103", "ABC", true),
            ("(?#note)a", "a", true),
            ("(?s).", "\n", true),
            (".", "\n", false),
            ("a|", "", true),
            (r"[\w.-]+@", "a.b-c@", true),
            (r"[^\d]", "x", true),
            ("}", "}", true),
            ("(?i)(?m)^B$", "a\nb\nc", true),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            assert_eq!(
                compiled.search(text).unwrap(),
                expected,
                "{pattern} on {text:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_pythons_words() {
        for (pattern, expected) in [
            ("[0-9", "unterminated character set"),
            ("(a", "missing ), unterminated subpattern"),
            ("a)", "unbalanced parenthesis"),
            ("*a", "nothing to repeat"),
            ("a**", "multiple repeat"),
            ("a{3,2}", "min repeat greater than max repeat"),
            ("[b-a]", "bad character range b-a"),
            (r"\q", r"bad escape \q"),
            ("a\\", "bad escape (end of pattern)"),
            ("(?<n>a)", "unknown extension ?<n"),
            ("(?P<1>a)", "bad character in group name '1'"),
            (r"\1", "invalid group reference 1"),
            ("(?P=x)", "unknown group name 'x'"),
            ("a(?i)", "global flags not at the start of the expression"),
            (
                "(?P<a>x)(?P<a>y)",
                "redefinition of group name 'a' as group 2; was group 1",
            ),
            ("(?z)", "unknown extension ?z"),
            ("(?i-:a)", "missing flag"),
            ("(?i", "missing -, : or )"),
            ("(?P", "unexpected end of pattern"),
        ] {
            let error = Pattern::new(pattern).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some(expected), "{pattern}");
        }
    }
}
