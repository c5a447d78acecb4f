//! Logs in zip archives, as GitHub sends them and as nobody should.

use std::fmt::Write as _;
use std::io::{Cursor, Write};
use std::process::Command;
use whorl::event::{Event, Fields};
use whorl::intake::{BuildSummary, Limits, LogInput, Problem, open_path, read_all, read_stream};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

fn packed(method: CompressionMethod, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    packed(CompressionMethod::Deflated, members)
}

/// As a server writes it that does not know the sizes beforehand: they stand behind the bytes.
fn streamed(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new_stream(Vec::new());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Replaces a text by another of the same length wherever it stands.
fn patched(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], from.as_bytes()) {
        bytes[at + found..at + found + to.len()].copy_from_slice(to.as_bytes());
        at += found + to.len();
    }
    assert!(at > 0, "{from} is not there");
    bytes
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn read_within(bytes: &[u8], limits: &Limits) -> (Vec<(String, String)>, BuildSummary) {
    let mut found = Vec::new();
    let summary = read_stream(
        "logs.zip",
        &mut &bytes[..],
        &Fields::default(),
        limits,
        &mut |event: Event| {
            let name = event.at.file.to_string();
            found.push((name, event.message.clone()));
        },
    );
    (found, summary)
}

fn read(bytes: &[u8]) -> (Vec<(String, String)>, BuildSummary) {
    read_within(bytes, &Limits::default())
}

fn said(summary: &BuildSummary) -> String {
    let mut text = String::new();
    for problem in summary.all_problems() {
        writeln!(text, "{problem}").unwrap();
    }
    text
}

fn pair(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

#[test]
fn every_log_of_a_zip_is_read() {
    let members: [(&str, &[u8]); 3] = [
        ("0_build.txt", b"one\ntwo\n"),
        ("build/1_Set up job.txt", b"three\n"),
        ("build/system.txt", b"four\n"),
    ];
    let ways = [
        zip(&members),
        packed(CompressionMethod::Stored, &members),
        streamed(&members),
    ];
    for bytes in ways {
        let (events, summary) = read(&bytes);
        assert_eq!(
            events,
            [
                pair("0_build.txt", "one"),
                pair("0_build.txt", "two"),
                pair("build/1_Set up job.txt", "three"),
                pair("build/system.txt", "four"),
            ]
        );
        assert!(summary.complete(), "{}", said(&summary));
        assert_eq!(summary.files.len(), 3);
    }
}

#[test]
fn compressed_logs_in_a_zip_and_a_compressed_zip() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"deep\n").unwrap();
    let inner = encoder.finish().unwrap();
    let bytes = zip(&[("a.txt.gz", &inner)]);
    let bytes = zstd::encode_all(&bytes[..], 1).unwrap();
    let (events, summary) = read(&bytes);
    assert_eq!(events, [pair("a.txt.gz", "deep")]);
    assert!(summary.complete());
}

#[test]
fn a_folder_with_a_zip_names_its_logs_below_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), "first\n").unwrap();
    std::fs::write(dir.path().join("b.zip"), zip(&[("x/y.txt", b"second\n")])).unwrap();
    std::fs::write(dir.path().join("tool.whl"), zip(&[("code.py", b"third\n")])).unwrap();
    let limits = Limits::default();
    let inputs = open_path(dir.path(), &limits).unwrap();
    let mut found = Vec::new();
    let summary = read_all(&inputs, &Fields::default(), &limits, &mut |event| {
        found.push(event.at.file.to_string());
    });
    assert_eq!(found, ["a.txt", "b.zip/x/y.txt"]);
    assert!(summary.complete(), "what was built is no log");
    assert!(said(&summary).contains("tool.whl: a zip archive, which is not taken apart"));
}

#[test]
fn the_only_log_of_a_zip_is_the_main_one() {
    let tags = |bytes: &[u8]| {
        let mut found = Vec::new();
        let input = bytes.to_vec();
        let one = LogInput::stream("logs.zip", move || Ok(Box::new(Cursor::new(input.clone()))));
        let limits = Limits::default();
        read_all(&[one], &Fields::default(), &limits, &mut |event| {
            found.push(format!("{:?}", event.field("tags")).contains("console"));
        });
        found
    };
    assert_eq!(tags(&zip(&[("x.txt", b"a\n")])), [true]);
    assert_eq!(
        tags(&zip(&[("x.txt", b"a\n"), ("y.txt", b"b\n")])),
        [false, false]
    );
}

