//! Tests of the own_truth part.
