//! One way to say SQL to both databases.
//!
//! The statements of this room are written once, in what `SQLite` and `PostgreSQL` have in common, with
//! `SQLite`'s placeholders. Where the two differ the difference has a name here.

use super::StateError;
use super::postgres::Link;
use std::borrow::Cow;

/// A value that goes into a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'v> {
    /// Nothing.
    Null,
    /// A number; yes and no are 1 and 0.
    Number(i64),
    /// A text.
    Text(Cow<'v, str>),
}

impl Value<'_> {
    /// A value that borrows nothing.
    pub(super) fn owned(text: impl Into<String>) -> Value<'static> {
        Value::Text(Cow::Owned(text.into()))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Number(i64::from(yes))
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::owned(text)
    }
}

impl<'v> From<&'v Option<String>> for Value<'v> {
    fn from(text: &'v Option<String>) -> Self {
        text.as_ref().map_or(Self::Null, Self::from)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value<'_> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a statement, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::state::sql::Value::from($value)),*] };
}
pub(super) use values;

/// A row that comes back.
#[derive(Clone, Copy)]
pub(super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

/// What a column can be read as.
pub(super) trait Column: Sized {
    fn sqlite(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Self>;
    fn postgres(row: &tokio_postgres::Row, at: usize) -> Result<Self, tokio_postgres::Error>;
}

/// Types that both databases know under the same name.
macro_rules! plain_columns {
    ($($kind:ty),*) => {$(
        impl Column for $kind {
            fn sqlite(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Self> {
                row.get(at)
            }

            fn postgres(row: &tokio_postgres::Row, at: usize) -> Result<Self, tokio_postgres::Error> {
                row.try_get(at)
            }
        }
    )*};
}
plain_columns!(i64, Option<i64>, String, Option<String>);

impl Column for bool {
    fn sqlite(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Self> {
        row.get(at)
    }

    /// Stored as a number, so that conditions on it are the same for both; computed it is a real one.
    fn postgres(row: &tokio_postgres::Row, at: usize) -> Result<Self, tokio_postgres::Error> {
        row.try_get(at)
            .or_else(|_| row.try_get(at).map(|number: i64| number != 0))
    }
}

impl Row<'_> {
    /// The value of a column.
    pub(super) fn get<T: Column>(&self, at: usize) -> Result<T, StateError> {
        match self {
            Self::Sqlite(row) => Ok(T::sqlite(row, at)?),
            Self::Postgres(row) => Ok(T::postgres(row, at)?),
        }
    }
}

/// A transaction.
#[derive(Clone, Copy)]
pub(super) enum Tx<'t> {
    Sqlite(&'t rusqlite::Connection),
    Postgres(&'t Link),
}

impl Tx<'_> {
    /// What keeps others from the rows of a `SELECT` until the end of the transaction. `SQLite` has
    /// one writer at a time anyway.
    pub(super) fn lock(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }

    /// Changes something and returns how many rows it concerned.
    pub(super) fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StateError> {
        match self {
            Self::Sqlite(tx) => Ok(tx
                .prepare_cached(sql)?
                .execute(rusqlite::params_from_iter(values))?
                as u64),
            Self::Postgres(link) => link.execute(sql, values),
        }
    }

    /// Every row.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let mut all = Vec::new();
        match self {
            Self::Sqlite(tx) => {
                let mut query = tx.prepare_cached(sql)?;
                let mut rows = query.query(rusqlite::params_from_iter(values))?;
                while let Some(row) = rows.next()? {
                    all.push(read(&Row::Sqlite(row))?);
                }
            }
            Self::Postgres(link) => {
                for row in &link.query(sql, values)? {
                    all.push(read(&Row::Postgres(row))?);
                }
            }
        }
        Ok(all)
    }

    /// The first row, if there is any.
    pub(super) fn maybe<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StateError>,
    ) -> Result<Option<T>, StateError> {
        Ok(self.rows(sql, values, read)?.into_iter().next())
    }

    /// The only row.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let found = self.maybe(sql, values, read)?;
        found.ok_or_else(|| StateError::Value(format!("no row where one must be: {sql}")))
    }

    /// The only column of the only row.
    pub(super) fn value<T: Column>(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<T, StateError> {
        self.one(sql, values, |row| row.get(0))
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
