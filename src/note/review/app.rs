//! Authentication as a GitHub App: who we are there, and a token for each repository.

use super::http::{Answer, Service};
use crate::forge::{AppKey, KeyError, Token};
use crate::note::Refusal;
use jiff::Timestamp;
use std::collections::HashMap;
use std::fmt;
use tokio::sync::{Mutex, OnceCell};

/// A GitHub App with its private key.
pub struct App {
    key: AppKey,
    /// The installation, where it need not be asked for.
    installation: Option<u64>,
    tokens: Mutex<HashMap<String, Token>>,
    own: OnceCell<(u64, String)>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl App {
    /// An App by its number or client id and its private key (PEM, as GitHub gives it out).
    pub fn new(
        id: impl Into<String>,
        pem: &str,
        installation: Option<u64>,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            key: AppKey::new(id, pem)?,
            installation,
            tokens: Mutex::default(),
            own: OnceCell::new(),
        })
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
            return Ok(token.text().to_owned());
        }
        let installation = self.installation(service, repository).await?;
        let path = ["app", "installations", &installation, "access_tokens"];
        let answer = self.ask(service, &path, true).await?;
        let json = answer.json()?;
        let token = Token::read(&json).ok_or_else(|| answer.not_understood("no token"))?;
        let text = token.text().to_owned();
        tokens.insert(repository.to_owned(), token);
        Ok(text)
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
        let statement = self.key.statement(Timestamp::now());
        let statement =
            statement.map_err(|_| Refusal::rest("the App's key does not sign", None))?;
        let request = super::github::headers(request).bearer_auth(statement);
        super::github::judged(service.send(request).await?)
    }
}
