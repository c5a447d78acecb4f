//! The page that says what comes in: sources, logs to fetch, trackers, the queue.

use super::error::ApiError;
use super::pages::{html, when};
use super::{App, blocking, health, view};
use crate::note::ago;
use crate::source::SourceStatus;
use crate::state::StateError;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use std::sync::Arc;

/// `GET /status`.
pub(super) async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let page = blocking(&app, |app| status(app).map_err(ApiError::internal));
    html(&page.await?)
}

fn status(app: &App) -> Result<view::Status, StateError> {
    let now = app.now();
    let sources = app.desk.statuses().into_iter();
    Ok(view::Status {
        page: "/status",
        reasons: [app.chaos(), health::reasons(app)].concat(),
        sources: sources
            .map(|(name, status)| source(app, name, status, now))
            .collect(),
        parts: vec![
            ("Logs that are fetched", fetches(app)?),
            ("Bug trackers", trackers(app, now)?),
            ("Builds", queue(app)),
        ],
    })
}

fn source(app: &App, name: String, status: SourceStatus, now: Timestamp) -> view::SourceRow {
    let since = status
        .since
        .map_or_else(String::new, |at| format!(" since {}", when(Some(at))));
    let (state, class) = match (status.connected, status.since) {
        (true, _) => (format!("hears{since}"), "good"),
        (false, Some(_)) => (format!("does not hear{since}"), "bad"),
        // What is only notified has no connection.
        (false, None) => ("waits to be notified".to_owned(), "soft"),
    };
    // What went wrong before it heard again is no problem any more.
    let error = status.error.filter(|_| !status.connected);
    view::SourceRow {
        name,
        state,
        class,
        problems: [error, status.warning].into_iter().flatten().collect(),
        last: status.heard_at.map_or_else(
            || "never".into(),
            |at| format!("{} ({})", when(Some(at)), ago(now.duration_since(at))),
        ),
        events: status.events,
        builds: status.builds,
        not_understood: status.not_understood,
        example: status
            .last_not_understood
            .map(|text| app.redactor.text(&text))
            .unwrap_or_default(),
        types: status.event_types.into_iter().collect(),
    }
}

fn fetches(app: &App) -> Result<Vec<(&'static str, String)>, StateError> {
    let (states, missing) = app.state.fetch_counts()?;
    let (next, waiting) = app.state.waiting_fetches()?;
    let done = states.iter().find(|(state, _)| state == "done");
    Ok(vec![
        ("Builds whose logs are still to come", waiting.to_string()),
        ("The next try", when(next.filter(|_| waiting > 0))),
        ("Fetched", done.map_or(0, |(_, count)| *count).to_string()),
        ("Of these with something missing", missing.to_string()),
    ])
}

fn trackers(app: &App, now: Timestamp) -> Result<Vec<(&'static str, String)>, StateError> {
    let rows = app.state.bugs()?;
    let known = rows.iter().filter(|row| row.facts.is_some());
    let stale = known
        .clone()
        .filter(|row| row.stale(now, app.stale_after()));
    let vain = rows.iter().filter(|row| row.failures > 0);
    let why = vain.clone().find_map(|row| row.error.clone());
    let mut facts = vec![
        ("Bugs that are known", known.count().to_string()),
        ("Of these not heard of for long", stale.count().to_string()),
        ("Last asked for in vain", vain.count().to_string()),
    ];
    facts.extend(why.map(|why| ("For example because of", why)));
    Ok(facts)
}

fn queue(app: &App) -> Vec<(&'static str, String)> {
    let (waiting, running) = app.pipeline.counts();
    let limit = app.config.intake.queue;
    vec![
        ("Waiting", format!("{waiting} of at most {limit}")),
        ("Being looked at", running.to_string()),
    ]
}
