//! One connection: events as they come, and what was missed.

use super::ask::Asking;
use super::hear::News;
use super::mark::Mark;
use super::stream::{Stream, Told};
use super::{Gerrit, LONGEST, ask};
use crate::source::Desk;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Lines that are taken together.
const TOGETHER: usize = 200;
/// How long after it was let in the server surely knows that we listen.
pub(super) const SETTLE: Duration = Duration::from_secs(10);
/// A program that says nothing and does not end is connected after this long.
const ASSUME: Duration = Duration::from_secs(3);
/// A connection that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// How far was heard is kept this often when nothing else is.
const KEEP: Duration = Duration::from_secs(10);
/// While the stream cannot be had, and after a query in vain.
const ASK: Duration = Duration::from_secs(60);

/// How a connection ended.
pub(super) struct Ended {
    pub(super) why: String,
    pub(super) good: bool,
}

/// Stopped: nothing more is to be done.
pub(super) struct Stopped;

/// Hears one Gerrit, connection after connection.
pub(super) struct Session<'a> {
    pub(super) gerrit: &'a Gerrit,
    pub(super) desk: Arc<Desk>,
    pub(super) stop: CancellationToken,
    /// None until Gerrit's clock or the first event says where to begin.
    pub(super) mark: Option<Mark>,
    pub(super) kept_at: Instant,
    pub(super) asked_at: Option<Instant>,
    pub(super) failures: u32,
}

/// What is to be done when, in one connection.
pub(super) struct Plan {
    began: Instant,
    /// When the server let us in.
    pub(super) ready: Option<Instant>,
    /// When is asked what was missed.
    pub(super) ask: Option<Instant>,
    heard: Instant,
    events: u64,
}

