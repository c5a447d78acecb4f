//! What is said, to the letter.

use super::{Place, build, found};
use whorl::event::{Build, Match, Verdict};
use whorl::note::{Hears, Markup, Wording};
use whorl::state::{Manner, NoteState};

fn review() -> Place {
    Place::new(&[("gerrit", Hears::Patchsets), ("irc", Hears::Lines)])
}

fn texts(place: &Place) -> (String, String) {
    let notes = place.notes();
    let of = |target: &str| {
        let of = notes.iter().filter(|n| n.target == target);
        of.map(|n| n.text.clone()).collect::<Vec<_>>().join("\n")
    };
    (of("gerrit"), of("irc"))
}

#[test]
fn one_job_with_a_known_bug() {
    let place = review();
    let one = build("u1", "gate-full", "2");
    place.verdict(
        &one,
        Verdict::Matched,
        &[found("1182131", "Security group race")],
    );
    let (review, chat) = texts(&place);
    insta::assert_snapshot!("one_known", review);
    insta::assert_snapshot!("one_known_chat", chat);
    let notes = place.notes();
    assert_eq!(notes[0].manner, Manner::Follow);
    assert_eq!(
        notes[0].json["builds"][0]["bugs"][0]["fingerprint"],
        "1182131"
    );
    assert_eq!(
        notes[0].json["builds"][0]["bugs"][0]["evidence"][0]["line"],
        7
    );
}

#[test]
fn many_jobs_of_which_one_is_not_explained() {
    let place = review();
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
    let silent = Build {
        voting: Some(false),
        ..build("u3", "docs", "2")
    };
    place.verdict(
        &build("u1", "unit", "2"),
        Verdict::Matched,
        &[returned, found("9", "Other"), quiet],
    );
    place.verdict(&build("u2", "gate", "2"), Verdict::Unmatched, &[]);
    place.verdict(&silent, Verdict::PartialLog, &[found("9", "Other")]);
    let (review, _) = texts(&place);
    insta::assert_snapshot!("mixed", review);
}

#[test]
fn nothing_is_explained() {
    let place = review();
    place.verdict(&build("u1", "unit", "2"), Verdict::Unmatched, &[]);
    place.verdict(&build("u2", "gate", "2"), Verdict::Unmatched, &[]);
    let (review, chat) = texts(&place);
    insta::assert_snapshot!("unexplained", review);
    insta::assert_snapshot!("unexplained_chat", chat);
}

#[test]
fn all_of_several_jobs_are_known() {
    let place = review();
    let plain = |id: &str| Match {
        advice: None,
        evidence: Vec::new(),
        ..found(id, "Known")
    };
    place.verdict(&build("u1", "unit", "2"), Verdict::Matched, &[plain("1")]);
    place.verdict(&build("u2", "gate", "2"), Verdict::Matched, &[plain("1")]);
    insta::assert_snapshot!("all_known", texts(&place).0);
}

#[test]
fn a_job_that_ran_again_counts_once_with_its_latest_build() {
    let place = review();
    let mut first = build("u1", "unit", "2");
    first.finished = Some("2026-01-01T00:00:00Z".parse().unwrap());
    place.verdict(&first, Verdict::Matched, &[found("1", "First")]);
    place.verdict(
        &build("u2", "unit", "2"),
        Verdict::Matched,
        &[found("2", "Second")],
    );
    let review = texts(&place).0;
    assert!(
        review.starts_with("unit failed because of a known bug."),
        "{review}"
    );
    assert!(
        review.contains("Second") && !review.contains("First"),
        "{review}"
    );
}

#[test]
fn a_newer_patchset_makes_older_notes_outdated() {
    let place = review();
    let state = &place.state;
    let now = jiff::Timestamp::now();
    place.verdict(
        &build("u1", "unit", "1"),
        Verdict::Matched,
        &[found("1", "One")],
    );
    let first = place.notes().remove(0);
    state.note_delivered(first.id, 1, Some("c1"), now).unwrap();
    place.verdict(
        &build("u2", "unit", "2"),
        Verdict::Matched,
        &[found("1", "One")],
    );
    let of = |topic: &str| place.notes().into_iter().find(|n| n.topic.contains(topic));
    let old = of("1234,1").unwrap();
    assert_eq!(
        (&*old.kind, old.state, old.generation),
        ("outdated", NoteState::Due, 2)
    );
    insta::assert_snapshot!("outdated", old.text);
    assert_eq!(old.json["change"], "1234");
    assert_eq!(old.json["patchset"], "1");
    assert_eq!(old.json["project"], "openstack/nova");
    // A job of the old patchset that ends now says nothing.
    place.verdict(
        &build("u3", "late", "1"),
        Verdict::Matched,
        &[found("1", "One")],
    );
    assert_eq!(of("1234,1").unwrap().generation, 2);
    // What nobody had heard yet is just dropped.
    place.verdict(&build("u4", "unit", "3"), Verdict::Unmatched, &[]);
    assert_eq!(of("1234,2").unwrap().state, NoteState::Superseded);
    assert_eq!(of("1234,3").unwrap().state, NoteState::Due);
}

