//! A log store of which calls fail.

use crate::chance::{Plan, Spot};
use crate::event::{Build, Event};
use crate::store::faults::{SITES, error};
use crate::store::{
    Health, LogStore, MarkedStore, ReadEvents, SearchRequest, SearchResult, Selection, StoreError,
};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

// The rows of the table.
const APPEND: usize = 0;
const SEARCH: usize = 1;
const COUNT_BY_FIELD: usize = 2;
const HISTOGRAM: usize = 3;
const DISTINCT_BUILDS: usize = 4;
const EVENTS_OF: usize = 5;
const DELETE_BEFORE: usize = 6;
const APPEND_MANY: usize = 7;
const MARKS: usize = 8;

/// A store, wrapped.
pub struct Chaotic<D: ?Sized> {
    inner: Arc<D>,
    spots: [Spot; SITES.len()],
}

impl<D: ?Sized> std::fmt::Debug for Chaotic<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chaotic")
            .field("spots", &self.spots)
            .finish_non_exhaustive()
    }
}

impl<D: ?Sized> Chaotic<D> {
    /// Wraps a store.
    pub fn new(inner: Arc<D>, plan: &Plan) -> Self {
        Self {
            inner,
            spots: std::array::from_fn(|at| plan.spot(&SITES[at])),
        }
    }

    fn call<T>(
        &self,
        site: usize,
        key: &str,
        work: impl FnOnce(&D) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.spots[site].around(key, error, || work(&self.inner))
    }
}

impl<D: LogStore + ?Sized> LogStore for Chaotic<D> {
    fn append(
        &self,
        build: &Build,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<u64, StoreError> {
        self.call(APPEND, &build.uuid, |inner| inner.append(build, events))
    }

    fn search(
        &self,
        request: &SearchRequest<'_>,
        now: Timestamp,
    ) -> Result<SearchResult, StoreError> {
        self.call(SEARCH, "", |inner| inner.search(request, now))
    }

    fn count_by_field(
        &self,
        selection: &Selection<'_>,
        field: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.call(COUNT_BY_FIELD, "", |inner| {
            inner.count_by_field(selection, field, limit, now)
        })
    }

    fn histogram(
        &self,
        selection: &Selection<'_>,
        interval: u64,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        self.call(HISTOGRAM, "", |inner| {
            inner.histogram(selection, interval, now)
        })
    }

    fn distinct_builds(
        &self,
        selection: &Selection<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        self.call(DISTINCT_BUILDS, "", |inner| {
            inner.distinct_builds(selection, now)
        })
    }

    fn events_of(&self, build_uuid: &str) -> Result<Vec<Event>, StoreError> {
        self.call(EVENTS_OF, build_uuid, |inner| inner.events_of(build_uuid))
    }

    fn delete_before(&self, limit: Timestamp) -> Result<u64, StoreError> {
        self.call(DELETE_BEFORE, "", |inner| inner.delete_before(limit))
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

impl<D: MarkedStore + ?Sized> MarkedStore for Chaotic<D> {
    fn append_many(
        &self,
        builds: &[(Build, u64)],
        read: &mut ReadEvents<'_>,
    ) -> Result<Vec<u64>, StoreError> {
        self.call(APPEND_MANY, "", |inner| inner.append_many(builds, read))
    }

    fn marks(&self) -> Result<HashMap<String, u64>, StoreError> {
        self.call(MARKS, "", MarkedStore::marks)
    }

    fn losses(&self) -> u64 {
        self.inner.losses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_rows() {
        let rows = [
            (APPEND, "append"),
            (SEARCH, "search"),
            (COUNT_BY_FIELD, "count_by_field"),
            (HISTOGRAM, "histogram"),
            (DISTINCT_BUILDS, "distinct_builds"),
            (EVENTS_OF, "events_of"),
            (DELETE_BEFORE, "delete_before"),
            (APPEND_MANY, "append_many"),
            (MARKS, "marks"),
        ];
        assert_eq!(rows.len(), SITES.len());
        for (row, name) in rows {
            assert_eq!(SITES[row].name, format!("store.{name}"));
        }
    }
}
