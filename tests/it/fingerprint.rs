//! Tests of the fingerprint part.
