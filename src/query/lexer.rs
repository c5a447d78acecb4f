//! Text to tokens, after the token rules of Lucene's classic query parser
//! (`QueryParser.jj`, Lucene 9): longest match, and at equal length the rule listed first.

use super::QueryError;
use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    And,
    Or,
    Not,
    Plus,
    Minus,
    /// `+`, `-` or `!` with white space behind it: not an operator but a word without meaning.
    BareOperator,
    LeftParen,
    RightParen,
    Colon,
    Star,
    Caret,
    Quoted,
    Term,
    FuzzySlop,
    Prefix,
    Wild,
    Regex,
    RangeStart,
    RangeEnd,
    RangeTo,
    RangeWord,
    RangeQuoted,
    Number,
    End,
}

/// A token and the bytes of the text it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Range<usize>,
}

/// Which rules apply: they change inside `[…]` and after `^`.
#[derive(Clone, Copy)]
enum State {
    Default,
    Boost,
    Range,
}

/// Cuts the text into tokens, the last one being [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut all = Vec::new();
    let mut state = State::Default;
    let mut at = 0;
    loop {
        at += white_space(state, &text[at..]);
        if at >= text.len() {
            all.push(Token {
                kind: TokenKind::End,
                span: text.len()..text.len(),
            });
            return Ok(all);
        }
        let (kind, length) = next(state, &text[at..]).ok_or_else(|| refuse(state, text, at))?;
        state = state_after(state, kind);
        all.push(Token {
            kind,
            span: at..at + length,
        });
        at += length;
    }
}

fn state_after(state: State, kind: TokenKind) -> State {
    match kind {
        TokenKind::Caret => State::Boost,
        TokenKind::RangeStart => State::Range,
        TokenKind::Number | TokenKind::RangeEnd => State::Default,
        _ => state,
    }
}

/// Length of the white space to skip. Inside a range a tab or line break is skipped only when no
/// word follows at once, because there a word may begin with one (the longer match wins).
fn white_space(state: State, rest: &str) -> usize {
    if matches!(state, State::Boost) {
        return 0;
    }
    let mut skipped = 0;
    for c in rest.chars() {
        if !is_space(c) {
            break;
        }
        if matches!(state, State::Range) && c != ' ' && range_word(&rest[skipped..]) > c.len_utf8()
        {
            break;
        }
        skipped += c.len_utf8();
    }
    skipped
}

fn next(state: State, rest: &str) -> Option<(TokenKind, usize)> {
    match state {
        State::Default => default_token(rest),
        State::Boost => number(rest).map(|length| (TokenKind::Number, length)),
        State::Range => range_token(rest),
    }
}

fn default_token(rest: &str) -> Option<(TokenKind, usize)> {
    use TokenKind as K;
    let candidates = [
        (K::And, literal(rest, &["AND", "&&"])),
        (K::Or, literal(rest, &["OR", "||"])),
        (K::Not, literal(rest, &["NOT", "!"])),
        (K::Plus, literal(rest, &["+"])),
        (K::Minus, literal(rest, &["-"])),
        (K::BareOperator, bare_operator(rest)),
        (K::LeftParen, literal(rest, &["("])),
        (K::RightParen, literal(rest, &[")"])),
        (K::Colon, literal(rest, &[":"])),
        (K::Star, literal(rest, &["*"])),
        (K::Caret, literal(rest, &["^"])),
        (K::Quoted, quoted(rest)),
        (K::Term, term(rest)),
        (K::FuzzySlop, fuzzy(rest)),
        (K::Prefix, prefix(rest)),
        (K::Wild, wild(rest)),
        (K::Regex, regex(rest)),
        (K::RangeStart, literal(rest, &["[", "{"])),
    ];
    longest(&candidates)
}

fn range_token(rest: &str) -> Option<(TokenKind, usize)> {
    use TokenKind as K;
    let candidates = [
        (K::RangeTo, literal(rest, &["TO"])),
        (K::RangeEnd, literal(rest, &["]", "}"])),
        (K::RangeQuoted, range_quoted(rest)),
        (K::RangeWord, range_word(rest)),
    ];
    longest(&candidates)
}

/// The longest candidate that matched something; of equally long ones the first.
fn longest(candidates: &[(TokenKind, usize)]) -> Option<(TokenKind, usize)> {
    let mut best: Option<(TokenKind, usize)> = None;
    for &(kind, length) in candidates {
        if length > best.map_or(0, |(_, l)| l) {
            best = Some((kind, length));
        }
    }
    best
}

fn literal(rest: &str, words: &[&str]) -> usize {
    words
        .iter()
        .find(|word| rest.starts_with(**word))
        .map_or(0, |word| word.len())
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{3000}')
}

fn is_term_start(c: char) -> bool {
    !is_space(c)
        && !matches!(
            c,
            '+' | '-'
                | '!'
                | '('
                | ')'
                | ':'
                | '^'
                | '['
                | ']'
                | '"'
                | '{'
                | '}'
                | '~'
                | '*'
                | '?'
                | '\\'
                | '/'
        )
}

