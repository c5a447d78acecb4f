//! Looking at builds whose events somebody else put into the cluster, and waiting for these.

use super::{Remote, held};
use crate::classify::cluster;
use crate::classify::pipeline::Outcome;
use crate::classify::ready::{Seen, State};
use crate::event::Build;
use crate::matcher::Matcher;
use crate::store::StoreError;
use jiff::Timestamp;
use std::sync::atomic::Ordering;

/// Builds that one request asks about.
const ASKED: usize = 500;
/// How often a build is looked at that the cluster breaks down on, before that is its verdict.
const BREAKDOWNS: u32 = 5;

impl Remote {
    /// Looks at a build whose events somebody else put into the cluster.
    /// `in_force` is what [`Remote::is_in_force`] said before the fingerprints were taken.
    pub(in crate::web) fn look(
        &self,
        build: &Build,
        in_force: bool,
        matcher: &Matcher,
        rules: &str,
    ) -> Outcome {
        let now = Timestamp::now();
        let state = held(&self.waiting).state(build, now);
        if let Some(why) = self.absence() {
            return Outcome::pending(why, rules);
        }
        let late = match state {
            State::Wait => return Outcome::pending("its log is not complete yet", rules),
            State::Complete => None,
            State::Late(what) => Some(what),
        };
        let mut looked = match cluster::look(&self.store, matcher, build, now, self.max_events) {
            Ok(looked) => looked,
            Err(error) => return self.in_vain(build, &error, rules),
        };
        if !in_force && looked.events > 0 {
            // The first index has just come: the fingerprints were read without knowing its fields.
            held(&self.in_vain).insert(build.uuid.clone());
            return Outcome::pending("the fields of the index are not known yet", rules);
        }
        self.extra_pages
            .fetch_add(looked.extra_pages, Ordering::Relaxed);
        self.splits.fetch_add(looked.splits, Ordering::Relaxed);
        looked
            .problems
            .extend(late.map(|what| format!("the log is not complete in the index: {what}")));
        held(&self.waiting).done(&build.uuid);
        tracing::debug!(
            uuid = build.uuid,
            looked.requests,
            "looked at in the cluster"
        );
        Outcome {
            verdict: looked.verdict(),
            detail: (!looked.problems.is_empty()).then(|| looked.problems.join("; ")),
            matches: looked.matches,
            rules: rules.to_owned(),
            events: looked.events,
        }
    }

    /// What an error says of the build: nothing, while it is the cluster that does not answer.
    fn in_vain(&self, build: &Build, error: &StoreError, rules: &str) -> Outcome {
        let away = matches!(
            error,
            StoreError::Unavailable(_) | StoreError::Refused { status: 429, .. }
        );
        let mut waiting = held(&self.waiting);
        if away || error.is_barred() {
            waiting.unanswered(Timestamp::now());
            held(&self.in_vain).insert(build.uuid.clone());
        } else if !error.is_passing() || waiting.failed(&build.uuid) >= BREAKDOWNS {
            return Outcome::error(error, rules);
        }
        tracing::warn!(uuid = build.uuid, %error, "the build waits for the cluster");
        Outcome::pending(error.to_string(), rules)
    }

    /// The builds whose logs have become complete, or for which it is too late.
    pub(in crate::web) fn settled(&self, now: Timestamp) -> Vec<String> {
        if !self.is_reached() {
            held(&self.waiting).unanswered(now);
            return Vec::new();
        }
        let (due, silent) = {
            let waiting = held(&self.waiting);
            (waiting.due(now, ASKED), waiting.is_silent())
        };
        let kinds = self.kinds.load();
        let mut changed: Vec<String> = Vec::new();
        if !silent && self.is_in_force() {
            changed.extend(std::mem::take(&mut *held(&self.in_vain)));
        }
        if due.is_empty() {
            return changed;
        }
        let seen = self.store.presence(&due, kinds.last_line.as_ref());
        let mut waiting = held(&self.waiting);
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                if waiting.unanswered(now) {
                    let builds = due.len();
                    tracing::warn!(%error, builds, "cannot ask whether logs are complete");
                }
                return changed;
            }
        };
        if let Some(silence) = waiting.answered(now) {
            tracing::info!(?silence, "the cluster says again which logs are complete");
        }
        let news = due.into_iter().zip(seen).filter_map(|(uuid, presence)| {
            let seen = Seen {
                events: presence.events,
                last_line: presence.found,
                files: presence.files,
            };
            waiting.answer(&uuid, &seen, now).then_some(uuid)
        });
        changed.extend(news);
        waiting.tidy(now);
        changed
    }
}
