//! What was found: verdicts, matches and their evidence.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The outcome of looking at one build. The six are never merged: "we did not look" is not
/// "nothing found".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// At least one fingerprint has a hit.
    Matched,
    /// The whole log was read and no fingerprint has a hit.
    Unmatched,
    /// Only a part of the log could be read.
    PartialLog,
    /// There was no log to read.
    NoLog,
    /// Classification itself failed.
    Error,
    /// Not looked at yet.
    Pending,
}

impl Verdict {
    /// Every verdict, in the order in which pages list them.
    pub const ALL: [Self; 6] = [
        Self::Matched,
        Self::Unmatched,
        Self::PartialLog,
        Self::NoLog,
        Self::Error,
        Self::Pending,
    ];

    /// The word used in files, on pages and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Unmatched => "unmatched",
            Self::PartialLog => "partial-log",
            Self::NoLog => "no-log",
            Self::Error => "error",
            Self::Pending => "pending",
        }
    }

    /// True when the build counts in the classification rate (in its "m").
    pub fn counts_in_rate(self) -> bool {
        match self {
            Self::Matched | Self::Unmatched => true,
            Self::PartialLog | Self::NoLog | Self::Error | Self::Pending => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|v| v.as_str() == word)
            .ok_or_else(|| format!("unknown verdict {word:?}"))
    }
}

/// A bug in some tracker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BugRef {
    /// As people write it: `launchpad:1182131`, `github:owner/repo#7`, a URL.
    pub name: String,
    /// Where it can be read, when the tracker's address is known.
    pub url: Option<String>,
}

/// One place in the logs that shows a match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Path of the log file below the build's log root.
    pub file: String,
    /// First line of the event, counted from 1.
    pub line: u64,
    /// Byte offset of that line in the decompressed file.
    pub offset: u64,
    /// The event's text, cut to a readable length.
    pub excerpt: String,
    /// Byte ranges `[from, to)` of `excerpt` that the fingerprint's phrases cover, in order.
    pub spans: Vec<(usize, usize)>,
}

/// One fingerprint that has at least one hit in one build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The fingerprint's id (its file's name without the suffix).
    pub fingerprint: String,
    /// Its title, or the id where it has none.
    pub title: String,
    /// The bug it stands for.
    pub bug: BugRef,
    /// Number of events that match, exact.
    pub hits: u64,
    /// The first few of them.
    pub evidence: Vec<Evidence>,
    /// What the fingerprint advises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Group in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// True when the bug counted as fixed before this build ran (`resolved_at`).
    #[serde(default)]
    pub returned: bool,
    /// True when nobody is to be told (`suppress-notification`).
    #[serde(default)]
    pub quiet: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse(), Ok(verdict));
        }
        assert!("found".parse::<Verdict>().is_err());
    }
}
