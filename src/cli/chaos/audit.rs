//! `whorl chaos audit`.

#![expect(clippy::print_stdout, reason = "the list is the output")]

use crate::chaos::audit::{self, Checked};
use crate::chaos::env::Environment;
use crate::chaos::run::default_state_folder;
use crate::cli::say::say;
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const MORE: &str = "\
Each line holds the hash of the one before it, so no line can be changed, left out or put in between
without being seen here. What was cut off at the end is seen by who has noted the last hash elsewhere:
`--expect HASH` fails when that line is no longer there.

Exit status:
  0  the lines are as they were written
  1  they are not
  2  the command line is wrong";

/// Arguments of `whorl chaos audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Args {
    /// Where faults are written down [default: as for `whorl chaos run`]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Print the lines as they are
    #[arg(long)]
    json: bool,
    /// A hash that was printed earlier has to be there
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let state = args.state_dir.clone();
    let state = state.unwrap_or_else(|| default_state_folder(&Environment::default()));
    let checked = audit::check(&state)?;
    for record in &checked.records {
        if args.json {
            println!("{record}");
        } else {
            println!("{}", line(record));
        }
    }
    Ok(verdict(args, &checked))
}

fn verdict(args: &Args, checked: &Checked) -> ExitCode {
    if let Some((line, why)) = &checked.broken {
        say(format_args!("error: line {line}: {why}"));
        return ExitCode::FAILURE;
    }
    let there = |hash: &String| {
        checked
            .records
            .iter()
            .any(|record| record["hash"] == hash.as_str())
    };
    if let Some(hash) = args.expect.as_ref().filter(|hash| !there(hash)) {
        say(format_args!(
            "error: the line with the hash {hash} is no longer there"
        ));
        return ExitCode::FAILURE;
    }
    let lines = checked.records.len();
    say(format_args!(
        "{lines} lines, as they were written; last hash {}",
        checked.head
    ));
    ExitCode::SUCCESS
}

/// One line for people.
fn line(record: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    };
    let who = &record["who"];
    let user = if who["user"].is_null() {
        &who["uid"]
    } else {
        &who["user"]
    };
    let mut shown = format!(
        "{} {}@{}",
        text(&record["at"]),
        text(user),
        text(&who["host"])
    );
    if let Some(login) = who["sudo-user"].as_str() {
        let _ = write!(shown, " (was {login})");
    }
    let (run, event) = (text(&record["run"]), text(&record["event"]));
    // Writing to a text does not fail.
    let _ = write!(shown, " {run} {event}");
    let known = ["n", "at", "run", "event", "who", "before", "hash", "torn"];
    let fields = record.as_object().into_iter().flatten();
    for (key, value) in fields.filter(|(key, _)| !known.contains(&key.as_str())) {
        let _ = write!(shown, " {key}={}", text(value));
    }
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    shown.chars().map(safe).collect()
}
