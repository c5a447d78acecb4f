//! Notes to a webhook: signed, tried again until they are taken.

use crate::state::{Note, Role, State, StateError};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Header with `sha256=` and the hex HMAC-SHA-256 of the body.
pub const SIGNATURE_HEADER: &str = "X-Whorl-Signature-256";
/// Header with the note's number: the same for every try of a note.
pub const DELIVERY_HEADER: &str = "X-Whorl-Delivery";

/// Notes that are under way at the same time.
const AT_ONCE: u64 = 8;
/// How often a sender makes sure that it still is the one, while notes are under way.
const WATCH: Duration = Duration::from_millis(200);
/// Longest wait that a receiver can ask for.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);
/// A note that nobody tried to say for so long is not said: nobody waits for it any more.
const TOO_OLD: SignedDuration = SignedDuration::from_hours(1);
/// Longest part of a refusal that is kept.
const KEPT_ERROR: usize = 300;

/// Where notes go and how patient we are.
#[derive(Clone)]
pub struct Settings {
    /// The receiver.
    pub url: Url,
    /// The key of the signature.
    pub secret: String,
    /// How long one try may take.
    pub timeout: Duration,
    /// After how many tries a note is parked.
    pub max_attempts: u32,
    /// The wait after the first try in vain; it doubles each time.
    pub first_delay: Duration,
    /// The longest wait of our own choice.
    pub max_delay: Duration,
    /// How often the outbox is looked at.
    pub poll: Duration,
}

impl Settings {
    /// Usual patience: ten seconds for a try, twelve tries over about four hours.
    pub fn new(url: Url, secret: impl Into<String>) -> Self {
        Self {
            url,
            secret: secret.into(),
            timeout: Duration::from_secs(10),
            max_attempts: 12,
            first_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(3600),
            poll: Duration::from_millis(250),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the secret nor an address that may hold one goes into logs.
        f.debug_struct("Settings")
            .field("host", &self.url.host_str())
            .field("max_attempts", &self.max_attempts)
            .finish_non_exhaustive()
    }
}

/// Why a webhook cannot be set up or used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The HTTP client cannot be made.
    #[error("webhook: {0}")]
    Client(reqwest::Error),
    /// The outbox cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Takes notes from the outbox to every receiver.
#[derive(Debug, Clone)]
pub struct Deliverer {
    receivers: Arc<[Receiver]>,
}

/// One receiver.
#[derive(Debug)]
struct Receiver {
    /// What it is called in the outbox: tells receivers apart and holds no secret.
    name: String,
    settings: Settings,
    client: reqwest::Client,
}

/// What is left to do for a note after one round of tries.
#[derive(Debug, Default)]
struct Rest {
    errors: Vec<String>,
    wait: Option<Duration>,
    again: bool,
}

/// How one try ended.
enum Outcome {
    Taken,
    Refused {
        error: String,
        wish: Option<Duration>,
    },
}

impl Deliverer {
    /// Makes a deliverer; nothing is sent before [`Deliverer::run`].
    pub fn new(all: Vec<Settings>) -> Result<Self, WebhookError> {
        let receivers: Result<Vec<_>, _> = all.into_iter().map(Receiver::new).collect();
        Ok(Self {
            receivers: receivers?.into(),
        })
    }

    /// Delivers until cancelled; tries that are under way then are finished.
    pub async fn run(self, state: Arc<State>, cancel: CancellationToken) {
        let polls = self.receivers.iter().map(|r| r.settings.poll);
        let Some(poll) = polls.min() else {
            return;
        };
        while !cancel.is_cancelled() {
            let done = if state.holds(Role::Sender) {
                self.round(&state).await
            } else {
                Ok(0)
            };
            match done {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::error!(%error, "outbox cannot be used"),
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(poll) => {}
            }
        }
    }

