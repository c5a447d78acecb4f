//! Looks at the builds of all tenants, again and again.

use super::Unusable;
use super::ask::{Ask, AskError, Reply};
use super::look::{Look, Mark};
use crate::config::ZuulSource;
use crate::event::FieldValue;
use crate::source::Desk;
use crate::source::pace::{Backoff, spread};
use crate::source::zuul::choose::Choice;
use crate::source::zuul::{Finished, reported};
use crate::state::StateError;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Longest pause after errors.
const LONGEST: Duration = Duration::from_secs(900);
/// Longest pause that a server may ask for.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Buildsets that are asked for because of one page.
const BUILDSETS: usize = 20;
/// What the server says to a parameter that it does not know.
const UNEXPECTED: &str = "Unexpected query string";

/// How far each tenant was heard.
type Marks = BTreeMap<String, Mark>;

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the state: {0}")]
    State(#[from] StateError),
}

/// A page as it was, so that it need not be sent again.
#[derive(Debug, Clone)]
struct Page {
    etag: String,
    json: Arc<Value>,
}

/// The looks at one Zuul.
#[derive(Debug)]
pub(super) struct Poll {
    name: String,
    ask: Ask,
    tenants: Vec<String>,
    choice: Choice,
    every: Duration,
    look_back: SignedDuration,
    first: SignedDuration,
    page: usize,
    max_pages: usize,
    /// Parameters that this version of Zuul does not know: 1 `exclude_result`, 2 `complete` too.
    without: AtomicU8,
    pages: Mutex<BTreeMap<Url, Page>>,
}

impl Poll {
    pub(super) fn new(config: &ZuulSource, url: &Url, choice: Choice) -> Result<Self, Unusable> {
        let span =
            |period: Duration| SignedDuration::try_from(period).unwrap_or(SignedDuration::MAX);
        let mut tenants = config.tenants.clone();
        if tenants.is_empty() {
            tenants.push(String::new());
        }
        Ok(Self {
            name: config.name.clone(),
            ask: Ask::new(config, url)?,
            tenants,
            choice,
            every: config.every.0,
            look_back: span(config.look_back.0),
            first: span(config.first.0),
            page: config.page,
            max_pages: config.max_pages,
            without: AtomicU8::new(0),
            pages: Mutex::default(),
        })
    }

