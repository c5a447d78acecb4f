//! The logs of a build without secrets: some lines as a page, the whole as text.

use super::error::ApiError;
use super::guard::bearer;
use super::pages::{html, message};
use super::view::{self, LogPage};
use super::{App, blocking};
use crate::event::Build;
use crate::intake::{Limits, LogInput, Part, Window, clean_name, each_line, window};
use crate::note::redact::LineRedactor;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio_util::io::ReaderStream;

/// Lines of one page.
const LINES: u16 = 400;
/// Bytes that are sent at once.
const CHUNK: usize = 64 * 1024;
/// Lines before the one that is asked for.
const BEFORE: u64 = 60;

/// Which lines are asked for; the end of the log when nothing is.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    line: Option<u64>,
    from: Option<u64>,
}

impl Wanted {
    fn part(&self) -> Part {
        match (self.line, self.from) {
            (Some(line), _) => Part::From(line.saturating_sub(BEFORE).max(1)),
            (None, Some(from)) => Part::From(from.max(1)),
            (None, None) => Part::End,
        }
    }
}

/// Where a log of the spool is, when both names are safe.
fn place(app: &App, uuid: &str, path: &str) -> Result<(String, PathBuf), ApiError> {
    Build::check_uuid(uuid).map_err(ApiError::bad)?;
    let name = clean_name(path).map_err(|e| ApiError::bad(format!("log name {path:?}: {e}")))?;
    let place = app.spool.root(uuid).join(&name);
    Ok((name, place))
}

/// `GET /builds/{uuid}/logs/{path}`.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path((uuid, path)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let (name, place) = place(&app, &uuid, &path)?;
    let part = wanted.part();
    let input = LogInput::new(&name, place);
    let turn = app.turns.log().await?;
    let found = blocking(&app, move |app| {
        let _turn = turn;
        let found = window(&input, &limits(app), part, usize::from(LINES));
        Ok(found.map(|found| found.map(|found| cleaned(app, found))))
    });
    match found.await? {
        Ok(Some(found)) => html(&log_view(&uuid, &name, &wanted, found)),
        Ok(None) => html(&archive_view(&uuid, &name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(message(
            StatusCode::NOT_FOUND,
            "Not found",
            &format!("No log {name} of build {uuid} is kept."),
        )),
        Err(error) => Err(ApiError::internal(error)),
    }
}

/// The same lines without secrets.
fn cleaned(app: &App, found: Window) -> Window {
    Window {
        lines: app.redactor.lines(found.lines),
        ..found
    }
}

fn log_view(uuid: &str, name: &str, wanted: &Wanted, found: Window) -> LogPage {
    let after = found.first + found.lines.len() as u64;
    LogPage {
        wanted: wanted.line.unwrap_or(0),
        earlier: match found.first {
            0 | 1 => 0,
            first => first.saturating_sub(u64::from(LINES)).max(1),
        },
        later: if found.more { after } else { 0 },
        notice: found.problem.map_or_else(String::new, |why| {
            format!("Only a part of this log could be read: {why}")
        }),
        lines: (found.first..).zip(found.lines).collect(),
        ..empty_page(uuid, name)
    }
}

fn archive_view(uuid: &str, name: &str) -> LogPage {
    LogPage {
        notice: "This is an archive. Its logs were read; they are not shown one by one.".into(),
        ..empty_page(uuid, name)
    }
}

fn empty_page(uuid: &str, name: &str) -> LogPage {
    let link = view::log_link(uuid, name);
    LogPage {
        page: "/builds",
        uuid: uuid.into(),
        name: name.into(),
        raw: format!("/api/v1{link}"),
        link,
        notice: String::new(),
        wanted: 0,
        lines: Vec::new(),
        earlier: 0,
        later: 0,
    }
}

/// `GET /api/v1/builds/{uuid}/logs/{path}`: the log as text without secrets, never as a page. Who has the
/// token of the intake gets the bytes as they were sent.
pub(super) async fn raw(
    State(app): State<Arc<App>>,
    Path((uuid, path)): Path<(String, String)>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    let (name, place) = place(&app, &uuid, &path)?;
    let file = match tokio::fs::File::open(&place).await {
        Ok(file) if file.metadata().await.is_ok_and(|m| m.is_file()) => file,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(ApiError::internal(error)),
        _ => return Err(ApiError::missing(format!("no log {name} of build {uuid}"))),
    };
    let token = app.config.intake.token.as_ref();
    let body = if token.is_some_and(|token| bearer(&asked, token.expose())) {
        Body::from_stream(ReaderStream::new(file))
    } else {
        clean(&app, LogInput::new(&name, place)).await?
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ];
    Ok((headers, body).into_response())
}

/// The lines of a log without secrets, read while they are sent.
async fn clean(app: &Arc<App>, input: LogInput) -> Result<Body, ApiError> {
    let turn = app.turns.log().await?;
    let (work, first) = (app.clone(), input.clone());
    let looked =
        tokio::task::spawn_blocking(move || each_line(&first, &limits(&work), |_, _| false));
    let looked = looked.await.map_err(ApiError::internal)?;
    if looked.is_ok_and(|found| found.is_none()) {
        let why =
            "an archive cannot be cleaned of secrets: it is given with the intake's token only";
        return Err(ApiError::forbidden(why));
    }
    let (writer, reader) = tokio::io::duplex(CHUNK);
    let (app, runtime) = (app.clone(), tokio::runtime::Handle::current());
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        send_clean(&app, &input, &runtime, writer);
    });
    Ok(Body::from_stream(ReaderStream::new(reader)))
}

fn limits(app: &App) -> Limits {
    Limits {
        max_bytes: app.config.intake.max_log.0,
        ..Limits::default()
    }
}

fn send_clean(app: &App, input: &LogInput, runtime: &Handle, mut writer: DuplexStream) {
    let mut lines = LineRedactor::new(&app.redactor);
    let mut chunk: Vec<u8> = Vec::with_capacity(CHUNK);
    let mut send = |chunk: &mut Vec<u8>| {
        // Who does not read any more needs no more.
        let sent = runtime.block_on(writer.write_all(chunk)).is_ok();
        chunk.clear();
        sent
    };
    let done = each_line(input, &limits(app), |line, whole| {
        match lines.line(line) {
            Some(clean) => chunk.extend_from_slice(clean.as_bytes()),
            None => chunk.extend_from_slice(line),
        }
        if whole {
            chunk.push(b'\n');
        }
        chunk.len() < CHUNK || send(&mut chunk)
    });
    if let Err(error) = done {
        let why = format!("\n[the rest of this log could not be read: {error}]\n");
        chunk.extend_from_slice(why.as_bytes());
    }
    send(&mut chunk);
}
