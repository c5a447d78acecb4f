//! The targets of the configuration: what each hears, and how it is served.

use super::channels::{self, Ear, Told};
use super::{commands, digests};
use crate::chance::Plan;
use crate::chaos::driver::ChaoticTarget;
use crate::config::mail::Mail;
use crate::config::{Config, GerritAt, GitHubAt, GitLabAt, Period, Review, ReviewNotify, Webhook};
use crate::note::chat::irc::IrcHandle;
use crate::note::review::{
    App, Gerrit, GerritSettings, GitHub, GitHubAuth, GitHubSettings, GitLab, GitLabSettings,
    Notify, Vote,
};
use crate::note::route::{Route, Wishes};
use crate::note::webhook::{self, Settings};
use crate::note::{
    Hears, Lane, Markup, Patience, Restraint, Speaker, Target, Voice, Wording, WordingError,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// What the notes are for that nobody is configured to hear: they are shown on the page.
const PREVIEW: &str = "preview";
/// Notes of one webhook or review service that are under way at the same time.
const AT_ONCE: usize = 8;

/// A target cannot be served; the message names the key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(String);

/// A target with what it hears.
type Served = (Voice, Lane);

/// Everybody who is told, and who takes commands.
#[derive(Debug)]
pub(super) struct Targets {
    /// What each hears.
    pub(super) voices: Vec<Voice>,
    /// How each is served.
    pub(super) lanes: Vec<Lane>,
    /// Where people can speak to us.
    pub(super) irc: Vec<IrcHandle>,
    /// And the accounts of Matrix that hear them.
    pub(super) matrix: Vec<Ear>,
}

impl Targets {
    /// Every target of the configuration. Connections that are kept end with `stop`.
    pub(super) fn open(config: &Config, stop: &CancellationToken) -> Result<Self, TargetError> {
        let notes = &config.notes;
        let link = format!("{}/notes", base(config));
        let mut all: Vec<Served> = review(&notes.review)?;
        for hook in &notes.webhooks {
            all.push(hook_of(hook)?);
        }
        let wrong = |key: &'static str| move |why| TargetError(format!("notes.{key}: {why}"));
        let name = &config.commands.name;
        let (told, mut matrix) = channels::chat(&notes.chat, name).map_err(wrong("chat"))?;
        all.extend(told.into_iter().map(|one| channel(one, &link)));
        let irc = channels::irc(&notes.irc, name, notes.dry_run, stop);
        let (told, irc) = irc.map_err(wrong("irc"))?;
        all.extend(told.into_iter().map(|one| channel(one, &link)));
        if all.is_empty() {
            all.push(preview());
        }
        let (voices, mut lanes): (Vec<Voice>, Vec<Lane>) = all.into_iter().unzip();
        if let Some(mail) = &notes.mail {
            lanes.push(readers(mail).map_err(wrong("mail"))?);
        }
        if notes.dry_run {
            for lane in &mut lanes {
                lane.target = None;
            }
            matrix.clear();
        }
        Ok(Self {
            voices,
            lanes,
            irc,
            matrix,
        })
    }

    /// The same targets, which refuse some notes as the plan says.
    pub(super) fn failing(mut self, plan: Option<&Plan>) -> Self {
        let Some(plan) = plan else { return self };
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let wrap = |inner| Arc::new(ChaoticTarget::new(inner, number, plan)) as _;
            lane.target = lane.target.take().map(wrap);
        }
        self
    }
}

/// Who is told, and whether it is really sent there.
pub(super) fn told(lanes: &[Lane]) -> BTreeMap<String, bool> {
    let named = |lane: &Lane| (lane.name.clone(), lane.target.is_some());
    let all = lanes.iter().filter(|lane| lane.name != PREVIEW);
    all.map(named).collect()
}

/// True for a project whose code review is only shown notes, and sent none.
pub(super) fn only_shown(config: &Config, project: &str) -> bool {
    let review = &config.notes.review;
    let gerrit = review.gerrit.as_ref().map(|at| (at.dry_run, &at.projects));
    let github = review.github.as_ref().map(|at| (at.dry_run, &at.projects));
    let gitlab = review.gitlab.as_ref().map(|at| (at.dry_run, &at.projects));
    let hears = |projects: &[String]| {
        route_of(projects).is_ok_and(|route| route.hears_project(Some(project)))
    };
    let all = [gerrit, github, gitlab].into_iter().flatten();
    let hearing: Vec<bool> = all
        .filter(|(_, projects)| hears(projects))
        .map(|(dry, _)| dry)
        .collect();
    config.notes.dry_run || (!hearing.is_empty() && hearing.into_iter().all(|dry| dry))
}

/// Who composes the notes.
pub(super) fn speaker(config: &Config, voices: Vec<Voice>) -> Result<Speaker, WordingError> {
    let wording = Wording::new(config.notes.templates.as_deref())?;
    let own_logs = config.store.elsewhere().is_none();
    // The configuration was refused where a rule cannot be used.
    let redactor = commands::redactor(config).unwrap_or_default();
    let span = |period: Period| SignedDuration::try_from(period.0).unwrap_or(SignedDuration::MAX);
    let trackers = &config.trackers;
    let speaker = Speaker::new(wording, voices, &base(config), own_logs).redacting(redactor);
    Ok(speaker.tracking(span(trackers.stale_after), span(trackers.returned_after)))
}

fn base(config: &Config) -> String {
    let base = config.notes.base_url.clone();
    base.unwrap_or_else(|| format!("http://{}", config.listen))
}

