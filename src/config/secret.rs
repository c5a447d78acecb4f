//! Values that come from the environment and are never shown.

use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use std::fmt;

/// A text in which `${NAME}` stands for an environment variable; `Debug` shows no part of it.
#[derive(Clone)]
pub struct Secret {
    text: String,
    line: u64,
    column: u64,
}

impl Secret {
    /// A secret that is already known.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            line: 0,
            column: 0,
        }
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Puts in the variables; the error is a message with line and column.
    pub(super) fn expand(
        &mut self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), (String, u64, u64)> {
        let mut out = String::new();
        let mut rest = self.text.as_str();
        while let Some(start) = rest.find("${") {
            out += &rest[..start];
            let inner = &rest[start + 2..];
            let Some(end) = inner.find('}') else {
                return Err(("`${` without `}`".into(), self.line, self.column));
            };
            let name = &inner[..end];
            let Some(value) = lookup(name) else {
                let message = format!("environment variable {name} is not set");
                return Err((message, self.line, self.column));
            };
            out += &value;
            rest = &inner[end + 1..];
        }
        out += rest;
        self.text = out;
        Ok(())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        let place = spanned.referenced;
        Ok(Self {
            text: spanned.value,
            line: place.line(),
            column: place.column(),
        })
    }
}
