//! Tests of the fingerprint room as a library: real files, reloads, changes on disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use whorl::fingerprint::{FingerprintSet, Library, lint};

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn ids(set: &FingerprintSet) -> Vec<&str> {
    set.fingerprints.iter().map(|f| f.id.as_str()).collect()
}

#[test]
fn every_real_fingerprint_loads_and_few_are_warned_about() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance/fingerprints");
    if !folder.is_dir() {
        crate::skip("the recorded fingerprints are not on this machine");
        return;
    }
    let set = FingerprintSet::load(std::slice::from_ref(&folder));
    assert_eq!(set.diagnostics, []);
    assert_eq!((set.files, set.fingerprints.len()), (644, 644));
    let report = lint(&[folder]);
    assert!(!report.has_errors());
    let mut codes = std::collections::BTreeMap::new();
    for found in &report.diagnostics {
        *codes.entry(found.code).or_insert(0) += 1;
    }
    eprintln!("warnings on real fingerprints: {codes:?}");
    assert!(report.diagnostics.len() < 100, "{codes:?}");
}

#[test]
fn the_version_does_not_depend_on_where_the_files_are() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let load = |f: &tempfile::TempDir| FingerprintSet::load(&[f.path().to_owned()]);
    for folder in &folders {
        write(folder.path(), "1.yaml", "query: a\n");
        write(folder.path(), ".hidden.yaml", "nonsense: [");
    }
    assert_eq!(load(&folders[0]).version, load(&folders[1]).version);
    assert_eq!(load(&folders[0]).version.len(), 16);
    write(folders[1].path(), "1.yaml", "query: b\n");
    assert_ne!(load(&folders[0]).version, load(&folders[1]).version);
}

#[test]
fn the_second_use_of_an_id_is_an_error() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let roots: Vec<PathBuf> = folders.iter().map(|f| f.path().to_owned()).collect();
    write(&roots[0], "1.yaml", "query: a\n");
    write(&roots[1], "1.yml", "query: b\n");
    let set = FingerprintSet::load(&roots);
    assert_eq!(ids(&set), ["1"]);
    assert_eq!(set.diagnostics[0].code, "duplicate-id");
    assert!(set.fingerprints[0].file.starts_with(&roots[0]));
}

#[test]
fn the_last_good_form_stays_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("queries");
    std::fs::create_dir(&root).unwrap();
    write(&root, "1.yaml", "query: a\n");
    write(&root, "2.yaml", "query: b\n");
    let library = Library::open(std::slice::from_ref(&root)).unwrap();
    let version = library.current().version.clone();
    write(&root, "2.yaml", "query: (\n");
    let outcome = library.reload();
    assert_eq!(outcome.kept, ["2"]);
    assert_eq!(ids(&outcome.set), ["1", "2"]);
    assert_eq!(outcome.set.version, version);
    assert_eq!(outcome.set.diagnostics[0].code, "bad-query");
    std::fs::remove_dir_all(&root).unwrap();
    let outcome = library.reload();
    assert_eq!(ids(&outcome.set), ["1", "2"]);
    assert_eq!(outcome.set.diagnostics[0].code, "missing-directory");
}

/// A library under watch, and the ids in force after each change.
struct Watched {
    library: Arc<Library>,
    changes: mpsc::Receiver<Vec<String>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn new(root: &Path) -> Self {
        let library = Arc::new(Library::open(&[root.to_owned()]).unwrap());
        let stop = CancellationToken::new();
        let (sender, changes) = mpsc::channel();
        let task = library
            .watch(stop.clone(), move |outcome| {
                let ids = outcome.set.fingerprints.iter().map(|f| f.id.clone());
                let _ = sender.send(ids.collect());
            })
            .unwrap();
        Self {
            library,
            changes,
            stop,
            task,
        }
    }

    /// Waits until the set in force is as wanted.
    fn until(&self, what: &str, holds: impl Fn(&FingerprintSet) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds(&self.library.current()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let news = self.changes.recv_timeout(left);
            assert!(
                news.is_ok() || holds(&self.library.current()),
                "{what}: still {:?}",
                ids(&self.library.current())
            );
        }
    }

