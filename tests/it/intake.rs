//! Tests of the intake part.
#![allow(clippy::naive_bytecount, reason = "tests count few bytes")]

use proptest::prelude::*;
use std::io::{self, Read, Write};
use std::path::Path;
use whorl::event::{Event, FieldValue, Fields};
use whorl::intake::{
    BuildSummary, FileContext, Format, Limits, Problem, Summary, byte_map, locate, open_path,
    read_all, read_log, read_stream,
};

fn read_with(name: &str, bytes: &[u8], limits: &Limits) -> (Vec<Event>, Summary) {
    let context = FileContext {
        name: name.into(),
        ..FileContext::default()
    };
    let mut events = Vec::new();
    let mut reader = bytes;
    let summary = read_log(&mut reader, &context, limits, &mut |e| events.push(e));
    (events, summary)
}

fn read(text: impl AsRef<[u8]>) -> (Vec<Event>, Summary) {
    read_with("x.txt", text.as_ref(), &Limits::default())
}

fn messages(events: &[Event]) -> Vec<&str> {
    events.iter().map(|e| e.message.as_str()).collect()
}

fn own<'a>(event: &'a Event, name: &str) -> &'a str {
    match event.own.get(name) {
        Some(FieldValue::Text(text)) => text,
        _ => "",
    }
}

