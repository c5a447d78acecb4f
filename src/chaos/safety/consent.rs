//! Who allows what.

use super::{Listed, Planned, Surroundings, Target, statement};
use crate::chaos::mask::Mask;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What the command line and the experiment allow.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Whoever runs it owns the machine and says so.
    pub owns: bool,
    /// What may be hit; when something is listed, nothing else is hit.
    pub targets: Vec<Listed>,
}

/// Asks whoever runs the experiment.
pub trait Ask: Debug + Send + Sync {
    /// Shows the blast radius and asks whether to go on. An error says why nobody could be asked.
    fn ask(&self, statement: &str) -> Result<bool, String>;
}

/// Why a fault is not put in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody allowed it.
    #[error("{fault} would hit {target}: {why}")]
    Target {
        /// The fault.
        fault: String,
        /// What it would hit.
        target: String,
        /// What would allow it.
        why: String,
    },
    /// Nobody was asked, or the answer was no.
    #[error("{0}")]
    Answer(String),
}

/// Says yes or no to faults.
#[derive(Debug, Default)]
pub struct Consent {
    rules: Rules,
    /// Nobody for who uses the library: whoever calls it has decided.
    asker: Option<Arc<dyn Ask>>,
    answered: AtomicBool,
    around: OnceLock<Surroundings>,
}

impl Consent {
    /// Asks before the first fault.
    pub fn asking(rules: Rules, asker: Arc<dyn Ask>) -> Self {
        Self {
            asker: Some(asker),
            ..Self::ruled(rules)
        }
    }

    /// Rules, and nobody is asked.
    pub fn ruled(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Where we are; looked at once.
    pub fn around(&self) -> &Surroundings {
        self.around.get_or_init(Surroundings::look)
    }

    /// Before anything is begun: what is known to be refused, and the question.
    pub(in crate::chaos) fn begin(&self, planned: &[Planned], mask: &Mask) -> Result<(), Refused> {
        for one in planned {
            self.rule(&one.fault, one.targets.as_deref().unwrap_or_default())?;
        }
        if let Some(asker) = &self.asker {
            let answer = asker
                .ask(&mask.text(&statement(planned, self.around())))
                .map_err(Refused::Answer)?;
            if !answer {
                return Err(Refused::Answer(
                    "nothing was done: the answer was no".into(),
                ));
            }
        }
        self.answered.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Right before a fault is put in, when all of its targets are known.
    pub fn permit(&self, fault: &str, targets: &[Target]) -> Result<(), Refused> {
        if self.asker.is_some() && !self.answered.load(Ordering::SeqCst) {
            return Err(Refused::Answer(format!("{fault}: nobody was asked before")));
        }
        self.rule(fault, targets)
    }

    fn rule(&self, fault: &str, targets: &[Target]) -> Result<(), Refused> {
        let refused = targets
            .iter()
            .find_map(|target| Some((target, self.why_not(target)?)));
        refused.map_or(Ok(()), |(target, why)| {
            Err(Refused::Target {
                fault: fault.to_owned(),
                target: target.to_string(),
                why,
            })
        })
    }

    fn why_not(&self, target: &Target) -> Option<String> {
        // Whoever owns the machine may hit everything that is listed, or everything.
        let listing = target.listing()?;
        if !self.rules.targets.is_empty() {
            let meant = self.rules.targets.iter().any(|listed| listed.means(target));
            return (!meant).then(|| {
                format!("it is not among the listed targets (--target {listing} lists it)")
            });
        }
        if self.rules.owns || self.around().confines(target) {
            return None;
        }
        if matches!(target, Target::FileSystem(_)) {
            return Some(format!(
                "file systems are filled only where that is listed (--target {listing})"
            ));
        }
        self.around().root.then(|| {
            format!(
                "as root outside of namespaces only listed targets are hit: --target {listing} lists \
                 it, --i-own-this-machine allows everything"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn consent(rules: Rules, around: Surroundings) -> Consent {
        let consent = Consent::ruled(rules);
        consent.around.set(around).unwrap();
        consent
    }

    fn listing(target: &str) -> Rules {
        Rules {
            owns: false,
            targets: vec![target.parse().unwrap()],
        }
    }

    #[test]
    fn root_hits_only_what_is_listed_confined_or_its_own() {
        let root = || Surroundings {
            root: true,
            ..Surroundings::default()
        };
        let user = Surroundings::default;
        let apart = || Surroundings {
            own_processes: true,
            ..root()
        };
        let owns = || Rules {
            owns: true,
            targets: Vec::new(),
        };
        let process = [Target::Process {
            pid: 7,
            name: "db".into(),
        }];
        for (rules, around, allowed) in [
            (Rules::default(), user(), true),
            (Rules::default(), root(), false),
            (Rules::default(), apart(), true),
            (owns(), root(), true),
            (listing("process:db"), root(), true),
            (listing("process:other"), root(), false),
            // Who lists targets means that nothing else is hit, whoever and wherever it is.
            (listing("process:other"), user(), false),
            (listing("process:other"), apart(), false),
            (
                Rules {
                    owns: true,
                    ..listing("process:other")
                },
                root(),
                false,
            ),
        ] {
            let consent = consent(rules, around);
            assert_eq!(
                consent.permit("f", &process).is_ok(),
                allowed,
                "{consent:?}"
            );
        }
        let message = consent(Rules::default(), root())
            .permit("f", &process)
            .unwrap_err();
        assert!(
            message.to_string().contains("--target process:db"),
            "{message}"
        );
        assert!(
            consent(Rules::default(), root())
                .permit("f", &[Target::Own("x".into())])
                .is_ok()
        );
    }

    #[test]
    fn nobody_fills_a_file_system_that_is_not_listed() {
        let consent = consent(Rules::default(), Surroundings::default());
        assert!(
            consent
                .permit("f", &[Target::FileSystem("/".into())])
                .is_err()
        );
    }

    #[derive(Debug)]
    struct Says(Result<bool, String>, Mutex<Vec<String>>);

    impl Ask for Says {
        fn ask(&self, statement: &str) -> Result<bool, String> {
            self.1.lock().unwrap().push(statement.to_owned());
            self.0.clone()
        }
    }

    #[test]
    fn nothing_is_put_in_before_somebody_said_yes() {
        for (answer, allowed) in [
            (Ok(true), true),
            (Ok(false), false),
            (Err("no terminal".into()), false),
        ] {
            let asker = Arc::new(Says(answer, Mutex::default()));
            let consent = Consent::asking(
                Rules {
                    owns: true,
                    targets: Vec::new(),
                },
                asker.clone(),
            );
            assert!(consent.permit("f", &[]).is_err(), "not asked yet");
            let planned = Planned {
                activity: "a".into(),
                fault: "f".into(),
                targets: Some(vec![Target::Path("/srv/x".into())]),
                does: Vec::new(),
                undo: Vec::new(),
                seconds: 30.0,
                unknown: None,
            };
            assert_eq!(consent.begin(&[planned], &Mask::default()).is_ok(), allowed);
            assert_eq!(consent.permit("f", &[]).is_ok(), allowed);
            let said = asker.1.lock().unwrap().join("");
            assert!(
                said.contains("a (f), for at most 30 s\n    hits file /srv/x"),
                "{said}"
            );
        }
    }
}
