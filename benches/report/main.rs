//! What a report costs, how that grows with builds and fingerprints, and whether its counts are exact.
//!
//! `cargo bench --bench report -- [--builds N] [--fingerprints N] [--seed N] [--table]`
//!
//! Makes a state file of ten days with N builds (1,000,000 unless told), one in five of them failed,
//! and N fingerprints (1,000 unless told); everything follows from the seed. Then, each in a process of
//! its own so that its peak of memory is its own:
//! - full: a report is made from every build and match, as JSON and as a page, and kept;
//! - 30 minutes later: what ended meanwhile came through the state as in the service, and the next
//!   report is made, of the counts that are kept;
//! - recount: what is kept is made anew from all builds and matches.
//!
//! Each report is compared with a plain count of what was generated. `--table` does the same for a
//! tenth of the builds, N and ten times as many, and for fingerprints likewise (ten times 1,000,000
//! builds need 12 GB of disk below `TMPDIR` for some minutes).
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a bench"
)]

mod fill;
mod plain;

use fill::{Case, now};
use jiff::SignedDuration;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use whorl::event::BugRef;
use whorl::report::{FingerprintInfo, Report, build_report, render_html, report_of};
use whorl::state::{Counting, State};

/// Full reports, of which the median is printed; of later ones the first is.
const RUNS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = args.iter().position(|arg| arg == "--measure") {
        return measure(&args[at + 1..]);
    }
    let number = |name: &str, otherwise: u64| {
        let at = args.iter().position(|arg| arg == name);
        at.map_or(otherwise, |at| args[at + 1].parse().unwrap())
    };
    let case = Case {
        builds: number("--builds", 1_000_000),
        fingerprints: number("--fingerprints", 1000),
        seed: number("--seed", 1),
    };
    println!("seed {}", case.seed);
    println!(
        "| builds | failed | fingerprints | full, s | of it counting | peak MB | 30 min later, s | of it counting | peak MB | recount, s | JSON, MB | page, MB | state, MB |"
    );
    println!("|{}", " --- |".repeat(13));
    if !args.iter().any(|arg| arg == "--table") {
        return try_case(case);
    }
    for factor in [1, 10, 100] {
        let builds = case.builds * factor / 10;
        try_case(Case { builds, ..case });
    }
    for factor in [1, 10, 100] {
        let fingerprints = case.fingerprints * factor / 10;
        if factor != 10 {
            try_case(Case {
                fingerprints,
                ..case
            });
        }
    }
}

fn try_case(case: Case) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    fill::fill(&path, case);
    let full = child(&path, case, "full");
    plain::compare(&full.report, case, false);
    let begun = Instant::now();
    State::open(&path).unwrap().recount().unwrap();
    let recount = begun.elapsed().as_secs_f64();
    fill::half_an_hour(&path, case);
    let next = child(&path, case, "next");
    plain::compare(&next.report, case, true);
    let size = std::fs::metadata(&path).unwrap().len();
    println!(
        "| {} | {} | {} | {:.2} | {:.2} | {} | {:.3} | {:.3} | {} | {recount:.2} | {:.1} | {:.1} | {:.0} |",
        case.builds,
        case.builds / 5,
        case.fingerprints,
        full.took,
        full.counting,
        full.peak,
        next.took,
        next.counting,
        next.peak,
        next.bytes as f64 / 1e6,
        next.page as f64 / 1e6,
        size as f64 / 1e6,
    );
}

/// What a process of its own found.
struct Found {
    report: Report,
    took: f64,
    counting: f64,
    peak: u64,
    bytes: u64,
    page: u64,
}

fn child(path: &Path, case: Case, what: &str) -> Found {
    let report = path.with_extension("json");
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--measure", what])
        .arg(path)
        .arg(&report)
        .arg(case.fingerprints.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let parts: Vec<&str> = text.split_whitespace().collect();
    Found {
        report: serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap(),
        took: parts[0].parse().unwrap(),
        counting: parts[1].parse().unwrap(),
        peak: parts[2].parse().unwrap(),
        bytes: parts[3].parse().unwrap(),
        page: parts[4].parse().unwrap(),
    }
}

/// In the process of its own: makes reports and says what they cost.
fn measure(args: &[String]) {
    let full = args[0] == "full";
    let fingerprints: u64 = args[3].parse().unwrap();
    let infos: Vec<FingerprintInfo> = (0..fingerprints).map(info).collect();
    let state = State::open(&args[1]).unwrap();
    let later = SignedDuration::from_mins(if full { 0 } else { 30 });
    let (mut times, mut last) = (Vec::new(), (String::new(), 0));
    for _ in 0..RUNS {
        let begun = Instant::now();
        let report = if full {
            report_of(&state, &infos, now(), Counting::Plain).unwrap()
        } else {
            build_report(&state, &infos, now() + later).unwrap()
        };
        let counting = begun.elapsed();
        let json = serde_json::to_string(&report).unwrap();
        let page = render_html(&report).unwrap();
        state.put_report(report.now, "a report", &json).unwrap();
        times.push((begun.elapsed(), counting));
        last = (json, page.len());
    }
    if full {
        times.sort_unstable();
    } else {
        // Only the first one adds what is new to the counts.
        times.truncate(1);
    }
    let (took, counting) = times[times.len() / 2];
    let seconds = |time: Duration| time.as_secs_f64();
    let peak = peak() / 1024;
    println!(
        "{} {} {peak} {} {}",
        seconds(took),
        seconds(counting),
        last.0.len(),
        last.1
    );
    std::fs::write(&args[2], last.0).unwrap();
}

fn info(number: u64) -> FingerprintInfo {
    FingerprintInfo {
        id: fill::fingerprint(number),
        title: format!("Bug {number}"),
        bug: BugRef {
            name: format!("launchpad:{number}"),
            url: None,
        },
        suppress_graph: number % 50 == 7,
        category: None,
    }
}

/// The most memory that this process had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}
