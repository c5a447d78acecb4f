//! Which calls fail: the same with any number of threads, as often as they should.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use whorl::chance::{Kind, Phase, Plan, Rates, Record, Site, Spot};

const SITE: Site = Site::new("store.append", &[Kind::before("io"), Kind::either("index")]);

fn spot(seed: u64, rate: f64) -> Spot {
    let rates = Rates::new(rate, [].into()).unwrap();
    Plan::new(seed, rates, "test", Record::nowhere()).spot(&SITE)
}

/// The failing calls of `threads` that make 4000 calls together.
fn failing(seed: u64, threads: usize) -> BTreeSet<u64> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faults.jsonl");
    let rates = Rates::new(0.1, [].into()).unwrap();
    let plan = Plan::new(seed, rates, "test", Record::to(&file, 1 << 20).unwrap());
    let spot = plan.spot(&SITE);
    let failed = Arc::new(Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..4000 / threads {
                    let done = spot.around("", |kind| kind, || Ok(()));
                    *failed.lock().unwrap() += usize::from(done.is_err());
                }
            });
        }
    });
    let faults = Record::read(&file).unwrap();
    let numbers: BTreeSet<u64> = faults.iter().map(|fault| fault.n).collect();
    assert_eq!(numbers.len(), *failed.lock().unwrap());
    numbers
}

#[test]
fn the_same_calls_fail_with_any_number_of_threads() {
    let one = failing(42, 1);
    assert!((350..450).contains(&one.len()), "{}", one.len());
    assert_eq!(one, failing(42, 4));
    assert_eq!(one, failing(42, 8));
    assert_ne!(one, failing(43, 1));
}

#[test]
fn each_key_has_its_own_calls() {
    let (one, other) = (spot(5, 0.3), spot(5, 0.3));
    let ask = |spot: &Spot, key: &str| {
        spot.decide(key)
            .map(|mishap| (mishap.kind.name, mishap.phase))
    };
    let alone: Vec<_> = (0..100).map(|_| ask(&one, "a")).collect();
    // Calls with other keys, and with none, come between.
    let between = (0..100).map(|n| {
        ask(&other, "");
        ask(&other, &format!("b{n}"));
        ask(&other, "a")
    });
    assert_eq!(alone, between.collect::<Vec<_>>());
    let foretold: Vec<_> = (0..100).map(|n| one.foretell("a", n)).collect();
    assert_eq!(alone, foretold);
    assert!(alone.contains(&Some(("index", Phase::After))));
    assert!(
        !alone.contains(&Some(("io", Phase::After))),
        "not in the table"
    );
}

#[test]
fn rates_are_kept_to() {
    let failed = |rate: f64| {
        let spot = spot(9, rate);
        (0..200_000).filter(|_| spot.decide("").is_some()).count()
    };
    assert_eq!((failed(0.0), failed(1.0)), (0, 200_000));
    assert!((19_400..20_600).contains(&failed(0.1)), "{}", failed(0.1));
    assert!((1_800..2_200).contains(&failed(0.01)), "{}", failed(0.01));
}

#[test]
fn a_healed_plan_counts_on() {
    let rates = Rates::new(0.5, [].into()).unwrap();
    let plan = Plan::new(1, rates, "test", Record::nowhere());
    let spot = plan.spot(&SITE);
    let failed = |spot: &Spot| (0..100).filter(|_| spot.decide("").is_some()).count();
    assert!(failed(&spot) > 30);
    plan.heal();
    assert_eq!(failed(&spot), 0);
    assert_eq!(plan.tally()[0].calls, 200);
}

#[test]
fn a_full_record_ends_with_a_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faults.jsonl");
    let rates = Rates::new(1.0, [].into()).unwrap();
    let plan = Plan::new(1, rates, "test", Record::to(&file, 1000).unwrap());
    let spot = plan.spot(&SITE);
    for _ in 0..100 {
        let _ = spot.around("", |kind| kind, || Ok(()));
    }
    let size = std::fs::metadata(&file).unwrap().len();
    let faults = Record::read(&file).unwrap();
    assert!(size <= 1000 && faults.len() >= 3, "{size} {}", faults.len());
    assert_eq!(
        (faults[0].seed, faults[0].site.as_str()),
        (1, "store.append")
    );
    let tally = &plan.tally()[0];
    assert_eq!(tally.before + tally.after, 100);
}