fn tags(event: &Event) -> Vec<String> {
    let values = event
        .field("tags")
        .map(FieldValue::values)
        .unwrap_or_default();
    values
        .into_iter()
        .map(|v| match v {
            FieldValue::Text(text) => text.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if name.len() < 100 {
            // The builder refuses bad names, so they are written by hand.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        } else {
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

// --- formats -------------------------------------------------------------------------------

#[test]
fn zuul_job_output() {
    let (events, summary) = read(
        "2022-05-20 13:15:39.453441 | \n\
         2022-05-20 13:15:39.453541 | TASK [run-tests : Run]\n\
         2022-05-20 13:15:40.100000 | ubuntu-focal | + make check\n\
         2022-05-20 13:15:40.200000 | ubuntu-focal | ERROR | cell | of a table\n\
         2022-05-20 13:15:41.300000 | primary -> localhost | ok: Runtime: 0:00:01\n",
    );
    assert_eq!(summary.format, Format::Zuul);
    assert_eq!(
        messages(&events),
        [
            "TASK [run-tests : Run]",
            "+ make check",
            "ERROR | cell | of a table",
            "ok: Runtime: 0:00:01"
        ]
    );
    assert_eq!(own(&events[1], "node"), "ubuntu-focal");
    assert_eq!(own(&events[1], "@timestamp"), "2022-05-20T13:15:40.100000Z");
    assert_eq!((events[0].at.line, summary.lines), (2, 5));
}

#[test]
fn zuul_tracebacks_keep_to_their_node() {
    let stamp = "2022-05-20 13:15:39.453441 |";
    let (events, _) = read(format!(
        "{stamp} node | Traceback (most recent call last):\n\
         {stamp} node |   File \"x.py\", line 1, in <module>\n\
         {stamp} node |     f()\n\
         {stamp} node | ValueError: no\n\
         {stamp} other | ValueError: mine\n"
    ));
    assert_eq!(
        messages(&events),
        [
            "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\n    f()\nValueError: no",
            "ValueError: mine"
        ]
    );
    assert_eq!((events[0].at.line, events[0].at.lines), (1, 4));
}

#[test]
fn the_older_console() {
    let (events, summary) = read(
        "2014-05-07 12:13:14.123 | Started by user anonymous\n2014-05-07 12:13:15.000 | + cd /opt\n",
    );
    assert_eq!(summary.format, Format::Console);
    assert_eq!(
        messages(&events),
        ["Started by user anonymous", "+ cd /opt"]
    );
    assert_eq!(own(&events[0], "@timestamp"), "2014-05-07T12:13:14.123Z");
}

#[test]
fn oslo_blocks_are_one_event() {
    let (events, summary) = read(
        "2013-10-07 07:13:05.100 414 INFO neutron.wsgi [-] (414) accepted\n\
         2013-10-07 07:13:05.523 414 ERROR neutron.rpc.amqp [req-1 None] Exception during message handling\n\
         2013-10-07 07:13:05.523 414 TRACE neutron.rpc.amqp Traceback (most recent call last):\n\
         2013-10-07 07:13:05.523 414 TRACE neutron.rpc.amqp   File \"a.py\", line 438, in f\n\
         2013-10-07 07:13:05.523 414 TRACE neutron.rpc.amqp KeyError: 'x'\n\
         2013-10-07 07:13:05.523 414 TRACE neutron.rpc.amqp \n\
         2013-10-07 07:13:06.000 415 DEBUG neutron.x [-] other\n",
    );
    assert_eq!(summary.format, Format::Oslo);
    assert_eq!(events.len(), 3);
    let block = &events[1];
    assert!(
        block
            .message
            .starts_with("ERROR neutron.rpc.amqp [req-1 None] Exception")
    );
    assert!(
        block
            .message
            .contains("\nTRACE neutron.rpc.amqp KeyError: 'x'")
    );
    assert_eq!((block.at.line, block.at.lines), (2, 5));
    assert_eq!(own(block, "loglevel"), "ERROR");
    assert_eq!(own(block, "module"), "neutron.rpc.amqp");
    assert_eq!(own(block, "pid"), "414");
    assert_eq!(own(block, "@timestamp"), "2013-10-07T07:13:05.523Z");
}

#[test]
fn newer_oslo_writes_tracebacks_with_the_level() {
    let pre = "2022-01-02 03:04:05.678 77 ERROR nova.compute";
    let (events, _) = read(format!(
        "{pre} [None req-9 x] Failed: Boom\n\
         {pre} Traceback (most recent call last):\n\
         {pre}   File \"a.py\", line 1, in f\n\
         {pre} Boom: one\n\
         {pre} \n\
         {pre} During handling of the above exception, another exception occurred:\n\
         {pre} \n\
         {pre} Traceback (most recent call last):\n\
         {pre}   File \"b.py\", line 1, in g\n\
         {pre} Boom: two\n\
         {pre} [None req-9 x] another message: not a part\n"
    ));
    assert_eq!(events.len(), 2, "{:?}", messages(&events));
    assert_eq!(events[0].at.lines, 10);
}

#[test]
fn oslo_lines_without_prefix_belong_to_the_message() {
    let (events, _) = read(
        "2014-05-07 12:13:14,123 25921 INFO     [tempest.common.rest_client] Request\n\
         SELECT x\nFROM y\n\
         2014-05-07 12:13:14,124 25921 INFO     [tempest.common.rest_client] Request 2\n",
    );
    assert_eq!(messages(&events)[0].lines().count(), 3);
    assert_eq!(own(&events[0], "module"), "tempest.common.rest_client");
    assert_eq!(events[1].at.line, 4);
}

#[test]
fn syslog_and_journal() {
    let (events, summary) = read(
        "May  7 12:13:14 devstack-1 kernel: [ 12.3] Out of memory: Killed process 77\n\
         May 07 12:13:14.123456 devstack-1 devstack@n-cpu.service[1234]: ERROR nova.virt [None req-1 x] Failed\n\
         May 07 12:13:14.123457 devstack-1 devstack@n-cpu.service[1234]: ERROR nova.virt Traceback (most recent call last):\n\
         May 07 12:13:14.123458 devstack-1 devstack@n-cpu.service[1234]: ERROR nova.virt   File \"x\", line 2, in g\n\
         May 07 12:13:14.123459 devstack-1 devstack@n-cpu.service[1234]: ERROR nova.virt OSError: no\n",
    );
    assert_eq!(summary.format, Format::Syslog);
    assert_eq!(events.len(), 2, "{:?}", messages(&events));
    assert_eq!(
        events[0].message,
        "devstack-1 kernel: [ 12.3] Out of memory: Killed process 77"
    );
    assert_eq!(own(&events[0], "program"), "kernel");
    assert_eq!(own(&events[1], "pid"), "1234");
    assert_eq!(own(&events[1], "loglevel"), "ERROR");
    assert_eq!(events[1].at.lines, 4);
}

#[test]
fn jenkins_timestamper() {
    let (events, summary) = read(
        "Started by timer\n12:13:14 Building\n12:13:15 \x1b[8mha:////4A==\x1b[0m[Pipeline] sh\n",
    );
    assert_eq!(summary.format, Format::Jenkins);
    assert_eq!(
        messages(&events),
        ["Started by timer", "Building", "[Pipeline] sh"]
    );
    let (events, summary) =
        read("[2014-05-07T12:13:14.123Z] + make\n[2014-05-07T12:13:15.123Z] make: *** Error 1\n");
    assert_eq!(summary.format, Format::Jenkins);
    assert_eq!(events[1].message, "make: *** Error 1");
    assert_eq!(own(&events[1], "@timestamp"), "2014-05-07T12:13:15.123Z");
}

#[test]
fn github_actions() {
    let (events, summary) = read(
        "\u{FEFF}2022-05-30T09:10:31.1584995Z ##[group]Run make\n\
         2022-05-30T09:10:31.1584996Z \x1b[36;1mmake\x1b[0m\n\
         2022-05-30T09:10:32.1584997Z ##[error]Process completed with exit code 2.\n",
    );
    assert_eq!(summary.format, Format::GitHub);
    assert_eq!(
        messages(&events),
        [
            "##[group]Run make",
            "make",
            "##[error]Process completed with exit code 2."
        ]
    );
    assert_eq!(own(&events[2], "loglevel"), "ERROR");
    assert_eq!(tags(&events[0]), ["x.txt", "console"]);
}

#[test]
fn gitlab_job_log() {
    let (events, summary) = read(
        "\x1b[0KRunning with gitlab-runner 15.0\n\
         section_start:1560896352:build_script\r\x1b[0K\x1b[32;1m$ make\x1b[0;m\n\
         10%\r50%\r100% done\n\
         section_end:1560896353:build_script\r\x1b[0K\n",
    );
    assert_eq!(summary.format, Format::GitLab);
    assert_eq!(
        messages(&events),
        [
            "Running with gitlab-runner 15.0",
            "$ make",
            "10%\n50%\n100% done"
        ]
    );
    assert_eq!(tags(&events[0]), ["x.txt", "console"]);
}

#[test]
fn gitlab_with_times() {
    let (events, summary) = read(
        "2024-05-07T12:13:14.123456Z 00O section_start:1560896352:a\rsection_start:1560896352:b\r\x1b[0KStep\n\
         2024-05-07T12:13:15.123456Z 01E make: *** Error 1\n\
         2024-05-07T12:13:15.123457Z 00O section_end:1560896353:b\r\n",
    );
    assert_eq!(summary.format, Format::GitLab);
    assert_eq!(messages(&events), ["Step", "make: *** Error 1"]);
    assert_eq!(own(&events[1], "@timestamp"), "2024-05-07T12:13:15.123456Z");
}

#[test]
fn travis_job_log() {
    let (events, summary) = read(
        "travis_fold:start:worker_info\r\x1b[0K\x1b[33;1mWorker information\x1b[0m\r\n\
         hostname: x\r\n\
         travis_fold:end:worker_info\r\x1b[0Ktravis_time:start:0c\r\x1b[0K$ git clone\r\n",
    );
    assert_eq!(summary.format, Format::Travis);
    assert_eq!(
        messages(&events),
        ["Worker information", "hostname: x", "$ git clone"]
    );
    assert_eq!(tags(&events[0]), ["x.txt", "console"]);
}

#[test]
fn test_runners_are_plain() {
    let (events, summary) = read(
        "============= FAILURES =============\n>       assert 1 == 2\nE       assert 1 == 2\n\
         tests/test_x.py:3: AssertionError\nTests run: 4, Failures: 1\n",
    );
    assert_eq!(summary.format, Format::Plain);
    assert_eq!(events.len(), 5);
    assert_eq!(tags(&events[0]), ["x.txt"]);
    let (events, _) = read("2024-01-02 03:04:05.678 UTC [43] LOG:  hello\n");
    assert_eq!(
        events[0].message,
        "2024-01-02 03:04:05.678 UTC [43] LOG:  hello"
    );
    assert_eq!(own(&events[0], "@timestamp"), "2024-01-02T03:04:05.678Z");
}

#[test]
fn junit_style_and_subunit_text_are_plain() {
    let junit = "Running org.example.CodecTest\n\
         Tests run: 3, Failures: 0, Errors: 1, Skipped: 0, Time elapsed: 0.2 sec <<< FAILURE!\n\
         testDecode(org.example.CodecTest)  Time elapsed: 0.01 sec  <<< ERROR!\n\
         java.lang.NullPointerException: null\n\
         \tat org.example.Codec.decode(Codec.java:12)\n\
         \tat org.example.CodecTest.testDecode(CodecTest.java:7)\n\n\
         Results :\n";
    let (events, summary) = read(junit);
    assert_eq!(summary.format, Format::Plain);
    let block = &events[3];
    assert!(block.message.starts_with("java.lang.NullPointerException"));
    assert_eq!((block.at.line, block.at.lines, events.len()), (4, 3, 5));
    let subunit = "test: shop.tests.test_stock.test_reserve\n\
         time: 2014-05-07 12:13:14.123456Z\n\
         failure: shop.tests.test_stock.test_reserve [ multipart\n\
         Content-Type: text/x-traceback;charset=utf8,language=python\n\
         traceback\n\
         Traceback (most recent call last):\n\
         \x20 File \"test_stock.py\", line 8, in test_reserve\n\
         \x20   self.assertEqual(1, left)\n\
         testtools.matchers._impl.MismatchError: 1 != 0\n\
         ]\n";
    let (events, summary) = read(subunit);
    assert_eq!(summary.format, Format::Plain);
    assert_eq!(events.len(), 7, "{:?}", messages(&events));
    assert_eq!((events[5].at.line, events[5].at.lines), (6, 4));
    assert_eq!(events[6].message, "]");
}

#[test]
fn container_logs_are_no_job_logs() {
    let (events, summary) = read(
        "2024-01-02T03:04:05.123456789Z Traceback (most recent call last):\n\
         2024-01-02T03:04:05.123456790Z   File \"a.py\", line 1, in f\n\
         2024-01-02T03:04:05.123456791Z KeyError: 'x'\n",
    );
    assert_eq!(summary.format, Format::Stamped);
    assert_eq!(
        messages(&events),
        ["Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'"]
    );
    assert_eq!(tags(&events[0]), ["x.txt"], "not the console");
    let (events, summary) = read(
        "2024-01-02T03:04:05.123456789+02:00 stderr F listen: address in use\n\
         2024-01-02T03:04:06.123456789+02:00 stdout F stdout Files\n",
    );
    assert_eq!(summary.format, Format::Stamped);
    assert_eq!(
        messages(&events),
        ["listen: address in use", "stdout Files"]
    );
    assert_eq!(
        own(&events[0], "@timestamp"),
        "2024-01-02T03:04:05.123456789+02:00"
    );
}

// --- blocks --------------------------------------------------------------------------------

fn check_block(block: &str) {
    let (events, _) = read(format!("before\n{block}\nafter it: all\n"));
    assert_eq!(messages(&events), ["before", block, "after it: all"]);
    assert_eq!(events[1].at.line, 2);
    assert_eq!(events[1].at.offset, 7);
    assert_eq!(events[1].at.lines as usize, block.split('\n').count());
    assert_eq!(events[1].at.length, block.len() as u64 + 1);
}

#[test]
fn python_tracebacks_with_chains() {
    check_block(
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\n    ^^^\nKeyError: 'x'\n\n\
         During handling of the above exception, another exception occurred:\n\n\
         Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    f()\nmy.mod.Error: bad",
    );
    check_block(
        "    Traceback (most recent call last):\n      File \"a\", line 1, in f\n    KeyboardInterrupt",
    );
}

#[test]
fn the_text_of_an_exception_may_go_on_indented() {
    check_block(
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    connect()\n\
         psycopg2.OperationalError: connection to server failed: Connection refused\n\
         \tIs the server running on that host?",
    );
}

#[test]
fn exception_groups() {
    check_block(
        "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in f\n\
         \x20 |     g()\n  | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n\
         \x20   | ValueError: one\n    +------------------------------------",
    );
}

#[test]
fn javascript_errors_with_their_properties() {
    let block = "Error: listen EADDRINUSE: address already in use 127.0.0.1:3000\n\
         \x20   at Server.setup (node:net:1940:16)\n    at listen (node:net:1997:12) {\n\
         \x20 code: 'EADDRINUSE',\n  port: 3000\n}";
    let (events, _) = read(format!("before\n{block}\n  not of it\n"));
    assert_eq!(messages(&events), ["before", block, "  not of it"]);
}

#[test]
fn java_stack_traces() {
    let block = "java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n\tat a.B.<init>(B.java:2)\n\
         Caused by: java.io.IOException: x\n\tat a.C.d(C.java:3)\n\t... 12 more";
    let (events, _) = read(format!("before\n{block}\nafter\n"));
    assert_eq!(messages(&events), ["before", block, "after"]);
}

#[test]
fn java_stack_traces_with_blank_lines_inside() {
    // Gradle.
    check_block(
        "    java.lang.IllegalArgumentException: no file\n        at a.B.c(B.java:1)\n\n        Caused by:\n\
         \x20       java.nio.file.NoSuchFileException: x\n            at a.C.d(C.java:3)\n\n\
         \x20           at a.D.e(D.java:36)\n            ... 4 more",
    );
    // Jenkins.
    let block = "stderr: fatal: unable to access\n\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)";
    let (events, _) = read(format!("before\n{block}\n\n    at the end of a text\n"));
    let expected = ["before", block, "    at the end of a text"];
    assert_eq!(messages(&events), expected);
}

#[test]
fn go_panics() {
    let block = "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\n\
         main.(*T).run(0xc000012345, 0x2)\n\t/tmp/x.go:8 +0x1d\nmain.main()\n\t/tmp/x.go:4 +0x1d\n\n\
         goroutine 7 [chan receive, 2 minutes]:\ncreated by main.f\n\t/tmp/y.go:3 +0x2";
    let (events, _) = read(format!("before\n{block}\nexit status 2\n"));
    assert_eq!(messages(&events), ["before", block, "exit status 2"]);
}

#[test]
fn a_go_panic_that_was_caught_in_between() {
    let block = "panic: runtime error: invalid memory address or nil pointer dereference [recovered]\n\
         \tpanic: again\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x69469a]\n\n\
         goroutine 21 [running]:\ntesting.tRunner.func1.2({0x731440, 0xa63bb0})\n\t/go/testing.go:1974 +0x232\n\
         panic({0x731440?, 0xa63bb0?})\n\t/go/panic.go:860 +0x13a\n\
         shop/payments.(*Account).Book(0x38?)\n\t/srv/payments.go:21 +0x1a\n\
         created by testing.(*T).Run in goroutine 1\n\t/go/testing.go:2101 +0x4c5";
    let (events, _) = read(format!(
        "--- FAIL: TestX\n{block}\nFAIL\tshop/payments\t0.012s\n"
    ));
    assert_eq!(
        messages(&events),
        ["--- FAIL: TestX", block, "FAIL\tshop/payments\t0.012s"]
    );
}

#[test]
fn a_go_data_race_is_one_report() {
    let block = "WARNING: DATA RACE\nRead at 0x00c0 by goroutine 11:\n  p.(*A).Book()\n      /srv/p.go:21 +0x44\n\n\
         Previous write at 0x00c0 by goroutine 17:\n  p.(*A).Book()\n      /srv/p.go:24 +0x1a4\n\n\
         Goroutine 11 (running) created at:\n  p.TestBook()\n      /srv/p_test.go:45 +0x15d";
    let line = "=".repeat(18);
    let (events, _) = read(format!("{line}\n{block}\n{line}\n"));
    assert_eq!(messages(&events), [&*line, block, &*line]);
}

#[test]
fn rust_panics() {
    let block = "thread 'main' panicked at src/main.rs:2:5:\nassertion `left == right` failed\n  left: 1\n right: 2\n\
         stack backtrace:\n   0: std::panicking\n             at /rustc/x.rs:1\n\
         note: Some details are omitted";
    let (events, _) = read(format!("before\n{block}\nafter\n"));
    assert_eq!(messages(&events), ["before", block, "after"]);
}

#[test]
fn a_block_has_a_limit() {
    let limits = Limits {
        max_event_lines: 10,
        ..Limits::default()
    };
    let text = format!("Error\n{}", "\tat a.B.c(B.java:1)\n".repeat(25));
    let (events, _) = read_with("x", text.as_bytes(), &limits);
    let lines: Vec<u32> = events.iter().map(|e| e.at.lines).collect();
    assert_eq!(lines, [10, 10, 6]);
}

// --- names, tags ---------------------------------------------------------------------------

#[test]
fn tags_follow_name_and_kind() {
    let tags_of = |name: &str| tags(&read_with(name, b"x\n", &Limits::default()).0[0]);
    assert_eq!(tags_of("logs/screen-n-api.txt.gz"), ["screen-n-api.txt"]);
    assert_eq!(tags_of("console.html.gz"), ["console.html", "console"]);
    assert_eq!(tags_of("a/job-output.txt"), ["job-output.txt", "console"]);
    let (events, _) = read_with("logs/x.txt.gz", b"x", &Limits::default());
    assert_eq!(
        events[0].field("filename"),
        Some(&FieldValue::text("logs/x.txt"))
    );
    assert_eq!(&*events[0].at.file, "logs/x.txt.gz");
}

fn all(path: &Path, limits: &Limits) -> (Vec<Event>, BuildSummary) {
    let inputs = open_path(path, limits).unwrap();
    let mut events = Vec::new();
    let summary = read_all(&inputs, &Fields::default(), limits, &mut |e| events.push(e));
    (events, summary)
}

#[test]
fn a_folder_is_one_build() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("logs/sub")).unwrap();
    std::fs::write(dir.path().join("logs/sub/b.txt.gz"), gzip(b"b\n")).unwrap();
    std::fs::write(dir.path().join("logs/a.txt"), "a\n").unwrap();
    std::fs::write(dir.path().join("job-output.txt"), "j\n").unwrap();
    let (events, summary) = all(dir.path(), &Limits::default());
    let names: Vec<&str> = summary.files.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["job-output.txt", "logs/a.txt", "logs/sub/b.txt.gz"]);
    assert_eq!(messages(&events), ["j", "a", "b"]);
    assert_eq!(tags(&events[1]), ["a.txt"]);
    assert!(summary.complete());
}

#[test]
fn the_only_log_is_the_console() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), "a\n").unwrap();
    let (events, _) = all(dir.path(), &Limits::default());
    assert_eq!(tags(&events[0]), ["a.txt", "console"]);
    let (events, _) = all(&dir.path().join("a.txt"), &Limits::default());
    assert_eq!(tags(&events[0]), ["a.txt", "console"]);
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_told_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(dir.path().join("a.txt"), "a\n").unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("out.txt")).unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
    std::os::unix::fs::symlink("a.txt", dir.path().join("in.txt")).unwrap();
    let (_, summary) = all(dir.path(), &Limits::default());
    assert_eq!(summary.files.len(), 2);
    let outside = Problem::Outside {
        name: "out.txt".into(),
    };
    assert_eq!(summary.problems, [outside]);
    assert!(!summary.complete());
}

