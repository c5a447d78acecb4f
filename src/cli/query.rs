//! `whorl query`: asks one query or many over recorded events.

use crate::event::Event;
use crate::query::{Document, Query, QueryError, Schema};
use anyhow::{Context, bail};
use clap::ValueEnum;
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `whorl query`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The query, in the cluster's `query_string` syntax
    #[arg(required_unless_present = "queries", conflicts_with = "queries")]
    query: Option<String>,
    /// A file with one `{"id", "query"}` object per line
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
    Text,
    Json,
}

#[derive(Debug, Deserialize)]
struct Question {
    id: String,
    query: String,
}

/// Answers each query; the exit code is 1 when one was refused.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let events = match &args.events {
        Some(path) => read_events(path)?,
        None => Vec::new(),
    };
    let schema = match args.events {
        Some(_) => Schema::infer(&events),
        None => Schema::default(),
    };
    let documents: Vec<Document<'_>> = events.iter().map(Document::new).collect();
    let now = Timestamp::now();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut refused = false;
    for question in questions(args)? {
        match Query::parse(&question.query, &schema) {
            Err(error) => {
                refused = true;
                write_refusal(&mut out, args.format, &question, &error)?;
            }
            Ok(query) => {
                let hits: Vec<usize> = (0..documents.len())
                    .filter(|&n| query.matches(&documents[n], now))
                    .collect();
                write_answer(&mut out, args, &question, &query, &hits, &events)?;
            }
        }
    }
    out.flush()?;
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn write_answer(
    out: &mut impl Write,
    args: &Args,
    question: &Question,
    query: &Query,
    hits: &[usize],
    events: &[Event],
) -> anyhow::Result<()> {
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
        writeln!(out, "# {}", question.id)?;
    }
    if args.explain {
        writeln!(out, "{}", query.explain())?;
    }
    for &hit in hits {
        let line: String = events[hit]
            .message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(200)
            .collect();
        writeln!(out, "{hit}: {line}")?;
    }
    if args.events.is_some() {
        writeln!(out, "{} of {} events match", hits.len(), events.len())?;
    }
    Ok(())
}

fn write_refusal(
    out: &mut impl Write,
    format: Format,
    question: &Question,
    error: &QueryError,
) -> anyhow::Result<()> {
    if format == Format::Json {
        let error = serde_json::json!({ "message": error.message, "offset": error.offset });
        writeln!(
            out,
            "{}",
            serde_json::json!({ "id": question.id, "error": error })
        )?;
        return Ok(());
    }
    let before = &question.query[..error.offset.min(question.query.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = question.query[line_start..]
        .lines()
        .next()
        .unwrap_or_default();
    let column = before[line_start..].chars().count();
    writeln!(out, "query {}: {}", question.id, error.message)?;
    writeln!(out, "  {line}\n  {}^", " ".repeat(column))?;
    Ok(())
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
        .map(|(number, line)| {
            serde_json::from_str(&line).with_context(|| {
                format!(
                    "{}:{number}: expected {{\"id\", \"query\"}}",
                    path.display()
                )
            })
        })
        .collect()
}

fn read_events(path: &Path) -> anyhow::Result<Vec<Event>> {
    lines(path)?
        .into_iter()
        .map(|(number, line)| {
            let object = serde_json::from_str(&line).with_context(|| {
                format!(
                    "{}:{number}: expected one JSON object per line",
                    path.display()
                )
            })?;
            Ok(Event::from_json(&object))
        })
        .collect()
}

/// The lines of a file that are not blank, with their numbers.
fn lines(path: &Path) -> anyhow::Result<Vec<(usize, String)>> {
    let raw: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
    };
    let mut reader = BufReader::new(raw);
    let packed = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
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
