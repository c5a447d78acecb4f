//! What the pages show: plain texts and numbers, one struct for each template.

#![expect(
    clippy::struct_field_names,
    reason = "a page of bugs has bugs: the words are those of the templates"
)]

mod chart;
mod marked;

pub(super) use chart::hours as chart;
pub(super) use marked::{Piece, pieces};

use askama::Template;
use std::fmt::Write as _;

/// One verdict and how many builds have it.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) verdict: &'static str,
    pub(super) builds: u64,
}

/// The classification rate, never without its *n of m*.
#[derive(Debug, Default)]
pub(super) struct RateView {
    pub(super) percent: String,
    pub(super) text: String,
    pub(super) interval: String,
}

/// One line of the table of bugs.
#[derive(Debug, Default, Clone)]
pub(super) struct BugRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) category: String,
    pub(super) builds_day: u64,
    pub(super) builds_all: u64,
    pub(super) hits: u64,
    pub(super) passing: String,
    pub(super) last_seen: String,
    pub(super) returned: bool,
    pub(super) hidden: bool,
    /// What its tracker says; empty where that is not known.
    pub(super) status: String,
    /// Since when that may no longer be so; empty while it is fresh.
    pub(super) stale: String,
    /// What was measured of its fingerprint; empty where nothing was.
    pub(super) measured: String,
}

/// One line of a table of builds.
#[derive(Debug, Default)]
pub(super) struct BuildRow {
    pub(super) uuid: String,
    pub(super) short: String,
    pub(super) failed: bool,
    pub(super) bug: String,
    pub(super) bug_title: String,
    pub(super) more_bugs: usize,
    pub(super) job: String,
    pub(super) project: String,
    pub(super) branch: String,
    pub(super) result: String,
    pub(super) verdict: &'static str,
    pub(super) finished: String,
}

/// A fingerprint file that cannot be used.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) place: String,
    pub(super) message: String,
}

/// The first page.
#[derive(Debug, Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    pub(super) page: &'static str,
    pub(super) notices: Vec<String>,
    pub(super) rate: RateView,
    pub(super) verdicts: Vec<Count>,
    pub(super) last_report: String,
    pub(super) stale: bool,
    pub(super) progress: String,
    pub(super) chart: String,
    pub(super) caption: String,
    pub(super) bugs: Vec<BugRow>,
    pub(super) build_caption: String,
    pub(super) builds: Vec<BuildRow>,
    pub(super) broken: Vec<Broken>,
    pub(super) library: String,
    pub(super) log_store: Option<LogStore>,
}

/// A cluster that keeps the logs.
#[derive(Debug)]
pub(super) struct LogStore {
    /// How it stands.
    pub(super) state: &'static str,
    /// The style of that.
    pub(super) class: &'static str,
    /// What is wrong.
    pub(super) problem: String,
    /// Names and values.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// All bugs.
#[derive(Debug, Template)]
#[template(path = "bugs.html")]
pub(super) struct Bugs {
    pub(super) page: &'static str,
    pub(super) caption: String,
    pub(super) bugs: Vec<BugRow>,
    /// Number of files that cannot be used.
    pub(super) broken: usize,
}

/// What a bug's tracker says of it.
#[derive(Debug, Default)]
pub(super) struct TrackerFacts {
    pub(super) title: String,
    pub(super) status: String,
    pub(super) assignee: String,
    /// How old that is.
    pub(super) age: String,
    pub(super) stale: bool,
    /// Why the last try to ask was in vain.
    pub(super) error: String,
    /// Open reviews that name it: title and address.
    pub(super) reviews: Vec<(String, String)>,
}

/// One bug.
#[derive(Debug, Template)]
#[template(path = "bug.html")]
pub(super) struct Bug {
    pub(super) page: &'static str,
    pub(super) bug: BugRow,
    pub(super) url: String,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) tracker: Option<TrackerFacts>,
    pub(super) first_seen: String,
    pub(super) chart: String,
    pub(super) source: String,
    pub(super) build_caption: String,
    pub(super) builds: Vec<BuildRow>,
}

/// A list of builds.
#[derive(Debug, Template)]
#[template(path = "builds.html")]
pub(super) struct Builds {
    /// What keeps builds from being looked at.
    pub(super) notice: String,
    pub(super) page: &'static str,
    pub(super) heading: &'static str,
    pub(super) explanation: &'static str,
    pub(super) build_caption: String,
    pub(super) builds: Vec<BuildRow>,
}

