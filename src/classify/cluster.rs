//! One build whose events are in a cluster: from there to its verdict.
//!
//! A first small request says how many events there are. Those of most builds are few enough to come
//! in one answer; our own matcher then says what it says of a log on disk, in the same words. For a
//! larger build the cluster counts the hits of every fingerprint and shows their places, in two
//! requests at the same time. Only what a cluster cannot answer (patterns, and conditions over
//! several events) needs all events, page by page up to a limit.

mod check;

pub use check::{Doubt, check};

use super::ready::Conditions;
use crate::config;
use crate::event::{Build, Event, Match, Verdict};
use crate::fingerprint::{Condition, Fingerprint};
use crate::matcher::{MAX_EVIDENCE, Matcher, Run};
use crate::query::{Query, Schema};
use crate::store::elastic::{Auth, BuildView, Connection, ElasticStore, Layout, Named, Options};
use crate::store::{StoreError, keyword_of};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Events up to which a build's are pulled: then this is as fast as counting, and moves less than 5 MB.
/// `benches/cluster.py` measures both.
pub const PULLED: u64 = 6_000;

/// How the store is opened that a configuration describes. `schema` is for indexes of our own.
pub fn options(config: &config::Cluster, schema: Schema) -> Result<Options, StoreError> {
    let setup = |why: String| StoreError::Setup(format!("store.elasticsearch.{why}"));
    let ca = config.ca_file.as_ref().map(|file| {
        let read = std::fs::read_to_string(file);
        read.map_err(|e| setup(format!("ca-file: {}: {e}", file.display())))
    });
    Ok(Options {
        connection: Connection {
            urls: config.urls.clone(),
            auth: auth(config),
            ca: ca.transpose()?,
            timeout: config.timeout.0,
            retries: config.retries,
        },
        layout: config
            .layout
            .as_ref()
            .map(layout)
            .transpose()
            .map_err(setup)?,
        prefix: config.prefix.clone(),
        schema,
        shards: config.shards,
        ..Options::default()
    })
}

/// Opens the store that a configuration describes, to read only, with the kinds that its fields have.
pub fn open(config: &config::Cluster) -> Result<(ElasticStore, Schema), StoreError> {
    let store = ElasticStore::open(Options {
        read_only: true,
        ..options(config, Schema::default())?
    })?;
    let (schema, _) = store.schema()?;
    Ok((store, schema))
}

/// What the events of a build say of it, and how many they are.
pub fn build_of(store: &ElasticStore, uuid: &str) -> Result<(Build, u64), StoreError> {
    let (event, total) = store.view(&Build::new(uuid)).sample()?;
    let build = event.map_or_else(|| Build::new(uuid), |event| described(uuid, &event));
    Ok((build, total))
}

/// The builds that have events since `from`, with what these say of them, ended at their last event.
pub fn found_since(store: &ElasticStore, from: Timestamp) -> Result<Vec<Build>, StoreError> {
    let (found, all) = store.discover(from)?;
    if !all {
        tracing::warn!(
            builds = found.len(),
            "more builds were found than one round can take"
        );
    }
    let builds = found.into_iter().map(|one| Build {
        finished: Some(one.last),
        ..described(&one.uuid, &one.event)
    });
    Ok(builds.collect())
}

/// A build as one of its events describes it.
fn described(uuid: &str, event: &Event) -> Build {
    let mut build = Build::new(uuid);
    for (name, value) in event.fields() {
        let ours =
            name.starts_with("build_") || matches!(name, "project" | "voting" | "node_provider");
        if let (true, Some(value)) = (ours && name != "build_uuid", keyword_of(value)) {
            build.set_field(name, &value);
        }
    }
    build
}

/// The query for a log's last line.
pub fn last_line(ready: &config::Ready, schema: &Schema) -> Result<Option<Query>, StoreError> {
    let parsed = ready
        .last_line
        .as_ref()
        .map(|text| Query::parse(text, schema));
    parsed
        .transpose()
        .map_err(|e| StoreError::Setup(format!("store.elasticsearch.ready.last-line: {e}")))
}

