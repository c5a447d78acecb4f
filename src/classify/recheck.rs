//! Whether the CI is asked for another run of a patchset. The decision is a pure function that says
//! why, also where the answer is no; what was decided stands in the ledger of `state`.

use crate::config::Recheck as Settings;
use crate::event::Verdict;
use crate::state::{
    Decided, DueRecheck, NewNote, PatchsetBuild, Recheck, RecheckAnswer, RecheckDecision,
    RecheckFacts, RecheckKind, State, StateError,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Who it was, in the ledger and the audit log.
pub const BY: &str = "whorl";
/// Patchsets that are decided about in one transaction.
const AT_ONCE: u64 = 32;
/// The shortest wait until it is decided again.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// A patchset that has not come to rest for so long is given up.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Another run is to be asked for.
    Ask {
        /// The fingerprints that explain the failed jobs and have a rule, by id.
        fingerprints: Vec<String>,
        /// Their bugs, by name.
        bugs: Vec<String>,
    },
    /// Not yet: something may still come.
    Later(String),
    /// No, and why.
    No(String),
}

/// Decides. `retry` says for a fingerprint how often another run of a change may be asked for, and
/// never by `None`.
pub fn decide(
    facts: &RecheckFacts,
    settings: &Settings,
    retry: &dyn Fn(&str) -> Option<u32>,
    now: Timestamp,
) -> Decision {
    if facts.hush.silent {
        return Decision::No("its change or project is silenced".into());
    }
    if let Some(why) = first_attempt(facts) {
        return Decision::No(why);
    }
    let voting: Vec<&PatchsetBuild> = facts.builds.iter().filter(|b| b.build.votes()).collect();
    if voting.is_empty() {
        return Decision::No("no voting job failed".into());
    }
    if voting.len() > settings.max_failed as usize {
        let (failed, most) = (voting.len(), settings.max_failed);
        return Decision::No(format!("{failed} voting jobs failed, more than {most}"));
    }
    let explained = match explained(&voting, &facts.hush.fingerprints, retry) {
        Ok(explained) => explained,
        Err(decision) => return decision,
    };
    // Of several fingerprints the most careful one counts.
    let most = explained.values().map(|(most, _)| *most).min();
    let most = most.unwrap_or(0).min(settings.per_change);
    if facts.of_change >= u64::from(most) {
        let why = format!(
            "{} of at most {most} rechecks of the change",
            facts.of_change
        );
        return Decision::No(why);
    }
    if facts.of_day >= u64::from(settings.per_day) {
        let why = format!("{} rechecks in 24 hours are the daily budget", facts.of_day);
        return Decision::No(why);
    }
    if let Some(why) = unsettled(facts, settings, now) {
        return Decision::Later(why);
    }
    let mut bugs: Vec<String> = explained.values().map(|(_, bug)| bug.clone()).collect();
    bugs.sort();
    bugs.dedup();
    Decision::Ask {
        fingerprints: explained.into_keys().collect(),
        bugs,
    }
}

/// Why this is not the first attempt of the newest patchset, if it is not.
fn first_attempt(facts: &RecheckFacts) -> Option<String> {
    if facts.outdated {
        return Some("a newer patchset is there".into());
    }
    if facts.of_patchset > 0 {
        return Some("not the first attempt: a recheck of this patchset is known".into());
    }
    let again = "not the first attempt: a job of this patchset ran more than once";
    facts.ran_again.then(|| again.into())
}

/// How often a fingerprint with a rule may be the cause, and its bug, by id.
type Explained = BTreeMap<String, (u32, String)>;

/// The fingerprints with a rule that explain the jobs, if each job has one.
fn explained(
    voting: &[&PatchsetBuild],
    silenced: &BTreeSet<String>,
    retry: &dyn Fn(&str) -> Option<u32>,
) -> Result<Explained, Decision> {
    let mut all = Explained::new();
    for one in voting {
        let job = one.build.job.as_deref().unwrap_or("a job");
        let why = match one.verdict {
            Verdict::Pending => {
                return Err(Decision::Later(format!("{job} is not looked at yet")));
            }
            Verdict::Matched => None,
            Verdict::Unmatched => Some(format!("{job} is not explained")),
            Verdict::PartialLog => Some(format!("only a part of the log of {job} was read")),
            Verdict::NoLog | Verdict::Error => Some(format!("{job} could not be looked at")),
        };
        if let Some(why) = why {
            return Err(Decision::No(why));
        }
        let ruled = one.matches.iter().filter_map(|found| {
            let most = retry(&found.fingerprint)?;
            Some((found.fingerprint.clone(), (most, found.bug.name.clone())))
        });
        let (quiet, told): (Vec<_>, Vec<_>) = ruled.partition(|(id, _)| silenced.contains(id));
        if let (true, Some((id, _))) = (told.is_empty(), quiet.first()) {
            return Err(Decision::No(format!(
                "{id}, which explains {job}, is silenced"
            )));
        }
        if told.is_empty() {
            let why = format!("no fingerprint that explains {job} has `retry`");
            return Err(Decision::No(why));
        }
        all.extend(told);
    }
    Ok(all)
}