#[test]
fn too_many_files_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..4 {
        std::fs::write(dir.path().join(n.to_string()), "a\n").unwrap();
    }
    let limits = Limits {
        max_files: 3,
        ..Limits::default()
    };
    let (_, summary) = all(dir.path(), &limits);
    assert_eq!(summary.files.len(), 3);
    assert_eq!(summary.problems, [Problem::TooManyFiles { limit: 3 }]);
}

#[test]
fn a_missing_path_is_an_error() {
    let error = open_path(Path::new("/does/not/exist"), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("/does/not/exist"));
}

// --- compression, archives -----------------------------------------------------------------

#[test]
fn compression_is_known_by_content() {
    let text = b"one\ntwo\n";
    let two_members = [gzip(b"one\n"), gzip(b"two\n")].concat();
    let cases = [
        gzip(text),
        zstd(text),
        xz(text),
        bzip2(text),
        two_members,
        gzip(&xz(&zstd(text))),
    ];
    for bytes in cases {
        let (events, summary) = read(&bytes);
        assert_eq!(messages(&events), ["one", "two"]);
        assert!(summary.complete(), "{:?}", summary.problems);
        assert_eq!(summary.bytes, 8);
    }
}

/// Text that does not compress to nothing.
fn noise(lines: u32) -> Vec<u8> {
    let mut text = Vec::new();
    let mut seed = 1_u32;
    for n in 0..lines {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        writeln!(text, "line {n} {seed:x}").unwrap();
    }
    text
}

