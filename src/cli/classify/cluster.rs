//! A build whose events are in a cluster.

use super::{Args, code, fingerprints, print, safe, say};
use crate::classify::cluster::{Bounds, PULLED, build_of, look_within, open};
use crate::classify::one::Outcome;
use crate::intake::BuildSummary;
use crate::matcher::Matcher;
use anyhow::bail;
use jiff::Timestamp;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Classifies `uuid` in the cluster that the configuration names.
pub(super) fn run(args: &Args, uuid: &str, config: &Path) -> anyhow::Result<ExitCode> {
    let config = super::super::config::load(config)?;
    let Some(cluster) = &config.store.elasticsearch else {
        bail!("--build needs a configuration with `store.elasticsearch`");
    };
    let (store, schema) = open(cluster)?;
    let folders = match args.queries.as_slice() {
        [] => &config.fingerprints,
        named => named,
    };
    let set = fingerprints(folders, &schema)?;
    let known = set.fingerprints.len();
    let matcher = Matcher::new(set);
    let start = Instant::now();
    let (mut build, events) = build_of(&store, uuid)?;
    for (name, value) in &args.fields {
        build.set_field(name, value);
    }
    let bounds = Bounds {
        pulled: args.pull_up_to.unwrap_or(PULLED),
        most: cluster.max_events,
        known: Some(events),
    };
    let looked = look_within(&store, &matcher, &build, Timestamp::now(), bounds)?;
    let outcome = Outcome {
        verdict: looked.verdict(),
        matches: looked.matches,
        looked_for: looked.looked_for,
        summary: BuildSummary::default(),
    };
    let seconds = start.elapsed().as_secs_f64();
    let measured = super::measured(args)?;
    print(
        &build,
        &outcome,
        known,
        seconds,
        (args.format, measured.as_ref()),
    )?;
    for problem in &looked.problems {
        say(format_args!("warning: {}", safe::one_line(problem)));
    }
    if args.stats {
        let traffic = store.traffic();
        say(format_args!(
            "{} events, {} requests, {} bytes sent, {} bytes received, {seconds:.3} s",
            looked.events, traffic.requests, traffic.sent, traffic.received
        ));
    }
    Ok(ExitCode::from(code(&outcome)))
}
