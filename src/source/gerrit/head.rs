//! The sentence at the beginning of a report, which says what came of the whole.

use crate::event::bounded;

/// What a comment says of the builds as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All that counts has passed.
    Succeeded,
    /// Something that counts has failed.
    Failed,
    /// Anything else: builds were started, the change could not be merged, somebody talks.
    Other,
}

impl Status {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Other => "other",
        }
    }
}

/// The kinds of head that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// `Build succeeded.`, `Gate pipeline build succeeded.`, `Build Successful`
    Succeeded,
    /// `Build failed (check pipeline).`, `Build Failed`, `Build Unstable`
    Failed,
    /// `Starting check jobs.`, `Build Started URL`
    Started,
    /// `Build canceled.`
    Canceled,
    /// `Merge Failed.`, or the merge was refused: there was nothing to build.
    MergeFailed,
    /// A change that this one needs has failed.
    Dependency,
    /// The CI's configuration is wrong: there was nothing to build.
    Configuration,
    /// There was no job for the change.
    NoBuilds,
}

/// How much of a line is looked at, in bytes.
const LONGEST: usize = 400;

/// Sentences that begin a report without builds, as they begin, in small letters.
const SENTENCES: &[(&str, Head)] = &[
    ("merge failed", Head::MergeFailed),
    (
        "this change was unable to be automatically merged",
        Head::MergeFailed,
    ),
    ("this change or one of its", Head::MergeFailed),
    ("these changes or one of their", Head::MergeFailed),
    ("this change was not merged", Head::MergeFailed),
    ("this change is unable to merge", Head::MergeFailed),
    ("these changes are unable to merge", Head::MergeFailed),
    ("this change depends on a change", Head::Dependency),
    ("these changes depend on a change", Head::Dependency),
    (
        "this change is part of a dependency cycle",
        Head::Dependency,
    ),
    ("zuul encountered", Head::Configuration),
    ("unknown configuration error", Head::Configuration),
    ("configuration error", Head::Configuration),
    ("unable to freeze job graph", Head::Configuration),
    ("no builds executed", Head::NoBuilds),
    ("no jobs", Head::NoBuilds),
    ("verification queued", Head::Started),
];

/// Words before "build" that show that a person tells of theirs.
const PERSONAL: &[&str] = &[
    "i", "my", "our", "your", "their", "his", "her", "the", "this", "that", "these", "those", "a",
    "an", "it", "if", "when", "why", "because", "since", "as", "is", "was", "and", "but", "so",
    "last", "previous", "same", "again", "local", "see", "not", "no", "does", "did", "any",
    "which",
];

/// The head that a line is, and the pipeline that it names in brackets. Other words for a pipeline
/// are left alone: they are a description that somebody wrote, and need not be its name.
pub(super) fn read(line: &str) -> Option<(Head, Option<String>)> {
    let line = bounded(
        line.trim().trim_start_matches(['*', '#', '_', ' ']),
        LONGEST,
    );
    let lower = line.to_ascii_lowercase();
    let sentence = SENTENCES
        .iter()
        .find(|(begins, _)| lower.starts_with(begins));
    if let Some((_, head)) = sentence {
        return Some((*head, pipeline(line)));
    }
    if lower.starts_with("starting ") && lower.contains("jobs") {
        return Some((Head::Started, pipeline(line)));
    }
    let head = of_build(&lower)?;
    Some((head, pipeline(line)))
}

/// `[WORDS] build STATUS`, with an end of the sentence or an address behind it.
fn of_build(lower: &str) -> Option<Head> {
    let mut words = lower.split_whitespace();
    let mut before = 0;
    loop {
        let word = words.next()?;
        if word == "build" || word == "builds" {
            break;
        }
        before += 1;
        if before > 4 || PERSONAL.contains(&word) || !word.starts_with(char::is_alphanumeric) {
            return None;
        }
    }
    let mut word = words.next()?;
    if word.starts_with('#') {
        word = words.next()?;
    }
    if matches!(word, "has" | "is" | "was") {
        word = words.next()?;
    }
    let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
    let head = status(bare)?;
    let ends = bare.len() != word.len();
    let next = words.next().unwrap_or_default();
    let goes_on = next.is_empty()
        || next.starts_with(['(', '-', '[', '<'])
        || next.starts_with("http")
        || matches!(next, "see" | "for");
    (ends || goes_on || (head == Head::Started && before == 0)).then_some(head)
}

fn status(word: &str) -> Option<Head> {
    Some(match word {
        "succeeded" | "successful" | "success" | "succeed" | "passed" => Head::Succeeded,
        "failed" | "failure" | "unstable" | "aborted" | "error" | "errored" => Head::Failed,
        "started" | "starting" | "queued" | "scheduled" => Head::Started,
        "canceled" | "cancelled" | "dequeued" => Head::Canceled,
        _ => return None,
    })
}

/// The name in `(NAME pipeline)`.
fn pipeline(line: &str) -> Option<String> {
    let end = line.find(" pipeline)")?;
    let start = line[..end].rfind('(')? + 1;
    let name = line[start..end].trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> Option<Head> {
        read(line).map(|(head, _)| head)
    }

    #[test]
    fn heads_of_all_systems_are_known() {
        for (line, head) in [
            ("Build failed.", Head::Failed),
            (
                "Build failed.  For information on how to proceed, see https://x.example",
                Head::Failed,
            ),
            ("Build failed (check pipeline).", Head::Failed),
            ("Build Failed ", Head::Failed),
            ("Build Unstable ", Head::Failed),
            ("**Build failed**", Head::Failed),
            ("Main test build failed.", Head::Failed),
            ("Gate pipeline build failed.", Head::Failed),
            ("Post-merge build succeeded.", Head::Succeeded),
            ("Build succeeded", Head::Succeeded),
            ("Build Successful ", Head::Succeeded),
            (
                "Build succeeded (third-party-check pipeline).",
                Head::Succeeded,
            ),
            (
                "Build Started https://ci.example/job/a/1/ (1/2)",
                Head::Started,
            ),
            ("Starting check jobs.", Head::Started),
            (
                "Starting gate jobs: https://zuul.example/t/x/status/change/1,2",
                Head::Started,
            ),
            ("Build canceled.", Head::Canceled),
            ("Merge Failed.", Head::MergeFailed),
            (
                "This change depends on a change that failed to merge.",
                Head::Dependency,
            ),
            (
                "Zuul encountered a syntax error while parsing its configuration",
                Head::Configuration,
            ),
            ("No Builds Executed", Head::NoBuilds),
        ] {
            assert_eq!(kind(line), Some(head), "{line}");
        }
    }

    #[test]
    fn what_people_say_is_no_head() {
        for line in [
            "My build failed again, any idea?",
            "I think the build failed.",
            "Build failed on my laptop",
            "build failures are annoying",
            "recheck",
            "Can we merge? The last build succeeded.",
            "",
        ] {
            assert_eq!(kind(line), None, "{line}");
        }
    }

    #[test]
    fn only_a_name_in_brackets_is_a_pipeline() {
        let name = |line: &str| read(line).and_then(|(_, name)| name);
        assert_eq!(
            name("Build failed (third party pipeline)."),
            Some("third party".into())
        );
        assert_eq!(name("Gate pipeline build failed."), None);
        assert_eq!(name("Build failed ( pipeline)."), None);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(bounded("aé", 2), "a");
        assert_eq!(kind(&"é".repeat(1_000)), None);
    }
}
