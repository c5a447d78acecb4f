//! Lists of builds.

use super::{
    BuildFilter, BuildRow, Page, RowMatch, State, StateError, builds, micros, signed, time,
    unsigned,
};
use crate::event::{BugRef, Build};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Rows of a list when nothing is said.
pub(super) const DEFAULT_LIMIT: u64 = 50;
/// Rows of a list at most.
const MAX_LIMIT: u64 = 1000;

impl State {
    /// The builds that meet `filter`, newest first, and how many they are in all.
    pub fn builds(&self, filter: &BuildFilter) -> Result<Page<BuildRow>, StateError> {
        self.read(|tx| select(tx, filter, None))
    }
}

pub(super) fn limit_of(asked: u64) -> u64 {
    match asked {
        0 => DEFAULT_LIMIT,
        n => n.min(MAX_LIMIT),
    }
}

/// Conditions and their values, joined by `AND`.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<&'static str>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition; each `?` in it takes one of the values.
    pub(super) fn add(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push(sql);
        self.values.extend(values);
    }

    /// Adds `column = value` when there is a value.
    pub(super) fn equal(&mut self, sql: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(sql, [Value::from(value.to_owned())]);
        }
    }

    /// The `WHERE` clause and its values.
    pub(super) fn finish(self) -> (String, Vec<Value>) {
        if self.sql.is_empty() {
            return (String::new(), self.values);
        }
        (format!("WHERE {}", self.sql.join(" AND ")), self.values)
    }
}

fn conditions(filter: &BuildFilter, until: Option<Timestamp>) -> Conditions {
    let mut all = Conditions::default();
    all.equal(
        "verdict = ?",
        filter.verdict.map(crate::event::Verdict::as_str),
    );
    if filter.failed_only {
        all.add("failed = 1", []);
    }
    all.equal("project = ?", filter.project.as_deref());
    all.equal("job = ?", filter.job.as_deref());
    all.equal("branch = ?", filter.branch.as_deref());
    all.equal("pipeline = ?", filter.pipeline.as_deref());
    all.equal(
        "id IN (SELECT build FROM matches WHERE fingerprint = ?)",
        filter.fingerprint.as_deref(),
    );
    if let Some(since) = filter.since {
        all.add("at >= ?", [Value::from(micros(since))]);
    }
    if let Some(until) = until {
        all.add("at <= ?", [Value::from(micros(until))]);
    }
    if let Some(text) = filter.text.as_deref().filter(|text| !text.is_empty()) {
        let escaped = text
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        all.add(
            "(uuid || ' ' || coalesce(job, '') || ' ' || coalesce(project, '') || ' ' ||
              coalesce(branch, '') || ' ' || coalesce(change, '') || ' ' || coalesce(result, ''))
             LIKE ? ESCAPE '\\'",
            [Value::from(format!("%{escaped}%"))],
        );
    }
    all
}

pub(super) fn select(
    tx: &Connection,
    filter: &BuildFilter,
    until: Option<Timestamp>,
) -> Result<Page<BuildRow>, StateError> {
    let limit = limit_of(filter.limit);
    let (clause, mut values) = conditions(filter, until).finish();
    let total: i64 = tx
        .prepare_cached(&format!("SELECT count(*) FROM builds {clause}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    values.push(Value::from(signed(limit)));
    values.push(Value::from(signed(filter.offset)));
    let mut query = tx.prepare_cached(&format!(
        "SELECT id, meta, verdict, at FROM builds {clause} ORDER BY at DESC, id DESC LIMIT ? OFFSET ?"
    ))?;
    let rows = query.query_map(params_from_iter(&values), |row| {
        Ok((
            row.get(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get(3)?,
        ))
    })?;
    let mut items = Vec::new();
    for row in rows {
        let (id, meta, verdict, at) = row?;
        let mut item = row_of(
            serde_json::from_str(&meta)?,
            builds::word(&verdict)?,
            time(at),
        );
        item.matches = matches(tx, id)?;
        items.push(item);
    }
    Ok(Page {
        items,
        total: unsigned(total),
        offset: filter.offset,
        limit,
    })
}

fn row_of(build: Build, verdict: crate::event::Verdict, at: Timestamp) -> BuildRow {
    BuildRow {
        failed: build.failed(),
        uuid: build.uuid,
        job: build.job,
        pipeline: build.pipeline,
        project: build.project,
        branch: build.branch,
        change: build.change,
        patchset: build.patchset,
        result: build.result,
        verdict,
        at,
        log_url: build.log_url,
        matches: Vec::new(),
    }
}

fn matches(tx: &Connection, build: i64) -> Result<Vec<RowMatch>, StateError> {
    let mut query = tx.prepare_cached(
        "SELECT fingerprint, title, bug_name, bug_url FROM matches WHERE build = ?1 ORDER BY id",
    )?;
    let rows = query.query_map([build], |row| {
        Ok(RowMatch {
            fingerprint: row.get(0)?,
            title: row.get(1)?,
            bug: BugRef {
                name: row.get(2)?,
                url: row.get(3)?,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
