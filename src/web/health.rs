//! Whether the service lives, whether it can work, and its numbers.

use super::{App, held};
use axum::Json;
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

/// `/metrics`, in Prometheus's text format.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
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
