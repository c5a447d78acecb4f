//! The words of a path.

use super::PathError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Here,
    Deep,
    Root,
    Dot,
    Star,
    Open,
    Close,
    Curly,
    Uncurly,
    Bracket,
    Unbracket,
    Colon,
    Comma,
    Question,
    Operator(super::Operator),
    Word(String),
    /// As written between the quotes; escapes stay as they are.
    Text(String),
    Number(String),
}

pub(super) type Spot = (usize, Token);

/// Cuts a path into words; blanks between them mean nothing.
pub(super) fn words(text: &str) -> Result<Vec<Spot>, PathError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            at += 1;
            continue;
        }
        let (token, length) = word(&text[at..], c).ok_or_else(|| PathError {
            column: text[..at].chars().count() + 1,
            message: format!("{c:?} means nothing here{}", hint(c)),
        })?;
        found.push((at, token));
        at += length;
    }
    Ok(found)
}

fn hint(c: char) -> &'static str {
    match c {
        '\'' => "; names and texts have double quotes",
        '&' => "; write `and`",
        '|' => "; write `or`",
        '!' => "; write `not`",
        _ => "",
    }
}

fn word(rest: &str, first: char) -> Option<(Token, usize)> {
    use super::Operator;
    let pairs = [
        ("..", Token::Deep),
        (">=", Token::Operator(Operator::AtLeast)),
        ("<=", Token::Operator(Operator::AtMost)),
        ("!=", Token::Operator(Operator::NotEqual)),
    ];
    if let Some((pair, token)) = pairs.into_iter().find(|(pair, _)| rest.starts_with(pair)) {
        return Some((token, pair.len()));
    }
    let token = match first {
        '@' => Token::Here,
        '$' => Token::Root,
        '.' => Token::Dot,
        '*' => Token::Star,
        '(' => Token::Open,
        ')' => Token::Close,
        '{' => Token::Curly,
        '}' => Token::Uncurly,
        '[' => Token::Bracket,
        ']' => Token::Unbracket,
        ':' => Token::Colon,
        ',' => Token::Comma,
        '?' => Token::Question,
        '=' => Token::Operator(Operator::Equal),
        '<' => Token::Operator(Operator::Less),
        '>' => Token::Operator(Operator::Greater),
        '"' => return string(rest),
        '-' | '0'..='9' => return number(rest),
        c if c == '_' || c.is_ascii_alphabetic() => {
            let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
            let length = end.unwrap_or(rest.len());
            return Some((Token::Word(rest[..length].to_owned()), length));
        }
        _ => return None,
    };
    Some((token, 1))
}

/// A JSON string; nothing when it does not end or holds what JSON does not allow.
fn string(rest: &str) -> Option<(Token, usize)> {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Token::Text(rest[1..at].to_owned()), at + 1)),
            '\\' => match chars.next()?.1 {
                '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {}
                'u' => {
                    for _ in 0..4 {
                        chars.next().filter(|(_, c)| c.is_ascii_hexdigit())?;
                    }
                }
                _ => return None,
            },
            c if (c as u32) < 0x20 => return None,
            _ => {}
        }
    }
    None
}

/// A JSON number: as much of the text as makes one.
fn number(rest: &str) -> Option<(Token, usize)> {
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = usize::from(rest.starts_with('-'));
    end += match rest.as_bytes().get(end)? {
        b'0' => 1,
        b'1'..=b'9' => digits(end),
        _ => return None,
    };
    if rest[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            let zero = rest[end + 1 + sign..].starts_with('0');
            end += 1 + sign + if zero { 1 } else { exponent };
        }
    }
    Some((Token::Number(rest[..end].to_owned()), end))
}
