//! Which tracker a bug belongs to.

use super::http::Http;
use super::{Tracker, bugzilla, github, gitlab, jira, launchpad};
use crate::config::{Counts, TrackerKind, TrackerSite, Trackers};
use crate::event::BugRef;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// A longer name is no bug that anybody can have meant.
const LONGEST_NAME: usize = 1000;

/// A bug as its tracker knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bug {
    /// `owner/repo` or `group/project`; empty where numbers are of the whole tracker.
    pub project: String,
    /// Its number or key.
    pub id: String,
}

/// One tracker with what it was configured to be.
#[derive(Debug, Clone)]
pub struct Site {
    /// What it is called in logs: its kind and host.
    pub name: String,
    /// What it runs.
    pub kind: TrackerKind,
    /// Address of its pages.
    pub web: Url,
    /// Whether counts are written.
    pub counts: Counts,
    /// How often a comment with counts may change.
    pub counts_every: Duration,
    /// How it is asked.
    pub tracker: Arc<dyn Tracker>,
}

/// Why trackers cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The HTTP client cannot be made.
    #[error("bug tracker: {0}")]
    Client(reqwest::Error),
    /// A token has characters that no header can have.
    #[error("bug tracker {0}: its token has characters that cannot be sent")]
    Token(String),
    /// It is not known where it is.
    #[error("bug tracker {0}: give `web`")]
    Place(&'static str),
}

/// The trackers of a configuration.
pub fn sites(config: &Trackers) -> Result<Vec<Site>, SiteError> {
    config
        .sites
        .iter()
        .map(|site| Site::new(site, config))
        .collect()
}

impl Site {
    fn new(site: &TrackerSite, config: &Trackers) -> Result<Self, SiteError> {
        let kind = site.kind;
        let web = site.pages().ok_or(SiteError::Place(kind.as_str()))?;
        let http = Http::new(site, &web, config.timeout.0)?;
        let user = site.user.clone();
        let tracker: Arc<dyn Tracker> = match kind {
            TrackerKind::Launchpad => Arc::new(launchpad::Launchpad::new(http)),
            TrackerKind::Github => Arc::new(github::Github::new(http, user)),
            TrackerKind::Gitlab => Arc::new(gitlab::Gitlab::new(http)),
            TrackerKind::Jira => Arc::new(jira::Jira::new(http, web.clone())),
            TrackerKind::Bugzilla => Arc::new(bugzilla::Bugzilla::new(http, web.clone())),
        };
        Ok(Self {
            name: format!("{} {}", kind.as_str(), web.host_str().unwrap_or_default()),
            kind,
            web,
            counts: site.counts,
            counts_every: site.counts_every.0,
            tracker,
        })
    }

    /// The bug, if it is one of this tracker. `first` says that this is the first one of its kind:
    /// short names such as `github:owner/repo#7` mean that one.
    pub fn bug(&self, bug: &BugRef, first: bool) -> Option<Bug> {
        if bug.name.len() > LONGEST_NAME {
            return None;
        }
        if bug.name.starts_with("https://") || bug.name.starts_with("http://") {
            return by_url(self.kind, &self.web, &Url::parse(&bug.name).ok()?);
        }
        let (kind, rest) = bug.name.split_once(':')?;
        if !first || kind != self.kind.as_str() {
            return None;
        }
        match self.kind {
            TrackerKind::Launchpad | TrackerKind::Bugzilla => number("", rest),
            TrackerKind::Jira => key(rest),
            TrackerKind::Github | TrackerKind::Gitlab => {
                let (project, id) = rest.rsplit_once('#')?;
                number(project, id)
            }
        }
    }
}

