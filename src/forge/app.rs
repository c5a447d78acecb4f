//! Authentication as a GitHub App: a signed statement of who we are, and tokens for an hour.

use super::http::{Api, ForgeError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::fmt;
use tokio::sync::Mutex;

/// A token that ends so soon is not used any more.
const TOO_SHORT: SignedDuration = SignedDuration::from_secs(120);

/// The private key of a GitHub App.
pub struct AppKey {
    id: String,
    key: RsaKeyPair,
}

/// Why a GitHub App cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is not one.
    #[error("the private key of the GitHub App cannot be read: {0}")]
    Unreadable(String),
    /// The key is one, but does not sign.
    #[error("the private key of the GitHub App does not sign")]
    Unusable,
}

/// A GitHub App in one of its installations.
#[derive(Debug)]
pub struct App {
    key: AppKey,
    installation: Option<u64>,
    token: Mutex<Option<Token>>,
}

/// A token of an installation.
#[derive(Clone)]
pub struct Token {
    text: String,
    until: Timestamp,
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl AppKey {
    /// An App by its number or client id and its private key (PEM, as GitHub gives it out).
    pub fn new(id: impl Into<String>, pem: &str) -> Result<Self, KeyError> {
        let unreadable = |why: String| KeyError::Unreadable(why);
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unreadable("not PEM".to_owned()))?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(unreadable("not an RSA key".to_owned())),
        };
        Ok(Self {
            id: id.into(),
            key: key.map_err(|error| unreadable(error.to_string()))?,
        })
    }

    /// What the App signs of itself (a JWT by RS256), good for nine minutes.
    pub fn statement(&self, now: Timestamp) -> Result<String, KeyError> {
        let head = json!({"alg": "RS256", "typ": "JWT"});
        // A minute back: the other clock may be late.
        let claims = json!({
            "iat": now.as_second() - 60, "exp": now.as_second() + 540, "iss": self.id,
        });
        let mut text = format!("{}.{}", encoded(&head), encoded(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let (random, words) = (SystemRandom::new(), text.as_bytes());
        let signed = self
            .key
            .sign(&RSA_PKCS1_SHA256, &random, words, &mut signature);
        signed.map_err(|_| KeyError::Unusable)?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }
}

impl App {
    /// An App in the installation of this number, or in the only one that it has.
    pub fn new(key: AppKey, installation: Option<u64>) -> Self {
        Self {
            key,
            installation,
            token: Mutex::default(),
        }
    }

    /// A token of the installation, the same one until shortly before it ends.
    pub async fn token(&self, api: &Api, now: Timestamp) -> Result<String, ForgeError> {
        // Who comes meanwhile waits for the same token.
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.lasts(now)) {
            return Ok(token.text.clone());
        }
        let installation = self.installation(api, now).await?;
        let path = ["app", "installations", &installation, "access_tokens"];
        let answer = api.post(api.url(&path), self.headers(now)?).await?;
        let token = Token::read(&answer.json()?)
            .ok_or_else(|| ForgeError::Broken("no token of an installation".to_owned()))?;
        let text = token.text.clone();
        *held = Some(token);
        Ok(text)
    }

    /// Forgets a token that is not taken any more, unless there is another one already.
    pub async fn forget(&self, text: &str) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|token| token.text == text) {
            *held = None;
        }
    }

    async fn installation(&self, api: &Api, now: Timestamp) -> Result<String, ForgeError> {
        if let Some(number) = self.installation {
            return Ok(number.to_string());
        }
        let url = api.url(&["app", "installations"]);
        let answer = api.get(url, self.headers(now)?).await?.json()?;
        let all = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        match all {
            [one] => one["id"]
                .as_u64()
                .map(|id| id.to_string())
                .ok_or_else(|| ForgeError::Broken("an installation without a number".to_owned())),
            [] => Err(ForgeError::Denied(
                "the GitHub App is not installed anywhere".to_owned(),
            )),
            _ => Err(ForgeError::Denied(
                "the GitHub App has several installations: name one by `installation`".to_owned(),
            )),
        }
    }

    fn headers(&self, now: Timestamp) -> Result<Vec<(HeaderName, HeaderValue)>, ForgeError> {
        let statement = self.key.statement(now);
        let statement = statement.map_err(|error| ForgeError::Denied(error.to_string()))?;
        let mut value = HeaderValue::from_str(&format!("Bearer {statement}"))
            .map_err(|_| ForgeError::Credentials)?;
        value.set_sensitive(true);
        Ok(vec![
            (AUTHORIZATION, value),
            (
                reqwest::header::ACCEPT,
                HeaderValue::from_static("application/vnd.github+json"),
            ),
            (
                HeaderName::from_static("x-github-api-version"),
                HeaderValue::from_static("2022-11-28"),
            ),
        ])
    }
}

impl Token {
    /// Reads what GitHub answers when it is asked for one.
    pub fn read(json: &Value) -> Option<Self> {
        Some(Self {
            text: json["token"].as_str()?.to_owned(),
            until: json["expires_at"].as_str()?.parse().ok()?,
        })
    }

    /// The token itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True while it can still be used.
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.until.duration_since(now) > TOO_SHORT
    }
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}
