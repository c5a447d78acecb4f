//! The sources of the configuration, and the addresses at which they are notified.

use super::forges::{ForgesError, forges};
use crate::chance::Plan;
use crate::chaos::driver::ChaoticSource;
use crate::config::Config;
use crate::source::folder::Folder;
use crate::source::gerrit::{Gerrit, GerritError};
use crate::source::zuul::{Unusable, Zuul};
use crate::source::{Desk, Source};
use axum::Router;
use std::sync::Arc;

/// Every source of the configuration.
#[derive(Debug)]
pub(super) struct Sources {
    /// Those that hear by themselves, and all that are notified.
    pub(super) all: Vec<Arc<dyn Source>>,
    /// What takes notifications, each at `/hooks/NAME`.
    pub(super) hooks: Router,
}

/// A source cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// One that is notified.
    #[error(transparent)]
    Forge(#[from] ForgesError),
    /// A Gerrit.
    #[error("source {0}: {1}")]
    Gerrit(String, GerritError),
    /// A Zuul.
    #[error("source {0}: {1}")]
    Zuul(String, Unusable),
}

impl Sources {
    /// Sets all of them up; nothing is heard yet.
    pub(super) fn open(config: &Config, desk: &Arc<Desk>) -> Result<Self, SourceError> {
        let of = &config.sources;
        let mut all: Vec<Arc<dyn Source>> = Vec::new();
        let mut hooks = Router::new();
        for one in &of.gerrit {
            let made = Gerrit::new(one);
            let made = made.map_err(|error| SourceError::Gerrit(one.name.clone(), error))?;
            all.push(Arc::new(made));
        }
        for one in &of.zuul {
            let made = Zuul::new(one);
            let made = made.map_err(|error| SourceError::Zuul(one.name.clone(), error))?;
            all.push(Arc::new(made));
        }
        for one in &of.folder {
            all.push(Arc::new(Folder::new(one)));
        }
        for forge in forges(config, desk)? {
            let at = format!("/hooks/{}", forge.source.name());
            hooks = hooks.nest(&at, forge.routes);
            all.push(forge.source);
        }
        Ok(Self { all, hooks })
    }

    /// The same sources, of which requests fail as the plan says.
    pub(super) fn failing(mut self, plan: Option<&Plan>) -> Self {
        let Some(plan) = plan else { return self };
        let wrap = |inner| Arc::new(ChaoticSource::new(inner, plan)) as _;
        self.all = self.all.into_iter().map(wrap).collect();
        self
    }
}
