use super::super::tail::tail;
use super::*;
use proptest::prelude::*;

fn build(line: &str) -> ResultLine {
    match read(line) {
        Read::Build(found) => found,
        other => panic!("{line}: {other:?}"),
    }
}

/// The forms of a line, with the name, address, result and mark that it has; `URL` is an address of
/// a log folder, and `_` nothing.
const FORMS: &str = "
- unit URL : FAILURE in 1h 02m 03s              | unit | URL | FAILURE | voting
- unit URL : FAILURE                            | unit | URL | FAILURE | voting
- unit URL : FAILURE (non-voting)               | unit | URL | FAILURE | not
- unit URL : FAILURE in 3s (non-voting)         | unit | URL | FAILURE | not
- URL : SUCCESS in 3s                           | _ | URL | SUCCESS | voting
* unit URL : FAILURE in 01s                     | unit | URL | FAILURE | voting
\u{2022} unit URL : FAILURE                      | unit | URL | FAILURE | voting
  - unit URL : FAILURE                          | unit | URL | FAILURE | voting
unit URL : FAILURE in 1h 23m 53s                | unit | URL | FAILURE | voting
URL : ABORTED                                   | _ | URL | ABORTED | voting
URL : FAILURE (skipped)                         | _ | URL | FAILURE | not
URL : UNSTABLE <<<                              | _ | URL | UNSTABLE | voting
- a.b/c_d-py3.9 URL : LOST                      | a.b/c_d-py3.9 | URL | LOST | voting
- unit tests URL : LOST                         | unit tests | URL | LOST | voting
- unit: URL : LOST                              | unit | URL | LOST | voting
- `unit` <URL> : LOST                           | unit | URL | LOST | voting
- unit finger://ze1.example/00ff : SKIPPED      | unit | finger://ze1.example/00ff | SKIPPED | voting
- unit build/00ff : DISK_FULL                   | unit | build/00ff | DISK_FULL | voting
- unit unit : NODE_FAILURE                      | unit | _ | NODE_FAILURE | voting
- unit tests unit tests : SKIPPED               | unit tests | _ | SKIPPED | voting
- unit None : NODE_FAILURE in 0s                | unit | _ | NODE_FAILURE | voting
- unit : LOST                                   | unit | _ | LOST | voting
- unit URL: FAILURE                             | unit | URL | FAILURE | voting
- unit URL FAILURE in 3m                        | unit | URL | FAILURE | voting
- unit URL : failure                            | unit | URL | FAILURE | voting
:x: [unit](URL) **FAILURE** in 3m (non-voting)  | unit | URL | FAILURE | not
- :heavy_check_mark: [unit](URL) SUCCESS in 3m  | unit | URL | SUCCESS | voting
* [unit](URL) : FAILURE                         | unit | URL | FAILURE | voting
\u{274c} style : FAILURE                         | style | _ | FAILURE | voting
- unit: FAILURE URL                             | unit | URL | FAILURE | voting
- unit : FAILURE URL in 3m 02s (non-voting)     | unit | URL | FAILURE | not
- unit: FAILURE in 3m 02s                       | unit | _ | FAILURE | voting
12. unit URL : FAILURE                          | unit | URL | FAILURE | voting
- unit URL : HOST_MELTED in 3s                  | unit | URL | HOST_MELTED | voting
";

#[test]
fn the_forms_of_a_line_are_read() {
    let url = "https://logs.example/34/1234/5/check/unit/0a1b2c3";
    for form in FORMS.lines().filter(|line| !line.is_empty()) {
        let form = form.replace("URL", url);
        let (line, expected) = form.split_once("  |").or(form.split_once(" |")).unwrap();
        let found = build(line);
        let text = |text: Option<String>| text.unwrap_or_else(|| "_".to_owned());
        let voting = if found.voting { "voting" } else { "not" };
        let seen = [
            text(found.name),
            text(found.url),
            found.result,
            voting.to_owned(),
        ];
        assert_eq!(seen.join(" | "), expected.trim(), "{line}");
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
        "- note: ERROR is what it says",
        "- note: FAILURE to see https://logs.example/1",
        "- note this: FAILURE",
        "12.5 seconds https://logs.example/1",
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
        "- unit https://logs.example/1 : TIMED_O",
        "see the log of this job please : FAILURE",
        "- nit: please use https://logs.example/1 : FAILURE",
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