fn served(
    name: &str,
    hears: Hears,
    route: Option<Route>,
    target: Option<Arc<dyn Target>>,
) -> Served {
    let voice = Voice {
        target: name.to_owned(),
        hears,
        // Review services are told in full and write it in their own markup.
        markup: Markup::Plain,
        route,
    };
    let lane = Lane {
        name: name.to_owned(),
        target,
        patience: Patience::default(),
        at_once: AT_ONCE,
        restraint: None,
    };
    (voice, lane)
}

fn preview() -> Served {
    served(PREVIEW, Hears::Builds, None, None)
}

fn hook_of(of: &Webhook) -> Result<Served, TargetError> {
    let wrong = |why: String| TargetError(format!("notes.webhooks: {why}"));
    let url = Url::parse(of.url.expose()).map_err(|e| wrong(e.to_string()))?;
    let mut settings = Settings::new(url, of.secret.expose());
    settings.timeout = of.timeout.0;
    let target = webhook::Webhook::new(settings).map_err(|e| wrong(e.to_string()))?;
    let name = target.name().to_owned();
    let target: Arc<dyn Target> = Arc::new(target);
    let target = Some(target).filter(|_| !of.dry_run);
    let (voice, mut lane) = served(&name, Hears::Builds, None, target);
    lane.patience.max_attempts = of.max_tries;
    lane.patience.first_delay = of.retry.0;
    Ok((voice, lane))
}

/// Mail is told digests and nothing of single builds, so it has no voice.
fn readers(config: &Mail) -> Result<Lane, String> {
    let target: Arc<dyn Target> = Arc::new(channels::mail(config)?);
    Ok(Lane {
        name: digests::TARGET.to_owned(),
        target: Some(target).filter(|_| !config.dry_run),
        patience: Patience::default(),
        at_once: 1,
        restraint: None,
    })
}

/// Chat hears one line at a time, in order.
fn channel(told: Told, link: &str) -> Served {
    let (voice, mut lane) = served(&told.name, Hears::Lines, Some(told.route), told.target);
    lane.at_once = 1;
    lane.restraint = Some(Restraint {
        quiet: told.quiet,
        pace: told.pace,
        link: link.to_owned(),
    });
    (voice, lane)
}

fn review(config: &Review) -> Result<Vec<Served>, TargetError> {
    let mut all = Vec::new();
    if let Some(at) = &config.gerrit {
        all.push(reviewer("gerrit", &at.projects, at.dry_run, gerrit(at))?);
    }
    if let Some(at) = &config.github {
        all.push(reviewer("github", &at.projects, at.dry_run, github(at))?);
    }
    if let Some(at) = &config.gitlab {
        all.push(reviewer("gitlab", &at.projects, at.dry_run, gitlab(at))?);
    }
    Ok(all)
}

fn reviewer(
    name: &str,
    projects: &[String],
    dry_run: bool,
    target: Result<Arc<dyn Target>, String>,
) -> Result<Served, TargetError> {
    let wrong = |why: String| TargetError(format!("notes.review.{name}: {why}"));
    let route = route_of(projects).map_err(wrong)?;
    let target = Some(target.map_err(wrong)?).filter(|_| !dry_run);
    Ok(served(name, Hears::Patchsets, Some(route), target))
}

fn route_of(projects: &[String]) -> Result<Route, String> {
    Route::new(Wishes {
        projects: projects.to_vec(),
        ..Wishes::default()
    })
}

fn gerrit(at: &GerritAt) -> Result<Arc<dyn Target>, String> {
    let settings = GerritSettings {
        url: address(&at.url)?,
        user: at.user.clone(),
        password: at.password.expose().to_owned(),
        timeout: at.timeout.0,
        notify: match at.notify {
            ReviewNotify::None => Notify::None,
            ReviewNotify::Owner => Notify::Owner,
            ReviewNotify::OwnerReviewers => Notify::OwnerReviewers,
            ReviewNotify::All => Notify::All,
        },
        vote: at.vote.as_ref().map(|vote| Vote {
            label: vote.label.clone(),
            known: vote.known,
            unexplained: vote.unexplained,
        }),
        longest: usize::try_from(at.longest_message.0).unwrap_or(usize::MAX),
    };
    Ok(Arc::new(Gerrit::new(settings).map_err(|e| e.to_string())?))
}

fn github(at: &GitHubAt) -> Result<Arc<dyn Target>, String> {
    let auth = match (&at.token, &at.app) {
        (Some(token), _) => GitHubAuth::Token(token.expose().to_owned()),
        (None, Some(app)) => {
            let pem = match (&app.private_key, &app.private_key_file) {
                (Some(key), _) => key.expose().to_owned(),
                (None, Some(file)) => std::fs::read_to_string(file)
                    .map_err(|error| format!("{}: {error}", file.display()))?,
                (None, None) => return Err("an App needs its private key".to_owned()),
            };
            let app = App::new(app.id.clone(), &pem, app.installation);
            GitHubAuth::App(Box::new(app.map_err(|e| e.to_string())?))
        }
        (None, None) => return Err("give `token` or `app`".to_owned()),
    };
    let settings = GitHubSettings {
        url: address(&at.url)?,
        auth,
        login: at.login.clone(),
        check_run: at.check_run.clone(),
        timeout: at.timeout.0,
    };
    Ok(Arc::new(GitHub::new(settings).map_err(|e| e.to_string())?))
}

fn gitlab(at: &GitLabAt) -> Result<Arc<dyn Target>, String> {
    let settings = GitLabSettings {
        url: address(&at.url)?,
        token: at.token.expose().to_owned(),
        timeout: at.timeout.0,
    };
    Ok(Arc::new(GitLab::new(settings).map_err(|e| e.to_string())?))
}

fn address(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("not an address: {error}"))
}
