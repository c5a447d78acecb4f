//! The starts of sub-tokens with AVX-512 and AVX2.
#![expect(
    unsafe_code,
    reason = "measured: 2.4 and 2 times the speed of plain Rust; the tests compare all of them"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "places in a window, bytes and masks as the instructions want them"
)]

use super::{Carry, FOLDED, Keys, Level, Scratch};
// Not `expect`: the lint does not look at test builds.
#[allow(
    clippy::wildcard_imports,
    reason = "the instructions have names of their own"
)]
use std::arch::x86_64::*;

/// The places in a block.
const PLACES: [u8; 64] = {
    let mut all = [0; 64];
    let mut place = 0;
    while place < 64 {
        all[place] = place as u8;
        place += 1;
    }
    all
};

/// The best that this processor has.
pub(super) fn level() -> Level {
    macro_rules! has { ($($feature:tt)*) => { true $(&& is_x86_feature_detected!($feature))* } }
    if !has!("bmi1" "bmi2" "popcnt" "avx2") {
        return Level::Plain;
    }
    if !has!("avx512f" "avx512bw" "avx512vl") {
        return Level::Avx2;
    }
    if has!("avx512vbmi" "avx512vbmi2") {
        return Level::Vbmi2;
    }
    Level::Avx512
}

/// The number of starts written out; `None` when this is left to plain Rust.
pub(super) fn starts(
    keys: &Keys,
    window: &[u8],
    own: usize,
    base: usize,
    carry: &mut Carry,
    scratch: &mut Scratch,
) -> Option<usize> {
    match keys.level {
        Level::Plain => None,
        // SAFETY: `level()` saw that the processor has what the function asks for, and `Keys` are made
        // with no higher level than that.
        Level::Avx2 => Some(unsafe { with_avx2(keys, window, own, base, carry, scratch) }),
        // SAFETY: as above.
        Level::Avx512 => Some(unsafe { with_avx512(keys, window, own, base, carry, scratch) }),
        // SAFETY: as above.
        Level::Vbmi2 => Some(unsafe { with_vbmi2(keys, window, own, base, carry, scratch) }),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,popcnt")]
fn load(bytes: &[u8]) -> __m512i {
    let block = &bytes[..64];
    // SAFETY: 64 bytes are there, and the load need not be aligned.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,popcnt")]
fn store(bytes: __m512i, to: &mut [u8]) {
    let to = &mut to[..64];
    // SAFETY: 64 bytes are there, and the store need not be aligned.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), bytes) };
}

/// A block of the window, in `last` with blanks behind the window's end.
#[inline]
fn block_of<'b>(window: &'b [u8], block: usize, last: &'b mut [u8; 64]) -> &'b [u8] {
    if let Some(bytes) = window.get(block * 64..block * 64 + 64) {
        return bytes;
    }
    let rest = window.get(block * 64..).unwrap_or(&[]);
    last.fill(b' ');
    last[..rest.len()].copy_from_slice(rest);
    last
}

/// What blocks have beside their sub-tokens.
#[derive(Default)]
struct Beside {
    lines: u32,
    beyond: u64,
    nul: u64,
}

impl Beside {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,popcnt")]
    fn see(&mut self, bytes: __m512i, at: usize, carry: &mut Carry) {
        let line_end = _mm512_set1_epi8(b'\n'.cast_signed());
        self.lines += _mm512_cmpeq_epi8_mask(bytes, line_end).count_ones();
        self.beyond |= _mm512_movepi8_mask(bytes);
        self.nul |= _mm512_testn_epi8_mask(bytes, bytes);
        let blank = _mm512_set1_epi8(b' '.cast_signed());
        carry.block(_mm512_cmple_epu8_mask(bytes, blank) != 0, at);
    }

    fn tell(&self, carry: &mut Carry) {
        carry.seen.lines += u64::from(self.lines);
        carry.seen.beyond_ascii |= self.beyond != 0;
        carry.seen.nul |= self.nul != 0;
    }
}

/// [`super::fold`] of each byte, and a bit for each that is not 0 then.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,popcnt")]
fn fold_block(bytes: __m512i) -> (__m512i, u64) {
    let each = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let lower = _mm512_or_si512(bytes, each(0x20));
    let letter = _mm512_cmple_epu8_mask(_mm512_sub_epi8(lower, each(b'a')), each(25));
    let digit = _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, each(b'0')), each(9));
    let other = digit | _mm512_cmpeq_epi8_mask(bytes, each(b'_'));
    let letters = _mm512_maskz_mov_epi8(letter, lower);
    let folded = _mm512_mask_mov_epi8(letters, other, bytes);
    (folded, letter | other)
}

/// The places of sixteen bytes of a window.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,popcnt")]
fn places_from(first: usize) -> __m512i {
    let each = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm512_add_epi32(each, _mm512_set1_epi32(first as i32))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,popcnt")]
fn with_avx512(
    keys: &Keys,
    window: &[u8],
    own: usize,
    base: usize,
    carry: &mut Carry,
    scratch: &mut Scratch,
) -> usize {
    let blocks = own.div_ceil(64);
    let mut beside = Beside::default();
    for block in 0..=blocks {
        let bytes = load(block_of(window, block, &mut [0; 64]));
        let (folded, word) = fold_block(bytes);
        store(folded, &mut scratch.folded[block * 64..]);
        scratch.words[block] = word;
        if block < blocks {
            beside.see(bytes, base + block * 64, carry);
        }
    }
    beside.tell(carry);
    let mut count = 0;
    for block in 0..blocks {
        let bits = keys.start_bits(&scratch.words, block, carry);
        for quarter in 0..4 {
            let some = (bits >> (quarter * 16)) as u16;
            let places = places_from(block * 64 + quarter * 16);
            let starts = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(some, places));
            let to = &mut scratch.starts[count..count + 16];
            // SAFETY: 16 places of two bytes are there, and the store need not be aligned.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), starts) };
            count += some.count_ones() as usize;
        }
    }
    count
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,popcnt")]
fn with_vbmi2(
    keys: &Keys,
    window: &[u8],
    own: usize,
    base: usize,
    carry: &mut Carry,
    scratch: &mut Scratch,
) -> usize {
    let (low, high) = (load(&FOLDED[..64]), load(&FOLDED[64..128]));
    let blocks = own.div_ceil(64);
    let mut beside = Beside::default();
    for block in 0..=blocks {
        let bytes = load(block_of(window, block, &mut [0; 64]));
        let ascii = !_mm512_movepi8_mask(bytes);
        let folded = _mm512_maskz_permutex2var_epi8(ascii, low, bytes, high);
        store(folded, &mut scratch.folded[block * 64..]);
        scratch.words[block] = _mm512_test_epi8_mask(folded, folded);
        if block < blocks {
            beside.see(bytes, base + block * 64, carry);
        }
    }
    beside.tell(carry);
    let places = load(&PLACES);
    let mut count = 0;
    for block in 0..blocks {
        let bits = keys.start_bits(&scratch.words, block, carry);
        let packed = _mm512_maskz_compress_epi8(bits, places);
        let wide = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(packed));
        let starts = _mm512_add_epi16(wide, _mm512_set1_epi16((block * 64) as i16));
        let to = &mut scratch.starts[count..count + 32];
        // SAFETY: 32 places of two bytes are there, and the store need not be aligned.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), starts) };
        count += bits.count_ones() as usize;
    }
    count
}

/// The two halves of a block.
type Halves = [__m256i; 2];

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn load_halves(bytes: &[u8]) -> Halves {
    let block = &bytes[..64];
    // SAFETY: 64 bytes are there, and the loads need not be aligned.
    unsafe {
        let at = block.as_ptr();
        let first = _mm256_loadu_si256(at.cast());
        [first, _mm256_loadu_si256(at.add(32).cast())]
    }
}

/// A bit for each byte whose highest bit is set.
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn bits(halves: Halves) -> u64 {
    let [low, high] = halves.map(|half| u64::from(_mm256_movemask_epi8(half).cast_unsigned()));
    low | high << 32
}

/// [`super::fold`] of each byte.
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn fold_half(bytes: __m256i) -> __m256i {
    let each = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    let at_most = |value, most| _mm256_cmpeq_epi8(_mm256_min_epu8(value, each(most)), value);
    let lower = _mm256_or_si256(bytes, each(0x20));
    let letter = at_most(_mm256_sub_epi8(lower, each(b'a')), 25);
    let digit = at_most(_mm256_sub_epi8(bytes, each(b'0')), 9);
    let other = _mm256_or_si256(digit, _mm256_cmpeq_epi8(bytes, each(b'_')));
    let letters = _mm256_and_si256(lower, letter);
    _mm256_or_si256(letters, _mm256_and_si256(bytes, other))
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn with_avx2(
    keys: &Keys,
    window: &[u8],
    own: usize,
    base: usize,
    carry: &mut Carry,
    scratch: &mut Scratch,
) -> usize {
    let each = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    let same = |bytes: Halves, with| bits(bytes.map(|half| _mm256_cmpeq_epi8(half, with)));
    let (zero, line_end, blank) = (each(0), each(b'\n'), each(b' '));
    let blocks = own.div_ceil(64);
    let mut beside = Beside::default();
    for block in 0..=blocks {
        let bytes = load_halves(block_of(window, block, &mut [0; 64]));
        let folded = [fold_half(bytes[0]), fold_half(bytes[1])];
        let to = &mut scratch.folded[block * 64..block * 64 + 64];
        // SAFETY: 64 bytes are there, and the stores need not be aligned.
        unsafe {
            let at = to.as_mut_ptr();
            _mm256_storeu_si256(at.cast(), folded[0]);
            _mm256_storeu_si256(at.add(32).cast(), folded[1]);
        }
        scratch.words[block] = !same(folded, zero);
        if block < blocks {
            beside.lines += same(bytes, line_end).count_ones();
            beside.beyond |= bits(bytes);
            beside.nul |= same(bytes, zero);
            // Not above a blank: the lower one of both is the byte.
            let low = bytes.map(|half| _mm256_cmpeq_epi8(_mm256_min_epu8(half, blank), half));
            carry.block(bits(low) != 0, base + block * 64);
        }
    }
    beside.tell(carry);
    keys.flatten(blocks, carry, scratch)
}
