//! `whorl query`: asks one query or many over recorded events.

use super::say::{say, unless_closed};
use crate::event::Event;
use crate::query::{Document, Query, QueryError, Schema};
use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  whorl query 'message:\"connection refused\" AND tags:console' --events events.jsonl.gz
  whorl query --explain 'a OR b AND c'
  whorl query --queries queries.jsonl --events events.jsonl --format json

Answers as JSON, one line for each query:
  {\"id\":\"…\",\"hits\":[zero-based event numbers]}
  {\"id\":\"…\",\"error\":{\"message\":\"…\",\"offset\":N}}

Exit codes:
  0  every query was answered
  1  a query was refused, or any other failure
  2  usage error";

/// Arguments of `whorl query`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The query, in the cluster's `query_string` syntax
    #[arg(required_unless_present = "queries", conflicts_with = "queries")]
    query: Option<String>,
    /// Many queries: a file with one `{"id", "query"}` object per line
    #[arg(long, value_name = "FILE.jsonl")]
    queries: Option<PathBuf>,
    /// The events, one JSON object per line; gzip is recognised; `-` is standard input
    #[arg(
        long,
        value_name = "FILE.jsonl[.gz]",
        required_unless_present = "explain"
    )]
    events: Option<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show each query as it was understood, in Lucene's `+ -` notation
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: the number and the text of each event that matches
    Text,
    /// One object for each query
    Json,
}

/// How much of an event's text is shown.
const SHOWN: usize = 200;

#[derive(Debug)]
struct Question {
    /// A text, or a number as bugs have; it is given back as it came.
    id: Value,
    query: String,
}

impl Question {
    /// The id as people read it.
    fn name(&self) -> String {
        match &self.id {
            Value::String(text) => one_line(text),
            other => other.to_string(),
        }
    }
}

