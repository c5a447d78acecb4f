//! Tests of the pattern part.
