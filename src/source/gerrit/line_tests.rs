use super::*;
use proptest::prelude::*;

fn build(line: &str) -> ResultLine {
    match read(line) {
        Read::Build(found) => found,
        other => panic!("{line}: {other:?}"),
    }
}

/// Name, address, result and whether it votes.
fn seen(line: &str) -> (Option<String>, Option<String>, String, bool) {
    let found = build(line);
    (found.name, found.url, found.result, found.voting)
}

fn expected(
    name: &str,
    url: &str,
    result: &str,
    voting: bool,
) -> (Option<String>, Option<String>, String, bool) {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (text(name), text(url), result.to_owned(), voting)
}

#[test]
fn the_forms_of_a_line_are_read() {
    let url = "https://logs.example/34/1234/5/check/unit/0a1b2c3";
    for (line, name, url_seen, result, voting) in [
        // Zuul, with and without times, marks and names.
        (
            format!("- unit {url} : FAILURE in 1h 02m 03s"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!("- unit {url} : FAILURE"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!("- unit {url} : FAILURE (non-voting)"),
            "unit",
            url,
            "FAILURE",
            false,
        ),
        (
            format!("- unit {url} : FAILURE in 3s (non-voting)"),
            "unit",
            url,
            "FAILURE",
            false,
        ),
        (format!("- {url} : SUCCESS in 3s"), "", url, "SUCCESS", true),
        // Other bullets, and none.
        (
            format!("* unit {url} : FAILURE in 01s"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!("\u{2022} unit {url} : FAILURE"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!("  - unit {url} : FAILURE  "),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!("unit {url} : FAILURE in 1h 23m 53s"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (format!("{url} : ABORTED"), "", url, "ABORTED", true),
        (
            format!("{url} : FAILURE (skipped)"),
            "",
            url,
            "FAILURE",
            false,
        ),
        (format!("{url} : UNSTABLE <<<"), "", url, "UNSTABLE", true),
        // Names with all that Zuul allows.
        (
            format!("- a.b/c_d-py3.9 {url} : LOST"),
            "a.b/c_d-py3.9",
            url,
            "LOST",
            true,
        ),
        (
            format!("- unit tests {url} : LOST"),
            "unit tests",
            url,
            "LOST",
            true,
        ),
        (format!("- unit: {url} : LOST"), "unit", url, "LOST", true),
        (
            format!("- `unit` <{url}> : LOST"),
            "unit",
            url,
            "LOST",
            true,
        ),
        // Other addresses, and none.
        (
            "- unit finger://ze1.example/00ff : SKIPPED".into(),
            "unit",
            "finger://ze1.example/00ff",
            "SKIPPED",
            true,
        ),
        (
            "- unit build/00ff : DISK_FULL".into(),
            "unit",
            "build/00ff",
            "DISK_FULL",
            true,
        ),
        (
            "- unit unit : NODE_FAILURE".into(),
            "unit",
            "",
            "NODE_FAILURE",
            true,
        ),
        (
            "- unit tests unit tests : SKIPPED".into(),
            "unit tests",
            "",
            "SKIPPED",
            true,
        ),
        (
            "- unit None : NODE_FAILURE in 0s".into(),
            "unit",
            "",
            "NODE_FAILURE",
            true,
        ),
        ("- unit : LOST".into(), "unit", "", "LOST", true),
        // Other ways to write the same.
        (
            format!("- unit {url}: FAILURE"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!("- unit {url} FAILURE in 3m"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!("- unit {url} : failure"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            format!(":x: [unit]({url}) **FAILURE** in 3m 02s (non-voting)"),
            "unit",
            url,
            "FAILURE",
            false,
        ),
        (
            format!("- :heavy_check_mark: [unit]({url}) SUCCESS in 3m 02s"),
            "unit",
            url,
            "SUCCESS",
            true,
        ),
        (
            format!("* [unit]({url}) : FAILURE"),
            "unit",
            url,
            "FAILURE",
            true,
        ),
        (
            "\u{274c} style : FAILURE".into(),
            "style",
            "",
            "FAILURE",
            true,
        ),
        // A word that nobody knows yet.
        (
            format!("- unit {url} : HOST_MELTED in 3s"),
            "unit",
            url,
            "HOST_MELTED",
            true,
        ),
    ] {
        assert_eq!(
            seen(&line),
            expected(name, url_seen, result, voting),
            "{line}"
        );
    }
}

#[test]
fn every_known_result_is_read_with_and_without_an_address() {
    for result in KNOWN {
        let line = format!("- unit https://logs.example/1 : {result} in 2m 01s (non-voting)");
        assert_eq!(build(&line).result, *result);
        assert_eq!(build(&format!("- unit unit : {result}")).result, *result);
    }
}

#[test]
fn details_stand_between_result_and_time() {
    let found = build(
        "- unit https://l.example/1 : ERROR Project x : y failed in stage 2 in 1h 02m 03s (non-voting)",
    );
    assert_eq!(
        found.detail.as_deref(),
        Some("Project x : y failed in stage 2")
    );
    assert_eq!((found.elapsed, found.voting), (Some(3_723), false));
    let found = build("- unit unit : NODE_FAILURE see https://l.example/2 : FAILURE in 3s");
    assert_eq!((found.url, found.result.as_str()), (None, "NODE_FAILURE"));
    let found = build("- https://l.example/1 : SUCCESS Please look. in 47s (non-voting)");
    assert_eq!(found.detail.as_deref(), Some("Please look."));
}

#[test]
fn times_are_read_in_all_their_forms() {
    let time = |text: &str| build(&format!("- unit https://l.example/1 : FAILURE {text}")).elapsed;
    assert_eq!(time("in 0s"), Some(0));
    assert_eq!(time("in 2m 01s"), Some(121));
    assert_eq!(time("in 1d 0h 0m 1s"), Some(86_401));
    assert_eq!(time("in 2 min 1 sec"), Some(121));
    assert_eq!(time("(non-voting) in 5s"), Some(5));
    for none in [
        "",
        "in time",
        "in",
        "in 5",
        "in 5 bananas",
        "5s",
        "in 99999999999999999999s",
    ] {
        assert_eq!(time(none), None, "{none}");
    }
    assert_eq!(time("in 18446744073709551615h"), Some(u64::MAX));
}

#[test]
fn what_is_no_build_is_not_taken_for_one() {
    for line in [
        "",
        "-",
        "- ",
        ":",
        " : ",
        "Build failed.",
        "Logs: https://logs.example/1",
        "Build Started https://ci.example/job/a/1/ (1/2)",
        "- unit: https://bugs.example/1 https://bugs.example/2",
        "- unit: unrecognized error",
        "No problems were identified. If you know why, add a cause. ( https://ci.example/job/a/1/ )",
        "Related changes:",
        "  - https://review.example/c/1 (config error)",
        "I saw https://logs.example/1 fail",
        "Note: this is an ERROR",
        "The unit job at https://logs.example/1 FAILURE",
    ] {
        assert_eq!(read(line), Read::Other, "{line}");
    }
}

#[test]
fn what_looks_like_a_build_and_is_none_is_told() {
    for line in [
        "- unit https://logs.example/1 : It looks fine in 3m",
        "- unit https://logs.example/1 :",
        "https://logs.example/1 : x",
        "see the log of this job please : FAILURE",
    ] {
        assert_eq!(read(line), Read::Suspicious, "{line}");
    }
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9][A-Za-z0-9_./@+-]{0,40}"
}

fn url() -> impl Strategy<Value = String> {
    let host = "[a-z0-9.-]{1,20}(:[0-9]{1,4})?";
    let path = "(/[A-Za-z0-9_.~%-]{1,12}){0,8}/?";
    let scheme = prop_oneof![Just("http"), Just("https"), Just("finger")];
    (scheme, host, path).prop_map(|(scheme, host, path)| format!("{scheme}://{host}{path}"))
}

/// What Zuul prints for a time.
fn time(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (h, m) {
        (0, 0) => format!(" in {s}s"),
        (0, _) => format!(" in {m}m {s:02}s"),
        _ => format!(" in {h}h {m:02}m {s:02}s"),
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", marked in any::<bool>()) {
        let _ = read(&text);
        let _ = read(&format!("- {text} : FAILURE {text}"));
        let _ = who(&text, marked);
        let _ = tail(&text);
    }

    #[test]
    fn what_zuul_prints_is_read_back(
        name in name(),
        url in proptest::option::of(url()),
        result in proptest::sample::select(KNOWN),
        detail in proptest::option::of("[A-Za-z][A-Za-z0-9 ,.:'-]{0,30}[a-z]"),
        seconds in proptest::option::of(0..400_000_u64),
        voting in any::<bool>(),
    ) {
        let shown = url.clone().unwrap_or_else(|| name.clone());
        let detail_shown = detail.as_ref().map(|d| format!(" {d}")).unwrap_or_default();
        let time = seconds.map(time).unwrap_or_default();
        let mark = if voting { "" } else { " (non-voting)" };
        let line = format!("- {name} {shown} : {result}{detail_shown}{time}{mark}");
        let expected = ResultLine {
            name: Some(name),
            url,
            result: result.to_owned(),
            detail,
            elapsed: seconds,
            voting,
        };
        prop_assert_eq!(read(&line), Read::Build(expected), "{}", line);
    }
}
