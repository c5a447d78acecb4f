//! When the log of a build is complete in an index that somebody else fills.
//!
//! Builds wait here by the thousand, none for another. Each is asked about in growing steps, and all
//! that are due together are asked in one request. After the deadline a build is looked at as it is;
//! it is still asked about now and then, and looked at again when the rest has arrived.
//!
//! No clock and no network here: time and answers come in as parameters.

use crate::event::Build;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// The first step between two questions about a build.
const FIRST: SignedDuration = SignedDuration::from_secs(1);
/// The longest step before the deadline.
const LONGEST: SignedDuration = SignedDuration::from_secs(60);
/// The longest step after it.
const SLOWEST: SignedDuration = SignedDuration::from_mins(30);
/// How long after the deadline a build is asked about at all.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);

/// What makes a log complete.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// A query that must find an event of the build.
    pub last_line: bool,
    /// Files that builds of some jobs must have: a glob over the job, and the names.
    pub files: Vec<(globset::GlobMatcher, Vec<String>)>,
    /// The number of events must not grow for this long.
    pub quiet: SignedDuration,
    /// When a build is looked at although its log is not complete.
    pub deadline: SignedDuration,
}

/// What the index has of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of its events.
    pub events: u64,
    /// Whether the last line is there.
    pub last_line: bool,
    /// The names of its files.
    pub files: Vec<String>,
}

/// Whether a build can be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not yet.
    Wait,
    /// Yes, its log is complete.
    Complete,
    /// Yes, for it is too late; what is missing, in one sentence.
    Late(String),
}

#[derive(Debug)]
struct Entry {
    job: String,
    since: Timestamp,
    step: SignedDuration,
    next: Timestamp,
    events: u64,
    grown: Timestamp,
    state: State,
    /// How often it was looked at in vain.
    failed: u32,
}

/// The builds that wait.
#[derive(Debug, Default)]
pub struct Waiting {
    conditions: Conditions,
    builds: HashMap<String, Entry>,
    /// Since when nobody could be asked.
    silent_since: Option<Timestamp>,
}

impl Waiting {
    /// Waits for these conditions.
    pub fn new(conditions: Conditions) -> Self {
        Self {
            conditions,
            builds: HashMap::new(),
            silent_since: None,
        }
    }

    /// Notes that nobody could be asked; true when that is new. Time until the next answer does not
    /// count: while an index is away no log can become complete in it.
    pub fn unanswered(&mut self, now: Timestamp) -> bool {
        let new = self.silent_since.is_none();
        self.silent_since.get_or_insert(now);
        new
    }

    /// True while nobody can be asked.
    pub fn is_silent(&self) -> bool {
        self.silent_since.is_some()
    }

    /// Notes that there was an answer; the time without one before it, if any.
    pub fn answered(&mut self, now: Timestamp) -> Option<SignedDuration> {
        let silent_since = self.silent_since.take()?;
        for entry in self.builds.values_mut() {
            let lost = now.duration_since(silent_since.max(entry.since));
            entry.since = entry.since.checked_add(lost).unwrap_or(now);
            // Whoever fills the index has much to catch up with and may not have begun.
            entry.grown = now;
            (entry.step, entry.next) = (FIRST, now);
        }
        Some(now.duration_since(silent_since))
    }

    /// Counts a look in vain at a build that waits here; how many there were.
    pub fn failed(&mut self, uuid: &str) -> u32 {
        self.builds.get_mut(uuid).map_or(0, |entry| {
            entry.failed += 1;
            entry.failed
        })
    }

    /// Says whether a build can be looked at; one that is new here begins to wait.
    pub fn state(&mut self, build: &Build, now: Timestamp) -> State {
        let entry = self
            .builds
            .entry(build.uuid.clone())
            .or_insert_with(|| Entry {
                job: build.job.clone().unwrap_or_default(),
                since: now,
                step: FIRST,
                next: now,
                events: 0,
                grown: now,
                state: State::Wait,
                failed: 0,
            });
        entry.state.clone()
    }

