//! Notes to rooms of a Matrix server, by its client-server API.
//!
//! In: notes. Out: one `m.notice` for each, edited when the note changes. Invariants: every try of a
//! note has the same transaction id, which the server makes one event of; what was said but not
//! recorded is found again by its mark before a changed note is said.

mod find;
mod listen;
mod login;

pub use listen::{Heard, listen};

use super::http::{Answer, Http, by_status};
use super::text::{clean, fit, html, key, once, page};
use crate::note::{Refusal, Said, Saying, Target, Then};
use crate::state::Note;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

/// The server takes 65,536 bytes for a whole event: the text (twice, and twice more in an edit) gets
/// these.
const MOST: usize = 8_000;
/// Our key in an event's content.
const MARK: &str = "whorl.note";

/// How to get in.
#[derive(Clone)]
pub enum Login {
    /// By an access token.
    Token(String),
    /// By name and password; the token is asked for when it is needed.
    Password {
        /// The name, as `bot` or `@bot:server`.
        user: String,
        /// The password.
        password: String,
    },
}

/// An account on a server.
#[derive(Clone)]
pub struct Settings {
    /// Address of the server's client API.
    pub homeserver: Url,
    /// How to get in.
    pub login: Login,
    /// What the login is called: transaction ids belong to it, so it stays the same.
    pub device: String,
    /// What we are called by those who speak to us, beside the account's name.
    pub called: String,
    /// How long one request may take.
    pub timeout: Duration,
    /// Certificates (PEM) that are trusted besides the usual ones.
    pub ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("host", &self.homeserver.host_str())
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// An account that is used by rooms and by the ear.
#[derive(Debug)]
pub struct Matrix {
    settings: Settings,
    http: Http,
    session: tokio::sync::Mutex<Option<Session>>,
    /// Ids of the rooms that we are in, by the names that are configured.
    joined: Mutex<BTreeMap<String, String>>,
}

/// Who we are.
#[derive(Clone)]
struct Session {
    token: String,
    user: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A room that is told notes.
#[derive(Debug)]
pub struct Room {
    matrix: Arc<Matrix>,
    /// As it is configured: an id (`!…`) or an alias (`#…`).
    name: String,
}

impl Matrix {
    /// An account; nothing is asked yet. The error is for people.
    pub fn new(settings: Settings) -> Result<Arc<Self>, String> {
        let http = Http::new(settings.timeout, settings.ca.as_deref())?;
        match &settings.login {
            Login::Token(token) => http.hide(token),
            Login::Password { password, .. } => http.hide(password),
        }
        Ok(Arc::new(Self {
            settings,
            http,
            session: tokio::sync::Mutex::default(),
            joined: Mutex::default(),
        }))
    }

    /// A room that this account tells notes.
    pub fn room(self: &Arc<Self>, name: impl Into<String>) -> Room {
        Room {
            matrix: Arc::clone(self),
            name: name.into(),
        }
    }

    /// One request with our token; a token that has become stale is renewed once, where we can.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let session = self.session().await?;
        let answer = self
            .request(&session.token, method.clone(), path, query, body)
            .await?;
        if !is_stale(&answer) || !self.forget(&session).await {
            return self.read(&answer);
        }
        let session = self.session().await?;
        let answer = self
            .request(&session.token, method, path, query, body)
            .await?;
        self.read(&answer)
    }

