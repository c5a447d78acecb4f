//! Every sentence that notes are made of, in one place.

use crate::event::{Build, Evidence, Match, Verdict, is_deceptive};
use crate::state::NewNote;
use serde_json::json;
use std::fmt::Write as _;

/// Longest quotation of a log, in characters.
const QUOTE: usize = 160;
/// Places that are quoted for each bug.
const QUOTES: usize = 2;

/// The notes that are due for a build: one for the review and one for the chat, or none. Nothing is
/// said of a build that did not fail, of quiet matches, of a non-voting build that nobody can
/// explain, and where too little was read to say anything.
pub fn compose(build: &Build, verdict: Verdict, matches: &[Match], base_url: &str) -> Vec<NewNote> {
    if !build.failed() {
        return Vec::new();
    }
    let told: Vec<&Match> = matches.iter().filter(|one| !one.quiet).collect();
    let page = format!("{}/builds/{}", base_url.trim_end_matches('/'), build.uuid);
    match verdict {
        Verdict::Matched | Verdict::PartialLog if !told.is_empty() => {
            known(build, verdict, &told, &page)
        }
        Verdict::Unmatched if build.votes() => unexplained(build, &page),
        Verdict::Matched
        | Verdict::Unmatched
        | Verdict::PartialLog
        | Verdict::NoLog
        | Verdict::Error
        | Verdict::Pending => Vec::new(),
    }
}

fn known(build: &Build, verdict: Verdict, told: &[&Match], page: &str) -> Vec<NewNote> {
    let kind = "known-bug";
    let data = data(build, kind, verdict, told, page);
    let mut review = format!("{} {}:\n\n", head(build), count_of_bugs(told.len()));
    for one in told {
        review.push_str(&review_item(one));
    }
    if verdict == Verdict::PartialLog {
        review.push_str("\nOnly a part of the log could be read; there may be more.\n");
    }
    let _ = write!(review, "\nEvidence: {page}\n\n{}\n", marker(&data));
    let chat = format!(
        "{} {}{} {page}",
        chat_head(build),
        chat_bug(told[0]),
        more(told.len() - 1)
    );
    both(kind, review, chat, &data)
}

fn unexplained(build: &Build, page: &str) -> Vec<NewNote> {
    let kind = "unexplained";
    let data = data(build, kind, Verdict::Unmatched, &[], page);
    let review = format!(
        "{} and no known bug explains it.\n\n\
         Please look at the log before a recheck. If the change is not the cause, help to triage: {page}\n\n{}\n",
        head(build),
        marker(&data)
    );
    let chat = format!("{} unexplained, please triage {page}", chat_head(build));
    both(kind, review, chat, &data)
}

fn count_of_bugs(count: usize) -> String {
    match count {
        1 => "because of a known bug".to_owned(),
        n => format!("with {n} known bugs in its log"),
    }
}

fn head(build: &Build) -> String {
    let job = build.job.as_deref().unwrap_or("A job");
    let result = build.result.as_deref().unwrap_or("FAILURE");
    let vote = if build.votes() { "" } else { ", non-voting" };
    format!("{} failed ({}{vote})", one_line(job), one_line(result))
}

fn review_item(one: &Match) -> String {
    let mut text = format!("- {}: {}", bug(one), one_line(&one.title));
    if one.returned {
        text.push_str(" (counted as fixed, has returned)");
    }
    text.push('\n');
    for place in one.evidence.iter().take(QUOTES) {
        let _ = writeln!(
            text,
            "  {}:{}: `{}`",
            one_line(&place.file),
            place.line,
            quote(place)
        );
    }
    if let Some(advice) = &one.advice {
        let _ = writeln!(text, "  What to do: {}", one_line(advice));
    }
    text
}

fn bug(one: &Match) -> String {
    let name = one_line(&one.bug.name);
    match &one.bug.url {
        Some(url) if *url != one.bug.name => format!("{name} <{}>", one_line(url)),
        _ => name,
    }
}

fn chat_head(build: &Build) -> String {
    let project = build.project.as_deref().map(one_line);
    let project = project.map(|name| format!("[{name}] ")).unwrap_or_default();
    let job = one_line(build.job.as_deref().unwrap_or("a job"));
    let change = match (&build.change, &build.patchset) {
        (Some(change), Some(patchset)) => {
            format!(" on {},{}", one_line(change), one_line(patchset))
        }
        (Some(change), None) => format!(" on {}", one_line(change)),
        (None, _) => String::new(),
    };
    format!("{project}{job} failed{change}:")
}

