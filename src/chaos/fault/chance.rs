//! What is left to chance depends on the seed, on what may happen, and on the how many-th chance it is.

use super::parameters::Dice;

/// A number for an effect on the n-th of a kind.
pub(super) fn roll(seed: u64, effect: &str, key: &str, n: u64) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in effect.bytes().chain([0]).chain(key.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    let place = Dice::new(hash.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).roll();
    Dice::new(seed ^ place).roll()
}

/// Whether a number is among so many percent of all.
pub(super) fn hit(number: u64, percent: f64) -> bool {
    // 53 bits are what a float holds exactly, so that 0 is never and 100 always.
    let part = (number >> 11) as f64 / (1_u64 << 53) as f64;
    part * 100.0 < percent
}