    /// The builds to ask about now, the longest waiting first, at most `limit`.
    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<String> {
        let due = self
            .builds
            .iter()
            .filter(|(_, entry)| entry.next <= now && entry.state != State::Complete);
        let mut due: Vec<(&Timestamp, &String)> =
            due.map(|(uuid, entry)| (&entry.next, uuid)).collect();
        due.sort();
        due.into_iter()
            .take(limit)
            .map(|(_, uuid)| uuid.clone())
            .collect()
    }

    /// Takes an answer; true when the build's state has changed, so that it should be looked at.
    pub fn answer(&mut self, uuid: &str, seen: &Seen, now: Timestamp) -> bool {
        let Some(entry) = self.builds.get_mut(uuid) else {
            return false;
        };
        if seen.events != entry.events {
            (entry.events, entry.grown) = (seen.events, now);
        }
        let missing = missing(&self.conditions, entry, seen, now);
        let waited = now.duration_since(entry.since);
        let state = match missing {
            None => State::Complete,
            Some(what) if waited >= self.conditions.deadline => State::Late(what),
            Some(_) => State::Wait,
        };
        let late = matches!(state, State::Late(_));
        let changed = std::mem::discriminant(&state) != std::mem::discriminant(&entry.state);
        entry.state = state;
        entry.step = (entry.step * 2).min(if late { SLOWEST } else { LONGEST });
        let step = if late {
            entry.step
        } else {
            entry.step.min(self.conditions.deadline)
        };
        entry.next = now.checked_add(step).unwrap_or(Timestamp::MAX);
        changed
    }

    /// Forgets a build that was looked at for good.
    pub fn done(&mut self, uuid: &str) {
        if self
            .builds
            .get(uuid)
            .is_some_and(|e| e.state == State::Complete)
        {
            self.builds.remove(uuid);
        }
    }

    /// Forgets those that nobody will complete any more.
    pub fn tidy(&mut self, now: Timestamp) {
        let last = self.conditions.deadline + GIVEN_UP;
        self.builds
            .retain(|_, entry| now.duration_since(entry.since) < last);
    }

    /// How many builds wait for the rest of their log.
    pub fn len(&self) -> usize {
        let waits = self.builds.values().filter(|e| e.state == State::Wait);
        waits.count()
    }

