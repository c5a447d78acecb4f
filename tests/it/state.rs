//! Tests of the state part.
