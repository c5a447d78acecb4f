//! Who may tell the service what to do, in chat and in comments.

use super::Wrong;
use serde::Deserialize;

/// Commands. People are globs of accounts: `ann`, `*@example.org`, `gerrit:ann` (only there), `nick!account`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Commands {
    /// What we are called: `whorl: status`.
    pub name: String,
    /// Who may ask how it stands (`status`, `why`, `help`); here a nick without an account counts too.
    pub read: Vec<String>,
    /// Who may begin and end silences.
    pub silence: Vec<String>,
    /// Who may have a recheck asked for.
    pub recheck: Vec<String>,
    /// Who is never answered: programs.
    pub ignore: Vec<String>,
    /// Commands of one person in a minute.
    pub per_minute: u32,
}

impl Default for Commands {
    fn default() -> Self {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Self {
            name: "whorl".into(),
            read: texts(&["*"]),
            silence: Vec::new(),
            recheck: Vec::new(),
            ignore: texts(&["*\\[bot\\]", "*-bot", "*-ci", "zuul", "jenkins"]),
            per_minute: 6,
        }
    }
}

impl Commands {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let letter = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '@');
        if self.name.is_empty() || !self.name.chars().all(letter) {
            let message = "give one word of letters, digits, - and _";
            return Err(Wrong::new("commands.name", message));
        }
        if self.per_minute == 0 {
            return Err(Wrong::new("commands.per-minute", "give at least 1"));
        }
        let lists = [
            ("read", &self.read),
            ("silence", &self.silence),
            ("recheck", &self.recheck),
            ("ignore", &self.ignore),
        ];
        for (key, list) in lists {
            for (n, glob) in list.iter().enumerate() {
                if let Err(error) = globset::Glob::new(glob) {
                    let path = format!("commands.{key}[{n}]");
                    return Err(Wrong::new(path, error.kind().to_string()));
                }
            }
        }
        Ok(())
    }
}
