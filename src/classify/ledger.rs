//! The state database as the place where verdicts are kept.

use super::engine::Engine;
use super::pipeline::{Ledger, LedgerError, Outcome};
use crate::event::{Build, Verdict};
use crate::state::{State, VerdictRecord};
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;

/// Keeps verdicts and the notes about them.
pub struct StateLedger {
    state: Arc<State>,
    engine: Arc<dyn Engine>,
}

impl fmt::Debug for StateLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateLedger").finish_non_exhaustive()
    }
}

impl StateLedger {
    /// Keeps them in `state`; `engine` words the notes.
    pub fn new(state: Arc<State>, engine: Arc<dyn Engine>) -> Self {
        Self { state, engine }
    }
}

impl Ledger for StateLedger {
    fn pending(&self) -> Result<Vec<String>, LedgerError> {
        self.state.pending().map_err(|e| LedgerError(e.to_string()))
    }

    fn build(&self, uuid: &str) -> Result<Option<Build>, LedgerError> {
        let stored = self
            .state
            .build(uuid)
            .map_err(|e| LedgerError(e.to_string()))?;
        Ok(stored.map(|s| s.build))
    }

    fn record(&self, build: &Build, outcome: &Outcome) -> Result<(), LedgerError> {
        // A passing build's matches count against a fingerprint's precision; nobody is told.
        let tell = build.failed() && outcome.verdict == Verdict::Matched;
        let notes = if tell {
            self.engine.notes(build, outcome)
        } else {
            Vec::new()
        };
        let record = VerdictRecord {
            uuid: build.uuid.clone(),
            verdict: outcome.verdict,
            rules_version: outcome.rules.clone(),
            at: Timestamp::now(),
            matches: outcome.matches.clone(),
            problems: outcome.detail.iter().cloned().collect(),
        };
        let kept = self.state.record_verdict(&record, &notes);
        kept.map(|_| ()).map_err(|e| LedgerError(e.to_string()))
    }
}
