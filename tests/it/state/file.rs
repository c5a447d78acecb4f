//! What only a file can be.

use super::place::Place;
use whorl::state::{NoteFilter, NoteState, State, StateError};

#[test]
fn a_file_of_the_first_format_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(include_str!("../../../src/state/schema_1.sql"))
        .unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    raw.execute_batch(
        "INSERT INTO builds (id, uuid, meta, failed, received_at, completed_at, at)
         VALUES (1, 'u1', '{\"uuid\":\"u1\"}', 1, 0, 0, 0);
         INSERT INTO notes (build, target, kind, text, json, created_at, next_try)
         VALUES (1, 'chat', 'known-bug', 'hello', '{}', 0, 0)",
    )
    .unwrap();
    drop(raw);
    let state = State::open(&path).unwrap();
    assert_eq!(state.pending().unwrap(), ["u1"]);
    assert!(state.job("u1").unwrap().unwrap().waiting);
    let kept = state.notes(&NoteFilter::default()).unwrap().items.remove(0);
    assert_eq!((&*kept.topic, &*kept.text), ("build/u1/known-bug", "hello"));
    // Whom it was for is not configured by that name any more.
    assert_eq!(kept.state, NoteState::Superseded);
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    let place = Place::file();
    drop(place.open());
    let path = place.path();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 999).unwrap();
    let error = State::open(&path).unwrap_err();
    assert!(matches!(error, StateError::Newer { found: 999, .. }));
    assert!(error.to_string().contains("use the newer whorl"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    std::fs::write(&path, "this is no database, but it is long enough to look").unwrap();
    assert!(State::open(&path).is_err());
}
