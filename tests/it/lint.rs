//! Tests of the lint part.