/// Answers each query; the exit code is 1 when one was refused.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stdin = Some(Path::new("-"));
    if args.events.as_deref() == stdin && args.queries.as_deref() == stdin {
        say("error: `--queries` and `--events` cannot both be standard input");
        return Ok(ExitCode::from(2));
    }
    let questions = questions(args)?;
    let events = match &args.events {
        Some(path) => read_events(path)?,
        None => Vec::new(),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut refused = false;
    let written = answer(args, &questions, &events, &mut out, &mut refused);
    unless_closed(written.and_then(|()| out.flush())).context("cannot write the answers")?;
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn answer(
    args: &Args,
    questions: &[Question],
    events: &[Event],
    out: &mut impl Write,
    refused: &mut bool,
) -> io::Result<()> {
    let schema = match args.events {
        Some(_) => Schema::infer(events),
        None => Schema::default(),
    };
    let documents: Vec<Document<'_>> = events.iter().map(Document::new).collect();
    let now = Timestamp::now();
    for question in questions {
        match Query::parse(&question.query, &schema) {
            Err(error) => {
                *refused = true;
                write_refusal(out, args, question, &error)?;
            }
            Ok(query) => {
                let hits: Vec<usize> = (0..documents.len())
                    .filter(|&n| query.matches(&documents[n], now))
                    .collect();
                write_answer(out, args, question, &query, &hits, events)?;
            }
        }
    }
    Ok(())
}

fn write_answer(
    out: &mut impl Write,
    args: &Args,
    question: &Question,
    query: &Query,
    hits: &[usize],
    events: &[Event],
) -> io::Result<()> {
    if args.format == Format::Json {
        let mut answer = serde_json::json!({ "id": question.id });
        if args.events.is_some() {
            answer["hits"] = hits.into();
        }
        if args.explain {
            answer["explain"] = query.explain().into();
        }
        writeln!(out, "{answer}")?;
        return Ok(());
    }
    if args.queries.is_some() {
        writeln!(out, "# {}", question.name())?;
    }
    if args.explain {
        writeln!(out, "{}", query.explain())?;
    }
    for &hit in hits {
        let message = &events[hit].message;
        let start: String = message.chars().take(SHOWN).collect();
        let more = if start.len() < message.len() {
            "…"
        } else {
            ""
        };
        writeln!(out, "{hit}: {}{more}", one_line(&start))?;
    }
    if args.events.is_some() {
        writeln!(out, "{} of {} events match", hits.len(), events.len())?;
    }
    Ok(())
}

fn write_refusal(
    out: &mut impl Write,
    args: &Args,
    question: &Question,
    error: &QueryError,
) -> io::Result<()> {
    if args.format == Format::Json {
        let error = serde_json::json!({ "message": error.message, "offset": error.offset });
        let answer = serde_json::json!({ "id": question.id, "error": error });
        return writeln!(out, "{answer}");
    }
    if args.queries.is_some() {
        writeln!(out, "# {}", question.name())?;
    }
    let before = question
        .query
        .get(..error.offset)
        .unwrap_or(&question.query);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = question.query[line_start..].lines().next();
    // Tabs stay tabs so that the caret lines up.
    let margin: String = before[line_start..]
        .chars()
        .map(|c| if c == '\t' { c } else { ' ' })
        .collect();
    let line = line.unwrap_or_default();
    writeln!(out, "refused: {}\n  {line}\n  {margin}^", error.message)
}

fn one_line(text: &str) -> String {
    let shown = |c: char| {
        if crate::event::is_deceptive(c) {
            ' '
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

fn questions(args: &Args) -> anyhow::Result<Vec<Question>> {
    if let Some(query) = &args.query {
        return Ok(vec![Question {
            id: "query".into(),
            query: query.clone(),
        }]);
    }
    let Some(path) = &args.queries else {
        bail!("give a query or `--queries FILE.jsonl`")
    };
    lines(path)?
        .into_iter()
        .map(|(number, line)| question(path, number, &line))
        .collect()
}

fn question(path: &Path, number: usize, line: &str) -> anyhow::Result<Question> {
    let object = json(path, number, line)?;
    let wrong = |what: &str| anyhow!("{}:{number}: {what}", path.display());
    let id = object
        .get("id")
        .filter(|id| id.is_string() || id.is_number());
    let query = object.get("query").and_then(Value::as_str);
    Ok(Question {
        id: id
            .cloned()
            .ok_or_else(|| wrong("`id` is missing, or neither text nor number"))?,
        query: query
            .map(str::to_owned)
            .ok_or_else(|| wrong("`query` is missing, or no text"))?,
    })
}

fn read_events(path: &Path) -> anyhow::Result<Vec<Event>> {
    lines(path)?
        .into_iter()
        .map(|(number, line)| {
            let object = json(path, number, &line)?;
            Ok(Event::from_json(&object))
        })
        .collect()
}

/// Reads one line; the message says where it is wrong.
fn json(path: &Path, number: usize, line: &str) -> anyhow::Result<Map<String, Value>> {
    serde_json::from_str(line).map_err(|error| {
        let column = error.column().max(1);
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or(&text);
        anyhow!(
            "{}:{number}:{column}: {reason}; each line must be one JSON object",
            path.display()
        )
    })
}

/// The lines of a file that are not blank, with their numbers.
fn lines(path: &Path) -> anyhow::Result<Vec<(usize, String)>> {
    let raw: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
    };
    let mut reader = BufReader::new(raw);
    let head = reader.fill_buf();
    let head = head.with_context(|| format!("cannot read {}", path.display()))?;
    let packed = head.starts_with(&[0x1f, 0x8b]);
    let text: Box<dyn BufRead> = if packed {
        Box::new(BufReader::new(MultiGzDecoder::new(reader)))
    } else {
        Box::new(reader)
    };
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line =
            line.with_context(|| format!("{}:{}: cannot be read", path.display(), index + 1))?;
        if !line.trim().is_empty() {
            all.push((index + 1, line));
        }
    }
    Ok(all)
}
