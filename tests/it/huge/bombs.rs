//! Bombs, alone and together, in the program and in the service.

use super::{BUG, Classify, Ran, SERVICE, bounded, eventually, gzip_of, member, peak, zstd_of};
use crate::serve::program::{Home, Program, gzip};
use std::fs;
use std::io::Write;

/// What one file may give before it can be a bomb, and a little less of it.
const HARMLESS: u64 = 63 << 20;
const TOGETHER: &str = "the logs together look like a decompression bomb";

/// A tar of logs that are compressed, each of them harmless.
fn tar_of(log: &[u8], times: usize) -> Vec<u8> {
    let mut out = Vec::new();
    member(&mut out, "console.txt", BUG.as_bytes()).unwrap();
    for number in 0..times {
        member(&mut out, &format!("log-{number:05}.txt.gz"), log).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
    out
}

fn zip_of(log: &[u8], times: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("console.txt", stored).unwrap();
    zip.write_all(BUG.as_bytes()).unwrap();
    for number in 0..times {
        zip.start_file(format!("log-{number:05}.txt.gz"), stored)
            .unwrap();
        zip.write_all(log).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// It was stopped soon, and the log before the bomb was read.
fn stopped(ran: &Ran, told: &str) {
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(ran.json["verdict"], "partial-log");
    assert!(ran.err.contains(told), "{}", ran.err);
    let read = ran.json["stats"]["bytes"].as_u64().unwrap();
    assert!(read < 4 * (HARMLESS + (1 << 20)), "{read} bytes were read");
    ran.small();
}

#[test]
fn logs_that_are_harmless_alone_are_a_bomb_together() {
    // All of them would be 18 GB.
    let log = gzip_of(b' ', HARMLESS);
    for packed in [gzip(&tar_of(&log, 300)), zip_of(&log, 300)] {
        let ran = Classify::piped(move |stdin| drop(stdin.write_all(&packed)));
        assert_eq!(ran.place(), ("console.txt".into(), 1));
        stopped(&ran, TOGETHER);
    }
}

#[test]
fn a_folder_of_logs_that_are_harmless_alone_is_a_bomb_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = gzip_of(b' ', HARMLESS);
    fs::write(dir.path().join("console.txt"), BUG).unwrap();
    for number in 0..200 {
        fs::write(dir.path().join(format!("log-{number:05}.gz")), &log).unwrap();
    }
    let ran = Classify::of(dir.path());
    assert_eq!(ran.place(), ("console.txt".into(), 1));
    assert_eq!(ran.err.matches(TOGETHER).count(), 1, "{}", ran.err);
    stopped(&ran, TOGETHER);
}

#[test]
fn a_bomb_in_a_bomb_in_a_bomb_is_stopped_at_the_outermost() {
    let inner = gzip(&gzip_of(0, 256 << 20));
    let ran = Classify::piped(move |stdin| drop(stdin.write_all(&inner)));
    stopped(&ran, "stdin: looks like a decompression bomb");
    let inner = zstd::encode_all(gzip(&zstd_of(0, 256 << 20)).as_slice(), 3).unwrap();
    let ran = Classify::piped(move |stdin| drop(stdin.write_all(&inner)));
    stopped(&ran, "stdin: looks like a decompression bomb");
}

#[test]
fn a_zstd_file_that_asks_for_gigabytes_of_memory_gets_none() {
    // A frame with a window of 2 GiB, and one raw block that is its last.
    let log = [
        b"\x28\xb5\x2f\xfd\x00\xa8",
        b"\x29\x00\x00".as_slice(),
        b"boom\n",
    ]
    .concat();
    let ran = Classify::piped(move |stdin| stdin.write_all(&log).unwrap());
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("stdin: damaged"), "{}", ran.err);
    ran.small();
}

/// Sends a log that was packed and completes its build.
fn send(program: &Program, uuid: &str, name: &str, bytes: &[u8]) {
    program.log_file(uuid, name, bytes);
    let path = format!("/api/v1/builds/{uuid}/complete");
    let (status, text) = program.send("POST", &path, r#"{"result":"FAILURE"}"#);
    assert_eq!(status, 202, "{text}");
}

#[test]
fn bombs_keep_the_service_neither_from_others_nor_from_its_memory() {
    let home = Home::new("");
    let program = home.start();
    assert_eq!(program.feed("first", b"boom\n"), 202);
    program.verdict("first", "matched");
    eventually("it can be searched", || {
        let found = program.json("/api/v1/search?q=message:boom");
        (found["events"] == 1).then_some(())
    });
    let before = peak(program.pid()).unwrap();
    let log = gzip_of(b' ', HARMLESS);
    let bombs = [
        ("gz", "a.txt.gz", gzip_of(b' ', 128 << 20)),
        ("zst", "a.txt.zst", zstd_of(b' ', 128 << 20)),
        ("tar", "logs.tar", tar_of(&log, 300)),
    ];
    for (uuid, name, bytes) in &bombs {
        send(&program, uuid, name, bytes);
    }
    // It is behind all of them.
    assert_eq!(program.feed("beside", b"boom\n"), 202);
    eventually("others get their verdict", || {
        program.get("/healthz");
        Some(program.build("beside")).filter(|build| build["verdict"] == "matched")
    });
    for (uuid, _, _) in &bombs {
        let build = eventually("a verdict of a bomb", || {
            Some(program.build(uuid)).filter(|build| build["verdict"] == "partial-log")
        });
        let told = build["problems"].to_string();
        assert!(told.contains("decompression bomb"), "{uuid}: {told}");
    }
    // The index has read them too.
    eventually("all are indexed", || {
        let status = program.json("/api/v1/status");
        (status["index"]["waiting_builds"] == 0).then_some(())
    });
    bounded(before, peak(program.pid()).unwrap(), SERVICE);
}
