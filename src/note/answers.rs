//! Every sentence that commands are answered with: templates, replaced as those of notes.

use super::wording::Bug;
use serde::Serialize;

/// How it stands in general.
const STATUS: &str = "{{ fingerprints }} fingerprints are in force. Known bugs explain {{ known }} of \
{{ known + unknown }} failed builds of the last 10 days.\
{% if silences > 0 %} {{ silences }} silence{% if silences > 1 %}s are{% else %} is{% endif %} on.{% endif %}\
{% if outage %} Outage: {{ outage|esc }}{% endif %} {{ page }}";

/// How it stands with a change.
const CHANGE: &str = "{{ change }}{% if patchset %},{{ patchset }}{% endif %}: \
{% if total == 0 %}no failed job is known.\
{% elif unknown == 0 and open == 0 %}known bugs explain {% if total == 1 %}the failed job{% else %}all {{ total }} failed jobs{% endif %}.\
{% else %}{{ total }} failed job{% if total > 1 %}s{% endif %}: {{ known }} with a known bug, {{ unknown }} not explained{% if open > 0 %}, {{ open }} not looked at yet or not to the end{% endif %}.\
{% endif %}{% if outage %} Outage: {{ outage|esc }}{% endif %} {{ page }}";

/// Why a job failed.
const WHY: &str = "{{ job|esc }}{% if result %} ({{ result|esc }}){% endif %}: \
{% if bug %}{{ bug.name|link(bug.url) }}: {{ bug.title|esc }}{% if more > 0 %} and {{ more }} more{% endif %}.\
{% if bug.evidence %} {{ bug.evidence[0].quote|code }}{% endif %}\
{% elif verdict == 'unmatched' %}not explained; help to triage.\
{% elif verdict == 'pending' %}not looked at yet.\
{% elif verdict == 'no-log' %}there was no log to read.\
{% elif verdict == 'partial-log' %}only a part of the log could be read, and nothing known is in it.\
{% else %}it could not be looked at.{% endif %} {{ page }}";

/// A silence has begun.
const SILENCED: &str = "Nothing will be said of {{ kind }} {{ what|esc }} until {{ until }}. \
{% if kind == 'fingerprint' %}It is still looked for and counted. {% endif %}`{{ name }}: unsilence {{ ends|esc }}` ends it.";

/// A silence is over.
const UNSILENCED: &str = "{% if count > 0 %}{{ kind }} {{ what|esc }} is spoken of again.\
{% else %}There is no silence of {{ kind }} {{ what|esc }}.{% endif %}";

/// A recheck.
const RECHECK: &str = "{% if state == 'asked' %}A recheck of {{ change }},{{ patchset }} is asked for.\
{% elif state == 'dry' %}Rechecks are switched off here (dry run): I wrote down that you want one of {{ change }},{{ patchset }}.\
{% elif state == 'again' %}A recheck of {{ change }},{{ patchset }} was asked for already.\
{% else %}I have no code review to ask for a recheck.{% endif %}";

/// What can be said.
const HELP: &str = "I know: {{ commands|join(', ') }}. WHAT is a bug, a fingerprint or a change; `this` is \
the change that you write on.";

/// A person may not.
const DENIED: &str = "Sorry, {{ who|esc }}, you may not use `{{ word|esc }}` here: who runs this can allow it \
(`commands.{{ kind }}`).";

/// What was asked for cannot be.
const WRONG: &str = "{{ reason|esc }}";

/// A person asks too often.
const BUSY: &str = "{{ who|esc }}: that is a lot at once; I answer you again in a minute.";

/// All templates of answers with their names.
pub const ANSWERS: [(&str, &str); 10] = [
    ("answer-status", STATUS),
    ("answer-change", CHANGE),
    ("answer-why", WHY),
    ("answer-silenced", SILENCED),
    ("answer-unsilenced", UNSILENCED),
    ("answer-recheck", RECHECK),
    ("answer-help", HELP),
    ("answer-denied", DENIED),
    ("answer-wrong", WRONG),
    ("answer-busy", BUSY),
];

/// What an answer speaks of; which of it is there depends on the answer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// What we are called.
    pub name: String,
    /// Who is answered.
    pub who: String,
    /// The command's word.
    pub word: String,
    /// The outage that is on.
    pub outage: Option<String>,
    /// Fingerprints in force.
    pub fingerprints: usize,
    /// Silences that are on.
    pub silences: usize,
    /// A change.
    pub change: Option<String>,
    /// Its patchset.
    pub patchset: Option<String>,
    /// Failed jobs.
    pub total: u64,
    /// Those (or failed builds) with a known bug.
    pub known: u64,
    /// Those without.
    pub unknown: u64,
    /// Those that were not looked at to the end.
    pub open: u64,
    /// A job.
    pub job: Option<String>,
    /// The CI's word for how it ended.
    pub result: Option<String>,
    /// Its verdict.
    pub verdict: String,
    /// Its headline.
    pub bug: Option<Bug>,
    /// How many more known bugs it has.
    pub more: usize,
    /// Where to read more.
    pub page: String,
    /// What a silence is of; the key of the configuration for who may not.
    pub kind: String,
    /// Of which.
    pub what: String,
    /// When it ends.
    pub until: String,
    /// How a person names it to end it before.
    pub ends: String,
    /// How many silences have ended.
    pub count: u64,
    /// What became of a recheck: `asked`, `dry`, `again` or `nowhere`.
    pub state: String,
    /// What is wrong.
    pub reason: String,
    /// What a person can say.
    pub commands: Vec<String>,
}

/// What templates are tried on.
pub(super) fn examples() -> [Answer; 2] {
    let bug = Bug {
        name: "launchpad:1".into(),
        url: None,
        title: "Title".into(),
        status: None,
        reviews: Vec::new(),
        returned: false,
        advice: None,
        week: 1,
        evidence: Vec::new(),
    };
    let full = Answer {
        outage: Some("Outage.".into()),
        silences: 2,
        change: Some("1".into()),
        patchset: Some("2".into()),
        total: 2,
        known: 1,
        unknown: 1,
        job: Some("job".into()),
        result: Some("FAILURE".into()),
        bug: Some(bug),
        more: 1,
        kind: "fingerprint".into(),
        count: 1,
        state: "asked".into(),
        commands: vec!["status".into()],
        ..Answer::default()
    };
    let none = Answer {
        change: Some(String::new()),
        patchset: Some(String::new()),
        job: Some(String::new()),
        ..Answer::default()
    };
    [full, none]
}