    fn until_ids(&self, what: &str, wanted: &[&str]) {
        self.until(what, |set| ids(set) == wanted && set.diagnostics.is_empty());
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .expect("the watch ends when told to")
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_disk_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "1.yaml", "query: a\n");
    let watched = Watched::new(folder.path());
    write(folder.path(), "2.yaml", "query: b\n");
    watched.until_ids("a new file", &["1", "2"]);
    // As editors save: another file is written and takes the place of the old one.
    write(folder.path(), ".1.yaml.swp", "query: c\n");
    let before = watched.library.current().version.clone();
    std::fs::rename(
        folder.path().join(".1.yaml.swp"),
        folder.path().join("1.yaml"),
    )
    .unwrap();
    watched.until("a rename", |set| set.version != before);
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    write(&folder.path().join("a/b"), "3.yaml", "query: d\n");
    watched.until_ids("a new folder", &["1", "2", "3"]);
    write(&folder.path().join("a/b"), "3.yaml", "query: (\n");
    watched.until("a broken file", |set| {
        ids(set) == ["1", "2", "3"] && set.diagnostics.len() == 1
    });
    std::fs::remove_dir_all(folder.path().join("a")).unwrap();
    watched.until_ids("a folder removed", &["1", "2"]);
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_was_deleted_and_made_again_is_watched_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("queries");
    std::fs::create_dir(&root).unwrap();
    write(&root, "1.yaml", "query: a\n");
    let watched = Watched::new(&root);
    // In one step: a look while file after file goes would rightly see a root without files.
    let gone = folder.path().join("gone");
    std::fs::rename(&root, &gone).unwrap();
    std::fs::remove_dir_all(&gone).unwrap();
    watched.until("the root is gone", |set| {
        ids(set) == ["1"]
            && set
                .diagnostics
                .iter()
                .any(|d| d.code == "missing-directory")
    });
    std::fs::create_dir(&root).unwrap();
    write(&root, "2.yaml", "query: b\n");
    watched.until_ids("the root is back", &["2"]);
    write(&root, "3.yaml", "query: c\n");
    watched.until_ids("it is watched again", &["2", "3"]);
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_points_elsewhere_now_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, file) in [("v1", "1.yaml"), ("v2", "2.yaml"), ("v3", "3.yaml")] {
        std::fs::create_dir_all(at(version).join("queries")).unwrap();
        write(&at(version).join("queries"), file, "query: a\n");
    }
    let swap = |target: &str| {
        symlink(target, at("next")).unwrap();
        std::fs::rename(at("next"), at("current")).unwrap();
    };
    swap("v1");
    // The link is above the root, as in a checkout that is exchanged whole.
    let watched = Watched::new(&at("current/queries"));
    assert_eq!(ids(&watched.library.current()), ["1"]);
    swap("v2");
    watched.until_ids("the first swap", &["2"]);
    swap("v3");
    watched.until_ids("the second swap", &["3"]);
    write(&at("v3/queries"), "4.yaml", "query: b\n");
    watched.until_ids("behind the link", &["3", "4"]);
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_volume_is_exchanged_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (version, query) in [("..2026_1", "a"), ("..2026_2", "b")] {
        std::fs::create_dir(root.join(version)).unwrap();
        write(&root.join(version), "1.yaml", &format!("query: {query}\n"));
    }
    symlink("..2026_1", root.join("..data")).unwrap();
    symlink("..data/1.yaml", root.join("1.yaml")).unwrap();
    let watched = Watched::new(root);
    assert_eq!(ids(&watched.library.current()), ["1"]);
    let before = watched.library.current().version.clone();
    symlink("..2026_2", root.join("..data_tmp")).unwrap();
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    watched.until("the swap", |set| set.version != before);
    assert_eq!(ids(&watched.library.current()), ["1"]);
    watched.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_never_rests_is_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "1.yaml", "query: a\n");
    let watched = Watched::new(folder.path());
    let busy = Arc::new(AtomicBool::new(true));
    let written = Arc::new(AtomicU64::new(0));
    let (go_on, count) = (Arc::clone(&busy), Arc::clone(&written));
    let noisy = folder.path().join("noise.tmp");
    let noise = std::thread::spawn(move || {
        while go_on.load(Ordering::Relaxed) {
            let number = count.fetch_add(1, Ordering::Relaxed);
            std::fs::write(&noisy, number.to_string()).unwrap();
        }
    });
    write(folder.path(), "2.yaml", "query: b\n");
    watched.until_ids("beside the noise", &["1", "2"]);
    // The first look is at once; this one has to be made in spite of the noise.
    let before = written.load(Ordering::Relaxed);
    write(folder.path(), "3.yaml", "query: c\n");
    watched.until_ids("beside the noise again", &["1", "2", "3"]);
    let meanwhile = written.load(Ordering::Relaxed) - before;
    busy.store(false, Ordering::Relaxed);
    noise.join().unwrap();
    assert!(meanwhile > 100, "the noise went on: {meanwhile}");
    watched.end().await;
}

