//! The sources that are notified, as the configuration names them.

use crate::config::{self, Config};
use crate::forge::{App, AppKey, KeyError, SetUpError};
use crate::source::{Desk, Source, github, gitlab, jenkins, webhook};
use axum::Router;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The wait before a forge is asked again that did not answer.
const RETRY: Duration = Duration::from_secs(30);

/// A source, and what is nested at `/hooks/NAME`.
#[derive(Debug)]
pub struct Forge {
    /// The source.
    pub source: Arc<dyn Source>,
    /// Its address.
    pub routes: Router,
}

/// Why a source cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ForgesError {
    /// The API or its client.
    #[error("source {0}: {1}")]
    SetUp(String, SetUpError),
    /// The key of a GitHub App.
    #[error("source {0}: {1}")]
    Key(String, KeyError),
    /// The file with the key.
    #[error("source {0}: {1}: {2}")]
    File(String, PathBuf, std::io::Error),
    /// A glob.
    #[error("source {0}: {1}")]
    Glob(String, globset::Error),
}

/// Makes all of them ready; nothing is asked yet.
pub fn forges(config: &Config, desk: &Arc<Desk>) -> Result<Vec<Forge>, ForgesError> {
    let mut all = Vec::new();
    for one in &config.sources.github {
        let source = Arc::new(github(one)?);
        all.push(forge(&source, source.clone().routes(desk.clone())));
    }
    for one in &config.sources.gitlab {
        let source = Arc::new(gitlab(one)?);
        all.push(forge(&source, source.clone().routes(desk.clone())));
    }
    for one in &config.sources.jenkins {
        let source = Arc::new(jenkins(one));
        all.push(forge(&source, source.clone().routes(desk.clone())));
    }
    for one in &config.sources.webhook {
        let source = Arc::new(webhook(one, config)?);
        all.push(forge(&source, source.clone().routes(desk.clone())));
    }
    Ok(all)
}

fn forge<S: Source + 'static>(source: &Arc<S>, routes: Router) -> Forge {
    Forge {
        source: source.clone(),
        routes,
    }
}

fn github(one: &config::GithubSource) -> Result<github::GitHub, ForgesError> {
    let name = || one.name.clone();
    let account = match (&one.app, &one.token) {
        (Some(app), _) => github::Account::App(Box::new(app_of(one, app)?)),
        (None, token) => {
            let token = token.as_ref().map(|token| token.expose().trim().to_owned());
            github::Account::Token(token.unwrap_or_default())
        }
    };
    let catch_up = one.catch_up.as_ref().map(|wish| github::CatchUp {
        repositories: wish.repositories.clone(),
        every: wish.every.0,
        since: wish.since.0,
    });
    let settings = github::Settings {
        name: name(),
        api: address(&one.name, one.address())?,
        secret: one.secret.expose().to_owned(),
        account,
        non_voting: globs(&one.non_voting).map_err(|error| ForgesError::Glob(name(), error))?,
        checks: one.checks.clone(),
        timeout: one.timeout.0,
        retry: RETRY,
        catch_up,
    };
    github::GitHub::new(settings).map_err(|error| ForgesError::SetUp(name(), error))
}

fn address(name: &str, url: Option<Url>) -> Result<Url, ForgesError> {
    url.ok_or_else(|| ForgesError::SetUp(name.to_owned(), SetUpError::Address))
}

fn app_of(one: &config::GithubSource, app: &config::GithubApp) -> Result<App, ForgesError> {
    let pem = match (&app.key, &app.key_file) {
        (Some(key), _) => key.expose().to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| ForgesError::File(one.name.clone(), file.clone(), error))?,
        (None, None) => String::new(),
    };
    let key = AppKey::new(&app.id, &pem);
    let key = key.map_err(|error| ForgesError::Key(one.name.clone(), error))?;
    Ok(App::new(key, app.installation))
}

fn globs(all: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in all {
        // The `/` between workflow and job is none of a path.
        set.add(GlobBuilder::new(glob).literal_separator(false).build()?);
    }
    set.build()
}

fn gitlab(one: &config::GitlabSource) -> Result<gitlab::GitLab, ForgesError> {
    let settings = gitlab::Settings {
        name: one.name.clone(),
        api: address(&one.name, one.address())?,
        secret: one.secret.expose().to_owned(),
        token: one.token.expose().trim().to_owned(),
        timeout: one.timeout.0,
        retry: RETRY,
    };
    gitlab::GitLab::new(settings).map_err(|error| ForgesError::SetUp(one.name.clone(), error))
}

fn jenkins(one: &config::JenkinsSource) -> jenkins::Jenkins {
    let account = one.user.clone().zip(one.token.as_ref());
    jenkins::Jenkins::new(jenkins::Settings {
        name: one.name.clone(),
        url: one.url.clone(),
        secret: one.secret.expose().to_owned(),
        account: account.map(|(user, token)| (user, token.expose().trim().to_owned())),
        phase: match one.phase {
            config::JenkinsPhase::Finalized => jenkins::Phase::Finalized,
            config::JenkinsPhase::Completed => jenkins::Phase::Completed,
        },
    })
}

/// Logs that come in messages lie where all processes see them: any of them may have to read them.
fn webhook(one: &config::WebhookSource, config: &Config) -> Result<webhook::Webhook, ForgesError> {
    let folder = config.shared_dir().join("hooks").join(&one.name);
    let folder = std::path::absolute(&folder)
        .map_err(|error| ForgesError::File(one.name.clone(), folder, error))?;
    Ok(webhook::Webhook::new(webhook::Settings {
        name: one.name.clone(),
        secret: one.secret.expose().to_owned(),
        folder,
        keep: one.keep.0,
    }))
}
