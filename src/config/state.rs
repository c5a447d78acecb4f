//! Where the state is kept.

use super::{Secret, Wrong};
use serde::Deserialize;
use std::path::PathBuf;

/// The state: one file in the data folder, or a server that several processes share.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatePlace {
    /// The `PostgreSQL` database. Without it the state is a file in the data folder.
    pub url: Option<Secret>,
    /// Folder of received logs and reports, the same for all processes. Without it the data folder.
    pub shared_dir: Option<PathBuf>,
}

impl StatePlace {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let url = self.url.as_ref().map(Secret::expose);
        let known = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        if url.is_some_and(|url| !known(url)) {
            return Err(Wrong::new("state.url", "must begin with postgres://"));
        }
        if url.is_none() && self.shared_dir.is_some() {
            let why = "only a state that several processes can use (state.url) has shared logs";
            return Err(Wrong::new("state.shared-dir", why));
        }
        Ok(())
    }
}
