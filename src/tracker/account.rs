//! How requests say who we are.

use crate::config::{TrackerKind, TrackerSite};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use reqwest::header::{self, HeaderName, HeaderValue};
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};

/// How requests say who we are.
pub(super) enum Account {
    Nobody,
    Header(HeaderName, HeaderValue),
    OAuth {
        consumer: String,
        token: String,
        secret: String,
    },
}

/// `None` when a token cannot be sent.
pub(super) fn account(site: &TrackerSite) -> Option<Account> {
    let Some(token) = site.token.as_ref().map(|token| token.expose().trim()) else {
        return Some(Account::Nobody);
    };
    let user = site.user.as_deref();
    let (name, value) = match (site.kind, user) {
        (TrackerKind::Launchpad, _) => {
            return Some(Account::OAuth {
                consumer: user?.to_owned(),
                token: token.to_owned(),
                secret: site.token_secret.as_ref()?.expose().trim().to_owned(),
            });
        }
        (TrackerKind::Gitlab, _) => (HeaderName::from_static("private-token"), token.to_owned()),
        (TrackerKind::Bugzilla, _) => (
            HeaderName::from_static("x-bugzilla-api-key"),
            token.to_owned(),
        ),
        (TrackerKind::Jira, Some(user)) => {
            let pair = base64(format!("{user}:{token}").as_bytes());
            (header::AUTHORIZATION, format!("Basic {pair}"))
        }
        (TrackerKind::Jira | TrackerKind::Github, _) => {
            (header::AUTHORIZATION, format!("Bearer {token}"))
        }
    };
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(Account::Header(name, value))
}

/// OAuth 1.0 with the signature method PLAINTEXT: over HTTPS, which Launchpad insists on anyway.
fn oauth(consumer: &str, token: &str, secret: &str, at: i64) -> String {
    let nonce = RandomState::new().build_hasher().finish();
    format!(
        "OAuth realm=\"https://api.launchpad.net/\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", \
         oauth_signature_method=\"PLAINTEXT\", oauth_signature=\"%26{}\", oauth_timestamp=\"{at}\", \
         oauth_nonce=\"{nonce}\", oauth_version=\"1.0\"",
        percent(consumer),
        percent(token),
        // The signature is itself a text of percent-encoded parts.
        percent(&percent(secret)),
    )
}

/// Everything but unreserved characters as `%XX`.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |n, i| {
            n << 8 | u32::from(*chunk.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            let digit = usize::try_from(number >> (18 - 6 * i) & 63).unwrap_or(0);
            out.push(if i <= chunk.len() {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    out
}

impl Account {
    /// Puts who we are into a request.
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Account::Nobody => request,
            Account::Header(name, value) => request.header(name, value),
            Account::OAuth {
                consumer,
                token,
                secret,
            } => {
                let value = oauth(consumer, token, secret, Timestamp::now().as_second());
                match HeaderValue::from_str(&value) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        request.header(header::AUTHORIZATION, value)
                    }
                    // Everything in it is percent-encoded.
                    Err(_) => request,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_encoded_as_the_standards_say() {
        assert_eq!(
            base64(b"Aladdin:open sesame"),
            "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(base64(b"ab"), "YWI=");
        let header = oauth("my app", "t\"1", "s/2", 9);
        assert!(
            header.contains("oauth_consumer_key=\"my%20app\""),
            "{header}"
        );
        assert!(header.contains("oauth_token=\"t%221\""), "{header}");
        assert!(
            header.contains("oauth_signature=\"%26s%252F2\""),
            "{header}"
        );
    }
}
