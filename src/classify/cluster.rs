//! One build whose events are in a cluster: from there to its verdict.
//!
//! `look` says how few of a build's events are moved for it, `plan` which words decide that.

mod check;
mod look;
mod plan;

pub use check::{Doubt, check};
pub use look::{Bounds, Looked, PULLED, look, look_within};
pub(super) use plan::one_query;

use super::ready::Conditions;
use crate::config;
use crate::event::{Build, Event};
use crate::query::{Query, Schema};
use crate::store::elastic::{Auth, Connection, ElasticStore, Layout, Options};
use crate::store::{StoreError, keyword_of};
use jiff::Timestamp;

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
