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

    /// The line above the caret, and the blanks before the caret; tabs stay tabs so that it lines up.
    /// Of a long line the part round the column is shown.
    fn shown(&self) -> (String, String) {
        let at = self.column - 1;
        let from = if at < WIDTH { 0 } else { at - WIDTH / 2 };
        let line: Vec<char> = self.snippet.chars().skip(from).take(WIDTH + 1).collect();
        let mut shown = String::new();
        let mut margin = String::new();
        if from > 0 {
            shown.push('…');
            margin.push(' ');
        }
        shown.extend(line.iter().take(WIDTH).map(|c| printable(*c)));
        if line.len() > WIDTH {
            shown.push('…');
        }
        let before = line.iter().take(at - from);
        margin.extend(before.map(|c| if *c == '\t' { '\t' } else { ' ' }));
        (shown, margin)
    }
}

/// Longest part of a line that is shown, in characters.
const WIDTH: usize = 160;

/// Text of a file goes to a terminal, which must not obey it.
fn printable(c: char) -> char {
    if crate::event::is_deceptive(c) && c != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

fn safe(text: &str) -> String {
    text.chars().map(printable).collect()
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: severity[code]: message`, then the line with a caret under the column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            severity,
            code,
            ..
        } = self;
        let (file, message) = (safe(&self.file), safe(&self.message));
        write!(f, "{file}:{line}:{column}: {severity}[{code}]: {message}")?;
        if !self.snippet.is_empty() {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            let (shown, margin) = self.shown();
            write!(f, "\n {number} | {shown}")?;
            write!(f, "\n {gutter} | {margin}^")?;
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n   = try: {}", safe(suggestion)),
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
           = try: a AND b
        ");
    }

    #[test]
    fn json_has_exactly_the_promised_keys() {
        let found = Diagnostic::at("1.yaml", "", (1, 1), "x", "m").warning();
        insta::assert_snapshot!(serde_json::to_string(&found).unwrap(), @r#"{"file":"1.yaml","line":1,"column":1,"severity":"warning","code":"x","message":"m","suggestion":null}"#);
    }

    #[test]
    fn a_long_line_is_cut_and_its_control_characters_do_nothing() {
        let text = format!("{}\u{1b}[31m(x{}", "a".repeat(500), "b".repeat(500));
        let found = Diagnostic::at("1.yaml", &text, (1, 506), "bad-query", "bell \u{7}");
        let shown = found.to_string();
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('('));
        assert!(lines[1].chars().count() < 200);
    }
}
