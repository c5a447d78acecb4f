//! Which operation is hit: a function of seed, path, operation and how often that was done before.

use super::errno;
use crate::chaos::fault::record::Record;
use nix::errno::Errno;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What may be hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Read,
    Write,
    Fsync,
    Open,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Fsync => "fsync",
            Self::Open => "open",
        }
    }
}

/// What happens to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Well,
    /// It takes longer.
    Late(Duration),
    /// It fails.
    Fails(Errno),
}

/// Decides; the same seed and the same calls of a path give the same fates.
#[derive(Debug)]
pub(super) struct Luck {
    seed: u64,
    rates: HashMap<String, u64>,
    bad: Fate,
    counts: Mutex<HashMap<(Operation, PathBuf), u64>>,
    off: AtomicBool,
    record: Record,
}

impl Luck {
    /// What is hit is written down in `record`, before anybody can see it.
    pub(super) fn of(plan: &Value, record: Record) -> Self {
        let rates = plan["rates"].as_object().into_iter().flatten();
        let error = plan["error"].as_str().and_then(errno);
        let delay = Duration::from_millis(plan["delay"].as_u64().unwrap_or(0));
        Self {
            seed: plan["seed"].as_u64().unwrap_or(0),
            rates: rates
                .map(|(name, rate)| (name.clone(), rate.as_u64().unwrap_or(0)))
                .collect(),
            bad: error.map_or(Fate::Late(delay), Fate::Fails),
            counts: Mutex::default(),
            off: AtomicBool::new(false),
            record,
        }
    }

    /// From now on all is well.
    pub(super) fn off(&self) {
        self.off.store(true, Ordering::SeqCst);
    }

    pub(super) fn decide(&self, operation: Operation, path: &Path) -> Fate {
        // Counted even when nothing can happen, so that the rate does not move what follows.
        let n = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let n = counts.entry((operation, path.to_owned())).or_insert(0);
            *n += 1;
            *n
        };
        let rate = self.rates.get(operation.name()).copied().unwrap_or(0);
        if rate == 0 || self.off.load(Ordering::SeqCst) {
            return Fate::Well;
        }
        let site = fnv(operation.name().as_bytes()) ^ fnv(path.as_os_str().as_encoded_bytes());
        let number = mix(self.seed ^ mix(site.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15))));
        if number % 100 >= rate {
            return Fate::Well;
        }
        let (effect, value) = match self.bad {
            Fate::Fails(errno) => ("error", json!(format!("{errno:?}"))),
            Fate::Late(delay) => ("delay", json!(delay.as_millis())),
            Fate::Well => return Fate::Well,
        };
        let key = format!("{} {}", operation.name(), path.display());
        self.record.note(effect, &key, n, &value);
        self.bad
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luck(seed: u64) -> Luck {
        let plan = json!({"seed": seed, "rates": {"read": 30}, "error": "EIO"});
        let folder = tempfile::tempdir().unwrap();
        Luck::of(
            &plan,
            Record::open(folder.path(), 1, None, json!({})).unwrap(),
        )
    }

    fn fates(seed: u64, path: &str) -> Vec<bool> {
        let luck = luck(seed);
        let path = Path::new(path);
        (0..1000)
            .map(|_| luck.decide(Operation::Read, path) != Fate::Well)
            .collect()
    }

    #[test]
    fn the_same_seed_hits_the_same_calls() {
        assert_eq!(fates(1, "a"), fates(1, "a"));
        assert_ne!(fates(1, "a"), fates(2, "a"));
        assert_ne!(fates(1, "a"), fates(1, "b"));
        let hit = fates(1, "a").into_iter().filter(|hit| *hit).count();
        assert!((250..350).contains(&hit), "{hit} of 1000 at 30 %");
    }

    #[test]
    fn calls_of_other_paths_and_operations_move_nothing() {
        let luck = luck(1);
        let mixed: Vec<bool> = (0..1000)
            .map(|_| {
                luck.decide(Operation::Read, Path::new("other"));
                assert_eq!(luck.decide(Operation::Write, Path::new("a")), Fate::Well);
                luck.decide(Operation::Read, Path::new("a")) != Fate::Well
            })
            .collect();
        assert_eq!(mixed, fates(1, "a"));
        luck.off();
        assert!((0..100).all(|_| luck.decide(Operation::Read, Path::new("a")) == Fate::Well));
    }
}
