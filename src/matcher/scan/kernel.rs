//! Where the words of a text begin that may be anchors: one hash probe for each run of letters,
//! digits and `_`. All `unsafe` of the project is here, but for one call to the allocator (`cli/memory.rs`).
//!
//! A sub-token is a longest run of `[A-Za-z0-9_]`, in lower case. Every other byte separates, all of
//! 0x80 to 0xFF too. A word of ASCII text, as the analyser cuts it, is a row of whole sub-tokens, so
//! that nothing is lost by looking at them alone. The text is folded 16 KiB at a time, a bit for each
//! start of a sub-token is set, and the first eight bytes behind each start are looked up in a bitmap
//! that stays in the processor's cache.
//!
//! The same is written four times: for processors with AVX-512 and VBMI2, with AVX-512 alone, with AVX2, and
//! in plain Rust, which is the twin that the tests compare the others with.
#![expect(
    clippy::cast_possible_truncation,
    clippy::needless_bitwise_bool,
    reason = "places in a window of 16 KiB, bits of words, and sums without branches"
)]

#[cfg(target_arch = "x86_64")]
mod x86;

/// Bytes folded at a time, so that text and folded copy stay in the first caches.
pub(super) const WINDOW: usize = 16 * 1024;
/// Blocks of one window.
const BLOCKS: usize = WINDOW / 64;
/// The bitmap has two to the power of this many bits: 16 KiB.
const BITS: u32 = 17;
const WORDS: usize = 1 << (BITS - 6);
/// Blocks without any blank from which on a word may be too long for the analyser: 255 bytes in a row
/// have three whole blocks.
const LONG: u32 = 3;

/// Which instructions are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Those that every processor has.
    Plain,
    /// AVX2 and the bit instructions.
    Avx2,
    /// AVX-512 for bytes.
    Avx512,
    /// AVX-512 with VBMI2.
    Vbmi2,
}

impl Level {
    /// The best that this processor has.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        return x86::level();
        #[cfg(not(target_arch = "x86_64"))]
        Self::Plain
    }
}

/// One byte in lower case; 0 when it separates.
#[inline]
pub(super) fn fold(byte: u8) -> u8 {
    FOLDED[usize::from(byte)]
}

/// [`fold`] of each byte.
static FOLDED: [u8; 256] = {
    let mut all = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        all[byte as usize] = match byte {
            b'A'..=b'Z' => byte | 0x20,
            b'a'..=b'z' | b'0'..=b'9' | b'_' => byte,
            _ => 0,
        };
        byte += 1;
    }
    all
};

/// The first eight bytes of a folded sub-token, 0 behind its end.
pub(super) fn key_of(token: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = token.len().min(8);
    bytes[..length].copy_from_slice(&token[..length]);
    u64::from_le_bytes(bytes)
}

/// The key of the sub-token that begins at `at`, which is below two windows: so no bound is looked at.
#[inline]
fn key_at(folded: &Folded, at: u16) -> u64 {
    let at = usize::from(at) % (2 * WINDOW);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&folded[at..at + 8]);
    let raw = u64::from_le_bytes(bytes);
    let zero = raw.wrapping_sub(0x0101_0101_0101_0101) & !raw & 0x8080_8080_8080_8080;
    // All ones when there is no zero byte.
    raw & (zero ^ zero.wrapping_sub(1))
}

#[inline]
fn hash(key: u64, multiplier: u64) -> usize {
    (key.wrapping_mul(multiplier) >> (64 - BITS)) as usize
}

/// What a text has beside its sub-tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Line ends.
    pub(super) lines: u64,
    /// True when a byte is above 0x7F.
    pub(super) beyond_ascii: bool,
    /// True when a byte is 0.
    pub(super) nul: bool,
    /// A place in each run of bytes without blanks that is so long that the analyser may cut it.
    pub(super) long: Vec<u32>,
}

/// What one window has shown so far, over the windows of a text.
#[derive(Debug, Clone, Default)]
struct Carry {
    /// 1 when the last byte belonged to a sub-token.
    inside: u64,
    /// Blocks without a blank in a row.
    full: u32,
    seen: Seen,
}

