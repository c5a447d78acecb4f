//! What the audit says of a run.

use super::run::Args;
use crate::chaos::audit::Audit;
use crate::chaos::outcome::{Outcome, exit_code};
use crate::chaos::run::{Journal, RunError};
use crate::cli::say::say;
use anyhow::Context;
use serde_json::{Value, json};
use std::path::Path;

/// Notes of one run.
pub(super) struct Notes {
    pub(super) audit: Audit,
    title: Value,
    /// The faults that the experiment asks for: then no line may be lost.
    faults: Vec<Value>,
}

impl Notes {
    pub(super) fn new(state: &Path, experiment: &Value) -> Self {
        let lists = ["method", "rollbacks"]
            .iter()
            .filter_map(|key| experiment[key].as_array());
        let asked = lists
            .flatten()
            .map(|activity| &activity["provider"]["fault"]);
        Self {
            audit: Audit::new(state),
            title: experiment["title"].clone(),
            faults: asked.filter(|name| name.is_string()).cloned().collect(),
        }
    }

    /// A run with faults does not begin when that cannot be noted.
    pub(super) fn begin(&self, args: &Args, sha256: &str) -> anyhow::Result<()> {
        let targets: Vec<String> = args.target.iter().map(ToString::to_string).collect();
        let fields = json!({
            "experiment": without_password(&args.source), "sha256": sha256, "title": self.title,
            "faults": self.faults, "seed": args.seed, "dry": args.dry, "yes": args.yes,
            "i-own-this-machine": args.i_own_this_machine, "targets": targets,
        });
        let noted = self.audit.note("run", &fields, !self.faults.is_empty());
        if self.faults.is_empty() {
            // Nothing is done to anybody; a home that cannot be written is no reason not to look.
            return Ok(());
        }
        noted.context("the run cannot be noted for the audit")
    }

    /// What it came to.
    pub(super) fn end(&self, ran: &Result<Journal, RunError>, strict: bool) {
        let fields = match ran {
            Ok(journal) => {
                let outcome = Outcome::of(journal);
                json!({
                    "outcome": outcome.outcome, "conclusive": outcome.conclusive,
                    "exit": exit_code(journal, strict),
                })
            }
            Err(RunError::Refused(why)) => {
                json!({"outcome": "refused", "why": why.to_string(), "exit": 1})
            }
            Err(_) => json!({"outcome": "error", "exit": 1}),
        };
        let noted = self.audit.note("end", &fields, !self.faults.is_empty());
        if let (Err(error), false) = (noted, self.faults.is_empty()) {
            say(format_args!(
                "error: the end of the run cannot be noted for the audit: {error}"
            ));
        }
    }
}

/// An address without what only its owner may know.
fn without_password(source: &str) -> String {
    match url::Url::parse(source) {
        Ok(mut address) if address.has_host() => {
            // An address that has no place for them has none.
            let _ = address.set_password(None);
            let _ = address.set_username("");
            address.set_query(None);
            address.to_string()
        }
        _ => source.to_owned(),
    }
}
