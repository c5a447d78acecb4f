//! How an index that somebody else fills is laid out: which indexes, which names its fields have.

use crate::event::Build;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Days of indexes that are named one by one; a build that spans more is looked for in all.
const MAX_DAYS: usize = 6;

/// The indexes and fields of logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Names of indexes, aliases or data streams; `*` and `%Y.%m.%d` stand for what they stand for
    /// in a cluster and in Logstash.
    pub indexes: Vec<String>,
    /// What the cluster calls a field, by the name that fingerprints use. Others have their own.
    pub names: BTreeMap<String, String>,
    /// Fields that give the order of the events of one moment, such as a line number.
    pub order: Vec<String>,
}

impl Layout {
    /// The layout of elastic-recheck's Logstash: one index a day, exact fields.
    pub fn elastic_recheck() -> Self {
        Self {
            indexes: vec!["logstash-%Y.%m.%d".into()],
            names: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// The layout of OpenStack's OpenSearch, filled by `logsender`: strings are analysed, and exact
    /// below `.keyword`. It has no `build_short_uuid`.
    pub fn openstack() -> Self {
        let exact = [
            "build_branch",
            "build_name",
            "build_newrev",
            "build_patchset",
            "build_queue",
            "build_ref",
            "build_set",
            "build_status",
            "build_uuid",
            "filename",
            "log_url",
            "node_provider",
            "project",
            "tags",
            "tenant",
        ];
        let names = exact.map(|name| (name.to_owned(), format!("{name}.keyword")));
        Self {
            indexes: vec!["logstash-logs-*".into()],
            names: names.into(),
            order: Vec::new(),
        }
    }

    /// A preset by its name in the configuration.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "elastic-recheck" => Some(Self::elastic_recheck()),
            "openstack" => Some(Self::openstack()),
            _ => None,
        }
    }

    /// What the cluster calls a field.
    pub fn name<'a>(&'a self, field: &'a str) -> &'a str {
        self.names.get(field).map_or(field, String::as_str)
    }

    /// The indexes as one path part, for all times.
    pub(super) fn everywhere(&self) -> String {
        let all: Vec<String> = self.indexes.iter().map(|name| star(name)).collect();
        all.join(",")
    }

    /// The indexes in which a build's events can be: those of its days and of the day before and
    /// after, for clocks differ and senders are late.
    pub(super) fn of_build(&self, build: &Build) -> String {
        match (build.started, build.finished) {
            (Some(from), Some(to)) => self.between(from, to),
            (Some(at), None) | (None, Some(at)) => self.between(at, at),
            (None, None) => self.everywhere(),
        }
    }

    /// The indexes of a span of time, a day more at both ends.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> String {
        let day = SignedDuration::from_hours(24);
        let last = to.checked_add(day).unwrap_or(to);
        let mut at = from.checked_sub(day).unwrap_or(from);
        let mut days = vec![at];
        while days.len() <= MAX_DAYS {
            let Ok(next) = at.checked_add(day) else { break };
            if next > last {
                break;
            }
            at = next;
            days.push(at);
        }
        if days.len() > MAX_DAYS {
            return self.everywhere();
        }
        // The last hours may lie in a day that whole steps did not reach.
        days.push(last);
        let mut names = Vec::new();
        for pattern in &self.indexes {
            for day in &days {
                let name = day.strftime(pattern.as_str()).to_string();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.join(",")
    }
}

/// The pattern with `*` in place of the parts of a date.
fn star(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let c = if c == '%' {
            chars.next();
            '*'
        } else {
            c
        };
        if !(c == '*' && out.ends_with('*')) {
            out.push(c);
        }
    }
    // `*.*.*` says no more than `*`.
    while out.contains("*.*") || out.contains("*-*") {
        out = out.replace("*.*", "*").replace("*-*", "*");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_right_days_are_asked() {
        let layout = Layout::elastic_recheck();
        let two = layout.between(at("2026-01-01T23:50:00Z"), at("2026-01-02T00:10:00Z"));
        assert_eq!(
            two,
            "logstash-2025.12.31,logstash-2026.01.01,logstash-2026.01.02,logstash-2026.01.03"
        );
        assert_eq!(layout.of_build(&Build::new("u")), "logstash-*");
        let long = layout.between(at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));
        assert_eq!(long, "logstash-*");
    }

    #[test]
    fn an_alias_is_asked_as_it_is() {
        let layout = Layout {
            indexes: vec!["ci-logs".into(), "old-*".into()],
            ..Layout::elastic_recheck()
        };
        let name = layout.between(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        assert_eq!(name, "ci-logs,old-*");
    }

    #[test]
    fn names_are_the_clusters() {
        let layout = Layout::openstack();
        assert_eq!(layout.name("tags"), "tags.keyword");
        assert_eq!(layout.name("message"), "message");
        assert_eq!(Layout::preset("logstash"), None);
    }
}
