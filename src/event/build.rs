//! A build: one execution of one job for one change and patchset.

use super::{FieldValue, Fields};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// One execution of one job, with what the CI said about it. Absent facts are `None`, never `""`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// Unique name of the build: letters, digits, `-`, `_` and `.`, at most 128 bytes.
    pub uuid: String,
    /// The job's name (`build_name` in events).
    pub job: Option<String>,
    /// The result in the CI's own word: `SUCCESS`, `FAILURE`, `TIMED_OUT`, … (`build_status`).
    pub result: Option<String>,
    /// The pipeline or queue (`build_queue`).
    pub pipeline: Option<String>,
    /// The repository under test.
    pub project: Option<String>,
    /// The branch (`build_branch`).
    pub branch: Option<String>,
    /// Number or name of the change (`build_change`).
    #[serde(deserialize_with = "text_or_number")]
    pub change: Option<String>,
    /// The patchset of the change (`build_patchset`).
    #[serde(deserialize_with = "text_or_number")]
    pub patchset: Option<String>,
    /// The commit under test (`build_newrev`).
    pub commit: Option<String>,
    /// Whether the result counts for the change. Unknown counts as voting.
    pub voting: Option<bool>,
    /// Where people find the logs.
    pub log_url: Option<String>,
    /// The cloud or machine pool it ran on.
    pub node_provider: Option<String>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Names of the tests that failed in it, where results are known (for `test_ids`).
    pub failed_tests: Option<Vec<String>>,
    /// Anything else that queries may ask for.
    pub extra: Fields,
}

/// A text, or a number as a text: most systems write the numbers of changes as numbers.
fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(i64),
    }
    let given = Option::<Either>::deserialize(from)?;
    Ok(given.map(|either| match either {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    }))
}

/// Why a build's metadata is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The uuid is empty, too long or holds a character outside `[A-Za-z0-9._-]`, or starts with a dot.
    #[error(
        "build uuid {0:?}: use 1 to 128 of the characters A-Z a-z 0-9 . _ - (not starting with a dot)"
    )]
    Uuid(String),
}

impl Build {
    /// A build of which only the uuid is known.
    pub fn new(uuid: impl Into<String>) -> Self {
        Self {
            uuid: uuid.into(),
            ..Self::default()
        }
    }

    /// Checks that the uuid is safe as a path part and in a URL.
    pub fn check_uuid(uuid: &str) -> Result<(), BuildError> {
        let ok = (1..=128).contains(&uuid.len())
            && !uuid.starts_with('.')
            && uuid
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if ok {
            Ok(())
        } else {
            Err(BuildError::Uuid(uuid.chars().take(140).collect()))
        }
    }

    /// True when the build ran to an end that is not a success. A build without a result has not
    /// failed; `SKIPPED` and `ABORTED`-like words are failures only if the CI says so by not
    /// saying `SUCCESS` or `SKIPPED`.
    pub fn failed(&self) -> bool {
        match self.result.as_deref() {
            None => false,
            Some(word) => {
                let word = word.to_ascii_uppercase();
                !matches!(word.as_str(), "SUCCESS" | "SKIPPED" | "NEUTRAL" | "PASSED")
            }
        }
    }

    /// True unless the CI said that the job does not vote.
    pub fn votes(&self) -> bool {
        self.voting != Some(false)
    }

    /// The fields that every event of this build carries, named as in the OpenStack index.
    pub fn fields(&self) -> Fields {
        let mut fields = self.extra.clone();
        fields.set("build_uuid", FieldValue::text(&self.uuid));
        let short: String = self.uuid.chars().take(7).collect();
        fields.set("build_short_uuid", FieldValue::text(short));
        let texts = [
            ("build_name", &self.job),
            ("build_status", &self.result),
            ("build_queue", &self.pipeline),
            ("project", &self.project),
            ("build_branch", &self.branch),
            ("build_change", &self.change),
            ("build_patchset", &self.patchset),
            ("build_newrev", &self.commit),
            ("log_url", &self.log_url),
            ("node_provider", &self.node_provider),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                fields.set(name, FieldValue::text(value));
            }
        }
        fields.set("voting", FieldValue::Integer(i64::from(self.votes())));
        fields
    }

    /// Sets one field by its name in events, as `--field NAME=VALUE` does; names that are not a
    /// build's own become extra fields, and a second value for the same extra field makes a list.
    pub fn set_field(&mut self, name: &str, value: &str) {
        let slot = match name {
            "build_uuid" => {
                value.clone_into(&mut self.uuid);
                return;
            }
            "voting" => {
                self.voting = Some(!matches!(value, "0" | "false"));
                return;
            }
            "build_name" => &mut self.job,
            "build_status" => &mut self.result,
            "build_queue" => &mut self.pipeline,
            "project" => &mut self.project,
            "build_branch" => &mut self.branch,
            "build_change" => &mut self.change,
            "build_patchset" => &mut self.patchset,
            "build_newrev" => &mut self.commit,
            "log_url" => &mut self.log_url,
            "node_provider" => &mut self.node_provider,
            other => {
                self.extra.add(other, FieldValue::text(value));
                return;
            }
        };
        *slot = Some(value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_that_could_leave_a_folder_are_refused() {
        for bad in ["", "..", ".x", "a/b", "a\0", "a b", &"x".repeat(129)] {
            assert!(Build::check_uuid(bad).is_err(), "{bad:?}");
        }
        assert!(Build::check_uuid("5ef9f24c-1a.b_2").is_ok());
    }

    #[test]
    fn a_failure_is_any_end_but_success() {
        let with = |word: &str| Build {
            result: Some(word.into()),
            ..Build::new("u")
        };
        assert!(with("FAILURE").failed());
        assert!(with("TIMED_OUT").failed());
        assert!(!with("SUCCESS").failed());
        assert!(!with("success").failed());
        assert!(!Build::new("u").failed());
    }

    #[test]
    fn a_change_may_be_a_number() {
        let read = |json: &str| serde_json::from_str::<Build>(json);
        let build = read(r#"{"uuid":"u","change":1234,"patchset":"2"}"#).unwrap();
        assert_eq!(build.change.as_deref(), Some("1234"));
        assert_eq!(build.patchset.as_deref(), Some("2"));
        assert_eq!(read(r#"{"change":null}"#).unwrap().change, None);
        assert!(read(r#"{"change":[1]}"#).is_err());
    }

    #[test]
    fn fields_are_named_as_in_the_index() {
        let mut build = Build::new("1003eeca859e44e7");
        build.set_field("build_name", "gate-x");
        build.set_field("voting", "0");
        build.set_field("rack", "r1");
        let fields = build.fields();
        assert_eq!(
            fields.get("build_short_uuid"),
            Some(&FieldValue::text("1003eec"))
        );
        assert_eq!(fields.get("build_name"), Some(&FieldValue::text("gate-x")));
        assert_eq!(fields.get("voting"), Some(&FieldValue::Integer(0)));
        assert_eq!(fields.get("rack"), Some(&FieldValue::text("r1")));
        assert_eq!(fields.get("build_status"), None);
    }
}