#[test]
fn truncated_input_gives_what_could_be_read() {
    let text = noise(200_000);
    for bytes in [gzip(&text), zstd(&text), xz(&text), bzip2(&text)] {
        let (events, summary) = read(&bytes[..bytes.len() * 3 / 4]);
        assert!(!summary.complete());
        let [Problem::Truncated { offset, .. }] = summary.problems[..] else {
            panic!("{:?}", summary.problems);
        };
        assert_eq!(offset, summary.bytes);
        assert!(summary.bytes > 0, "nothing read");
        assert!(events.len() > 1000, "{}", events.len());
        assert_eq!(events[999].at.line, 1000);
    }
}

#[test]
fn damage_is_told() {
    let mut bytes = gzip(&noise(50_000));
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xff);
    let (_, summary) = read(&bytes);
    assert!(!summary.complete());
    assert!(!summary.problems[0].to_string().is_empty());
}

#[test]
fn bombs_are_stopped() {
    let limits = Limits {
        ratio_from: 1 << 20,
        ..Limits::default()
    };
    let zeros = vec![0; 8 << 20];
    for bytes in [gzip(&zeros), zstd(&zeros), xz(&zeros), gzip(&gzip(&zeros))] {
        let (_, summary) = read_with("bomb", &bytes, &limits);
        assert!(summary.bytes < zeros.len() as u64);
        let told = summary
            .problems
            .iter()
            .any(|p| matches!(p, Problem::Bomb { .. }));
        assert!(told, "{:?}", summary.problems);
        assert!(!summary.complete());
    }
}

