//! Where in an experiment's file something stands.

use std::fmt;

/// The way to a key from the top of an experiment: `method[0].provider.path`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(String);

impl KeyPath {
    /// The top of the experiment.
    pub fn top() -> Self {
        Self::default()
    }

    /// The way to a key below this one.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        if self.0.is_empty() {
            return Self(key.to_owned());
        }
        Self(format!("{}.{key}", self.0))
    }

    /// The way to an item of the list here.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// One step up; nothing at the top.
    pub fn up(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let at = self.0.rfind(['.', '[']).unwrap_or(0);
        Some(Self(self.0[..at].to_owned()))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A line and a column, both from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}
