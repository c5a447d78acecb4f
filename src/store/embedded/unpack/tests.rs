//! Blocks come back as they were packed.

use super::super::pack::{Packed, Packer};
use super::*;
use proptest::prelude::*;
use std::sync::Arc;

fn value() -> impl Strategy<Value = FieldValue> {
    let one = prop_oneof![
        "\\PC{0,8}".prop_map(FieldValue::text),
        any::<i64>().prop_map(FieldValue::Integer),
        (-9_i32..9).prop_map(|n| FieldValue::Float(f64::from(n) / 4.0)),
        any::<bool>().prop_map(FieldValue::Bool),
    ];
    one.prop_recursive(2, 6, 3, |inner| {
        proptest::collection::vec(inner, 0..3).prop_map(FieldValue::Many)
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    let name = prop_oneof![
        Just("pid"),
        Just("voting"),
        Just("@timestamp"),
        Just("tags")
    ];
    let pairs = proptest::collection::vec((name, value()), 0..4);
    pairs.prop_map(|pairs| pairs.into_iter().collect())
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let place = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    let near = (0_u64..9, 0_u32..3, 0_u64..99, 0_u64..99);
    let one = (
        "\\PC{0,30}",
        fields(),
        fields(),
        prop_oneof![place, near],
        0_u8..3,
    );
    let one = one.prop_map(|(message, own, shared, at, file)| {
        let (line, lines, offset, length) = at;
        let file = Arc::from(format!("f{file}"));
        let at = Location {
            file,
            line,
            lines,
            offset,
            length,
        };
        Event {
            message,
            own,
            shared: Arc::new(shared),
            at,
        }
    });
    proptest::collection::vec(one, 0..12)
}

fn unpacked(payload: &[u8]) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    Unpacker::new()?.events(payload, &mut events)?;
    Ok(events)
}

/// All blocks of a build's events.
fn packed(packer: &mut Packer, events: &[Event]) -> Vec<Packed> {
    let mut blocks = Vec::new();
    for event in events {
        blocks.extend(packer.push(event).unwrap());
    }
    blocks.extend(packer.finish().unwrap());
    blocks
}

fn unpacked_all(blocks: &[Packed]) -> Vec<Event> {
    let each = |block: &Packed| unpacked(&block.payload).unwrap();
    blocks.iter().flat_map(each).collect()
}

#[test]
fn events_come_back_as_they_were() {
    proptest!(|(events in events())| {
        let mut packer = Packer::new(0).unwrap();
        let mut back = Vec::new();
        for event in &events {
            if let Some(packed) = packer.push(event).unwrap() {
                back.extend(unpacked(&packed.payload).unwrap());
            }
        }
        if let Some(packed) = packer.finish().unwrap() {
            prop_assert_eq!(packed.count == 0, events.is_empty());
            back.extend(unpacked(&packed.payload).unwrap());
        }
        prop_assert_eq!(back, events);
    });
}

#[test]
fn many_events_make_several_blocks_with_columns_of_both_kinds() {
    let events: Vec<Event> = (0..9_000_u64)
        .map(|n| {
            let mut event = Event::from_message(format!("line {n} of the log"));
            event.own.set(
                "@timestamp",
                FieldValue::text(format!("2026-01-01T00:00:{:02}.{n:04}Z", n % 60)),
            );
            event
                .own
                .set("pid", FieldValue::Integer((n % 700).cast_signed()));
            if n % 3 == 0 {
                event.own.set("loglevel", FieldValue::text("INFO"));
            }
            event
        })
        .collect();
    let mut packer = Packer::new(0).unwrap();
    let blocks = packed(&mut packer, &events);
    assert!(blocks.len() > 1);
    let counts: u64 = blocks.iter().map(|block| block.count).sum();
    assert_eq!((counts, packer.count()), (9_000, 9_000));
    assert!(unpacked_all(&blocks) == events);
}

#[test]
fn files_of_a_build_with_long_fields_do_not_all_go_into_one_block() {
    let mut shared = Fields::default();
    shared.set("note", FieldValue::text("x".repeat(300_000)));
    let shared = Arc::new(shared);
    let events: Vec<Event> = (0..20)
        .map(|number| {
            let mut event = Event::from_message("a line");
            event.at.file = format!("{number}.log").into();
            event.shared = Arc::clone(&shared);
            event
        })
        .collect();
    let blocks = packed(&mut Packer::new(0).unwrap(), &events);
    let counts: Vec<u64> = blocks.iter().map(|block| block.count).collect();
    assert_eq!(counts, [4; 5]);
    assert!(unpacked_all(&blocks) == events);
}

#[test]
fn damage_is_an_error_and_no_panic() {
    let mut packer = Packer::new(0).unwrap();
    for n in 0..300 {
        packer
            .push(&Event::from_message(format!("{n} words")))
            .unwrap();
    }
    let payload = packer.finish().unwrap().unwrap().payload;
    for at in 0..payload.len() {
        assert!(unpacked(&payload[..at]).is_err());
        let mut bent = payload.clone();
        bent[at] ^= 0x15;
        let _ = unpacked(&bent);
    }
}
