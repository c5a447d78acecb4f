//! Every sentence that notes are made of, in one place: templates, each of which an operator can
//! replace by a file of its name.

use super::answers::{self, ANSWERS, Answer};
use super::tracked::Review;
use crate::event::is_deceptive;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;
use std::path::Path;

/// Code review: all jobs of a patchset, or one build for a webhook.
const REVIEW: &str = r#"{% if outage %}{{ outage|esc }}

{% endif %}
{%- if unknown == 0 and total == 1 %}{{ jobs[0].name|esc }} failed because of {% if bugs == 1 %}a known bug{% else %}{{ bugs }} known bugs{% endif %}.
{%- elif known == 0 and total == 1 %}{{ jobs[0].name|esc }} failed and no known bug explains it.
{%- elif unknown == 0 %}All {{ total }} failed jobs hit known bugs.
{%- elif known == 0 %}{{ total }} jobs failed and no known bug explains them.
{%- else %}{{ known }} of {{ total }} failed jobs {% if known == 1 %}hits a known bug{% else %}hit known bugs{% endif %}; {{ unknown }} {% if unknown == 1 %}is{% else %}are{% endif %} not explained.
{%- endif %}
{%- if open > 0 %} {{ open }} more {% if open == 1 %}job is{% else %}jobs are{% endif %} not looked at yet.{% endif %}

{% for job in jobs %}
{%- if job.bugs %}
{%- for bug in job.bugs %}- {{ job.name|esc }} ({{ job.result|esc }}{% if not job.voting %}, non-voting{% endif %}): {{ bug.name|link(bug.url) }}: {{ bug.title|esc }}{% if bug.status %} [{{ bug.status|esc }}]{% endif %}{% if bug.returned %} (counted as fixed, has returned){% endif %}
{% for review in bug.reviews %}  Under review: {{ review.title|link(review.url) }}
{% endfor %}{% for place in bug.evidence %}  {{ place.quote|code }}
  {{ (place.file ~ ":" ~ place.line)|link(place.link) }}
{% endfor %}
{%- if bug.week > 1 %}  Seen in {{ bug.week }} failed builds this week.
{% endif %}
{%- if bug.advice %}  What to do: {{ bug.advice|esc }}
{% endif %}
{%- endfor %}
{%- if job.more > 0 %}  And {{ job.more }} more known bugs: {{ job.page }}
{% endif %}
{%- if job.partial %}  Only a part of the log could be read; there may be more.
{% endif %}
{%- else %}- {{ job.name|esc }} ({{ job.result|esc }}): not explained. Help to triage: {{ job.page }}
{% endif %}
{%- endfor %}
{%- if unknown > 0 %}
Please look at the log before a recheck; if the change is not the cause, help to triage.
{% else %}
{% if total == 1 %}Evidence: {{ jobs[0].page }}
{% endif %}{% endif %}"#;

/// Code review: a newer patchset has come.
const OUTDATED: &str = "A newer patchset has come; what was said of this one no longer matters.";

/// Code review: nothing is left of what was said.
const WITHDRAWN: &str = "{% if outage %}{{ outage|esc }}\n\n{% endif %}The earlier note on this patchset is withdrawn: the known bug that it named \
     does not explain the failure after all. Please look at the log.";

/// Chat: one build in one line.
const CHAT: &str = r"{% if outage %}{{ outage|esc }} {% endif -%}
{% if project %}[{{ project|esc }}] {% endif -%}
{{ jobs[0].name|esc }} failed{% if change %} on {{ change }}{% if patchset %},{{ patchset }}{% endif %}{% endif %}: {% if jobs[0].bugs -%}
{% set bug = jobs[0].bugs[0] %}{% if bug.returned %}returned{% else %}known{% endif %} bug {{ bug.name|esc }} ({{ bug.title|esc }}){% if bug.status %} [{{ bug.status|esc }}]{% endif %}{% if bugs > 1 %} and {{ bugs - 1 }} more{% endif -%}
{% else %}unexplained, please triage{% endif %} {{ jobs[0].page }}";