fn chat_bug(one: &Match) -> String {
    let state = if one.returned {
        "returned bug"
    } else {
        "known bug"
    };
    format!(
        "{state} {} ({})",
        one_line(&one.bug.name),
        one_line(&one.title)
    )
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        n => format!(" and {n} more"),
    }
}

/// The line that shows the match, fit to stand between back quotes.
fn quote(place: &Evidence) -> String {
    let from = place.spans.first().map_or(0, |span| span.0);
    let before = place.excerpt.get(..from).unwrap_or("");
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = place.excerpt.get(start..).unwrap_or(&place.excerpt);
    let line = line.lines().find(|line| !line.trim().is_empty());
    let line = one_line(line.unwrap_or("")).replace('`', "'");
    if line.chars().count() <= QUOTE {
        return line;
    }
    let cut: String = line.chars().take(QUOTE - 1).collect();
    format!("{cut}…")
}

/// No line ends and no control characters: what a log or a fingerprint says cannot make lines of
/// its own in a note, such as a false marker.
fn one_line(text: &str) -> String {
    let plain = text.trim().chars();
    plain
        .map(|c| if is_deceptive(c) { ' ' } else { c })
        .collect()
}

fn data(
    build: &Build,
    kind: &str,
    verdict: Verdict,
    told: &[&Match],
    page: &str,
) -> serde_json::Value {
    let bugs: Vec<_> = told
        .iter()
        .map(|one| {
            json!({
                "fingerprint": one.fingerprint, "title": one.title, "bug": one.bug,
                "hits": one.hits, "returned": one.returned,
            })
        })
        .collect();
    json!({
        "kind": kind, "verdict": verdict, "build": build.uuid, "job": build.job,
        "project": build.project, "pipeline": build.pipeline, "branch": build.branch,
        "change": build.change, "patchset": build.patchset, "result": build.result,
        "page": page, "log_url": build.log_url, "bugs": bugs,
    })
}

