//! Whether the service lives, whether it can work, and its numbers.

use super::json::Json;
use super::{App, held};
use crate::classify::meter::{SourceMeter, fetch_meter};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::sync::Arc;

/// `/healthz`: 200 while everything that should run does, or 503 with what has ended: then only a
/// restart helps.
pub(super) async fn alive(State(app): State<Arc<App>>) -> (StatusCode, String) {
    let mut ended: Vec<String> = held(&app.ended)
        .iter()
        .map(|name| format!("{name} has ended"))
        .collect();
    if !app.pipeline.alive() {
        ended.push("a worker of the queue has ended".into());
    }
    if ended.is_empty() {
        return (StatusCode::OK, "ok\n".into());
    }
    let text = format!("{}; restart the service\n", ended.join("; "));
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

/// `/readyz`: 200, or 503 with the reasons.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let asked = tokio::task::spawn_blocking(move || reasons(&app)).await;
    let reasons = asked.unwrap_or_else(|error| vec![error.to_string()]);
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    (status, Json(body))
}

pub(super) fn reasons(app: &App) -> Vec<String> {
    let mut reasons = app.engine.troubles();
    if let Err(error) = app.state.check() {
        reasons.push(error.to_string());
    }
    if app.pipeline.stopping() {
        reasons.push("the service is stopping".into());
    }
    reasons
}

/// Brings the numbers of sources and of fetched logs up to date.
fn show_sources(app: &App) {
    let now = app.now();
    for (name, status) in app.desk.statuses() {
        let meter = SourceMeter::new(&app.recorder, &name);
        meter.connected(status.connected);
        if let Some(at) = status.heard_at {
            meter.heard(&app.recorder, at, now);
        }
        meter.counts(status.events, status.builds, status.not_understood);
        for (kind, count) in &status.event_types {
            meter.event_type(&app.recorder, kind, *count);
        }
    }
    match app.state.fetch_counts() {
        Ok((states, missing)) => fetch_meter(&app.recorder, &states, missing),
        Err(error) => tracing::error!(%error, "fetches cannot be counted"),
    }
}

/// `/metrics`, in Prometheus's text format.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let asked = app.clone();
    // Counting fetches reads the state.
    if let Err(error) = tokio::task::spawn_blocking(move || show_sources(&asked)).await {
        tracing::error!(%error, "the numbers of sources are not up to date");
    }
    let rules = app.engine.rules();
    app.meter.fingerprints.set(rules.fingerprints.len() as f64);
    app.meter.broken.set(rules.broken.len() as f64);
    if let Some(index) = app.engine.index_status() {
        app.meter.index_waiting.set(index.waiting_builds as f64);
        app.meter.index_lag.set(index.lag_seconds as f64);
    }
    if let (Some(meter), Some(status)) = (&app.cluster_meter, app.engine.cluster()) {
        meter.show(&status);
    }
    app.prometheus.run_upkeep();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.prometheus.render())
}
