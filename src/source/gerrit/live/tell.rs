//! What was heard, told to the desk until it has it.

use super::hear::News;
use super::mark::Mark;
use super::session::{Session, Stopped};
use super::{FIRST, LONGEST, back_off};
use crate::state::StateError;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

impl Session<'_> {
    /// Tells the desk, until it has it.
    pub(super) async fn tell(&mut self, mut news: News) -> Result<(), Stopped> {
        let not_understood = std::mem::take(&mut news.not_understood);
        self.desk
            .heard_kinds(self.name(), std::mem::take(&mut news.kinds));
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
                () = self.stop.cancelled() => {
                    // What the desk does not have was not heard.
                    self.mark = None;
                    return Err(Stopped);
                }
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
