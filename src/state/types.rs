//! The rows that go in and come out.

use super::StateError;
use crate::event::{BugRef, Build, Match, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One log file of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Path below the build's log root.
    pub name: String,
    /// Bytes as received (compressed, if it came compressed).
    pub bytes: u64,
    /// SHA-256 of these bytes in hex, where it was computed.
    pub sha256: Option<String>,
    /// When it was received.
    pub received_at: Timestamp,
}

/// Everything that is known of one build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredBuild {
    /// What the CI said about it.
    pub build: Build,
    /// The current verdict.
    pub verdict: Verdict,
    /// When it was reached.
    pub verdict_at: Option<Timestamp>,
    /// The version of the fingerprints that it was reached with.
    pub rules_version: Option<String>,
    /// What could not be read or done.
    pub problems: Vec<String>,
    /// Its log files, by name.
    pub logs: Vec<LogRow>,
    /// What was found, in the order in which it was recorded.
    pub matches: Vec<Match>,
    /// When the build was first heard of.
    pub received_at: Timestamp,
    /// When it was declared complete.
    pub completed_at: Option<Timestamp>,
    /// All verdicts, oldest first; the last one is the current one.
    pub history: Vec<PassedVerdict>,
}

/// One entry in a build's history of verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The version of the fingerprints.
    pub rules_version: String,
    /// When it was reached.
    pub at: Timestamp,
    /// Ids of the fingerprints that matched.
    pub fingerprints: Vec<String>,
}

/// What classification has to say about one build.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictRecord {
    /// The build.
    pub uuid: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The version of the fingerprints.
    pub rules_version: String,
    /// When it was reached.
    pub at: Timestamp,
    /// What was found.
    pub matches: Vec<Match>,
    /// What could not be read or done.
    pub problems: Vec<String>,
}

/// A build as a worker needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What the CI said about it.
    pub build: Build,
    /// Grows with everything that is said of the build and with every log that changes.
    pub generation: u64,
    /// True while the verdict, if any, is of an earlier generation.
    pub waiting: bool,
    /// When it was declared complete.
    pub completed_at: Option<Timestamp>,
}

/// Which builds a list shows. Conditions that are `None` do not restrict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildFilter {
    /// Only this verdict.
    pub verdict: Option<Verdict>,
    /// Only failed builds.
    pub failed_only: bool,
    /// Only this project.
    pub project: Option<String>,
    /// Only this job.
    pub job: Option<String>,
    /// Only this branch.
    pub branch: Option<String>,
    /// Only this pipeline.
    pub pipeline: Option<String>,
    /// Only builds that this fingerprint matches.
    pub fingerprint: Option<String>,
    /// Only builds that ended at or after this time.
    pub since: Option<Timestamp>,
    /// Only builds with this text in uuid, job, project, branch, change or result.
    pub text: Option<String>,
    /// How many to pass over.
    pub offset: u64,
    /// How many to return; 0 means 50.
    pub limit: u64,
}

/// One part of a longer list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// The rows of this part.
    pub items: Vec<T>,
    /// How many rows there are in all, exact.
    pub total: u64,
    /// How many were passed over.
    pub offset: u64,
    /// How many were asked for at most.
    pub limit: u64,
}

/// A build in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRow {
    /// The build's name.
    pub uuid: String,
    /// The job.
    pub job: Option<String>,
    /// The pipeline.
    pub pipeline: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The change.
    pub change: Option<String>,
    /// The patchset.
    pub patchset: Option<String>,
    /// The result in the CI's word.
    pub result: Option<String>,
    /// True when that word means a failure.
    pub failed: bool,
    /// The current verdict.
    pub verdict: Verdict,
    /// When it ended; where that is unknown, when it was complete or first heard of.
    pub at: Timestamp,
    /// Where people find the logs.
    pub log_url: Option<String>,
    /// What was found.
    pub matches: Vec<RowMatch>,
}

/// A match in a list of builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowMatch {
    /// The fingerprint's id.
    pub fingerprint: String,
    /// Its title.
    pub title: String,
    /// Its bug.
    pub bug: BugRef,
}

/// How one fingerprint did. All counts are exact and of distinct builds; hits are of failed builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintStats {
    /// The fingerprint's id.
    pub fingerprint: String,
    /// Matching events in failed builds in the last 24 hours.
    pub hits_24h: u64,
    /// Matching events in failed builds in the last 10 days.
    pub hits_10d: u64,
    /// Failed builds in the last 24 hours.
    pub builds_24h: u64,
    /// Failed builds in the last 10 days.
    pub builds_10d: u64,
    /// Builds in the last 10 days that match although they did not fail.
    pub passing_builds_10d: u64,
    /// The first failed build that matches, as far back as the state reaches.
    pub first_seen: Option<Timestamp>,
    /// The latest one.
    pub last_seen: Option<Timestamp>,
    /// Failed builds by hour (start of the hour) in the last 10 days; hours without any are left out.
    pub histogram: Vec<(Timestamp, u64)>,
}

