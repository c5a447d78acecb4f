//! Takes notes from the outbox to their targets: each target in its own time, none for another.

use super::pace::{self, Restrained, Restraint};
use super::target::{Refusal, Said, Target, Then};
use crate::state::{Manner, Note, Role, State, StateError};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often the outbox is looked at although nobody said that something is in it.
const POLL: Duration = Duration::from_millis(500);
/// How often a sender makes sure that it still is the one, while notes are under way.
const WATCH: Duration = Duration::from_millis(200);
/// Longest wait that a target can ask for.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);
/// A note that nobody tried to say for so long is not said: nobody waits for it any more.
const TOO_OLD: SignedDuration = SignedDuration::from_hours(1);
/// A target that has not answered by then never will.
const GIVEN_UP: Duration = Duration::from_secs(120);
/// Notes that one digest stands for at most.
const DIGEST: u64 = 10_000;
/// How often it is tried at once to record how a note ended, and with which pause.
const RECORD_AT_ONCE: u32 = 3;
const RECORD_PAUSE: Duration = Duration::from_millis(20);
/// How often a stopping service tries that, and with which pause.
const RECORD_AT_END: u32 = 20;
const RECORD_AGAIN: Duration = Duration::from_millis(100);
/// While a channel is told nothing it is looked this often whether something waits.
const HELD_CHECK: Duration = Duration::from_secs(30);
/// What the remote name of a note is that was only shown.
pub const DRY_RUN: &str = "dry run: only shown here";

/// How patient we are with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After how many tries a note is parked.
    pub max_attempts: u32,
    /// The wait after the first try in vain; it doubles each time.
    pub first_delay: Duration,
    /// The longest wait of our own choice.
    pub max_delay: Duration,
}

impl Default for Patience {
    /// Twelve tries over about four hours.
    fn default() -> Self {
        Self {
            max_attempts: 12,
            first_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(3600),
        }
    }
}

/// A target with how it is served.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Its name in the outbox.
    pub name: String,
    /// The target; without one its notes are only shown.
    pub target: Option<Arc<dyn Target>>,
    /// How patient we are.
    pub patience: Patience,
    /// How many notes are under way at the same time. With one they are said in their order, and one
    /// that is not taken holds up those behind it until it is parked.
    pub at_once: usize,
    /// When it is told nothing; what was held back then is said as one.
    pub restraint: Option<Restraint>,
}

/// Says that there may be something new in the outbox.
#[derive(Debug, Clone)]
pub struct Bell(watch::Sender<u64>);

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Bell {
    /// Hears every ring from now on.
    pub fn rings(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Rings.
    pub fn ring(&self) {
        self.0.send_modify(|rings| *rings = rings.wrapping_add(1));
    }
}

/// All lanes.
#[derive(Debug)]
pub struct Outbox {
    lanes: Vec<Lane>,
    bell: Bell,
}

impl Outbox {
    /// Serves these lanes; the bell says when to look.
    pub fn new(lanes: Vec<Lane>, bell: Bell) -> Self {
        Self { lanes, bell }
    }

    /// Says notes until cancelled; tries that are under way then are finished.
    pub async fn run(self, state: Arc<State>, stop: CancellationToken) {
        let mut lanes = JoinSet::new();
        for lane in self.lanes {
            let mut serving = Serving {
                ring: self.bell.0.subscribe(),
                lane: Arc::new(lane),
                state: state.clone(),
                under_way: JoinSet::new(),
                ids: HashSet::new(),
                unrecorded: Vec::new(),
                rest: None,
                in_vain: 0,
                restrained: Restrained::default(),
            };
            let stop = stop.clone();
            lanes.spawn(async move { serving.run(&stop).await });
        }
        while let Some(ended) = lanes.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "nothing more is said to one target until the next start");
            }
        }
    }
}

/// What was said at once, and how that ended.
type Done = (Vec<Note>, Result<Said, Refusal>);