/// Something was heard of the patchset a moment ago, so more may come.
fn unsettled(facts: &RecheckFacts, settings: &Settings, now: Timestamp) -> Option<String> {
    let quiet = SignedDuration::try_from(settings.quiet.0).unwrap_or(SignedDuration::MAX);
    let since = now.duration_since(facts.last_news?);
    let seconds = settings.quiet.0.as_secs();
    (since < quiet).then(|| format!("something new came less than {seconds} s ago"))
}

/// Words what is said to the CI: project, change, patchset, names of bugs.
pub type Ask<'a> = dyn Fn(&str, &str, &str, &[String]) -> Vec<NewNote> + 'a;

/// What decisions go by.
pub struct Judge<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// As in [`decide`].
    pub retry: &'a dyn Fn(&str) -> Option<u32>,
    /// The words.
    pub ask: &'a Ask<'a>,
    /// True for a project whose code review is only shown notes, and sent none.
    pub only_shown: &'a dyn Fn(&str) -> bool,
}

impl fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Decides about the patchsets that are due and does it: where another run is to be asked for, that
/// goes into the ledger, and, unless it is a dry run, into the outbox in the same transaction. Asking
/// twice is not possible, also not from two processes. What was decided is given back.
pub fn consider(
    state: &State,
    judge: &Judge<'_>,
    now: Timestamp,
) -> Result<Vec<RecheckDecision>, StateError> {
    let dry = |project: &str| judge.settings.dry_run || (judge.only_shown)(project);
    let decided = |due: &DueRecheck, facts: &RecheckFacts| {
        let dry = dry(&due.project);
        judge.decided(due, facts, dry, now)
    };
    state.decide_rechecks(AT_ONCE, &dry, &decided, now)
}

