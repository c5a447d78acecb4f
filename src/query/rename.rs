//! The same query with other field names, for an index that calls its fields differently.

use super::QueryError;
use super::leaf::unescape;
use super::lexer::{Token, TokenKind, tokens};

/// Writes the names of fields anew where `name` gives another one. All else stays byte for byte, so
/// that the query means what it meant.
pub fn rename_fields(
    text: &str,
    mut name: impl FnMut(&str) -> Option<String>,
) -> Result<String, QueryError> {
    let all = tokens(text)?;
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (at, token) in all.iter().enumerate() {
        if !names_a_field(text, &all, at) {
            continue;
        }
        let raw = &text[token.span.clone()];
        let plain = unquoted(raw, token)?;
        if let Some(new) = name(&plain) {
            out.push_str(&text[copied..token.span.start]);
            out.push_str(&escaped(&new));
            copied = token.span.end;
        }
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// True for `name` in `name:x`, and for `name` in `_exists_:name`.
fn names_a_field(text: &str, all: &[Token], at: usize) -> bool {
    let kind = |n: usize| all.get(n).map(|t| t.kind);
    let is_text = matches!(kind(at), Some(TokenKind::Term | TokenKind::Quoted));
    let before_colon = kind(at) == Some(TokenKind::Term) && kind(at + 1) == Some(TokenKind::Colon);
    let after_exists = at >= 2 && kind(at - 1) == Some(TokenKind::Colon);
    is_text && (before_colon || (after_exists && &text[all[at - 2].span.clone()] == "_exists_"))
}

fn unquoted(raw: &str, token: &Token) -> Result<String, QueryError> {
    let inner = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let offset = token.span.start + usize::from(inner.is_some());
    unescape(inner.unwrap_or(raw), offset)
}

fn escaped(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if !(c.is_alphanumeric() || "_.@".contains(c)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyword(text: &str) -> String {
        let map = |name: &str| (name == "tags" || name == "a b").then(|| format!("{name}.keyword"));
        rename_fields(text, map).unwrap()
    }

    #[test]
    fn only_names_change() {
        let cases = [
            ("tags:console", "tags.keyword:console"),
            (
                "tags:(a OR \"tags:x\") AND tags",
                "tags.keyword:(a OR \"tags:x\") AND tags",
            ),
            (
                "_exists_:tags NOT tags:*",
                "_exists_:tags.keyword NOT tags.keyword:*",
            ),
            ("_exists_:\"tags\"", "_exists_:tags.keyword"),
            ("a\\ b:x", "a\\ b.keyword:x"),
            (
                "message:tags +tags:[a TO b]",
                "message:tags +tags.keyword:[a TO b]",
            ),
            ("x:\"é\" tags:é", "x:\"é\" tags.keyword:é"),
        ];
        for (before, after) in cases {
            assert_eq!(keyword(before), after);
        }
    }
}
