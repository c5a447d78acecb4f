use super::*;
use proptest::prelude::*;

/// Name, result and whether it votes, of all builds.
fn builds(report: &Report) -> Vec<(&str, &str, bool)> {
    let all = report.builds.iter();
    all.map(|b| {
        (
            b.name.as_deref().unwrap_or("?"),
            b.result.as_str(),
            b.voting,
        )
    })
    .collect()
}

fn status(text: &str) -> Status {
    Report::read(text).status
}

#[test]
fn a_report_of_zuul_with_all_that_it_may_hold() {
    let report = Report::read(
        "Patch Set 7: Verified-2 Code-Review+1\r\n\r\n(1 comment)\r\n\r\n\
         Build failed (gate pipeline).  For information on how to proceed, see\r\n\
         https://docs.shop.example/failing.html\r\n\r\n\
         https://zuul.shop.example/t/shop/buildset/ffffffffffffffffffffffffffffffff\r\n\r\n\
         - unit https://zuul.shop.example/t/shop/build/00112233445566778899aabbccddeeff : FAILURE in 3m 02s\r\n\
         - docs https://zuul.shop.example/t/shop/build/None : NODE_FAILURE Node request 300-1 failed in 0s\r\n\
         - lint lint : SKIPPED (non-voting)\r\n\
         Skipped 2 jobs\r\n\r\n\
         Warning:\r\n  1 configuration error\r\n",
    );
    assert_eq!(report.status, Status::Failed);
    assert_eq!(report.pipeline.as_deref(), Some("gate"));
    assert_eq!(
        builds(&report),
        [
            ("unit", "FAILURE", true),
            ("docs", "NODE_FAILURE", true),
            ("lint", "SKIPPED", false)
        ]
    );
    assert_eq!(
        report.builds[1].detail.as_deref(),
        Some("Node request 300-1 failed")
    );
    assert_eq!((report.unread_count, report.met.any()), (0, false));
    assert!(report.begins_as_report);
}

#[test]
fn a_report_of_the_gerrit_trigger_with_causes_logs_and_quoted_messages() {
    let report = Report::read(
        "Patch Set 1: Verified-1\n\nBuild Failed \n\n\
         https://ci.shop.example/job/shop-verify/17/ : FAILURE <<<\n\
         The job said:\n- inner https://x.example/1 : SUCCESS\n>>>\n\n\
         No problems were identified. If you know why, add a cause. ( https://ci.shop.example/job/shop-verify/17/ )\n\n\
         Logs: https://logs.shop.example/shop-verify/17\n\n\
         https://ci.shop.example/job/folder/job/arm%20tests/4/ : UNSTABLE (skipped)\n",
    );
    assert_eq!(report.status, Status::Failed);
    assert_eq!(report.pipeline, None);
    assert_eq!(
        builds(&report),
        [
            ("shop-verify", "FAILURE", true),
            ("folder/arm tests", "UNSTABLE", false)
        ]
    );
    assert_eq!(report.unread_count, 0);
    // Without an end it quotes nothing, and hides nothing.
    let open = Report::read(
        "https://ci.example/job/a/1/ : FAILURE <<<\nhttps://ci.example/job/b/1/ : FAILURE",
    );
    assert_eq!(open.builds.len(), 2);
}

