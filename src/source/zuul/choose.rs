//! Which builds count.

use super::Finished;
use crate::config::ZuulSource;
use crate::event::{Build, FieldValue};
use crate::source::{Announced, Logs};

/// What a person or a newer patchset stopped: it says nothing of the change.
const CANCELLED: &str = "CANCELED";

/// What the configuration asks for.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    tenants: Vec<String>,
    pipelines: Vec<String>,
    projects: Vec<String>,
    results: Vec<String>,
    passed: bool,
    retried: bool,
}

impl Choice {
    pub(super) fn new(config: &ZuulSource) -> Self {
        Self {
            tenants: config.tenants.clone(),
            pipelines: config.pipelines.clone(),
            projects: config.projects.clone(),
            results: config.results.clone(),
            passed: config.passed,
            retried: config.retried,
        }
    }

    /// What is asked for with each request, so that the rest does not have to travel.
    pub(super) fn query(&self) -> Vec<(&'static str, &str)> {
        let mut all = Vec::new();
        let lists = [
            ("pipeline", &self.pipelines),
            ("project", &self.projects),
            ("result", &self.results),
        ];
        for (key, list) in lists {
            all.extend(list.iter().map(|value| (key, value.as_str())));
        }
        if self.passed && !self.results.is_empty() {
            all.push(("result", "SUCCESS"));
        }
        all
    }

    /// True when builds that passed need not be answered.
    pub(super) fn only_failures(&self) -> bool {
        !self.passed && self.results.is_empty()
    }

    /// The build with where its logs are, if it counts.
    pub(super) fn take(&self, one: &Finished) -> Option<Announced> {
        let build = &one.build;
        let listed = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|one| one == value))
        };
        let tenant = match build.extra.get("tenant") {
            Some(FieldValue::Text(tenant)) => Some(&**tenant),
            _ => None,
        };
        let here = listed(&self.tenants, tenant)
            && listed(&self.pipelines, build.pipeline.as_deref())
            && listed(&self.projects, build.project.as_deref());
        if !here || (one.retried && !self.retried) || !self.counts(build) {
            return None;
        }
        let logs = one.logs.clone().filter(|_| build.failed());
        Some(Announced {
            build: build.clone(),
            logs: logs.map(|url| Logs::Root { url }),
        })
    }

    fn counts(&self, build: &Build) -> bool {
        if !build.failed() {
            return self.passed;
        }
        let word = build.result.as_deref().unwrap_or_default();
        if self.results.is_empty() {
            return !word.eq_ignore_ascii_case(CANCELLED);
        }
        self.results
            .iter()
            .any(|one| one.eq_ignore_ascii_case(word))
    }
}