/// The conditions under which a log is complete.
pub fn conditions(ready: &config::Ready) -> Result<Conditions, StoreError> {
    let setup = |key: &str, why: &dyn std::fmt::Display| {
        StoreError::Setup(format!("store.elasticsearch.ready.{key}: {why}"))
    };
    let files = ready.files.iter().map(|of| {
        let glob = globset::Glob::new(&of.jobs).map_err(|e| setup("files", &e))?;
        Ok((glob.compile_matcher(), of.names.clone()))
    });
    let signed = |period: config::Period| {
        jiff::SignedDuration::try_from(period.0).unwrap_or(jiff::SignedDuration::MAX)
    };
    Ok(Conditions {
        last_line: ready.last_line.is_some(),
        files: files.collect::<Result<_, StoreError>>()?,
        quiet: signed(ready.quiet),
        deadline: signed(ready.deadline),
    })
}

fn auth(config: &config::Cluster) -> Auth {
    match (
        &config.user,
        &config.password,
        &config.api_key,
        &config.token,
    ) {
        (Some(user), Some(password), _, _) => {
            Auth::Basic(user.clone(), password.expose().to_owned())
        }
        (_, _, Some(key), _) => Auth::ApiKey(key.expose().to_owned()),
        (_, _, _, Some(token)) => Auth::Bearer(token.expose().to_owned()),
        _ => Auth::None,
    }
}

fn layout(of: &config::LayoutOf) -> Result<Layout, String> {
    let mut layout = match &of.preset {
        Some(name) => Layout::preset(name).ok_or_else(|| {
            format!("layout.preset: {name} is not known: use `openstack` or `elastic-recheck`")
        })?,
        None => Layout::default(),
    };
    if !of.indexes.is_empty() {
        layout.indexes.clone_from(&of.indexes);
    }
    layout.names.extend(of.names.clone());
    if !of.order.is_empty() {
        layout.order.clone_from(&of.order);
    }
    Ok(layout)
}

/// What was found of a build in a cluster.
#[derive(Debug, Default)]
pub struct Looked {
    /// The matches, the headline first.
    pub matches: Vec<Match>,
    /// Number of fingerprints that were looked for.
    pub looked_for: usize,
    /// Number of the build's events.
    pub events: u64,
    /// Requests that it took, repetitions not counted.
    pub requests: u64,
    /// Among them pages of events after the first.
    pub extra_pages: u64,
    /// Among them those that became necessary because one request could not hold all queries.
    pub splits: u64,
    /// What could not be looked at, one sentence each.
    pub problems: Vec<String>,
}

impl Looked {
    /// The verdict that follows. What could not be looked at leaves the build `partial-log`.
    pub fn verdict(&self) -> Verdict {
        match (
            self.events,
            self.problems.is_empty(),
            self.matches.is_empty(),
        ) {
            (0, _, _) => Verdict::NoLog,
            (_, false, _) => Verdict::PartialLog,
            (_, true, false) => Verdict::Matched,
            (_, true, true) => Verdict::Unmatched,
        }
    }
}

/// How many events of one build are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A build of up to so many is pulled; of a larger one the cluster counts.
    pub pulled: u64,
    /// At most so many are pulled where a cluster cannot count.
    pub most: u64,
    /// How many there are, when that is known; else it is asked.
    pub known: Option<u64>,
}

/// Looks for all fingerprints in one build. At most `max_events` events are pulled where events must
/// be pulled.
pub fn look(
    store: &ElasticStore,
    matcher: &Matcher,
    build: &Build,
    now: Timestamp,
    max_events: u64,
) -> Result<Looked, StoreError> {
    let bounds = Bounds {
        pulled: PULLED,
        most: max_events,
        known: None,
    };
    look_within(store, matcher, build, now, bounds)
}

