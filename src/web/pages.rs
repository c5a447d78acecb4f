//! The pages: facts from the state, put into the views.

use super::error::ApiError;
use super::view::{self, BugRow, BuildPage, Count, Found, NoteRow, RateView, Shown};
use super::{App, blocking};
use crate::chaos::measure::{Measured, Score};
use crate::classify::engine::{ClusterStatus, Rule, Rules};
use crate::event::{Build, Match, Verdict};
use crate::note::{DRY_RUN, Tracked, ago};
use crate::state::{
    BugRow as KnownBug, BuildFilter, BuildRow, FingerprintStats, LogRow, NoteFilter, NoteState,
    Place, ReportData, StateError, StoredBuild,
};
use crate::tracker::{closed_since, returned};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Hours in the charts: ten days.
const HOURS: i64 = 240;

/// Renders a page.
pub(super) fn html(page: &impl Template) -> Result<Response, ApiError> {
    let text = page.render().map_err(ApiError::internal)?;
    Ok(Html(text).into_response())
}

/// A time as pages show it.
pub(super) fn when(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "–".into(), |t| t.strftime("%Y-%m-%d %H:%M").to_string())
}

/// `/style.css`.
pub(super) async fn style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, include_str!("../../templates/style.css"))
}

/// Any other address.
pub(super) async fn missing() -> Response {
    message(
        StatusCode::NOT_FOUND,
        "Not found",
        "There is nothing at this address.",
    )
}

/// A page with one message.
pub(super) fn message(status: StatusCode, heading: &str, text: &str) -> Response {
    let page = view::Message {
        page: "",
        heading: heading.into(),
        text: text.into(),
    };
    match html(&page) {
        Ok(body) => (status, body).into_response(),
        Err(error) => error.into_response(),
    }
}

/// `/`.
pub(super) async fn overview(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let page = blocking(&app, |app| overview_view(app).map_err(ApiError::internal)).await?;
    html(&page)
}

/// What the overview counts.
pub(super) struct Counted {
    data: ReportData,
    /// Failed builds by hour: explained, and all others.
    hours: Vec<(Timestamp, u64, u64)>,
}

fn counted(app: &App, now: Timestamp) -> Result<Arc<Counted>, StateError> {
    app.overview.get(Instant::now, || {
        Ok(Counted {
            data: app.state.report_data(now, 10)?,
            hours: app.state.failures_by_hour(now)?,
        })
    })
}

fn overview_view(app: &App) -> Result<view::Overview, StateError> {
    let now = Timestamp::now();
    let counted = counted(app, now)?;
    let Counted { data, hours } = &*counted;
    let rules = app.engine.rules();
    let mut bugs = bug_rows(app, &data.fingerprints, &rules)?;
    bugs.retain(|b| !b.hidden && b.builds_all > 0);
    bugs.truncate(15);
    let last = app.state.reports(1)?.into_iter().next();
    let stale = last
        .as_ref()
        .is_some_and(|r| super::service::stale(&app.config.report.schedule, r.at, now));
    let progress = app
        .progress
        .get()
        .map_or_else(String::new, |(done, total)| {
            format!(
                "The fingerprints have changed: {done} of {total} stored builds looked at again."
            )
        });
    let unexplained = data.unexplained.total;
    Ok(view::Overview {
        page: "/",
        notices: [app.chaos(), app.engine.troubles(), app.engine.warnings()].concat(),
        rate: rate(data),
        verdicts: counts(data),
        last_report: last.map_or_else(
            || "No report was made yet.".into(),
            |r| format!("Last report: {} ({}).", when(Some(r.at)), r.summary),
        ),
        stale,
        progress,
        chart: failures_chart(hours, now),
        caption: "Known bugs by failed builds in 24 hours, then in 10 days".into(),
        bugs,
        build_caption: format!(
            "The newest of {unexplained} failed builds that no fingerprint explains"
        ),
        builds: data.unexplained.items.iter().map(build_row).collect(),
        broken: broken(&rules),
        library: library(&rules),
        log_store: app.engine.cluster().map(log_store),
    })
}

/// What is wrong with the cluster that keeps the logs, if anything is.
pub(super) fn cluster_problem(app: &App) -> String {
    let status = app.engine.cluster();
    status.and_then(|s| s.problem).unwrap_or_default()
}

