//! Fingerprints measured by known causes: the counts, runs of others, plans that are really run.

mod counts;
mod demo;
mod fixtures;
mod pages;
mod plans;
