//! Silences and outages: a page with buttons, and the same for programs. Both leave an audit entry.

use super::error::ApiError;
use super::json::Json;
use super::pages::{html, when};
use super::{App, blocking, view};
use crate::note::period;
use crate::state::{NewOutage, NewSilence, Outage, Silence, SilenceKind};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post};
use axum::{Form, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Longest sentence and reason.
const LONGEST: usize = 500;
/// Who it was when a button was pressed: there is no login.
const PAGE: &str = "page";

/// The addresses of this file.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/silences", get(page).post(begin_button))
        .route("/silences/{id}/end", post(end_button))
        .route("/outage", post(outage_button))
        .route("/outage/end", post(outage_end_button))
        .route("/api/v1/silences", get(silences).post(begin))
        .route("/api/v1/silences/{id}", delete(end_one))
        .route(
            "/api/v1/outage",
            get(outage).post(begin_outage).delete(end_outage),
        )
}

/// A silence as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedSilence {
    kind: SilenceKind,
    what: String,
    #[serde(rename = "for")]
    period: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    by: String,
}

/// An outage as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedOutage {
    text: String,
    #[serde(rename = "for", default)]
    period: String,
    #[serde(default)]
    by: String,
}

impl AskedSilence {
    fn read(self, else_by: &str, now: Timestamp) -> Result<NewSilence, ApiError> {
        let reason = line("reason", &self.reason)?;
        let what = line("what", &self.what)?;
        Ok(NewSilence {
            kind: self.kind,
            what: what.ok_or_else(|| ApiError::bad("what: say of what"))?,
            until: end(&self.period, now)?,
            by: line("by", &self.by)?.unwrap_or_else(|| else_by.to_owned()),
            reason,
        })
    }
}

impl AskedOutage {
    fn read(self, else_by: &str, now: Timestamp) -> Result<NewOutage, ApiError> {
        let until = match self.period.trim() {
            "" => None,
            text => Some(end(text, now)?),
        };
        let text = line("text", &self.text)?;
        Ok(NewOutage {
            text: text.ok_or_else(|| ApiError::bad("text: say what is out"))?,
            until,
            by: line("by", &self.by)?.unwrap_or_else(|| else_by.to_owned()),
        })
    }
}

fn end(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let wrong = || ApiError::bad("for: write a period such as 30m, 2h, 1d or 1w (30d at most)");
    let period = period(text.trim()).ok_or_else(wrong)?;
    now.checked_add(period).map_err(|_| wrong())
}

/// One line that is not empty.
fn line(key: &str, text: &str) -> Result<Option<String>, ApiError> {
    let plain = text.trim();
    if plain.chars().count() > LONGEST {
        return Err(ApiError::bad(format!(
            "{key}: at most {LONGEST} characters"
        )));
    }
    if plain.chars().any(crate::event::is_deceptive) {
        return Err(ApiError::bad(format!(
            "{key}: one line without control characters"
        )));
    }
    Ok((!plain.is_empty()).then(|| plain.to_owned()))
}

/// `GET /api/v1/silences`.
pub(super) async fn silences(State(app): State<Arc<App>>) -> Result<Json<Vec<Silence>>, ApiError> {
    let on = blocking(&app, |app| {
        app.state.silences(app.now()).map_err(ApiError::internal)
    });
    Ok(Json(on.await?))
}

/// `POST /api/v1/silences`.
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Json(asked): Json<AskedSilence>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let (id, until) = silence(&app, asked, "api").await?;
    Ok((
        StatusCode::CREATED,
        Json(json!({ "id": id, "until": until })),
    ))
}

async fn silence(
    app: &Arc<App>,
    asked: AskedSilence,
    by: &'static str,
) -> Result<(i64, Timestamp), ApiError> {
    blocking(app, move |app| {
        let now = app.now();
        let new = asked.read(by, now)?;
        let id = app.state.silence(&new, now).map_err(ApiError::internal)?;
        Ok((id, new.until))
    })
    .await
}

/// `DELETE /api/v1/silences/{id}`.
pub(super) async fn end_one(
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    unsilence(&app, id, "api").await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unsilence(app: &Arc<App>, id: i64, by: &'static str) -> Result<(), ApiError> {
    blocking(app, move |app| {
        let ended = app.state.end_silence(id, by, app.now());
        if ended.map_err(ApiError::internal)? {
            return Ok(());
        }
        Err(ApiError::missing(format!("silence {id} is not on")))
    })
    .await
}

/// `GET /api/v1/outage`: the outage, or null.
pub(super) async fn outage(State(app): State<Arc<App>>) -> Result<Json<Option<Outage>>, ApiError> {
    let on = blocking(&app, |app| {
        app.state.outage(app.now()).map_err(ApiError::internal)
    });
    Ok(Json(on.await?))
}

/// `POST /api/v1/outage`.
pub(super) async fn begin_outage(
    State(app): State<Arc<App>>,
    Json(asked): Json<AskedOutage>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let id = out(&app, asked, "api").await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn out(app: &Arc<App>, asked: AskedOutage, by: &'static str) -> Result<i64, ApiError> {
    blocking(app, move |app| {
        let now = app.now();
        let new = asked.read(by, now)?;
        app.state
            .begin_outage(&new, now)
            .map_err(ApiError::internal)
    })
    .await
}

/// `DELETE /api/v1/outage`.
pub(super) async fn end_outage(State(app): State<Arc<App>>) -> Result<StatusCode, ApiError> {
    over(&app, "api").await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn over(app: &Arc<App>, by: &'static str) -> Result<(), ApiError> {
    blocking(app, move |app| {
        let ended = app.state.end_outage(by, app.now());
        if ended.map_err(ApiError::internal)? {
            return Ok(());
        }
        Err(ApiError::missing("there is no outage"))
    })
    .await
}

/// `GET /silences`.
pub(super) async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let found = blocking(&app, |app| {
        let now = app.now();
        let silences = app.state.silences(now).map_err(ApiError::internal)?;
        let outage = app.state.outage(now).map_err(ApiError::internal)?;
        Ok((silences, outage))
    });
    let (silences, outage) = found.await?;
    let row = |one: Silence| view::SilenceRow {
        id: one.id,
        kind: one.kind.as_str(),
        what: one.what,
        until: when(Some(one.until)),
        by: one.by,
        reason: one.reason.unwrap_or_default(),
    };
    html(&view::Silences {
        page: "/notes",
        silences: silences.into_iter().map(row).collect(),
        outage: outage.map(|one| view::OutageRow {
            text: one.text,
            from: when(Some(one.from)),
            until: one
                .until
                .map_or_else(String::new, |until| when(Some(until))),
            by: one.by,
        }),
    })
}

/// `POST /silences`.
pub(super) async fn begin_button(
    State(app): State<Arc<App>>,
    Form(asked): Form<AskedSilence>,
) -> Result<Response, ApiError> {
    silence(&app, asked, PAGE).await?;
    Ok(back())
}

/// `POST /silences/{id}/end`.
pub(super) async fn end_button(
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<Response, ApiError> {
    unsilence(&app, id, PAGE).await?;
    Ok(back())
}

/// `POST /outage`.
pub(super) async fn outage_button(
    State(app): State<Arc<App>>,
    Form(asked): Form<AskedOutage>,
) -> Result<Response, ApiError> {
    out(&app, asked, PAGE).await?;
    Ok(back())
}

/// `POST /outage/end`.
pub(super) async fn outage_end_button(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    over(&app, PAGE).await?;
    Ok(back())
}

fn back() -> Response {
    Redirect::to("/silences").into_response()
}
