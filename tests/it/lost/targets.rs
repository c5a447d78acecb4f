//! What strangers write, read by whatever reads it: each target takes any bytes, must not panic, and holds what it
//! promises about them. Plain functions, so that any fuzzer can call them; `fuzz/run` does.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use whorl::classify::one::{classify, sweep};
use whorl::config::Config;
use whorl::event::{Build, Event, Fields};
use whorl::fingerprint::{FingerprintSet, parse_file};
use whorl::intake::{Format, Limits, LogInput, byte_map, open_path, read_all, read_stream};
use whorl::matcher::Matcher;
use whorl::query::analyser::analyse;
use whorl::query::{Document, Query, Schema};

/// Names that have a format or a packing of their own.
pub(super) const NAMES: [&str; 14] = [
    "console.txt",
    "console.html",
    "consoleText",
    "job-output.txt",
    "job-output.json",
    "x.json",
    "x.log.gz",
    "x.tar",
    "x.tar.gz",
    "x.zip",
    "x.xz",
    "x.zst",
    "x.bz2",
    "syslog.txt",
];

/// Events that a query is asked about.
fn events() -> Vec<Event> {
    let texts = [
        "",
        "ERROR nova.compute.manager [req-1] Instance failed to spawn: \"boom\" at 10.0.0.1:8080",
        "\u{212a}elvin stra\u{df}e \u{1f600} \u{65e5}\u{672c}\u{8a9e} a_b.c-d",
    ];
    texts.into_iter().map(Event::from_message).collect()
}

/// The query language: lexer, parser, evaluation, places of hits.
pub(super) fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let schema = Schema::default();
    let query = match Query::parse(&text, &schema) {
        Ok(query) => query,
        Err(error) => {
            assert!(text.is_char_boundary(error.offset), "{error:?} of {text:?}");
            assert!(!error.message.is_empty());
            return;
        }
    };
    assert_eq!(Query::parse(&text, &schema).as_ref(), Ok(&query));
    query.explain();
    for event in events() {
        let document = Document::new(&event);
        query.matches(&document, jiff::Timestamp::UNIX_EPOCH);
        for (from, to) in query.spans(&document) {
            assert!(
                from <= to && event.message.get(from..to).is_some(),
                "{text:?}"
            );
        }
    }
}

/// The analyser: words stand where it says, in order.
pub(super) fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut position = None;
    for word in analyse(&text) {
        assert!(!word.text.is_empty(), "{text:?}");
        assert!(position < Some(word.position), "{text:?}");
        position = Some(word.position);
    }
}

/// Small limits, so that each of them is met.
pub(super) fn limits() -> Limits {
    Limits {
        max_bytes: 1 << 20,
        max_ratio: 50,
        ratio_from: 1 << 16,
        max_line: 200,
        max_event_lines: 5,
        max_event_bytes: 600,
        max_files: 8,
        max_depth: 3,
    }
}

/// One log by name, of whichever format and compression.
pub(super) fn log(name: &str, bytes: &[u8]) {
    let limits = limits();
    let (mut reader, mut count) = (bytes, 0_u64);
    let summary = read_stream(
        name,
        &mut reader,
        &Fields::default(),
        &limits,
        &mut |event| {
            // A cut line may end in the marks of the bytes that are no text.
            assert!(
                event.message.len() <= 4 * limits.max_event_bytes,
                "{}",
                event.message.len()
            );
            count += 1;
        },
    );
    let told: u64 = summary.files.iter().map(|(_, file)| file.events).sum();
    assert_eq!(told, count, "{name}");
}

/// A file on disk, an archive perhaps, as a build's logs.
pub(super) fn archive(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let limits = limits();
    let Ok(inputs) = open_path(folder.path(), &limits) else {
        return;
    };
    let mut total = 0;
    read_all(&inputs, &Fields::default(), &limits, &mut |event| {
        total += event.message.len();
    });
    assert!(total as u64 <= 64 * limits.max_bytes);
}

/// Conditions of all kinds over few words, none of which any event may meet.
static RULES: LazyLock<Matcher> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let rules = [
        "query: 'message:\"alpha beta\"'",
        "query: 'ValueError OR gamma'",
        "query: '\"delta alpha\" AND NOT beta'",
        "query: '\"alpha gamma\"~2 AND loglevel:ERROR'",
        "query: '\"x:beta\" OR \"a_b.c\"'",
        "pattern: 'alpha: \\w+'",
        "sequence: [alpha, beta]\nwithin: 3",
    ];
    for (number, rule) in rules.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.yaml")), rule).unwrap();
    }
    let set = FingerprintSet::load(&[folder.path().to_owned()]);
    assert_eq!(set.diagnostics, []);
    Matcher::new(Arc::new(set))
});

/// A log that is swept: what is found in it is what all of its events give.
pub(super) fn swept(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let logs = [LogInput::new(name, &path)];
    let (build, limits) = (Build::new("b"), limits());
    let now = jiff::Timestamp::UNIX_EPOCH;
    let all = classify(&RULES, &build, now, |sink| {
        read_all(&logs, &build.fields(), &limits, sink)
    });
    let some = sweep(&RULES, &build, now, &logs, &limits, false);
    assert_eq!(some.matches, all.matches);
    assert_eq!(some.verdict, all.verdict);
}

/// Colours and control characters: every byte of the text has its place in the log.
pub(super) fn colours(bytes: &[u8]) {
    for format in Format::ALL {
        let shown = byte_map(bytes, format);
        assert!(shown.text.len() <= bytes.len() * 3, "{format:?}");
        for (at, _) in shown.text.char_indices() {
            assert!(shown.to_original(at) < bytes.len(), "{format:?}: {at}");
        }
    }
}

/// A fingerprint file.
pub(super) fn fingerprint(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(found) = parse_file(Path::new("1.yaml"), &text, &Schema::default()) {
        assert!(!found.is_empty(), "refused without a word: {text:?}");
        let lines = text
            .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
            .count();
        for one in found {
            assert!(
                one.line >= 1 && one.column >= 1 && one.line <= lines + 1,
                "{one:?} of {text:?}"
            );
        }
    }
}

/// The configuration file.
pub(super) fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Config::parse("whorl.yaml", &text, &|_| None);
}

/// What a CI says of a build, and the name that it gives it.
pub(super) fn build(bytes: &[u8]) {
    let Ok(build) = serde_json::from_slice::<Build>(bytes) else {
        return;
    };
    let said = serde_json::to_vec(&build).unwrap();
    assert_eq!(serde_json::from_slice::<Build>(&said).unwrap(), build);
    build.fields();
    build.failed();
    let _ = Build::check_uuid(&build.uuid);
}