#[test]
fn broken_lines_are_put_together() {
    for text in [
        "Build failed.\n\n- unit\n  https://logs.example/x/1 : FAILURE in 3m 02s",
        "Build failed.\n\n- unit https://logs.example/x/1\n  : FAILURE in 3m 02s",
        "Build failed.\n\n- unit https://logs.example/x/1 :\n  FAILURE in 3m 02s",
        "Build failed.\n\n- unit\nhttps://logs.example/x/1\n: FAILURE in 3m 02s",
        "\u{274c} unit : FAILURE\n    https://logs.example/x/1",
        "\u{274c} unit : FAILURE\n    (https://logs.example/x/1)",
        "Build failed.\n\n- unit https://logs.example/x/1 : FAILURE",
    ] {
        let report = Report::read(text);
        assert_eq!(builds(&report), [("unit", "FAILURE", true)], "{text}");
        assert_eq!(
            report.builds[0].url.as_deref(),
            Some("https://logs.example/x/1"),
            "{text}"
        );
        assert_eq!(
            (report.status, report.unread_count),
            (Status::Failed, 0),
            "{text}"
        );
    }
    // What stands well by itself is not put together with anything.
    let two = Report::read(
        "- some\nother https://logs.example/x/1 : FAILURE\n- third https://logs.example/x/2 : LOST",
    );
    assert_eq!(
        builds(&two),
        [("other", "FAILURE", true), ("third", "LOST", true)]
    );
}

#[test]
fn details_of_several_lines_end_with_time_and_mark() {
    let report = Report::read(
        "Build failed.\n\n- unit https://l.example/a/1 : ERROR Unable to merge:\n  one thing\n  and another in 12s (non-voting)\n\
         - docs https://l.example/a/2 : SUCCESS in 3s\n",
    );
    assert_eq!(
        builds(&report),
        [("unit", "ERROR", false), ("docs", "SUCCESS", true)]
    );
    assert_eq!(report.builds[0].elapsed, Some(12));
}

#[test]
fn without_a_head_the_builds_that_vote_decide() {
    assert_eq!(
        status("* a https://x.example/1 : SUCCESS\n* b https://x.example/2 : FAILURE"),
        Status::Failed
    );
    assert_eq!(
        status("- a https://x.example/1 : SUCCESS\n- b https://x.example/2 : FAILURE (non-voting)"),
        Status::Succeeded
    );
    assert_eq!(status("- a https://x.example/1 : SKIPPED"), Status::Other);
    // A head knows better.
    assert_eq!(
        status("Build succeeded.\n\n- a https://x.example/1 : FAILURE"),
        Status::Succeeded
    );
    assert_eq!(status("Build failed."), Status::Failed);
    for other in [
        "Starting gate jobs.",
        "Merge Failed.\n\nPlease rebase.",
        "hello",
        "",
        "Build Started https://x.example/1/",
    ] {
        assert_eq!(
            status(&format!("Patch Set 1:\n\n{other}")),
            Status::Other,
            "{other}"
        );
    }
}

#[test]
fn the_pipeline_comes_from_the_head_the_tag_or_an_address() {
    let read = |text: &str, tag| Report::read_within(text, tag, &Limits::default()).pipeline;
    let line = "- unit https://l.example/34/1234/5/check/unit/0a1b2c3 : FAILURE";
    let tag = Some("autogenerated:zuul:gate");
    assert_eq!(
        read(&format!("Build failed (post pipeline).\n\n{line}"), tag).as_deref(),
        Some("post")
    );
    assert_eq!(
        read(&format!("Build failed.\n\n{line}"), tag).as_deref(),
        Some("gate")
    );
    assert_eq!(
        read(&format!("Build failed.\n\n{line}"), None).as_deref(),
        Some("check")
    );
    assert_eq!(read("Build failed.", None), None);
}

#[test]
fn quotes_do_not_count() {
    let report = Report::read(
        "Patch Set 2:\n\n> Patch Set 2: Verified-1\n> \n> Build failed.\n> \n> - unit https://x.example/1 : FAILURE\n\nrecheck",
    );
    assert!(report.is_nothing());
    assert_eq!(report.status, Status::Other);
}

