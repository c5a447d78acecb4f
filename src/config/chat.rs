//! Chat: accounts, channels, and what each channel hears.

use super::{Period, Secret, Wrong};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::path::PathBuf;

/// Channels of chat services.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chat {
    /// Accounts on Matrix servers.
    pub matrix: Vec<MatrixAccount>,
    /// Apps in Slack workspaces.
    pub slack: Vec<SlackApp>,
    /// Incoming webhooks of Slack, Mattermost and Discord.
    pub hooks: Vec<ChatHook>,
}

/// An account on a Matrix server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MatrixAccount {
    /// Address of the server's client API.
    pub homeserver: String,
    /// The account's access token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Instead of a token: the account's name.
    #[serde(default)]
    pub user: Option<String>,
    /// And its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// What the login is called; the same over restarts.
    #[serde(default = "default_device")]
    pub device: String,
    /// A file of certificates (PEM) that are trusted besides the usual ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long a request may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Whether commands are taken in the rooms.
    #[serde(default)]
    pub commands: bool,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// The rooms: `channel` is an id (`!…`) or an alias (`#…`).
    pub rooms: Vec<Channel>,
}

/// An app in a Slack workspace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlackApp {
    /// Address of the API.
    #[serde(default = "default_slack")]
    pub api: String,
    /// The bot token (`xoxb-…`).
    pub token: Secret,
    /// How long a request may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// The channels, by id (`C…`).
    pub channels: Vec<Channel>,
}

/// Whose incoming webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookKind {
    /// Slack.
    Slack,
    /// Mattermost.
    Mattermost,
    /// Discord.
    Discord,
}

/// An incoming webhook.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChatHook {
    /// Whose it is.
    pub kind: HookKind,
    /// Its whole address, which is the secret.
    pub url: Secret,
    /// Shown in place of the webhook's own name, where the service allows it.
    #[serde(default)]
    pub username: Option<String>,
    /// How long a request may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// What the channel behind it hears; its `channel` is only a name for us.
    pub hears: Channel,
}

/// A channel and what it hears.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Channel {
    /// The channel, as the service calls it.
    pub channel: String,
    /// Nothing is sent: its notes are only shown on the page.
    #[serde(default)]
    pub dry_run: bool,
    /// Globs for the project of the change or of the bug; empty: all.
    #[serde(default)]
    pub projects: Vec<String>,
    /// What it hears of; empty: everything.
    #[serde(default)]
    pub events: Vec<ChatEvent>,
    /// Globs for the pipeline; empty: all.
    #[serde(default)]
    pub pipelines: Vec<String>,
    /// Globs for the branch; empty: all.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Only builds that vote (`true`), or only those that do not (`false`).
    #[serde(default)]
    pub voting: Option<bool>,
    /// When nothing is said.
    #[serde(default)]
    pub quiet: Vec<QuietHours>,
    /// Whose clock that is, such as `Europe/Berlin`.
    #[serde(default = "default_zone")]
    pub time_zone: String,
    /// How many messages within `per`; without it, no limit.
    #[serde(default)]
    pub limit: Option<u32>,
    /// The span of the limit.
    #[serde(default = "default_per")]
    pub per: Period,
}

/// What a channel can hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChatEvent {
    /// A build with a known bug.
    Matched,
    /// A build that nobody can explain.
    Unmatched,
    /// A build whose log came late, or not at all.
    LateLog,
    /// A bug that counted as fixed was hit.
    ReturnedBug,
    /// Something is broken for everybody.
    Outage,
}

/// Hours in which nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuietHours {
    /// On which days they begin (`mon`, …); empty: on all.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When they begin: `22:00`.
    pub from: String,
    /// When they end: on the next day, if that is not later than the beginning.
    pub to: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

fn default_device() -> String {
    "WHORL".to_owned()
}

fn default_slack() -> String {
    "https://slack.com/api/".to_owned()
}

fn default_timeout() -> Period {
    Period::seconds(10)
}

fn default_per() -> Period {
    Period::seconds(600)
}

fn default_zone() -> String {
    "UTC".to_owned()
}

impl Channel {
    /// A channel that hears everything.
    pub fn named(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            dry_run: false,
            projects: Vec::new(),
            events: Vec::new(),
            pipelines: Vec::new(),
            branches: Vec::new(),
            voting: None,
            quiet: Vec::new(),
            time_zone: default_zone(),
            limit: None,
            per: default_per(),
        }
    }
}

impl Chat {
    /// How many channels there are.
    pub fn channels(&self) -> usize {
        let rooms = self.matrix.iter().map(|account| account.rooms.len());
        let apps = self.slack.iter().map(|app| app.channels.len());
        rooms.chain(apps).sum::<usize>() + self.hooks.len()
    }

