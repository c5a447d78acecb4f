//! Tests of the fingerprint room as a library: real files, reloads, changes on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
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
        eprintln!("SKIPPED: the recorded fingerprints are not on this machine");
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

#[tokio::test]
async fn a_change_on_disk_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "1.yaml", "query: a\n");
    let library = Arc::new(Library::open(&[folder.path().to_owned()]).unwrap());
    let stop = CancellationToken::new();
    let (sender, changes) = mpsc::channel();
    let task = library
        .watch(stop.clone(), move |outcome| {
            let _ = sender.send(outcome.set.fingerprints.len());
        })
        .unwrap();
    write(folder.path(), "2.yaml", "query: b\n");
    let waiting =
        tokio::task::spawn_blocking(move || changes.recv_timeout(Duration::from_secs(20)));
    assert_eq!(waiting.await.unwrap(), Ok(2));
    stop.cancel();
    task.await.unwrap();
}

#[test]
fn a_directory_that_is_not_there_cannot_be_opened() {
    let error = Library::open(&["/nowhere/at/all".into()]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"));
}
