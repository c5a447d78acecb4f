//! The builds that a fingerprint is meant for.

use crate::event::Build;
use globset::{Glob, GlobSet, GlobSetBuilder};

/// Globs over facts of a build; a list that is empty admits every build.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    projects: Globs,
    branches: Globs,
    jobs: Globs,
    pipelines: Globs,
}

/// The four lists of a scope as written.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ScopeText {
    pub(super) projects: Vec<String>,
    pub(super) branches: Vec<String>,
    pub(super) jobs: Vec<String>,
    pub(super) pipelines: Vec<String>,
}

/// One list of globs.
#[derive(Debug, Clone, Default)]
struct Globs {
    written: Vec<String>,
    set: GlobSet,
}

impl Scope {
    /// Builds a scope from globs that were checked one by one before.
    pub(super) fn new(text: ScopeText) -> Result<Self, globset::Error> {
        Ok(Self {
            projects: Globs::new(text.projects)?,
            branches: Globs::new(text.branches)?,
            jobs: Globs::new(text.jobs)?,
            pipelines: Globs::new(text.pipelines)?,
        })
    }

    /// True when every list that is given has a glob for the build; an unknown fact has none.
    pub fn admits(&self, build: &Build) -> bool {
        self.projects.admits(build.project.as_deref())
            && self.branches.admits(build.branch.as_deref())
            && self.jobs.admits(build.job.as_deref())
            && self.pipelines.admits(build.pipeline.as_deref())
    }

    /// How narrow the scope is: for each list 0 when absent, 1 with wildcards, 2 with names only.
    pub fn narrowness(&self) -> usize {
        self.lists().iter().map(|globs| globs.narrowness()).sum()
    }

    /// The scope in one line, equal for equal scopes.
    pub(super) fn canonical(&self) -> String {
        let sorted = self.lists().map(|globs| {
            let mut written = globs.written.clone();
            written.sort();
            written.dedup();
            written
        });
        format!("{sorted:?}")
    }

    fn lists(&self) -> [&Globs; 4] {
        [&self.projects, &self.branches, &self.jobs, &self.pipelines]
    }
}

impl Globs {
    fn new(written: Vec<String>) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        for glob in &written {
            builder.add(Glob::new(glob)?);
        }
        let set = builder.build()?;
        Ok(Self { written, set })
    }

    fn admits(&self, fact: Option<&str>) -> bool {
        self.written.is_empty() || fact.is_some_and(|fact| self.set.is_match(fact))
    }

    fn narrowness(&self) -> usize {
        if self.written.is_empty() {
            return 0;
        }
        let wild = |glob: &String| glob.contains(['*', '?', '[', '{']);
        if self.written.iter().any(wild) { 1 } else { 2 }
    }
}

/// Globs over paths of log files: one without `/` also fits the file's base name.
pub(super) fn file_globs<'a>(
    globs: impl IntoIterator<Item = &'a str>,
) -> Result<GlobSet, globset::Error> {
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(Glob::new(glob)?);
        if !glob.contains('/') {
            builder.add(Glob::new(&format!("**/{glob}"))?);
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_fact_does_not_meet_a_scope() {
        let scope = Scope::new(ScopeText {
            projects: vec!["openstack/*".into(), "zuul".into()],
            ..ScopeText::default()
        })
        .unwrap();
        let mut build = Build::new("u");
        assert!(!scope.admits(&build));
        build.project = Some("openstack/nova".into());
        assert!(scope.admits(&build));
        build.project = Some("x/nova".into());
        assert!(!scope.admits(&build));
        assert!(Scope::default().admits(&build));
    }

    #[test]
    fn names_are_narrower_than_wildcards() {
        let jobs = |glob: &str| {
            Scope::new(ScopeText {
                jobs: vec![glob.into()],
                ..ScopeText::default()
            })
            .unwrap()
            .narrowness()
        };
        assert!(jobs("tempest-full") > jobs("tempest-*"));
        assert!(jobs("tempest-*") > Scope::default().narrowness());
    }

    #[test]
    fn a_bare_name_fits_in_every_folder() {
        let globs = file_globs(["job-output.txt", "logs/*.log"]).unwrap();
        assert!(globs.is_match("job-output.txt"));
        assert!(globs.is_match("a/b/job-output.txt"));
        assert!(globs.is_match("logs/x.log"));
        assert!(!globs.is_match("other/x.log"));
    }
}
