//! Bug trackers: each against a fake that is as strict as its documentation says the real one is,
//! against broken answers, and all of them together in the refresher.

mod broken;
mod bugzilla;
mod counts;
pub(crate) mod fake;
mod gerrit;
pub(crate) mod github;
mod gitlab;
mod jira;
mod launchpad;
pub(crate) mod refresh;

use fake::Fake;
use std::sync::Arc;
use whorl::config::{Config, Trackers};
use whorl::event::{BugFacts, BugRef};
use whorl::tracker::{Bug, Fetched, Site, TrackerError, sites};

/// The configuration of these sites, written as in the file.
fn config(rest: &str) -> Trackers {
    let text = format!("trackers:\n  timeout: 2s\n{rest}");
    let config = Config::parse("whorl.yaml", &text, &|_| None).unwrap();
    config.trackers
}

/// One site, by what stands between its braces.
fn site(keys: &str) -> Site {
    sites(&config(&format!("  sites:\n    - {{{keys}}}\n")))
        .unwrap()
        .remove(0)
}

fn named(name: &str) -> BugRef {
    BugRef {
        name: name.to_owned(),
        url: None,
    }
}

fn bug(site: &Site, name: &str) -> Bug {
    site.bug(&named(name), true).unwrap()
}

async fn facts(site: &Site, name: &str) -> Result<BugFacts, TrackerError> {
    match site.tracker.fetch(&bug(site, name), None).await? {
        Fetched::Facts { facts, .. } => Ok(facts),
        Fetched::Unchanged => panic!("nothing was known that could be unchanged"),
    }
}

/// The port, which differs from run to run, taken out of what is shown.
fn shown(fake: &Fake, what: &impl std::fmt::Debug) -> String {
    format!("{what:#?}").replace(&fake.url(), "http://fake")
}

pub(crate) type Shared<T> = Arc<std::sync::Mutex<T>>;