/// How a try ended, to be recorded.
#[derive(Debug, Clone)]
enum Ending {
    /// It was said; what the target calls it, and when.
    Said(Option<String>, Timestamp),
    /// Nobody needs it any more.
    Dropped(String),
    /// In vain; when, why, and when it is tried again.
    Failed(Timestamp, String, Timestamp),
    /// It waits for a person.
    Parked(String),
    /// It waits for the target.
    Waits(String),
}

impl Ending {
    fn record(&self, note: &Note, state: &State) -> Result<(), StateError> {
        let (id, generation) = (note.id, note.generation);
        match self {
            Self::Said(remote, at) => state.note_delivered(id, generation, remote.as_deref(), *at),
            Self::Dropped(error) => state.note_dropped(id, generation, error),
            Self::Failed(at, error, next) => state.note_failed(id, *at, error, *next),
            Self::Parked(error) => state.note_parked(id, error),
            Self::Waits(error) => state.note_waits(id, error),
        }
    }
}

/// How much may be said now.
enum Room {
    /// Nothing before this moment, if ever.
    None(Option<Timestamp>),
    /// All that was held back, as one.
    Digest,
    /// So many notes.
    For(usize),
}

/// One lane at work.
struct Serving {
    lane: Arc<Lane>,
    state: Arc<State>,
    ring: watch::Receiver<u64>,
    under_way: JoinSet<Done>,
    ids: HashSet<i64>,
    /// Tries that have ended and could not be recorded: what was said is not said again for that.
    unrecorded: Vec<(Note, Ending)>,
    /// The target wants to be left alone until then.
    rest: Option<Instant>,
    /// Rests in a row.
    in_vain: u32,
    restrained: Restrained,
}

