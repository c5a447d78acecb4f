//! What a proxy is to do, as experiments say it and as the journal keeps it.

use super::HTTP;
use crate::chaos::fault::{FaultError, Ground, Parameters, helper};
use globset::Glob;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

/// The parameters; those of `tcp-proxy` come first.
pub(super) const PARAMETERS: [(&str, &str); 17] = [
    ("upstream", "host:port that everything is passed on to"),
    (
        "listen",
        "address:port to listen at; any free port of 127.0.0.1 when not given",
    ),
    ("delay", "milliseconds by which answers come later"),
    (
        "jitter",
        "milliseconds by which the delay is longer or shorter, by the seed",
    ),
    ("loss", "percent that never get an answer"),
    ("reset", "percent that are reset (RST)"),
    ("truncate", "percent whose answers are cut off"),
    (
        "after",
        "bytes of an answer that come through before it is cut off, lost or reset; 0 when not given",
    ),
    (
        "at",
        "request: what is lost or reset was not passed on (as when not given); answer: it was, and the answer is missing",
    ),
    ("rate", "bytes of answers per second and connection"),
    (
        "intensity",
        "percent that are delayed, or get the `status`; 100 when not given",
    ),
    (
        "record",
        "a file that gets a line of JSON for each effect, and stays",
    ),
    (
        "status",
        "the status that is answered instead of passing on, from 400 to 599",
    ),
    ("body", "the body of that answer"),
    ("retry-after", "its Retry-After"),
    (
        "path",
        "only requests whose path fits this glob; * also fits /",
    ),
    (
        "method",
        "only requests of this method, or of one of a list",
    ),
];

/// How many of them `tcp-proxy` knows.
pub(super) const FOR_TCP: usize = 12;

/// The longest delay, in milliseconds.
const HOUR: u64 = 3_600_000;

/// Whether what is lost or reset was passed on first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum At {
    /// It was not.
    #[default]
    Request,
    /// It was: only the answer is missing.
    Answer,
}

/// What is done to whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Effects {
    pub(super) seed: u64,
    pub(super) delay: u64,
    pub(super) jitter: u64,
    pub(super) loss: f64,
    pub(super) reset: f64,
    pub(super) truncate: f64,
    pub(super) after: u64,
    pub(super) at: At,
    pub(super) rate: Option<u64>,
    pub(super) intensity: f64,
    pub(super) status: Option<u16>,
    pub(super) body: String,
    pub(super) retry_after: Option<String>,
    pub(super) path: Option<String>,
    pub(super) method: Vec<String>,
}

/// What the journal keeps of a proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Plan {
    pub(super) listen: SocketAddr,
    pub(super) upstream: String,
    pub(super) effects: Effects,
    pub(super) record: Option<PathBuf>,
    pub(super) http: bool,
    pub(super) mark: String,
}

impl Plan {
    /// Whether the parameters make sense.
    pub(super) fn check(fault: &str, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        listen(parameters)?;
        upstream(parameters)?;
        Effects::read(fault, parameters, 0).map(drop)
    }

