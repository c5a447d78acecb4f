//! The tables; `whorl_schema` counts the steps that a database has seen.

use super::Link;
use crate::state::StateError;
use crate::state::sql::values;

/// Each step brings a database from one version to the next. Steps are never changed, only added.
const STEPS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
];
/// Whoever migrates holds this; any number that nobody else uses.
const LOCK: i64 = 0x77_68_6f_72_6c;

/// Brings the database to the newest version; refuses one that is newer.
pub(super) fn migrate(link: &Link, place: &str) -> Result<(), StateError> {
    let encoding = link.query("SHOW server_encoding", &[])?;
    let encoding: Option<String> = encoding.first().map(|row| row.try_get(0)).transpose()?;
    if encoding.as_deref() != Some("UTF8") {
        return Err(StateError::Value(format!(
            "{place} is kept in {}: make a database with ENCODING 'UTF8'",
            encoding.unwrap_or_default()
        )));
    }
    let done = link.transaction("BEGIN", |_| steps(link, place));
    done.map_err(|failure| failure.error)
}

fn steps(link: &Link, place: &str) -> Result<(), StateError> {
    link.query("SELECT pg_advisory_xact_lock(?1)", values![LOCK])?;
    link.batch("CREATE TABLE IF NOT EXISTS whorl_schema (version BIGINT NOT NULL)")?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let rows = link.query("SELECT version FROM whorl_schema", &[])?;
    let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    if found > known {
        return Err(StateError::Newer {
            place: place.to_owned(),
            found,
            known,
        });
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        link.long_batch(step)?;
    }
    link.execute("DELETE FROM whorl_schema", &[])?;
    link.execute(
        "INSERT INTO whorl_schema (version) VALUES (?1)",
        values![known],
    )?;
    Ok(())
}