    /// Looks until it is stopped.
    pub(super) async fn run(&self, desk: &Arc<Desk>, stop: &CancellationToken) {
        let mut backoff = Backoff::new(self.every, LONGEST);
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.all(desk) => looked,
            };
            let now = Timestamp::now();
            let pause = match looked {
                Ok(()) => {
                    desk.connected(&self.name, now, None);
                    backoff.reset();
                    spread(self.every)
                }
                Err((error, wait)) => {
                    tracing::warn!(source = %self.name, %error, "Zuul was not heard");
                    desk.connected(&self.name, now, Some(error));
                    backoff.next().max(wait.min(PATIENCE))
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Looks at each tenant; one that cannot be asked is in no other's way.
    async fn all(&self, desk: &Arc<Desk>) -> Result<(), (String, Duration)> {
        let (mut errors, mut longest) = (Vec::new(), Duration::ZERO);
        for tenant in &self.tenants {
            let Err(error) = self.tenant(desk, tenant).await else {
                continue;
            };
            if let LookError::Ask(AskError::Status {
                wait: Some(wait), ..
            }) = &error
            {
                longest = longest.max(*wait);
            }
            let of = if tenant.is_empty() {
                String::new()
            } else {
                format!("tenant {tenant}: ")
            };
            errors.push(format!("{of}{error}"));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err((errors.join("; "), longest))
        }
    }

    async fn tenant(&self, desk: &Arc<Desk>, tenant: &str) -> Result<(), LookError> {
        let mut marks = self.marks(desk).await?;
        let before = marks.get(tenant).cloned().unwrap_or_default();
        let now = Timestamp::now();
        let mut look = Look::new(before.clone(), self.look_back, self.first, now);
        let (mut skip, mut pages) = (0, 0);
        while !look.ended && pages < self.max_pages {
            let json = self.builds(tenant, skip).await?;
            let (builds, count) = self.read(desk, tenant, &json)?;
            let new = look.page(builds, count);
            self.hand_in(desk, tenant, new, &mut marks, &look).await?;
            (skip, pages) = (skip + count, pages + 1);
        }
        if !look.ended {
            let most = self.max_pages;
            desk.heard(
                &self.name,
                now,
                0,
                &[format!("what lies behind {most} pages of builds")],
            );
        }
        let after = look.finish();
        if after != before && marks.get(tenant) != Some(&after) {
            marks.insert(tenant.to_owned(), after);
            desk.announce(&self.name, Vec::new(), Some(text(&marks)?))
                .await?;
        }
        Ok(())
    }

    async fn marks(&self, desk: &Arc<Desk>) -> Result<Marks, StateError> {
        let Some(text) = desk.mark(&self.name).await? else {
            return Ok(Marks::new());
        };
        // A mark of another kind under this name: all is looked at once more, which does no harm.
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Gives the new builds of a page to the desk, with what is known now.
    async fn hand_in(
        &self,
        desk: &Arc<Desk>,
        tenant: &str,
        new: Vec<Finished>,
        marks: &mut Marks,
        look: &Look,
    ) -> Result<(), LookError> {
        if new.is_empty() {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for one in new.iter().filter(|one| self.choice.take(one).is_some()) {
            wanted.push(one.clone());
        }
        self.complete(tenant, &mut wanted).await?;
        let all: Vec<_> = wanted
            .iter()
            .filter_map(|one| self.choice.take(one))
            .collect();
        let (now, count) = (Timestamp::now(), new.len() as u64);
        marks.insert(tenant.to_owned(), look.mark().clone());
        desk.announce(&self.name, all, Some(text(marks)?)).await?;
        desk.heard(&self.name, now, count, &[]);
        Ok(())
    }

    /// One page of the list.
    async fn builds(&self, tenant: &str, skip: usize) -> Result<Arc<Value>, AskError> {
        loop {
            let without = self.without.load(Ordering::Relaxed);
            let url = self.address(tenant, skip, without);
            let kept = self.held().get(&url).cloned();
            let etag = kept.as_ref().map(|page| page.etag.as_str());
            match (self.ask.get(url.clone(), etag).await, kept) {
                (Ok(Reply::Same), Some(page)) => return Ok(page.json),
                (Ok(Reply::Same), None) => return Err(AskError::Malformed("304".into())),
                (Ok(Reply::Json(json, etag)), _) => return Ok(self.keep(url, json, etag, skip)),
                (Err(error), _) if without < 2 && is_unexpected(&error) => {
                    self.without.store(without + 1, Ordering::Relaxed);
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    fn address(&self, tenant: &str, skip: usize, without: u8) -> Url {
        let (limit, skip) = (self.page.to_string(), skip.to_string());
        let mut query = vec![("limit", limit.as_str()), ("skip", skip.as_str())];
        if without < 2 {
            query.push(("complete", "true"));
        }
        if without < 1 && self.choice.only_failures() {
            query.extend(["SUCCESS", "SKIPPED"].map(|word| ("exclude_result", word)));
        }
        query.extend(self.choice.query());
        self.ask.at(tenant, &["builds"], &query)
    }

    /// Keeps the first pages, where the server gives them names.
    fn keep(&self, url: Url, json: Value, etag: Option<String>, skip: usize) -> Arc<Value> {
        let json = Arc::new(json);
        match etag {
            Some(etag) if skip == 0 => {
                let page = Page {
                    etag,
                    json: json.clone(),
                };
                self.held().insert(url, page);
            }
            _ => {
                self.held().remove(&url);
            }
        }
        json
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<Url, Page>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The builds of a page, and how many things are on it.
    fn read(
        &self,
        desk: &Arc<Desk>,
        tenant: &str,
        json: &Value,
    ) -> Result<(Vec<Finished>, usize), AskError> {
        let list = json.as_array();
        let count = list
            .ok_or_else(|| AskError::Malformed("no list of builds".into()))?
            .len();
        let found =
            reported(json).ok_or_else(|| AskError::Malformed("a list of something else".into()))?;
        if found.unread > 0 {
            let what = format!("{} things in a list of builds", found.unread);
            desk.heard(&self.name, Timestamp::now(), 0, &[what]);
        }
        let mut builds = found.builds;
        for one in builds.iter_mut().filter(|_| !tenant.is_empty()) {
            one.build.extra.set("tenant", FieldValue::text(tenant));
        }
        Ok((builds, count))
    }

    /// Where a list says nothing of a build's change, its buildset does.
    async fn complete(&self, tenant: &str, builds: &mut [Finished]) -> Result<(), AskError> {
        let mut asked = BTreeMap::new();
        for one in builds.iter_mut().filter(|one| one.build.project.is_none()) {
            let Some(FieldValue::Text(set)) = one.build.extra.get("build_set") else {
                continue;
            };
            let set = set.to_string();
            if !asked.contains_key(&set) {
                if asked.len() >= BUILDSETS {
                    continue;
                }
                asked.insert(set.clone(), self.buildset(tenant, &set).await?);
            }
            let around = asked.get(&set).into_iter().flatten();
            if let Some(found) = around.into_iter().find(|b| b.build.uuid == one.build.uuid) {
                let tenant = one.build.extra.get("tenant").cloned();
                one.build.clone_from(&found.build);
                if let Some(tenant) = tenant {
                    one.build.extra.set("tenant", tenant);
                }
            }
        }
        Ok(())
    }

    async fn buildset(&self, tenant: &str, uuid: &str) -> Result<Vec<Finished>, AskError> {
        let url = self.ask.at(tenant, &["buildset", uuid], &[]);
        match self.ask.get(url, None).await {
            Ok(Reply::Json(json, _)) => Ok(reported(&json).unwrap_or_default().builds),
            Ok(Reply::Same) | Err(AskError::Status { status: 404, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// True when an older Zuul does not know a parameter.
fn is_unexpected(error: &AskError) -> bool {
    let AskError::Status { status, text, .. } = error else {
        return false;
    };
    matches!(status, 400 | 404) && text.contains(UNEXPECTED)
}

fn text(marks: &Marks) -> Result<String, StateError> {
    Ok(serde_json::to_string(marks)?)
}