#[test]
fn a_fingerprint_that_was_wrong_is_taken_back() {
    let place = review();
    let one = build("u1", "unit", "2");
    place.verdict(&one, Verdict::Matched, &[found("1", "One")]);
    let first = place.notes().remove(0);
    let now = jiff::Timestamp::now();
    place
        .state
        .note_delivered(first.id, 1, Some("c1"), now)
        .unwrap();
    place.verdict(&one, Verdict::NoLog, &[]);
    let note = place.notes().remove(0);
    assert_eq!((&*note.kind, note.state), ("withdrawn", NoteState::Due));
    insta::assert_snapshot!("withdrawn", note.text);
}

#[test]
fn there_are_times_to_be_silent() {
    let place = review();
    let quiet = Match {
        quiet: true,
        ..found("8", "Hidden")
    };
    let passed = Build {
        result: Some("SUCCESS".into()),
        ..build("u1", "a", "2")
    };
    let silent = Build {
        voting: Some(false),
        ..build("u2", "b", "2")
    };
    place.verdict(&passed, Verdict::Matched, &[found("1", "x")]);
    place.verdict(&silent, Verdict::Unmatched, &[]);
    place.verdict(&build("u3", "c", "2"), Verdict::Matched, &[quiet]);
    for (n, verdict) in [Verdict::NoLog, Verdict::Error, Verdict::PartialLog]
        .into_iter()
        .enumerate()
    {
        place.verdict(&build(&format!("v{n}"), "d", "2"), verdict, &[]);
    }
    assert!(place.notes().is_empty(), "{:?}", place.notes());
}

#[test]
fn a_log_cannot_make_lines_of_its_own() {
    let place = review();
    let mut one = found("1", "title\nwhorl-note: {}");
    one.evidence[0].file = "a\nwhorl-note: {}".into();
    one.evidence[0].excerpt = "x\u{202e}whorl-note: {}`".into();
    one.evidence[0].spans.clear();
    let mut forged = build("u1", "gate\nwhorl-note: {}", "2");
    forged.result = Some("FAILURE\nwhorl-note: {}".into());
    place.verdict(&forged, Verdict::Matched, &[one]);
    let (review, chat) = texts(&place);
    assert!(
        !review.lines().any(|l| l.starts_with("whorl-note:")),
        "{review}"
    );
    assert_eq!(chat.lines().count(), 1, "{chat}");
    assert!(!review.contains('\u{202e}'));
}

#[test]
fn words_can_be_replaced_and_a_wrong_template_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("chat.txt"), "{{ jobs[0].name }}: look!").unwrap();
    assert!(Wording::new(Some(path)).is_ok());
    for (text, wanted) in [
        ("line\n{% if %}", "chat.txt:2"),
        (
            "{{ nonsense }}",
            "chat.txt:1: uses a name that does not exist",
        ),
        ("{{ total.foo.bar }}", "chat.txt:1"),
    ] {
        std::fs::write(path.join("chat.txt"), text).unwrap();
        let error = Wording::new(Some(path)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn markdown_says_only_what_it_should() {
    let wording = Wording::new(None).unwrap();
    let place = review();
    let mut one = found("1", "*bold* <b> @someone [x](http://evil)");
    one.bug.url = Some("https://bugs.example/1?a=(b)".into());
    let verdict = Verdict::Matched;
    let speaker = whorl::note::Speaker::new(
        wording,
        vec![whorl::note::Voice {
            target: "github".into(),
            hears: Hears::Builds,
            markup: Markup::Markdown,
            route: None,
        }],
        "https://whorl.example",
        true,
    );
    drop(place);
    let around = whorl::state::Surroundings::default();
    let notes = speaker.notes(&build("u1", "unit", "2"), verdict, &[one], &around);
    insta::assert_snapshot!("markdown", notes[0].text);
}
