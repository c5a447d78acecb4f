//! Which channel hears what, when, and how much of it.
//!
//! In: facts of a note and the time. Out: whether a channel hears it now, or later in a digest.
//! Invariants: no I/O and no clock here; every note that a channel hears is either said or counted in
//! exactly one digest; within any span of the pace's length no more is said than its limit, digests
//! included; nothing is said in quiet hours.

mod gate;
mod held;
mod quiet;

pub use gate::{Gate, Pace, Turn, said_when};
pub use held::{Held, digest_of};
pub use quiet::{Quiet, Silence, day};

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// A build with a known bug.
    Matched,
    /// A build that nobody can explain.
    Unmatched,
    /// A build whose log came late, or not at all.
    LateLog,
    /// A bug that counted as fixed was hit.
    ReturnedBug,
    /// Something is broken for everybody.
    Outage,
}

impl Happening {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Matched,
        Self::Unmatched,
        Self::LateLog,
        Self::ReturnedBug,
        Self::Outage,
    ];

    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Unmatched => "unmatched",
            Self::LateLog => "late-log",
            Self::ReturnedBug => "returned-bug",
            Self::Outage => "outage",
        }
    }
}

/// The facts of a note by which channels choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What it is about.
    pub happening: Happening,
    /// The project of the change.
    pub project: Option<String>,
    /// The projects of the bugs.
    pub bug_projects: Vec<String>,
    /// The pipeline.
    pub pipeline: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// Whether the build votes.
    pub voting: bool,
}

/// What a channel asks for; an empty list asks for nothing in particular.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Globs for the project of the change or of the bug.
    pub projects: Vec<String>,
    /// What it wants to hear of.
    pub happenings: Vec<Happening>,
    /// Globs for the pipeline.
    pub pipelines: Vec<String>,
    /// Globs for the branch.
    pub branches: Vec<String>,
    /// Only builds that vote, or only those that do not.
    pub voting: Option<bool>,
}

/// What a channel hears.
#[derive(Debug, Clone)]
pub struct Route {
    projects: Option<GlobSet>,
    happenings: Vec<Happening>,
    pipelines: Option<GlobSet>,
    branches: Option<GlobSet>,
    voting: Option<bool>,
}

impl Route {
    /// From what is asked for; the error names the glob that is none.
    pub fn new(wishes: Wishes) -> Result<Self, String> {
        Ok(Self {
            projects: globs(&wishes.projects)?,
            happenings: wishes.happenings,
            pipelines: globs(&wishes.pipelines)?,
            branches: globs(&wishes.branches)?,
            voting: wishes.voting,
        })
    }

    /// Whether the channel hears of it. An outage is for everybody who asks for outages: it has no
    /// project, pipeline or branch.
    pub fn hears(&self, facts: &Facts) -> bool {
        if !self.happenings.is_empty() && !self.happenings.contains(&facts.happening) {
            return false;
        }
        if facts.happening == Happening::Outage {
            return true;
        }
        let projects = facts.project.iter().chain(&facts.bug_projects);
        any(self.projects.as_ref(), projects)
            && any(self.pipelines.as_ref(), facts.pipeline.iter())
            && any(self.branches.as_ref(), facts.branch.iter())
            && self.voting.is_none_or(|wanted| wanted == facts.voting)
    }
}

impl Route {
    /// Whether it hears of this project at all.
    pub fn hears_project(&self, project: Option<&str>) -> bool {
        let project = project.map(str::to_owned);
        any(self.projects.as_ref(), project.iter())
    }
}

fn any<'a>(globs: Option<&GlobSet>, mut values: impl Iterator<Item = &'a String>) -> bool {
    globs.is_none_or(|globs| values.any(|value| globs.is_match(value)))
}

/// Globs as everywhere else in the configuration: `*` takes slashes too.
fn globs(all: &[String]) -> Result<Option<GlobSet>, String> {
    if all.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for text in all {
        let glob = Glob::new(text).map_err(|error| format!("{text:?}: {}", error.kind()))?;
        set.add(glob);
    }
    let set = set.build().map_err(|error| error.to_string())?;
    Ok(Some(set))
}

#[cfg(test)]
mod tests;