#[test]
fn too_large_files_are_cut() {
    let limits = Limits {
        max_bytes: 10,
        ..Limits::default()
    };
    let (events, summary) = read_with("x", b"12345\n6789012\n", &limits);
    assert_eq!(messages(&events), ["12345", "6789"]);
    assert_eq!(
        summary.problems,
        [Problem::TooLarge {
            file: "x".into(),
            limit: 10
        }]
    );
    assert!(read_with("x", b"123456789\n", &limits).1.complete());
}

#[test]
fn archives_hold_several_logs() {
    let long = format!("{}/z.txt", "d".repeat(120));
    let bytes = tar(&[
        ("console.html", b"c\n"),
        ("./logs/a.txt.gz", &gzip(b"a\n")),
        (&long, b"z\n"),
    ]);
    for bytes in [bytes.clone(), gzip(&bytes), xz(&bytes)] {
        let mut events = Vec::new();
        let mut reader = bytes.as_slice();
        let fields = Fields::default();
        let summary = read_stream(
            "stdin",
            &mut reader,
            &fields,
            &Limits::default(),
            &mut |e| events.push(e),
        );
        assert!(summary.complete(), "{summary:?}");
        let names: Vec<&str> = summary.files.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["console.html", "logs/a.txt.gz", long.as_str()]);
        assert_eq!(messages(&events), ["c", "a", "z"]);
        assert_eq!(tags(&events[0]), ["console.html", "console"]);
        assert_eq!(tags(&events[1]), ["a.txt"]);
    }
}