    /// Tries every note that is due now, a few at a time, and returns how many it tried.
    pub async fn round(&self, state: &Arc<State>) -> Result<usize, WebhookError> {
        let due = blocking(state, |state| state.take_notes(Timestamp::now(), AT_ONCE)).await?;
        let count = due.len();
        let mut under_way = JoinSet::new();
        for note in due {
            let (this, state) = (self.clone(), Arc::clone(state));
            under_way.spawn(async move { this.deliver(&state, note).await });
        }
        let mut first_error = None;
        loop {
            let done = tokio::select! {
                done = under_way.join_next() => done,
                () = dismissed(state) => {
                    // Another process says them from now on: what is not said yet is not said here.
                    tracing::warn!("another process says the notes now");
                    under_way.shutdown().await;
                    None
                }
            };
            let Some(done) = done else { break };
            if let Ok(Err(error)) = done {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(count), Err)
    }

    /// Posts a note to every receiver that has not taken it, all at the same time.
    async fn deliver(&self, state: &Arc<State>, note: Note) -> Result<(), WebhookError> {
        let (id, note) = (note.id, Arc::new(note));
        if too_old(&note, Timestamp::now()) {
            let error = "not said: it had waited for longer than an hour for a receiver";
            blocking(state, move |s| s.note_parked(id, error)).await?;
            return Ok(());
        }
        let mut under_way = JoinSet::new();
        for at in 0..self.receivers.len() {
            let (this, note) = (self.clone(), note.clone());
            if !note.taken.contains(&this.receivers[at].name) {
                under_way.spawn(async move { (at, this.receivers[at].post(&note).await) });
            }
        }
        let (mut taken, mut rest) = (note.taken.clone(), Rest::default());
        while let Some(done) = under_way.join_next().await {
            let Ok((at, outcome)) = done else {
                rest.again = true;
                continue;
            };
            match outcome {
                Outcome::Taken => taken.push(self.receivers[at].name.clone()),
                Outcome::Refused { error, wish } => {
                    rest.add(&self.receivers[at], note.attempts, &error, wish);
                }
            }
        }
        if taken.len() > note.taken.len() && self.receivers.len() > 1 {
            blocking(state, move |s| s.note_taken(id, &taken)).await?;
        }
        rest.record(state, id).await
    }
}

impl Rest {
    fn add(&mut self, receiver: &Receiver, attempts: u32, error: &str, wish: Option<Duration>) {
        let wait = receiver.wait(attempts, wish);
        tracing::info!(receiver = receiver.name, %error, ?wait, "webhook note was not taken");
        self.errors.push(format!("{}: {error}", receiver.name));
        self.again |= attempts + 1 < receiver.settings.max_attempts;
        self.wait = Some(self.wait.map_or(wait, |other| other.min(wait)));
    }

    async fn record(self, state: &Arc<State>, id: i64) -> Result<(), WebhookError> {
        let (now, error) = (Timestamp::now(), self.errors.join("; "));
        if self.errors.is_empty() && !self.again {
            blocking(state, move |s| s.note_delivered(id, now)).await?;
        } else if self.again {
            let next = later(now, self.wait.unwrap_or_default());
            blocking(state, move |s| s.note_failed(id, now, &error, next)).await?;
        } else {
            tracing::warn!(note.id = id, %error, "webhook note parked");
            blocking(state, move |s| s.note_parked(id, &error)).await?;
        }
        Ok(())
    }
}

impl Receiver {
    fn new(settings: Settings) -> Result<Self, WebhookError> {
        let client = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            // A signed note goes to the configured address and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| WebhookError::Client(error.without_url()))?;
        let digest = Sha256::digest(settings.url.as_str());
        let number = digest
            .iter()
            .take(4)
            .fold(0_u32, |n, b| n << 8 | u32::from(*b));
        let host = settings.url.host_str().unwrap_or_default();
        Ok(Self {
            name: format!("{host}#{number:08x}"),
            settings,
            client,
        })
    }

    fn wait(&self, attempts: u32, wish: Option<Duration>) -> Duration {
        let own = delay(
            attempts,
            self.settings.first_delay,
            self.settings.max_delay,
            random(),
        );
        own.max(wish.unwrap_or_default().min(LONGEST_WISH))
    }