fn by_url(kind: TrackerKind, web: &Url, url: &Url) -> Option<Bug> {
    let host = url.host_str()?;
    let short = kind == TrackerKind::Launchpad && web.host_str() == Some(&format!("bugs.{host}"));
    let same =
        web.host_str() == Some(host) && web.port_or_known_default() == url.port_or_known_default();
    if !same && !short {
        return None;
    }
    let below = url.path().strip_prefix(web.path().trim_end_matches('/'))?;
    if !matches!(below.chars().next(), None | Some('/')) {
        return None;
    }
    let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
    match (kind, parts.as_slice()) {
        (TrackerKind::Bugzilla, ["show_bug.cgi"]) => {
            let id = url.query_pairs().find(|(name, _)| name == "id")?.1;
            number("", &id)
        }
        (TrackerKind::Launchpad, ["bugs", id] | [.., "+bug", id])
        | (TrackerKind::Bugzilla, [id]) => number("", id),
        (TrackerKind::Github, [owner, repo, "issues" | "pull", id]) => {
            number(&format!("{owner}/{repo}"), id)
        }
        (
            TrackerKind::Gitlab,
            [project @ .., "-", "issues" | "work_items", id] | [project @ .., "issues", id],
        ) => number(&project.join("/"), id),
        (TrackerKind::Jira, ["browse", id]) => key(id),
        _ => None,
    }
}

fn number(project: &str, id: &str) -> Option<Bug> {
    let digits = !id.is_empty() && id.len() <= 18 && id.bytes().all(|b| b.is_ascii_digit());
    let plain = |part: &str| {
        let fit = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        !matches!(part, "" | "." | "..") && part.bytes().all(fit)
    };
    let fits = project.is_empty() || project.split('/').all(plain);
    (digits && fits).then(|| Bug {
        project: project.to_owned(),
        id: id.to_owned(),
    })
}

fn key(text: &str) -> Option<Bug> {
    let (project, id) = text.rsplit_once('-')?;
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if project.is_empty() || !project.bytes().all(word) {
        return None;
    }
    let number = number("", id)?;
    Some(Bug {
        project: String::new(),
        id: format!("{project}-{}", number.id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SITES: &str = "trackers:
  sites:
    - kind: launchpad
    - kind: github
    - {kind: github, web: 'https://git.example.org/hub/'}
    - kind: gitlab
    - {kind: jira, web: 'https://issues.example.org/jira'}
    - {kind: bugzilla, web: 'https://bugzilla.example.org'}
";

    #[test]
    fn every_form_finds_its_tracker() {
        let config = Config::parse("w", SITES, &|_| None).unwrap();
        let sites = sites(&config.trackers).unwrap();
        let names = [
            "launchpad:1182131",
            "https://bugs.launchpad.net/bugs/7",
            "https://bugs.launchpad.net/nova/+bug/7",
            "https://launchpad.net/bugs/7",
            "https://bugs.launchpad.net/ubuntu/+source/nova/+bug/7",
            "github:openstack/nova#7",
            "https://github.com/o/r/issues/7#issuecomment-1",
            "https://github.com/o/r/pull/7",
            "https://git.example.org/hub/o/r/issues/8",
            "https://git.example.org/o/r/issues/8",
            "https://git.example.org/hubs/o/r/issues/8",
            "gitlab:a/b/c#12",
            "https://gitlab.com/a/b/-/issues/12",
            "https://gitlab.com/a/b/issues/12",
            "jira:OSP-44",
            "https://issues.example.org/jira/browse/OSP-44?focusedId=1",
            "bugzilla:99",
            "https://bugzilla.example.org/show_bug.cgi?x=1&id=99",
            "https://bugzilla.example.org/99",
            "github:../..#7",
            "dns-flake",
            "https://example.org/b?id=3",
            "https://github.com/o/r/issues/new",
            "https://bugzilla.example.org:444/99",
        ];
        let found = names.map(|name| {
            let bug = BugRef {
                name: name.into(),
                url: None,
            };
            let mut seen = Vec::new();
            let mut hits = sites.iter().filter_map(|site| {
                let first = !seen.contains(&site.kind);
                seen.push(site.kind);
                Some(format!("{}: {:?}", site.name, site.bug(&bug, first)?))
            });
            let one = hits.next().unwrap_or_else(|| "nobody's".into());
            assert_eq!(hits.next(), None, "{name}");
            format!(
                "{name}\n    {}",
                one.replace("Bug { ", "").replace(" }", "")
            )
        });
        insta::assert_snapshot!(found.join("\n"));
    }
}
