//! A hundred thousand files in one build, in a folder and in archives.

use super::{BUG, Classify, SERVICE, bounded, eventually, member, peak, sized};
use crate::serve::program::Home;
use std::fs;
use std::io::Write;
use std::path::Path;

const FILES: usize = 100_000;
/// Files of a build that are read.
const READ: u64 = 10_000;

fn limited(ran: &super::Ran) {
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(ran.json["verdict"], "partial-log");
    assert_eq!(ran.json["stats"]["files"], READ);
    let told = "more than 10000 log files; the others were not read";
    assert_eq!(ran.err.matches(told).count(), 1, "{}", ran.err);
    ran.small();
}

/// Files that are one on the disk: a file system takes 65,000 names of each.
fn many_files(dir: &Path, name: impl Fn(usize) -> String) {
    let mut first = Path::new("").to_owned();
    for number in 0..FILES {
        let path = dir.join(name(number));
        if number % 100 == 0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        if number % 20_000 == 0 {
            fs::write(&path, "an ordinary line\n").unwrap();
            first = path;
        } else {
            fs::hard_link(&first, path).unwrap();
        }
    }
}

#[test]
fn a_hundred_thousand_files_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    many_files(dir.path(), |n| {
        format!("logs/{:03}/host-{n:06}.log", n / 100)
    });
    fs::write(dir.path().join("console.txt"), BUG).unwrap();
    let ran = Classify::of(dir.path());
    limited(&ran);
    assert_eq!(ran.place(), ("console.txt".into(), 1));
}

#[test]
fn a_hundred_thousand_links_that_lead_out_take_no_more_room_than_files() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("console.txt"), BUG).unwrap();
    for number in 0..FILES {
        let link = logs.join(format!("link-{number:06}"));
        std::os::unix::fs::symlink("/etc/hostname", link).unwrap();
    }
    let ran = Classify::of(&logs);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(ran.place(), ("console.txt".into(), 1));
    assert!(ran.err.contains("a link that leads out"), "{}", ran.err);
    // A thousand, and how many there are besides.
    assert!(
        ran.err.lines().count() < 1010,
        "{}",
        ran.err.lines().count()
    );
    let told = "9000 more problems of files and archives";
    assert!(ran.err.contains(told), "{}", ran.err);
    ran.small();
}

/// An archive of so many members, compressed while it is made.
fn archive(name: impl Fn(usize) -> String) -> Vec<u8> {
    let mut out = zstd::Encoder::new(Vec::new(), 1).unwrap();
    member(&mut out, "console.txt", BUG.as_bytes()).unwrap();
    for number in 0..FILES {
        // Not so much alike that it looks like a bomb.
        let mut line = Vec::new();
        let mut seed = u32::try_from(number).unwrap() + 1;
        for _ in 0..4 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            write!(line, "{seed:x} ").unwrap();
        }
        line.push(b'\n');
        member(&mut out, &name(number), &line).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
    out.finish().unwrap()
}

#[test]
fn a_hundred_thousand_files_in_an_archive() {
    let packed = archive(|n| format!("logs/{:03}/host-{n:06}.log", n / 100));
    // It has stopped reading before the end.
    let ran = Classify::piped(move |stdin| drop(stdin.write_all(&packed)));
    limited(&ran);
    assert_eq!(ran.place(), ("console.txt".into(), 1));
}

#[test]
fn a_hundred_thousand_bad_names_in_an_archive_are_told_within_reason() {
    let packed = archive(|n| format!("../../{n:06}.log"));
    let ran = Classify::piped(move |stdin| drop(stdin.write_all(&packed)));
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(ran.place(), ("console.txt".into(), 1));
    let told = "the name leads out of the log folder; rename the file";
    assert_eq!(ran.err.matches(told).count(), 1000);
    assert!(ran.err.contains("more problems of files"), "{}", ran.err);
    ran.small();
}

