//! Calls of the state that fail on purpose, with what the database could say itself.

use super::{ServerError, StateError};
use crate::chance::{Kind, MARK, Plan, Spot};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// What begins the name of each site; the method's name follows.
pub const ROOM: &str = "state";
/// What follows it: the methods that run something in a transaction.
pub const METHODS: &[&str] = &[
    "announce",
    "audit",
    "audit_log",
    "begin_outage",
    "bug",
    "bug_hits",
    "bug_hits_after",
    "bug_seen",
    "bugs",
    "build",
    "builds",
    "change_bug",
    "change_fetch",
    "change_note",
    "changes_called",
    "check",
    "complete",
    "decide_rechecks",
    "delete_before",
    "delete_reports_before",
    "digest_data",
    "digests_until",
    "due_notes",
    "end_outage",
    "end_silence",
    "enqueue_notes",
    "failed_since",
    "failures_by_hour",
    "fetch_counts",
    "fetch_of",
    "fetch_problems",
    "fetched",
    "fingerprint_stats",
    "forget_rechecks",
    "free_fetches",
    "has_notes_on",
    "job",
    "latest_report",
    "mark",
    "miscounted",
    "next_note_at",
    "note_counts",
    "notes",
    "outage",
    "outages",
    "patchset_seen",
    "pending",
    "put_build",
    "put_report",
    "raise_return",
    "recheck_asked",
    "recheck_counts",
    "recheck_decisions",
    "recheck_facts",
    "recheck_heard",
    "rechecks",
    "rechecks_open",
    "record_log",
    "record_verdict",
    "record_verdict_of",
    "recount",
    "renew",
    "report",
    "report_data_of",
    "reports",
    "resign",
    "return_told",
    "returned_bugs",
    "returns_to_tell",
    "send_digest",
    "set_digests_until",
    "settle_counts",
    "silence",
    "silences",
    "stale",
    "stale_count",
    "survey_keep",
    "survey_marks",
    "surveyed",
    "take",
    "take_fetches",
    "take_notes",
    "take_pending",
    "tell_return",
    "unsilence",
    "verdict_counts",
    "waiting_fetches",
];
/// What a file may say to a reader.
const FILE_READ: &[Kind] = &[Kind::before("busy"), Kind::before("io")];
/// What a file may say to a writer. Only where the disk fails it is not known what was kept.
const FILE_WRITE: &[Kind] = &[
    Kind::before("busy"),
    Kind::before("full"),
    Kind::either("io"),
];
/// What a server may say to a reader.
const SERVER_READ: &[Kind] = &[Kind::before("connections"), Kind::before("deadline")];
/// What a server may say to a writer. An answer that does not come says nothing of what was kept.
const SERVER_WRITE: &[Kind] = &[Kind::before("connections"), Kind::either("deadline")];

/// Whether a call changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Read,
    Write,
}

/// Has calls fail. The methods are known by the names of what they run in a transaction.
#[derive(Debug)]
pub(super) struct Faults {
    plan: Arc<Plan>,
    server: bool,
    spots: RwLock<HashMap<(&'static str, Access), Spot>>,
}

impl Faults {
    pub(super) fn new(plan: Arc<Plan>, server: bool) -> Self {
        Self {
            plan,
            server,
            spots: RwLock::default(),
        }
    }

    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Does `call` on behalf of `work`, unless it is to fail.
    pub(super) fn around<W, T>(
        &self,
        access: Access,
        key: &str,
        work: W,
        call: impl FnOnce(W) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let spot = self.spot(std::any::type_name::<W>(), access);
        spot.around(key, error, || call(work))
    }

