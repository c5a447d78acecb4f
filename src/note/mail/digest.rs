//! The digest: what happened in a day or a week, composed from counts.

use super::wrap::hanging;
use crate::note::chat::text::one_line;
use askama::Template;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Columns of the plain text.
const COLUMNS: usize = 76;

/// How long a time a digest is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Daily,
    /// Seven days.
    Weekly,
}

/// Failed builds that are explained, of those that were looked at whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Builds with a known bug.
    pub explained: u64,
    /// All of them.
    pub of: u64,
    /// Between which shares the rate lies, where it can be said.
    pub interval: Option<(f64, f64)>,
}

/// A known bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bug {
    /// As people write it.
    pub name: String,
    /// Its page.
    pub url: Option<String>,
    /// What it is.
    pub title: String,
    /// Failed builds with it in the period.
    pub builds: u64,
    /// And in the period before.
    pub before: u64,
    /// What its tracker says, in words.
    pub status: Option<String>,
}

/// A build that nobody can explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its job.
    pub job: String,
    /// Its project.
    pub project: Option<String>,
    /// Its change and patchset, as people write them.
    pub change: Option<String>,
    /// Its page.
    pub page: String,
    /// When it ended.
    pub at: Timestamp,
}

/// A note that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// To whom it was to go.
    pub target: String,
    /// Why it did not.
    pub error: String,
}

/// What a digest is made of. Lists are in the order in which they are shown, maybe only their first
/// part; the totals are of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The end of the period.
    pub until: Timestamp,
    /// How much was explained.
    pub rate: Rate,
    /// The same for the period before.
    pub before: Option<Rate>,
    /// Builds that could not be looked at whole: no log, a part of it, an error.
    pub not_looked_at: u64,
    /// The biggest bugs.
    pub bugs: Vec<Bug>,
    /// How many bugs there were.
    pub bugs_total: u64,
    /// Bugs that counted as fixed and were hit.
    pub returned: Vec<Bug>,
    /// The newest unexplained builds.
    pub unexplained: Vec<Build>,
    /// How many there were.
    pub unexplained_total: u64,
    /// Notes that wait for a person.
    pub parked: Vec<Parked>,
    /// How many there are.
    pub parked_total: u64,
    /// The address of the dashboard.
    pub base_url: String,
}

/// A digest in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// One line.
    pub subject: String,
    /// Plain text, at most 76 columns but for addresses.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// A row about a bug, in words.
struct BugRow {
    builds: u64,
    trend: String,
    name: String,
    title: String,
    url: Option<String>,
    /// The same for the plain text.
    lines: String,
}

struct BuildRow {
    head: String,
    page: String,
    lines: String,
}

struct ParkedRow {
    target: String,
    error: String,
    lines: String,
}

#[derive(Template)]
#[template(path = "mail/digest.txt", escape = "none")]
struct TextPage<'a> {
    page: &'a Words,
}

#[derive(Template)]
#[template(path = "mail/digest.html")]
struct HtmlPage<'a> {
    page: &'a Words,
}

/// Everything in words, for both templates.
struct Words {
    subject: String,
    period: String,
    rate: String,
    before: Option<String>,
    not_looked_at: Option<String>,
    bugs: Vec<BugRow>,
    more_bugs: u64,
    returned: Vec<BugRow>,
    unexplained: Vec<BuildRow>,
    more_unexplained: u64,
    parked: Vec<ParkedRow>,
    parked_total: u64,
    base_url: String,
}

/// Composes the digest.
pub fn digest(data: &Figures, period: Period) -> Result<Digest, askama::Error> {
    let words = words(data, period);
    let text = TextPage { page: &words }.render()?;
    let html = HtmlPage { page: &words }.render()?;
    Ok(Digest {
        subject: words.subject,
        text,
        html,
    })
}

