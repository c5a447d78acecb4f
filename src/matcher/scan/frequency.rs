//! How often words begin in real logs, to look for the rarest.

use super::kernel::key_of;
use super::rows::Row;
use std::collections::HashMap;

/// Made by `benches/frequency.py` of 17 MB of logs of 60 projects (builds by Travis and GitHub, and
/// those in `fixtures/`): the first eight bytes of a word, and how often they come in a million words.
const TABLE: &str = include_str!("frequency.txt");

/// How often the first eight bytes of a sub-token come in a million.
#[derive(Debug)]
pub(super) struct Frequency {
    /// The most frequent first.
    pub(super) common: Vec<(u64, u32)>,
    by_key: HashMap<u64, u32>,
}

impl Frequency {
    /// The table that is part of the program.
    pub(super) fn shipped() -> Self {
        let line = |line: &str| {
            let (word, count) = line.split_once(' ')?;
            Some((key_of(word.as_bytes()), count.parse().ok()?))
        };
        let common: Vec<(u64, u32)> = TABLE.lines().filter_map(line).collect();
        let by_key = common.iter().copied().collect();
        Self { common, by_key }
    }

    /// Of one sub-token; what is not in the table counts as 0.
    pub(super) fn of(&self, token: &[u8]) -> u32 {
        self.by_key.get(&key_of(token)).copied().unwrap_or(0)
    }

    /// Which sub-token of a row is the rarest: those of three bytes and more first, then the rarest, then
    /// the longest.
    pub(super) fn rarest(&self, row: &Row) -> usize {
        let cost = |token: &[u8]| {
            let short = 3_usize.saturating_sub(token.len());
            (short, self.of(token), std::cmp::Reverse(token.len()))
        };
        let costs = row.iter().enumerate();
        costs
            .min_by_key(|(_, token)| cost(token))
            .map_or(0, |(at, _)| at)
    }

    /// Of the rarest sub-token of a row.
    pub(super) fn of_row(&self, row: &Row) -> u64 {
        let rarest = row.get(self.rarest(row));
        // A row that is not in the table costs something too: two of them cost more than one.
        1 + rarest.map_or(0, |token| u64::from(self.of(token)))
    }
}