impl Carry {
    /// Counts a block that has no blank, or ends the run.
    #[inline]
    fn block(&mut self, has_blank: bool, at: usize) {
        self.full = if has_blank { 0 } else { self.full + 1 };
        if self.full == LONG {
            self.seen.long.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
    }
}

/// A folded window, a little of the next one, and room that is never used ([`key_at`]).
type Folded = [u8; 2 * WINDOW + 8];
/// Where the part of it ends that is used.
const USED: usize = WINDOW + 128;

/// Room that is used again for every text of a thread.
#[derive(Debug)]
pub(super) struct Scratch {
    folded: Box<Folded>,
    words: Box<[u64; BLOCKS + 2]>,
    starts: Box<[u16; WINDOW / 2 + 64]>,
}

impl Default for Scratch {
    #[expect(
        clippy::large_stack_arrays,
        reason = "made once for a thread, and small"
    )]
    fn default() -> Self {
        Self {
            folded: Box::new([0; 2 * WINDOW + 8]),
            words: Box::new([0; BLOCKS + 2]),
            starts: Box::new([0; WINDOW / 2 + 64]),
        }
    }
}

/// The keys that are looked for.
#[derive(Debug)]
pub(super) struct Keys {
    multiplier: u64,
    bitmap: Box<[u64; WORDS]>,
    /// Open addressing: the key and its number plus one; 0 for an empty place.
    places: Vec<(u64, u32)>,
    shortest: u32,
    level: Level,
}

impl Keys {
    /// Makes a set of different keys ready, whose sub-tokens have at least `shortest` bytes. `common`
    /// are frequent keys of logs with how often they came.
    pub(super) fn new(keys: &[u64], shortest: usize, common: &[(u64, u32)], level: Level) -> Self {
        let multiplier = best_multiplier(keys, common);
        let mut bitmap = Box::new([0; WORDS]);
        let mut places = vec![(0, 0); (keys.len() * 2 + 2).next_power_of_two()];
        let mask = places.len() - 1;
        for (number, key) in (1..).zip(keys) {
            let hashed = hash(*key, multiplier);
            bitmap[hashed >> 6] |= 1_u64 << (hashed & 63);
            let mut at = hashed & mask;
            while places[at].1 != 0 {
                at = (at + 1) & mask;
            }
            places[at] = (*key, number);
        }
        Self {
            multiplier,
            bitmap,
            places,
            shortest: u32::try_from(shortest.clamp(1, 4)).unwrap_or(4),
            level,
        }
    }