fn words(data: &Figures, period: Period) -> Words {
    let (word, before) = match period {
        Period::Daily => ("Daily", "The day before"),
        Period::Weekly => ("Weekly", "The week before"),
    };
    let short = match data.rate.of {
        0 if data.not_looked_at > 0 => "no failed build was looked at whole".to_owned(),
        0 => "no build failed".to_owned(),
        of => format!("{} of {of} failed builds explained", data.rate.explained),
    };
    let returned = match data.returned.len() {
        0 => String::new(),
        1 => ", 1 bug returned".to_owned(),
        n => format!(", {n} bugs returned"),
    };
    Words {
        subject: format!("whorl, {}: {short}{returned}", word.to_lowercase()),
        period: format!("{word} digest, {}", span(data.until, period)),
        rate: rate(data.rate, data.not_looked_at),
        before: data.before.map(|rate| in_short(before, rate)),
        not_looked_at: not_looked_at(data.not_looked_at),
        bugs: data.bugs.iter().map(|bug| bug_row(bug, "new")).collect(),
        more_bugs: rest(data.bugs_total, data.bugs.len()),
        returned: data
            .returned
            .iter()
            .map(|bug| bug_row(bug, "back"))
            .collect(),
        unexplained: data.unexplained.iter().map(build_row).collect(),
        more_unexplained: rest(data.unexplained_total, data.unexplained.len()),
        parked: data.parked.iter().map(parked_row).collect(),
        parked_total: data.parked_total,
        base_url: data.base_url.trim_end_matches('/').to_owned(),
    }
}

fn rest(total: u64, shown: usize) -> u64 {
    total.saturating_sub(shown as u64)
}

/// From when to when, in UTC.
fn span(until: Timestamp, period: Period) -> String {
    let length = match period {
        Period::Daily => SignedDuration::from_hours(24),
        Period::Weekly => SignedDuration::from_hours(7 * 24),
    };
    format!("{} to {} UTC", moment(until - length), moment(until))
}

fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

fn rate(rate: Rate, not_looked_at: u64) -> String {
    match (rate.of, not_looked_at) {
        (0, 0) => return "No build failed.".to_owned(),
        (0, _) => return "No failed build was looked at whole.".to_owned(),
        _ => {}
    }
    let between = rate
        .interval
        .map(|(low, high)| format!(" (between {} % and {} %)", percent(low), percent(high)));
    format!(
        "{} of {} failed builds are explained: {} %{}.",
        rate.explained,
        rate.of,
        percent(rate.explained as f64 / rate.of as f64),
        between.unwrap_or_default()
    )
}

fn in_short(before: &str, rate: Rate) -> String {
    if rate.of == 0 {
        return format!("{before}: no failed build.");
    }
    let share = percent(rate.explained as f64 / rate.of as f64);
    format!("{before}: {} of {}, {share} %.", rate.explained, rate.of)
}

fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

fn not_looked_at(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("Of 1 more the log is missing, or a part of it.".to_owned()),
        n => Some(format!("Of {n} more the log is missing, or a part of it.")),
    }
}

/// `first` stands for the trend of a bug that was not there in the period before.
fn bug_row(bug: &Bug, first: &str) -> BugRow {
    let name = one_line(&bug.name);
    let title = match &bug.status {
        Some(status) => format!("{} [{}]", one_line(&bug.title), one_line(status)),
        None => one_line(&bug.title),
    };
    let url = bug
        .url
        .as_deref()
        .filter(|url| is_address(url))
        .map(one_line);
    let trend = trend(bug, first);
    let start = format!("{:>6}  {trend:<6}", bug.builds);
    let mut lines = hanging(&format!("{name}: {title}"), &start, COLUMNS);
    if let Some(url) = url.as_deref().filter(|url| *url != name) {
        lines = format!("{lines}\n{:14}{url}", "");
    }
    BugRow {
        builds: bug.builds,
        trend,
        name,
        title,
        url,
        lines,
    }
}

fn trend(bug: &Bug, first: &str) -> String {
    match (bug.builds, bug.before) {
        (_, 0) => first.to_owned(),
        (now, before) if now > before => format!("+{}", now - before),
        (now, before) if now < before => format!("-{}", before - now),
        _ => "same".to_owned(),
    }
}

fn is_address(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn build_row(build: &Build) -> BuildRow {
    let mut head = one_line(&build.job);
    if let Some(project) = &build.project {
        head = format!("{head} of {}", one_line(project));
    }
    if let Some(change) = &build.change {
        head = format!("{head} on {}", one_line(change));
    }
    let at = moment(build.at);
    let page = one_line(&build.page);
    let lines = hanging(&head, &format!("  {at}  "), COLUMNS);
    BuildRow {
        lines: format!("{lines}\n{:20}{page}", ""),
        head: format!("{at} {head}"),
        page,
    }
}

fn parked_row(parked: &Parked) -> ParkedRow {
    let (target, error) = (one_line(&parked.target), one_line(&parked.error));
    ParkedRow {
        lines: hanging(&format!("{target}: {error}"), "  ", COLUMNS),
        target,
        error,
    }
}

#[cfg(test)]
mod tests;