#[test]
fn bad_names_in_archives_are_refused() {
    let bytes = tar(&[("../evil", b"x\n"), ("/abs", b"x\n"), ("ok.txt", b"ok\n")]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs.tar");
    std::fs::write(&path, bytes).unwrap();
    let (events, summary) = all(&path, &Limits::default());
    assert_eq!(messages(&events), ["ok"]);
    assert_eq!(summary.problems.len(), 2);
    assert!(!summary.complete());
}

#[test]
fn a_cut_archive_is_told() {
    let bytes = tar(&[("a.txt", b"a\n"), ("b.txt", &noise(1000))]);
    let mut reader = &bytes[..5000];
    let fields = Fields::default();
    let mut count = 0;
    let summary = read_stream("-", &mut reader, &fields, &Limits::default(), &mut |_| {
        count += 1;
    });
    assert!(!summary.complete());
    assert_eq!(summary.files.len(), 2);
    assert!(count > 50);
}

#[test]
fn the_only_member_of_an_archive_is_the_console() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs.tar.gz");
    std::fs::write(&path, gzip(&tar(&[("a.txt", b"a\n")]))).unwrap();
    let (events, _) = all(&path, &Limits::default());
    assert_eq!(tags(&events[0]), ["a.txt", "console"]);
}

#[test]
fn a_stream_is_the_console() {
    let mut events = Vec::new();
    let fields = Fields::default();
    let mut reader: &[u8] = b"x\n";
    read_stream(
        "stdin",
        &mut reader,
        &fields,
        &Limits::default(),
        &mut |e| events.push(e),
    );
    assert_eq!(tags(&events[0]), ["stdin", "console"]);
}