    /// Everything whose variables are to be put in.
    pub fn secrets(&mut self) -> Vec<&mut Secret> {
        let mut all = Vec::new();
        for one in &mut self.matrix {
            all.extend(one.token.as_mut());
            all.extend(one.password.as_mut());
        }
        all.extend(self.slack.iter_mut().map(|one| &mut one.token));
        all.extend(self.hooks.iter_mut().map(|one| &mut one.url));
        all
    }

    /// What cannot be; `path` is where this stands in the file.
    pub fn check(&self, path: &str) -> Result<(), Wrong> {
        for (n, one) in self.matrix.iter().enumerate() {
            one.check(&format!("{path}.matrix[{n}]"))?;
        }
        for (n, one) in self.slack.iter().enumerate() {
            one.check(&format!("{path}.slack[{n}]"))?;
        }
        for (n, one) in self.hooks.iter().enumerate() {
            one.check(&format!("{path}.hooks[{n}]"))?;
        }
        Ok(())
    }
}

impl MatrixAccount {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        address(&format!("{path}.homeserver"), &self.homeserver)?;
        some_time(&format!("{path}.timeout"), self.timeout)?;
        let by_name = self.user.is_some() && self.password.is_some();
        let partly = self.user.is_some() != self.password.is_some();
        if partly || self.token.is_some() == by_name {
            return Err(Wrong::new(path, "give either token, or user and password"));
        }
        if self.device.is_empty() {
            return Err(Wrong::new(format!("{path}.device"), "must not be empty"));
        }
        some(&format!("{path}.rooms"), &self.rooms)?;
        for (n, room) in self.rooms.iter().enumerate() {
            let path = format!("{path}.rooms[{n}]");
            if !room.channel.starts_with(['!', '#']) {
                let message = "a room is an id (!…) or an alias (#name:server)";
                return Err(Wrong::new(format!("{path}.channel"), message));
            }
            room.check(&path)?;
        }
        Ok(())
    }
}

impl SlackApp {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        let api = format!("{path}.api");
        address(&api, &self.api)?;
        if !self.api.ends_with('/') {
            return Err(Wrong::new(api, "must end with /"));
        }
        not_empty(&format!("{path}.token"), &self.token)?;
        some_time(&format!("{path}.timeout"), self.timeout)?;
        some(&format!("{path}.channels"), &self.channels)?;
        for (n, channel) in self.channels.iter().enumerate() {
            let path = format!("{path}.channels[{n}]");
            let id = &channel.channel;
            let plain = id
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
            if !id.starts_with(['C', 'G', 'D']) || !plain {
                let message = "give the channel's id (C…, at the end of its details), not its name";
                return Err(Wrong::new(format!("{path}.channel"), message));
            }
            channel.check(&path)?;
        }
        Ok(())
    }
}

impl ChatHook {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        address(&format!("{path}.url"), self.url.expose())?;
        some_time(&format!("{path}.timeout"), self.timeout)?;
        let name = self.username.as_deref().unwrap_or("whorl").to_lowercase();
        let refused = name.contains("discord") || name.contains("clyde");
        if self.kind == HookKind::Discord && refused {
            let message = "Discord takes no name with `discord` or `clyde` in it";
            return Err(Wrong::new(format!("{path}.username"), message));
        }
        self.hears.check(&format!("{path}.hears"))
    }
}

impl Channel {
    fn check(&self, path: &str) -> Result<(), Wrong> {
        if self.channel.trim().is_empty() {
            return Err(Wrong::new(format!("{path}.channel"), "must not be empty"));
        }
        for (name, globs) in [
            ("projects", &self.projects),
            ("pipelines", &self.pipelines),
            ("branches", &self.branches),
        ] {
            for (n, glob) in globs.iter().enumerate() {
                if let Err(error) = globset::Glob::new(glob) {
                    let message = format!("not a glob: {}", error.kind());
                    return Err(Wrong::new(format!("{path}.{name}[{n}]"), message));
                }
            }
        }
        if TimeZone::get(&self.time_zone).is_err() {
            let message = "unknown time zone: write one such as Europe/Berlin";
            return Err(Wrong::new(format!("{path}.time-zone"), message));
        }
        for (n, hours) in self.quiet.iter().enumerate() {
            for (name, text) in [("from", &hours.from), ("to", &hours.to)] {
                if time_of_day(text).is_none() {
                    let path = format!("{path}.quiet[{n}].{name}");
                    return Err(Wrong::new(path, "not a time of the day: write 22:00"));
                }
            }
        }
        if self.limit == Some(0) {
            return Err(Wrong::new(format!("{path}.limit"), "give at least 1"));
        }
        some_time(&format!("{path}.per"), self.per)
    }
}

