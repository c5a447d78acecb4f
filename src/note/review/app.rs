//! Authentication as a GitHub App: a signed statement of who we are, and tokens for an hour.

use super::http::{Answer, Service};
use crate::note::Refusal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use tokio::sync::{Mutex, OnceCell};

/// A token that ends so soon is not used any more.
const TOO_SHORT: SignedDuration = SignedDuration::from_secs(120);

/// A GitHub App with its private key.
pub struct App {
    id: String,
    key: RsaKeyPair,
    /// The installation, where it need not be asked for.
    installation: Option<u64>,
    tokens: Mutex<HashMap<String, Token>>,
    own: OnceCell<(u64, String)>,
}

/// Why a GitHub App cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The key is not one.
    #[error("the private key of the GitHub App cannot be read: {0}")]
    Key(String),
}

#[derive(Clone)]
struct Token {
    text: String,
    until: Timestamp,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl App {
    /// An App by its number or client id and its private key (PEM, as GitHub gives it out).
    pub fn new(
        id: impl Into<String>,
        pem: &str,
        installation: Option<u64>,
    ) -> Result<Self, AppError> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| AppError::Key("not PEM".to_owned()))?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(AppError::Key("not an RSA key".to_owned())),
        };
        Ok(Self {
            id: id.into(),
            key: key.map_err(|error| AppError::Key(error.to_string()))?,
            installation,
            tokens: Mutex::default(),
            own: OnceCell::new(),
        })
    }

    /// What the App signs of itself, good for nine minutes.
    fn statement(&self, now: Timestamp) -> Result<String, Refusal> {
        let head = json!({"alg": "RS256", "typ": "JWT"});
        // A minute back: the other clock may be late.
        let claims = json!({
            "iat": now.as_second() - 60, "exp": now.as_second() + 540, "iss": self.id,
        });
        let mut text = format!("{}.{}", encoded(&head), encoded(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Refusal::rest("the App's key does not sign", None))?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    /// The App's number and the login of what it writes.
    pub(super) async fn own(&self, service: &Service) -> Result<&(u64, String), Refusal> {
        let ask = async || {
            let answer = self.ask(service, &["app"], false).await?;
            let json = answer.json()?;
            match (json["id"].as_u64(), json["slug"].as_str()) {
                (Some(id), Some(slug)) => Ok((id, format!("{slug}[bot]"))),
                _ => Err(answer.not_understood("no App")),
            }
        };
        self.own.get_or_try_init(ask).await
    }

    /// A token for a repository, the same one until it ends.
    pub(super) async fn token(
        &self,
        service: &Service,
        repository: &str,
    ) -> Result<String, Refusal> {
        let mut tokens = self.tokens.lock().await;
        let now = Timestamp::now();
        if let Some(token) = tokens.get(repository).filter(|t| t.lasts(now)) {
            return Ok(token.text.clone());
        }
        let installation = self.installation(service, repository).await?;
        let path = ["app", "installations", &installation, "access_tokens"];
        let answer = self.ask(service, &path, true).await?;
        let json = answer.json()?;
        let token = Token::read(&json).ok_or_else(|| answer.not_understood("no token"))?;
        tokens.insert(repository.to_owned(), token.clone());
        Ok(token.text)
    }

    /// Forgets a token that is not taken any more.
    pub(super) async fn forget(&self, repository: &str) {
        self.tokens.lock().await.remove(repository);
    }

    async fn installation(&self, service: &Service, repository: &str) -> Result<String, Refusal> {
        if let Some(number) = self.installation {
            return Ok(number.to_string());
        }
        let (owner, name) = repository.split_once('/').unwrap_or_default();
        let answer = self
            .ask(service, &["repos", owner, name, "installation"], false)
            .await?;
        if answer.status == 404 {
            let error = format!("the GitHub App is not installed for {repository}");
            return Err(Refusal::park(error));
        }
        let id = answer.json()?["id"].as_u64();
        let id = id.ok_or_else(|| answer.not_understood("no installation"))?;
        Ok(id.to_string())
    }

    async fn ask(&self, service: &Service, path: &[&str], post: bool) -> Result<Answer, Refusal> {
        let url = service.url(path);
        let request = if post {
            service.client().post(url)
        } else {
            service.client().get(url)
        };
        let statement = self.statement(Timestamp::now())?;
        let request = super::github::headers(request).bearer_auth(statement);
        super::github::judged(service.send(request).await?)
    }
}

impl Token {
    fn read(json: &Value) -> Option<Self> {
        Some(Self {
            text: json["token"].as_str()?.to_owned(),
            until: json["expires_at"].as_str()?.parse().ok()?,
        })
    }

    fn lasts(&self, now: Timestamp) -> bool {
        self.until.duration_since(now) > TOO_SHORT
    }
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}