    async fn request(
        &self,
        token: &str,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Refusal> {
        let url = self.url(path)?;
        let mut request = self.http.client().request(method, url).query(query);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.http.send(request).await
    }

    fn url(&self, path: &[&str]) -> Result<Url, Refusal> {
        let mut url = self.settings.homeserver.clone();
        let wrong = || Refusal::park("the homeserver's address cannot have a path");
        let mut parts = url.path_segments_mut().map_err(|()| wrong())?;
        parts
            .pop_if_empty()
            .extend(["_matrix", "client", "v3"])
            .extend(path);
        drop(parts);
        Ok(url)
    }

    /// What the server answered, or what its refusal means.
    fn read(&self, answer: &Answer) -> Result<Value, Refusal> {
        let body = answer.json();
        if answer.status.is_success() && body.is_object() {
            return Ok(body);
        }
        let code = body["errcode"].as_str().unwrap_or_default();
        let said = body["error"].as_str().unwrap_or_default();
        let said = self.http.shown(&format!("{code} {said}"));
        let asked = body["retry_after_ms"].as_u64().map(Duration::from_millis);
        Err(match code {
            "M_LIMIT_EXCEEDED" => Refusal::rest(said, answer.wish.or(asked)),
            "M_FORBIDDEN" => Refusal::park(format!(
                "{said}: invite the account to the room, and let it speak there"
            )),
            "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" => Refusal::park(format!(
                "{said}: the access token is not valid (any more); configure a new one"
            )),
            "M_USER_DEACTIVATED" | "M_USER_LOCKED" | "M_USER_SUSPENDED" | "M_TOO_LARGE"
            | "M_NOT_FOUND" => Refusal::park(said),
            _ => by_status(answer.status, answer.wish.or(asked), said.trim()),
        })
    }
}

fn is_stale(answer: &Answer) -> bool {
    answer.status == 401 && answer.json()["errcode"] == "M_UNKNOWN_TOKEN"
}

impl Room {
    async fn say_now(&self, note: &Note) -> Result<Said, Refusal> {
        let mut edits = note.remote.clone();
        if edits.is_none() && (note.generation > 1 || note.attempts > 0) {
            // An earlier generation may have been said without our learning of it.
            let room = self.matrix.room_id(&self.name, false).await?;
            match self.matrix.find(&room, &key(note)).await? {
                Some(found) if found.generation >= note.generation => {
                    let remote = Some(found.event);
                    return Ok(Said { remote });
                }
                found => edits = found.map(|found| found.event),
            }
        }
        let content = content(note, edits.as_deref());
        let sent = match self.send(note, &content, false).await {
            // We were in the room once and are no longer, or so it seems: one more try to get in.
            Err(refusal) if refusal.then == Then::Park && refusal.error.contains("M_FORBIDDEN") => {
                self.send(note, &content, true).await?
            }
            other => other?,
        };
        let Some(event) = sent["event_id"].as_str() else {
            return Err(Refusal::again("the answer names no event"));
        };
        // Edits of an edit are not: all relate to the first event.
        let remote = Some(edits.unwrap_or_else(|| event.to_owned()));
        Ok(Said { remote })
    }

    async fn send(&self, note: &Note, content: &Value, anew: bool) -> Result<Value, Refusal> {
        let room = self.matrix.room_id(&self.name, anew).await?;
        let once = once(note);
        let path = ["rooms", &room, "send", "m.room.message", &once];
        self.matrix
            .ask(Method::PUT, &path, &[], Some(content))
            .await
    }
}

impl Matrix {
    /// A room's id; we join it when we do not know that we are in, or `anew`.
    async fn room_id(&self, name: &str, anew: bool) -> Result<String, Refusal> {
        let known = self
            .joined
            .lock()
            .map_or(None, |all| all.get(name).cloned());
        if let (Some(id), false) = (known, anew) {
            return Ok(id);
        }
        let id = self.join(name).await?;
        if let Ok(mut joined) = self.joined.lock() {
            joined.insert(name.to_owned(), id.clone());
        }
        Ok(id)
    }

    /// Joins a room by id or alias, which is no more than a question when we are in, and returns its id.
    async fn join(&self, room: &str) -> Result<String, Refusal> {
        let path = ["join", room];
        let answer = self.ask(Method::POST, &path, &[], Some(&json!({}))).await;
        let answer = answer.map_err(|refusal| Refusal {
            error: format!("joining {}: {}", self.http.shown(room), refusal.error),
            ..refusal
        })?;
        let id = answer["room_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Refusal::again("the answer names no room"))
    }
}

impl Target for Room {
    fn say<'a>(&'a self, note: &'a Note) -> Saying<'a> {
        Box::pin(self.say_now(note))
    }
}

impl Matrix {
    /// Answers a message in its room, as a notice; once, however often it is tried.
    pub async fn answer(&self, room: &str, event: &str, text: &str) -> Result<(), Refusal> {
        let size = |text: &str| text.len() + html(text).len();
        let text = fit(&clean(text), MOST, None, size);
        let content = json!({
            "msgtype": "m.notice",
            "body": text,
            "format": "org.matrix.custom.html",
            "formatted_body": html(&text),
            "m.mentions": {},
            "m.relates_to": {"m.in_reply_to": {"event_id": event}},
        });
        let once = format!("whorl-answer-{event}");
        let path = ["rooms", room, "send", "m.room.message", &once];
        let sent = self.ask(Method::PUT, &path, &[], Some(&content)).await;
        sent.map(drop)
    }
}

fn content(note: &Note, edits: Option<&str>) -> Value {
    let text = clean(&note.text);
    // Escaping can make a text six times as long.
    let size = |text: &str| text.len() + html(text).len();
    let text = fit(&text, MOST, page(note), size);
    let mut content = json!({
        "msgtype": "m.notice",
        "body": text,
        "format": "org.matrix.custom.html",
        "formatted_body": html(&text),
        // Names in the text call nobody.
        "m.mentions": {},
        MARK: {"key": key(note), "generation": note.generation},
    });
    if let Some(event) = edits {
        let new = content.clone();
        // For programs that know no edits.
        content["body"] = json!(format!("* {text}"));
        content["formatted_body"] = json!(format!("* {}", html(&text)));
        content["m.new_content"] = new;
        content["m.relates_to"] = json!({"rel_type": "m.replace", "event_id": event});
    }
    content
}