    async fn post(&self, note: &Note) -> Outcome {
        let body = body(note);
        let request = self
            .client
            .post(self.settings.url.clone())
            .header("Content-Type", "application/json")
            .header("User-Agent", "whorl")
            .header(SIGNATURE_HEADER, signature(&self.settings.secret, &body))
            .header(DELIVERY_HEADER, note.id.to_string())
            .body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                return Outcome::Refused {
                    error: chain(&error.without_url()),
                    wish: None,
                };
            }
        };
        if answer.status().is_success() {
            return Outcome::Taken;
        }
        let wish = answer.headers().get("Retry-After");
        let wish = wish.and_then(|value| retry_after(value.to_str().ok()?, Timestamp::now()));
        Outcome::Refused {
            error: format!("answered {}", answer.status()),
            wish,
        }
    }
}

/// `sha256=` and the hex HMAC-SHA-256 of `body`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut text = "sha256=".to_owned();
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// The wait after try number `attempt` (from 0) in vain: `first` doubled each time up to `longest`,
/// of which `random` (0 to 1) takes away up to the half, so that many notes do not come back at once.
pub fn delay(attempt: u32, first: Duration, longest: Duration, random: f64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempt));
    doubled
        .min(longest)
        .mul_f64(1.0 - 0.5 * random.clamp(0.0, 1.0))
}

/// Reads `Retry-After`: seconds, or a date.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// True for a note from a time when there was no receiver, unless a person asked for it since.
fn too_old(note: &Note, now: Timestamp) -> bool {
    let untouched = note.attempts == 0 && note.next_try == note.created_at;
    untouched && now.duration_since(note.created_at) > TOO_OLD
}

/// The same bytes for every try of a note.
fn body(note: &Note) -> Vec<u8> {
    serde_json::json!({
        "id": note.id, "build": note.build, "target": note.target, "kind": note.kind,
        "text": note.text, "created_at": note.created_at, "data": note.json,
    })
    .to_string()
    .into_bytes()
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// A number from 0 to 1, from the seed that the standard library draws for its hash tables.
fn random() -> f64 {
    let drawn = RandomState::new().build_hasher().finish();
    drawn as f64 / u64::MAX as f64
}

/// An error with its causes: the first one alone seldom says more than "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let _ = write!(text, ": {one}");
        cause = one.source();
    }
    text.chars().take(KEPT_ERROR).collect()
}

/// Waits until this process may no longer say notes.
async fn dismissed(state: &State) {
    while state.holds(Role::Sender) {
        tokio::time::sleep(WATCH).await;
    }
}

async fn blocking<T: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    let state = Arc::clone(state);
    let done = tokio::task::spawn_blocking(move || work(&state)).await;
    done.unwrap_or_else(|error| Err(StateError::Value(format!("a task failed: {error}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_hmac_sha_256() {
        assert_eq!(
            signature("key", b"The quick brown fox jumps over the lazy dog"),
            "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
        );
    }

    #[test]
    fn delays_double_up_to_the_longest_and_are_spread() {
        let seconds = Duration::from_secs;
        let of = |attempt, random| delay(attempt, seconds(4), seconds(60), random);
        assert_eq!(of(0, 0.0), seconds(4));
        assert_eq!(of(0, 1.0), seconds(2));
        assert_eq!(of(3, 0.0), seconds(32));
        assert_eq!(of(4, 0.0), seconds(60));
        assert_eq!(of(u32::MAX, 0.5), seconds(45));
        assert!((0.0..=1.0).contains(&random()));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(60)));
        let later: Timestamp = "2016-10-21T07:27:00Z".parse().unwrap();
        assert_eq!(retry_after(date, later), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn settings_do_not_show_their_secret() {
        let url = Url::parse("https://example.org/hook?token=abc").unwrap();
        let shown = format!("{:?}", Settings::new(url, "hidden"));
        assert!(
            !shown.contains("hidden") && !shown.contains("abc"),
            "{shown}"
        );
    }
}
