//! Tests of the intake part.