/// As [`look`], with bounds of the caller's own.
pub fn look_within(
    store: &ElasticStore,
    matcher: &Matcher,
    build: &Build,
    now: Timestamp,
    bounds: Bounds,
) -> Result<Looked, StoreError> {
    let mut looking = Looking {
        view: store.view(build),
        matcher,
        build,
        now,
        problems: Vec::new(),
        extra_pages: 0,
        splits: 0,
    };
    let run = matcher.start(build, now);
    let looked_for = run.applicable();
    let (matches, events) = looking.go(run, bounds)?;
    Ok(Looked {
        matches,
        looked_for,
        events,
        requests: looking.view.requests(),
        extra_pages: looking.extra_pages,
        splits: looking.splits,
        problems: looking.problems,
    })
}

struct Looking<'a> {
    view: BuildView<'a>,
    matcher: &'a Matcher,
    build: &'a Build,
    now: Timestamp,
    problems: Vec<String>,
    extra_pages: u64,
    splits: u64,
}

impl<'a> Looking<'a> {
    fn go(&mut self, run: Run<'_>, bounds: Bounds) -> Result<(Vec<Match>, u64), StoreError> {
        let total = match bounds.known {
            Some(known) => known,
            None => self.view.size()?,
        };
        if total == 0 {
            return Ok((Vec::new(), 0));
        }
        if total <= bounds.pulled {
            return self.pull(run, total);
        }
        let complex = self.applying().into_iter().any(|f| one_query(f).is_none());
        if complex && total <= bounds.most {
            return self.pull(run, total);
        }
        if complex {
            self.problems.push(format!(
                "the build has {total} events, more than the {} that are pulled: \
                 patterns and conditions over several events were not looked for",
                bounds.most
            ));
        }
        Ok((self.count_and_show(run)?, total))
    }

    fn applying(&self) -> Vec<&'a Fingerprint> {
        let all = self.matcher.set().fingerprints.iter();
        all.map(AsRef::as_ref)
            .filter(|f| f.applies_to(self.build, self.now))
            .collect()
    }

    /// Takes all events, page by page, and says how many the build has by now.
    fn pull(&mut self, mut run: Run<'_>, expected: u64) -> Result<(Vec<Match>, u64), StoreError> {
        let mut page = self.view.page(None, expected)?;
        // More may have come since they were counted.
        let (total, mut seen) = (page.total, 0);
        loop {
            seen += page.events.len() as u64;
            page.events.iter().for_each(|event| run.event(event));
            if seen >= total || page.events.is_empty() {
                break;
            }
            page = self.view.page(Some(&page), total - seen)?;
            self.extra_pages += 1;
        }
        if seen < total {
            // Events of one moment can stand on both sides of a page's end.
            self.problems.push(format!(
                "only {seen} of the build's {total} events could be told apart: give the layout an \
                 `order` field, such as a line number"
            ));
        }
        Ok((run.finish(), total))
    }

    /// Lets the cluster count and show the places.
    fn count_and_show(&mut self, mut run: Run<'_>) -> Result<Vec<Match>, StoreError> {
        let queries: Vec<Named<'_>> = self.applying().into_iter().filter_map(one_query).collect();
        let before = self.view.requests();
        let counts = self.view.counts(&queries, MAX_EVIDENCE)?;
        counts.events.iter().for_each(|event| run.event(event));
        // Two halves at the same time are no split.
        self.splits += (self.view.requests() - before).saturating_sub(2);
        for (id, why) in counts.refused {
            self.problems
                .push(format!("the cluster cannot answer fingerprint {id}: {why}"));
        }
        Ok(counted(run.finish(), &counts.hits))
    }
}

/// The matches with the cluster's numbers; only of queries that it counted.
fn counted(matches: Vec<Match>, hits: &BTreeMap<String, u64>) -> Vec<Match> {
    let known = matches.into_iter().filter_map(|mut found| {
        found.hits = *hits.get(&found.fingerprint)?;
        Some(found)
    });
    known.collect()
}

/// The query that alone decides, so that a cluster can count.
pub(super) fn one_query(fingerprint: &Fingerprint) -> Option<Named<'_>> {
    match &fingerprint.condition {
        Condition::Query(query) if fingerprint.none.is_empty() => Some((&fingerprint.id, query)),
        _ => None,
    }
}
