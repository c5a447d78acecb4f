//! The recorded builds, and when they are said to have run.

use crate::event::Build;
use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

/// Days over which the loaded builds are spread.
const DAYS: f64 = 9.8;
/// Age of the newest loaded build in seconds.
const NEWEST: f64 = 180.0;
/// How much busier days are than nights, from 0 (alike) to 1 (nights are empty).
const RHYTHM: f64 = 0.8;
/// Hands into which the recordings are dealt.
const HANDS: usize = 9;

/// One recorded build.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    /// What the CI said.
    pub(super) build: Build,
    folder: PathBuf,
}

impl Recording {
    /// Where its logs are.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The name of the recording, in its folder's word.
    pub(super) fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The build as if it had ended at `end`; it takes as long as it took.
    pub(super) fn ended(&self, end: Timestamp) -> Build {
        let (started, finished) = (self.build.started, self.build.finished);
        let took = started
            .zip(finished)
            .map_or(SignedDuration::ZERO, |(started, finished)| {
                finished.duration_since(started)
            });
        Build {
            started: Some(end.checked_sub(took).unwrap_or(end)),
            finished: Some(end),
            ..self.build.clone()
        }
    }
}

/// Reads every recording below `fixtures/builds`, dealt so that builds of one cause, which were
/// recorded one after the other, do not all fall on one day.
pub(super) fn read(fixtures: &Path) -> anyhow::Result<Vec<Recording>> {
    let builds = fixtures.join("builds");
    let help = || {
        format!(
            "no recorded builds in {}: start in the project's folder or say --fixtures DIR",
            builds.display()
        )
    };
    let entries = fs::read_dir(&builds).with_context(help)?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("build.json").is_file())
        .collect();
    folders.sort();
    if folders.is_empty() {
        bail!(help());
    }
    let read = folders.into_iter().map(one).collect::<Result<_, _>>()?;
    Ok(deal(read))
}

fn one(folder: PathBuf) -> anyhow::Result<Recording> {
    let file = folder.join("build.json");
    let text = fs::read(&file).with_context(|| file.display().to_string())?;
    let build: Build = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
    Ok(Recording { build, folder })
}

/// Every ninth, from the first on; then every ninth from the second on; and so on.
fn deal<T>(all: Vec<T>) -> Vec<T> {
    let mut hands: Vec<Vec<T>> = (0..HANDS).map(|_| Vec::new()).collect();
    for (at, one) in all.into_iter().enumerate() {
        hands[at % HANDS].push(one);
    }
    hands.into_iter().flatten().collect()
}

/// When the build number `at` of `of` ended: in order, over the last ten days, more by day than by
/// night, the newest a few minutes ago.
pub(super) fn end(now: Timestamp, at: usize, of: usize) -> Timestamp {
    let place = (of - at - 1) as f64 / (of - 1).max(1) as f64;
    // The slope of this never falls below zero, so the order stays.
    let days = place * DAYS;
    let age = (days + RHYTHM / TAU * (days * TAU).sin()) * 86_400.0 + NEWEST;
    let age = SignedDuration::try_from_secs_f64(age).unwrap_or(SignedDuration::ZERO);
    now.checked_sub(age).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_builds_lie_in_the_last_ten_days_in_order() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let ends: Vec<Timestamp> = (0..83).map(|at| end(now, at, 83)).collect();
        assert!(ends.is_sorted(), "{ends:?}");
        let age = |t: Timestamp| now.duration_since(t);
        assert_eq!(age(ends[82]), SignedDuration::from_mins(3));
        assert!(age(ends[0]) < SignedDuration::from_hours(240));
        assert!(age(ends[0]) > SignedDuration::from_hours(220));
        assert_eq!(age(end(now, 0, 1)), SignedDuration::from_mins(3));
    }

    #[test]
    fn neighbours_are_dealt_to_different_days() {
        let dealt = deal((0..20).collect());
        assert_eq!(dealt[..5], [0, 9, 18, 1, 10]);
        assert_eq!(dealt.len(), 20);
    }

    #[test]
    fn a_moved_build_takes_as_long_as_it_took() {
        let mut build = Build::new("u");
        build.started = "2026-01-01T00:00:00Z".parse().ok();
        build.finished = "2026-01-01T00:02:30Z".parse().ok();
        let folder = PathBuf::from("builds/001-x");
        let moved = Recording { build, folder }.ended("2026-11-21T12:00:00Z".parse().unwrap());
        assert_eq!(moved.started, "2026-11-21T11:57:30Z".parse().ok());
    }

    #[test]
    fn a_folder_without_recordings_is_told() {
        let empty = tempfile::tempdir().unwrap();
        let message = read(empty.path()).unwrap_err().to_string();
        assert!(message.contains("--fixtures"), "{message}");
    }
}
