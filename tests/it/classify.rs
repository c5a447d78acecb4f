//! Tests of the classify part.