/// One match with what shows it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) bug: String,
    pub(super) url: String,
    pub(super) hits: String,
    pub(super) returned: bool,
    pub(super) advice: String,
    pub(super) evidence: Vec<Shown>,
}

/// One place in a log.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) place: String,
    /// Address of the line in the log; empty when the log is not kept.
    pub(super) link: String,
    pub(super) pieces: Vec<Piece>,
}

/// A log that was received.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) name: String,
    pub(super) size: String,
    pub(super) link: String,
}

/// One event that a search found.
#[derive(Debug)]
pub(super) struct SearchHit {
    pub(super) uuid: String,
    pub(super) job: String,
    pub(super) verdict: &'static str,
    pub(super) failed: bool,
    pub(super) shown: Shown,
}

/// The search.
#[derive(Debug, Template)]
#[template(path = "search.html")]
pub(super) struct SearchPage {
    pub(super) page: &'static str,
    pub(super) query: String,
    /// The query as it was understood.
    pub(super) explained: String,
    pub(super) error: String,
    pub(super) summary: String,
    /// What cannot be found yet.
    pub(super) unindexed: String,
    pub(super) hits: Vec<SearchHit>,
}

/// A few lines of a log.
#[derive(Debug, Template)]
#[template(path = "log.html")]
pub(super) struct LogPage {
    pub(super) page: &'static str,
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) link: String,
    pub(super) raw: String,
    pub(super) notice: String,
    pub(super) wanted: u64,
    pub(super) lines: Vec<(u64, String)>,
    /// First line of the page before this one; 0 when there is none.
    pub(super) earlier: u64,
    /// First line of the page after this one; 0 when there is none.
    pub(super) later: u64,
}

/// One build with its evidence.
#[derive(Debug, Template)]
#[template(path = "build.html")]
pub(super) struct BuildPage {
    pub(super) page: &'static str,
    pub(super) build: BuildRow,
    pub(super) why: String,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) log_url: String,
    pub(super) matches: Vec<Found>,
    pub(super) files: Vec<LogFile>,
}

/// One note.
#[derive(Debug)]
pub(super) struct NoteRow {
    pub(super) id: i64,
    pub(super) uuid: String,
    pub(super) short: String,
    pub(super) channel: String,
    pub(super) state: String,
    pub(super) error: String,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) tries: u32,
    pub(super) made: String,
    pub(super) can_retry: bool,
}

/// The outbox.
#[derive(Debug, Template)]
#[template(path = "notes.html")]
pub(super) struct Notes {
    pub(super) page: &'static str,
    pub(super) channels: String,
    pub(super) notes: Vec<NoteRow>,
}

/// A source of builds.
#[derive(Debug)]
pub(super) struct SourceRow {
    pub(super) name: String,
    /// Whether it hears, since when.
    pub(super) state: String,
    /// The style of that.
    pub(super) class: &'static str,
    /// Why it does not hear, or what may be missing.
    pub(super) problems: Vec<String>,
    /// When something was last heard, and how long ago that is.
    pub(super) last: String,
    pub(super) events: u64,
    pub(super) builds: u64,
    pub(super) not_understood: u64,
    /// The last of these.
    pub(super) example: String,
    /// Types and how often they came.
    pub(super) types: Vec<(String, u64)>,
}

/// What comes in and what is under way.
#[derive(Debug, Template)]
#[template(path = "status.html")]
pub(super) struct Status {
    pub(super) page: &'static str,
    /// What keeps the service from its work.
    pub(super) reasons: Vec<String>,
    pub(super) sources: Vec<SourceRow>,
    /// Headings, each with names and values.
    pub(super) parts: Vec<(&'static str, Vec<(&'static str, String)>)>,
}

/// A silence that is on.
#[derive(Debug)]
pub(super) struct SilenceRow {
    pub(super) id: i64,
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) until: String,
    pub(super) by: String,
    pub(super) reason: String,
}

/// The outage that is on.
#[derive(Debug)]
pub(super) struct OutageRow {
    pub(super) text: String,
    pub(super) from: String,
    /// Empty where nobody knows.
    pub(super) until: String,
    pub(super) by: String,
}

/// Silences and outage.
#[derive(Debug, Template)]
#[template(path = "silences.html")]
pub(super) struct Silences {
    pub(super) page: &'static str,
    pub(super) silences: Vec<SilenceRow>,
    pub(super) outage: Option<OutageRow>,
}

