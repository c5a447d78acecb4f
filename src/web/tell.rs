//! The targets of the configuration: what each hears, and how it is served.

use super::commands;
use crate::config::{Config, Webhook};
use crate::note::webhook::{self, Settings, WebhookError};
use crate::note::{Hears, Lane, Markup, Patience, Speaker, Voice, Wording, WordingError};
use std::sync::Arc;

/// What the notes are for that nobody is configured to hear: they are shown on the page.
const PREVIEW: &str = "preview";
/// Notes of one webhook that are under way at the same time.
const AT_ONCE: usize = 8;

/// Why a target cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The address.
    #[error("notes.webhooks: {0}")]
    Address(#[from] url::ParseError),
    /// A webhook.
    #[error("notes.webhooks: {0}")]
    Webhook(#[from] WebhookError),
}

/// Who composes the notes.
pub(super) fn speaker(config: &Config) -> Result<Speaker, WordingError> {
    let notes = &config.notes;
    let base = notes.base_url.clone();
    let base = base.unwrap_or_else(|| format!("http://{}", config.listen));
    let wording = Wording::new(notes.templates.as_deref())?;
    // What cannot be served is told by who serves it.
    let lanes = lanes(config).unwrap_or_default();
    let voices = lanes.into_iter().map(|(voice, _)| voice).collect();
    let own_logs = config.store.elsewhere().is_none();
    // The configuration was refused where a rule cannot be used.
    let redactor = commands::redactor(config).unwrap_or_default();
    Ok(Speaker::new(wording, voices, &base, own_logs).redacting(redactor))
}

/// Every target of the configuration.
pub(super) fn lanes(config: &Config) -> Result<Vec<(Voice, Lane)>, TargetError> {
    let hooks = config.notes.webhooks.iter().map(hook);
    let mut all = hooks.collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        all.push(preview());
    }
    if config.notes.dry_run {
        for (_, lane) in &mut all {
            lane.target = None;
        }
    }
    Ok(all)
}

fn preview() -> (Voice, Lane) {
    let voice = Voice {
        target: PREVIEW.into(),
        hears: Hears::Builds,
        markup: Markup::Plain,
    };
    let lane = Lane {
        name: PREVIEW.into(),
        target: None,
        patience: Patience::default(),
        at_once: AT_ONCE,
    };
    (voice, lane)
}

fn hook(of: &Webhook) -> Result<(Voice, Lane), TargetError> {
    let mut settings = Settings::new(url::Url::parse(of.url.expose())?, of.secret.expose());
    settings.timeout = of.timeout.0;
    let target = webhook::Webhook::new(settings)?;
    let name = target.name().to_owned();
    let voice = Voice {
        target: name.clone(),
        hears: Hears::Builds,
        markup: Markup::Plain,
    };
    let lane = Lane {
        name,
        target: Some(Arc::new(target)),
        patience: Patience {
            max_attempts: of.max_tries,
            first_delay: of.retry.0,
            ..Patience::default()
        },
        at_once: AT_ONCE,
    };
    Ok((voice, lane))
}
