//! The environment of an experiment: the process's own, and what files of variables add to it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Environment variables, as the experiment and its children see them.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    added: BTreeMap<String, String>,
    /// For tests: nothing but what is added.
    alone: bool,
}

impl Environment {
    /// Nothing but what is given.
    pub fn only(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            added: variables.into_iter().collect(),
            alone: true,
        }
    }

    /// The value of a variable.
    pub fn get(&self, key: &str) -> Option<String> {
        if let Some(value) = self.added.get(key) {
            return Some(value.clone());
        }
        if self.alone {
            return None;
        }
        env::var(key).ok()
    }

    /// Adds a variable, for us and for children.
    pub fn set(&mut self, key: &str, value: &str) {
        self.added.insert(key.to_owned(), value.to_owned());
    }

    /// Gives a child what was added.
    pub(crate) fn give(&self, command: &mut Command) {
        command.envs(&self.added);
    }

    /// `~/x` with the home folder written out.
    pub(crate) fn expand_user(&self, path: &str) -> String {
        let home = self.get("HOME").filter(|home| !home.is_empty());
        match (path.strip_prefix('~'), home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                format!("{}{rest}", home.trim_end_matches('/'))
            }
            _ => path.to_owned(),
        }
    }

    /// The program of a name, as a shell finds it.
    pub(crate) fn which(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(|path| executable(path));
        }
        let path = self.get("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        let folders = path.split(':').filter(|folder| !folder.is_empty());
        folders
            .map(|folder| Path::new(folder).join(name))
            .find(|path| executable(path))
    }
}

fn executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