fn log_store(status: ClusterStatus) -> view::LogStore {
    let (state, class) = match (status.reached, status.breaker_open) {
        (_, true) => ("left alone for a while after failures in a row", "bad"),
        (false, _) => ("not reached since the start", "bad"),
        (true, false) => ("answers", "good"),
    };
    let mut facts = vec![
        (
            "Requests",
            format!("{} ({} of them repeated)", status.requests, status.repeated),
        ),
        (
            "Moved",
            format!(
                "{} sent, {} received",
                view::size(status.sent_bytes),
                view::size(status.received_bytes)
            ),
        ),
    ];
    if status.foreign {
        facts.push((
            "Further requests for large builds",
            format!(
                "{} pages of events, {} parts of the queries",
                status.extra_pages, status.splits
            ),
        ));
        facts.push((
            "Builds that wait for their log",
            status.waiting_builds.to_string(),
        ));
    } else {
        facts.push(("Builds to index", status.unindexed_builds.to_string()));
    }
    view::LogStore {
        state,
        class,
        problem: status.problem.unwrap_or_default(),
        facts,
    }
}

fn library(rules: &Rules) -> String {
    let version: String = rules.version.chars().take(12).collect();
    format!(
        "{} fingerprints in force, version {version}.",
        rules.fingerprints.len()
    )
}

fn broken(rules: &Rules) -> Vec<view::Broken> {
    let files = rules.broken.iter().map(|b| view::Broken {
        place: b.place.clone(),
        message: b.message.clone(),
    });
    files.collect()
}

fn sum(data: &ReportData, verdict: Verdict) -> u64 {
    let all = data.tallies.iter().filter(|t| t.place == Place::All);
    let of = all.filter(|t| t.verdict == verdict);
    of.map(|t| t.builds_10d).sum()
}

fn counts(data: &ReportData) -> Vec<Count> {
    let count = |verdict: Verdict| Count {
        verdict: verdict.as_str(),
        builds: sum(data, verdict),
    };
    Verdict::ALL.into_iter().map(count).collect()
}

fn rate(data: &ReportData) -> RateView {
    let explained = sum(data, Verdict::Matched);
    let all = explained + sum(data, Verdict::Unmatched);
    if all == 0 {
        return RateView {
            percent: "–".into(),
            text: "0 of 0 failed builds".into(),
            interval: String::new(),
        };
    }
    let (low, high) = crate::report::wilson(explained, all).unwrap_or((0.0, 1.0));
    RateView {
        percent: format!("{:.1} %", explained as f64 / all as f64 * 100.0),
        text: format!("{explained} of {all} failed builds"),
        interval: format!("{:.1} – {:.1} %", low * 100.0, high * 100.0),
    }
}

/// Failed builds by hour: explained, and all others.
fn failures_chart(counted: &[(Timestamp, u64, u64)], now: Timestamp) -> String {
    let hours = counted
        .iter()
        .map(|(hour, explained, others)| (hour.as_second().div_euclid(3600), (*explained, *others)))
        .collect();
    view::chart("Failed builds by hour", &bars(now, &hours))
}

fn bars(now: Timestamp, hours: &HashMap<i64, (u64, u64)>) -> Vec<(String, u64, u64)> {
    let last = now.as_second().div_euclid(3600);
    let bar = |hour: i64| {
        let (a, b) = hours.get(&hour).copied().unwrap_or_default();
        (when(Timestamp::from_second(hour * 3600).ok()), a, b)
    };
    (last - HOURS + 1..=last).map(bar).collect()
}

fn bug_rows(
    app: &App,
    stats: &[FingerprintStats],
    rules: &Rules,
) -> Result<Vec<BugRow>, StateError> {
    let told = app.state.bugs()?;
    let told: HashMap<&str, &KnownBug> = told.iter().map(|b| (b.name.as_str(), b)).collect();
    let by_id: HashMap<&str, &FingerprintStats> =
        stats.iter().map(|s| (s.fingerprint.as_str(), s)).collect();
    let known = rules.fingerprints.iter();
    let measured = app.measurement.current();
    let mut rows: Vec<BugRow> = known
        .map(|r| {
            let known = told.get(r.bug.name.as_str()).copied();
            let mut row = bug_row(app, r, by_id.get(r.id.as_str()).copied(), known);
            row.measured = in_words(measured.as_deref(), &r.id);
            row
        })
        .collect();
    rows.sort_by(|a, b| {
        (b.builds_day, b.builds_all, &a.id).cmp(&(a.builds_day, a.builds_all, &b.id))
    });
    Ok(rows)
}

