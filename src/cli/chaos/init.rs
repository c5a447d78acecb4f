//! `whorl chaos init`.

#![expect(clippy::print_stdout, reason = "it asks and says what it has written")]

use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const YAML: &str = include_str!("experiment.yaml");

/// Arguments of `whorl chaos init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Path where to save the experiment (.yaml or .json)
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as the original tool names it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    experiment_path: Option<PathBuf>,
    /// The experiment's title; asked for on a terminal
    #[arg(long)]
    title: Option<String>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.file.as_ref().or(args.experiment_path.as_ref());
    let path = path.map_or(Path::new("./experiment.json"), PathBuf::as_path);
    let title = match &args.title {
        Some(title) => title.clone(),
        None => ask("Experiment's title")?,
    };
    let title = if title.is_empty() {
        "What happens when …?".into()
    } else {
        title
    };
    let text = match path.extension().and_then(|e| e.to_str()) {
        Some("yaml" | "yml") => YAML.replacen("TITLE", &json!(title).to_string(), 1),
        Some("json") => serde_json::to_string_pretty(&experiment(&title))? + "\n",
        _ => bail!(
            "{}: the name of an experiment ends in .json, .yaml or .yml",
            path.display()
        ),
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .create_new(!args.force)
        .open(path)
        .with_context(|| format!("{} (--force writes over it)", path.display()))?;
    file.write_all(text.as_bytes())?;
    println!("Experiment created and saved in '{}'", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Asks a person; from elsewhere one line is taken, if there is one.
fn ask(question: &str) -> io::Result<String> {
    let mut line = String::new();
    if io::stdin().is_terminal() {
        print!("{question}: ");
        io::stdout().flush()?;
    }
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn experiment(title: &str) -> Value {
    let path = |path: &str, arguments: Value| json!({"type": "process", "path": path, "arguments": arguments});
    json!({
        "title": title,
        "description": "N/A",
        "tags": [],
        "steady-state-hypothesis": {
            "title": "The service answers",
            "probes": [{
                "type": "probe", "name": "answers", "tolerance": 0,
                "provider": path("true", json!([])),
            }],
        },
        "method": [{
            "type": "action", "name": "disturb-it", "provider": path("true", json!([])),
        }],
        "rollbacks": [],
    })
}
