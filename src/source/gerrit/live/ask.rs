//! What the stream did not say is asked for, while it is heard.

use super::hear::{Listener, News};
use super::mark::{Mark, Way};
use super::query::{Found, Rest};
use super::session::{Plan, SETTLE, Session, Stopped};
use super::{FIRST, LONGEST, back_off};
use crate::config::GerritSource;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Comments of a query that are taken together.
const CHUNK: usize = 100;
/// What a query finds and the stream has not said for so long is missing there.
const LATE: Duration = Duration::from_secs(30);

/// A query under way. It ends when this is dropped.
pub(super) struct Asking {
    began: Instant,
    /// The stream was silent, which is why it is asked.
    pub(super) silent: bool,
    task: JoinHandle<Result<Answer, String>>,
}

/// What came of it.
pub(super) struct Answer {
    /// When it was asked, by Gerrit's clock.
    now: i64,
    found: Found,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asking {
    pub(super) async fn answer(&mut self) -> Result<Answer, String> {
        let done = (&mut self.task).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// The answer to a query, if there is one; waits for ever otherwise.
pub(super) async fn answer(asking: &mut Option<Asking>) -> Result<Answer, String> {
    match asking {
        Some(asking) => asking.answer().await,
        None => std::future::pending().await,
    }
}

impl Session<'_> {
    /// Begins to ask for everything that was missed. Until that is known the mark stays.
    pub(super) fn ask(&mut self, silent: bool) -> Option<Asking> {
        let rest = self.gerrit.rest.clone()?;
        self.open();
        let began = Instant::now();
        self.asked_at = Some(began);
        let mark = self.mark.clone().unwrap_or_else(unknown);
        let task = tokio::spawn(look(rest, mark, self.gerrit.source.clone()));
        Some(Asking {
            began,
            silent,
            task,
        })
    }

    /// Takes the answer to a query; true when the stream should have said that long ago.
    pub(super) async fn answered(
        &mut self,
        asked: &Asking,
        answer: Result<Answer, String>,
        plan: &mut Plan,
    ) -> Result<bool, Stopped> {
        let Some(ready) = plan.ready else {
            return Ok(false);
        };
        let settled = ready + SETTLE.min(self.gerrit.source.quiet.0);
        let Some(late) = self.caught_up(answer).await? else {
            plan.ask = Some(Instant::now() + back_off(self.failures, FIRST, LONGEST));
            return Ok(false);
        };
        // Only then the server surely knew that we listen.
        if asked.began < settled {
            plan.ask = Some(settled);
        } else if plan.ask.is_none() {
            self.mark.iter_mut().for_each(Mark::close);
            self.keep().await;
        }
        Ok(asked.silent && late > 0)
    }

    /// Tells what a query has found. Gives how many comments the stream should have told long ago, or
    /// nothing when it could not be asked.
    pub(super) async fn caught_up(
        &mut self,
        answer: Result<Answer, String>,
    ) -> Result<Option<usize>, Stopped> {
        let Answer { now, found } = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.failures += 1;
                self.warn(Some(format!(
                    "what was missed cannot be asked for: {error}"
                )));
                return Ok(None);
            }
        };
        self.failures = 0;
        let mark = self.mark.take().unwrap_or_else(unknown);
        let (mark, cut) = begin(mark, now, &self.gerrit.source);
        self.mark = Some(mark);
        let warning = "it was not heard for so long that some is missing";
        self.warn((cut || found.cut).then(|| warning.to_owned()));
        let late = LATE.min(self.gerrit.source.quiet.0);
        let missed = self.take_found(found, now - seconds(late)).await?;
        if let Some(mark) = &mut self.mark {
            mark.caught_up(now);
        }
        Ok(Some(missed))
    }

    /// Takes it part by part; gives how much of it is older than `limit` and was new.
    async fn take_found(&mut self, found: Found, limit: i64) -> Result<usize, Stopped> {
        let listener: &Listener = &self.gerrit.listener;
        let mut news = News::default();
        for patchset in found.patchsets {
            listener.patchset(patchset, &mut news);
        }
        self.tell(news).await?;
        let (mut missed, mut comments) = (0, found.comments.into_iter().peekable());
        while comments.peek().is_some() {
            let mut news = News::default();
            for comment in comments.by_ref().take(CHUNK) {
                let old = comment.created.is_some_and(|at| at.as_second() < limit);
                let Some(mark) = &mut self.mark else { break };
                let new = listener.comment(comment, Way::Query, mark, &mut news);
                missed += usize::from(new && old);
            }
            self.tell(news).await?;
        }
        Ok(missed)
    }
}

/// Where to begin is not known yet: the mark stays until that was asked.
pub(super) fn unknown() -> Mark {
    let mut mark = Mark::new(0);
    mark.open();
    mark
}

async fn look(rest: Arc<Rest>, mark: Mark, source: GerritSource) -> Result<Answer, String> {
    let now = rest.now().await?;
    let (mark, _) = begin(mark, now, &source);
    let found = rest.since(mark.from()).await?;
    Ok(Answer { now, found })
}

/// Where to begin, when it is `now` by Gerrit's clock; true when that is not where it ended.
fn begin(mut mark: Mark, now: i64, source: &GerritSource) -> (Mark, bool) {
    if mark.is_new() {
        mark.give_up_before(now - seconds(source.since.0));
    }
    let cut = mark.give_up_before(now - seconds(source.catch_up.0));
    (mark, cut)
}

fn seconds(period: Duration) -> i64 {
    i64::try_from(period.as_secs()).unwrap_or(0)
}
