//! Reports: made, kept, listed, served.

use super::error::ApiError;
use super::json::Json;
use super::pages::{self, html, when};
use super::view::{ReportRow, Reports};
use super::{App, blocking};
use crate::report::{Report, render_html};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// Makes a report and keeps it; returns its number.
pub(super) fn make(app: &App) -> Result<i64, String> {
    let now = app.now();
    let made = app.engine.report(now)?;
    let id = app
        .state
        .put_report(now, &made.summary, &made.json)
        .map_err(|e| e.to_string())?;
    for (kind, text) in [("json", &made.json), ("html", &made.html)] {
        write_file(app, id, kind, text).map_err(|e| format!("report {id}: {e}"))?;
    }
    app.meter.reports.increment(1);
    app.meter.last_report.set(now.as_second() as f64);
    drop_old(app)?;
    tracing::info!(id, summary = made.summary, "report made");
    Ok(id)
}

fn write_file(app: &App, id: i64, kind: &str, text: &str) -> std::io::Result<()> {
    let dir = app.report_dir();
    std::fs::create_dir_all(&dir)?;
    // Among what is received, which is tidied up after a kill.
    let file = app.spool.receive()?;
    std::fs::write(file.path(), text)?;
    file.persist(dir.join(format!("{id}.{kind}")))
        .map_err(|e| e.error)?;
    Ok(())
}

fn drop_old(app: &App) -> Result<(), String> {
    let keep = app.config.report.keep as u64;
    let kept = app.state.reports(keep + 1000).map_err(|e| e.to_string())?;
    let (Some(oldest), true) = (
        kept.get(app.config.report.keep - 1),
        kept.len() as u64 > keep,
    ) else {
        return Ok(());
    };
    app.state
        .delete_reports_before(oldest.at)
        .map_err(|e| e.to_string())?;
    for gone in &kept[app.config.report.keep..] {
        for kind in ["json", "html"] {
            // A file that is gone already is as good as deleted.
            let _ = std::fs::remove_file(app.report_dir().join(format!("{}.{kind}", gone.id)));
        }
    }
    Ok(())
}

/// `GET /reports`.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let schedule = app.config.report.schedule.clone();
    let kept = blocking(&app, |app| {
        app.state.reports(1000).map_err(ApiError::internal)
    })
    .await?;
    let reports = kept.into_iter().map(|r| ReportRow {
        made: format!("{} · {}", when(Some(r.at)), r.summary),
        html: format!("{}.html", r.id),
        json: format!("{}.json", r.id),
    });
    html(&Reports {
        page: "/reports",
        schedule,
        reports: reports.collect(),
    })
}

/// `POST /reports`, the button.
pub(super) async fn make_page(State(app): State<Arc<App>>) -> Result<Redirect, ApiError> {
    blocking(&app, |app| make(app).map_err(ApiError::internal)).await?;
    Ok(Redirect::to("/reports"))
}

/// `POST /api/v1/report`.
pub(super) async fn make_api(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let id = blocking(&app, |app| make(app).map_err(ApiError::internal)).await?;
    Ok(Json(
        json!({ "id": id, "html": format!("/reports/{id}.html"), "json": format!("/reports/{id}.json") }),
    ))
}

/// The page of a report whose file is not there: the service died before it was written, or there was no room.
async fn page_of(app: &Arc<App>, id: i64) -> Option<String> {
    let made = blocking(app, move |app| {
        let report = app.state.report(id).map_err(ApiError::internal)?;
        let Some(report) = report else {
            return Ok(None);
        };
        let report: Report = serde_json::from_str(&report.json).map_err(ApiError::internal)?;
        render_html(&report).map(Some).map_err(ApiError::internal)
    });
    made.await.ok().flatten()
}

/// `GET /reports/{id}.html` and `.json`.
pub(super) async fn file(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let wanted = name
        .split_once('.')
        .and_then(|(id, kind)| Some((id.parse::<i64>().ok()?, kind)));
    let (kind, found) = match wanted {
        Some((id, "json")) => {
            let text = blocking(&app, move |app| {
                app.state.report(id).map_err(ApiError::internal)
            })
            .await;
            ("application/json", text.ok().flatten().map(|r| r.json))
        }
        Some((id, "html")) => {
            let path = app.report_dir().join(format!("{id}.html"));
            let written = tokio::fs::read_to_string(path).await.ok();
            let page = match written {
                Some(page) => Some(page),
                None => page_of(&app, id).await,
            };
            ("text/html; charset=utf-8", page)
        }
        _ => ("", None),
    };
    match found {
        Some(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        None => pages::missing().await,
    }
}
