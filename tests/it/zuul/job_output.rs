//! `job-output.json` among a build's logs.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::Path;
use tempfile::tempdir;
use whorl::event::{Event, FieldValue, Fields};
use whorl::intake::{BuildSummary, Format, Limits, open_path, read_all};

fn read(folder: &Path) -> (Vec<Event>, BuildSummary) {
    let limits = Limits::default();
    let inputs = open_path(folder, &limits).unwrap();
    let mut events = Vec::new();
    let summary = read_all(&inputs, &Fields::default(), &limits, &mut |event| {
        events.push(event);
    });
    (events, summary)
}

fn ours() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(root.join("fixtures/zuul/job-output.json")).unwrap()
}

#[test]
fn each_failed_task_is_an_event_that_stands_where_it_is_named() {
    let folder = tempdir().unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&ours()).unwrap();
    std::fs::write(
        folder.path().join("job-output.json.gz"),
        packed.finish().unwrap(),
    )
    .unwrap();
    std::fs::write(folder.path().join("job-output.txt"), "all of it\n").unwrap();
    let (events, summary) = read(folder.path());
    assert!(summary.complete());
    assert_eq!(summary.files[0].1.format, Format::ZuulJson);
    assert_eq!(
        (summary.files[0].1.bytes, summary.files[0].1.events),
        (ours().len() as u64, 2)
    );
    let failed = &events[1];
    assert_eq!(
        failed.message,
        "TASK [Run the tests]\nfatal: [node]: FAILED! rc=1\nnon-zero return code\n3 passed, 1 failed\n\
         OSError: [Errno 98] Address already in use"
    );
    let text = |value: &str| Some(FieldValue::text(value));
    for (name, value) in [
        ("module", text("shell")),
        ("task", text("Run the tests")),
        ("host", text("node")),
        ("rc", Some(FieldValue::Integer(1))),
        ("fatal", Some(FieldValue::Integer(1))),
        ("filename", text("job-output.json")),
        ("@timestamp", text("2026-01-02T03:04:00.5Z")),
    ] {
        assert_eq!(failed.field(name).cloned(), value, "{name}");
    }
    let own = ours();
    let at = usize::try_from(failed.at.offset).unwrap();
    let length = usize::try_from(failed.at.length).unwrap();
    let line = std::str::from_utf8(&own[at..at + length]).unwrap();
    assert_eq!(line.trim(), "\"name\": \"Run the tests\",");
    let before = own[..at].split(|byte| *byte == b'\n').count() as u64 - 1;
    assert_eq!(failed.at.line, before + 1);
}

#[test]
fn what_is_cut_or_something_else_is_read_as_text_and_told() {
    let folder = tempdir().unwrap();
    let whole = ours();
    std::fs::write(
        folder.path().join("job-output.json"),
        &whole[..whole.len() / 2],
    )
    .unwrap();
    let (events, summary) = read(folder.path());
    assert_eq!(summary.files[0].1.format, Format::Plain);
    assert_eq!(summary.bytes(), (whole.len() / 2) as u64);
    assert!(events.len() > 5);
    // A damaged archive is told as with any other file.
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&whole).unwrap();
    let packed = packed.finish().unwrap();
    let folder = tempdir().unwrap();
    std::fs::write(
        folder.path().join("job-output.json.gz"),
        &packed[..packed.len() - 20],
    )
    .unwrap();
    let (_, summary) = read(folder.path());
    assert!(!summary.complete(), "{summary:?}");
}
