//! Mail: the server, who writes to whom, and the digests.

use super::{Period, Secret, Wrong};
use serde::Deserialize;
use std::path::PathBuf;

/// Mail that goes out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mail {
    /// Name of the mail server.
    pub host: String,
    /// Its port; by default what belongs to `security`.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is kept from others.
    #[serde(default)]
    pub security: MailSecurity,
    /// The account's name.
    #[serde(default)]
    pub user: Option<String>,
    /// The account's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Who writes: `whorl <whorl@example.org>`.
    pub from: String,
    /// Who reads.
    pub to: Vec<String>,
    /// Name of the list for the readers' filters: `whorl.example.org`.
    #[serde(default)]
    pub list_id: Option<String>,
    /// A file with a certificate (PEM) that is trusted besides the usual ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Nothing is sent.
    #[serde(default)]
    pub dry_run: bool,
    /// How long one mail may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// When a digest of the day before is sent, as a cron schedule (UTC).
    #[serde(default)]
    pub daily: Option<String>,
    /// When a digest of the week before is sent.
    #[serde(default)]
    pub weekly: Option<String>,
}

/// How the connection is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// TLS from the beginning.
    Tls,
    /// TLS is asked for and must come.
    #[default]
    Starttls,
    /// None: only for a server on this machine.
    Plain,
}

fn default_timeout() -> Period {
    Period::seconds(30)
}

impl Mail {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            MailSecurity::Tls => 465,
            MailSecurity::Starttls => 587,
            MailSecurity::Plain => 25,
        })
    }

    /// When digests are sent, by key.
    pub fn schedules(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("daily", &self.daily), ("weekly", &self.weekly)];
        all.into_iter()
            .filter_map(|(key, text)| Some((key, text.as_deref()?)))
    }

    /// Everything whose variables are to be put in.
    pub fn secrets(&mut self) -> Vec<&mut Secret> {
        self.password.as_mut().into_iter().collect()
    }

    /// What cannot be; `path` is where this stands in the file.
    pub fn check(&self, path: &str) -> Result<(), Wrong> {
        let wrong = |key: &str, message: &str| Err(Wrong::new(format!("{path}.{key}"), message));
        if self.host.trim().is_empty() || self.host.contains("://") {
            return wrong("host", "give the name of a mail server");
        }
        if self.user.is_some() != self.password.is_some() {
            return wrong("user", "give user and password, or neither");
        }
        let here = matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if self.user.is_some() && self.security == MailSecurity::Plain && !here {
            return wrong("security", "a password is not sent without TLS");
        }
        if !is_mailbox(&self.from) {
            return wrong(
                "from",
                "write whorl@example.org or whorl <whorl@example.org>",
            );
        }
        if self.to.is_empty() {
            return wrong("to", "name at least one reader");
        }
        if let Some(n) = self.to.iter().position(|one| !is_mailbox(one)) {
            return wrong(&format!("to[{n}]"), "not a mail address");
        }
        if self.timeout.0.is_zero() {
            return wrong("timeout", "give more than nothing");
        }
        Ok(())
    }
}

fn is_mailbox(text: &str) -> bool {
    text.parse::<lettre::message::Mailbox>().is_ok() && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "
host: mail.example.org
user: whorl
password: ${MAIL}
from: whorl <whorl@example.org>
to: [team@example.org, 'Zoë <zoe@example.org>']
weekly: '0 7 * * 1'
";

    fn read(text: &str) -> Result<(), String> {
        let mail: Mail = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        mail.check("notes.mail")
            .map_err(|wrong| format!("{}: {}", wrong.path, wrong.message))
    }

    #[test]
    fn what_the_page_shows_is_taken() {
        let page = include_str!("../../docs/targets/mail.md");
        let yaml = page.split("  mail:\n").nth(1).unwrap();
        assert_eq!(read(yaml.split("```").next().unwrap()), Ok(()));
        assert_eq!(read(RIGHT), Ok(()));
        let mail: Mail = serde_saphyr::from_str(RIGHT).unwrap();
        assert_eq!(mail.port(), 587);
    }

    #[test]
    fn what_cannot_be_is_said_with_its_place() {
        for (from, to, wanted) in [
            ("mail.example.org", "smtp://x", "notes.mail.host: "),
            ("user: whorl\n", "", "notes.mail.user: "),
            ("user:", "security: plain\nuser:", "notes.mail.security: "),
            ("whorl <whorl@example.org>", "whorl", "notes.mail.from: "),
            ("team@example.org", "team", "notes.mail.to[0]: "),
        ] {
            let error = read(&RIGHT.replace(from, to)).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
