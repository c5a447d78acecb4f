//! Where failed builds come from.

mod gerrit;

pub use gerrit::{GerritRest, GerritSource, LogsOf};

use super::{Secret, Wrong};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The sources, by kind.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sources {
    /// Gerrits whose events are heard.
    pub gerrit: Vec<GerritSource>,
}

impl Sources {
    /// The keys whose values may come from the environment.
    const SECRET_KEYS: [&str; 1] = ["password"];

    pub(super) fn secrets(&mut self) -> impl Iterator<Item = &mut Secret> {
        self.gerrit.iter_mut().flat_map(GerritSource::secrets)
    }

    /// True for the path of a value that may contain `${NAME}`.
    pub(super) fn is_secret(path: &str) -> bool {
        let key = path.rsplit('.').next().unwrap_or_default();
        path.starts_with("sources.") && Self::SECRET_KEYS.contains(&key)
    }

    /// Path and name of every source.
    fn names(&self) -> Vec<(String, &str)> {
        let gerrit = self.gerrit.iter().enumerate();
        gerrit
            .map(|(n, one)| (format!("sources.gerrit[{n}]"), one.name.as_str()))
            .collect()
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        let mut known = BTreeSet::new();
        for (path, name) in self.names() {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
                let why = "1 to 64 of the characters A-Z a-z 0-9 - _ .";
                return Err(Wrong::new(format!("{path}.name"), why));
            }
            if !known.insert(name) {
                let why = "another source has this name";
                return Err(Wrong::new(format!("{path}.name"), why));
            }
        }
        for (n, one) in self.gerrit.iter().enumerate() {
            one.check(&format!("sources.gerrit[{n}]"))?;
        }
        Ok(())
    }
}
