//! Rechecks: decided about when verdicts come, and shown.

use super::commands::short;
use super::error::ApiError;
use super::json::Json;
use super::pages::{html, when};
use super::{App, blocking, tell};
use crate::classify::recheck::{Judge, consider};
use crate::note::{Bell, Speaker};
use crate::state::{Recheck, RecheckAnswer, RecheckDecision, RecheckKind, Role};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked for what is due.
const TICK: Duration = Duration::from_secs(1);
/// Entries that are shown.
const SHOWN: u64 = 200;

/// Decides about what is due until it is stopped; of several processes, the keeper does.
pub(super) async fn watch(
    app: Arc<App>,
    speaker: Arc<Speaker>,
    bell: Bell,
    stop: CancellationToken,
) {
    while !super::service::wait(&stop, TICK).await {
        if !app.state.holds(Role::Keeper) {
            continue;
        }
        let (work, speaker) = (app.clone(), speaker.clone());
        let done = tokio::task::spawn_blocking(move || decide(&work, &speaker)).await;
        match done {
            Ok(Ok(true)) => bell.ring(),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!(%error, "it could not be decided about rechecks"),
            Err(error) => tracing::error!(%error, "it could not be decided about rechecks"),
        }
    }
}

/// True when another run was asked for.
fn decide(app: &App, speaker: &Speaker) -> Result<bool, crate::state::StateError> {
    let rules = app.engine.rules();
    let most: BTreeMap<&str, u32> = rules
        .fingerprints
        .iter()
        .filter_map(|rule| Some((rule.id.as_str(), rule.retry?)))
        .collect();
    if most.is_empty() {
        app.state.forget_rechecks()?;
        return Ok(false);
    }
    let judge = Judge {
        settings: &app.config.recheck,
        retry: &|id| most.get(id).copied(),
        ask: &|project, change, patchset, bugs| speaker.recheck(project, change, patchset, bugs),
        only_shown: &|project| tell::only_shown(&app.config, project),
    };
    let mut asked = false;
    loop {
        let made = consider(&app.state, &judge, Timestamp::now())?;
        for one in &made {
            let (change, patchset) = (&one.change, &one.patchset);
            let decision = one.decision.as_str();
            tracing::info!(change, patchset, decision, reason = one.reason, "recheck");
            asked |= one.decision == RecheckAnswer::Ask;
        }
        if made.is_empty() {
            return Ok(asked);
        }
    }
}

/// One decision.
#[derive(Debug)]
struct DecisionRow {
    at: String,
    what: String,
    decision: &'static str,
    reason: String,
}

/// One recheck.
#[derive(Debug)]
struct RecheckRow {
    at: String,
    what: String,
    by: String,
    kind: &'static str,
    reason: String,
    state: &'static str,
}

/// The ledger.
#[derive(Debug, Template)]
#[template(path = "rechecks.html")]
struct Rechecks {
    page: &'static str,
    dry_run: bool,
    rules: usize,
    open: u64,
    decisions: Vec<DecisionRow>,
    ledger: Vec<RecheckRow>,
}

/// `GET /rechecks`.
pub(super) async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let found = blocking(&app, |app| {
        let state = &app.state;
        let decisions = state.recheck_decisions(SHOWN).map_err(ApiError::internal)?;
        let rechecks = state.rechecks(SHOWN).map_err(ApiError::internal)?;
        let open = state.rechecks_open().map_err(ApiError::internal)?;
        Ok((decisions, rechecks, open))
    });
    let (decisions, rechecks, open) = found.await?;
    let rules = app.engine.rules();
    html(&Rechecks {
        page: "/notes",
        dry_run: app.config.recheck.dry_run,
        rules: rules
            .fingerprints
            .iter()
            .filter(|rule| rule.retry.is_some())
            .count(),
        open,
        decisions: decisions.into_iter().map(decision_row).collect(),
        ledger: rechecks.into_iter().map(recheck_row).collect(),
    })
}

/// `GET /api/v1/rechecks`.
pub(super) async fn api(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let found = blocking(&app, |app| {
        let state = &app.state;
        let decisions = state.recheck_decisions(SHOWN).map_err(ApiError::internal)?;
        let rechecks = state.rechecks(SHOWN).map_err(ApiError::internal)?;
        let open = state.rechecks_open().map_err(ApiError::internal)?;
        Ok(json!({"decisions": decisions, "rechecks": rechecks, "open": open}))
    });
    Ok(Json(found.await?))
}

fn named(project: &str, change: &str, patchset: &str) -> String {
    format!("{project}#{change},{}", short(patchset))
}

fn decision_row(one: RecheckDecision) -> DecisionRow {
    DecisionRow {
        at: when(Some(one.at)),
        what: named(&one.project, &one.change, &one.patchset),
        decision: match (one.decision, one.dry) {
            (RecheckAnswer::Ask, true) => "would have asked (dry run)",
            (RecheckAnswer::Ask, false) => "asked",
            (RecheckAnswer::Later, _) => "later",
            (RecheckAnswer::No, _) => "no",
        },
        reason: one.reason,
    }
}

fn recheck_row(one: Recheck) -> RecheckRow {
    RecheckRow {
        at: when(Some(one.at)),
        what: named(&one.project, &one.change, &one.patchset),
        by: one.by,
        kind: match one.kind {
            RecheckKind::Rule => "rule",
            RecheckKind::Command => "command",
            RecheckKind::Comment => "comment",
        },
        reason: one.reason.unwrap_or_else(|| "none given".into()),
        state: if one.dry { "dry run" } else { "asked" },
    }
}
