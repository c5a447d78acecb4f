//! The service: intake API, pages, metrics, health.
//!
//! In: HTTP requests. Out: pages and JSON. Invariants: everything that strangers wrote is escaped;
//! no page needs a script; a handler never holds more of a log than one chunk; blocking work runs on
//! blocking threads.

mod api;
mod arrivals;
pub mod channels;
pub mod commands;
mod comments;
mod digests;
mod ears;
mod elsewhere;
mod error;
pub mod forges;
mod guard;
mod happenings;
mod health;
mod hush;
mod in_hand;
mod indexer;
mod intake;
pub mod irc;
mod json;
mod kept;
mod local;
mod logs;
mod marks;
mod measured;
mod pages;
mod patient;
mod rechecks;
mod remote;
mod reports;
mod search;
mod service;
mod sources;
mod status;
mod tell;
mod turns;
mod view;

pub use local::{Local, LocalError};
pub use service::{Clock, Service, ServiceError};

use crate::chaos::driver;
use crate::classify::engine::Engine;
use crate::classify::meter::{ClusterMeter, Meter};
use crate::classify::pipeline::Pipeline;
use crate::classify::reclassify::Progress;
use crate::classify::spool::Spool;
use crate::config::Config;
use crate::note::redact::Redactor;
use crate::source::Desk;
use crate::state::{State, StoredBuild};
use axum::Router;
use axum::routing::{get, post, put};
use error::ApiError;
use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::{PrometheusHandle, PrometheusRecorder};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The pages of the menu.
pub(crate) const PAGES: [(&str, &str); 9] = [
    ("/", "Overview"),
    ("/bugs", "Known bugs"),
    ("/unexplained", "Unexplained"),
    ("/builds", "Builds"),
    ("/search", "Search"),
    ("/notes", "Notes"),
    ("/reports", "Reports"),
    ("/measured", "Measured"),
    ("/status", "Status"),
];

/// What every handler can reach.
pub(crate) struct App {
    config: Config,
    state: Arc<State>,
    engine: Arc<dyn Engine>,
    pipeline: Arc<Pipeline>,
    desk: Arc<Desk>,
    progress: Arc<Progress>,
    spool: Spool,
    meter: Arc<Meter>,
    /// Only where a cluster keeps the logs.
    cluster_meter: Option<ClusterMeter>,
    /// Makes the metrics of sources, whose names are not known before.
    recorder: PrometheusRecorder,
    prometheus: PrometheusHandle,
    redactor: Redactor,
    measurement: measured::Measurement,
    /// Who is told, and whether it is really sent there.
    told: BTreeMap<String, bool>,
    clock: Clock,
    /// Background tasks that ended though they should not.
    ended: Mutex<Vec<&'static str>>,
    /// How many may work at the same time for those who ask.
    turns: turns::Turns,
    /// What the overview counts.
    overview: kept::Kept<pages::Counted>,
    /// One of them is held while a build's logs change, so that file and record say the same.
    locks: [Mutex<()>; LOCKS],
}

/// Builds with the same number share a lock.
const LOCKS: usize = 64;

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl App {
    fn config(&self) -> &Config {
        &self.config
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Makes others wait who change the logs of the same build.
    fn hold(&self, uuid: &str) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(uuid);
        let at = usize::try_from(hash % LOCKS as u64).unwrap_or(0);
        held(&self.locks[at])
    }

    /// What people are told while calls fail on purpose.
    fn chaos(&self) -> Vec<String> {
        let plan = self.state.plan().into_iter();
        plan.map(|plan| driver::warning(plan)).collect()
    }

    /// The build without the secrets in its evidence, in where its logs are and in what went wrong.
    fn redacted(&self, mut stored: StoredBuild) -> StoredBuild {
        for place in stored.matches.iter_mut().flat_map(|m| &mut m.evidence) {
            *place = self.redactor.evidence(place);
        }
        self.redact_url(&mut stored.build.log_url);
        for problem in &mut stored.problems {
            *problem = self.redactor.text(problem);
        }
        stored
    }

    /// An address can hold a secret too.
    fn redact_url(&self, url: &mut Option<String>) {
        if let Some(url) = url {
            *url = self.redactor.text(url);
        }
    }

    /// After how long what a tracker said may no longer be so.
    fn stale_after(&self) -> SignedDuration {
        let configured = SignedDuration::try_from(self.config.trackers.stale_after.0);
        configured.unwrap_or(SignedDuration::MAX)
    }

    fn report_dir(&self) -> PathBuf {
        self.config.shared_dir().join("reports")
    }
}

/// Nothing is left half done by a panic while one of our locks is held.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs blocking work for a handler, when it is its turn.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let turn = app.turns.handler().await?;
    let app = app.clone();
    let done = tokio::task::spawn_blocking(move || {
        // Held until the work is done, even when nobody waits for it any more.
        let _turn = turn;
        work(&app)
    })
    .await;
    done.unwrap_or_else(|error| Err(ApiError::internal(error)))
}

/// All addresses of the service.
fn router(app: Arc<App>) -> Router {
    let writers = axum::middleware::from_fn_with_state(app.clone(), guard::writers);
    Router::new()
        .route("/", get(pages::overview))
        .route("/bugs", get(pages::bugs))
        .route("/bugs/{id}", get(pages::bug))
        .route("/unexplained", get(pages::unexplained))
        .route("/builds", get(pages::builds))
        .route("/builds/{uuid}", get(pages::build))
        .route("/builds/{uuid}/logs/{*path}", get(logs::page))
        .route("/search", get(search::page))
        .route("/notes", get(pages::notes))
        .route("/notes/{id}/retry", post(pages::retry_note))
        .route("/status", get(status::page))
        .merge(hush::routes())
        .route("/rechecks", get(rechecks::page))
        .route("/api/v1/rechecks", get(rechecks::api))
        .route("/reports", get(reports::list).post(reports::make_page))
        .route("/reports/{file}", get(reports::file))
        .route("/measured", get(measured::page))
        .route("/api/v1/measured", get(measured::api))
        .route("/style.css", get(pages::style))
        .route("/api/v1/builds", get(api::builds))
        .route(
            "/api/v1/builds/{uuid}",
            put(intake::put_build).get(api::build),
        )
        .route(
            "/api/v1/builds/{uuid}/logs/{*path}",
            put(intake::put_log).get(logs::raw),
        )
        .route("/api/v1/builds/{uuid}/complete", post(intake::complete))
        .route("/api/v1/builds/{uuid}/fetch", post(intake::fetch))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/fingerprints", get(api::fingerprints))
        .route("/api/v1/search", get(search::api))
        .route("/api/v1/report", get(api::report).post(reports::make_api))
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(pages::missing)
        .layer(writers)
        .layer(axum::middleware::from_fn(guard::headers))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(tower_http::trace::TraceLayer::new_for_http())
        .with_state(app)
}