/// What was measured of a fingerprint.
fn in_words(measured: Option<&Measured>, id: &str) -> String {
    let score = measured.and_then(|measured| measured.of(id));
    score.map_or_else(String::new, Score::in_words)
}

fn bug_row(
    app: &App,
    rule: &Rule,
    stats: Option<&FingerprintStats>,
    known: Option<&KnownBug>,
) -> BugRow {
    let tracked = known.and_then(|known| Tracked::of(known, app.stale_after(), app.now()));
    let mut row = BugRow {
        id: rule.id.clone(),
        name: rule.bug.name.clone(),
        title: rule.title.clone(),
        category: rule.category.clone().unwrap_or_default(),
        hidden: rule.hidden,
        last_seen: "never".into(),
        passing: "–".into(),
        status: tracked
            .as_ref()
            .map_or_else(String::new, |t| t.in_words(None)),
        stale: tracked.and_then(|t| t.ago).unwrap_or_default(),
        ..BugRow::default()
    };
    let Some(stats) = stats else {
        return row;
    };
    let all = stats.builds_10d + stats.passing_builds_10d;
    row.builds_day = stats.builds_24h;
    row.builds_all = stats.builds_10d;
    row.hits = stats.hits_10d;
    let grace = SignedDuration::try_from(app.config.trackers.returned_after.0);
    let facts = known.and_then(|known| known.facts.as_ref());
    row.returned = returned(
        closed_since(facts, rule.resolved_at),
        stats.last_seen,
        grace.unwrap_or(SignedDuration::MAX),
    );
    row.last_seen = when(stats.last_seen);
    if all > 0 {
        row.passing = format!("{} of {all}", stats.passing_builds_10d);
    }
    row
}

/// `/bugs`.
pub(super) async fn bugs(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let rows = blocking(&app, |app| {
        let stats = app.state.fingerprint_stats(Timestamp::now());
        let stats = stats.map_err(ApiError::internal)?;
        bug_rows(app, &stats, &app.engine.rules()).map_err(ApiError::internal)
    });
    let bugs = rows.await?;
    html(&view::Bugs {
        page: "/bugs",
        caption: format!(
            "{} fingerprints, by failed builds in 24 hours, then in 10 days",
            bugs.len()
        ),
        bugs,
        broken: app.engine.rules().broken.len(),
    })
}

/// `/bugs/{id}`.
pub(super) async fn bug(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let rules = app.engine.rules();
    let Some(rule) = rules.fingerprints.iter().find(|r| r.id == id).cloned() else {
        let text = format!("There is no fingerprint {id} in force.");
        return Ok(message(StatusCode::NOT_FOUND, "Not found", &text));
    };
    let page = blocking(&app, move |app| {
        bug_view(app, &rule).map_err(ApiError::internal)
    })
    .await?;
    html(&page)
}

fn bug_view(app: &App, rule: &Rule) -> Result<view::Bug, StateError> {
    let now = Timestamp::now();
    let stats = app.state.fingerprint_stats(now)?;
    let stats = stats.into_iter().find(|s| s.fingerprint == rule.id);
    let page = app.state.builds(&BuildFilter {
        fingerprint: Some(rule.id.clone()),
        limit: 100,
        ..BuildFilter::default()
    })?;
    let known = app.state.bug(&rule.bug.name)?;
    let mut hours = HashMap::new();
    for (at, builds) in stats.iter().flat_map(|s| &s.histogram) {
        hours.insert(at.as_second().div_euclid(3600), (*builds, 0));
    }
    let facts = [("Owner", &rule.owner), ("Advice", &rule.advice)];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    Ok(view::Bug {
        page: "/bugs",
        bug: BugRow {
            measured: in_words(app.measurement.current().as_deref(), &rule.id),
            ..bug_row(app, rule, stats.as_ref(), known.as_ref())
        },
        tracker: known.as_ref().map(|known| tracker_facts(app, known)),
        url: view::link(rule.bug.url.as_deref()),
        facts: facts.collect(),
        first_seen: stats
            .as_ref()
            .map_or_else(|| "never".into(), |s| when(s.first_seen)),
        chart: view::chart("Failed builds with this bug by hour", &bars(now, &hours)),
        source: rule.source.clone(),
        build_caption: format!("The newest {} of {} builds", page.items.len(), page.total),
        builds: page.items.iter().map(build_row).collect(),
    })
}

