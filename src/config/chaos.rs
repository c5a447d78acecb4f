//! Calls that fail on purpose.

use super::Wrong;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Chaos drivers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chaos {
    /// Without it nothing fails on purpose, whatever else is said.
    pub allow_chaos: bool,
    /// Switches it on. With the same seed the same calls fail again.
    pub seed: Option<u64>,
    /// The share of calls that fail, from 0 to 1.
    pub rate: f64,
    /// Other shares, for the sites of these names and for all below them.
    pub rates: BTreeMap<String, f64>,
}

impl Default for Chaos {
    fn default() -> Self {
        Self {
            allow_chaos: false,
            seed: None,
            rate: 0.01,
            rates: BTreeMap::new(),
        }
    }
}

impl Chaos {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if self.seed.is_some() && !self.allow_chaos {
            let message = "makes calls of this service fail on purpose: beside it say `allow-chaos: true` if that is meant, or take it out";
            return Err(Wrong::new("chaos.seed", message));
        }
        let share = |rate: &f64| (0.0..=1.0).contains(rate);
        let message = "a share of calls: give a number from 0 (none) to 1 (all)";
        if !share(&self.rate) {
            return Err(Wrong::new("chaos.rate", message));
        }
        match self.rates.iter().find(|(_, rate)| !share(rate)) {
            Some((name, _)) => Err(Wrong::new(format!("chaos.rates.{name}"), message)),
            None => Ok(()),
        }
    }
}
