//! Files that are not what was written: what is said of it, and what goes on.

use crate::serve::program::{Home, LONG, Program, until};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Instant;

/// What is done to a file or a folder, and what that is called.
type Damage = (&'static str, fn(&Path));

/// A build that ended so many days ago.
fn feed(program: &Program, uuid: &str, days: i64) {
    let at = format!("/api/v1/builds/{uuid}");
    let ended = Timestamp::now() - SignedDuration::from_hours(24 * days);
    assert_eq!(program.send("PUT", &at, r#"{"job":"unit"}"#).0, 200);
    let log = format!("boom\nneedle of {uuid}\n");
    program.log_file(uuid, "console.txt", log.as_bytes());
    let done = json!({"result": "FAILURE", "finished": ended}).to_string();
    assert_eq!(program.send("POST", &format!("{at}/complete"), done).0, 202);
    program.verdict(uuid, "matched");
}

fn events(program: &Program, word: &str) -> u64 {
    let found = program.json(&format!("/api/v1/search?q={word}"));
    found["events"].as_u64().unwrap()
}

/// Waits until the index has everything, without asking it for anything.
fn indexed(program: &Program) {
    until("it is indexed", || {
        let index = &program.json("/api/v1/status")["index"];
        (index["waiting_builds"] == 0 && index["comparing"] == false).then_some(())
    });
}

/// The slices of the index, the oldest first.
fn slices(home: &Home) -> Vec<PathBuf> {
    let all = fs::read_dir(home.data().join("index/slices")).unwrap();
    let mut all: Vec<PathBuf> = all.map(|slice| slice.unwrap().path()).collect();
    all.sort();
    all
}

fn files_of(slice: &Path, kind: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(slice)
        .unwrap()
        .map(|file| file.unwrap().path());
    let found: Vec<PathBuf> = all
        .filter(|path| path.extension().is_some_and(|e| e == kind))
        .collect();
    assert!(!found.is_empty(), "{kind}");
    found
}

/// Writes over a file from a byte on, which keeps its length.
fn overwrite(file: &Path, from: u64) {
    let length = fs::metadata(file).unwrap().len();
    let opened = fs::File::options().write(true).open(file).unwrap();
    let some = vec![0x5a; usize::try_from(length - from).unwrap()];
    opened.write_all_at(&some, from).unwrap();
}

fn truncate(file: &Path, length: u64) {
    let opened = fs::File::options().write(true).open(file).unwrap();
    opened.set_len(length).unwrap();
}

fn halve(file: &Path) {
    truncate(file, fs::metadata(file).unwrap().len() / 2);
}

/// What an operator must be told of a slice.
fn told(program: &Program, slice: &Path) {
    let page = program.get("/");
    let day = slice.file_name().unwrap().to_str().unwrap();
    for part in [
        "a damaged slice was set aside",
        day,
        "filled again from the logs",
        "can be removed",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(
        program.said("a damaged slice was set aside") || program.said("put back into the index")
    );
}

#[test]
fn damage_that_is_met_while_it_runs_is_mended_without_a_restart() {
    let home = Home::new("");
    let program = home.start();
    feed(&program, "old", 3);
    feed(&program, "new", 0);
    indexed(&program);
    let slices = slices(&home);
    assert_eq!(slices.len(), 2, "{slices:?}");
    for file in files_of(&slices[0], "store") {
        overwrite(&file, 0);
    }
    until("it is mended", || {
        // What is in other slices is found all the time.
        assert_eq!(events(&program, "new"), 1);
        (events(&program, "needle") == 2).then_some(())
    });
    told(&program, &slices[0]);
    until("it is told", || {
        program.said("put back into the index").then_some(())
    });
    assert_eq!(events(&program, "boom"), 2);
    // It takes more, for the mended day too.
    feed(&program, "more", 3);
    until("it is indexed", || {
        (events(&program, "needle") == 3).then_some(())
    });
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn slices_that_were_damaged_while_it_was_down_are_mended_and_the_others_stay() {
    let home = Home::new("");
    let mut program = home.start();
    feed(&program, "old", 3);
    feed(&program, "new", 0);
    indexed(&program);
    let damages: [Damage; 4] = [
        ("a store cut short", |slice| {
            halve(&files_of(slice, "store")[0]);
        }),
        ("an index written over", |slice| {
            overwrite(&files_of(slice, "idx")[0], 0);
        }),
        ("columns that are missing", |slice| {
            fs::remove_file(&files_of(slice, "fast")[0]).unwrap();
        }),
        ("an empty list of files", |slice| {
            truncate(&slice.join("meta.json"), 0);
        }),
    ];
    for (number, (what, damage)) in damages.into_iter().enumerate() {
        assert_eq!(program.stop(), Some(0));
        let slices = slices(&home);
        let kept = fs::metadata(slices[1].join("meta.json"))
            .unwrap()
            .modified()
            .unwrap();
        damage(&slices[0]);
        program = home.start();
        until(what, || {
            assert_eq!(events(&program, "new"), 1);
            (events(&program, "needle") == 2).then_some(())
        });
        told(&program, &slices[0]);
        let now = fs::metadata(slices[1].join("meta.json"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(now, kept, "{what}: the other slice was left as it was");
        let aside = crate::serve::program::files(&home.data().join("index/aside"));
        assert_eq!(aside.len(), number + 1, "{what}: {aside:?}");
    }
    assert_eq!(program.stop(), Some(0));
}

/// Runs the service to its end, which must come by itself.
fn refused(home: &Home) -> Output {
    let mut command = home.command();
    let mut child = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > LONG {
            child.kill().unwrap();
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// The service does not start, and its last words name the file and what to do.
fn refuses(home: &Home, what: &str, wanted: &[&str]) {
    let out = refused(home);
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{what}: {text}");
    let file = home.data().join("state.db").display().to_string();
    for part in wanted.iter().chain([&file.as_str()]) {
        assert!(text.contains(part), "{what}: {part:?} in {text}");
    }
    assert!(!text.contains("panicked"), "{what}: {text}");
}

/// A home with builds, and its stopped state.
fn with_builds() -> (Home, PathBuf) {
    let home = Home::new("");
    let program = home.start();
    for n in 0..20 {
        feed(&program, &format!("b{n}"), 0);
    }
    assert_eq!(program.stop(), Some(0));
    let file = home.data().join("state.db");
    // All of it is in the one file, as after a while.
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(raw);
    assert!(fs::metadata(&file).unwrap().len() > 100_000);
    (home, file)
}

#[test]
fn a_state_that_is_no_more_what_it_was_is_refused_with_what_to_do() {
    let (home, file) = with_builds();
    let whole = fs::read(&file).unwrap();
    let damages: [Damage; 5] = [
        ("half a file", halve),
        ("cut within a page", |file| {
            let length = fs::metadata(file).unwrap().len();
            truncate(file, length / 4096 * 4096 - 1000);
        }),
        ("hardly anything", |file| truncate(file, 100)),
        ("written over", |file| overwrite(file, 0)),
        ("written over but for its first page", |file| {
            overwrite(file, 4096);
        }),
    ];
    for (what, damage) in damages {
        damage(&file);
        let wanted = ["is damaged", "backup", "move it away", "recover"];
        refuses(&home, what, &wanted);
        fs::write(&file, &whole).unwrap();
    }
    truncate(&file, 0);
    refuses(
        &home,
        "empty",
        &[
            "is empty",
            "logs of builds",
            "backup",
            "remove it to begin anew",
        ],
    );
    // What the message says to do is possible: with the backup everything is there,
    fs::write(&file, &whole).unwrap();
    let program = home.start();
    program.verdict("b7", "matched");
    assert_eq!(program.stop(), Some(0));
    // and without one it begins anew.
    fs::remove_file(&file).unwrap();
    let program = home.start();
    assert_eq!(program.feed("b7", b"boom\n"), 202);
    program.verdict("b7", "matched");
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_state_of_a_newer_whorl_ends_the_start_and_is_left_as_it_is() {
    let (home, file) = with_builds();
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.pragma_update(None, "user_version", 999).unwrap();
    drop(raw);
    let before = fs::read(&file).unwrap();
    refuses(
        &home,
        "newer",
        &[
            "format 999",
            "use the newer whorl that wrote it, or another place",
        ],
    );
    assert!(fs::read(&file).unwrap() == before, "it was not touched");
}

/// Destroys the first page of a table.
fn overwrite_table(file: &Path, table: &str) {
    let raw = rusqlite::Connection::open(file).unwrap();
    let ask = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    let size = ask("PRAGMA page_size");
    let page = ask(&format!(
        "SELECT rootpage FROM sqlite_master WHERE name = '{table}'"
    ));
    drop(raw);
    let opened = fs::File::options().write(true).open(file).unwrap();
    let some = vec![0x5a; usize::try_from(size).unwrap()];
    let at = u64::from(page - 1) * u64::from(size);
    opened.write_all_at(&some, at).unwrap();
}

#[test]
fn what_is_left_of_a_state_that_is_partly_damaged_is_shown() {
    let (home, file) = with_builds();
    overwrite_table(&file, "evidence");
    let program = home.start();
    for n in 0..20 {
        for path in [format!("/api/v1/builds/b{n}"), format!("/builds/b{n}")] {
            let (status, text) = program.send("GET", &path, "");
            assert!(
                status == 500 && text.contains("is damaged"),
                "{path}: {status} {text}"
            );
        }
    }
    // What does not need what is gone goes on.
    assert_eq!(program.get("/healthz"), "ok\n");
    assert_eq!(program.json("/api/v1/builds?limit=1")["total"], 20);
    let found = program.json("/api/v1/search?q=needle");
    assert!(found["events"].as_u64().is_some_and(|events| events >= 20));
}