#[test]
fn names_that_lead_out_are_refused_and_the_rest_is_read() {
    let bytes = zip(&[
        ("AAAAAAAAA", b"bad\n"),
        ("BBBB.txt", b"worse\n"),
        ("CCCCCC", b"worst\n"),
        ("good.txt", b"good\n"),
    ]);
    let bytes = patched(bytes, "AAAAAAAAA", "../../etc");
    let bytes = patched(bytes, "BBBB.txt", "/etc/abc");
    let bytes = patched(bytes, "CCCCCC", "C:\\a\\b");
    let (events, summary) = read(&bytes);
    assert_eq!(events, [pair("good.txt", "good")]);
    assert!(!summary.complete());
    let text = said(&summary);
    for wanted in [
        "\"../../etc\": refused, the name leads out of the log folder",
        "\"/etc/abc\": refused, the name is absolute",
        "the name is absolute",
    ] {
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(summary.problems.len(), 3, "{text}");
}

#[test]
fn two_entries_of_one_name_are_both_read() {
    let bytes = zip(&[("one.txt", b"first\n"), ("two.txt", b"second\n")]);
    let bytes = patched(bytes, "two.txt", "one.txt");
    let (events, summary) = read(&bytes);
    assert_eq!(
        events,
        [pair("one.txt", "first"), pair("one.txt", "second")]
    );
    assert!(summary.complete());
}

#[test]
fn a_bomb_is_stopped() {
    let zeros = vec![b'0'; 80 << 20];
    let bytes = zip(&[("zeros.txt", &zeros), ("after.txt", b"x\n")]);
    assert!(bytes.len() < 200_000);
    let (_, summary) = read(&bytes);
    assert!(
        matches!(
            summary.files[0].1.problems.last(),
            Some(Problem::Bomb { .. })
        ),
        "{}",
        said(&summary)
    );
    assert_eq!(summary.files.len(), 1, "nothing more is read of a bomb");
}

#[test]
fn entries_that_share_their_bytes_are_a_bomb_too() {
    let zeros = vec![b'0'; 4 << 20];
    let bytes = overlapping(&zip(&[("z.txt", &zeros)]), 1000);
    let (_, summary) = read(&bytes);
    let read: u64 = summary.bytes();
    assert!(read < 80 << 20, "{read} bytes were read");
    assert!(
        said(&summary).contains("decompression bomb"),
        "{}",
        said(&summary)
    );
}

/// The index of the archive with its one entry so many times.
fn overlapping(bytes: &[u8], times: u16) -> Vec<u8> {
    let index = find(bytes, b"PK\x01\x02").unwrap();
    let end = find(bytes, b"PK\x05\x06").unwrap();
    let mut made = bytes[..index].to_vec();
    for _ in 0..times {
        made.extend_from_slice(&bytes[index..end]);
    }
    let size = u32::try_from(made.len() - index).unwrap();
    let mut tail = bytes[end..].to_vec();
    tail[8..10].copy_from_slice(&times.to_le_bytes());
    tail[10..12].copy_from_slice(&times.to_le_bytes());
    tail[12..16].copy_from_slice(&size.to_le_bytes());
    made.extend_from_slice(&tail);
    made
}

#[test]
fn all_entries_together_are_limited() {
    let noise: Vec<u8> = (0..200_000_u32)
        .flat_map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect();
    let bytes = zip(&[("a.txt", &noise), ("b.txt", &noise), ("c.txt", &noise)]);
    let limits = Limits {
        max_bytes: noise.len() as u64 * 3 / 2,
        ..Limits::default()
    };
    let (_, summary) = read_within(&bytes, &limits);
    assert_eq!(summary.files.len(), 2);
    assert!(summary.files[0].1.complete());
    assert!(
        said(&summary).contains("b.txt: larger than the limit of"),
        "{}",
        said(&summary)
    );
}

#[test]
fn a_zip_that_ends_too_early_says_so() {
    let bytes = zip(&[("a.txt", b"first\n"), ("b.txt", b"second\n")]);
    for cut in [5, 30, bytes.len() / 2, bytes.len() - 1] {
        let (_, summary) = read(&bytes[..cut]);
        assert!(!summary.complete(), "cut at {cut}");
        assert!(
            said(&summary).contains("logs.zip: ends too early"),
            "{}",
            said(&summary)
        );
    }
}

#[test]
fn a_damaged_entry_is_told_and_the_others_are_read() {
    let bytes = packed(
        CompressionMethod::Stored,
        &[("a.txt", b"first\n"), ("b.txt", b"second\n")],
    );
    let bytes = patched(bytes, "first", "fIrst");
    let (events, summary) = read(&bytes);
    assert_eq!(events.last(), Some(&pair("b.txt", "second")));
    assert!(!summary.complete());
    let text = said(&summary);
    assert!(
        text.contains("a.txt: damaged after") && text.contains("checksum"),
        "{text}"
    );
}

#[test]
fn an_encrypted_entry_is_told_and_the_others_are_read() {
    let mut bytes = zip(&[("a.txt", b"first\n"), ("b.txt", b"second\n")]);
    bytes[6] |= 1;
    let index = find(&bytes, b"PK\x01\x02").unwrap();
    bytes[index + 8] |= 1;
    let (events, summary) = read(&bytes);
    assert_eq!(events, [pair("b.txt", "second")]);
    assert!(
        said(&summary).contains("a.txt: cannot be read: encrypted"),
        "{}",
        said(&summary)
    );
    assert!(!summary.complete());
}

#[test]
fn a_method_that_is_not_known_is_told() {
    let mut bytes = packed(CompressionMethod::Stored, &[("a.txt", b"first\n")]);
    bytes[8] = 99;
    let index = find(&bytes, b"PK\x01\x02").unwrap();
    bytes[index + 10] = 98;
    let (_, summary) = read(&bytes);
    assert!(
        said(&summary).contains("a.txt: cannot be read: packed by"),
        "{}",
        said(&summary)
    );
}

#[test]
fn thousands_of_entries_are_read_up_to_the_limit() {
    let names: Vec<String> = (0..5000).map(|n| format!("d/{n}.txt")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x\n"[..])).collect();
    let bytes = packed(CompressionMethod::Stored, &members);
    let (events, summary) = read(&bytes);
    assert_eq!((events.len(), summary.complete()), (5000, true));
    let limits = Limits {
        max_files: 1000,
        ..Limits::default()
    };
    let (events, summary) = read_within(&bytes, &limits);
    assert_eq!(events.len(), 1000);
    assert_eq!(summary.problems, [Problem::TooManyFiles { limit: 1000 }]);
}

#[test]
fn an_archive_in_an_archive_is_not_read_as_text() {
    let inner = zip(&[("a.txt", b"first\n")]);
    let (events, summary) = read(&zip(&[("inner.zip", &inner), ("b.txt", b"second\n")]));
    assert_eq!(events, [pair("b.txt", "second")]);
    assert!(said(&summary).contains("inner.zip: a zip archive, which is not taken apart"));
}

#[test]
fn an_empty_zip_holds_no_log() {
    let (events, summary) = read(&zip(&[]));
    assert!(events.is_empty() && summary.is_empty());
}

#[test]
fn nonsense_in_a_zip_never_panics() {
    let good = zip(&[
        ("a.txt", b"first line of the log\n"),
        ("b.txt", b"second\n"),
    ]);
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            // What comes of it differs; that it ends is what counts.
            let _ = read(&bytes);
        }
    }
}