    /// The number of a key.
    fn number(&self, key: u64) -> Option<u32> {
        let mask = self.places.len() - 1;
        let mut at = hash(key, self.multiplier) & mask;
        loop {
            match self.places[at] {
                (_, 0) => return None,
                (found, number) if found == key => return Some(number - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Calls `hit` with the place and the key's number for every sub-token whose first eight bytes are
    /// a key, in order.
    pub(super) fn scan(
        &self,
        text: &[u8],
        scratch: &mut Scratch,
        mut hit: impl FnMut(usize, u32),
    ) -> Seen {
        let mut carry = Carry::default();
        for base in (0..text.len()).step_by(WINDOW) {
            // Keys look a little ahead.
            let window = &text[base..(base + WINDOW + 64).min(text.len())];
            let own = window.len().min(WINDOW);
            let count = self.starts(window, own, base, &mut carry, scratch);
            // Zeros stand there: no key is found.
            scratch.starts[count..count + 8].fill(WINDOW as u16 + 120);
            scratch.folded[WINDOW + 64..USED].fill(0);
            self.probe(base, count, scratch, &mut hit);
        }
        carry.seen
    }

    fn probe(
        &self,
        base: usize,
        count: usize,
        scratch: &Scratch,
        hit: &mut impl FnMut(usize, u32),
    ) {
        let folded = &*scratch.folded;
        for eight in scratch.starts[..count.next_multiple_of(8)].chunks_exact(8) {
            let mut hits = 0_u32;
            for (bit, start) in eight.iter().enumerate() {
                let hashed = hash(key_at(folded, *start), self.multiplier);
                let known = (self.bitmap[hashed >> 6] >> (hashed & 63)) & 1;
                hits |= (known as u32) << bit;
            }
            while hits != 0 {
                let start = eight[hits.trailing_zeros() as usize];
                hits &= hits - 1;
                if let Some(number) = self.number(key_at(folded, start)) {
                    hit(base + usize::from(start), number);
                }
            }
        }
    }

    fn starts(
        &self,
        window: &[u8],
        own: usize,
        base: usize,
        carry: &mut Carry,
        scratch: &mut Scratch,
    ) -> usize {
        #[cfg(target_arch = "x86_64")]
        if let Some(count) = x86::starts(self, window, own, base, carry, scratch) {
            return count;
        }
        self.starts_plain(window, own, base, carry, scratch)
    }

    fn starts_plain(
        &self,
        window: &[u8],
        own: usize,
        base: usize,
        carry: &mut Carry,
        scratch: &mut Scratch,
    ) -> usize {
        fold_into(&mut scratch.folded[..USED], window);
        look(&window[..own], base, carry);
        let blocks = own.div_ceil(64);
        let folded = scratch.folded.chunks_exact(64);
        for (word, block) in scratch.words[..=blocks].iter_mut().zip(folded) {
            *word = block
                .iter()
                .rev()
                .fold(0, |bits, byte| bits << 1 | u64::from(*byte != 0));
        }
        self.flatten(blocks, carry, scratch)
    }

    /// The starts of sub-tokens that are long enough, in one block.
    #[inline]
    fn start_bits(&self, words: &[u64; BLOCKS + 2], block: usize, carry: &mut Carry) -> u64 {
        let word = words[block];
        let starts = word & !(word << 1 | carry.inside);
        carry.inside = word >> 63;
        let mut long = u128::from(word) | u128::from(words[block + 1]) << 64;
        match self.shortest {
            1 => {}
            2 => long &= long >> 1,
            3 => long &= (long >> 1) & (long >> 2),
            _ => {
                long &= long >> 1;
                long &= long >> 2;
            }
        }
        starts & long as u64
    }

    /// Writes the places of all start bits out; their number.
    #[inline]
    fn flatten(&self, blocks: usize, carry: &mut Carry, scratch: &mut Scratch) -> usize {
        let mut count = 0;
        for block in 0..blocks {
            let mut bits = self.start_bits(&scratch.words, block, carry);
            let more = bits.count_ones() as usize;
            for group in scratch.starts[count..count + 32].chunks_exact_mut(8) {
                for place in group {
                    *place = (block * 64) as u16 + bits.trailing_zeros() as u16;
                    bits &= bits.wrapping_sub(1);
                }
                if bits == 0 {
                    break;
                }
            }
            count += more;
        }
        count
    }
}

/// What the kernels with special instructions see on their way.
fn look(own: &[u8], base: usize, carry: &mut Carry) {
    carry.seen.lines += memchr::memchr_iter(b'\n', own).count() as u64;
    carry.seen.nul |= memchr::memchr(0, own).is_some();
    carry.seen.beyond_ascii |= !own.is_ascii();
    for (number, block) in own.chunks(64).enumerate() {
        let has_blank = block.len() < 64 || block.iter().fold(false, |any, b| any | (*b <= b' '));
        carry.block(has_blank, base + number * 64);
    }
}

#[inline]
fn fold_into(folded: &mut [u8], text: &[u8]) {
    for (to, byte) in folded.iter_mut().zip(text) {
        *to = fold_by_sums(*byte);
    }
    folded[text.len()..].fill(0);
}

/// [`fold`] without branches, so that the compiler does many bytes at once.
#[inline]
fn fold_by_sums(byte: u8) -> u8 {
    let lower = byte | 0x20;
    let letter = if lower.wrapping_sub(b'a') < 26 {
        lower
    } else {
        0
    };
    let other = if (byte.wrapping_sub(b'0') < 10) | (byte == b'_') {
        byte
    } else {
        0
    };
    letter | other
}

/// Of 32 multipliers, the one that lets the fewest frequent keys of logs through by chance.
fn best_multiplier(keys: &[u64], common: &[(u64, u32)]) -> u64 {
    let known: std::collections::HashSet<u64> = keys.iter().copied().collect();
    let others: Vec<&(u64, u32)> = common.iter().filter(|c| !known.contains(&c.0)).collect();
    let cost = |multiplier: u64| -> u64 {
        let mut taken = vec![0_u64; WORDS];
        for key in keys {
            let hashed = hash(*key, multiplier);
            taken[hashed >> 6] |= 1 << (hashed & 63);
        }
        let passes = |key: u64| {
            let hashed = hash(key, multiplier);
            taken[hashed >> 6] >> (hashed & 63) & 1 == 1
        };
        let passing = others.iter().filter(|c| passes(c.0));
        passing.map(|c| u64::from(c.1)).sum()
    };
    (0..32)
        .map(|n| 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(2 * n + 1) | 1)
        .min_by_key(|multiplier| cost(*multiplier))
        .unwrap_or(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests;
