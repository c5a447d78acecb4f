//! Names are compared as the server compares them.

use super::wire::Message;

/// Which letters are the same in names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Folding {
    /// `a` to `z`.
    Ascii,
    /// And `{}|~` as `[]\^`.
    #[default]
    Rfc1459,
    /// And `{}|` as `[]\`.
    StrictRfc1459,
}

impl Folding {
    /// The name as it is compared.
    pub(super) fn fold(self, name: &str) -> String {
        let letter = |c: char| match (c, self) {
            ('[', Self::Rfc1459 | Self::StrictRfc1459) => '{',
            (']', Self::Rfc1459 | Self::StrictRfc1459) => '}',
            ('\\', Self::Rfc1459 | Self::StrictRfc1459) => '|',
            ('^', Self::Rfc1459) => '~',
            (other, _) => other.to_ascii_lowercase(),
        };
        name.chars().map(letter).collect()
    }

    /// What the server says of it (005).
    pub(super) fn told(line: &Message) -> Option<Self> {
        let named = line
            .params
            .iter()
            .find_map(|p| p.strip_prefix("CASEMAPPING="))?;
        match named {
            "ascii" => Some(Self::Ascii),
            "strict-rfc1459" => Some(Self::StrictRfc1459),
            _ => Some(Self::Rfc1459),
        }
    }
}
