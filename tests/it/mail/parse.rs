//! Mails read back.

/// A mail in words.
#[derive(Debug)]
pub(super) struct Parsed {
    headers: Vec<(String, String)>,
    /// Content type and decoded text of each part.
    pub(super) parts: Vec<(String, String)>,
}

impl Parsed {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap();
        let headers = headers(head);
        let kind = value(&headers, "Content-Type");
        let boundary = kind.split("boundary=").nth(1).unwrap().trim_matches('"');
        let fence = format!("--{boundary}");
        let parts = body
            .split(&*fence)
            .skip(1)
            .take_while(|part| !part.starts_with("--"));
        let parts = parts.map(part).collect();
        Self { headers, parts }
    }

    /// A header, decoded; empty where there is none.
    pub(super) fn header(&self, name: &str) -> String {
        value(&self.headers, name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case(name))
    }
}

fn part(text: &str) -> (String, String) {
    let (head, body) = text.trim_start_matches('\n').split_once("\n\n").unwrap();
    let headers = headers(head);
    let bytes = match value(&headers, "Content-Transfer-Encoding").as_str() {
        "base64" => base64(body),
        "quoted-printable" => quoted(body, false),
        _ => body.as_bytes().to_vec(),
    };
    let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    (value(&headers, "Content-Type"), text.trim_end().to_owned())
}

fn headers(head: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in head.lines() {
        match line.split_once(':') {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                all.push((name.to_owned(), value.trim().to_owned()));
            }
            _ => {
                if let Some((_, value)) = all.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
        }
    }
    all
}

fn value(headers: &[(String, String)], name: &str) -> String {
    let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    decoded(found.map_or("", |(_, value)| value))
}

/// Encoded words (RFC 2047); a space between two of them is none.
fn decoded(text: &str) -> String {
    let (mut out, mut rest, mut after_word) = (String::new(), text, false);
    while let Some(start) = rest.find("=?") {
        let mut fields = rest[start + 2..].splitn(4, '?');
        let (_, how, data) = (
            fields.next(),
            fields.next().unwrap(),
            fields.next().unwrap(),
        );
        let bytes = match how {
            "b" | "B" => base64(data),
            _ => quoted(data, true),
        };
        let between = &rest[..start];
        if !after_word || !between.trim().is_empty() {
            out += between;
        }
        out += &String::from_utf8(bytes).unwrap();
        rest = fields.next().unwrap().strip_prefix('=').unwrap();
        after_word = true;
    }
    out + rest
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(u32::from(c - b'A')),
        b'a'..=b'z' => Some(u32::from(c - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(c - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).collect();
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let number = (0..4).fold(0, |n, at| n << 6 | group.get(at).copied().unwrap_or(0));
        out.extend(number.to_be_bytes()[1..].iter().take(group.len() - 1));
    }
    out
}

fn quoted(text: &str, in_header: bool) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'_' if in_header => out.push(b' '),
            b'=' => {
                let first = bytes.next().unwrap();
                if first != b'\n' {
                    let pair = [first, bytes.next().unwrap()];
                    let pair = std::str::from_utf8(&pair).unwrap();
                    out.push(u8::from_str_radix(pair, 16).unwrap());
                }
            }
            byte => out.push(byte),
        }
    }
    out
}

#[test]
fn what_the_tests_read_is_read_right() {
    assert_eq!(decoded("=?utf-8?b?w6Q=?= =?utf-8?Q?=C3=A4_b?= c"), "ää b c");
    assert_eq!(quoted("a=3D=\nb", false), b"a=b");
}
