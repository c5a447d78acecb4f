//! Logs that are broken, hostile or not there.

use super::{Ran, classify, classify_input, fingerprint, gzip, path, whorl};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

const PHRASE: &str = "bind: Address already in use\n";

/// Text that does not compress to nothing, with the phrase in its first line.
fn noise(lines: u32) -> Vec<u8> {
    let mut text = PHRASE.as_bytes().to_vec();
    let mut seed = 1_u32;
    for n in 0..lines {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        writeln!(text, "line {n} {seed:x}").unwrap();
    }
    text
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // The builder refuses bad names, so they are written by hand.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A member whose name stands in an extended header before it.
fn pax(name: &[u8], bytes: &[u8]) -> Vec<u8> {
    let record = [b"path=", name, b"\n"].concat();
    let mut length = record.len() + 3;
    while length != record.len() + 1 + length.to_string().len() {
        length = record.len() + 1 + length.to_string().len();
    }
    let body = [format!("{length} ").as_bytes(), &record].concat();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(body.len() as u64);
    header.set_cksum();
    builder.append(&header, body.as_slice()).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.as_old_mut().name[..5].copy_from_slice(b"short");
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
    builder.into_inner().unwrap()
}

fn partial(ran: &Ran) {
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert_eq!(ran.json()["verdict"], "partial-log");
    assert!(!ran.json()["problems"].as_array().unwrap().is_empty());
}

// --- compression ---------------------------------------------------------------------------

#[test]
fn of_a_truncated_log_what_could_be_read_is_classified() {
    let text = noise(50_000);
    let packed = [gzip(&text), zstd::encode_all(text.as_slice(), 1).unwrap()];
    for bytes in packed {
        let cut = &bytes[..bytes.len() / 2];
        let ran = classify_input(cut, &["-", "--format", "json"]);
        partial(&ran);
        assert_eq!(ran.matched(), ["port-taken"]);
        assert!(ran.json()["stats"]["lines"].as_u64().unwrap() > 10_000);
        assert!(
            ran.err.contains("stdin: ends too early; the first "),
            "{}",
            ran.err
        );
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("job.txt.gz"), cut).unwrap();
        let ran = classify(&[path(dir.path()), "--format", "json"]);
        partial(&ran);
        assert_eq!(ran.matched(), ["port-taken"]);
    }
}

#[test]
fn a_truncated_archive_says_so_once() {
    let bytes = gzip(&tar(&[("a.txt", &noise(10)), ("b.txt", &noise(50_000))]));
    let ran = classify_input(&bytes[..bytes.len() / 2], &["-", "--format", "json"]);
    partial(&ran);
    assert_eq!(ran.json()["stats"]["files"], 2);
    let told: Vec<&str> = ran
        .err
        .lines()
        .filter(|l| l.contains("ends too early"))
        .collect();
    assert_eq!((told.len(), ran.err.lines().count()), (1, 1), "{}", ran.err);
    assert!(told[0].starts_with("warning: b.txt: "), "{}", ran.err);
}