    fn spot(&self, work: &'static str, access: Access) -> Spot {
        let known = self.spots.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(spot) = known.get(&(work, access)) {
            return spot.clone();
        }
        drop(known);
        let kinds = match (self.server, access) {
            (false, Access::Read) => FILE_READ,
            (false, Access::Write) => FILE_WRITE,
            (true, Access::Read) => SERVER_READ,
            (true, Access::Write) => SERVER_WRITE,
        };
        let spot = self
            .plan
            .spot_named(&format!("{ROOM}.{}", method(work)), kinds);
        let mut spots = self.spots.write().unwrap_or_else(PoisonError::into_inner);
        spots.insert((work, access), spot.clone());
        spot
    }
}

/// The method in the name of what it runs: `…::<impl whorl::state::State>::put_build::{{closure}}`.
fn method(work: &str) -> &str {
    let mut name = work;
    while let Some(outer) = name.strip_suffix("::{{closure}}") {
        name = outer;
    }
    let name = name.rsplit("::").next().unwrap_or(name);
    name.split('<').next().unwrap_or(name)
}

/// The error of a kind.
fn error(kind: &'static str) -> StateError {
    let file = |code: i32| {
        let code = rusqlite::ffi::Error::new(code);
        StateError::Database(rusqlite::Error::SqliteFailure(code, Some(MARK.to_owned())))
    };
    match kind {
        "busy" => file(rusqlite::ffi::SQLITE_BUSY),
        "full" => file(rusqlite::ffi::SQLITE_FULL),
        "connections" => StateError::Server(ServerError::Busy(0)),
        "deadline" => StateError::Server(ServerError::Deadline(Duration::ZERO)),
        _ => file(rusqlite::ffi::SQLITE_IOERR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Rates, Record};
    use crate::event::Build;
    use crate::state::State;

    fn state(rate: f64, seed: u64) -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let rates = [("state.put_build".to_owned(), rate)].into();
        let rates = Rates::new(0.0, rates).unwrap();
        let plan = Arc::new(Plan::new(seed, rates, "test", Record::nowhere()));
        let state = State::open(dir.path().join("state.db")).unwrap();
        (dir, state.failing(plan))
    }

    #[test]
    fn methods_are_known_by_name_and_fail_before_or_after_they_are_done() {
        let (_dir, state) = state(1.0, 1);
        let (mut kept, mut lost) = (0, 0);
        for n in 0..40 {
            let uuid = format!("b{n}");
            let error = state.put_build(&Build::new(&uuid)).unwrap_err();
            assert!(error.to_string().contains("disk") || error.to_string().contains(MARK));
            match state.job(&uuid).unwrap() {
                Some(_) => kept += 1,
                None => lost += 1,
            }
        }
        assert!(kept >= 3 && lost >= 15, "{kept} {lost}");
        let tally = state.plan().unwrap().tally();
        let of = |name: &str| tally.iter().find(|one| one.site == name).unwrap().clone();
        let put = of("state.put_build");
        assert_eq!((put.calls, put.before, put.after), (40, lost, kept));
        assert_eq!(of("state.job").calls, 40);
    }

    /// The last method that begins before a place of a source.
    fn around(text: &str, place: usize) -> &str {
        let line = text[..place].lines().rev().find_map(|line| {
            let line = line.strip_prefix("    ")?;
            line.strip_prefix("pub ")
                .unwrap_or(line)
                .strip_prefix("fn ")
        });
        let name = line.unwrap_or_default();
        name.split(['(', '<']).next().unwrap_or_default()
    }

    #[test]
    fn every_method_that_may_fail_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/state");
        let mut found = std::collections::BTreeSet::new();
        let uses = regex::Regex::new(r"self\s*\.(read|write)(_of)?\(").unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            let names = uses
                .find_iter(text)
                .map(|place| around(text, place.start()));
            found.extend(names.map(str::to_owned));
        }
        for own in ["read", "write"] {
            found.remove(own);
        }
        let listed: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(METHODS, listed);
    }

    #[test]
    fn names_of_methods() {
        let name = "whorl::state::builds::<impl whorl::state::State>::put_build::{{closure}}";
        assert_eq!(method(name), "put_build");
        assert_eq!(method("a::b<u8>::{{closure}}::{{closure}}"), "b");
    }
}
