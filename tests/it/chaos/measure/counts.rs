//! The numbers, against a plain count.

use proptest::prelude::*;
use std::collections::BTreeMap;
use whorl::chaos::measure::{Kind, Labelled, Meant, Measured, Run, Share, measured};
use whorl::event::Verdict;

const CAUSES: [&str; 4] = ["a", "b", "c", "d"];
/// `a` and `b` are causes that have a fingerprint of their name; `f` and `g` have none.
const IDS: [&str; 5] = ["a", "b", "f", "g", "h"];

fn meant() -> Meant {
    let expects = [("c", vec!["f".to_owned(), "g".to_owned()]), ("d", vec![])];
    Meant {
        expects: expects.map(|(cause, ids)| (cause.to_owned(), ids)).into(),
        allowed: ["h".to_owned()].into(),
        known: IDS.map(str::to_owned).to_vec(),
        texts: BTreeMap::new(),
    }
}

fn labelled(name: usize, causes: &[&str], verified: bool) -> Labelled {
    let causes: Vec<String> = causes.iter().map(|cause| (*cause).to_owned()).collect();
    serde_json::from_value(serde_json::json!({
        "run": format!("r{name}"), "causes": causes, "verified": verified, "logs": "x",
    }))
    .unwrap()
}

/// What one random run is made of.
type Drawn = (Vec<&'static str>, bool, bool, Verdict, Vec<&'static str>);

fn drawn() -> impl Strategy<Value = Drawn> {
    let verdict = prop_oneof![
        8 => Just(Verdict::Matched),
        1 => Just(Verdict::PartialLog),
        1 => Just(Verdict::NoLog),
    ];
    (
        proptest::sample::subsequence(CAUSES.to_vec(), 0..=2),
        any::<bool>(),
        proptest::bool::weighted(0.9),
        verdict,
        proptest::sample::subsequence(IDS.to_vec(), 0..=3),
    )
}

fn runs(drawn: &[Drawn]) -> Vec<Run> {
    let all = drawn.iter().enumerate();
    all.map(|(at, (causes, failed, verified, verdict, found))| {
        let found = found.iter().map(|id| (*id).to_owned()).collect();
        Run::new(&labelled(at, causes, *verified), *failed, *verdict, found)
    })
    .collect()
}

/// Whether a fingerprint is meant to find one of the causes, said once more in other words.
fn is_for(id: &str, causes: &[&str]) -> bool {
    match id {
        "a" | "b" => causes.contains(&id),
        "f" | "g" => causes.contains(&"c"),
        _ => false,
    }
}

fn judges(drawn: &Drawn) -> bool {
    let (_, _, verified, verdict, _) = drawn;
    *verified && *verdict == Verdict::Matched
}

/// Recall and precision, counted plainly.
fn plainly(id: &str, drawn: &[Drawn]) -> [u64; 4] {
    let mut counts = [0; 4];
    for (causes, failed, _, _, found) in drawn.iter().filter(|drawn| judges(drawn)) {
        let (own, fired) = (is_for(id, causes), found.contains(&id));
        let sick = *failed && !causes.is_empty();
        if sick && own {
            counts[1] += 1;
        }
        if sick && own && fired {
            counts[0] += 1;
            counts[2] += 1;
        }
        let noise = *failed && causes.is_empty();
        let own_but_passed = !*failed && own;
        if fired && !noise && !own_but_passed {
            counts[3] += 1;
        }
    }
    counts
}

fn count(measured: &Measured, kind: Kind) -> u64 {
    measured.runs.iter().filter(|run| run.kind == kind).count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn counts_are_those_of_a_plain_count(drawn in proptest::collection::vec(drawn(), 0..40)) {
        let measured = measured("t", "v", runs(&drawn), &meant());
        for id in IDS {
            let [n, of, right, fired] = plainly(id, &drawn);
            let (recall, precision) = measured.of(id).map_or_else(
                || (Share::new(0, 0), Share::new(0, 0)),
                |score| (score.recall, score.precision),
            );
            prop_assert_eq!((recall.n, recall.of), (n, of), "recall of {}", id);
            prop_assert_eq!((precision.n, precision.of), (right, fired), "precision of {}", id);
        }
        let totals = &measured.totals;
        prop_assert_eq!(totals.runs, drawn.len() as u64);
        prop_assert_eq!(
            totals.failed + totals.passed + totals.noise + totals.clean + totals.inconclusive,
            totals.runs
        );
        prop_assert_eq!(totals.noise, count(&measured, Kind::Noise));
        prop_assert_eq!(totals.inconclusive, drawn.iter().filter(|d| !judges(d)).count() as u64);
        // The rows of the matrix are the failed runs, each once.
        let rows: u64 = measured.causes.iter().map(|row| row.failed).sum();
        prop_assert_eq!(rows, totals.failed);
        // A fingerprint that fires on a clean control run fails the measurement, unless it may.
        let clean = |d: &&Drawn| judges(d) && d.0.is_empty() && !d.1;
        let fails = drawn.iter().filter(clean).any(|d| d.4.iter().any(|id| *id != "h"));
        prop_assert_eq!(measured.fails(), fails);
        // A cause is uncaught when it made runs fail and nothing that is meant to find it ever did.
        for row in &measured.causes {
            let missed = row.failed > 0
                && row.expects.iter().all(|id| row.found.get(id).is_none_or(|n| *n == 0));
            let told = measured.uncaught.iter().any(|uncaught| uncaught.cause == row.name);
            prop_assert_eq!(missed, told, "{}", row.name);
        }
    }
}

#[test]
fn intervals_are_the_published_ones() {
    // Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    for (n, of, low, high) in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ] {
        let share = Share::new(n, of);
        assert!(
            (share.low - low).abs() < 5e-5 && (share.high - high).abs() < 5e-5,
            "{share:?}"
        );
    }
    assert_eq!(Share::new(42, 45).to_string(), "0.93 (42 of 45)");
    assert_eq!(Share::new(42, 45).interval(), "0.82 – 0.98");
    let nothing = Share::new(0, 0);
    assert_eq!(
        (nothing.low, nothing.high, nothing.rate()),
        (0.0, 1.0, None)
    );
}

#[test]
fn what_is_said_of_a_fingerprint_and_what_only_sees_an_echo() {
    let mut drawn: Vec<Drawn> = Vec::new();
    // 42 of 45 are found; `h` hears each of them, and has no cause of its own.
    for at in 0..45 {
        let found = if at < 42 { vec!["a", "h"] } else { vec!["h"] };
        drawn.push((vec!["a"], true, true, Verdict::Matched, found));
    }
    drawn.push((vec![], false, true, Verdict::Matched, vec!["h"]));
    drawn.push((vec![], true, true, Verdict::Matched, vec!["a"]));
    drawn.push((vec!["a"], false, true, Verdict::Matched, vec!["a"]));
    let measured = measured("t", "v", runs(&drawn), &meant());
    let score = measured.of("a").unwrap();
    assert_eq!(
        score.in_words(),
        "measured: recall 0.93 (42 of 45), precision 1.00 (42 of 42)"
    );
    assert_eq!((score.noise, score.passed), (1, 1), "kept apart");
    let echo = &measured.echoes[0];
    assert_eq!(
        (echo.fingerprint.as_str(), echo.own, echo.of["a"]),
        ("h", 0, 45)
    );
    assert!(measured.on_controls[0].allowed && !measured.fails());
    assert_eq!(measured.headline.to_string(), "0.93 (42 of 45)");
}
