//! Many builds through the whole service while calls fail on purpose, with many seeds, and what a call
//! through a driver costs: `cargo bench --bench chaos_drivers -- --builds 10000 --seeds 20 --rates
//! 0.01,0.05,0.2 --out table.md --json runs.jsonl`. What `runs.jsonl` has is not done again, so a run may be
//! ended at any time and go on later, and done in portions (`--seeds 1-5`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for developers, who want to see where it ends"
)]

#[path = "../tests/it/chaos/drivers/harness.rs"]
mod harness;
#[path = "../tests/it/chaos/drivers/look.rs"]
mod look;
#[path = "../tests/it/chaos/drivers/sink.rs"]
mod sink;

use clap::Parser;
use harness::{Report, Run, differences};
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use whorl::chance::{Kind, Plan, Rates, Record, Site};

#[derive(Debug, Parser)]
struct Args {
    /// Builds of each run
    #[arg(long, default_value_t = 300)]
    builds: usize,
    /// Seeds: how many, from 1 on, or which (`6-10`)
    #[arg(long, default_value = "2", value_parser = seeds)]
    seeds: Seeds,
    /// Shares of calls that fail
    #[arg(long, value_delimiter = ',', default_value = "0.01,0.05,0.2")]
    rates: Vec<f64>,
    /// Senders at the same time
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Seconds that the service may work on while calls still fail, before it is stopped
    #[arg(long, default_value_t = 30)]
    settle: u64,
    /// The first so many seeds are run a second time, to compare which calls failed
    #[arg(long, default_value_t = 1)]
    again: u64,
    /// File for the table, beside standard output
    #[arg(long)]
    out: Option<PathBuf>,
    /// File for one line of JSON for each run: what failed at which site, what was left. Runs that it has
    /// are not done again
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also measure what a call through a driver costs
    #[arg(long)]
    calls: bool,
    /// What `cargo bench` says to every program
    #[arg(long, hide = true)]
    bench: bool,
}

/// From the first to the last.
#[derive(Debug, Clone)]
struct Seeds(RangeInclusive<u64>);

fn seeds(text: &str) -> Result<Seeds, std::num::ParseIntError> {
    let (first, last) = text.split_once('-').unwrap_or(("1", text));
    Ok(Seeds(first.parse()?..=last.parse()?))
}

fn main() {
    let args = Args::parse();
    let mut reports = args.json.as_deref().map(kept).unwrap_or_default();
    reports.retain(|report| report.builds == args.builds);
    let mut broken_off = 0;
    for seed in args.seeds.0.clone() {
        for rate in &args.rates {
            if reports.iter().any(|report| is(report, seed, *rate)) {
                continue;
            }
            let Some(report) = both(&args, seed, *rate) else {
                eprintln!("seed {seed} at rate {rate} broke off");
                broken_off += 1;
                continue;
            };
            eprint!("{}", row(&report));
            for text in &report.broken {
                eprintln!("{text}");
            }
            if let Some(file) = &args.json {
                keep(file, &report);
            }
            reports.push(report);
        }
    }
    let text = written(&args, &mut reports);
    println!("{text}");
    if let Some(out) = &args.out {
        std::fs::write(out, &text).unwrap();
    }
    let broken: usize = reports.iter().map(|report| report.broken.len()).sum();
    assert_eq!((broken, broken_off), (0, 0), "something did not hold");
}

/// The same run: rates are written and read back exactly.
fn is(report: &Report, seed: u64, rate: f64) -> bool {
    report.seed == seed && report.rate.to_bits() == rate.to_bits()
}

