//! A CI of which builds begin, end and appear in any order, looked at in between.

use super::*;
use crate::event::Build;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LOOK_BACK: i64 = 100;
const PAGE: usize = 4;

/// A build as the CI knows it: seconds.
#[derive(Debug, Clone)]
struct Made {
    start: i64,
    end: i64,
    /// From when on it is listed.
    listed: i64,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn finished(number: usize, made: &Made) -> Finished {
    let mut build = Build::new(format!("b{number}"));
    build.started = Some(at(made.start));
    build.finished = Some(at(made.end));
    Finished {
        build,
        manifest_url: None,
        logs: None,
        retried: false,
    }
}

/// What is listed at `now`: the build that began last comes first.
fn listed(all: &[Made], now: i64) -> Vec<Finished> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse((all[*n].start, *n)));
    let there = order.into_iter().filter(|n| all[*n].listed <= now);
    there.map(|n| finished(n, &all[n])).collect()
}

fn span(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// One look at a list that grows by a second with each page, ending after `pages` by an error. The
/// mark goes with what is announced, as the desk keeps both or nothing.
fn look(
    all: &[Made],
    begun: i64,
    pages: usize,
    mark: &mut Mark,
    heard: &mut BTreeMap<String, u32>,
) {
    let mut look = Look::new(mark.clone(), span(LOOK_BACK), span(50), at(1_000_000));
    let (mut skip, mut now) = (0, begun);
    for _ in 0..pages {
        if look.ended {
            break;
        }
        let page: Vec<Finished> = listed(all, now).into_iter().skip(skip).take(PAGE).collect();
        let count = page.len();
        for one in look.page(page, count) {
            *heard.entry(one.build.uuid).or_default() += 1;
        }
        *mark = look.mark().clone();
        (skip, now) = (skip + count, now + 1);
    }
    if look.ended {
        *mark = look.finish();
    }
}

fn made() -> impl Strategy<Value = Made> {
    // Together no more than `LOOK_BACK`, with the few seconds that a look takes.
    (0..400_i64, 0..60_i64, 0..25_i64).prop_map(|(start, runs, late)| Made {
        start,
        end: start + runs,
        listed: start + runs + late,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_and_nothing_is_new_twice(
        all in proptest::collection::vec(made(), 1..60),
        mut looks in proptest::collection::vec((0..520_i64, 1..30_usize), 0..12),
    ) {
        looks.sort_by_key(|(when, _)| *when);
        looks.push((600, usize::MAX));
        let (mut mark, mut heard) = (Mark::default(), BTreeMap::new());
        for (when, pages) in looks {
            look(&all, when, pages, &mut mark, &mut heard);
            // A restart: only what was kept is known.
            let kept = serde_json::to_string(&mark).unwrap();
            mark = serde_json::from_str(&kept).unwrap();
        }
        for (number, made) in all.iter().enumerate() {
            let times = heard.get(&format!("b{number}")).copied().unwrap_or(0);
            prop_assert!(times <= 1, "{made:?} was heard {times} times");
            let due = mark.from.is_none_or(|from| at(made.end) >= from);
            prop_assert!(times == 1 || !due, "{made:?} was lost; {:?}", mark.from);
        }
    }
}

#[test]
fn a_first_look_goes_back_as_far_as_it_is_told() {
    let builds: Vec<Made> = [0, 60, 90, 100]
        .map(|end| Made {
            start: end - 5,
            end,
            listed: end,
        })
        .into();
    let (mut mark, mut heard) = (Mark::default(), BTreeMap::new());
    for _ in 0..3 {
        look(&builds, 200, usize::MAX, &mut mark, &mut heard);
    }
    let names: Vec<&str> = heard.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["b1", "b2", "b3"],
        "50 seconds before the newest end"
    );
}

#[test]
fn a_clock_that_runs_ahead_hides_nothing() {
    let mut look = Look::new(Mark::default(), span(LOOK_BACK), span(50), at(100));
    let ahead = Made {
        start: 90,
        end: 90_000,
        listed: 95,
    };
    assert_eq!(look.page(vec![finished(0, &ahead)], 1).len(), 1);
    look.page(Vec::new(), 0);
    let mark = look.finish();
    assert_eq!(mark.until, Some(at(100)));
    let mut look = Look::new(mark, span(LOOK_BACK), span(50), at(120));
    let usual = Made {
        start: 80,
        end: 110,
        listed: 110,
    };
    let new = look.page(vec![finished(0, &ahead), finished(1, &usual)], 2);
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].build.uuid, "b1");
}

#[test]
fn what_never_ran_has_no_time_and_is_as_old_as_its_neighbours() {
    let mut lost = finished(
        7,
        &Made {
            start: 0,
            end: 0,
            listed: 0,
        },
    );
    (lost.build.started, lost.build.finished) = (None, None);
    let usual = finished(
        1,
        &Made {
            start: 80,
            end: 110,
            listed: 110,
        },
    );
    let mut look = Look::new(Mark::default(), span(LOOK_BACK), span(50), at(200));
    assert_eq!(look.page(vec![usual.clone(), lost.clone()], 2).len(), 2);
    look.page(Vec::new(), 0);
    let mut again = Look::new(look.finish(), span(LOOK_BACK), span(50), at(200));
    assert!(again.page(vec![usual, lost], 2).is_empty());
}