impl Plan {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            ready: None,
            ask: None,
            heard: now,
            events: 0,
        }
    }

    fn was_good(&self) -> bool {
        self.events > 0 || self.ready.is_some_and(|at| at.elapsed() > GOOD)
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        gerrit: &'a Gerrit,
        desk: Arc<Desk>,
        stop: CancellationToken,
        mark: Option<Mark>,
    ) -> Self {
        let session = Self {
            gerrit,
            desk,
            stop,
            mark,
            kept_at: Instant::now(),
            asked_at: None,
            failures: 0,
        };
        session.calm();
        session
    }

    pub(super) fn name(&self) -> &'a str {
        &self.gerrit.source.name
    }

    pub(super) fn warn(&self, warning: Option<String>) {
        self.desk.warn(self.name(), warning);
    }

    /// Nothing is missing, as far as that can be known.
    pub(super) fn calm(&self) {
        let blind = "what happens while it does not hear is missed: no `rest` is configured";
        self.warn(self.gerrit.rest.is_none().then(|| blind.to_owned()));
    }

    /// One connection, until it ends or all is stopped.
    pub(super) async fn run(&mut self) -> Ended {
        let bad = |why: String| Ended { why, good: false };
        let program = self.gerrit.source.ssh_command.first();
        let program = program.map_or("ssh", String::as_str);
        self.open();
        let ended = match Stream::start(&self.gerrit.source) {
            Ok(stream) => self.hear(stream).await,
            Err(error) => Ok(bad(format!("{program} cannot be started: {error}"))),
        };
        let Ok(ended) = ended else {
            return bad("stopped".into());
        };
        self.open();
        // Whoever is not let in by ssh may be by HTTP.
        let waited = self.asked_at.is_none_or(|at| at.elapsed() > ASK);
        if !ended.good && waited && self.ask_meanwhile().await.is_err() {
            return bad("stopped".into());
        }
        self.keep().await;
        ended
    }

    /// Something may be missing from now on, if it can be had at all.
    pub(super) fn open(&mut self) {
        if let (Some(mark), Some(_)) = (&mut self.mark, &self.gerrit.rest) {
            mark.open();
        }
    }

    /// Asks while there is no stream.
    async fn ask_meanwhile(&mut self) -> Result<(), Stopped> {
        let mut asking = self.ask(false);
        if asking.is_none() {
            return Ok(());
        }
        let stop = self.stop.clone();
        let answer = tokio::select! {
            () = stop.cancelled() => return Err(Stopped),
            answer = ask::answer(&mut asking) => answer,
        };
        self.caught_up(answer).await.map(|_| ())
    }

    async fn hear(&mut self, mut stream: Stream) -> Result<Ended, Stopped> {
        let mut plan = Plan::new();
        let (mut asking, stop) = (None, self.stop.clone());
        loop {
            let due = self.due(&plan, asking.is_some());
            if due <= Instant::now() {
                self.on_time(&mut plan, &mut asking).await;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return Err(Stopped),
                () = sleep_until(due) => {}
                answer = ask::answer(&mut asking) => {
                    let Some(asked) = asking.take() else { continue };
                    if self.answered(&asked, answer, &mut plan).await? {
                        let why = "the stream was silent though something happened";
                        return Ok(Ended { why: why.into(), good: true });
                    }
                }
                told = stream.next() => {
                    let Some(told) = told else {
                        let good = plan.was_good();
                        return Ok(Ended { why: stream.why().await, good });
                    };
                    if self.take(told, &mut stream, &mut plan).await? {
                        self.missed(&mut plan);
                    }
                }
            }
        }
    }

    /// When something is to be done next. One question is asked at a time.
    fn due(&self, plan: &Plan, asking: bool) -> Instant {
        if plan.ready.is_none() {
            return plan.began + ASSUME;
        }
        let changed = self.mark.as_ref().is_some_and(Mark::changed);
        let keep = changed.then(|| self.kept_at + KEEP);
        let may_ask = self.gerrit.rest.is_some() && !asking;
        let ask = may_ask.then_some(plan.ask).flatten();
        let quiet = may_ask.then(|| plan.heard + self.gerrit.source.quiet.0);
        let all = [ask, keep, quiet].into_iter().flatten();
        all.min().unwrap_or_else(|| Instant::now() + LONGEST)
    }

    /// Does what is due.
    async fn on_time(&mut self, plan: &mut Plan, asking: &mut Option<Asking>) {
        let now = Instant::now();
        if plan.ready.is_none() {
            return self.ready(plan);
        }
        let may_ask = asking.is_none();
        if may_ask && plan.ask.is_some_and(|at| at <= now) {
            plan.ask = None;
            *asking = self.ask(false);
        } else if may_ask && plan.heard + self.gerrit.source.quiet.0 <= now {
            plan.heard = now;
            // While something is missing anyway, it says nothing about the stream.
            *asking = self.ask(plan.ask.is_none());
        } else {
            self.keep().await;
        }
    }

    /// The server has let us in.
    fn ready(&mut self, plan: &mut Plan) {
        if plan.ready.is_some() {
            return;
        }
        let now = Instant::now();
        plan.ready = Some(now);
        plan.ask = self.gerrit.rest.is_some().then_some(now);
        tracing::info!(source = self.name(), "Gerrit is heard");
        self.desk.connected(self.name(), Timestamp::now(), None);
    }

    /// Where to begin is not known yet. Without a query it is where the first event is.
    fn nowhere(&self) -> Mark {
        match self.gerrit.rest {
            Some(_) => ask::unknown(),
            None => Mark::new(0),
        }
    }

    /// Something of the stream was lost: it is asked for.
    fn missed(&mut self, plan: &mut Plan) {
        self.open();
        if self.gerrit.rest.is_some() {
            if plan.ready.is_none() {
                // It is asked anyway when we are let in.
                return;
            }
            // Not for every broken line by itself.
            let now = Instant::now();
            let pause = SETTLE.min(self.gerrit.source.quiet.0);
            let next = self.asked_at.map_or(now, |at| (at + pause).max(now));
            plan.ask = Some(plan.ask.map_or(next, |at| at.min(next)));
        } else {
            self.warn(Some(
                "a part of the stream was lost, and no `rest` is configured".into(),
            ));
        }
    }

    /// Takes what has come; true when something was lost.
    async fn take(
        &mut self,
        first: Told,
        stream: &mut Stream,
        plan: &mut Plan,
    ) -> Result<bool, Stopped> {
        let mut mark = self.mark.take().unwrap_or_else(|| self.nowhere());
        let (mut news, mut next, mut lost) = (News::default(), Some(first), false);
        let mut room = Vec::new();
        while let Some(told) = next {
            match told {
                Told::Ready => self.ready(plan),
                Told::Line(line, permit) => {
                    self.gerrit
                        .count(self.gerrit.listener.line(&line, &mut mark, &mut news));
                    room.push(permit);
                }
                Told::Broken(why) => {
                    news.not_understood.push(why);
                    lost = true;
                }
            }
            next = if room.len() < TOGETHER {
                stream.now()
            } else {
                None
            };
        }
        // Whatever is no event may have been one.
        lost |= news.dropped || news.events < room.len() as u64;
        if lost && self.gerrit.rest.is_some() {
            mark.open();
        }
        if mark.newest() > 0 {
            self.mark = Some(mark);
        }
        if news.events > 0 {
            self.ready(plan);
            plan.heard = Instant::now();
            plan.events += news.events;
        }
        self.tell(news).await?;
        Ok(lost)
    }
}