/// Runs that were done before.
fn kept(file: &Path) -> Vec<Report> {
    let Ok(text) = std::fs::read_to_string(file) else {
        return Vec::new();
    };
    // A last line may be cut.
    let lines = text.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn keep(file: &Path, report: &Report) {
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    writeln!(file, "{}", serde_json::to_string(report).unwrap()).unwrap();
}

/// A run, and a second one if there is to be one; nothing when one of them broke off.
fn both(args: &Args, seed: u64, rate: f64) -> Option<Report> {
    let mut report = one(args, seed, rate)?;
    if seed <= args.again {
        let again = one(args, seed, rate)?;
        let found = differences(&report, &again);
        report.repeats = found.is_empty();
        report.broken.extend(again.broken);
        report.broken.extend(found);
    }
    Some(report)
}

fn one(args: &Args, seed: u64, rate: f64) -> Option<Report> {
    let run = Run {
        seed,
        rate,
        builds: args.builds,
        senders: args.senders,
        settle: Duration::from_secs(args.settle),
        server: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // One that breaks off must not take the others with it; why is said by the panic itself.
    let done = AssertUnwindSafe(|| runtime.block_on(harness::run(&run)));
    std::panic::catch_unwind(done).ok()
}

/// The tables.
fn written(args: &Args, reports: &mut [Report]) -> String {
    let mut text = if args.calls { cost() } else { String::new() };
    text.push_str(HEAD);
    reports.sort_by_key(|report| report.seed);
    for rate in &args.rates {
        let all = reports
            .iter()
            .filter(|r| r.rate.to_bits() == rate.to_bits());
        let all: Vec<&Report> = all.collect();
        for report in &all {
            text.push_str(&row(report));
        }
        text.push_str(&sum(*rate, &all));
    }
    text
}

const HEAD: &str = "
| rate | seed | builds | calls | failed before | failed after | sent again | left when stopped: pending, to fetch, to say, parked, to index | notes that came again | s | s to recover | same calls failed twice | broken |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

fn row(report: &Report) -> String {
    let (before, after) = report.injected();
    let calls: u64 = report.sites.iter().map(|site| site.calls).sum();
    let left = report.left;
    format!(
        "| {} % | {} | {} | {calls} | {before} | {after} | {} | {}, {}, {}, {}, {} | {} | {:.1} | {:.1} | {} | {} |\n",
        report.rate * 100.0,
        report.seed,
        report.builds,
        report.resent,
        left.pending,
        left.fetching,
        left.due,
        left.parked,
        left.unindexed,
        report.repeated,
        report.taken_ms as f64 / 1000.0,
        report.recovered_ms as f64 / 1000.0,
        if report.repeats { "yes" } else { "" },
        report.broken.len(),
    )
}

/// All seeds of a rate.
fn sum(rate: f64, reports: &[&Report]) -> String {
    let total = |of: fn(&Report) -> u64| reports.iter().map(|report| of(report)).sum::<u64>();
    let builds: usize = reports.iter().map(|report| report.builds).sum();
    let broken: usize = reports.iter().map(|report| report.broken.len()).sum();
    let repeats = reports.iter().filter(|report| report.repeats).count();
    let slowest = reports.iter().map(|report| report.recovered_ms).max();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "| **{} %** | all {} | {builds} | {} | {} | {} | {} | {}, {}, {}, {}, {} | {} |  | at most {:.1} | {repeats} | **{broken}** |",
        rate * 100.0,
        reports.len(),
        total(|r| r.sites.iter().map(|site| site.calls).sum()),
        total(|r| r.injected().0),
        total(|r| r.injected().1),
        total(|r| r.resent),
        total(|r| r.left.pending),
        total(|r| r.left.fetching),
        total(|r| r.left.due),
        total(|r| r.left.parked),
        total(|r| r.left.unindexed),
        total(|r| r.repeated),
        slowest.unwrap_or_default() as f64 / 1000.0,
    );
    text
}

const SITE: Site = Site::new("store.append", &[Kind::before("io"), Kind::either("index")]);
const CALLS: u64 = 5_000_000;

/// Nanoseconds of one call: the best of some rounds, as others may use the processor too.
fn nanoseconds(mut call: impl FnMut(u64)) -> f64 {
    let mut round = || {
        let begun = Instant::now();
        for n in 0..CALLS {
            call(n);
        }
        begun.elapsed().as_nanos() as f64 / CALLS as f64
    };
    (0..5).map(|_| round()).fold(f64::MAX, f64::min)
}

/// What a call costs that does nothing: as it is, and through a driver. Nothing is written down, as
/// only calls that fail are.
fn cost() -> String {
    let spot = |rate| {
        let rates = Rates::new(rate, [].into()).unwrap();
        Plan::new(1, rates, "cost", Record::nowhere()).spot(&SITE)
    };
    let work = |n: u64| black_box(Ok::<u64, &'static str>(n));
    let through = |rate, key: &str| {
        let spot = spot(rate);
        nanoseconds(|n| {
            let _ = black_box(spot.around(black_box(key), |kind| kind, || work(n)));
        })
    };
    let key = "5f3c2f0e8a6b4c0d9e1f2a3b4c5d6e7f";
    format!(
        "| a call | ns |\n| --- | --- |\n| as it is | {:.1} |\n| counted, at rate 0 | {:.1} |\n| decided, at rate 0.01 | {:.1} |\n| decided for its key, at rate 0.01 | {:.1} |\n",
        nanoseconds(|n| {
            let _ = black_box(work(n));
        }),
        through(0.0, ""),
        through(0.01, ""),
        through(0.01, key),
    )
}