#[test]
fn the_earlier_root_keeps_an_id_while_its_file_is_broken() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let roots: Vec<PathBuf> = folders.iter().map(|f| f.path().to_owned()).collect();
    write(&roots[0], "1.yaml", "query: a\n");
    write(&roots[1], "1.yaml", "query: b\n");
    let library = Library::open(&roots).unwrap();
    let version = library.current().version.clone();
    write(&roots[0], "1.yaml", "query: (\n");
    let set = library.reload().set;
    assert_eq!(
        set.version, version,
        "still the first root's last good form"
    );
    assert!(set.fingerprints[0].file.starts_with(&roots[0]));
    let codes: Vec<_> = set.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["bad-query", "duplicate-id"]);
    std::fs::remove_file(roots[0].join("1.yaml")).unwrap();
    let set = library.reload().set;
    assert!(set.fingerprints[0].file.starts_with(&roots[1]));
    assert_eq!(set.diagnostics, []);
}

#[test]
fn every_change_gives_another_version_and_nothing_else_does() {
    let version = |files: &[(&str, &str)], swapped: bool| {
        let folder = tempfile::tempdir().unwrap();
        let mut roots = Vec::new();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let root = folder.path().join(name.split('/').next().unwrap());
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        if swapped {
            roots.reverse();
        }
        FingerprintSet::load(&roots).version
    };
    let files = [
        ("x/1.yaml", "query: a\n"),
        ("x/2.yaml", "query: b\n"),
        ("y/3.yaml", "query: c\n"),
    ];
    let first = version(&files, false);
    let again: Vec<_> = files.iter().rev().copied().collect();
    assert_eq!(version(&again, false), first, "written in another order");
    assert_eq!(version(&files, true), first, "roots in another order");
    let changed = [
        [("x/1.yaml", "query: A\n"), files[1], files[2]].to_vec(),
        [("x/4.yaml", "query: a\n"), files[1], files[2]].to_vec(),
        [("x/1.yaml", "query: a\ntitle: t\n"), files[1], files[2]].to_vec(),
        [
            ("x/1.yaml", "query: b\n"),
            ("x/2.yaml", "query: a\n"),
            files[2],
        ]
        .to_vec(),
        files[..2].to_vec(),
    ];
    let mut seen = std::collections::BTreeSet::from([first]);
    for files in changed {
        assert!(seen.insert(version(&files, false)), "{files:?}");
    }
}

#[test]
fn every_key_of_the_predecessor_is_understood_as_python_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# a comment\nquery: >\n  message:\"a  b\" AND\n    tags:\"console\"\n\
                suppress-graph: yes\nsuppress-notification: True\nallow-nonvoting: on\n\
                resolved_at: \"Fri Feb  7 17:06:16 PST 2014\"\ntest_ids:\n  - a.b.c\n";
    write(folder.path(), "1226337.yaml", text);
    write(folder.path(), "7.yaml", "query: 404\nsuppress-graph: no\n");
    let set = FingerprintSet::load(&[folder.path().to_owned()]);
    assert_eq!(set.diagnostics, []);
    let found = &set.fingerprints[0];
    assert_eq!(found.bug.name, "launchpad:1226337");
    assert!(found.suppress_graph && found.suppress_notification && found.allow_nonvoting);
    assert_eq!(
        found.resolved_at.unwrap().to_string(),
        "2014-02-08T01:06:16Z"
    );
    assert_eq!(found.test_ids, ["a.b.c"]);
    assert!(!set.fingerprints[1].suppress_graph);
    let report = lint(&[folder.path().to_owned()]);
    let codes: Vec<_> = report.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["test-ids-need-results"]);
}

#[test]
fn every_suggestion_about_a_real_fingerprint_is_a_query_that_lint_accepts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance/fingerprints");
    if !folder.is_dir() {
        crate::skip("the recorded fingerprints are not on this machine");
        return;
    }
    let mut tried = 0;
    for found in lint(&[folder]).diagnostics {
        if ["same-meaning", "test-ids-need-results"].contains(&found.code) {
            continue;
        }
        let suggestion = found.suggestion.expect("a rewrite");
        let again = tempfile::tempdir().unwrap();
        let text = format!("query: {}\n", serde_json::to_string(&suggestion).unwrap());
        write(again.path(), "1.yaml", &text);
        assert_eq!(
            lint(&[again.path().to_owned()]).diagnostics,
            [],
            "{suggestion}"
        );
        tried += 1;
    }
    assert!(tried > 5, "{tried}");
}

#[test]
fn a_directory_that_is_not_there_cannot_be_opened() {
    let error = Library::open(&["/nowhere/at/all".into()]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"));
}
