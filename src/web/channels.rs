//! From the configuration to targets: channels of chat services and mail, with what each one hears.

use crate::config::chat::{Channel, Chat, ChatEvent, Day, HookKind, MatrixAccount, time_of_day};
use crate::config::mail::{Mail as MailConfig, MailSecurity};
use crate::config::{Irc, IrcChannel};
use crate::note::Target;
use crate::note::chat::hook::{Hook, Kind};
use crate::note::chat::irc::{IrcClient, IrcHandle, IrcTarget};
use crate::note::chat::matrix::{Login, Matrix, Settings};
use crate::note::chat::slack::{Slack, Webhook};
use crate::note::mail::{self, Mail, Security};
use crate::note::route::{Happening, Pace, Quiet, Route, Silence, Wishes};
use jiff::SignedDuration;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// A channel that can be told notes.
#[derive(Debug)]
pub struct Told {
    /// What it is called in the outbox and on pages: tells channels apart and holds no secret.
    pub name: String,
    /// Where its notes go; without one nothing is sent there.
    pub target: Option<Arc<dyn Target>>,
    /// What it hears.
    pub route: Route,
    /// When it hears nothing.
    pub quiet: Quiet,
    /// How much it hears.
    pub pace: Option<Pace>,
}

/// An account that takes commands in rooms.
#[derive(Debug, Clone)]
pub struct Ear {
    /// The account.
    pub matrix: Arc<Matrix>,
    /// The account, by server and device: where its place in the rooms is kept.
    pub name: String,
    /// Its rooms, by id or alias.
    pub rooms: Vec<String>,
}

/// All channels of chat services, and the accounts that take commands, by which they are called
/// `name`. The error is for people.
pub fn chat(config: &Chat, name: &str) -> Result<(Vec<Told>, Vec<Ear>), String> {
    let (mut told, mut ears) = (Vec::new(), Vec::new());
    for account in &config.matrix {
        let matrix = matrix(account, name)?;
        for room in &account.rooms {
            let target: Arc<dyn Target> = Arc::new(matrix.room(&room.channel));
            told.push(channel("matrix", room, Some(target), account.dry_run)?);
        }
        if account.commands && !account.dry_run {
            let who = account.user.as_deref().unwrap_or_default();
            let rooms = account.rooms.iter().map(|room| room.channel.clone());
            ears.push(Ear {
                matrix,
                name: format!("matrix {who}@{} {}", account.homeserver, account.device),
                rooms: rooms.collect(),
            });
        }
    }
    for app in &config.slack {
        let slack = Slack::new(address(&app.api)?, app.token.expose(), app.timeout.0)?;
        for one in &app.channels {
            let target: Arc<dyn Target> = Arc::new(slack.channel(&one.channel));
            told.push(channel("slack", one, Some(target), app.dry_run)?);
        }
    }
    for hook in &config.hooks {
        let (url, name, timeout) = (
            address(hook.url.expose())?,
            hook.username.clone(),
            hook.timeout.0,
        );
        let (kind, target): (_, Arc<dyn Target>) = match hook.kind {
            HookKind::Slack => ("slack-hook", Arc::new(Webhook::new(url, timeout)?)),
            HookKind::Mattermost => (
                "mattermost",
                Arc::new(Hook::new(Kind::Mattermost, url, name, timeout)?),
            ),
            HookKind::Discord => (
                "discord",
                Arc::new(Hook::new(Kind::Discord, url, name, timeout)?),
            ),
        };
        told.push(channel(kind, &hook.hears, Some(target), hook.dry_run)?);
    }
    match twice(&told) {
        Some(name) => Err(format!("{name} is configured twice")),
        None => Ok((told, ears)),
    }
}

