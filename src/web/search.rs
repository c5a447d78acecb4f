//! A query over all stored events: how many, in which builds, and the newest of them.

use super::error::ApiError;
use super::json::Json;
use super::pages::{html, line_link};
use super::view::{self, SearchHit, SearchPage, Shown};
use super::{App, blocking};
use crate::classify::engine::{SearchError, Searched, SearchedEvent};
use crate::query;
use crate::state::StoredBuild;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Events on the page.
const SHOWN: usize = 25;
/// Events in an answer of the API at most.
const MOST: usize = 1000;
/// Builds of which it is told whether they failed.
const JUDGED: usize = 2000;

/// The question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    limit: Option<usize>,
}

/// What was found, with what became of the builds.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    searched: Searched,
    failed_builds: usize,
    other_builds: usize,
    /// Builds that were looked at and cannot be searched yet.
    unindexed_builds: u64,
}

/// `GET /api/v1/search?q=…&limit=…`.
pub(super) async fn api(
    State(app): State<Arc<App>>,
    Query(asked): Query<Asked>,
) -> Result<Json<Answer>, ApiError> {
    let limit = asked.limit.unwrap_or(100).min(MOST);
    let turn = app.turns.search().await?;
    let found = blocking(&app, move |app| {
        let _turn = turn;
        let searched = search(app, &asked.q, limit);
        let searched = searched.map_err(|error| match error {
            SearchError::Query { .. } => ApiError::bad(error),
            SearchError::Store(_) => ApiError::internal(error),
            SearchError::TooLong(_) => ApiError::too_long(error),
        })?;
        let failed_builds = failed(app, &searched)?;
        Ok(Answer {
            failed_builds,
            other_builds: searched.builds.len().min(JUDGED) - failed_builds,
            unindexed_builds: app
                .engine
                .index_status()
                .map_or(0, |index| index.waiting_builds),
            searched,
        })
    });
    Ok(Json(found.await?))
}

/// What a query finds, without secrets.
fn search(app: &App, query: &str, limit: usize) -> Result<Searched, SearchError> {
    let mut found = app.engine.search(query, limit, Timestamp::now())?;
    for event in &mut found.newest {
        event.evidence = app.redactor.evidence(&event.evidence);
    }
    Ok(found)
}

/// How many of the first builds failed.
fn failed(app: &App, searched: &Searched) -> Result<usize, ApiError> {
    let mut count = 0;
    for uuid in searched.builds.iter().take(JUDGED) {
        let job = app.state.job(uuid).map_err(ApiError::internal)?;
        count += usize::from(job.is_some_and(|job| job.build.failed()));
    }
    Ok(count)
}

/// `GET /search?q=…`.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let turn = app.turns.search().await?;
    let view = blocking(&app, move |app| {
        let _turn = turn;
        view_of(app, asked.q)
    });
    let view = view.await?;
    html(&view)
}

fn view_of(app: &App, query: String) -> Result<SearchPage, ApiError> {
    let mut page = SearchPage {
        page: "/search",
        explained: String::new(),
        error: String::new(),
        summary: String::new(),
        unindexed: unindexed(app),
        hits: Vec::new(),
        query,
    };
    if page.query.trim().is_empty() {
        page.error = super::pages::cluster_problem(app);
        return Ok(page);
    }
    match search(app, &page.query, SHOWN) {
        Err(error) => page.error = error.to_string(),
        Ok(found) => {
            let failed = failed(app, &found)?;
            page.summary = summary(&found, failed);
            page.hits = hits(app, found)?;
            let read = query::Query::parse(&page.query, &query::Schema::default());
            page.explained = read.map(|q| q.explain()).unwrap_or_default();
        }
    }
    Ok(page)
}

/// What a search cannot find yet, in a sentence.
fn unindexed(app: &App) -> String {
    let Some(index) = app
        .engine
        .index_status()
        .filter(|i| i.waiting_builds > 0 || i.comparing)
    else {
        return String::new();
    };
    let more = if index.comparing {
        "; it is being looked for more of them"
    } else {
        ""
    };
    let builds = count(index.waiting_builds, "classified build");
    format!("Not in the index yet: {builds}{more}.")
}

fn summary(found: &Searched, failed: usize) -> String {
    let builds = found.builds.len();
    let judged = builds.min(JUDGED);
    let part = if judged < builds {
        format!(" (of the first {judged})")
    } else {
        String::new()
    };
    let shown = found.newest.len();
    let newest = if (shown as u64) < found.events {
        format!("; the newest {shown} are shown")
    } else {
        String::new()
    };
    format!(
        "{} in {}: {failed} failed, {} did not{part}{newest}",
        count(found.events, "event"),
        count(builds as u64, "build"),
        judged - failed
    )
}

fn count(number: u64, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

fn hits(app: &App, found: Searched) -> Result<Vec<SearchHit>, ApiError> {
    let mut known: HashMap<String, Option<StoredBuild>> = HashMap::new();
    let mut all = Vec::new();
    for event in found.newest {
        if !known.contains_key(&event.build) {
            let stored = app.state.build(&event.build).map_err(ApiError::internal)?;
            known.insert(event.build.clone(), stored);
        }
        let stored = known.get(&event.build).and_then(Option::as_ref);
        all.push(hit(event, stored));
    }
    Ok(all)
}

fn hit(event: SearchedEvent, stored: Option<&StoredBuild>) -> SearchHit {
    let SearchedEvent {
        build, evidence, ..
    } = event;
    SearchHit {
        uuid: build,
        job: stored.and_then(|s| s.build.job.clone()).unwrap_or_default(),
        verdict: stored.map_or("pending", |s| s.verdict.as_str()),
        failed: stored.is_some_and(|s| s.build.failed()),
        shown: Shown {
            place: format!("{}:{}", evidence.file, evidence.line),
            link: stored.map_or_else(String::new, |s| line_link(s, &evidence.file, evidence.line)),
            pieces: view::pieces(&evidence.excerpt, &evidence.spans),
        },
    }
}