    /// True when none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a log lacks to be complete; `None` when nothing.
fn missing(conditions: &Conditions, entry: &Entry, seen: &Seen, now: Timestamp) -> Option<String> {
    if seen.events == 0 {
        return Some("the index has no event of the build".into());
    }
    if conditions.last_line && !seen.last_line {
        return Some(format!(
            "the last line is not among the {} events",
            seen.events
        ));
    }
    let of_job = conditions
        .files
        .iter()
        .filter(|(jobs, _)| jobs.is_match(&entry.job));
    let mut lacking = of_job
        .flat_map(|(_, names)| names)
        .filter(|name| !seen.files.iter().any(|file| is_file(file, name)));
    if let Some(name) = lacking.next() {
        return Some(format!("the file {name} is not there"));
    }
    if now.duration_since(entry.grown) < conditions.quiet {
        return Some(format!("the events still grow ({} now)", seen.events));
    }
    None
}

/// True for the file itself and for one of that name in a folder.
fn is_file(file: &str, name: &str) -> bool {
    file == name
        || file
            .strip_suffix(name)
            .is_some_and(|folder| folder.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn build(uuid: &str) -> Build {
        Build {
            job: Some("tempest-full".into()),
            finished: Some(at(0)),
            ..Build::new(uuid)
        }
    }

    fn conditions() -> Conditions {
        let jobs = globset::Glob::new("tempest-*").unwrap().compile_matcher();
        Conditions {
            last_line: true,
            files: vec![(jobs, vec!["syslog.txt".into()])],
            quiet: SignedDuration::from_secs(3),
            deadline: SignedDuration::from_secs(1200),
        }
    }

    fn seen(events: u64, last_line: bool, files: &[&str]) -> Seen {
        Seen {
            events,
            last_line,
            files: files.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    #[test]
    fn a_build_waits_for_all_conditions() {
        let mut waiting = Waiting::new(conditions());
        assert_eq!(waiting.state(&build("u"), at(1)), State::Wait);
        let steps = [
            (seen(0, false, &[]), 1),
            (seen(5, false, &["logs/syslog.txt"]), 3),
            (seen(9, true, &["job-output.txt"]), 7),
            (seen(9, true, &["job-output.txt", "logs/syslog.txt"]), 9),
        ];
        for (answer, second) in steps {
            assert!(!waiting.answer("u", &answer, at(second)), "{second}");
            assert_eq!(waiting.state(&build("u"), at(second)), State::Wait);
        }
        let whole = seen(9, true, &["job-output.txt", "logs/syslog.txt"]);
        assert!(waiting.answer("u", &whole, at(10)), "quiet since second 7");
        assert_eq!(waiting.state(&build("u"), at(10)), State::Complete);
        waiting.done("u");
        assert!(waiting.is_empty());
    }

    #[test]
    fn time_without_answers_does_not_count() {
        let mut waiting = Waiting::new(conditions());
        waiting.state(&build("before"), at(0));
        assert!(!waiting.answer("before", &seen(5, false, &[]), at(1)));
        assert!(waiting.unanswered(at(10)));
        waiting.state(&build("meanwhile"), at(5000));
        assert!(!waiting.unanswered(at(9000)), "it was known");
        assert_eq!(
            waiting.answered(at(10_000)),
            Some(SignedDuration::from_secs(9990))
        );
        assert_eq!(waiting.answered(at(10_000)), None);
        assert_eq!(waiting.due(at(10_000), 10).len(), 2);
        let whole = seen(5, true, &["syslog.txt"]);
        for uuid in ["before", "meanwhile"] {
            // Long after the deadline by the clock, and quiet for hours.
            assert!(!waiting.answer(uuid, &seen(5, false, &[]), at(10_001)));
            assert!(!waiting.answer(uuid, &whole, at(10_002)));
            assert_eq!(waiting.state(&build(uuid), at(10_002)), State::Wait);
        }
        assert!(waiting.answer("before", &whole, at(10_003)));
        let nothing = Seen::default();
        assert!(!waiting.answer("meanwhile", &nothing, at(11_199)));
        assert!(waiting.answer("meanwhile", &nothing, at(11_200)));
    }

    #[test]
    fn the_steps_grow_and_many_are_asked_at_once() {
        let mut waiting = Waiting::new(conditions());
        for n in 0..3000 {
            waiting.state(&build(&format!("u{n}")), at(0));
        }
        let mut asked = 0;
        for second in 0..600 {
            for uuid in waiting.due(at(second), 10_000) {
                waiting.answer(&uuid, &Seen::default(), at(second));
                asked += 1;
            }
        }
        // Seconds 0, 2, 6, 14, 30, 62, 122, then every 60.
        assert_eq!(asked / 3000, 14);
        assert_eq!(waiting.due(at(601), 10), [""; 0]);
    }

    #[test]
    fn after_the_deadline_it_is_looked_at_and_again_when_the_rest_comes() {
        let mut waiting = Waiting::new(conditions());
        waiting.state(&build("u"), at(0));
        let part = seen(5, false, &[]);
        assert!(!waiting.answer("u", &part, at(1)));
        assert!(waiting.answer("u", &part, at(1200)));
        let State::Late(what) = waiting.state(&build("u"), at(1200)) else {
            panic!("not late");
        };
        assert!(what.contains("last line"), "{what}");
        waiting.done("u");
        assert!(!waiting.answer("u", &part, at(3000)), "nothing new");
        let whole = seen(9, true, &["syslog.txt"]);
        assert!(!waiting.answer("u", &whole, at(4000)), "it grew just now");
        assert!(waiting.answer("u", &whole, at(5000)));
        assert_eq!(waiting.state(&build("u"), at(5000)), State::Complete);
        waiting.tidy(at(100_000));
        assert_eq!(waiting.state(&build("u"), at(100_000)), State::Wait);
    }
}