// --- bad input -----------------------------------------------------------------------------

#[test]
fn bytes_that_are_no_text() {
    let (events, summary) = read(b"a\0b\r\n\xff\xfe\n");
    assert_eq!(messages(&events), ["a\0b", "\u{FFFD}\u{FFFD}"]);
    assert!(summary.complete());
    let file = || "x.txt".to_owned();
    let told = [
        Problem::NotUtf8 {
            file: file(),
            line: 2,
            count: 1,
        },
        Problem::Nul {
            file: file(),
            line: 1,
            count: 1,
        },
    ];
    assert_eq!(summary.problems, told);
    let (_, summary) = read(b"\x1b[1m\xff\x1b[0m\n\xc3\xa9 is fine, \xef\xbf\xbd too\n\xc3\n");
    assert!(matches!(
        summary.problems[..],
        [Problem::NotUtf8 {
            line: 1,
            count: 2,
            ..
        }]
    ));
    assert_eq!(read(b"").1.lines, 0);
}

/// A reader that makes one endless line and then fails or ends.
struct OneLine {
    left: u64,
    fails: bool,
}

impl Read for OneLine {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && self.fails {
            return Err(io::Error::other("disk on fire"));
        }
        let n = usize::try_from(self.left).unwrap().min(buffer.len());
        buffer[..n].fill(b'x');
        self.left -= n as u64;
        Ok(n)
    }
}

#[test]
fn a_line_of_any_length() {
    let limits = Limits::default();
    let mut longest = 0;
    let mut reader = OneLine {
        left: 100_000_000,
        fails: false,
    };
    let summary = read_log(&mut reader, &FileContext::default(), &limits, &mut |e| {
        assert_eq!(e.at.line, 1);
        longest = longest.max(e.message.len());
    });
    assert_eq!((summary.bytes, summary.lines), (100_000_000, 1));
    assert_eq!(longest, limits.max_line);
    assert!(summary.complete(), "cutting loses nothing");
    assert!(matches!(
        summary.problems[..],
        [Problem::LongLine {
            line: 1,
            count: 1,
            ..
        }]
    ));
}

