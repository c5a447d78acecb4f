//! `--events-file`: what a run does, a JSON object a line, while it does it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Outputs beyond this are left to the journal.
const LARGEST: usize = 4096;

/// A file of events.
#[derive(Debug)]
pub struct Events(Mutex<File>);

impl Events {
    /// Begins a file.
    pub fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(|file| Self(Mutex::new(file)))
    }

    /// Writes one event.
    pub(crate) fn emit(&self, kind: &str, fields: &Value) {
        let mut event = Map::new();
        event.insert("type".into(), json!(kind));
        let now = Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
            .to_string();
        event.insert("timestamp".into(), json!(now));
        event.extend(fields.as_object().cloned().unwrap_or_default());
        let line = format!("{}\n", Value::Object(event));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A run does not end because nobody can follow it.
        let _ = file.write_all(line.as_bytes());
    }
}

/// Puts an output into an event, or that it is too large.
pub(crate) fn bounded(output: &Value, fields: &mut Value) {
    let size = output.to_string().chars().count();
    if size > LARGEST {
        fields["output_truncated"] = json!(true);
        fields["output_size"] = json!(size);
    } else {
        fields["output"] = output.clone();
    }
}