#[test]
fn bombs_are_stopped_and_marked() {
    let start = PHRASE.repeat(1000);
    let mut plain = start.into_bytes();
    plain.resize(100 << 20, 0);
    for bytes in [
        gzip(&plain),
        zstd::encode_all(plain.as_slice(), 1).unwrap(),
        gzip(&tar(&[("a", &plain)])),
    ] {
        let ran = classify_input(&bytes, &["-", "--format", "json"]);
        partial(&ran);
        assert_eq!(
            ran.json()["matches"][0]["hits"],
            1000,
            "what came before is classified"
        );
        let read = ran.json()["stats"]["bytes"].as_u64().unwrap();
        assert!(read < 80 << 20, "stopped after {read}");
        assert!(
            ran.err.contains("looks like a decompression bomb"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn packed_files_that_are_not_taken_apart_are_told() {
    let packed = b"7z\xbc\xaf\x27\x1c and so on\n";
    let ran = classify_input(packed, &["-", "--format", "json"]);
    partial(&ran);
    assert!(ran.err.contains("stdin: a 7z archive"), "{}", ran.err);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("report.7z"), packed).unwrap();
    fs::write(dir.path().join("job-output.txt"), PHRASE).unwrap();
    let ran = classify(&[path(dir.path()), "--format", "json"]);
    assert_eq!(
        ran.code, 0,
        "an artefact beside the logs is no missing log: {}",
        ran.err
    );
    assert!(ran.err.contains("report.7z: a 7z archive"), "{}", ran.err);
}

// --- archives ------------------------------------------------------------------------------

#[test]
fn names_that_lead_out_of_an_archive_are_refused() {
    let good = tar(&[("ok.txt", PHRASE.as_bytes())]);
    let bad = tar(&[
        ("../../evil.txt", b"x\n"),
        ("/etc/passwd", b"x\n"),
        ("a\\..\\b", b"x\n"),
    ]);
    // Without its two empty blocks at the end an archive goes on.
    let open = |bytes: &[u8]| bytes[..bytes.len() - 1024].to_vec();
    let all = [
        open(&bad),
        open(&pax(b"a\0b", b"x\n")),
        open(&pax(b"../c", b"x\n")),
        good,
    ]
    .concat();
    let ran = classify_input(&all, &["-", "--format", "json"]);
    partial(&ran);
    assert_eq!(ran.json()["stats"]["files"], 1);
    assert_eq!(ran.matched(), ["port-taken"]);
    for told in [
        r#""../../evil.txt": refused, the name leads out"#,
        r#""/etc/passwd": refused, the name is absolute"#,
        r#""a\\..\\b": refused, the name leads out"#,
        r#""a\0b": refused, the name holds a control"#,
        r#""../c": refused, the name leads out"#,
    ] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
}

#[test]
fn an_archive_of_one_log_is_the_console_and_of_two_is_not() {
    let rules = fingerprint("console", "query: message:boom AND tags:console\n");
    let args = ["-", "--format", "json", "--queries", path(rules.path())];
    let one = tar(&[("x.txt", b"boom\n")]);
    let two = tar(&[("x.txt", b"boom\n"), ("y.txt", b"other\n")]);
    assert_eq!(classify_input(&one, &args).code, 0);
    assert_eq!(classify_input(&gzip(&one), &args).code, 0);
    assert_eq!(classify_input(&two, &args).code, 3);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("logs.tar.gz"), gzip(&two)).unwrap();
    let mut inside = args;
    inside[0] = path(dir.path());
    assert_eq!(classify(&inside).code, 3);
    fs::write(dir.path().join("logs.tar.gz"), gzip(&one)).unwrap();
    assert_eq!(classify(&inside).code, 0);
}

#[test]
fn an_archive_in_a_folder_gives_its_name_to_its_logs() {
    let dir = tempfile::tempdir().unwrap();
    let inner = gzip(&tar(&[("sub/x.txt", PHRASE.as_bytes())]));
    fs::write(dir.path().join("more.tar.gz"), inner).unwrap();
    fs::write(dir.path().join("job-output.txt"), "fine\n").unwrap();
    let ran = classify(&[path(dir.path()), "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.json()["matches"][0]["evidence"][0]["file"],
        "more.tar.gz/sub/x.txt"
    );
}

// --- text ----------------------------------------------------------------------------------

#[test]
fn bytes_that_are_no_text_hide_nothing() {
    let rules = fingerprint("x", "query: message:\"address already\"\n");
    let args = ["-", "--format", "json", "--queries", path(rules.path())];
    let mut log = b"\xff\xfe\0\0binary\x80\n\0\0\xc3(\n".to_vec();
    log.extend_from_slice(b"\xf0\x28address\xa0already\0 in use\n");
    let ran = classify_input(&log, &args);
    assert_eq!(ran.code, 0, "{}", ran.out);
    for told in ["stdin:1: not UTF-8 (3 such", "stdin:1: NUL bytes (3 such"] {
        assert!(ran.err.contains(told), "{}", ran.err);
    }
    let evidence = &ran.json()["matches"][0]["evidence"][0];
    assert_eq!(evidence["line"], 3);
    assert_eq!(evidence["offset"], 17);
}

/// The program under a limit on its address space that is far below the size of the log.
#[cfg(target_os = "linux")]
#[test]
fn one_line_of_200_megabytes_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("job.txt");
    let mut file = File::create(&log).unwrap();
    file.write_all(&vec![b'x'; 1 << 20]).unwrap();
    file.seek(SeekFrom::Start(200_000_000)).unwrap();
    file.write_all(format!("\n{PHRASE}").as_bytes()).unwrap();
    drop(file);
    let mut command = Command::new("sh");
    command.current_dir(super::root());
    command.args([
        "-c",
        "ulimit -v 150000 && exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_whorl"),
    ]);
    command.args(["classify", path(&log), "--format", "json", "--stats"]);
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["stats"]["bytes"], 200_000_001 + PHRASE.len());
    assert_eq!(ran.json()["matches"][0]["evidence"][0]["line"], 2);
    assert_eq!(
        ran.json()["matches"][0]["evidence"][0]["offset"],
        200_000_001
    );
    assert!(
        ran.err
            .contains("job.txt:1: longer than 1048576 bytes, cut into pieces"),
        "{}",
        ran.err
    );
}

