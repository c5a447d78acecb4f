//! Secrets that the operator knows of.

use super::Wrong;
use serde::Deserialize;

/// One rule: what it finds is not shown to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedactRule {
    /// What stands in its place: `[redacted NAME]`.
    pub name: String,
    /// A linear-time regular expression; its first group, if any, is the secret.
    pub pattern: String,
}

pub(super) fn check(rules: &[RedactRule]) -> Result<(), Wrong> {
    for (n, rule) in rules.iter().enumerate() {
        let path = |key: &str| format!("notes.redact[{n}].{key}");
        let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        if rule.name.trim().is_empty() || rule.name.len() > 40 || !rule.name.chars().all(plain) {
            let message = "give a short name of letters, digits, spaces, - and _";
            return Err(Wrong::new(path("name"), message));
        }
        match regex::Regex::new(&rule.pattern) {
            Err(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                let why = last.strip_prefix("error: ").unwrap_or(last);
                return Err(Wrong::new(path("pattern"), why));
            }
            Ok(regex) if regex.is_match("") => {
                let message = "also matches nothing at all, so it would be everywhere";
                return Err(Wrong::new(path("pattern"), message));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}
