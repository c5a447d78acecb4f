//! Log lines of an experiment. Who runs it decides where they go.

use std::sync::Mutex;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For people who look for a mistake in the experiment.
    Debug,
    /// What happens.
    Info,
    /// What may not be meant.
    Warning,
    /// What failed.
    Error,
    /// What the experiment found, or why it ended.
    Critical,
}

impl Level {
    /// As it is written in log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Takes log lines, from several threads.
pub trait Log: Send + Sync {
    /// One line.
    fn log(&self, level: Level, message: &str);
}

/// Keeps lines, as `[LEVEL] text`.
#[derive(Debug, Default)]
pub struct KeptLog(Mutex<Vec<String>>);

impl KeptLog {
    /// The lines so far, without those for debugging.
    pub fn lines(&self) -> Vec<String> {
        match self.0.lock() {
            Ok(lines) => lines.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }
}

impl Log for KeptLog {
    fn log(&self, level: Level, message: &str) {
        if level == Level::Debug {
            return;
        }
        if let Ok(mut lines) = self.0.lock() {
            lines.push(format!("[{}] {message}", level.name()));
        }
    }
}
