//! What a note wants, read from its data.

use crate::note::Refusal;
use crate::state::Note;
use serde_json::Value;

/// What a note is to do on a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// All failures are known.
    Known,
    /// Some are not.
    Unexplained,
    /// A newer patchset came.
    Fold,
    /// Nothing is left to say.
    Withdraw,
    /// The CI is asked for another run.
    Recheck,
    /// A person is answered, whatever became of the patchset.
    Answer,
}

/// Where a note belongs, and what it is to do there.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) purpose: Purpose,
    pub(super) project: String,
    pub(super) change: String,
    pub(super) patchset: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) commit: Option<String>,
    pub(super) page: Option<String>,
}

impl Wanted {
    pub(super) fn of(note: &Note) -> Result<Self, Refusal> {
        let must = |name: &str| {
            let missing = || Refusal::park(format!("the note does not name its {name}"));
            field(&note.json, name).ok_or_else(missing)
        };
        Ok(Self {
            purpose: match note.kind.as_str() {
                "outdated" => Purpose::Fold,
                "withdrawn" => Purpose::Withdraw,
                "recheck" => Purpose::Recheck,
                "answer" => Purpose::Answer,
                kind if kind.starts_with("known") => Purpose::Known,
                _ => Purpose::Unexplained,
            },
            project: must("project")?,
            change: must("change")?,
            patchset: field(&note.json, "patchset"),
            branch: field(&note.json, "branch"),
            commit: field(&note.json, "commit").map(|sha| sha.to_ascii_lowercase()),
            page: field(&note.json, "page"),
        })
    }

    /// True if it only changes what was said before: where nothing was said, nothing is to be done.
    pub(super) fn takes_back(&self) -> bool {
        matches!(self.purpose, Purpose::Fold | Purpose::Withdraw)
    }

    /// True for what is said of the builds, not to the CI or to a person.
    pub(super) fn judges(&self) -> bool {
        !matches!(self.purpose, Purpose::Recheck | Purpose::Answer)
    }

    /// The commit that the builds were of; forges have no other name of a patchset.
    pub(super) fn head(&self) -> Option<&str> {
        let named = self.commit.as_deref();
        named.or_else(|| self.patchset.as_deref().filter(|name| is_sha(name)))
    }
}

/// True for the full name of a commit.
pub(super) fn is_sha(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// True for a number as services count changes.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A text or a number.
fn field(json: &Value, name: &str) -> Option<String> {
    match json.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
