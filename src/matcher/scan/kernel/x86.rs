//! The starts of sub-tokens with AVX-512 and AVX2.
#![expect(
    unsafe_code,
    reason = "measured: 2.4 and 2 times the speed of plain Rust; the tests compare all three"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "places in a window, bytes and masks as the instructions want them"
)]

use super::{BLOCKS, Carry, Keys, Level, Scratch, fold, fold_into, look};
// Not `expect`: the lint does not look at test builds.
#[allow(
    clippy::wildcard_imports,
    reason = "the instructions have names of their own"
)]
use std::arch::x86_64::*;

/// [`fold`] as a table for the lower half of the bytes.
const FOLD: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = fold(byte as u8);
        byte += 1;
    }
    table
};

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
    if has!("avx512f" "avx512bw" "avx512vl" "avx512vbmi" "avx512vbmi2") {
        return Level::Avx512;
    }
    Level::Avx2
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
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,popcnt")]
fn load(bytes: &[u8]) -> __m512i {
    let block = &bytes[..64];
    // SAFETY: 64 bytes are there, and the load need not be aligned.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,popcnt")]
fn with_avx512(
    keys: &Keys,
    window: &[u8],
    own: usize,
    base: usize,
    carry: &mut Carry,
    scratch: &mut Scratch,
) -> usize {
    let (low, high) = (load(&FOLD[..64]), load(&FOLD[64..]));
    let (line_end, blank) = (
        _mm512_set1_epi8(b'\n'.cast_signed()),
        _mm512_set1_epi8(b' '.cast_signed()),
    );
    let blocks = own.div_ceil(64);
    let (mut lines, mut beyond, mut nul) = (0, 0, 0);
    for block in 0..=blocks {
        let bytes = if let Some(bytes) = window.get(block * 64..block * 64 + 64) {
            load(bytes)
        } else {
            let mut last = [b' '; 64];
            let rest = window.get(block * 64..).unwrap_or(&[]);
            last[..rest.len()].copy_from_slice(rest);
            load(&last)
        };
        let above = _mm512_movepi8_mask(bytes);
        let folded = _mm512_maskz_permutex2var_epi8(!above, low, bytes, high);
        let to = &mut scratch.folded[block * 64..block * 64 + 64];
        // SAFETY: 64 bytes are there, and the store need not be aligned.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), folded) };
        scratch.words[block] = _mm512_test_epi8_mask(folded, folded);
        if block < blocks {
            lines += _mm512_cmpeq_epi8_mask(bytes, line_end).count_ones();
            beyond |= above;
            nul |= _mm512_testn_epi8_mask(bytes, bytes);
            let blanks = _mm512_cmple_epu8_mask(bytes, blank);
            carry.block(blanks != 0, base + block * 64);
        }
    }
    carry.seen.lines += u64::from(lines);
    carry.seen.beyond_ascii |= beyond != 0;
    carry.seen.nul |= nul != 0;
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

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn with_avx2(
    keys: &Keys,
    window: &[u8],
    own: usize,
    base: usize,
    carry: &mut Carry,
    scratch: &mut Scratch,
) -> usize {
    fold_into(&mut scratch.folded[..], window);
    look(&window[..own], base, carry);
    let blocks = own.div_ceil(64);
    for block in 0..=blocks.min(BLOCKS) {
        let bytes = &scratch.folded[block * 64..block * 64 + 64];
        // SAFETY: 64 bytes are there, and the loads need not be aligned.
        let (first, second) = unsafe {
            let at = bytes.as_ptr();
            let first = _mm256_loadu_si256(at.cast());
            (first, _mm256_loadu_si256(at.add(32).cast()))
        };
        let zero = _mm256_setzero_si256();
        let bits = |half| {
            let separators = _mm256_movemask_epi8(_mm256_cmpeq_epi8(half, zero));
            u64::from(!separators.cast_unsigned())
        };
        scratch.words[block] = bits(first) | bits(second) << 32;
    }
    keys.flatten(blocks, carry, scratch)
}
