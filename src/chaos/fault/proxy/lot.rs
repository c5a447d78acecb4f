//! Who is hit: decided by the seed, the effect, the kind and the how many-th of its kind one is.

use super::plan::{At, Effects};
use crate::chaos::fault::chance::{hit, roll};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How one ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Loss,
    Reset,
    Status,
    Truncate,
}

impl Ending {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Reset => "reset",
            Self::Status => "status",
            Self::Truncate => "truncate",
        }
    }
}

/// What happens to one connection or request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lot {
    /// Its kind.
    pub(super) key: String,
    /// How many of its kind there were before it.
    pub(super) n: u64,
    /// It is late.
    pub(super) late: bool,
    /// It does not end as it should.
    pub(super) ending: Option<Ending>,
}

/// Draws lots.
#[derive(Debug, Default)]
pub(super) struct Urn {
    counts: Mutex<HashMap<String, u64>>,
}

impl Urn {
    /// The lot of the next one of a kind.
    pub(super) fn draw(&self, effects: &Effects, key: &str) -> Lot {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.to_owned()).or_default();
        let n = *count;
        *count += 1;
        lot(effects, key, n)
    }
}

fn lot(effects: &Effects, key: &str, n: u64) -> Lot {
    let hit = |effect: &str, percent: f64| hit(roll(effects.seed, effect, key, n), percent);
    let status = effects.status.map_or(0.0, |_| effects.intensity);
    let ending = [
        (Ending::Loss, effects.loss),
        (Ending::Reset, effects.reset),
        (Ending::Status, status),
        (Ending::Truncate, effects.truncate),
    ]
    .into_iter()
    .find(|(ending, percent)| hit(ending.name(), *percent))
    .map(|(ending, _)| ending);
    let late = effects.delay > 0 || effects.jitter > 0;
    Lot {
        key: key.to_owned(),
        n,
        late: late && hit("delay", effects.intensity),
        ending,
    }
}

impl Lot {
    /// The ending that comes before anything is passed on.
    pub(super) fn early(&self, effects: &Effects) -> Option<Ending> {
        self.ending.filter(|ending| match ending {
            Ending::Status => true,
            Ending::Loss | Ending::Reset => effects.at == At::Request,
            Ending::Truncate => false,
        })
    }

    /// How late the m-th piece of the answer is.
    pub(super) fn delay(&self, effects: &Effects, m: u64) -> Duration {
        if !self.late {
            return Duration::ZERO;
        }
        let part = roll(effects.seed ^ m, "jitter", &self.key, self.n) % (2 * effects.jitter + 1);
        Duration::from_millis((effects.delay + part).saturating_sub(effects.jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(seed: u64, loss: f64) -> Effects {
        Effects {
            seed,
            loss,
            intensity: 100.0,
            ..Effects::default()
        }
    }

    fn lost(seed: u64, loss: f64, key: &str) -> Vec<u64> {
        let (urn, effects) = (Urn::default(), effects(seed, loss));
        let all = (0..1000).map(|_| urn.draw(&effects, key));
        all.filter(|lot| lot.ending.is_some())
            .map(|lot| lot.n)
            .collect()
    }

    #[test]
    fn the_same_seed_has_the_same_victims_and_no_other() {
        assert_eq!(lost(1, 10.0, "a"), lost(1, 10.0, "a"));
        assert_ne!(lost(1, 10.0, "a"), lost(2, 10.0, "a"));
        assert_ne!(lost(1, 10.0, "a"), lost(1, 10.0, "b"));
        let share = lost(1, 10.0, "a").len();
        assert!((70..130).contains(&share), "{share} of 1000");
        assert!(lost(1, 0.0, "a").is_empty());
        assert_eq!(lost(1, 100.0, "a").len(), 1000);
    }

    #[test]
    fn who_is_hit_by_a_small_share_is_hit_by_a_larger_one() {
        let large = lost(3, 40.0, "a");
        assert!(lost(3, 10.0, "a").iter().all(|n| large.contains(n)));
    }

    #[test]
    fn jitter_goes_both_ways_and_not_below_nothing() {
        let effects = Effects {
            delay: 10,
            jitter: 20,
            intensity: 100.0,
            ..Effects::default()
        };
        let lot = Urn::default().draw(&effects, "a");
        let delays: Vec<u128> = (0..1000)
            .map(|m| lot.delay(&effects, m).as_millis())
            .collect();
        assert_eq!(delays.iter().min(), Some(&0));
        assert_eq!(delays.iter().max(), Some(&30));
    }
}
