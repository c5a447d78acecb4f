//! The intake API. Every call may be repeated and is answered alike. What comes after `complete`, a
//! log with other bytes or a fact that changes, leads to a new verdict by itself: a log that arrived
//! cut off is sent again and nothing else is to be done.

use super::error::ApiError;
use super::json::Json;
use super::{App, blocking};
use crate::classify::pipeline::Refused;
use crate::event::Build;
use crate::intake::clean_name;
use crate::source::{Announced, Logs};
use crate::state::Job;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

type Answer = Result<(StatusCode, Json<Value>), ApiError>;

/// Largest JSON body.
const JSON_LIMIT: u64 = 1 << 20;
/// Bytes that have to arrive within the patience: one now and then would keep a place for ever.
const LEAST: usize = 1024;

/// `PUT /api/v1/builds/{uuid}`: what the CI says about a build.
pub(super) async fn put_build(
    State(app): State<Arc<App>>,
    Path(uuid): Path<String>,
    body: Body,
) -> Answer {
    Build::check_uuid(&uuid).map_err(ApiError::bad)?;
    let mut build: Build = read_json(&small(&app, body).await?)?;
    if !build.uuid.is_empty() && build.uuid != uuid {
        return Err(ApiError::bad(
            "`uuid` in the body is not the one in the address",
        ));
    }
    build.uuid.clone_from(&uuid);
    blocking(&app, move |app| {
        if app.state.put_build(&build).map_err(ApiError::state)? {
            app.pipeline.nudge(&build.uuid);
        }
        Ok(())
    })
    .await?;
    Ok((StatusCode::OK, Json(json!({ "uuid": uuid }))))
}

/// `PUT /api/v1/builds/{uuid}/logs/{path}`: one log file, compressed or not. One that comes after
/// `complete` has the build looked at again.
pub(super) async fn put_log(
    State(app): State<Arc<App>>,
    Path((uuid, path)): Path<(String, String)>,
    body: Body,
) -> Answer {
    Build::check_uuid(&uuid).map_err(ApiError::bad)?;
    let name = clean_name(&path).map_err(|e| ApiError::bad(format!("log name {path:?}: {e}")))?;
    let limit = app.config().intake.max_body.0;
    if body.size_hint().lower() > limit {
        return Err(ApiError::too_large(limit, "intake.max-body"));
    }
    let file = app.spool.receive().map_err(ApiError::disk)?;
    let received = receive(&app, file, body, limit).await?;
    app.meter.bytes.increment(received.bytes);
    let bytes = received.bytes;
    let answer = json!({ "uuid": uuid, "file": name, "bytes": bytes });
    blocking(&app, move |app| keep(app, &uuid, &name, received)).await?;
    Ok((StatusCode::OK, Json(answer)))
}

struct Received {
    file: NamedTempFile,
    bytes: u64,
    sha256: String,
}

/// How fast a body arrives.
struct Pace {
    since: Instant,
    bytes: usize,
}

impl Pace {
    fn start() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    fn arrived(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= LEAST {
            *self = Self::start();
        }
    }
}

/// The next part of a body; a sender that is silent for too long, or as good as silent, is cut off.
async fn next_chunk(
    app: &App,
    body: &mut Body,
    pace: &mut Pace,
) -> Result<Option<Bytes>, ApiError> {
    let patience = app.config().intake.patience.0;
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let frame = tokio::time::timeout_at(pace.since + patience, frame).await;
        let Some(frame) = frame.map_err(|_| ApiError::too_slow())? else {
            return Ok(None);
        };
        let frame =
            frame.map_err(|e| ApiError::bad(format!("the body did not arrive whole: {e}")))?;
        if let Ok(chunk) = frame.into_data() {
            pace.arrived(chunk.len());
            return Ok(Some(chunk));
        }
    }
}