#[test]
fn a_build_of_a_hundred_thousand_files_keeps_nobody_from_the_service() {
    let packed = archive(|n| format!("logs/{:03}/host-{n:06}.log", n / 100));
    let home = Home::new("");
    let program = home.start();
    assert_eq!(program.feed("first", BUG.as_bytes()), 202);
    program.verdict("first", "matched");
    let before = peak(program.pid()).unwrap();
    assert_eq!(program.send("PUT", "/api/v1/builds/many", "{}").0, 200);
    program.log_file("many", "logs.tar.zst", &packed);
    let done = r#"{"result":"FAILURE"}"#;
    let (status, text) = program.send("POST", "/api/v1/builds/many/complete", done);
    assert_eq!(status, 202, "{text}");
    assert_eq!(program.feed("other", BUG.as_bytes()), 202);
    program.verdict("other", "matched");
    let build = eventually("it has its verdict", || {
        let build = program.build("many");
        (build["verdict"] == "partial-log").then_some(build)
    });
    assert_eq!(build["matches"][0]["fingerprint"], "boom", "{build}");
    let told = "more than 10000 log files; the others were not read";
    assert_eq!(build.to_string().matches(told).count(), 1, "{build}");
    bounded(before, peak(program.pid()).unwrap(), SERVICE);
}

#[test]
fn a_zip_that_is_all_beginnings_of_lists_takes_no_memory() {
    const BEGINNINGS: usize = 15 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend(b"PK\x01\x02".repeat(BEGINNINGS));
    // One entry in a list of eight bytes, which is not where it should be: right before this.
    zip.extend(b"..PK\x05\x06\0\0\0\0\x01\0\x01\0\x08\0\0\0\0\0\0\0\0\0");
    let file = fs::File::create(dir.path().join("logs.zip.gz")).unwrap();
    // Not packed, or it would be a bomb.
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::none());
    packed.write_all(&zip).unwrap();
    packed.finish().unwrap();
    drop(zip);
    fs::write(dir.path().join("console.txt"), BUG).unwrap();
    let ran = Classify::of(dir.path());
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(ran.place(), ("console.txt".into(), 1));
    assert!(ran.err.contains("logs.zip.gz"), "{}", ran.err);
    ran.small();
}

/// Members of an object or a list.
fn of_a_job(member: &str, count: usize) -> String {
    let mut all = format!("{member},").repeat(count);
    all.pop();
    all
}

#[test]
fn a_job_output_of_many_small_values_takes_no_memory() {
    let size = usize::try_from(sized(30 << 20, 8 << 20)).unwrap();
    let many = |member: &str| of_a_job(member, size / (member.len() + 1));
    let tasks =
        |tasks: &str| format!(r#"[{{"plays":[{{"tasks":[{tasks}],"play":{{}}}}],"phase":"run"}}]"#);
    let lost = r#""":{"failed":true}"#;
    let shapes = [
        tasks(&many(r#"{"":0}"#)),
        tasks(&many("0")),
        tasks(&format!(
            r#"{{"hosts":{{{}}}}}"#,
            many(r#""":{"failed":0}"#)
        )),
        tasks(&format!(r#"{{"hosts":{{{}}}}}"#, many(lost))),
        tasks(&format!(
            r#"{{"hosts":{{"a":{{"failed":true,"results":[{}]}}}}}}"#,
            many("{}")
        )),
        format!("[{}]", many(r#"{"plays":[]}"#)),
        format!(
            r#"[{{"playbook":"{}","plays":[{{"tasks":[{{"hosts":{{{}}}}}]}}]}}]"#,
            "x".repeat(size),
            of_a_job(lost, 2_000)
        ),
        format!(
            r#"[{{"plays":[{{"tasks":[{{"hosts":{{{lost}}}}}]}}],"stats":{{{}}}}}]"#,
            many(r#""":{"failures":1}"#)
        ),
        tasks(&format!(
            r#"{{"hosts":{{"a":{{"failed":true,"msg":"{}"}}}}}}"#,
            "\\n".repeat(size / 2)
        )),
        format!(r#"[{{"{}":[],"plays":[]}}]"#, "\\\"".repeat(size / 2)),
    ];
    for shape in shapes {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("job-output.json"), &shape).unwrap();
        fs::write(dir.path().join("console.txt"), BUG).unwrap();
        let ran = Classify::of(dir.path());
        let begin = &shape[..80];
        assert_eq!(ran.code, 0, "{begin}: {}", ran.err);
        assert_eq!(ran.place(), ("console.txt".into(), 1), "{begin}");
        ran.small();
    }
}