/// All channels of IRC, and the servers where people can speak to us, by which we are also called
/// `name`; the connections end with `stop`. A dry run connects nowhere. The error is for people.
pub fn irc(
    servers: &[Irc],
    name: &str,
    dry_run: bool,
    stop: &CancellationToken,
) -> Result<(Vec<Told>, Vec<IrcHandle>), String> {
    let (mut told, mut ears) = (Vec::new(), Vec::new());
    for server in servers {
        let client = if dry_run || server.dry_run {
            None
        } else {
            Some(connect(server, name, stop)?)
        };
        for one in &server.channels {
            let target = client.clone().map(|client| {
                let target: Arc<dyn Target> = Arc::new(IrcTarget::new(client, &one.name));
                target
            });
            told.push(channel("irc", &of_irc(one), target, false)?);
        }
        ears.extend(client);
    }
    Ok((told, ears))
}

fn connect(server: &Irc, name: &str, stop: &CancellationToken) -> Result<IrcHandle, String> {
    let mut settings = super::irc::settings(server);
    settings.also.push(name.to_owned());
    IrcClient::start(settings, stop.clone()).map_err(|e| e.to_string())
}

fn of_irc(one: &IrcChannel) -> Channel {
    let all = Channel::named(&one.name);
    Channel {
        projects: one.projects.clone(),
        events: one.events.clone(),
        pipelines: one.pipelines.clone(),
        branches: one.branches.clone(),
        voting: one.voting,
        quiet: one.quiet.clone(),
        time_zone: one.time_zone.clone().unwrap_or(all.time_zone),
        limit: one.limit,
        per: one.per.unwrap_or(all.per),
        channel: all.channel,
        dry_run: one.dry_run,
    }
}

/// The readers of mail. The error is for people.
pub fn mail(config: &MailConfig) -> Result<Mail, String> {
    let security = match config.security {
        MailSecurity::Tls => Security::Tls,
        MailSecurity::Starttls => Security::StartTls,
        MailSecurity::Plain => Security::Plain,
    };
    let password = config.password.as_ref().map(|p| p.expose().to_owned());
    Mail::new(mail::Settings {
        host: config.host.clone(),
        port: config.port(),
        security,
        login: config.user.clone().zip(password),
        from: config.from.clone(),
        to: config.to.clone(),
        list_id: config.list_id.clone(),
        timeout: config.timeout.0,
        ca: certificates(config.ca_file.as_deref())?,
    })
}

fn matrix(account: &MatrixAccount, name: &str) -> Result<Arc<Matrix>, String> {
    let login = match (&account.token, &account.user, &account.password) {
        (Some(token), _, _) => Login::Token(token.expose().to_owned()),
        (None, Some(user), Some(password)) => Login::Password {
            user: user.clone(),
            password: password.expose().to_owned(),
        },
        _ => return Err("a Matrix account needs a token, or user and password".to_owned()),
    };
    Matrix::new(Settings {
        homeserver: address(&account.homeserver)?,
        login,
        device: account.device.clone(),
        called: name.to_owned(),
        timeout: account.timeout.0,
        ca: certificates(account.ca_file.as_deref())?,
    })
}

fn channel(
    kind: &str,
    config: &Channel,
    target: Option<Arc<dyn Target>>,
    dry_run: bool,
) -> Result<Told, String> {
    let name = format!("{kind}:{}", config.channel);
    let route = Route::new(Wishes {
        projects: config.projects.clone(),
        happenings: config
            .events
            .iter()
            .map(|event| happening(*event))
            .collect(),
        pipelines: config.pipelines.clone(),
        branches: config.branches.clone(),
        voting: config.voting,
    });
    let zone = TimeZone::get(&config.time_zone).map_err(|error| format!("{name}: {error}"))?;
    let silences = config.quiet.iter().map(|hours| {
        Some(Silence {
            days: days(&hours.days),
            from: time_of_day(&hours.from)?,
            to: time_of_day(&hours.to)?,
        })
    });
    let silences: Option<Vec<_>> = silences.collect();
    let silences = silences.ok_or_else(|| format!("{name}: not a time of the day"))?;
    let period =
        SignedDuration::try_from(config.per.0).map_err(|error| format!("{name}: {error}"))?;
    Ok(Told {
        target: target.filter(|_| !(dry_run || config.dry_run)),
        route: route.map_err(|error| format!("{name}: {error}"))?,
        quiet: Quiet::new(zone, silences),
        pace: config.limit.map(|most| Pace {
            most: most as usize,
            period,
        }),
        name,
    })
}