/// Chat and hooks: what was said of a build has changed, for its log came late.
const LATE_LOG: &str = r"{% if outage %}{{ outage|esc }} {% endif -%}
{% if project %}[{{ project|esc }}] {% endif -%}
{{ jobs[0].name|esc }} failed{% if change %} on {{ change }}{% if patchset %},{{ patchset }}{% endif %}{% endif %}, and its log came late: now it is {% if jobs[0].bugs -%}
{% set bug = jobs[0].bugs[0] %}{% if bug.returned %}returned{% else %}known{% endif %} bug {{ bug.name|esc }} ({{ bug.title|esc }}){% if bug.status %} [{{ bug.status|esc }}]{% endif %}{% if bugs > 1 %} and {{ bugs - 1 }} more{% endif -%}
{% else %}not explained, please triage{% endif %} {{ jobs[0].page }}";

/// Chat and hooks: a closed bug is hit again; said once for each closing.
const RETURNED: &str = r"{% if outage %}{{ outage|esc }} {% endif -%}
{% if project %}[{{ project|esc }}] {% endif -%}
Returned bug: {% for bug in jobs[0].bugs %}{{ bug.name|esc }} ({{ bug.title|esc }}){% if bug.status %} [{{ bug.status|esc }}]{% endif %}{% endfor %} was closed on {{ since }}, and {{ jobs[0].name|esc }} hit it again{% if change %} on {{ change }}{% if patchset %},{{ patchset }}{% endif %}{% endif %} {{ jobs[0].page }}";

/// Chat and hooks: an outage begins.
const OUTAGE_BEGUN: &str = "Outage: {{ outage|esc }}{% if until %} (until {{ until }}){% endif %}";

/// Chat and hooks: an outage is over.
const OUTAGE_OVER: &str =
    "The outage is over{% if lasted %} after {{ lasted }}{% endif %}: {{ outage|esc }}";

/// Code review: another run is asked for, in the words that a CI listens to.
const RECHECK: &str = "recheck {{ reasons|join(', ') }}";

/// All templates of notes with their names; those of answers are in `answers.rs`.
pub const TEMPLATES: [(&str, &str); 9] = [
    ("review", REVIEW),
    ("outdated", OUTDATED),
    ("withdrawn", WITHDRAWN),
    ("chat", CHAT),
    ("late-log", LATE_LOG),
    ("returned-bug", RETURNED),
    ("outage-begun", OUTAGE_BEGUN),
    ("outage-over", OUTAGE_OVER),
    ("recheck", RECHECK),
];

/// How a target writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Markup {
    /// As it stands.
    #[default]
    Plain,
    /// GitHub's and GitLab's, and near enough for chats that know it.
    Markdown,
}

/// What a note speaks of.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Spoken {
    /// A sentence that stands before everything, while there is an outage.
    pub outage: Option<String>,
    /// The project of the change.
    pub project: Option<String>,
    /// The change.
    pub change: Option<String>,
    /// Its patchset.
    pub patchset: Option<String>,
    /// Failed jobs that a verdict was found for.
    pub total: usize,
    /// Those with a known bug.
    pub known: usize,
    /// Those without.
    pub unknown: usize,
    /// Failed jobs without such a verdict.
    pub open: usize,
    /// Different known bugs in all of them.
    pub bugs: usize,
    /// The jobs of `total`.
    pub jobs: Vec<Job>,
    /// Bugs for which another run is asked for, by name.
    pub reasons: Vec<String>,
    /// When a returned bug was closed.
    pub since: Option<String>,
    /// When an outage is expected to end.
    pub until: Option<String>,
    /// How long an outage lasted.
    pub lasted: Option<String>,
}

/// A failed job.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The CI's word.
    pub result: String,
    /// Whether it votes.
    pub voting: bool,
    /// Our page about it.
    pub page: String,
    /// Only a part of its log was read.
    pub partial: bool,
    /// The known bugs in it that are told.
    pub bugs: Vec<Bug>,
    /// How many more there are.
    pub more: usize,
}

