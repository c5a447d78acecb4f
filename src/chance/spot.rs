//! One site at work: counts its calls and says which of them fail.

use super::plan::Core;
use super::rates::Border;
use super::record::Fault;
use super::site::{Kind, Phase};
use jiff::Timestamp;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of the table of keys that are locked each for itself.
const SHARDS: usize = 16;
/// Keys that are counted in each part. When there are more, counting begins anew.
const KEYS: usize = 65_536;
/// What the number of a call is spread by.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A site that may fail. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Spot(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    name: String,
    number: u64,
    /// Each error that may be raised, with when: one of them is drawn.
    ways: Vec<(&'static Kind, Phase)>,
    border: Border,
    /// Calls without a key.
    calls: AtomicU64,
    before: AtomicU64,
    after: AtomicU64,
    keys: [Mutex<Counts>; SHARDS],
}

/// Calls with keys.
#[derive(Default)]
struct Counts {
    calls: u64,
    keys: HashMap<u64, u64, BuildHasherDefault<Mixed>>,
}

/// Keys are mixed already.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = named(bytes);
    }

    fn write_u64(&mut self, mixed: u64) {
        self.0 = mixed;
    }
}

/// A call that is made to fail.
#[derive(Debug)]
pub struct Mishap<'s> {
    spot: &'s Spot,
    key: &'s str,
    n: u64,
    /// With what.
    pub kind: &'static Kind,
    /// Whether the call is done first.
    pub phase: Phase,
}

impl fmt::Debug for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spot").field(&self.0.name).finish()
    }
}

impl Spot {
    pub(super) fn new(core: Arc<Core>, name: &str, kinds: &'static [Kind], rate: f64) -> Self {
        let ways = kinds
            .iter()
            .flat_map(|kind| kind.phases.iter().map(move |phase| (kind, *phase)));
        Self(Arc::new(Inner {
            core,
            name: name.to_owned(),
            number: named(name.as_bytes()),
            ways: ways.collect(),
            border: Border::of(rate),
            calls: AtomicU64::new(0),
            before: AtomicU64::new(0),
            after: AtomicU64::new(0),
            keys: std::array::from_fn(|_| Mutex::default()),
        }))
    }

    /// The site's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Counts a call and says whether it fails. `key` says which call it is where several threads call
    /// at the same time, such as the build's name: calls with the same key are counted together. It is
    /// empty where there is none.
    pub fn decide<'s>(&'s self, key: &'s str) -> Option<Mishap<'s>> {
        let (n, key_number) = self.count(key);
        if self.0.core.is_healed() {
            return None;
        }
        let (kind, phase) = self.would(key_number, n)?;
        Some(Mishap {
            spot: self,
            key,
            n,
            kind,
            phase,
        })
    }

    /// What happens to the call number `n` (from 0) with this key.
    pub fn foretell(&self, key: &str, n: u64) -> Option<(&'static str, Phase)> {
        let (kind, phase) = self.would(key_number(key), n)?;
        Some((kind.name, phase))
    }

    fn would(&self, key: u64, n: u64) -> Option<(&'static Kind, Phase)> {
        let inner = &*self.0;
        let place = inner.number.wrapping_add(key);
        let drawn = mix(inner.core.seed() ^ mix(place.wrapping_add(n.wrapping_mul(GOLDEN))));
        if !inner.border.fails(drawn) || inner.ways.is_empty() {
            return None;
        }
        let which = mix(drawn) % inner.ways.len() as u64;
        inner.ways.get(usize::try_from(which).ok()?).copied()
    }

    fn count(&self, key: &str) -> (u64, u64) {
        if key.is_empty() {
            return (self.0.calls.fetch_add(1, Ordering::Relaxed), 0);
        }
        let number = key_number(key);
        let shard = usize::try_from(number >> 60).unwrap_or(0) % SHARDS;
        let mut counts = held(&self.0.keys[shard]);
        if counts.keys.len() >= KEYS {
            counts.keys.clear();
        }
        counts.calls += 1;
        let next = counts.keys.entry(number).or_default();
        *next += 1;
        (*next - 1, number)
    }

    /// Calls so far, and those that were made to fail before and after they were done.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let keyed = self.0.keys.iter().map(|counts| held(counts).calls);
        let calls = of(&self.0.calls) + keyed.sum::<u64>();
        (calls, of(&self.0.before), of(&self.0.after))
    }

    /// Does `work`, unless it is to fail; `error` makes the error of a kind. What goes wrong with the
    /// work itself is not covered up.
    pub fn around<T, E>(
        &self,
        key: &str,
        error: impl FnOnce(&'static str) -> E,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(mishap) = self.decide(key) else {
            return work();
        };
        if mishap.phase == Phase::After {
            work()?;
        }
        mishap.strike();
        Err(error(mishap.kind.name))
    }

    /// [`Spot::around`] for work that is waited for.
    pub async fn around_async<T, E>(
        &self,
        key: &str,
        error: impl FnOnce(&'static str) -> E,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(mishap) = self.decide(key) else {
            return work.await;
        };
        if mishap.phase == Phase::After {
            work.await?;
        }
        mishap.strike();
        Err(error(mishap.kind.name))
    }
}

impl Mishap<'_> {
    /// Writes down what is now going to be seen.
    pub fn strike(&self) {
        let inner = &*self.spot.0;
        let count = match self.phase {
            Phase::Before => &inner.before,
            Phase::After => &inner.after,
        };
        count.fetch_add(1, Ordering::Relaxed);
        inner.core.record().write(|| Fault {
            run: inner.core.run().to_owned(),
            seed: inner.core.seed(),
            site: inner.name.clone(),
            n: self.n,
            key: self.key.to_owned(),
            phase: self.phase,
            error: self.kind.name.to_owned(),
            time: Timestamp::now(),
        });
    }
}

/// Counting cannot be left half done.
fn held(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The finaliser of splitmix64.
fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a.
fn named(name: &[u8]) -> u64 {
    name.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// The number of a key; none is 0. Eight bytes at a time, as it is asked for with each call.
fn key_number(key: &str) -> u64 {
    if key.is_empty() {
        return 0;
    }
    let add = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(GOLDEN);
        hash ^ (hash >> 32)
    };
    let (words, rest) = key.as_bytes().as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let hash = words.fold(key.len() as u64, add);
    let rest = rest
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(add(hash, rest))
}