/// What is known of a bug from its tracker, with its age.
fn tracker_facts(app: &App, known: &KnownBug) -> view::TrackerFacts {
    let error = known.error.clone().unwrap_or_default();
    let now = app.now();
    let Some(tracked) = Tracked::of(known, app.stale_after(), now) else {
        return view::TrackerFacts {
            error,
            ..view::TrackerFacts::default()
        };
    };
    let reviews = tracked.reviews.into_iter();
    view::TrackerFacts {
        title: tracked.title,
        status: tracked.status,
        assignee: tracked.assignee.unwrap_or_default(),
        age: ago(now.duration_since(tracked.at)),
        stale: tracked.as_of.is_some(),
        error,
        reviews: reviews
            .map(|review| (review.title, view::link(Some(&review.url))))
            .collect(),
    }
}

/// `/unexplained`.
pub(super) async fn unexplained(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let filter = BuildFilter {
        verdict: Some(Verdict::Unmatched),
        failed_only: true,
        limit: 200,
        ..BuildFilter::default()
    };
    let explanation =
        "Failed builds whose whole log was read and in which no fingerprint has a hit.";
    list(
        &app,
        filter,
        ("/unexplained", "Unexplained builds", explanation),
    )
    .await
}

/// `/builds`.
pub(super) async fn builds(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let filter = BuildFilter {
        limit: 200,
        ..BuildFilter::default()
    };
    list(
        &app,
        filter,
        (
            "/builds",
            "Builds",
            "Every build, passing ones too, newest first.",
        ),
    )
    .await
}

