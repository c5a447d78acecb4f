//! The plan of one run: seed, rates, and the sites that have been asked for.

use super::rates::Rates;
use super::record::Record;
use super::site::{Kind, Phase, Site};
use super::spot::Spot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What all sites of a run share.
#[derive(Debug)]
pub(super) struct Core {
    seed: u64,
    run: String,
    healed: AtomicBool,
    record: Record,
}

impl Core {
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn run(&self) -> &str {
        &self.run
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }
}

/// Which calls of a run fail.
#[derive(Debug)]
pub struct Plan {
    core: Arc<Core>,
    rates: Rates,
    spots: Mutex<BTreeMap<String, Spot>>,
}

/// What happened at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The site.
    pub site: String,
    /// Its calls.
    pub calls: u64,
    /// Those that were made to fail before they were done.
    pub before: u64,
    /// Those that were done, though an error came back.
    pub after: u64,
}

impl Plan {
    /// A plan; `run` tells records of one run from those of others.
    pub fn new(seed: u64, rates: Rates, run: &str, record: Record) -> Self {
        let core = Core {
            seed,
            run: run.to_owned(),
            healed: AtomicBool::new(false),
            record,
        };
        Self {
            core: Arc::new(core),
            rates,
            spots: Mutex::default(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.core.seed
    }

    /// A site of a table. All who ask for the same site count together.
    pub fn spot(&self, site: &Site) -> Spot {
        self.spot_named(site.name, site.kinds)
    }

    /// A site whose name is made up at run time.
    pub fn spot_named(&self, name: &str, kinds: &'static [Kind]) -> Spot {
        let mut spots = self.spots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spot) = spots.get(name) {
            return spot.clone();
        }
        let spot = Spot::new(self.core.clone(), name, kinds, self.rates.of(name));
        spots.insert(name.to_owned(), spot.clone());
        spot
    }

    /// What happens to the call number `n` (from 0) with a key, at a site that was asked for.
    pub fn foretell(&self, site: &str, key: &str, n: u64) -> Option<(&'static str, Phase)> {
        let spots = self.spots.lock().unwrap_or_else(PoisonError::into_inner);
        spots.get(site)?.foretell(key, n)
    }

    /// From now on nothing fails any more. Calls are still counted.
    pub fn heal(&self) {
        self.core.healed.store(true, Ordering::Relaxed);
    }

    /// What happened so far, by site.
    pub fn tally(&self) -> Vec<Tally> {
        let spots = self.spots.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(name, spot): (&String, &Spot)| {
            let (calls, before, after) = spot.counts();
            let site = name.clone();
            Tally {
                site,
                calls,
                before,
                after,
            }
        };
        spots.iter().map(of).collect()
    }
}
