//! Lists of builds.

use super::sql::{Tx, Value, values};
use super::{
    BuildFilter, BuildRow, Page, RowMatch, State, StateError, builds, micros, signed, time,
    unsigned,
};
use crate::event::{BugRef, Build};
use jiff::Timestamp;

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
    values: Vec<Value<'static>>,
}

impl Conditions {
    /// Adds a condition; each `?` in it takes one of the values.
    pub(super) fn add(
        &mut self,
        sql: &'static str,
        values: impl IntoIterator<Item = Value<'static>>,
    ) {
        self.sql.push(sql);
        self.values.extend(values);
    }

    /// Adds `column = value` when there is a value.
    pub(super) fn equal(&mut self, sql: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(sql, [Value::owned(value)]);
        }
    }

    /// The `WHERE` clause and its values.
    pub(super) fn finish(self) -> (String, Vec<Value<'static>>) {
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
            "lower(uuid || ' ' || coalesce(job, '') || ' ' || coalesce(project, '') || ' ' ||
              coalesce(branch, '') || ' ' || coalesce(change, '') || ' ' || coalesce(result, ''))
             LIKE ? ESCAPE '\\'",
            [Value::owned(format!("%{}%", escaped.to_ascii_lowercase()))],
        );
    }
    all
}

pub(super) fn select(
    tx: Tx<'_>,
    filter: &BuildFilter,
    until: Option<Timestamp>,
) -> Result<Page<BuildRow>, StateError> {
    let (clause, values) = conditions(filter, until).finish();
    let total: i64 = tx.value(&format!("SELECT count(*) FROM builds {clause}"), &values)?;
    part(tx, filter, until, unsigned(total))
}

/// [`select`] where it is known how many they are in all.
pub(super) fn part(
    tx: Tx<'_>,
    filter: &BuildFilter,
    until: Option<Timestamp>,
    total: u64,
) -> Result<Page<BuildRow>, StateError> {
    let limit = limit_of(filter.limit);
    let (clause, mut values) = conditions(filter, until).finish();
    values.push(Value::from(signed(limit)));
    values.push(Value::from(signed(filter.offset)));
    let rows = tx.rows(
        &format!(
            "SELECT id, meta, verdict, at FROM builds {clause}
             ORDER BY at DESC, id DESC LIMIT ? OFFSET ?"
        ),
        &values,
        |row| {
            let (meta, verdict): (String, String) = (row.get(1)?, row.get(2)?);
            let meta = serde_json::from_str(&meta)?;
            let item = row_of(meta, builds::word(&verdict)?, time(row.get(3)?));
            Ok((row.get(0)?, item))
        },
    )?;
    let mut items = Vec::new();
    for (id, mut item) in rows {
        item.matches = matches(tx, id)?;
        items.push(item);
    }
    Ok(Page {
        items,
        total,
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

fn matches(tx: Tx<'_>, build: i64) -> Result<Vec<RowMatch>, StateError> {
    tx.rows(
        "SELECT fingerprint, title, bug_name, bug_url FROM matches WHERE build = ?1 ORDER BY id",
        values![build],
        |row| {
            Ok(RowMatch {
                fingerprint: row.get(0)?,
                title: row.get(1)?,
                bug: BugRef {
                    name: row.get(2)?,
                    url: row.get(3)?,
                },
            })
        },
    )
}