/// What the builds of a [`Tally`] have in common. A name is absent for builds that do not say it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nothing: all builds.
    All,
    /// The project.
    Project(Option<String>),
    /// The pipeline.
    Pipeline(Option<String>),
    /// The job.
    Job(Option<String>),
    /// The branch.
    Branch(Option<String>),
}

/// Number of failed builds of a place with a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// What they have in common.
    pub place: Place,
    /// The verdict.
    pub verdict: Verdict,
    /// Failed builds in the last 10 days.
    pub builds_10d: u64,
    /// Failed builds in the last 24 hours.
    pub builds_24h: u64,
}

/// How counts are made. Both ways give the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// From the counts that are kept for every hour and day.
    Kept,
    /// From every build and match: to compare with.
    Plain,
}

/// What a report is made of, all read from one unchanging view.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportData {
    /// Failed builds by place and verdict.
    pub tallies: Vec<Tally>,
    /// How each fingerprint did.
    pub fingerprints: Vec<FingerprintStats>,
    /// Failed builds with verdict `unmatched` in the window, newest first.
    pub unexplained: Page<BuildRow>,
    /// The version of the fingerprints of the latest verdict.
    pub rules_version: Option<String>,
}

/// How a note behaves after it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// It was said; a target that has heard of a build hears nothing more of it.
    Once,
    /// It is brought up to date when what it should say changes.
    Follow,
}

/// A note that is to be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewNote {
    /// To whom: the target's name in the configuration.
    pub target: String,
    /// What it is about: there is one note for each topic and target.
    pub topic: String,
    /// How it behaves after it was said.
    pub manner: Manner,
    /// What it says: `known`, `unexplained`, …. A note that follows and is `outdated` or `withdrawn`
    /// is only said where something was said before.
    pub kind: String,
    /// The words.
    pub text: String,
    /// The same for machines.
    pub json: serde_json::Value,
}

/// Whether a verdict is worth a new note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// People wait for it.
    News,
    /// Too late: notes that wait already are brought up to date, new ones are not made.
    OldHat,
}

/// Where a note stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteState {
    /// Waits to be said (at `next_try`).
    Due,
    /// Was said.
    Delivered,
    /// Was given up after too many tries; a person may retry it.
    Parked,
    /// A newer verdict had something else to say before this one was said.
    Superseded,
}

impl NoteState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Due, Self::Delivered, Self::Parked, Self::Superseded];

    /// The word in files and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Delivered => "delivered",
            Self::Parked => "parked",
            Self::Superseded => "superseded",
        }
    }

    pub(super) fn parse(word: &str) -> Result<Self, StateError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| StateError::Value(format!("unknown state of a note {word:?}")))
    }
}

/// A note in the outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Its number, also its name towards receivers.
    pub id: i64,
    /// The build it was last made for, if it is about one.
    pub build: Option<String>,
    /// To whom.
    pub target: String,
    /// What it is about: there is one note for each topic and target.
    pub topic: String,
    /// How it behaves after it was said.
    pub manner: Manner,
    /// How often what it should say has changed, from 1.
    pub generation: u64,
    /// What the target calls what it was told last, if anything.
    pub remote: Option<String>,
    /// What about.
    pub kind: String,
    /// The words.
    pub text: String,
    /// The same for machines.
    pub json: serde_json::Value,
    /// Where it stands.
    pub state: NoteState,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// When it was composed.
    pub created_at: Timestamp,
    /// When it is tried next.
    pub next_try: Timestamp,
    /// When it was said.
    pub delivered_at: Option<Timestamp>,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// Which notes a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoteFilter {
    /// Only in this state.
    pub state: Option<NoteState>,
    /// Only for this target.
    pub target: Option<String>,
    /// Only about this build.
    pub build: Option<String>,
    /// How many to pass over.
    pub offset: u64,
    /// How many to return; 0 means 50.
    pub limit: u64,
}

/// A kept report in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// Its number.
    pub id: i64,
    /// The time that it speaks of.
    pub at: Timestamp,
    /// One line about it.
    pub summary: String,
}

/// A kept report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredReport {
    /// Its number.
    pub id: i64,
    /// The time that it speaks of.
    pub at: Timestamp,
    /// One line about it.
    pub summary: String,
    /// The report as JSON text.
    pub json: String,
}

/// One entry of the audit log: who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// When.
    pub at: Timestamp,
    /// Who: a user's name, or the room that acted.
    pub actor: String,
    /// What: a short word such as `note-retried`.
    pub action: String,
    /// On what.
    pub subject: String,
    /// Anything else worth keeping.
    pub detail: String,
}

/// The matches of a build and their fingerprints' ids.
pub(super) fn ids(matches: &[Match]) -> Vec<&str> {
    matches.iter().map(|m| m.fingerprint.as_str()).collect()
}
