//! The sources of the configuration, and the addresses at which they are notified.

use crate::config::{Config, GithubSource, GitlabSource, JenkinsPhase, JenkinsSource};
use crate::forge::{App, AppKey};
use crate::source::folder::Folder;
use crate::source::gerrit::Gerrit;
use crate::source::github::{self, GitHub};
use crate::source::gitlab::{self, GitLab};
use crate::source::jenkins::{self, Jenkins};
use crate::source::webhook::{self, Webhook};
use crate::source::zuul::Zuul;
use crate::source::{Desk, Source};
use axum::Router;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::sync::Arc;
use std::time::Duration;

/// How long a source waits before it asks again what was not answered.
const RETRY: Duration = Duration::from_secs(1);

/// Every source of the configuration.
#[derive(Debug)]
pub(super) struct Sources {
    /// Those that hear by themselves, and all that are notified.
    pub(super) all: Vec<Arc<dyn Source>>,
    /// What takes notifications, each at `/hooks/NAME`.
    pub(super) hooks: Router,
}

/// A source cannot be set up; the message names the key.
#[derive(Debug, thiserror::Error)]
#[error("sources.{kind}.{name}: {why}")]
pub struct SourceError {
    kind: &'static str,
    name: String,
    why: String,
}

impl Sources {
    /// Sets all of them up; nothing is heard yet.
    pub(super) fn open(config: &Config, desk: &Arc<Desk>) -> Result<Self, SourceError> {
        let mut sources = Self {
            all: Vec::new(),
            hooks: Router::new(),
        };
        let of = &config.sources;
        for one in &of.gerrit {
            let made = Gerrit::new(one).map_err(wrong("gerrit", &one.name))?;
            sources.all.push(Arc::new(made));
        }
        for one in &of.zuul {
            let made = Zuul::new(one).map_err(wrong("zuul", &one.name))?;
            sources.all.push(Arc::new(made));
        }
        for one in &of.folder {
            sources.all.push(Arc::new(Folder::new(one)));
        }
        for one in &of.github {
            let settings = github(one).map_err(wrong("github", &one.name))?;
            let made = GitHub::new(settings).map_err(wrong("github", &one.name))?;
            let made = Arc::new(made);
            sources.hook(&one.name, made.clone().routes(desk.clone()), made);
        }
        for one in &of.gitlab {
            let settings = gitlab(one).map_err(wrong("gitlab", &one.name))?;
            let made = GitLab::new(settings).map_err(wrong("gitlab", &one.name))?;
            let made = Arc::new(made);
            sources.hook(&one.name, made.clone().routes(desk.clone()), made);
        }
        for one in &of.jenkins {
            let made = Arc::new(Jenkins::new(jenkins(one)));
            sources.hook(&one.name, made.clone().routes(desk.clone()), made);
        }
        for one in &of.webhook {
            let made = Arc::new(Webhook::new(webhook::Settings {
                name: one.name.clone(),
                secret: one.secret.expose().to_owned(),
                folder: config.shared_dir().join("hooks").join(&one.name),
                keep: one.keep.0,
            }));
            sources.hook(&one.name, made.clone().routes(desk.clone()), made);
        }
        Ok(sources)
    }

    fn hook(&mut self, name: &str, routes: Router, source: Arc<dyn Source>) {
        let hooks = std::mem::take(&mut self.hooks);
        self.hooks = hooks.nest(&format!("/hooks/{name}"), routes);
        self.all.push(source);
    }
}

fn wrong<E: std::fmt::Display>(kind: &'static str, name: &str) -> impl Fn(E) -> SourceError {
    let name = name.to_owned();
    move |why| SourceError {
        kind,
        name: name.clone(),
        why: why.to_string(),
    }
}

fn github(one: &GithubSource) -> Result<github::Settings, String> {
    let account = match (&one.token, &one.app) {
        (Some(token), _) => github::Account::Token(token.expose().to_owned()),
        (None, Some(app)) => {
            let pem = match (&app.key, &app.key_file) {
                (Some(key), _) => key.expose().to_owned(),
                (None, Some(file)) => std::fs::read_to_string(file)
                    .map_err(|error| format!("{}: {error}", file.display()))?,
                (None, None) => return Err("an App needs its key".to_owned()),
            };
            let key = AppKey::new(app.id.clone(), &pem).map_err(|error| error.to_string())?;
            github::Account::App(Box::new(App::new(key, app.installation)))
        }
        (None, None) => return Err("give `token` or `app`".to_owned()),
    };
    Ok(github::Settings {
        name: one.name.clone(),
        api: one.address().ok_or("no address of the API")?,
        secret: one.secret.expose().to_owned(),
        account,
        non_voting: globs(&one.non_voting)?,
        checks: one.checks.clone(),
        timeout: one.timeout.0,
        retry: RETRY,
        catch_up: one.catch_up.as_ref().map(|every| github::CatchUp {
            repositories: every.repositories.clone(),
            every: every.every.0,
            since: every.since.0,
        }),
    })
}

fn gitlab(one: &GitlabSource) -> Result<gitlab::Settings, String> {
    Ok(gitlab::Settings {
        name: one.name.clone(),
        api: one.address().ok_or("no address of the API")?,
        secret: one.secret.expose().to_owned(),
        token: one.token.expose().to_owned(),
        timeout: one.timeout.0,
        retry: RETRY,
    })
}

fn jenkins(one: &JenkinsSource) -> jenkins::Settings {
    let token = one.token.as_ref().map(|token| token.expose().to_owned());
    jenkins::Settings {
        name: one.name.clone(),
        url: one.url.clone(),
        secret: one.secret.expose().to_owned(),
        account: one.user.clone().zip(token),
        phase: match one.phase {
            JenkinsPhase::Finalized => jenkins::Phase::Finalized,
            JenkinsPhase::Completed => jenkins::Phase::Completed,
        },
    }
}

fn globs(texts: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        set.add(Glob::new(text).map_err(|error| error.to_string())?);
    }
    set.build().map_err(|error| error.to_string())
}