impl Judge<'_> {
    fn decided(
        &self,
        due: &DueRecheck,
        facts: &RecheckFacts,
        dry: bool,
        now: Timestamp,
    ) -> Decided {
        let (decision, reason) = match decide(facts, self.settings, self.retry, now) {
            Decision::Ask { fingerprints, bugs } => {
                return self.asked(due, &fingerprints, &bugs, dry, now);
            }
            Decision::Later(why) if now.duration_since(due.since) < GIVEN_UP => {
                (RecheckAnswer::Later, why)
            }
            Decision::Later(why) => (RecheckAnswer::No, format!("given up after a day: {why}")),
            Decision::No(why) => (RecheckAnswer::No, why),
        };
        let again = (decision == RecheckAnswer::Later).then(|| self.again(facts, now));
        Decided {
            decision,
            reason,
            again,
            asked: None,
        }
    }

    fn asked(
        &self,
        due: &DueRecheck,
        fingerprints: &[String],
        bugs: &[String],
        dry: bool,
        now: Timestamp,
    ) -> Decided {
        let fingerprints = fingerprints.join(", ");
        let mut notes = (self.ask)(&due.project, &due.change, &due.patchset, bugs);
        if notes.is_empty() && !dry {
            return Decided {
                decision: RecheckAnswer::No,
                reason: "there is no code review to ask".into(),
                again: None,
                asked: None,
            };
        }
        if self.settings.dry_run {
            notes.clear();
        }
        let entry = Recheck {
            at: now,
            project: due.project.clone(),
            change: due.change.clone(),
            patchset: due.patchset.clone(),
            by: BY.into(),
            kind: RecheckKind::Rule,
            reason: Some(fingerprints.clone()),
            dry,
            sent: !dry,
        };
        Decided {
            decision: RecheckAnswer::Ask,
            reason: format!("every failed voting job is explained: {fingerprints}"),
            again: None,
            asked: Some((entry, notes)),
        }
    }

    /// When the patchset may have come to rest.
    fn again(&self, facts: &RecheckFacts, now: Timestamp) -> Timestamp {
        let quiet = SignedDuration::try_from(self.settings.quiet.0).unwrap_or(SignedDuration::MAX);
        let rest = facts
            .last_news
            .and_then(|news| news.checked_add(quiet).ok());
        let soonest = now.checked_add(SHORTEST).unwrap_or(Timestamp::MAX);
        let later = now.checked_add(quiet).unwrap_or(Timestamp::MAX);
        rest.filter(|rest| *rest > now)
            .unwrap_or(later)
            .max(soonest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{BugRef, Build, Match};
    use crate::state::Hush;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn job(name: &str, verdict: Verdict, fingerprints: &[&str]) -> PatchsetBuild {
        let found = |id: &&str| Match {
            fingerprint: (*id).into(),
            title: String::new(),
            bug: BugRef {
                name: format!("launchpad:{id}"),
                url: None,
            },
            hits: 1,
            evidence: Vec::new(),
            advice: None,
            category: None,
            returned: false,
            quiet: false,
        };
        PatchsetBuild {
            build: Build {
                job: Some(name.into()),
                result: Some("FAILURE".into()),
                ..Build::new(name)
            },
            verdict,
            matches: fingerprints.iter().map(found).collect(),
        }
    }

    fn facts(builds: Vec<PatchsetBuild>) -> RecheckFacts {
        RecheckFacts {
            builds,
            last_news: Some(now() - SignedDuration::from_mins(5)),
            ..RecheckFacts::default()
        }
    }

    /// Only `once` and `thrice` have a rule.
    fn told(facts: &RecheckFacts) -> String {
        let retry = |id: &str| match id {
            "once" => Some(1),
            "thrice" => Some(3),
            _ => None,
        };
        match decide(facts, &Settings::default(), &retry, now()) {
            Decision::Ask { fingerprints, bugs } => {
                format!("ask: {} ({})", fingerprints.join(", "), bugs.join(", "))
            }
            Decision::Later(why) => format!("later: {why}"),
            Decision::No(why) => format!("no: {why}"),
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    #[test]
    fn every_decision_has_its_reason() {
        use Verdict::{Error, Matched, NoLog, PartialLog, Pending, Unmatched};
        let ok = || facts(vec![job("a", Matched, &["once"])]);
        let silent = |mut one: PatchsetBuild| {
            one.build.voting = Some(false);
            one
        };
        let many = (0..4).map(|n| job(&n.to_string(), Matched, &["once"]));
        let cases = [
            ("one job", ok()),
            (
                "two jobs, one of two bugs",
                facts(vec![
                    job("a", Matched, &["other", "once"]),
                    job("b", Matched, &["thrice"]),
                ]),
            ),
            (
                "a non-voting job does not count",
                facts(vec![
                    job("a", Matched, &["once"]),
                    silent(job("b", Unmatched, &[])),
                ]),
            ),
            (
                "only non-voting",
                facts(vec![silent(job("b", Matched, &["once"]))]),
            ),
            ("nothing failed", facts(Vec::new())),
            (
                "one is not explained",
                facts(vec![job("a", Matched, &["once"]), job("b", Unmatched, &[])]),
            ),
            (
                "one without a rule",
                facts(vec![
                    job("a", Matched, &["once"]),
                    job("b", Matched, &["other"]),
                ]),
            ),
            (
                "one waits",
                facts(vec![job("a", Matched, &["once"]), job("b", Pending, &[])]),
            ),
            ("one in part", facts(vec![job("a", PartialLog, &["once"])])),
            ("one without log", facts(vec![job("a", NoLog, &[])])),
            ("one broken", facts(vec![job("a", Error, &[])])),
            ("too many", facts(many.collect())),
            (
                "outdated",
                RecheckFacts {
                    outdated: true,
                    ..ok()
                },
            ),
            (
                "rechecked",
                RecheckFacts {
                    of_patchset: 1,
                    ..ok()
                },
            ),
            (
                "ran twice",
                RecheckFacts {
                    ran_again: true,
                    ..ok()
                },
            ),
            (
                "another patchset had one",
                RecheckFacts {
                    of_change: 1,
                    ..ok()
                },
            ),
            (
                "a rule that allows three, the settings two",
                RecheckFacts {
                    of_change: 1,
                    ..facts(vec![job("a", Matched, &["thrice"])])
                },
            ),
            (
                "and no more",
                RecheckFacts {
                    of_change: 2,
                    ..facts(vec![job("a", Matched, &["thrice"])])
                },
            ),
            ("budget", RecheckFacts { of_day: 20, ..ok() }),
            (
                "the change is silenced",
                RecheckFacts {
                    hush: Hush {
                        silent: true,
                        ..Hush::default()
                    },
                    ..ok()
                },
            ),
            (
                "its only fingerprint with a rule is silenced",
                RecheckFacts {
                    hush: Hush {
                        fingerprints: ["once".to_owned()].into(),
                        ..Hush::default()
                    },
                    ..ok()
                },
            ),
            (
                "fresh news",
                RecheckFacts {
                    last_news: Some(now() - SignedDuration::from_secs(119)),
                    ..ok()
                },
            ),
        ];
        let shown: Vec<String> = cases
            .iter()
            .map(|(name, facts)| format!("{name}\n  {}", told(facts)))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