/// A known bug in a job.
#[derive(Debug, Clone, Serialize)]
pub struct Bug {
    /// The tracker's name for it.
    pub name: String,
    /// Its address.
    pub url: Option<String>,
    /// Its title.
    pub title: String,
    /// What the tracker says of it: where it stands, who works on it, and where that may no longer be so
    /// as of when.
    pub status: Option<String>,
    /// Open reviews that name it.
    pub reviews: Vec<Review>,
    /// It counted as fixed.
    pub returned: bool,
    /// What to do.
    pub advice: Option<String>,
    /// Failed builds that it was found in this week.
    pub week: u64,
    /// The lines that show it.
    pub evidence: Vec<Place>,
}

/// A line of a log.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// The log.
    pub file: String,
    /// The line.
    pub line: u64,
    /// What it says.
    pub quote: String,
    /// Where it can be read.
    pub link: Option<String>,
}

/// The templates, ready to use.
#[derive(Debug)]
pub struct Wording {
    plain: Environment<'static>,
    markdown: Environment<'static>,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WordingError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no template, or uses what is not there.
    #[error("{file}: {why}")]
    Template {
        /// The file, or the name of the template.
        file: String,
        /// What is wrong and where.
        why: String,
    },
}

impl Wording {
    /// The templates, in place of which those of `folder` are used that are there: `review.txt`,
    /// `outdated.txt`, `withdrawn.txt`, `chat.txt`, `late-log.txt`, `returned-bug.txt`,
    /// `outage-begun.txt`, `outage-over.txt`, `recheck.txt`, and `answer-*.txt`. Each is tried on
    /// examples.
    pub fn new(folder: Option<&Path>) -> Result<Self, WordingError> {
        let mut texts = Vec::new();
        for (name, text) in TEMPLATES.into_iter().chain(ANSWERS) {
            let file = folder.map(|folder| folder.join(format!("{name}.txt")));
            let own = file.filter(|file| file.exists());
            let (place, text) = match own {
                None => (name.to_owned(), text.to_owned()),
                Some(file) => {
                    let place = file.display().to_string();
                    let text = std::fs::read_to_string(&file);
                    let read = text.map_err(|source| WordingError::Read {
                        file: place.clone(),
                        source,
                    });
                    (place, read?)
                }
            };
            texts.push((name, place, text));
        }
        let wording = Self {
            plain: environment(Markup::Plain, &texts)?,
            markdown: environment(Markup::Markdown, &texts)?,
        };
        for (name, place, _) in &texts {
            wording
                .try_out(name)
                .map_err(|error| wrong(place, &error))?;
        }
        Ok(wording)
    }

    /// The text of a template. One that fails on what it is given says so, for a note must not fail.
    pub fn say(&self, name: &str, markup: Markup, about: &Spoken) -> String {
        self.render(name, markup, about).unwrap_or_else(|error| {
            tracing::error!(name, %error, "a template of notes cannot be used");
            about.jobs.first().map_or_else(
                || "A job failed.".to_owned(),
                |job| format!("{} failed: {}", job.name, job.page),
            )
        })
    }

    /// The text of an answer to a command.
    pub fn answer(&self, name: &str, markup: Markup, about: &Answer) -> String {
        self.render(name, markup, about).unwrap_or_else(|error| {
            tracing::error!(name, %error, "a template of answers cannot be used");
            "This answer cannot be worded: please tell who runs this.".to_owned()
        })
    }

    fn try_out(&self, name: &str) -> Result<(), Error> {
        if name.starts_with("answer-") {
            for about in answers::examples() {
                self.render(name, Markup::Markdown, &about)?;
            }
            return Ok(());
        }
        for about in examples() {
            self.render(name, Markup::Markdown, &about)?;
        }
        Ok(())
    }

    fn render(&self, name: &str, markup: Markup, about: &impl Serialize) -> Result<String, Error> {
        let environment = match markup {
            Markup::Plain => &self.plain,
            Markup::Markdown => &self.markdown,
        };
        let text = environment.get_template(name)?.render(about)?;
        Ok(text.trim().to_owned())
    }
}

