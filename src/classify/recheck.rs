//! Whether the CI is asked for another run of a patchset. The decision is a pure function that says
//! why, also where the answer is no; what was decided stands in the ledger of `state`.

use crate::config::Recheck as Settings;
use crate::event::{Build, Verdict};
use crate::state::{NewNote, PatchsetBuild, Recheck, RecheckFacts, RecheckKind, State, StateError};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Who it was, in the ledger and the audit log.
pub const BY: &str = "whorl";

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
    let explained = match explained(&voting, retry) {
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
        let mut with_rule = false;
        for found in &one.matches {
            if let Some(most) = retry(&found.fingerprint) {
                with_rule = true;
                all.insert(found.fingerprint.clone(), (most, found.bug.name.clone()));
            }
        }
        if !with_rule {
            let why = format!("no fingerprint that explains {job} has `retry`");
            return Err(Decision::No(why));
        }
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

/// Decides about the patchset of a build and does it: where another run is to be asked for, that goes
/// into the ledger, and, unless it is a dry run, into the outbox in the same transaction. Asking twice
/// is not possible, also not from two processes.
pub fn consider(
    state: &State,
    settings: &Settings,
    retry: &dyn Fn(&str) -> Option<u32>,
    ask: &Ask<'_>,
    build: &Build,
    now: Timestamp,
) -> Result<Decision, StateError> {
    let (Some(change), Some(patchset)) = (&build.change, &build.patchset) else {
        return Ok(Decision::No("the build is of no change".into()));
    };
    let project = build.project.as_deref().unwrap_or_default();
    let dry = settings.dry_run;
    let facts = state.recheck_facts(project, change, patchset, dry, now)?;
    let decision = decide(&facts, settings, retry, now);
    let Decision::Ask { fingerprints, bugs } = &decision else {
        return Ok(decision);
    };
    let notes = ask(project, change, patchset, bugs);
    if notes.is_empty() && !dry {
        return Ok(Decision::No("there is no code review to ask".into()));
    }
    let entry = Recheck {
        at: now,
        project: project.to_owned(),
        change: change.clone(),
        patchset: patchset.clone(),
        by: BY.into(),
        kind: RecheckKind::Rule,
        reason: Some(fingerprints.join(", ")),
        dry,
        sent: !dry,
    };
    if state.recheck_asked(&entry, &notes)? {
        return Ok(decision);
    }
    Ok(Decision::No(
        "not the first attempt: a recheck of this patchset is known".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{BugRef, Match};

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