impl Serving {
    async fn run(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.ring.mark_unchanged();
            let begun = match self.begin().await {
                Ok(begun) => begun,
                Err(error) => {
                    tracing::error!(target = self.lane.name, %error, "outbox cannot be used");
                    false
                }
            };
            if !begun {
                self.wait(stop).await;
            }
        }
        while let Some(done) = self.under_way.join_next().await {
            self.ended(done).await;
        }
        for _ in 0..RECORD_AT_END {
            if self.record_rest().await.is_ok() {
                return;
            }
            tokio::time::sleep(RECORD_AGAIN).await;
        }
        let notes = self.unrecorded.len();
        tracing::error!(
            target = self.lane.name,
            notes,
            "said again after the next start"
        );
    }

    /// Begins to say what is due, as much as may be under way; true when there may be more.
    async fn begin(&mut self) -> Result<bool, StateError> {
        self.record_rest().await?;
        let free = self.lane.at_once.max(1).saturating_sub(self.ids.len());
        let rests = self.rest.is_some_and(|until| Instant::now() < until);
        if free == 0 || rests || !self.state.holds(Role::Sender) {
            return Ok(false);
        }
        let free = match self.room(free) {
            Room::None(until) => {
                self.hold_back(until).await?;
                return Ok(false);
            }
            Room::Digest => return self.begin_digest().await,
            Room::For(free) => free,
        };
        let (name, most) = (self.lane.name.clone(), (free + self.ids.len()) as u64);
        let due = blocking(&self.state, move |state| {
            state.take_notes(&name, Timestamp::now(), most)
        });
        let due = due.await?;
        let mut begun = false;
        for note in due {
            if self.ids.len() >= self.lane.at_once.max(1) || self.ids.contains(&note.id) {
                continue;
            }
            if too_old(&note, Timestamp::now()) {
                let error = "not said: it had waited for longer than an hour for a receiver";
                blocking(&self.state, move |s| s.note_parked(note.id, error)).await?;
                begun = true;
                continue;
            }
            self.ids.insert(note.id);
            self.restrained.spoke(Timestamp::now());
            let lane = self.lane.clone();
            self.under_way.spawn(async move {
                let said = say(&lane, &note).await;
                (vec![note], said)
            });
            begun = true;
        }
        Ok(begun && self.ids.len() < self.lane.at_once.max(1))
    }

    /// How much may be said now.
    fn room(&mut self, free: usize) -> Room {
        let Some(restraint) = &self.lane.restraint else {
            return Room::For(free);
        };
        let now = Timestamp::now();
        match self.restrained.when(restraint, now) {
            Some(at) if at <= now && self.restrained.releases() => Room::Digest,
            Some(at) if at <= now => Room::For(1),
            later => Room::None(later),
        }
    }

    /// What is due waits, and is said as one.
    async fn hold_back(&mut self, until: Option<Timestamp>) -> Result<(), StateError> {
        let name = self.lane.name.clone();
        let due = blocking(&self.state, move |state| {
            state.due_notes(&name, Timestamp::now(), 1)
        });
        if !due.await?.is_empty() {
            self.restrained.hold();
        }
        let wait = until.map_or(POLL, |until| {
            let wait = until.duration_since(Timestamp::now());
            Duration::try_from(wait).unwrap_or(POLL)
        });
        self.rest = Some(Instant::now() + wait.min(HELD_CHECK));
        Ok(())
    }

    /// Says all that was held back as one note.
    async fn begin_digest(&mut self) -> Result<bool, StateError> {
        let name = self.lane.name.clone();
        let due = blocking(&self.state, move |state| {
            state.take_notes(&name, Timestamp::now(), DIGEST)
        });
        let due = due.await?;
        let link = self.lane.restraint.as_ref().map(|one| one.link.as_str());
        let Some(digest) = pace::digest(&due, link.unwrap_or_default()) else {
            return Ok(true);
        };
        let digest = if due.len() == 1 {
            due[0].clone()
        } else {
            digest
        };
        self.ids.extend(due.iter().map(|note| note.id));
        self.restrained.spoke(Timestamp::now());
        let lane = self.lane.clone();
        self.under_way.spawn(async move {
            let said = say(&lane, &digest).await;
            (due, said)
        });
        Ok(false)
    }

    async fn wait(&mut self, stop: &CancellationToken) {
        let rest = self
            .rest
            .map(|until| until.saturating_duration_since(Instant::now()));
        let pause = rest
            .filter(|rest| !rest.is_zero())
            .unwrap_or(POLL)
            .min(POLL);
        let busy = !self.under_way.is_empty();
        tokio::select! {
            () = stop.cancelled() => {}
            Some(done) = self.under_way.join_next(), if busy => self.ended(done).await,
            changed = self.ring.changed(), if rest.is_none() => {
                if changed.is_err() {
                    tokio::time::sleep(pause).await;
                }
            }
            () = dismissed(&self.state), if busy => {
                // Another process says them from now on: what is not said yet is not said here.
                self.under_way.shutdown().await;
                tracing::warn!(target = self.lane.name, "another process says the notes now");
                self.ids.clear();
                self.ids.extend(self.unrecorded.iter().map(|(note, _)| note.id));
            }
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Records how a try ended.
    async fn ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let Ok((notes, said)) = done else {
            // They stay due, and which ones they were is not known any more.
            self.ids.clear();
            self.ids
                .extend(self.unrecorded.iter().map(|(note, _)| note.id));
            return;
        };
        if notes.len() > 1 && said.is_err() {
            // What was held back is said as one at the next try too.
            self.restrained.hold();
        }
        for note in notes {
            let ending = match said.clone() {
                Ok(said) => self.delivered(said),
                Err(refusal) => self.refused(&note, refusal),
            };
            self.unrecorded.push((note, ending));
        }
        if let Err(error) = self.record_rest().await {
            tracing::warn!(%error, "how a note ended is recorded later");
        }
    }

    /// Records how tries ended. Until that is done the note is under way, so that what was said and
    /// could not be recorded is not said twice.
    async fn record_rest(&mut self) -> Result<(), StateError> {
        while let Some((note, ending)) = self.unrecorded.last().cloned() {
            let id = note.id;
            let recorded = blocking(&self.state, move |state| {
                again(|| ending.record(&note, state))
            });
            match recorded.await {
                Err(StateError::NoSuchNote(_)) | Ok(()) => {}
                Err(error) => return Err(error),
            }
            self.unrecorded.pop();
            self.ids.remove(&id);
        }
        Ok(())
    }

    fn delivered(&mut self, said: Said) -> Ending {
        (self.rest, self.in_vain) = (None, 0);
        Ending::Said(said.remote, Timestamp::now())
    }

    fn refused(&mut self, note: &Note, refusal: Refusal) -> Ending {
        let now = Timestamp::now();
        let error = refusal.error;
        tracing::info!(target = self.lane.name, note.id = note.id, %error, "note was not taken");
        let patience = self.lane.patience;
        match refusal.then {
            Then::Drop => Ending::Dropped(error),
            Then::Again(wish) if note.attempts + 1 < patience.max_attempts => {
                let wait = patience.wait(note.attempts, wish);
                if self.lane.at_once <= 1 {
                    self.rest = Some(Instant::now() + wait);
                }
                Ending::Failed(now, error, later(now, wait))
            }
            Then::Again(_) | Then::Park => {
                tracing::warn!(target = self.lane.name, note.id = note.id, %error, "note parked");
                Ending::Parked(error)
            }
            Then::Rest(wish) => {
                let wait = patience.wait(self.in_vain, wish);
                self.in_vain += 1;
                self.rest = Some(Instant::now() + wait);
                Ending::Waits(error)
            }
        }
    }
}