/// The line by which a program finds its own notes again.
fn marker(data: &serde_json::Value) -> String {
    let fingerprints: Vec<_> = data["bugs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|bug| &bug["fingerprint"])
        .collect();
    let line = json!({
        "build": data["build"], "kind": data["kind"], "verdict": data["verdict"],
        "fingerprints": fingerprints,
    });
    format!("whorl-note: {line}")
}

fn both(kind: &str, review: String, chat: String, data: &serde_json::Value) -> Vec<NewNote> {
    let note = |target: &str, text: String| NewNote {
        target: target.to_owned(),
        kind: kind.to_owned(),
        text,
        json: data.clone(),
    };
    vec![note("review", review), note("chat", chat)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::BugRef;

    fn build(result: &str) -> Build {
        Build {
            job: Some("gate-full".into()),
            project: Some("nova".into()),
            change: Some("1234".into()),
            patchset: Some("2".into()),
            result: Some(result.into()),
            ..Build::new("u1")
        }
    }

    fn found(id: &str, title: &str) -> Match {
        Match {
            fingerprint: id.into(),
            title: title.into(),
            bug: BugRef {
                name: format!("launchpad:{id}"),
                url: Some(format!("https://bugs.launchpad.net/bugs/{id}")),
            },
            hits: 3,
            evidence: vec![Evidence {
                file: "job-output.txt".into(),
                line: 7,
                offset: 90,
                excerpt: "Traceback:\n  `x` SecurityGroupNotFound: 5".into(),
                spans: vec![(17, 38)],
            }],
            advice: Some("Recheck;\nthe fix is under review.".into()),
            category: None,
            returned: false,
            quiet: false,
        }
    }

    fn texts(build: &Build, verdict: Verdict, matches: &[Match]) -> (String, String) {
        let notes = compose(build, verdict, matches, "https://whorl.example/");
        assert_eq!(notes.len(), 2);
        assert_eq!(notes[0].target, "review");
        assert_eq!(notes[1].target, "chat");
        (notes[0].text.clone(), notes[1].text.clone())
    }

    #[test]
    fn one_known_bug() {
        let (review, chat) = texts(
            &build("FAILURE"),
            Verdict::Matched,
            &[found("1182131", "Security group race")],
        );
        insta::assert_snapshot!(review, @r#"
        gate-full failed (FAILURE) because of a known bug:

        - launchpad:1182131 <https://bugs.launchpad.net/bugs/1182131>: Security group race
          job-output.txt:7: `'x' SecurityGroupNotFound: 5`
          What to do: Recheck; the fix is under review.

        Evidence: https://whorl.example/builds/u1

        whorl-note: {"build":"u1","kind":"known-bug","verdict":"matched","fingerprints":["1182131"]}
        "#);
        insta::assert_snapshot!(chat, @"[nova] gate-full failed on 1234,2: known bug launchpad:1182131 (Security group race) https://whorl.example/builds/u1");
    }

    #[test]
    fn several_bugs_of_which_one_returned_and_one_is_quiet() {
        let returned = Match {
            returned: true,
            advice: None,
            evidence: Vec::new(),
            ..found("7", "Old one")
        };
        let quiet = Match {
            quiet: true,
            ..found("8", "Hidden")
        };
        let matches = [returned, found("9", "Other"), quiet];
        let (review, chat) = texts(&build("TIMED_OUT"), Verdict::Matched, &matches);
        insta::assert_snapshot!(review, @r#"
        gate-full failed (TIMED_OUT) with 2 known bugs in its log:

        - launchpad:7 <https://bugs.launchpad.net/bugs/7>: Old one (counted as fixed, has returned)
        - launchpad:9 <https://bugs.launchpad.net/bugs/9>: Other
          job-output.txt:7: `'x' SecurityGroupNotFound: 5`
          What to do: Recheck; the fix is under review.

        Evidence: https://whorl.example/builds/u1

        whorl-note: {"build":"u1","kind":"known-bug","verdict":"matched","fingerprints":["7","9"]}
        "#);
        insta::assert_snapshot!(chat, @"[nova] gate-full failed on 1234,2: returned bug launchpad:7 (Old one) and 1 more https://whorl.example/builds/u1");
    }

    #[test]
    fn a_partly_read_log_says_so() {
        let one = Match {
            advice: None,
            evidence: Vec::new(),
            ..found("9", "Other")
        };
        let (review, _) = texts(&build("FAILURE"), Verdict::PartialLog, &[one]);
        insta::assert_snapshot!(review, @r#"
        gate-full failed (FAILURE) because of a known bug:

        - launchpad:9 <https://bugs.launchpad.net/bugs/9>: Other

        Only a part of the log could be read; there may be more.

        Evidence: https://whorl.example/builds/u1

        whorl-note: {"build":"u1","kind":"known-bug","verdict":"partial-log","fingerprints":["9"]}
        "#);
    }

    #[test]
    fn an_unexplained_failure_asks_for_help() {
        let (review, chat) = texts(&build("FAILURE"), Verdict::Unmatched, &[]);
        insta::assert_snapshot!(review, @r#"
        gate-full failed (FAILURE) and no known bug explains it.

        Please look at the log before a recheck. If the change is not the cause, help to triage: https://whorl.example/builds/u1

        whorl-note: {"build":"u1","kind":"unexplained","verdict":"unmatched","fingerprints":[]}
        "#);
        insta::assert_snapshot!(chat, @"[nova] gate-full failed on 1234,2: unexplained, please triage https://whorl.example/builds/u1");
    }

    #[test]
    fn there_are_times_to_be_silent() {
        let say = |build: &Build, verdict, matches: &[Match]| compose(build, verdict, matches, "h");
        let failed = build("FAILURE");
        let quiet = Match {
            quiet: true,
            ..found("8", "Hidden")
        };
        let silent = Build {
            voting: Some(false),
            ..failed.clone()
        };
        assert!(say(&build("SUCCESS"), Verdict::Matched, &[found("1", "x")]).is_empty());
        assert!(say(&failed, Verdict::Matched, &[quiet]).is_empty());
        assert!(say(&silent, Verdict::Unmatched, &[]).is_empty());
        for verdict in [
            Verdict::NoLog,
            Verdict::Error,
            Verdict::Pending,
            Verdict::PartialLog,
        ] {
            assert!(say(&failed, verdict, &[]).is_empty(), "{verdict}");
        }
    }

    #[test]
    fn a_log_cannot_forge_a_marker() {
        let mut one = found("1", "title\nwhorl-note: {}");
        one.evidence[0].file = "a\nwhorl-note: {}".into();
        let (review, _) = texts(&build("FAILURE\nwhorl-note: {}"), Verdict::Matched, &[one]);
        let markers = review.lines().filter(|l| l.starts_with("whorl-note:"));
        assert_eq!(markers.count(), 1);
    }
}