/// A time of the day as people write it.
pub fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() > 2 || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn some(path: &str, channels: &[Channel]) -> Result<(), Wrong> {
    if channels.is_empty() {
        return Err(Wrong::new(path, "name at least one"));
    }
    Ok(())
}

fn not_empty(path: &str, secret: &Secret) -> Result<(), Wrong> {
    if secret.expose().is_empty() {
        return Err(Wrong::new(path, "must not be empty"));
    }
    Ok(())
}

fn some_time(path: &str, period: Period) -> Result<(), Wrong> {
    if period.0.is_zero() {
        return Err(Wrong::new(path, "give more than nothing"));
    }
    Ok(())
}

/// The address itself may be a secret, so the message does not repeat it.
fn address(path: &str, text: &str) -> Result<(), Wrong> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
        Ok(_) => Err(Wrong::new(path, "must begin with http:// or https://")),
        Err(error) => Err(Wrong::new(path, format!("not an address: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), String> {
        let chat: Chat = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        chat.check("notes.chat")
            .map_err(|wrong| format!("{}: {}", wrong.path, wrong.message))
    }

    const RIGHT: &str = "
matrix:
  - homeserver: https://matrix.example.org
    token: ${MATRIX}
    commands: true
    rooms:
      - channel: '#infra:example.org'
        projects: ['openstack/*']
        events: [matched, unmatched, late-log, returned-bug, outage]
        time-zone: Europe/Berlin
        quiet: [{days: [sat, sun], from: '00:00', to: '00:00'}, {from: '22:00', to: '7:30'}]
        limit: 5
        per: 10m
slack:
  - token: xoxb-1
    channels: [{channel: C0123ABCD, voting: true}]
hooks:
  - kind: discord
    url: https://discord.example/api/webhooks/1/x
    hears: {channel: infra, branches: [master]}
";

    /// What the pages of the targets show.
    #[derive(Deserialize)]
    struct Shown {
        notes: Notes,
    }

    #[derive(Deserialize)]
    struct Notes {
        chat: Chat,
    }

    #[test]
    fn what_the_pages_show_is_taken() {
        for page in [
            include_str!("../../docs/targets/matrix.md"),
            include_str!("../../docs/targets/slack.md"),
            include_str!("../../docs/targets/webhooks.md"),
        ] {
            let yaml = page.split("```yaml\n").nth(1).unwrap();
            let yaml = yaml.split("```").next().unwrap();
            let mut chat = serde_saphyr::from_str::<Shown>(yaml).unwrap().notes.chat;
            for secret in chat.secrets() {
                secret
                    .expand(&|_| Some("https://x.example/".into()))
                    .unwrap();
            }
            chat.check("notes.chat").unwrap();
        }
        assert_eq!(read(RIGHT), Ok(()));
        assert_eq!(read("{}"), Ok(()));
    }

    #[test]
    fn what_cannot_be_is_said_with_its_place() {
        for (from, to, wanted) in [
            (
                "'#infra:example.org'",
                "infra",
                "notes.chat.matrix[0].rooms[0].channel: ",
            ),
            (
                "token: ${MATRIX}",
                "user: bot",
                "notes.chat.matrix[0]: give either token",
            ),
            (
                "Europe/Berlin",
                "Berlin",
                "notes.chat.matrix[0].rooms[0].time-zone: ",
            ),
            (
                "'22:00'",
                "'24:00'",
                "notes.chat.matrix[0].rooms[0].quiet[1].from: ",
            ),
            (
                "limit: 5",
                "limit: 0",
                "notes.chat.matrix[0].rooms[0].limit: ",
            ),
            (
                "openstack/*",
                "open[stack",
                "notes.chat.matrix[0].rooms[0].projects[0]: ",
            ),
            (
                "C0123ABCD",
                "general",
                "notes.chat.slack[0].channels[0].channel: ",
            ),
            (
                "https://discord",
                "ftp://discord",
                "notes.chat.hooks[0].url: ",
            ),
            (
                "hears:",
                "username: Discord Bot\n    hears:",
                "notes.chat.hooks[0].username: ",
            ),
        ] {
            assert!(RIGHT.contains(from), "{from}");
            let error = read(&RIGHT.replace(from, to)).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
        assert!(
            read("colour: red").unwrap_err().contains("unknown"),
            "unknown key"
        );
    }

    #[test]
    fn secrets_are_found_and_not_shown() {
        let mut chat: Chat = serde_saphyr::from_str(RIGHT).unwrap();
        assert_eq!(chat.secrets().len(), 3);
        for secret in chat.secrets() {
            secret.expand(&|_| Some("s3cret".into())).unwrap();
        }
        let shown = format!("{chat:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("xoxb-1"),
            "{shown}"
        );
    }
}