fn environment(
    markup: Markup,
    texts: &[(&'static str, String, String)],
) -> Result<Environment<'static>, WordingError> {
    let mut made = Environment::new();
    made.set_undefined_behavior(UndefinedBehavior::Strict);
    made.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    made.add_filter("esc", move |text: &str| escaped(text, markup));
    made.add_filter("code", move |text: &str| code(text, markup));
    made.add_filter("link", move |name: &str, url: Value| {
        link(name, url.as_str(), markup)
    });
    for (name, place, text) in texts {
        made.add_template_owned(*name, text.clone())
            .map_err(|error| wrong(place, &error))?;
    }
    Ok(made)
}

fn wrong(place: &str, error: &Error) -> WordingError {
    let line = error
        .line()
        .map_or(String::new(), |line| format!(":{line}"));
    let why = match (error.kind(), error.detail()) {
        (ErrorKind::UndefinedError, None) => "uses a name that does not exist".to_owned(),
        (kind, None) => kind.to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
    };
    WordingError::Template {
        file: format!("{place}{line}"),
        why,
    }
}

/// No line ends and no control characters: what a log or a fingerprint says cannot make lines of
/// its own in a note, such as a false marker.
pub(super) fn one_line(text: &str) -> String {
    let plain = text.trim().chars();
    plain
        .map(|c| if is_deceptive(c) { ' ' } else { c })
        .collect()
}

/// A text that says nothing in the target's markup.
fn escaped(text: &str, markup: Markup) -> String {
    let text = one_line(text);
    if markup == Markup::Plain {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_[]<>#~|".contains(c) {
            out.push('\\');
        }
        out.push(c);
        if c == '@' {
            // Nobody is called by what a log says.
            out.push('\u{2060}');
        }
    }
    out
}

/// A line of a log as a quotation.
fn code(text: &str, _markup: Markup) -> String {
    format!("`{}`", one_line(text).replace('`', "'"))
}

fn link(name: &str, url: Option<&str>, markup: Markup) -> String {
    let shown = escaped(name, markup);
    let Some(url) = url.map(one_line).filter(|url| url != name) else {
        return shown;
    };
    match markup {
        Markup::Plain => format!("{shown} <{url}>"),
        Markup::Markdown => {
            let url = url
                .replace(' ', "%20")
                .replace('(', "%28")
                .replace(')', "%29");
            format!("[{shown}]({url})")
        }
    }
}

/// What templates are tried on.
fn examples() -> [Spoken; 2] {
    let bug = Bug {
        name: "launchpad:1".into(),
        url: Some("https://bugs.example.org/1".into()),
        title: "Title".into(),
        status: Some("open".into()),
        reviews: vec![Review {
            title: "Fix".into(),
            url: "https://review.example.org/1".into(),
        }],
        returned: true,
        advice: Some("Recheck.".into()),
        week: 2,
        evidence: vec![Place {
            file: "job-output.txt".into(),
            line: 1,
            quote: "boom".into(),
            link: Some("https://whorl.example.org/".into()),
        }],
    };
    let job = |bugs: Vec<Bug>| Job {
        name: "job".into(),
        result: "FAILURE".into(),
        voting: true,
        page: "https://whorl.example.org/".into(),
        partial: true,
        more: bugs.len(),
        bugs,
    };
    let about = |jobs: Vec<Job>, known: usize| Spoken {
        outage: Some("Outage.".into()),
        project: Some("project".into()),
        change: Some("1".into()),
        patchset: Some("2".into()),
        total: jobs.len(),
        known,
        unknown: jobs.len() - known,
        open: 1,
        bugs: 1,
        jobs,
        reasons: vec!["launchpad:1".into()],
        since: Some("2026-11-20 08:00 UTC".into()),
        until: Some("2026-11-20 08:00 UTC".into()),
        lasted: Some("2 h".into()),
    };
    [
        about(vec![job(vec![bug.clone()]), job(Vec::new())], 1),
        about(vec![job(Vec::new())], 0),
    ]
}
