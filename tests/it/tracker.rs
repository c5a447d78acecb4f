//! Bug trackers.