/// Reads a body that is small, or says that it is not.
async fn small(app: &App, mut body: Body) -> Result<Vec<u8>, ApiError> {
    let (mut bytes, mut pace) = (Vec::new(), Pace::start());
    while let Some(chunk) = next_chunk(app, &mut body, &mut pace).await? {
        if (bytes.len() + chunk.len()) as u64 > JSON_LIMIT {
            return Err(ApiError::too_large(JSON_LIMIT, "JSON"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Writes the body to the file, chunk by chunk.
async fn receive(
    app: &App,
    file: NamedTempFile,
    mut body: Body,
    limit: u64,
) -> Result<Received, ApiError> {
    let opened = file.reopen().map_err(ApiError::internal)?;
    let mut out = tokio::io::BufWriter::new(tokio::fs::File::from_std(opened));
    let (mut bytes, mut digest, mut pace) = (0_u64, Sha256::new(), Pace::start());
    while let Some(chunk) = next_chunk(app, &mut body, &mut pace).await? {
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(ApiError::too_large(limit, "intake.max-body"));
        }
        digest.update(&chunk);
        out.write_all(&chunk).await.map_err(ApiError::disk)?;
    }
    out.flush().await.map_err(ApiError::disk)?;
    // Here, and not while others wait for the build's lock.
    out.get_ref().sync_all().await.map_err(ApiError::disk)?;
    let mut sha256 = String::new();
    for byte in digest.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(sha256, "{byte:02x}");
    }
    Ok(Received {
        file,
        bytes,
        sha256,
    })
}

fn keep(app: &App, uuid: &str, name: &str, received: Received) -> Result<(), ApiError> {
    let held = app.hold(uuid);
    let moved = app.spool.accept(uuid, name, received.file);
    moved.map_err(|error| match error.kind() {
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => {
            ApiError::conflict(format!(
                "{name}: a log and a folder of logs cannot have one name"
            ))
        }
        ErrorKind::InvalidFilename => ApiError::bad(format!("{name}: too long for this system")),
        _ => ApiError::disk(error),
    })?;
    let due = app
        .state
        .record_log(uuid, name, received.bytes, Some(&received.sha256))
        .map_err(ApiError::state)?;
    drop(held);
    if due {
        app.pipeline.nudge(uuid);
    }
    Ok(())
}

/// The body of `POST …/complete`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Completion {
    result: Option<String>,
    finished: Option<Timestamp>,
}

impl Completion {
    /// True when all of it was said before.
    fn before(&self, job: &Job) -> bool {
        job.completed_at.is_some()
            && (self.result.is_none() || self.result == job.build.result)
            && (self.finished.is_none() || self.finished == job.build.finished)
    }
}

/// `POST /api/v1/builds/{uuid}/complete`: all logs are there.
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    Path(uuid): Path<String>,
    body: Body,
) -> Answer {
    Build::check_uuid(&uuid).map_err(ApiError::bad)?;
    let body = small(&app, body).await?;
    let said: Completion = if body.trim_ascii().is_empty() {
        Completion::default()
    } else {
        read_json(&body)?
    };
    let answer = json!({ "uuid": uuid, "status": "accepted" });
    blocking(&app, move |app| accept(app, &uuid, &said)).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// The body of `POST …/fetch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetching {
    /// Where the logs are: a folder with a manifest or an index page, or one file.
    url: String,
    /// The name of the one file; without it, `url` is a folder.
    name: Option<String>,
    result: Option<String>,
    finished: Option<Timestamp>,
}

/// `POST /api/v1/builds/{uuid}/fetch`: the build has ended, and its logs are to be fetched.
pub(super) async fn fetch(
    State(app): State<Arc<App>>,
    Path(uuid): Path<String>,
    body: Body,
) -> Answer {
    Build::check_uuid(&uuid).map_err(ApiError::bad)?;
    let said: Fetching = read_json(&small(&app, body).await?)?;
    let known = uuid.clone();
    let known = blocking(&app, move |app| {
        app.state.job(&known).map_err(ApiError::state)
    });
    let known = known.await?.and_then(|job| job.build.result);
    if said.result.is_none() && known.is_none() {
        let message = "say how the build ended: \"result\": \"SUCCESS\", \"FAILURE\", …";
        return Err(ApiError::bad(message));
    }
    if let Some(name) = &said.name {
        clean_name(name).map_err(|e| ApiError::bad(format!("name {name:?}: {e}")))?;
    }
    let logs = match said.name {
        None => Logs::Root { url: said.url },
        Some(name) => Logs::File {
            url: said.url,
            name,
            account: None,
        },
    };
    let build = Build {
        result: said.result,
        finished: said.finished,
        ..Build::new(&uuid)
    };
    let announced = Announced {
        build,
        logs: Some(logs),
    };
    let taken = app.desk.announce("api", vec![announced], None).await;
    taken.map_err(ApiError::state)?;
    let answer = json!({ "uuid": uuid, "status": "accepted" });
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// The place is promised first: a sender that is told to wait finds nothing changed. One that only
/// repeats itself needs no place.
fn accept(app: &App, uuid: &str, said: &Completion) -> Result<(), ApiError> {
    let Some(job) = app.state.job(uuid).map_err(ApiError::state)? else {
        let message = format!("no build {uuid}: PUT /api/v1/builds/{uuid} first");
        return Err(ApiError::missing(message));
    };
    if said.result.is_none() && job.build.result.is_none() {
        let message =
            "say how the build ended: {\"result\": \"SUCCESS\"}, \"FAILURE\", \"TIMED_OUT\", …";
        return Err(ApiError::bad(message));
    }
    if said.before(&job) {
        if job.waiting {
            app.pipeline.nudge(uuid);
        }
        return Ok(());
    }
    let place = app.pipeline.reserve().map_err(|refused| match refused {
        Refused::Full => ApiError::busy(),
        Refused::Stopping => ApiError::stopping(),
    })?;
    let wanted = app
        .state
        .complete(uuid, said.result.as_deref(), said.finished);
    if wanted.map_err(ApiError::state)? {
        place.enter(uuid);
    }
    Ok(())
}

fn read_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::bad("JSON body: an object is expected"));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::bad(format!("JSON body: {error}")))
}
