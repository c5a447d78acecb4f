//! The same facts as the pages, as JSON.

use super::error::ApiError;
use super::json::Json;
use super::{App, blocking};
use crate::classify::engine::Rules;
use crate::event::Verdict;
use crate::state::{BuildFilter, BuildRow, Page, StoredBuild};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Conditions in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Conditions {
    verdict: Option<Verdict>,
    failed: bool,
    project: Option<String>,
    job: Option<String>,
    branch: Option<String>,
    pipeline: Option<String>,
    fingerprint: Option<String>,
    text: Option<String>,
    offset: u64,
    limit: u64,
}

impl From<Conditions> for BuildFilter {
    fn from(c: Conditions) -> Self {
        Self {
            verdict: c.verdict,
            failed_only: c.failed,
            project: c.project,
            job: c.job,
            branch: c.branch,
            pipeline: c.pipeline,
            fingerprint: c.fingerprint,
            since: None,
            text: c.text,
            offset: c.offset,
            limit: c.limit,
        }
    }
}

/// `GET /api/v1/builds`.
pub(super) async fn builds(
    State(app): State<Arc<App>>,
    Query(conditions): Query<Conditions>,
) -> Result<Json<Page<BuildRow>>, ApiError> {
    let filter = BuildFilter::from(conditions);
    let page = blocking(&app, move |app| {
        let mut page = app.state.builds(&filter).map_err(ApiError::internal)?;
        for row in &mut page.items {
            app.redact_url(&mut row.log_url);
        }
        Ok(page)
    });
    Ok(Json(page.await?))
}

/// `GET /api/v1/builds/{uuid}`.
pub(super) async fn build(
    State(app): State<Arc<App>>,
    Path(uuid): Path<String>,
) -> Result<Json<StoredBuild>, ApiError> {
    let found = blocking(&app, move |app| {
        let found = app.state.build(&uuid).map_err(ApiError::internal)?;
        let found = found.map(|stored| app.redacted(stored));
        found.ok_or_else(|| ApiError::missing(format!("no build {uuid}")))
    });
    Ok(Json(found.await?))
}

/// `GET /api/v1/fingerprints`.
pub(super) async fn fingerprints(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let work = |app: &App| {
        let rules: &Rules = &app.engine.rules();
        let mut rules = serde_json::to_value(rules).map_err(ApiError::internal)?;
        if let Some(measured) = app.measurement.current() {
            super::measured::add(&mut rules, &measured);
        }
        Ok(Json(rules))
    };
    blocking(&app, work).await
}

/// `GET /api/v1/report`: the newest one.
pub(super) async fn report(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let found = blocking(&app, |app| {
        app.state.latest_report().map_err(ApiError::internal)
    })
    .await?;
    let report = found.ok_or_else(|| ApiError::missing("no report was made yet"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], report.json).into_response())
}

/// `GET /api/v1/status`: what the service is doing.
pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let now = app.now();
    let work = |app: &App| {
        let reports = app.state.reports(1).map_err(ApiError::internal)?;
        let (_, fetches) = app.state.waiting_fetches().map_err(ApiError::internal)?;
        let report = reports.into_iter().next();
        Ok((report, super::health::reasons(app), fetches))
    };
    let (report, reasons, waiting_for_logs) = blocking(&app, work).await?;
    let rules = app.engine.rules();
    let (waiting, running) = app.pipeline.counts();
    let again = app.progress.get();
    let schedule = &app.config.report.schedule;
    let stale = report
        .as_ref()
        .map(|r| super::service::stale(schedule, r.at, now));
    Ok(Json(json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "queue": { "waiting": waiting, "running": running, "limit": app.config.intake.queue },
        "reclassification": again.map(|(done, total)| json!({ "done": done, "total": total })),
        "fingerprints": {
            "version": rules.version, "count": rules.fingerprints.len(), "broken": rules.broken,
        },
        "cluster": app.engine.cluster(),
        "index": app.engine.index_status(),
        "sources": app.desk.statuses(),
        "logs_to_fetch": waiting_for_logs,
        "chaos": app.state.plan().map(|plan| json!({ "seed": plan.seed(), "sites": plan.tally() })),
        "report": report.map(|r| json!({ "id": r.id, "at": r.at, "summary": r.summary, "stale": stale })),
    })))
}