    /// Reads the parameters.
    pub(super) fn read(
        fault: &str,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Self, FaultError> {
        let record = parameters.has("record").then(|| parameters.path("record"));
        Ok(Self {
            listen: listen(parameters)?,
            upstream: upstream(parameters)?,
            effects: Effects::read(fault, parameters, ground.seed)?,
            record: record.transpose()?,
            http: fault == HTTP,
            mark: helper::mark(ground),
        })
    }

    /// With a port that is free, so that it can be said before it is listened at.
    pub(super) fn settled(mut self) -> Result<Self, FaultError> {
        self.listen = settled(self.listen)?;
        Ok(self)
    }

    pub(super) fn to_json(&self) -> Value {
        // A struct of plain fields always becomes JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What was written down; what is missing there has no effect.
    pub(super) fn from_json(plan: &Value) -> Self {
        serde_json::from_value(plan.clone()).unwrap_or_else(|_| Self {
            listen: ([127, 0, 0, 1], 0).into(),
            upstream: String::new(),
            effects: Effects::default(),
            record: None,
            http: false,
            mark: String::new(),
        })
    }
}

/// An address whose port is free.
pub(in crate::chaos::fault) fn settled(listen: SocketAddr) -> Result<SocketAddr, FaultError> {
    let free = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    free.map_err(|error| FaultError::Target(format!("cannot listen at {listen}: {error}")))
}

/// The address to listen at.
pub(in crate::chaos::fault) fn listen(
    parameters: &Parameters<'_>,
) -> Result<SocketAddr, FaultError> {
    let text = parameters.text("listen")?.unwrap_or("127.0.0.1:0");
    text.parse()
        .map_err(|_| parameters.missing("listen", "must be an address and a port: 127.0.0.1:8080"))
}

/// Where everything is passed on to.
pub(in crate::chaos::fault) fn upstream(parameters: &Parameters<'_>) -> Result<String, FaultError> {
    let wrong = || parameters.missing("upstream", "must be a host and a port: localhost:8080");
    let text = parameters.text("upstream")?.ok_or_else(wrong)?;
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// A share in percent that may be a fraction.
fn share(parameters: &Parameters<'_>, key: &str, unless: f64) -> Result<f64, FaultError> {
    match parameters.value(key) {
        None => Ok(unless),
        Some(value) => value
            .as_f64()
            .filter(|n| (0.0..=100.0).contains(n))
            .ok_or_else(|| parameters.missing(key, "must be a number from 0 to 100")),
    }
}

impl Effects {
    fn read(fault: &str, parameters: &Parameters<'_>, seed: u64) -> Result<Self, FaultError> {
        let at = parameters.one_of("at", &["request", "answer"])?;
        let status = parameters.whole("status", 400, 599)?;
        let effects = Self {
            seed,
            delay: parameters.whole("delay", 0, HOUR)?.unwrap_or(0),
            jitter: parameters.whole("jitter", 0, HOUR)?.unwrap_or(0),
            loss: share(parameters, "loss", 0.0)?,
            reset: share(parameters, "reset", 0.0)?,
            truncate: share(parameters, "truncate", 0.0)?,
            after: parameters.whole("after", 0, 1 << 40)?.unwrap_or(0),
            at: if at == Some("answer") {
                At::Answer
            } else {
                At::Request
            },
            rate: parameters.whole("rate", 1, 1 << 40)?,
            intensity: share(parameters, "intensity", 100.0)?,
            status: status.and_then(|status| u16::try_from(status).ok()),
            body: parameters.text("body")?.unwrap_or_default().to_owned(),
            retry_after: retry_after(parameters)?,
            path: parameters.text("path")?.map(str::to_owned),
            method: methods(parameters)?,
        };
        if fault == HTTP {
            let glob = effects.path.as_deref().map(Glob::new).transpose();
            glob.map_err(|error| parameters.missing("path", &error.to_string()))?;
        }
        Ok(effects)
    }

    /// What it does, for people.
    pub(super) fn in_words(&self) -> String {
        let mut words = Vec::new();
        if self.delay > 0 || self.jitter > 0 {
            words.push(format!("is late by {} ± {} ms", self.delay, self.jitter));
        }
        for (share, what) in [
            (self.loss, "gets no answer"),
            (self.reset, "is reset"),
            (self.truncate, "is cut off"),
        ] {
            if share > 0.0 {
                words.push(format!("{what} ({share} %)"));
            }
        }
        if let Some(status) = self.status {
            words.push(format!("is answered with {status} ({} %)", self.intensity));
        }
        if let Some(rate) = self.rate {
            words.push(format!("gets {rate} bytes a second"));
        }
        if words.is_empty() {
            return "is not disturbed".into();
        }
        words.join(", ")
    }
}

fn retry_after(parameters: &Parameters<'_>) -> Result<Option<String>, FaultError> {
    match parameters.value("retry-after") {
        Some(value) if value.is_u64() => Ok(Some(value.to_string())),
        _ => Ok(parameters.text("retry-after")?.map(str::to_owned)),
    }
}

fn methods(parameters: &Parameters<'_>) -> Result<Vec<String>, FaultError> {
    let wrong = || parameters.missing("method", "must be a method, or a list of them");
    match parameters.value("method") {
        None => Ok(Vec::new()),
        Some(Value::String(method)) => Ok(vec![method.to_uppercase()]),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_uppercase).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}
