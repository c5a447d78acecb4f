//! One connection: events as they come, and what was missed.

use super::hear::News;
use super::mark::{Mark, Way};
use super::stream::{Stream, Told};
use super::{FIRST, Gerrit, LONGEST, back_off};
use crate::source::Desk;
use crate::state::StateError;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Lines that are taken together.
const TOGETHER: usize = 200;
/// Comments of a query that are taken together.
const CHUNK: usize = 100;
/// How long after it was let in the server surely knows that we listen.
const SETTLE: Duration = Duration::from_secs(10);
/// A program that says nothing and does not end is connected after this long.
const ASSUME: Duration = Duration::from_secs(3);
/// A connection that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// How far was heard is kept this often when nothing else is.
const KEEP: Duration = Duration::from_secs(10);
/// While the stream cannot be had, and after a query in vain.
const ASK: Duration = Duration::from_secs(60);
/// What a query finds and the stream has not said for so long is missing there.
const LATE: Duration = Duration::from_secs(30);

/// How a connection ended.
pub(super) struct Ended {
    pub(super) why: String,
    pub(super) good: bool,
}

/// Stopped: nothing more is to be done.
struct Stopped;

/// Hears one Gerrit, connection after connection.
pub(super) struct Session<'a> {
    gerrit: &'a Gerrit,
    desk: Arc<Desk>,
    stop: CancellationToken,
    /// None until Gerrit's clock or the first event says where to begin.
    mark: Option<Mark>,
    kept_at: Instant,
    asked_at: Option<Instant>,
    failures: u32,
}

/// What is to be done when, in one connection.
struct Plan {
    began: Instant,
    /// When the server let us in.
    ready: Option<Instant>,
    /// When is asked what was missed.
    ask: Option<Instant>,
    heard: Instant,
    events: u64,
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

