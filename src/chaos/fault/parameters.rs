//! Parameters of faults, read with messages that people can act on.

use super::FaultError;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// What an experiment gives a fault.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a> {
    fault: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Parameters<'a> {
    /// Parameters for a fault.
    pub fn new(fault: &'static str, map: &'a Map<String, Value>) -> Self {
        Self { fault, map }
    }

    fn wrong(&self, parameter: &str, message: impl Into<String>) -> FaultError {
        FaultError::Parameter {
            fault: self.fault,
            parameter: parameter.to_owned(),
            message: message.into(),
        }
    }

    /// Whether a parameter is given.
    pub fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// What is given, in whatever form.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Refuses parameters that the fault does not know.
    pub fn only(&self, known: &[(&'static str, &'static str)]) -> Result<(), FaultError> {
        let unknown = self
            .map
            .keys()
            .find(|key| !known.iter().any(|(name, _)| name == key));
        unknown.map_or(Ok(()), |key| {
            let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            Err(self.wrong(
                key,
                format!("is not known here; known are {}", known.join(", ")),
            ))
        })
    }

    /// A text that is not empty.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, FaultError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "must be a text that is not empty")),
        }
    }

    /// A path, made absolute so that `undo` finds it from everywhere.
    pub fn path(&self, key: &str) -> Result<PathBuf, FaultError> {
        let text = self
            .text(key)?
            .ok_or_else(|| self.wrong(key, "is missing"))?;
        std::path::absolute(text).map_err(|error| self.wrong(key, error.to_string()))
    }

    /// A whole number in a range.
    pub fn whole(&self, key: &str, low: u64, high: u64) -> Result<Option<u64>, FaultError> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(n) if (low..=high).contains(&n) => Ok(Some(n)),
                _ => Err(self.wrong(key, format!("must be a whole number from {low} to {high}"))),
            },
        }
    }

    /// A share in percent, `all` when it is not given.
    pub fn percent(&self, key: &str) -> Result<u64, FaultError> {
        Ok(self.whole(key, 1, 100)?.unwrap_or(100))
    }

    /// One of some words.
    pub fn one_of(
        &self,
        key: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, FaultError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let word = words.iter().copied().find(|word| *word == text);
        word.map(Some)
            .ok_or_else(|| self.wrong(key, format!("must be one of {}", words.join(", "))))
    }

    /// That one thing is missing.
    pub fn missing(&self, key: &str, message: &str) -> FaultError {
        self.wrong(key, message)
    }
}

/// A generator that depends on a seed only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (splitmix64).
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below a bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.roll() % bound).unwrap_or(0)
    }

    /// So many percent of the items, at least one, in their order.
    pub(super) fn share<T>(&mut self, mut items: Vec<T>, percent: u64) -> Vec<T> {
        let all = items.len();
        let wanted = (all * usize::try_from(percent).unwrap_or(100)).div_ceil(100);
        while items.len() > wanted.max(1) {
            items.remove(self.below(items.len()));
        }
        items
    }
}
