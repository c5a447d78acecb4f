//! Getting in and staying in.

use super::{Login, Matrix, Session};
use crate::note::Refusal;
use reqwest::Method;
use serde_json::json;

impl Matrix {
    /// Who we are; asks the server the first time.
    pub(super) async fn session(&self) -> Result<Session, Refusal> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let new = match &self.settings.login {
            Login::Token(token) => self.who_has(token).await?,
            Login::Password { user, password } => self.log_in(user, password).await?,
        };
        *session = Some(new.clone());
        Ok(new)
    }

    /// Forgets a token that the server does not know any more; false where there is no other one.
    pub(super) async fn forget(&self, stale: &Session) -> bool {
        if matches!(self.settings.login, Login::Token(_)) {
            return false;
        }
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|s| s.token == stale.token) {
            *session = None;
        }
        true
    }

    async fn who_has(&self, token: &str) -> Result<Session, Refusal> {
        let path = ["account", "whoami"];
        let answer = self.request(token, Method::GET, &path, &[], None).await?;
        let body = self.read(&answer)?;
        let Some(user) = body["user_id"].as_str() else {
            return Err(Refusal::again("the server does not say who we are"));
        };
        Ok(Session {
            token: token.to_owned(),
            user: user.to_owned(),
        })
    }

    async fn log_in(&self, user: &str, password: &str) -> Result<Session, Refusal> {
        let body = json!({
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
            "device_id": self.settings.device,
            "initial_device_display_name": "whorl",
        });
        let answer = self
            .request("", Method::POST, &["login"], &[], Some(&body))
            .await?;
        if answer.status == 403 {
            let said = answer.json();
            let said = said["error"].as_str().unwrap_or("M_FORBIDDEN");
            return Err(Refusal::park(format!(
                "login refused ({}): look at user and password",
                self.http.shown(said)
            )));
        }
        let body = self.read(&answer)?;
        match (body["access_token"].as_str(), body["user_id"].as_str()) {
            (Some(token), Some(user)) => {
                self.http.hide(token);
                Ok(Session {
                    token: token.to_owned(),
                    user: user.to_owned(),
                })
            }
            _ => Err(Refusal::again("the answer to the login has no token")),
        }
    }
}
