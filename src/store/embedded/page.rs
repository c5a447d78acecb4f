//! One page of the events found: only the blocks that can be on it are read.

use super::document::Columns;
use super::scan::turned;
use super::slice::{Block, with_payload};
use super::unpack::{Facts, Payload, Unpacker};
use super::{Found, Part, timestamp};
use crate::query::Document;
use crate::store::{SearchRequest, StoreError, StoredHit};
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use tantivy::Searcher;

/// Where an event stands in the answer: its moment (turned round for newest first), its build, its
/// place there; then where it is found.
type Place = (i64, Arc<str>, u64, usize, u32);

/// Gives the page that is asked for.
pub(super) fn page(
    parts: &[Part],
    request: &SearchRequest<'_>,
    columns: &Columns,
) -> Result<Vec<StoredHit>, StoreError> {
    let wanted = request.offset.saturating_add(request.limit);
    if request.limit == 0 {
        return Ok(Vec::new());
    }
    let turn = |time: i64| turned(time, request.newest_first);
    let mut blocks: Vec<(i64, &Searcher, &Block, &Found)> = Vec::new();
    for part in parts {
        for (block, found) in &part.blocks {
            let first = if request.newest_first {
                block.time.1
            } else {
                block.time.0
            };
            blocks.push((turn(first), &part.searcher, block, found));
        }
    }
    blocks.sort_by_key(|(first, ..)| *first);
    let mut best: BinaryHeap<Place> = BinaryHeap::new();
    for (number, (first, searcher, block, found)) in blocks.iter().enumerate() {
        if best.len() >= wanted && best.peek().is_some_and(|worst| worst.0 < *first) {
            break;
        }
        for (event, time) in &*found.hits(searcher, block, columns)? {
            let seq = block.first + u64::from(*event);
            best.push((turn(*time), Arc::clone(&block.build), seq, number, *event));
            if best.len() > wanted {
                best.pop();
            }
        }
    }
    let places = best.into_sorted_vec();
    let mut by_block: BTreeMap<usize, Vec<(usize, &Place)>> = BTreeMap::new();
    for (at, place) in places.iter().skip(request.offset).enumerate() {
        by_block.entry(place.3).or_default().push((at, place));
    }
    let mut hits = BTreeMap::new();
    for (number, places) in by_block {
        let Some((_, searcher, block, _)) = blocks.get(number) else {
            continue;
        };
        let read = |payload: &[u8]| read(payload, block, &places, request);
        hits.extend(with_payload(searcher, block.address, columns, read)?);
    }
    Ok(hits.into_values().collect())
}

/// The events of one block that are on the page, each with its place on it.
fn read(
    payload: &[u8],
    block: &Block,
    places: &[(usize, &Place)],
    request: &SearchRequest<'_>,
) -> Result<Vec<(usize, StoredHit)>, StoreError> {
    let (mut unpacker, mut facts, mut text) = (Unpacker::new()?, Vec::new(), Vec::new());
    let payload = Payload::read(payload)?;
    unpacker.facts(&payload, &mut facts)?;
    unpacker.text(&payload, &mut text)?;
    let facts = Facts::read(&facts)?;
    let (times, rows) = (facts.times()?, facts.rows()?);
    let mut hits = Vec::new();
    for (at, (_, _, _, _, number)) in places {
        let event = rows.event(*number as usize, &text)?;
        let spans = match request.selection.query {
            Some(query) if request.highlight => query.spans(&Document::new(&event)),
            _ => Vec::new(),
        };
        let time = times.get(*number as usize).copied().unwrap_or_default();
        let hit = StoredHit {
            spans,
            event,
            build_uuid: block.build.to_string(),
            time: timestamp(time),
        };
        hits.push((*at, hit));
    }
    Ok(hits)
}