// --- nothing there -------------------------------------------------------------------------

#[test]
fn no_log_is_not_nothing_found() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.txt");
    fs::write(&empty, "").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for ran in [
        classify(&[path(&empty), "--format", "json"]),
        classify(&[path(folder.path()), "--format", "json"]),
        classify_input(b"", &["-", "--format", "json"]),
        classify_input(&gzip(b""), &["-", "--format", "json"]),
    ] {
        assert_eq!((ran.code, ran.err.as_str()), (3, ""));
        assert_eq!(ran.json()["verdict"], "no-log");
    }
    let text = classify(&[path(folder.path())]).out;
    assert!(text.starts_with("There was no log to look at"), "{text}");
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_told_and_the_others_are_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), PHRASE).unwrap();
    let secret = dir.path().join("b.txt");
    fs::write(&secret, PHRASE).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o0)).unwrap();
    let ran = if File::open(&secret).is_ok() {
        // Root reads everything, so the program runs as nobody here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let Some(ran) = as_nobody(dir.path()) else {
            crate::skip("root reads every file, and the program cannot run as another user");
            return;
        };
        ran
    } else {
        classify(&[path(dir.path()), "--format", "json"])
    };
    partial(&ran);
    assert_eq!(ran.json()["matches"][0]["hits"], 1);
    assert!(
        ran.err.contains("b.txt: cannot be read: Permission denied"),
        "{}",
        ran.err
    );
}

/// The program as user 65534, from a place that this user may read.
#[cfg(unix)]
fn as_nobody(logs: &Path) -> Option<Ran> {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("whorl");
    fs::copy(env!("CARGO_BIN_EXE_whorl"), &program).unwrap();
    let rules = place.path().join("queries");
    fs::create_dir(&rules).unwrap();
    fs::write(
        rules.join("x.yaml"),
        "query: message:\"Address already in use\"\n",
    )
    .unwrap();
    let mut command = Command::new(program);
    command.current_dir(place.path()).uid(65534).gid(65534);
    command.args(["classify", path(logs), "--format", "json"]);
    Some(command.output().ok()?.into())
}

#[cfg(unix)]
#[test]
fn links_in_circles_end() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/x.txt"), PHRASE).unwrap();
    symlink("..", dir.path().join("a/b/up")).unwrap();
    symlink(dir.path(), dir.path().join("a/again")).unwrap();
    let ran = classify(&[path(dir.path()), "--format", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.json()["stats"]["files"], 1);
    symlink("y", dir.path().join("a/z")).unwrap();
    symlink("z", dir.path().join("a/y")).unwrap();
    let ran = classify(&[path(dir.path()), "--format", "json"]);
    partial(&ran);
    assert_eq!(ran.matched(), ["port-taken"]);
}

#[test]
fn names_of_files_cannot_forge_lines() {
    let dir = tempfile::tempdir().unwrap();
    let name = "a.txt:1\n::error::forged\u{1b}[2J";
    fs::write(dir.path().join(name), PHRASE).unwrap();
    for format in ["text", "markdown", "github"] {
        let mut command = whorl();
        command.args(["classify", path(dir.path()), "--format", format]);
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let forged = ran
            .out
            .lines()
            .any(|line| line.starts_with("::error::forged"));
        assert!(!forged && !ran.out.contains('\u{1b}'), "{}", ran.out);
    }
}