/// Tries some times at once, as most of what goes wrong with a database is over soon.
fn again(record: impl Fn() -> Result<(), StateError>) -> Result<(), StateError> {
    for _ in 0..RECORD_AT_ONCE {
        match record() {
            Err(StateError::NoSuchNote(id)) => return Err(StateError::NoSuchNote(id)),
            Ok(()) => return Ok(()),
            Err(_) => std::thread::sleep(RECORD_PAUSE),
        }
    }
    record()
}

impl Patience {
    fn wait(&self, attempts: u32, wish: Option<Duration>) -> Duration {
        let own = delay(attempts, self.first_delay, self.max_delay, random());
        own.max(wish.unwrap_or_default().min(LONGEST_WISH))
    }
}

async fn say(lane: &Lane, note: &Note) -> Result<Said, Refusal> {
    let Some(target) = &lane.target else {
        return Ok(Said {
            remote: Some(DRY_RUN.into()),
        });
    };
    let mut note = signed(note);
    // It was only shown while the target was a dry run: nothing of it is there.
    note.remote = note.remote.filter(|remote| remote != DRY_RUN);
    tokio::time::timeout(GIVEN_UP, target.say(&note))
        .await
        .unwrap_or_else(|_| {
            let seconds = GIVEN_UP.as_secs();
            Err(Refusal::again(format!("no answer in {seconds} s")))
        })
}

/// The note with the line by which a program finds it again, where it follows.
fn signed(note: &Note) -> Note {
    let mut note = note.clone();
    if note.manner == Manner::Follow {
        let marker = marker(&note.topic, note.generation, &note.kind);
        note.text = format!("{}\n\n{marker}", note.text);
        note.json["marker"] = json!(marker);
    }
    note
}

/// The line by which a program finds its own notes again.
pub fn marker(topic: &str, generation: u64, kind: &str) -> String {
    let line = json!({"topic": topic, "generation": generation, "kind": kind});
    format!("whorl-note: {line}")
}

/// The wait after try number `attempt` (from 0) in vain: `first` doubled each time up to `longest`,
/// of which `random` (0 to 1) takes away up to the half, so that many notes do not come back at once.
fn delay(attempt: u32, first: Duration, longest: Duration, random: f64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempt));
    doubled
        .min(longest)
        .mul_f64(1.0 - 0.5 * random.clamp(0.0, 1.0))
}

/// True for a note from a time when there was no receiver, unless a person asked for it since.
fn too_old(note: &Note, now: Timestamp) -> bool {
    let untouched = note.attempts == 0 && note.next_try == note.created_at;
    untouched && now.duration_since(note.created_at) > TOO_OLD
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
}