/// Length of one character that may stand in a term (an escaped one counts as one), or 0.
fn term_char(rest: &str, first: bool) -> usize {
    let mut chars = rest.chars();
    match chars.next() {
        Some('\\') => chars.next().map_or(0, |c| 1 + c.len_utf8()),
        Some('-' | '+') if !first => 1,
        Some(c) if is_term_start(c) => c.len_utf8(),
        _ => 0,
    }
}

fn term_chars(rest: &str) -> usize {
    let mut length = 0;
    loop {
        match term_char(&rest[length..], false) {
            0 => return length,
            more => length += more,
        }
    }
}

fn term(rest: &str) -> usize {
    match term_char(rest, true) {
        0 => 0,
        first => first + term_chars(&rest[first..]),
    }
}

fn prefix(rest: &str) -> usize {
    let length = term(rest);
    if rest[length..].starts_with('*') {
        length + 1
    } else {
        0
    }
}

fn wild(rest: &str) -> usize {
    let mut length = match rest.chars().next() {
        Some('*' | '?') => 1,
        _ => term_char(rest, true),
    };
    if length == 0 {
        return 0;
    }
    loop {
        let more = match rest[length..].chars().next() {
            Some('*' | '?') => 1,
            _ => term_char(&rest[length..], false),
        };
        if more == 0 {
            return length;
        }
        length += more;
    }
}

fn fuzzy(rest: &str) -> usize {
    rest.strip_prefix('~')
        .map_or(0, |more| 1 + term_chars(more))
}

fn bare_operator(rest: &str) -> usize {
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some('+' | '-' | '!'), Some(c)) if is_space(c) => 1 + c.len_utf8(),
        _ => 0,
    }
}

/// A quoted text with its quotes, `\` escaping any character; 0 when it does not end.
fn quoted(rest: &str) -> usize {
    if !rest.starts_with('"') {
        return 0;
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    0
}

/// A regular expression with its slashes; the longest one whose inner slashes are all escaped.
fn regex(rest: &str) -> usize {
    if rest.starts_with('/') {
        delimited(rest, b'/')
    } else {
        0
    }
}

/// The longest text between two delimiters whose inner delimiters all have a `\` before them; 0
/// when it does not end.
fn delimited(rest: &str, delimiter: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut length = 0;
    for at in 1..bytes.len() {
        if bytes[at] == delimiter {
            length = at + 1;
            if bytes[at - 1] != b'\\' {
                break;
            }
        }
    }
    length
}

fn number(rest: &str) -> Option<usize> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(rest);
    if whole == 0 {
        return None;
    }
    let fraction = rest[whole..].strip_prefix('.').map_or(0, digits);
    Some(if fraction == 0 {
        whole
    } else {
        whole + 1 + fraction
    })
}

fn range_word(rest: &str) -> usize {
    rest.find([' ', ']', '}']).unwrap_or(rest.len())
}

fn range_quoted(rest: &str) -> usize {
    if rest.starts_with('"') && !rest.starts_with("\"\"") {
        delimited(rest, b'"')
    } else {
        0
    }
}

/// Says why no rule matches at `at`.
fn refuse(state: State, text: &str, at: usize) -> QueryError {
    let found = text[at..].chars().next().unwrap_or(' ');
    let message = match (state, found) {
        (State::Boost, _) => "expected a number after `^`, for example `error^2`".to_owned(),
        (_, '"') => "this quote is never closed; write `\\\"` for a quote inside a phrase".to_owned(),
        (_, '/') => {
            "an unquoted `/` starts a regular expression and this one never ends; quote the text or write `\\/`"
                .to_owned()
        }
        (_, '\\') => "nothing follows this `\\`; write `\\\\` for a backslash".to_owned(),
        (_, c) => format!("unexpected `{c}`; write `\\{c}` or put the text in quotes"),
    };
    QueryError {
        message,
        offset: at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        tokens(text).unwrap().into_iter().map(|t| t.kind).collect()
    }

    #[test]
    fn the_longest_match_wins_and_then_the_first_rule() {
        use TokenKind::*;
        assert_eq!(kinds("AND"), [And, End]);
        assert_eq!(kinds("ANDROID"), [Term, End]);
        assert_eq!(kinds("a-b"), [Term, End]);
        assert_eq!(kinds("- b"), [BareOperator, Term, End]);
        assert_eq!(kinds("-b"), [Minus, Term, End]);
        assert_eq!(kinds("b*"), [Prefix, End]);
        assert_eq!(kinds("*b"), [Wild, End]);
        assert_eq!(kinds("*:*"), [Star, Colon, Star, End]);
        assert_eq!(kinds("x~2^3.5"), [Term, FuzzySlop, Caret, Number, End]);
        assert_eq!(
            kinds("[a TO *}"),
            [RangeStart, RangeWord, RangeTo, RangeWord, RangeEnd, End]
        );
    }

    #[test]
    fn unclosed_things_say_where() {
        for (text, offset) in [("a \"b", 2), ("x:/y", 2), ("a\\", 1), ("a^b", 2)] {
            assert_eq!(tokens(text).unwrap_err().offset, offset, "{text}");
        }
    }
}
