//! Tests of the query part.