    fn name(&self) -> &'a str {
        &self.gerrit.source.name
    }

    fn warn(&self, warning: Option<String>) {
        self.desk.warn(self.name(), warning);
    }

    /// Nothing is missing, as far as that can be known.
    fn calm(&self) {
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
        if !ended.good && waited && self.catch_up().await.is_err() {
            return bad("stopped".into());
        }
        self.keep().await;
        ended
    }

    /// Something may be missing from now on, if it can be had at all.
    fn open(&mut self) {
        if let (Some(mark), Some(_)) = (&mut self.mark, &self.gerrit.rest) {
            mark.open();
        }
    }

    async fn hear(&mut self, mut stream: Stream) -> Result<Ended, Stopped> {
        let now = Instant::now();
        let mut plan = Plan {
            began: now,
            ready: None,
            ask: None,
            heard: now,
            events: 0,
        };
        loop {
            let due = self.due(&plan);
            if due <= Instant::now() {
                if let Some(why) = self.on_time(&mut plan).await? {
                    return Ok(Ended { why, good: true });
                }
                continue;
            }
            let stop = self.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return Err(Stopped),
                () = sleep_until(due) => {}
                told = stream.next() => {
                    let dropped = match told {
                        Some(told) => self.take(told, &mut stream, &mut plan).await?,
                        None => {
                            let good = plan.events > 0 || plan.ready.is_some_and(|at| at.elapsed() > GOOD);
                            return Ok(Ended { why: stream.why().await, good });
                        }
                    };
                    if dropped {
                        self.missed(&mut plan);
                    }
                }
            }
        }
    }

    /// When something is to be done next.
    fn due(&self, plan: &Plan) -> Instant {
        let Some(_) = plan.ready else {
            return plan.began + ASSUME;
        };
        let changed = self.mark.as_ref().is_some_and(Mark::changed);
        let keep = changed.then(|| self.kept_at + KEEP);
        let quiet = self
            .gerrit
            .rest
            .is_some()
            .then(|| plan.heard + self.gerrit.source.quiet.0);
        let all = [plan.ask, keep, quiet].into_iter().flatten();
        all.min().unwrap_or_else(|| Instant::now() + LONGEST)
    }

    /// Does what is due; some reason when the connection is no good.
    async fn on_time(&mut self, plan: &mut Plan) -> Result<Option<String>, Stopped> {
        let now = Instant::now();
        let Some(ready) = plan.ready else {
            self.ready(plan);
            return Ok(None);
        };
        if plan.ask.is_some_and(|at| at <= now) {
            self.ask(ready, plan).await?;
        } else if plan.heard + self.gerrit.source.quiet.0 <= now && self.gerrit.rest.is_some() {
            plan.heard = now;
            if self.catch_up().await?.is_ok_and(|late| late > 0) {
                return Ok(Some(
                    "the stream was silent though something happened".into(),
                ));
            }
        } else {
            self.keep().await;
        }
        Ok(None)
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

    /// Asks what was missed. The gap is closed when that was asked after the server knew that we
    /// listen.
    async fn ask(&mut self, ready: Instant, plan: &mut Plan) -> Result<(), Stopped> {
        let settled = ready + SETTLE.min(self.gerrit.source.quiet.0);
        let began = Instant::now();
        let caught = self.catch_up().await?;
        plan.ask = match caught {
            Ok(_) if began >= settled => {
                if let Some(mark) = &mut self.mark {
                    mark.close();
                }
                self.keep().await;
                None
            }
            Ok(_) => Some(settled),
            Err(()) => Some(Instant::now() + back_off(self.failures, FIRST, LONGEST)),
        };
        Ok(())
    }

    /// Where to begin is not known yet.
    fn unknown(&self) -> Mark {
        let mut mark = Mark::new(0);
        if self.gerrit.rest.is_some() {
            mark.open();
        }
        mark
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
        let mut mark = self.mark.take().unwrap_or_else(|| self.unknown());
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

    /// Asks for everything that was missed and tells it. Gives how many comments the stream should
    /// have told long ago, or nothing when it could not be asked.
    async fn catch_up(&mut self) -> Result<Result<usize, ()>, Stopped> {
        let Some(rest) = &self.gerrit.rest else {
            return Ok(Ok(0));
        };
        self.asked_at = Some(Instant::now());
        let stop = self.stop.clone();
        let asked = async {
            let now = rest.now().await?;
            let (mark, cut) = self.begin(now);
            let found = rest.since(mark.from()).await?;
            Ok::<_, String>((now, mark, cut, found))
        };
        let asked = tokio::select! {
            () = stop.cancelled() => return Err(Stopped),
            asked = asked => asked,
        };
        let (now, mark, cut, found) = match asked {
            Ok(all) => all,
            Err(error) => {
                self.failures += 1;
                self.warn(Some(format!(
                    "what was missed cannot be asked for: {error}"
                )));
                return Ok(Err(()));
            }
        };
        self.failures = 0;
        self.mark = Some(mark);
        let warning =
            (cut || found.cut).then(|| "it was not heard for so long that some is missing");
        self.warn(warning.map(str::to_owned));
        let late = i64::try_from(LATE.min(self.gerrit.source.quiet.0).as_secs()).unwrap_or(0);
        let mut missed = 0;
        let mut patchsets = found.patchsets;
        let mut comments = found.comments.into_iter().peekable();
        while !patchsets.is_empty() || comments.peek().is_some() {
            let mut news = News::default();
            for patchset in std::mem::take(&mut patchsets) {
                self.gerrit.listener.patchset(patchset, &mut news);
            }
            for comment in comments.by_ref().take(CHUNK) {
                let old = comment
                    .created
                    .is_some_and(|at| at.as_second() < now - late);
                let Some(mark) = &mut self.mark else { break };
                let new = self
                    .gerrit
                    .listener
                    .comment(comment, Way::Query, mark, &mut news);
                missed += usize::from(new && old);
            }
            self.tell(news).await?;
        }
        if let Some(mark) = &mut self.mark {
            mark.caught_up(now);
        }
        Ok(Ok(missed))
    }

    /// Where to begin, when it is `now` by Gerrit's clock; true when that is not where it ended.
    fn begin(&self, now: i64) -> (Mark, bool) {
        let source = &self.gerrit.source;
        let ago = |period: Duration| now - i64::try_from(period.as_secs()).unwrap_or(0);
        let mut mark = self.mark.clone().unwrap_or_else(|| self.unknown());
        if mark.is_new() {
            mark.give_up_before(ago(source.since.0));
        }
        let cut = mark.give_up_before(ago(source.catch_up.0));
        (mark, cut)
    }

    /// Tells the desk, until it has it.
    async fn tell(&mut self, mut news: News) -> Result<(), Stopped> {
        let not_understood = std::mem::take(&mut news.not_understood);
        if news.events > 0 || !not_understood.is_empty() {
            let now = Timestamp::now();
            self.desk
                .heard(self.name(), now, news.events, &not_understood);
        }
        for failures in 0.. {
            let Err(error) = self.try_tell(&mut news).await else {
                if failures > 0 {
                    self.calm();
                }
                break;
            };
            tracing::error!(source = self.name(), %error, "what was heard cannot be kept");
            self.warn(Some(format!("what was heard cannot be kept: {error}")));
            tokio::select! {
                () = self.stop.cancelled() => return Err(Stopped),
                () = sleep(back_off(failures, FIRST, LONGEST)) => {}
            }
        }
        news.said.drain(..).for_each(|said| self.desk.said(said));
        Ok(())
    }

    async fn try_tell(&mut self, news: &mut News) -> Result<(), StateError> {
        while let Some(one) = news.patchsets.last() {
            self.desk
                .patchset(&one.project, &one.change, &one.number)
                .await?;
            news.patchsets.pop();
        }
        // What people said is not told again: it is told after it was noted that it was heard.
        if news.builds.is_empty() && news.said.is_empty() {
            return Ok(());
        }
        let mark = self.mark.as_ref().map(Mark::text).transpose()?;
        self.desk
            .announce(self.name(), news.builds.clone(), mark)
            .await?;
        self.kept();
        Ok(())
    }

    /// Keeps how far was heard. What cannot be kept is heard again.
    pub(super) async fn keep(&mut self) {
        self.kept_at = Instant::now();
        let Some(mark) = self.mark.as_ref().filter(|mark| mark.changed()) else {
            return;
        };
        let Ok(text) = mark.text() else { return };
        match self
            .desk
            .announce(self.name(), Vec::new(), Some(text))
            .await
        {
            Ok(()) => self.kept(),
            Err(error) => {
                tracing::error!(source = self.name(), %error, "how far was heard cannot be kept");
            }
        }
    }

    fn kept(&mut self) {
        self.kept_at = Instant::now();
        if let Some(mark) = &mut self.mark {
            mark.kept();
        }
    }
}
