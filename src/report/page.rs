//! The report as files: JSON, and one HTML page that needs nothing else.

use super::chart::{Chart, ago};
use super::{Counts, FingerprintRow, Group, Report, TrackerFacts};
use crate::event::{BugRef, BugStatus, Verdict};
use askama::Template;
use jiff::Timestamp;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where a written report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The JSON file.
    pub json: PathBuf,
    /// The HTML page.
    pub html: PathBuf,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file could not be written.
    #[error("report file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The page could not be made.
    #[error("report page: {0}")]
    Page(#[from] askama::Error),
    /// The JSON could not be made.
    #[error("report: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes `report.json` and `report.html` into `folder`. Each replaces the former one at once:
/// a reader sees the old file or the new one, never a part.
pub fn write(report: &Report, folder: &Path) -> Result<Paths, ReportError> {
    let paths = Paths {
        json: folder.join("report.json"),
        html: folder.join("report.html"),
    };
    replace(&paths.json, &serde_json::to_vec_pretty(report)?)?;
    replace(&paths.html, render_html(report)?.as_bytes())?;
    Ok(paths)
}

/// The report as an HTML page.
pub fn render_html(report: &Report) -> Result<String, ReportError> {
    Ok(PageTemplate { report }.render()?)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let failed = |source| ReportError::File {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    readable(file.as_file()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Temporary files are private; a report is there to be read, by a web server for example.
#[cfg(unix)]
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

#[derive(Template)]
#[template(path = "report.html")]
struct PageTemplate<'a> {
    report: &'a Report,
}

impl PageTemplate<'_> {
    fn chart(&self, row: &FingerprintRow) -> Chart {
        Chart::new(&row.stats.histogram, self.report.now)
    }

    fn cards(&self) -> [(&'static str, &Counts); 2] {
        let windows = &self.report.all.windows;
        [
            ("Last 24 hours", &windows.day),
            ("Last 10 days", &windows.ten_days),
        ]
    }

    fn groups(&self) -> [(&'static str, &[Group]); 4] {
        let report = self.report;
        [
            ("Projects", &report.projects),
            ("Pipelines", &report.pipelines),
            ("Jobs", &report.jobs),
            ("Branches", &report.branches),
        ]
    }

    /// The ranking and what is kept out of it, silent fingerprints left out.
    fn rankings(&self) -> [(&'static str, Vec<&FingerprintRow>); 2] {
        let report = self.report;
        [
            ("Known bugs", heard(&report.fingerprints)),
            ("Not in the ranking", heard(&report.suppressed)),
        ]
    }

    fn silent(&self) -> usize {
        let report = self.report;
        let all = report.fingerprints.len() + report.suppressed.len();
        let [ranked, suppressed] = self.rankings();
        all - ranked.1.len() - suppressed.1.len()
    }

    /// Where a bug stands, who works on it, and how old that is.
    fn known(&self, known: &TrackerFacts) -> String {
        let facts = &known.facts;
        let status = match facts.status {
            BugStatus::Unknown => facts.word.clone(),
            status => status.as_str().replace('-', " "),
        };
        let who = facts.assignee.as_ref().map(|who| format!(", {who}"));
        let age = ago(known.as_of, self.report.now);
        format!("{status}{}; as of {age}", who.unwrap_or_default())
    }

    fn ago(&self, then: &Timestamp) -> String {
        ago(*then, self.report.now)
    }
}

fn heard(rows: &[FingerprintRow]) -> Vec<&FingerprintRow> {
    rows.iter()
        .filter(|row| row.stats.builds_10d + row.stats.passing_builds_10d > 0)
        .collect()
}

fn minute(time: &Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn passing(row: &FingerprintRow) -> Option<String> {
    row.passing_share.map(percent)
}

fn rate(counts: &Counts) -> String {
    match counts.rate {
        None => "no rate yet".to_owned(),
        Some(rate) => format!(
            "{} (95 %: {:.1}–{:.1} %)",
            percent(rate.value),
            rate.low * 100.0,
            rate.high * 100.0
        ),
    }
}

/// Every verdict with its number.
fn verdicts(counts: &Counts) -> String {
    let number = |verdict| counts.verdicts.get(&verdict).copied().unwrap_or(0);
    let all = Verdict::ALL.map(|verdict| format!("{} {verdict}", number(verdict)));
    all.join(", ")
}

fn or<'a>(text: Option<&'a String>, otherwise: &'a str) -> &'a str {
    text.map_or(otherwise, String::as_str)
}

/// The address, if a browser may follow it: nothing that could run as a script.
fn web(url: Option<&String>) -> Option<&str> {
    url.map(String::as_str)
        .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
}

fn bug_url(bug: &BugRef) -> Option<&str> {
    web(bug.url.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_become_links() {
        assert_eq!(web(Some(&"javascript:alert(1)".to_owned())), None);
        let good = "https://example.org/1".to_owned();
        assert_eq!(web(Some(&good)), Some("https://example.org/1"));
    }
}
