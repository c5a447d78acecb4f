//! What Zuul says, printed line by line.

use super::json;
use super::trouble::Troubles;
use crate::source::zuul::{Failures, Files, Reported, failures, files, reported};
use serde_json::{Deserializer, Value, json};
use std::io::{self, Write};

/// What a file of Zuul holds.
pub(super) enum Found {
    Builds(Vec<Reported>),
    Files(Files),
    Failures(Failures),
}

/// Reads a text if it is something of Zuul's; one JSON value, or messages one after another.
pub(super) fn read(text: &str) -> Option<Found> {
    let values: Result<Vec<Value>, _> = Deserializer::from_str(text).into_iter().collect();
    let values = values.ok()?;
    let [first, ..] = values.as_slice() else {
        return None;
    };
    // An empty list may be anything.
    if first.as_array().is_some_and(Vec::is_empty) {
        return None;
    }
    if let Some(found) = files(first) {
        return Some(Found::Files(found));
    }
    if let Some(found) = failures(first.to_string().as_bytes()) {
        return Some(Found::Failures(found));
    }
    reported(first)?;
    let unknown = || Reported {
        unread: 1,
        ..Reported::default()
    };
    let all = values
        .iter()
        .map(|one| reported(one).unwrap_or_else(unknown));
    Some(Found::Builds(all.collect()))
}

/// Prints it, and notes what was not understood.
pub(super) fn print(
    found: &Found,
    troubles: &mut Troubles,
    out: &mut impl Write,
) -> io::Result<()> {
    let lines = match found {
        Found::Builds(all) => builds(all, troubles),
        Found::Files(found) => log_files(found, troubles),
        Found::Failures(found) => failed(found, troubles),
    };
    for line in &lines {
        json::write(out, line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn builds(all: &[Reported], troubles: &mut Troubles) -> Vec<Value> {
    let unread: usize = all.iter().map(|one| one.unread).sum();
    if unread > 0 {
        troubles.add(format_args!("things that are no builds: {unread}"));
    }
    let builds = all.iter().flat_map(|one| &one.builds).enumerate();
    let line = |(number, one): (usize, &crate::source::zuul::Finished)| {
        let build = &one.build;
        json!({
            "build": number,
            "uuid": build.uuid,
            "job": build.job,
            "result": build.result,
            "voting": build.votes(),
            "pipeline": build.pipeline,
            "project": build.project,
            "branch": build.branch,
            "change": build.change,
            "patchset": build.patchset,
            "log_url": build.log_url,
            "manifest_url": one.manifest_url,
        })
    };
    builds.map(line).collect()
}

fn log_files(found: &Files, troubles: &mut Troubles) -> Vec<Value> {
    if found.refused > 0 {
        troubles.add(format_args!(
            "files without a name, or with one that leads out of their folder: {}",
            found.refused
        ));
    }
    if found.left_out > 0 {
        troubles.add(format_args!(
            "files and folders above the limits: {}",
            found.left_out
        ));
    }
    let files = found.files.iter().enumerate();
    let line = |(number, file): (usize, &crate::source::zuul::LogFile)| json!({"file": number, "path": file.path, "size": file.size, "mimetype": file.mimetype});
    files.map(line).collect()
}

fn failed(found: &Failures, troubles: &mut Troubles) -> Vec<Value> {
    if found.left_out > 0 {
        troubles.add(format_args!(
            "failures above the limits: {}",
            found.left_out
        ));
    }
    let failures = found.all.iter().enumerate();
    let line = |(number, one): (usize, &crate::source::zuul::Failure)| {
        json!({
            "failure": number,
            "phase": one.phase,
            "playbook": one.playbook,
            "role": one.role,
            "task": one.task,
            "host": one.host,
            "rc": one.rc,
            "fatal": one.fatal,
            "message": one.to_message(),
        })
    };
    failures.map(line).collect()
}