async fn list(
    app: &Arc<App>,
    filter: BuildFilter,
    (page, heading, explanation): (&'static str, &'static str, &'static str),
) -> Result<Response, ApiError> {
    let found = blocking(app, move |app| {
        app.state.builds(&filter).map_err(ApiError::internal)
    })
    .await?;
    html(&view::Builds {
        notice: cluster_problem(app),
        page,
        heading,
        explanation,
        build_caption: format!("The newest {} of {}", found.items.len(), found.total),
        builds: found.items.iter().map(build_row).collect(),
    })
}

fn build_row(row: &BuildRow) -> view::BuildRow {
    let first = row.matches.first();
    view::BuildRow {
        uuid: row.uuid.clone(),
        short: view::short(&row.uuid),
        failed: row.failed,
        bug: first.map_or_else(String::new, |m| m.fingerprint.clone()),
        bug_title: first.map_or_else(String::new, |m| m.title.clone()),
        more_bugs: row.matches.len().saturating_sub(1),
        job: row.job.clone().unwrap_or_default(),
        project: row.project.clone().unwrap_or_default(),
        branch: row.branch.clone().unwrap_or_default(),
        result: row.result.clone().unwrap_or_default(),
        verdict: row.verdict.as_str(),
        finished: when(Some(row.at)),
    }
}

/// `/builds/{uuid}`.
pub(super) async fn build(
    State(app): State<Arc<App>>,
    Path(uuid): Path<String>,
) -> Result<Response, ApiError> {
    let wanted = uuid.clone();
    let found = blocking(&app, move |app| {
        app.state.build(&wanted).map_err(ApiError::internal)
    })
    .await?;
    match found {
        Some(stored) => {
            let mut view = build_view(&app.redacted(stored.clone()));
            if stored.verdict == Verdict::Pending && view.why.is_empty() {
                view.why = cluster_problem(&app);
            }
            html(&view)
        }
        None => Ok(message(
            StatusCode::NOT_FOUND,
            "Not found",
            &format!("There is no build {uuid}."),
        )),
    }
}

fn build_view(stored: &StoredBuild) -> BuildPage {
    let build = &stored.build;
    let facts = [
        ("Project", build.project.clone()),
        ("Branch", build.branch.clone()),
        ("Pipeline", build.pipeline.clone()),
        ("Change", build.change.clone()),
        ("Patchset", build.patchset.clone()),
        ("Result", build.result.clone()),
        ("Finished", build.finished.map(|t| when(Some(t)))),
        ("Verdict given", stored.verdict_at.map(|t| when(Some(t)))),
        (
            "Fingerprints",
            stored
                .rules_version
                .as_ref()
                .map(|v| v.chars().take(12).collect()),
        ),
    ];
    BuildPage {
        page: "/builds",
        build: view::BuildRow {
            uuid: build.uuid.clone(),
            failed: build.failed(),
            job: build.job.clone().unwrap_or_default(),
            verdict: stored.verdict.as_str(),
            ..view::BuildRow::default()
        },
        why: stored.problems.join("; "),
        facts: facts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        log_url: view::link(build.log_url.as_deref()),
        matches: stored.matches.iter().map(|m| found(stored, m)).collect(),
        files: stored.logs.iter().map(|l| log_file(build, l)).collect(),
    }
}

fn log_file(build: &Build, log: &LogRow) -> view::LogFile {
    view::LogFile {
        name: log.name.clone(),
        size: view::size(log.bytes),
        link: view::log_link(&build.uuid, &log.name),
    }
}

/// The address of a line of evidence; empty when its file is not one of the kept logs.
pub(super) fn line_link(stored: &StoredBuild, file: &str, line: u64) -> String {
    if !stored.logs.iter().any(|l| l.name == file) {
        return String::new();
    }
    let log = view::log_link(&stored.build.uuid, file);
    format!("{log}?line={line}#L{line}")
}

fn found(stored: &StoredBuild, found: &Match) -> Found {
    let hits = if found.hits == 1 {
        "1 hit".into()
    } else {
        format!("{} hits", found.hits)
    };
    let shown = found.evidence.iter().map(|e| Shown {
        place: format!("{}:{}", e.file, e.line),
        link: line_link(stored, &e.file, e.line),
        pieces: view::pieces(&e.excerpt, &e.spans),
    });
    Found {
        id: found.fingerprint.clone(),
        title: found.title.clone(),
        bug: found.bug.name.clone(),
        url: view::link(found.bug.url.as_deref()),
        hits,
        returned: found.returned,
        advice: found.advice.clone().unwrap_or_default(),
        evidence: shown.collect(),
    }
}

/// `/notes`.
pub(super) async fn notes(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let filter = NoteFilter {
        limit: 200,
        ..NoteFilter::default()
    };
    let found = blocking(&app, move |app| {
        app.state.notes(&filter).map_err(ApiError::internal)
    })
    .await?;
    let (all, dry) = (
        app.told.len(),
        app.told.values().filter(|sent| !**sent).count(),
    );
    let row = |note: crate::state::Note| NoteRow {
        id: note.id,
        short: note.build.as_deref().map(view::short).unwrap_or_default(),
        uuid: note.build.unwrap_or_default(),
        channel: note.target,
        state: match note.remote.as_deref() {
            Some(DRY_RUN) => "dry run: shown only here".into(),
            _ => note.state.as_str().into(),
        },
        error: note.error.unwrap_or_default(),
        subject: view::subject(&note.text),
        text: note.text,
        tries: note.attempts,
        made: when(Some(note.created_at)),
        can_retry: note.state == NoteState::Parked,
    };
    html(&view::Notes {
        page: "/notes",
        channels: match (all, dry) {
            _ if app.config.notes.dry_run => "A dry run: nobody is told.".into(),
            (0, _) => "No target is configured, so they stay here.".into(),
            (1, 0) => "One target hears them.".into(),
            (1, _) => "A dry run: the one target is told nothing.".into(),
            (_, 0) => format!("{all} targets hear them."),
            _ => format!(
                "{} of {all} targets hear them; the others are a dry run.",
                all - dry
            ),
        },
        notes: found.items.into_iter().map(row).collect(),
    })
}

/// `POST /notes/{id}/retry`.
pub(super) async fn retry_note(
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<Redirect, ApiError> {
    let retried = blocking(&app, move |app| match app.state.retry_note(id) {
        Err(StateError::NoSuchNote(id)) => Err(ApiError::missing(format!("no note {id}"))),
        other => other.map_err(ApiError::internal),
    });
    retried.await?;
    Ok(Redirect::to("/notes"))
}