#[test]
fn people_who_paste_a_report_are_not_a_ci() {
    let pasted = "Patch Set 2:\n\nSeen again:\n\n- unit https://x.example/1 : FAILURE in 3s";
    let by = |username: Option<&str>, text: &str| {
        let comment = Comment {
            username: username.map(Into::into),
            ..Comment::of_text(text)
        };
        Report::of(&comment, None).status
    };
    assert_eq!(by(Some("ann"), pasted), Status::Other);
    assert_eq!(by(Some("shop-ci"), pasted), Status::Failed);
    assert_eq!(by(None, pasted), Status::Failed);
    // What is nothing but a report is one, whatever its author is called.
    assert_eq!(
        by(Some("acme"), "Patch Set 2: Verified-1\n\nBuild failed."),
        Status::Failed
    );
    let quoted = "> unit failed?\n\n- unit https://x.example/1 : FAILURE in 3s";
    assert_eq!(by(Some("ann"), quoted), Status::Other);
}

#[test]
fn what_was_not_understood_is_kept_and_counted() {
    let report = Report::read(
        "Build failed.\n\n- unit https://x.example/1 : We are sorry in 3s\n- docs https://x.example/2 : SUCCESS in 3s\n- lint https://x.ex",
    );
    let lines: Vec<usize> = report.unread.iter().map(|unread| unread.line).collect();
    assert_eq!((lines, report.unread_count), (vec![3, 5], 2));
    assert_eq!(builds(&report), [("docs", "SUCCESS", true)]);
}

#[test]
fn limits_are_kept_and_told() {
    let limits = Limits {
        bytes: 400,
        line: 60,
        builds: 2,
        unread: 1,
    };
    let mut text = "- a https://x.example/1 : FAILURE\n".repeat(5);
    text.push_str("- a https://x.example/1 : nothing\n- b https://x.example/1 : nothing\n");
    text.extend(["- ", &"a".repeat(60), " https://x.example/1 : FAILURE\n"]);
    text.push_str(&"\u{e9}".repeat(500));
    let report = Report::read_within(&text, None, &limits);
    assert_eq!(report.builds.len(), 2);
    assert_eq!((report.unread.len(), report.unread_count), (1, 2));
    assert_eq!((report.met.builds, report.met.lines), (3, 2));
    assert!(report.met.bytes >= text.len() - 400, "{:?}", report.met);
}

#[test]
fn a_comment_without_end_takes_no_time_without_end() {
    let line = "- unit https://x.example/34/1234/5/check/unit/0a1b2c3 : x : y : FAILURE in 1h in 2h (non-voting\n";
    let started = std::time::Instant::now();
    for text in [
        line.repeat(20_000),
        "- a\n".repeat(400_000),
        " : ".repeat(600_000),
        "- ".repeat(900_000),
    ] {
        let _ = Report::read(&text);
    }
    // A quadratic reader would need hours.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|\n|\r|> |- |https://x/| : |FAILURE| in 3s|<<<|>>>|\\(non-voting\\)|Build failed|Patch Set 1: ){0,60}") {
        let report = Report::read(&text);
        for build in &report.builds {
            prop_assert!(!build.result.is_empty());
        }
        let comment = Comment::of_text(&text);
        for build in super::super::builds(&comment, &report) {
            prop_assert!(crate::event::Build::check_uuid(&build.uuid).is_ok(), "{}", build.uuid);
        }
    }

    #[test]
    fn every_line_of_a_report_is_found(
        names in proptest::collection::vec("[a-z][a-z0-9.-]{0,12}", 1..12),
        prefix in prop_oneof![Just(""), Just("Patch Set 12: Verified-1\n\n"), Just("Patch Set 3: hi there\n\n")],
        end in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let mut text = format!("{prefix}Build failed (check pipeline).{end}{end}");
        for (number, name) in names.iter().enumerate() {
            let url = format!("https://zuul.example/t/x/build/{number:032x}");
            text.extend(["- ", name, " ", &url, " : FAILURE in 1m 02s", end]);
        }
        let report = Report::read(&text);
        let found: Vec<&str> = report.builds.iter().filter_map(|build| build.name.as_deref()).collect();
        prop_assert_eq!(found, names);
        prop_assert_eq!((report.status, report.unread_count), (Status::Failed, 0));
        prop_assert_eq!(report.pipeline.as_deref(), Some("check"));
    }
}
