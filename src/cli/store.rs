//! `whorl store`.

use super::say::unless_closed;
use crate::classify::cluster::{self, Doubt};
use crate::fingerprint::FingerprintSet;
use crate::store::LogStore;
use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `whorl store`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say whether the cluster can be asked, and which fingerprints it cannot answer: exit code 0
    /// when it can answer all, 1 when not
    Check {
        /// Configuration file of the service
        #[arg(long, default_value = "whorl.yaml")]
        config: PathBuf,
        /// How to answer
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One object
    Json,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Action::Check { config, format } = &args.action;
    let config = super::config::load(config)?;
    let Some(cluster) = &config.store.elasticsearch else {
        bail!("there is no `store.elasticsearch` in the configuration: the log index is embedded");
    };
    let (store, schema) = cluster::open(cluster)?;
    let set = FingerprintSet::load_for(&config.fingerprints, &schema);
    let doubts = cluster::check(&store, &schema, &set)?;
    let health = store.health();
    let answer = match format {
        Format::Json => format!(
            "{}\n",
            json!({
                "events": health.documents,
                "indexes": health.slices,
                "problems": health.problems,
                "fingerprints": set.fingerprints.len(),
                "doubts": doubts.iter().map(|doubt| json!({
                    "fingerprint": doubt.fingerprint,
                    "fatal": doubt.fatal,
                    "message": doubt.message,
                })).collect::<Vec<_>>(),
            })
        ),
        Format::Text => text(&health, set.fingerprints.len(), &doubts),
    };
    let mut out = std::io::stdout().lock();
    let written = out.write_all(answer.as_bytes()).and_then(|()| out.flush());
    unless_closed(written).context("cannot write the answer")?;
    let all_answered = doubts.iter().all(|doubt| !doubt.fatal) && health.problems.is_empty();
    Ok(if all_answered {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(health: &crate::store::Health, fingerprints: usize, doubts: &[Doubt]) -> String {
    let mut lines = vec![format!(
        "{} events in {} indexes",
        health.documents, health.slices
    )];
    lines.extend(health.problems.iter().map(|p| format!("problem: {p}")));
    for doubt in doubts {
        let word = if doubt.fatal {
            "cannot be answered"
        } else {
            "doubtful"
        };
        lines.push(format!("{}: {word}: {}", doubt.fingerprint, doubt.message));
    }
    let fatal = doubts.iter().filter(|doubt| doubt.fatal).count();
    lines.push(format!(
        "{fingerprints} fingerprints can be read; {fatal} cannot be answered; {} doubtful",
        doubts.len() - fatal
    ));
    lines.join("\n") + "\n"
}
