//! Builds that a CI drops into a folder.

use crate::zuul::{AtWork, Home, until};
use jiff::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::{TempDir, tempdir};
use whorl::config::{FolderAfter, FolderComplete, FolderSource, Period};
use whorl::source::Logs;
use whorl::source::folder::Folder;

const NAME: &str = "folder";

struct Spool {
    home: TempDir,
    dropped: TempDir,
    config: FolderSource,
}

impl Spool {
    fn new() -> Self {
        let (home, spool) = (tempdir().unwrap(), tempdir().unwrap());
        let config = FolderSource::new(NAME, spool.path());
        Self {
            home,
            dropped: spool,
            config,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dropped.path().join(name)
    }

    fn open(&self) -> Home {
        Home::open(self.home.path())
    }

    fn start(&self, home: &Home) -> AtWork {
        AtWork::start(Folder::new(&self.config), home)
    }

    /// A folder without its marker.
    fn write(&self, name: &str, metadata: &str) -> PathBuf {
        let folder = self.at(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("build.json"), metadata).unwrap();
        fs::write(folder.join("console.log"), "it broke\n").unwrap();
        folder
    }

    fn drop(&self, name: &str, metadata: &str) -> PathBuf {
        let folder = self.write(name, metadata);
        fs::write(folder.join("complete"), "").unwrap();
        folder
    }
}

/// The logs were taken over, or what could be had of them.
fn taken(home: &Home, uuid: &str, problems: &[&str]) {
    let problems: Vec<String> = problems.iter().map(|one| (*one).to_owned()).collect();
    home.state
        .fetched(uuid, &problems, Timestamp::now())
        .unwrap();
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[tokio::test]
async fn a_folder_is_taken_when_it_is_complete_and_moved_when_its_logs_are_kept() {
    let spool = Spool::new();
    let home = spool.open();
    let work = spool.start(&home);
    let folder = spool.write(
        "one",
        r#"{"uuid": "u1", "job": "unit", "result": "FAILURE", "change": 7}"#,
    );
    spool.drop("two", r#"{"result": "FAILURE"}"#);
    until("the complete one is taken", || home.has("two")).await;
    assert!(!home.has("u1"), "it is still being written");
    fs::write(folder.join("complete"), "").unwrap();
    until("the other one too", || home.has("u1")).await;
    let fetch = home.desk.fetch_of("u1").await.unwrap().unwrap();
    let path = folder.display().to_string();
    assert_eq!((fetch.logs, fetch.done), (Logs::Folder { path }, false));
    assert_eq!(
        home.state
            .build("u1")
            .unwrap()
            .unwrap()
            .build
            .change
            .as_deref(),
        Some("7")
    );
    taken(&home, "two", &[]);
    until("it is moved", || {
        is_there(&spool.at("done/two/console.log"))
    })
    .await;
    assert!(is_there(&folder), "its logs are not kept yet");
    taken(&home, "u1", &["console.log: not readable"]);
    let note = spool.at("failed/one/whorl-problem.txt");
    until("it is set aside", || is_there(&note)).await;
    assert!(
        fs::read_to_string(note)
            .unwrap()
            .starts_with("console.log: not readable\n")
    );
    assert_eq!(home.announced(NAME), 2);
    work.stop().await;
}

#[tokio::test]
async fn a_restart_takes_nothing_twice_and_finds_what_came_meanwhile() {
    let mut spool = Spool::new();
    spool.config.after = FolderAfter::Delete;
    spool.drop("a", r#"{"result": "FAILURE"}"#);
    let home = spool.open();
    // Killed, not stopped.
    let work = spool.start(&home);
    until("it is taken", || home.has("a")).await;
    drop(work);
    let home = spool.open();
    spool.drop("b", r#"{"result": "FAILURE"}"#);
    let work = spool.start(&home);
    until("the other one is taken", || home.has("b")).await;
    // It is counted after it is kept.
    until("it is counted", || home.announced(NAME) == 1).await;
    taken(&home, "a", &[]);
    until("it is deleted", || !is_there(&spool.at("a"))).await;
    assert!(is_there(&spool.at("b")));
    // Another folder of the same name and build: its logs are not taken for the first ones.
    spool.drop("a", r#"{"result": "TIMED_OUT"}"#);
    let result = || home.state.build("a").unwrap().unwrap().build.result;
    until("it is taken too", || {
        result().as_deref() == Some("TIMED_OUT")
    })
    .await;
    let fetch = home.desk.fetch_of("a").await.unwrap().unwrap();
    assert!(!fetch.done);
    let Logs::Folder { path } = fetch.logs else {
        panic!()
    };
    assert!(is_there(&Path::new(&path).join("console.log")), "{path}");
    work.stop().await;
}

#[tokio::test]
async fn what_is_no_build_is_set_aside_with_a_note_and_counted() {
    let spool = Spool::new();
    let home = spool.open();
    let outside = tempdir().unwrap();
    fs::write(outside.path().join("build.json"), "{}").unwrap();
    fs::write(outside.path().join("complete"), "").unwrap();
    for (name, text, why) in [
        ("half", r#"{"uuid": "u1", "res"#, "build.json: EOF"),
        ("types", r#"{"uuid": 7}"#, "build.json: invalid type"),
        (
            "unknown",
            r#"{"colour": "red"}"#,
            "build.json: unknown field `colour`",
        ),
        (
            "leads out",
            r#"{"uuid": "../x"}"#,
            "build.json: build uuid \"../x\"",
        ),
    ] {
        spool.drop(name, text);
        let work = spool.start(&home);
        let note = spool.at("failed").join(name).join("whorl-problem.txt");
        until("it is set aside", || is_there(&note)).await;
        let note = fs::read_to_string(note).unwrap();
        assert!(note.starts_with(why), "{note}");
        work.stop().await;
    }
    fs::remove_file(spool.drop("bare", "{}").join("build.json")).unwrap();
    let link = spool.drop("linked", "{}");
    fs::remove_file(link.join("build.json")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("build.json"), link.join("build.json")).unwrap();
    std::os::unix::fs::symlink(outside.path(), spool.at("link")).unwrap();
    fs::write(spool.at("file"), "").unwrap();
    let work = spool.start(&home);
    until("these too", || {
        is_there(&spool.at("failed/linked")) && is_there(&spool.at("failed/bare"))
    })
    .await;
    until("all are counted", || home.not_understood(NAME) == 8).await;
    assert!(is_there(&spool.at("link")) && is_there(&outside.path().join("build.json")));
    // A repaired one is taken.
    let folder = spool.at("failed/half");
    fs::write(
        folder.join("build.json"),
        r#"{"uuid": "u1", "result": "FAILURE"}"#,
    )
    .unwrap();
    fs::remove_file(folder.join("whorl-problem.txt")).unwrap();
    fs::rename(folder, spool.at("half")).unwrap();
    until("it is taken", || home.has("u1")).await;
    work.stop().await;
}

#[tokio::test]
async fn a_rename_completes_a_folder_and_kept_ones_stay() {
    let mut spool = Spool::new();
    (spool.config.complete, spool.config.after) = (FolderComplete::Rename, FolderAfter::Keep);
    let home = spool.open();
    let work = spool.start(&home);
    let hidden = spool.write(".new", r#"{"uuid": "r1", "result": "FAILURE"}"#);
    spool.write("seen", r#"{"uuid": "r0", "result": "FAILURE"}"#);
    // Written elsewhere, as a whole: the one that was made in place may be taken at any time.
    until("something is taken", || {
        home.has("r0") || is_there(&spool.at("seen/whorl-problem.txt"))
    })
    .await;
    assert!(!home.has("r1"));
    fs::rename(hidden, spool.at("new")).unwrap();
    until("it is taken", || home.has("r1")).await;
    taken(&home, "r1", &[]);
    until("it is counted", || home.announced(NAME) >= 1).await;
    work.stop().await;
    let home = spool.open();
    let work = spool.start(&home);
    until("it looked", || {
        home.desk.statuses().get(NAME).is_some_and(|s| s.connected)
    })
    .await;
    work.stop().await;
    assert!(is_there(&spool.at("new")));
    assert_eq!(home.announced(NAME), 0, "it was taken before");
}

#[tokio::test]
async fn a_spool_that_is_not_there_or_made_again_and_one_with_thousands() {
    let mut spool = Spool::new();
    spool.config.path = spool.at("later");
    spool.config.every = Period(Duration::from_millis(100));
    let home = spool.open();
    let work = spool.start(&home);
    until("it is said", || home.error(NAME).is_some()).await;
    let fill = |count: usize, word: &str| {
        let made = spool.at("making");
        for n in 0..count {
            let folder = made.join(format!("{word}{n}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("build.json"), r#"{"result": "FAILURE"}"#).unwrap();
            fs::write(folder.join("complete"), "").unwrap();
        }
        fs::rename(made, spool.at("later")).unwrap();
    };
    fill(2000, "a");
    until("all are taken", || home.announced(NAME) == 2000).await;
    assert_eq!(home.error(NAME), None);
    fs::remove_dir_all(spool.at("later")).unwrap();
    fill(3, "b");
    until("the new ones too", || home.announced(NAME) == 2003).await;
    work.stop().await;
}
