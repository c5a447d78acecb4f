//! The state database as the place where verdicts are kept.

use super::engine::Engine;
use super::pipeline::{Ledger, LedgerError, Outcome, SWEEP};
use crate::note::Bell;
use crate::state::{Age, Job, State, Surroundings, VerdictRecord};
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Nobody wants to hear of a failure later than this after its logs were complete.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// Pending builds that are taken at once where others take some too.
const SHARE: u64 = 64;
/// How often pending builds are looked for where another process may have left some.
const SHARED_SWEEP: Duration = Duration::from_secs(2);

/// Keeps verdicts and the notes about them.
pub struct StateLedger {
    state: Arc<State>,
    engine: Arc<dyn Engine>,
    bell: Bell,
}

impl fmt::Debug for StateLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateLedger").finish_non_exhaustive()
    }
}

impl StateLedger {
    /// Keeps them in `state`; `engine` words the notes, and `bell` says that there may be some.
    pub fn new(state: Arc<State>, engine: Arc<dyn Engine>, bell: Bell) -> Self {
        Self {
            state,
            engine,
            bell,
        }
    }
}

impl Ledger for StateLedger {
    fn pending(&self) -> Result<Vec<String>, LedgerError> {
        let pending = self.state.take_pending(SHARE);
        pending.map_err(|e| LedgerError(e.to_string()))
    }

    fn take(&self, uuid: &str, again: bool) -> Result<bool, LedgerError> {
        let taken = self.state.take(uuid, again);
        taken.map_err(|e| LedgerError(e.to_string()))
    }

    fn sweep(&self) -> Duration {
        if self.state.shared() {
            return SHARED_SWEEP;
        }
        SWEEP
    }

    fn job(&self, uuid: &str) -> Result<Option<Job>, LedgerError> {
        self.state.job(uuid).map_err(|e| LedgerError(e.to_string()))
    }

    fn record(&self, job: &Job, outcome: &Outcome) -> Result<bool, LedgerError> {
        let record = VerdictRecord {
            uuid: job.build.uuid.clone(),
            verdict: outcome.verdict,
            rules_version: self.version(outcome),
            at: Timestamp::now(),
            matches: outcome.matches.clone(),
            problems: outcome.detail.iter().cloned().collect(),
        };
        let notes = |around: &Surroundings| self.engine.notes(&job.build, outcome, around);
        let age = age(job.completed_at, record.at);
        let kept = self
            .state
            .record_verdict_of(job.generation, &record, &notes, age);
        self.bell.ring();
        kept.map_err(|e| LedgerError(e.to_string()))
    }
}

impl StateLedger {
    /// What broke down could not say what it looked for; it is not tried again with the same.
    fn version(&self, outcome: &Outcome) -> String {
        if outcome.rules.is_empty() {
            return self.engine.rules().version.clone();
        }
        outcome.rules.clone()
    }
}

/// New fingerprints are tried on stored builds too; of those nobody wants to hear any more.
fn age(completed_at: Option<Timestamp>, now: Timestamp) -> Age {
    match completed_at {
        Some(complete) if now.duration_since(complete) > LATE => Age::OldHat,
        _ => Age::News,
    }
}