#[test]
fn the_program_takes_a_zip() {
    let dir = tempfile::tempdir().unwrap();
    let log = b"one\nbind: Address already in use\n";
    let file = dir.path().join("logs.zip");
    std::fs::write(&file, zip(&[("job/1_run.txt", log), ("0_job.txt", b"x\n")])).unwrap();
    let rules = tempfile::tempdir().unwrap();
    std::fs::write(
        rules.path().join("port-taken.yaml"),
        "title: Port taken\nquery: message:\"Address already in use\"\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_whorl"))
        .args(["classify", "--format", "json", "--queries"])
        .arg(rules.path())
        .arg(&file)
        .output()
        .unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{answer}");
    assert_eq!(answer["matches"][0]["evidence"][0]["file"], "job/1_run.txt");
    assert_eq!(answer["matches"][0]["evidence"][0]["line"], 2);
}

#[test]
fn the_service_takes_a_zip() {
    let home = crate::serve::program::Home::new("");
    let program = home.start();
    let at = "/api/v1/builds/u1";
    assert_eq!(program.send("PUT", at, r#"{"job":"unit"}"#).0, 200);
    let logs = streamed(&[("0_job.txt", b"x\n"), ("job/1_run.txt", b"one\nboom\n")]);
    program.log_file("u1", "logs.zip", &logs);
    let done = format!("{at}/complete");
    assert_eq!(
        program.send("POST", &done, r#"{"result":"FAILURE"}"#).0,
        202
    );
    let build = program.verdict("u1", "matched");
    let evidence = &build["matches"][0]["evidence"][0];
    assert_eq!(
        (&evidence["file"], &evidence["line"]),
        (&"job/1_run.txt".into(), &2.into())
    );
    // One that came cut off is sent again, and the verdict follows.
    assert_eq!(
        program
            .send("PUT", "/api/v1/builds/u2", r#"{"job":"unit"}"#)
            .0,
        200
    );
    program.log_file("u2", "logs.zip", &logs[..logs.len() / 2]);
    let done = "/api/v1/builds/u2/complete";
    assert_eq!(program.send("POST", done, r#"{"result":"FAILURE"}"#).0, 202);
    program.verdict("u2", "partial-log");
    program.log_file("u2", "logs.zip", &logs);
    program.verdict("u2", "matched");
}
