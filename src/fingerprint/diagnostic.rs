//! What is wrong in a fingerprint file, where, and what to write instead.

use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The fingerprint cannot be used, or does not do what it says.
    Error,
    /// It can be used but probably does not mean what its writer meant.
    Warning,
}

/// One finding. Serialises to the object that `whorl lint --format json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Error or warning.
    pub severity: Severity,
    /// A stable word for the kind of finding.
    pub code: &'static str,
    /// What is wrong and why it matters.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
    /// The line of the file, shown above the caret.
    #[serde(skip)]
    pub snippet: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl Diagnostic {
    /// A finding at a place in `text`.
    pub(super) fn at(
        file: &str,
        text: &str,
        (line, column): (usize, usize),
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let snippet = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        Self {
            file: file.to_owned(),
            line: line.max(1),
            column: column.max(1),
            severity: Severity::Error,
            code,
            message: message.into(),
            suggestion: None,
            snippet: snippet.to_owned(),
        }
    }

    /// A finding about a file as a whole, such as one that cannot be read.
    pub(super) fn whole(file: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::at(file, "", (1, 1), code, message)
    }

    /// The same finding with what to write instead.
    #[must_use]
    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// The same finding as a warning.
    #[must_use]
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The blanks before the caret; tabs stay tabs so that it lines up.
    fn margin(&self) -> String {
        let before = self.snippet.chars().take(self.column - 1);
        before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect()
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: severity[code]: message`, then the line with a caret under the column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            severity,
            code,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {severity}[{code}]: {message}")?;
        if !self.snippet.is_empty() {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            write!(f, "\n {number} | {}", self.snippet)?;
            write!(f, "\n {gutter} | {}^", self.margin())?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n   = write: {suggestion}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_column() {
        let text = "title: x\n\tquery: AND\n";
        let found = Diagnostic::at(
            "q/1.yaml",
            text,
            (2, 9),
            "bad-query",
            "AND needs a left side",
        )
        .suggest("a AND b");
        insta::assert_snapshot!(found.to_string(), @r"
        q/1.yaml:2:9: error[bad-query]: AND needs a left side
         2 | 	query: AND
           | 	       ^
           = write: a AND b
        ");
    }

    #[test]
    fn json_has_exactly_the_promised_keys() {
        let found = Diagnostic::at("1.yaml", "", (1, 1), "x", "m").warning();
        insta::assert_snapshot!(serde_json::to_string(&found).unwrap(), @r#"{"file":"1.yaml","line":1,"column":1,"severity":"warning","code":"x","message":"m","suggestion":null}"#);
    }
}
