//! SASL: what is answered when the server asks who we are.

use super::settings::Sasl;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest piece that `AUTHENTICATE` takes.
const PIECE: usize = 400;

impl Sasl {
    /// The mechanism's name.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }

    /// The answer, in pieces. A last piece shorter than the others ends it: `+` where there is none.
    pub(super) fn answer(&self) -> Vec<String> {
        let plain = match self {
            Self::Plain { account, password } => format!("\0{account}\0{password}"),
            // The certificate says who we are.
            Self::External => String::new(),
        };
        let encoded = STANDARD.encode(plain);
        let mut pieces: Vec<String> = encoded
            .as_bytes()
            .chunks(PIECE)
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect();
        if pieces.last().is_none_or(|last| last.len() == PIECE) {
            pieces.push("+".to_owned());
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(length: usize) -> Vec<String> {
        // 2 zero bytes and an account of one letter stand before the password.
        let password = "p".repeat(length - 3);
        Sasl::Plain {
            account: "a".into(),
            password,
        }
        .answer()
    }

    #[test]
    fn answers_are_cut_into_pieces_of_400_bytes() {
        let bot = Sasl::Plain {
            account: "bot".into(),
            password: "secret".into(),
        };
        assert_eq!(bot.answer(), ["AGJvdABzZWNyZXQ="]);
        assert_eq!(Sasl::External.answer(), ["+"]);
        let lengths = |n| plain(n).iter().map(String::len).collect::<Vec<_>>();
        // 300 bytes are 400 letters: the end has to be said.
        assert_eq!(lengths(299), [400, 1]);
        assert_eq!(lengths(300), [400, 1]);
        assert_eq!(plain(300)[1], "+");
        assert_eq!(lengths(301), [400, 4]);
        assert_eq!(lengths(600), [400, 400, 1]);
    }

    #[test]
    fn the_pieces_are_the_answer() {
        let mut pieces = plain(700);
        assert_eq!(
            pieces.iter().map(String::len).collect::<Vec<_>>(),
            [400, 400, 136]
        );
        let last = pieces.pop().unwrap();
        let whole = STANDARD.decode(pieces.concat() + &last).unwrap();
        assert_eq!(whole.len(), 700);
        assert!(whole.starts_with(b"\0a\0ppp"));
    }
}
