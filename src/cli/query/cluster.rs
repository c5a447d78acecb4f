//! Queries over the events in a cluster.

use super::{Args, Format, Question, SHOWN, one_line, write_refusal};
use crate::classify::cluster::open;
use crate::query::Query;
use crate::store::elastic::ElasticStore;
use crate::store::{LogStore, SearchRequest, Selection, StoreError};
use anyhow::{Context, bail};
use jiff::Timestamp;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Events that are shown to people.
const NEWEST: usize = 20;

/// Asks the cluster that the configuration names.
pub(super) fn run(args: &Args, questions: &[Question], config: &Path) -> anyhow::Result<ExitCode> {
    let config = super::super::config::load(config)?;
    let Some(cluster) = &config.store.elasticsearch else {
        bail!("--config needs a configuration with `store.elasticsearch`");
    };
    let (store, schema) = open(cluster)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut refused = false;
    for question in questions {
        let written = match Query::parse(&question.query, &schema) {
            Err(error) => {
                refused = true;
                write_refusal(&mut out, args, question, &error)
            }
            Ok(query) => {
                let found = found(&store, &query, args.format)?;
                write(&mut out, args, question, &query, &found)
            }
        };
        super::unless_closed(written).context("cannot write the answers")?;
    }
    super::unless_closed(out.flush()).context("cannot write the answers")?;
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Found {
    events: u64,
    builds: Vec<String>,
    newest: Vec<(String, String)>,
}

fn found(store: &ElasticStore, query: &Query, format: Format) -> Result<Found, StoreError> {
    let now = Timestamp::now();
    let request = SearchRequest {
        selection: Selection {
            query: Some(query),
            ..Selection::default()
        },
        newest_first: true,
        limit: if format == Format::Text { NEWEST } else { 0 },
        ..SearchRequest::default()
    };
    let (result, builds) = store.search_with_builds(&request, now)?;
    let newest = result.hits.into_iter().map(|hit| {
        let at = &hit.event.at;
        let place = format!("{} {}:{}", hit.build_uuid, at.file, at.line);
        (place, hit.event.message)
    });
    Ok(Found {
        events: result.total,
        newest: newest.collect(),
        builds,
    })
}

fn write(
    out: &mut impl Write,
    args: &Args,
    question: &Question,
    query: &Query,
    found: &Found,
) -> io::Result<()> {
    if args.format == Format::Json {
        let mut answer = serde_json::json!({
            "id": question.id, "events": found.events, "builds": found.builds,
        });
        if args.explain {
            answer["explain"] = query.explain().into();
        }
        return writeln!(out, "{answer}");
    }
    if args.queries.is_some() {
        writeln!(out, "# {}", question.name())?;
    }
    if args.explain {
        writeln!(out, "{}", query.explain())?;
    }
    for (place, message) in &found.newest {
        let start: String = message.chars().take(SHOWN).collect();
        writeln!(out, "{}: {}", one_line(place), one_line(&start))?;
    }
    writeln!(
        out,
        "{} events in {} builds match",
        found.events,
        found.builds.len()
    )
}
