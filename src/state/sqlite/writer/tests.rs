use super::*;
use crate::state::sql::values;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

const INSERT: &str = "INSERT INTO kept VALUES (?1)";

/// A writer of a file with an empty table.
fn writer(path: &Path) -> Writer {
    let connection = crate::state::sqlite::connect(path).unwrap();
    let table = "CREATE TABLE kept (n INTEGER PRIMARY KEY)";
    connection.execute_batch(table).unwrap();
    Writer::new(connection)
}

/// What another connection sees.
fn kept(path: &Path) -> Vec<i64> {
    let reader = crate::state::sqlite::connect(path).unwrap();
    let mut query = reader.prepare("SELECT n FROM kept ORDER BY n").unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn insert(writer: &Writer, n: i64) -> Result<(), StateError> {
    writer.write(|tx| tx.run(INSERT, values![n]).map(drop))
}

/// Waits until so many threads wait for the desk.
fn until_waiting(writer: &Writer, threads: usize) {
    let begun = Instant::now();
    while writer.waiting.load(Ordering::SeqCst) < threads {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody comes");
        std::thread::yield_now();
    }
}

/// Runs `first` with so many behind it that each insert a number from 1 on; what they said.
fn with_behind(
    writer: &Writer,
    behind: i64,
    first: impl Fn(Tx<'_>) -> Result<(), StateError> + Sync,
) -> Vec<Result<(), StateError>> {
    let open = OnceLock::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The panic of a test is no panic of the test.
            let said = catch_unwind(AssertUnwindSafe(|| {
                writer.write(|tx| {
                    if open.set(()).is_ok() {
                        until_waiting(writer, usize::try_from(behind).unwrap());
                    }
                    first(tx)
                })
            }));
            drop(said);
        });
        open.wait();
        let each = (1..=behind).map(|n| scope.spawn(move || insert(writer, n)));
        let each: Vec<_> = each.collect();
        each.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn those_who_wait_for_each_other_are_kept_by_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = writer(&path);
    let said = with_behind(&writer, 8, |tx| tx.run(INSERT, values![0]).map(drop));
    assert!(said.iter().all(Result::is_ok));
    assert_eq!(kept(&path), (0..=8).collect::<Vec<i64>>());
    assert_eq!(held_commits(&writer), 1);
    insert(&writer, 9).unwrap();
    assert_eq!(held_commits(&writer), 2);
}

#[test]
fn no_group_is_larger_than_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = writer(&path);
    let behind = i64::try_from(MOST).unwrap() + 5;
    let said = with_behind(&writer, behind, |tx| tx.run(INSERT, values![0]).map(drop));
    assert!(said.iter().all(Result::is_ok));
    assert!(held_commits(&writer) >= 2);
    assert_eq!(kept(&path).len(), MOST + 6);
}

fn held_commits(writer: &Writer) -> usize {
    writer
        .desk
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .commits
}

#[test]
fn who_fails_or_panics_takes_nothing_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = writer(&path);
    insert(&writer, 100).unwrap();
    let fails = |tx: Tx<'_>| {
        tx.run(INSERT, values![50])?;
        tx.run(INSERT, values![100]).map(drop)
    };
    let panics = |tx: Tx<'_>| {
        tx.run(INSERT, values![51])?;
        panic!("on purpose")
    };
    for (round, first) in [
        (0_i64, &fails as &(dyn Fn(Tx<'_>) -> _ + Sync)),
        (1, &panics),
    ] {
        assert!(with_behind(&writer, 4, first).iter().all(Result::is_ok));
        assert_eq!(kept(&path), [1, 2, 3, 4, 100], "round {round}");
        writer
            .write(|tx| tx.run("DELETE FROM kept WHERE n < 100", &[]).map(drop))
            .unwrap();
    }
}

/// Runs `first`, which is told how often it was run before, and `second` behind it while its transaction is open. What
/// both said, and how often `first` was run.
fn one_behind(
    writer: &Writer,
    first: impl Fn(usize, Tx<'_>) -> Result<(), StateError> + Sync,
    second: impl Fn(Tx<'_>) -> Result<(), StateError>,
) -> (Result<(), StateError>, Result<(), StateError>, usize) {
    let (runs, open) = (AtomicUsize::new(0), OnceLock::new());
    let said = std::thread::scope(|scope| {
        let one = scope.spawn(|| {
            writer.write(|tx| {
                let before = runs.fetch_add(1, Ordering::SeqCst);
                if before == 0 {
                    open.set(()).unwrap();
                    until_waiting(writer, 1);
                }
                first(before, tx)
            })
        });
        open.wait();
        let other = writer.write(second);
        (one.join().unwrap(), other)
    });
    (said.0, said.1, runs.into_inner())
}

fn on_purpose() -> StateError {
    StateError::Value("on purpose".into())
}

fn fails_behind_a_change(tx: Tx<'_>) -> Result<(), StateError> {
    tx.run(INSERT, values![7])?;
    Err(on_purpose())
}

#[test]
fn what_went_with_anothers_failure_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = writer(&path);
    let first = |_, tx: Tx<'_>| tx.run(INSERT, values![1]).map(drop);
    let (first, second, runs) = one_behind(&writer, first, fails_behind_a_change);
    first.unwrap();
    assert_eq!(second.unwrap_err().to_string(), on_purpose().to_string());
    assert_eq!(runs, 2);
    assert_eq!(kept(&path), [1]);
}

#[test]
fn who_writes_again_in_vain_leaves_nothing_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = writer(&path);
    let first = |before, tx: Tx<'_>| match before {
        0 => tx.run(INSERT, values![1]).map(drop),
        _ => Err(on_purpose()),
    };
    let (first, second, runs) = one_behind(&writer, first, fails_behind_a_change);
    assert!(first.is_err() && second.is_err());
    assert_eq!(runs, 2);
    let other = crate::state::sqlite::connect(&path).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
}

#[test]
fn a_failure_without_a_change_leaves_the_group_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = writer(&path);
    let first = |_, tx: Tx<'_>| tx.run(INSERT, values![1]).map(drop);
    let (first, second, runs) = one_behind(&writer, first, |_| Err(on_purpose()));
    first.unwrap();
    assert!(second.is_err());
    assert_eq!((runs, held_commits(&writer)), (1, 1));
    assert_eq!(kept(&path), [1]);
}

#[test]
fn many_threads_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let writer = writer(&path);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let writer = &writer;
            scope.spawn(move || {
                for n in 0..200 {
                    let number = thread * 1000 + n;
                    let wrong = n % 10 == 9;
                    let done = writer.write(|tx| {
                        tx.run(INSERT, values![number])?;
                        if wrong {
                            return Err(StateError::Value("on purpose".into()));
                        }
                        Ok(number)
                    });
                    assert_eq!(done.is_err(), wrong);
                }
            });
        }
    });
    let good = (0..8).flat_map(|thread| (0..200).map(move |n| (thread, n)));
    let good: Vec<i64> = good
        .filter(|(_, n)| n % 10 != 9)
        .map(|(t, n)| t * 1000 + n)
        .collect();
    assert_eq!(kept(&path), good);
}
