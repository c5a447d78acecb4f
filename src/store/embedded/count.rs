//! Counting what was found: by the values of a field, and by time.

use super::document::Columns;
use super::slice::with_payload;
use super::unpack::{Facts, Payload, Unpacker};
use super::{Found, Part};
use crate::event::FieldValue;
use crate::store::StoreError;
use crate::store::fields::keyword_of;
use std::collections::{BTreeMap, HashMap};

/// Adds how many of the events found have which value of a field.
pub(super) fn values(
    part: &Part,
    field: &str,
    columns: &Columns,
    counts: &mut BTreeMap<String, u64>,
) -> Result<(), StoreError> {
    let mut unpacker = Unpacker::new()?;
    for (block, found) in &part.blocks {
        let counted = with_payload(&part.searcher, block.address, columns, |payload| {
            in_block(payload, found, field, &mut unpacker)
        })?;
        for (value, count) in counted {
            *counts.entry(value).or_default() += count;
        }
    }
    Ok(())
}

fn in_block(
    payload: &[u8],
    found: &Found,
    field: &str,
    unpacker: &mut Unpacker,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut facts = Vec::new();
    unpacker.facts(&Payload::read(payload)?, &mut facts)?;
    let facts = Facts::read(&facts)?;
    let rows = facts.rows_for(&|name| name == field)?;
    let column = rows.columns.first();
    let mut counts = BTreeMap::new();
    // Events of the same number have the same value; most stand in a row.
    let mut numbers: HashMap<(usize, u8), (u64, usize)> = HashMap::new();
    let mut last = None;
    let mut same = (0, 0);
    let mut group = 0;
    for event in found.numbers(facts.count) {
        let Some(number) = column.map_or(Some(0), |column| column.number(event)) else {
            add(rows.fields(event)?.field(field), 1, &mut counts);
            continue;
        };
        if !rows.is_in_group(event, group) {
            group = rows.group(event);
        }
        if last != Some((group, number)) {
            keep(&mut numbers, last, same);
            (last, same) = (Some((group, number)), (0, event));
        }
        same.0 += 1;
    }
    keep(&mut numbers, last, same);
    for (count, event) in numbers.into_values() {
        add(rows.fields(event)?.field(field), count, &mut counts);
    }
    Ok(counts)
}

fn keep(
    numbers: &mut HashMap<(usize, u8), (u64, usize)>,
    key: Option<(usize, u8)>,
    (count, event): (u64, usize),
) {
    if let Some(key) = key {
        numbers.entry(key).or_insert((0, event)).0 += count;
    }
}

fn add(value: Option<&FieldValue>, count: u64, counts: &mut BTreeMap<String, u64>) {
    let values = value.map(|value| value.values()).unwrap_or_default();
    let mut words: Vec<String> = values.into_iter().filter_map(keyword_of).collect();
    // A value that stands twice in a list is counted once.
    words.sort_unstable();
    words.dedup();
    for word in words {
        *counts.entry(word).or_default() += count;
    }
}

/// Adds how many of the events found fall into which span of `width` microseconds.
pub(super) fn spans(
    part: &Part,
    width: i64,
    columns: &Columns,
    counts: &mut BTreeMap<i64, u64>,
) -> Result<(), StoreError> {
    let start = |time: i64| time.div_euclid(width).saturating_mul(width);
    for (block, found) in &part.blocks {
        let (from, to) = (start(block.time.0), start(block.time.1));
        if from == to {
            *counts.entry(from).or_default() += found.count(block);
            continue;
        }
        for (_, time) in &*found.hits(&part.searcher, block, columns)? {
            *counts.entry(start(*time)).or_default() += 1;
        }
    }
    Ok(())
}