/// What was measured of the fingerprints.
#[derive(Debug, Template)]
#[template(path = "measured.html")]
pub(super) struct MeasuredPage {
    pub(super) page: &'static str,
    pub(super) heading: String,
    /// Made and escaped where the report is made.
    pub(super) body: String,
    /// Why it cannot be read.
    pub(super) problem: String,
}

/// One kept report.
#[derive(Debug)]
pub(super) struct ReportRow {
    pub(super) made: String,
    pub(super) html: String,
    pub(super) json: String,
}

/// The kept reports.
#[derive(Debug, Template)]
#[template(path = "reports.html")]
pub(super) struct Reports {
    pub(super) page: &'static str,
    pub(super) schedule: String,
    pub(super) reports: Vec<ReportRow>,
}

/// A page with one message.
#[derive(Debug, Template)]
#[template(path = "message.html")]
pub(super) struct Message {
    pub(super) page: &'static str,
    pub(super) heading: String,
    pub(super) text: String,
}

/// The beginning of a uuid, which is enough to tell builds apart by eye.
pub(super) fn short(uuid: &str) -> String {
    if uuid.len() <= 16 {
        return uuid.to_owned();
    }
    uuid.chars().take(12).chain(['…']).collect()
}

/// The address of a build's log on the pages.
pub(super) fn log_link(uuid: &str, name: &str) -> String {
    let parts: Vec<String> = name.split('/').map(encoded).collect();
    format!("/builds/{uuid}/logs/{}", parts.join("/"))
}

/// A part of a path as it stands in an address.
fn encoded(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    const STEP: f64 = 1024.0;
    let mut number = bytes as f64;
    for unit in ["bytes", "KiB", "MiB"] {
        if number < STEP {
            let digits = usize::from(unit != "bytes");
            return format!("{number:.digits$} {unit}");
        }
        number /= STEP;
    }
    format!("{number:.1} GiB")
}

/// What a note is about: its first line, and where that ends in a colon the next one too.
pub(super) fn subject(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = lines.next().unwrap_or("(empty)");
    match lines.next() {
        Some(next) if first.ends_with(':') => {
            format!("{first} {}", next.trim_start_matches("- "))
        }
        _ => first.to_owned(),
    }
}

/// An address that may stand in a link: only http and https, for it came from outside.
pub(super) fn link(url: Option<&str>) -> String {
    let url = url.unwrap_or_default();
    let lower = url.to_ascii_lowercase();
    let safe = lower.starts_with("http://") || lower.starts_with("https://");
    if safe { url.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_says_which_bug() {
        assert_eq!(
            subject("x failed of a bug:\n\n- a#1: Full\n  f:1"),
            "x failed of a bug: a#1: Full"
        );
        assert_eq!(subject("x is unexplained\nsee"), "x is unexplained");
        assert_eq!(subject(""), "(empty)");
    }

    #[test]
    fn names_are_safe_in_addresses() {
        assert_eq!(
            log_link("u", "a b/c#1?.log"),
            "/builds/u/logs/a%20b/c%231%3F.log"
        );
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 1023, 1024, 5 << 20, 7 << 30].map(size);
        assert_eq!(
            sizes,
            ["0 bytes", "1023 bytes", "1.0 KiB", "5.0 MiB", "7.0 GiB"]
        );
    }

    #[test]
    fn long_uuids_are_cut() {
        assert_eq!(short("4f2c6ff212e14dbebb2045569ffd6407"), "4f2c6ff212e1…");
        assert_eq!(short("build-7"), "build-7");
    }

    #[test]
    fn what_strangers_wrote_is_escaped() {
        let hostile = "<script>alert('x')</script>";
        let page = BuildPage {
            page: "/builds",
            build: BuildRow {
                uuid: "u".into(),
                job: hostile.into(),
                verdict: "matched",
                ..BuildRow::default()
            },
            why: String::new(),
            facts: vec![("Branch", hostile.into())],
            log_url: link(Some("javascript:alert(1)")),
            matches: vec![Found {
                id: "1".into(),
                title: hostile.into(),
                bug: "b".into(),
                url: String::new(),
                hits: "1 hit".into(),
                returned: false,
                advice: hostile.into(),
                evidence: vec![Shown {
                    place: "a.txt:3".into(),
                    link: log_link("u", hostile),
                    pieces: pieces(hostile, &[(0, 8)]),
                }],
            }],
            files: vec![LogFile {
                name: hostile.into(),
                size: size(3),
                link: log_link("u", hostile),
            }],
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("javascript:"), "{html}");
        assert!(
            html.contains("<mark>&#60;script&#62;</mark>alert"),
            "{html}"
        );
    }
}
