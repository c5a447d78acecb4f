//! Where failed builds come from.

mod folder;
mod zuul;

pub use folder::{FolderAfter, FolderComplete, FolderSource};
pub use zuul::{ZuulMqtt, ZuulSource};

use super::{Secret, Wrong};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The sources, each with a name of its own.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sources {
    /// Zuul: its REST API and its MQTT reporter.
    pub zuul: Vec<ZuulSource>,
    /// Folders in which a CI drops builds.
    pub folder: Vec<FolderSource>,
}

impl Sources {
    pub(super) fn secrets(&mut self) -> Vec<&mut Secret> {
        let mut all = Vec::new();
        all.extend(self.zuul.iter_mut().flat_map(ZuulSource::secrets));
        all
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        let mut names = BTreeSet::new();
        for (n, one) in self.zuul.iter().enumerate() {
            let path = format!("sources.zuul[{n}]");
            one.check(&path)?;
            named(&mut names, &path, &one.name)?;
        }
        for (n, one) in self.folder.iter().enumerate() {
            let path = format!("sources.folder[{n}]");
            one.check(&path)?;
            named(&mut names, &path, &one.name)?;
        }
        Ok(())
    }
}

/// What is kept of a source is kept under its name.
fn named<'a>(names: &mut BTreeSet<&'a str>, path: &str, name: &'a str) -> Result<(), Wrong> {
    let wrong = |why: &str| Err(Wrong::new(format!("{path}.name"), why));
    if name.trim().is_empty() {
        return wrong("must not be empty");
    }
    if !names.insert(name) {
        return wrong("another source has this name: give each its own");
    }
    Ok(())
}
