//! What was measured of the fingerprints: the file that the configuration names, read again when it
//! changes.

use super::error::ApiError;
use super::json::Json;
use super::pages::html;
use super::{App, blocking, held, view};
use crate::chaos::measure::{Measured, fragment, read};
use crate::config::Config;
use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// The file, and what stood in it.
#[derive(Debug, Default)]
pub(super) struct Measurement {
    file: Option<PathBuf>,
    kept: Mutex<Option<(SystemTime, Arc<Measured>)>>,
}

impl Measurement {
    /// That of a configuration.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            file: config.report.measured.clone(),
            kept: Mutex::default(),
        }
    }

    /// What was measured last; nothing when no file is named. A file that cannot be read is said.
    fn asked(&self) -> Result<Option<Arc<Measured>>, String> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let changed = std::fs::metadata(file).and_then(|data| data.modified());
        let changed = changed.map_err(|error| format!("{}: {error}", file.display()))?;
        let mut kept = held(&self.kept);
        if let Some((at, measured)) = &*kept
            && *at == changed
        {
            return Ok(Some(Arc::clone(measured)));
        }
        let measured = read(file)
            .map(Arc::new)
            .map_err(|error| error.to_string())?;
        *kept = Some((changed, Arc::clone(&measured)));
        Ok(Some(measured))
    }

    /// The same for pages that say it beside something else.
    pub(super) fn current(&self) -> Option<Arc<Measured>> {
        self.asked().unwrap_or_else(|error| {
            tracing::warn!(error, "the measurement cannot be read");
            None
        })
    }
}

/// `GET /measured`.
pub(super) async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let asked = blocking(&app, |app| Ok(app.measurement.asked())).await?;
    let (heading, body, problem) = match asked {
        Ok(Some(measured)) => (
            measured.title.clone(),
            fragment(&measured, "/bugs/"),
            String::new(),
        ),
        Ok(None) => ("Measured".into(), String::new(), String::new()),
        Err(problem) => ("Measured".into(), String::new(), problem),
    };
    html(&view::MeasuredPage {
        page: "/measured",
        heading,
        body,
        problem,
    })
}

/// `GET /api/v1/measured`: the whole of it.
pub(super) async fn api(State(app): State<Arc<App>>) -> Result<Json<Measured>, ApiError> {
    let asked = blocking(&app, |app| {
        app.measurement.asked().map_err(ApiError::internal)
    })
    .await?;
    let none = || ApiError::missing("nothing was measured: report.measured names no file");
    asked
        .map(|measured| Json(Measured::clone(&measured)))
        .ok_or_else(none)
}

/// Adds what was measured to fingerprints as JSON: their scores, and the same in words.
pub(super) fn add(rules: &mut Value, measured: &Measured) {
    let list = rules["fingerprints"].as_array_mut();
    for rule in list.into_iter().flatten() {
        let score = rule["id"].as_str().and_then(|id| measured.of(id));
        if let Some(score) = score {
            rule["measured"] = serde_json::json!({
                "recall": score.recall, "precision": score.precision, "text": score.in_words(),
            });
        }
    }
}