#[test]
fn a_reader_that_fails_is_told() {
    let mut reader = OneLine {
        left: 1000,
        fails: true,
    };
    let mut events = Vec::new();
    let summary = read_log(
        &mut reader,
        &FileContext::default(),
        &Limits::default(),
        &mut |e| events.push(e),
    );
    assert_eq!(events.len(), 1);
    assert!(matches!(
        summary.problems[..],
        [Problem::NotReadable { offset: 1000, .. }]
    ));
    assert!(summary.problems[0].to_string().contains("disk on fire"));
}

// --- properties ----------------------------------------------------------------------------

/// Hands out its bytes in pieces of the given sizes.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (*self.sizes.next().unwrap())
            .min(buffer.len())
            .min(self.bytes.len());
        buffer[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

fn log_line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "Traceback (most recent call last):",
        "  File \"x\", line 1",
        "ValueError: x",
        "",
        "During handling of the above exception, another exception occurred:",
        "\tat a.b(c)",
        "panic: x",
        "goroutine 1 [running]:",
        "2013-10-07 07:13:05.523 414 TRACE n.r Traceback (most recent call last):",
        "2013-10-07 07:13:05.523 414 ERROR n.r [-] x",
        "2022-05-20 13:15:39.453441 | node | text",
        "2022-05-20T13:15:39.4534411Z ##[error]x",
        "May  7 12:13:14 h p[1]: x",
        "12:13:14 x",
        "section_start:1:a\r\u{1b}[0Kx",
        "thread 'main' panicked at x:",
        "a line that is longer than the limit of a line, so that it is cut in the tests \u{65e5}\u{672c}",
    ])
    .prop_map(|s| s.as_bytes().to_vec());
    prop_oneof![4 => known, 1 => prop::collection::vec(any::<u8>(), 0..30)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn events_are_stretches_of_the_log(
        lines in prop::collection::vec(log_line(), 0..40),
        sizes in prop::collection::vec(1..50_usize, 1..5),
        max_line in prop_oneof![Just(64_usize), Just(1 << 20)],
    ) {
        let bytes = lines.join(&b'\n');
        let limits = Limits { max_line, max_event_lines: 8, ..Limits::default() };
        let (events, summary) = read_with("x.txt", &bytes, &limits);
        prop_assert_eq!(summary.events, events.len() as u64);
        let ends = memchr::memchr_iter(b'\n', &bytes).count();
        let expected = ends + usize::from(!bytes.is_empty() && !bytes.ends_with(b"\n"));
        // Random bytes may begin like a compressed file.
        prop_assume!(summary.problems.iter().all(|p| !p.loses_data()));
        prop_assert_eq!(summary.lines, expected as u64);
        let mut before = 0;
        for event in &events {
            let from = usize::try_from(event.at.offset).unwrap();
            let to = from + usize::try_from(event.at.length).unwrap();
            prop_assert!(before <= from && to <= bytes.len());
            before = to;
            let raw = &bytes[from..to];
            let line = memchr::memchr_iter(b'\n', &bytes[..from]).count() + 1;
            prop_assert_eq!(event.at.line, line as u64);
            let stripped = byte_map(raw, summary.format);
            prop_assert_eq!(&stripped.text, &event.message);
            for (at, c) in event.message.char_indices().filter(|(_, c)| c.is_ascii_graphic()) {
                prop_assert_eq!(bytes[locate(event, raw, at)], c as u8);
            }
        }
        let mut pieces = Pieces { bytes: &bytes, sizes: sizes.iter().cycle() };
        let context = FileContext { name: "x.txt".into(), ..FileContext::default() };
        let mut again = Vec::new();
        let second = read_log(&mut pieces, &context, &limits, &mut |e| again.push(e));
        prop_assert_eq!(again, events);
        prop_assert_eq!(second, summary);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), magic in 0..6_usize) {
        let magics: [&[u8]; 6] = [b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\x1b]"];
        let mut all = magics[magic].to_vec();
        all.extend_from_slice(&bytes);
        if all.len() > 262 && bytes[0] < 64 {
            all[257..262].copy_from_slice(b"ustar");
        }
        let mut reader = all.as_slice();
        read_stream("x", &mut reader, &Fields::default(), &Limits::default(), &mut |_| {});
    }
}