fn happening(event: ChatEvent) -> Happening {
    match event {
        ChatEvent::Matched => Happening::Matched,
        ChatEvent::Unmatched => Happening::Unmatched,
        ChatEvent::LateLog => Happening::LateLog,
        ChatEvent::ReturnedBug => Happening::ReturnedBug,
        ChatEvent::Outage => Happening::Outage,
    }
}

/// No day stands for all of them.
fn days(days: &[Day]) -> Vec<Weekday> {
    if days.is_empty() {
        return Weekday::Monday.cycle_forward().take(7).collect();
    }
    let one = |day: &Day| match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    };
    days.iter().map(one).collect()
}

/// The address itself may be a secret, so the message does not repeat it.
fn address(text: &str) -> Result<Url, String> {
    text.parse()
        .map_err(|error| format!("not an address: {error}"))
}

fn certificates(file: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    let Some(file) = file else { return Ok(None) };
    let pem = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Some(pem))
}

fn twice(told: &[Told]) -> Option<&str> {
    let names: Vec<&str> = told.iter().map(|one| one.name.as_str()).collect();
    let again = names
        .iter()
        .enumerate()
        .find(|(n, name)| names[..*n].contains(name));
    again.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::route::Facts;

    const TEXT: &str = "
matrix:
  - homeserver: https://matrix.example.org
    user: bot
    password: hidden-password
    commands: true
    rooms:
      - {channel: '#infra:example.org', events: [unmatched], quiet: [{from: '22:00', to: '7:00'}], limit: 2}
slack:
  - {token: hidden-token, channels: [{channel: C1}, {channel: C2}]}
hooks:
  - {kind: discord, url: 'https://discord.example/api/webhooks/1/hidden', hears: {channel: ci}}
";

    #[test]
    fn every_channel_is_there_with_what_it_hears() {
        let config: Chat = serde_saphyr::from_str(TEXT).unwrap();
        let (told, ears) = chat(&config, "whorl").unwrap();
        let names: Vec<_> = told.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "matrix:#infra:example.org",
                "slack:C1",
                "slack:C2",
                "discord:ci"
            ]
        );
        assert_eq!(ears[0].rooms, ["#infra:example.org"]);
        assert!(!format!("{told:?}{ears:?}").contains("hidden"));
        let facts = |happening| Facts {
            happening,
            project: None,
            bug_projects: Vec::new(),
            pipeline: None,
            branch: None,
            voting: true,
        };
        assert!(told[0].route.hears(&facts(Happening::Unmatched)));
        assert!(!told[0].route.hears(&facts(Happening::Matched)));
        assert!(told[1].route.hears(&facts(Happening::Matched)));
        assert!(
            told[0]
                .quiet
                .is_quiet("2026-11-20T23:00:00Z".parse().unwrap())
        );
        assert_eq!(told[0].pace.map(|pace| pace.most), Some(2));
    }

    #[test]
    fn a_channel_is_configured_once() {
        let config: Chat = serde_saphyr::from_str(&TEXT.replace("C2", "C1")).unwrap();
        assert_eq!(
            chat(&config, "whorl").unwrap_err(),
            "slack:C1 is configured twice"
        );
    }

    #[test]
    fn mail_is_made_of_its_configuration() {
        let text = "{host: localhost, security: plain, from: a@b.example, to: [c@d.example]}";
        let config: MailConfig = serde_saphyr::from_str(text).unwrap();
        assert!(mail(&config).is_ok());
        let missing = MailConfig {
            ca_file: Some("/nonexistent/ca.pem".into()),
            ..config
        };
        assert!(
            mail(&missing)
                .unwrap_err()
                .starts_with("/nonexistent/ca.pem: ")
        );
    }
}
