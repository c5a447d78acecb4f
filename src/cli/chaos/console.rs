//! Log lines as the original tool writes them, on standard error.

use crate::chaos::log::{Level, Log};
use crate::cli::say::say;
use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How log lines look on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// `[2026-01-01 12:00:00 INFO] text`
    String,
    /// An object a line
    Json,
}

/// Where log lines go.
pub(super) struct Console {
    format: Format,
    verbose: bool,
    colours: bool,
    zone: TimeZone,
    file: Option<Mutex<File>>,
}

impl Console {
    pub(super) fn new(format: Format, verbose: bool, file: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.with_context(|| path.display().to_string())
        };
        Ok(Self {
            format,
            verbose,
            colours: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            zone: zone(),
            file: file.map(open).transpose()?.map(Mutex::new),
        })
    }

    fn head(&self, level: Level, time: &str) -> String {
        let name = level.name();
        if !self.colours {
            return format!("[{time} {name}]");
        }
        let colour = match level {
            Level::Debug => 36,
            Level::Info => 32,
            Level::Warning => 33,
            Level::Error | Level::Critical => 31,
        };
        format!("\u{1b}[{colour}m[{time} {name}]\u{1b}[0m")
    }
}

impl Log for Console {
    fn log(&self, level: Level, message: &str) {
        let now = Timestamp::now().to_zoned(self.zone.clone());
        let time = now.strftime("%Y-%m-%d %H:%M:%S").to_string();
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // The console has the line too.
            let _ = writeln!(file, "[{time} {}] {message}", level.name());
        }
        if level == Level::Debug && !self.verbose {
            return;
        }
        match self.format {
            Format::String => say(format_args!(
                "{} {}",
                self.head(level, &time),
                safe(message)
            )),
            Format::Json => say(json!({
                "timestamp": now.timestamp().to_string(),
                "levelname": level.name(),
                "message": message,
                "process": std::process::id(),
            })),
        }
    }
}

/// The system's time zone, read from its file when that says it: finding its name takes a walk through
/// all zones, which would be half of a short run.
fn zone() -> TimeZone {
    if std::env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    let bytes = std::fs::read("/etc/localtime").ok();
    let zone = bytes.and_then(|bytes| TimeZone::tzif("Local", &bytes).ok());
    zone.unwrap_or_else(TimeZone::system)
}

/// Text of others gets no say over the terminal.
fn safe(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
