//! Zuul: what its MQTT reporter and its REST API say of builds, and the two files in which each build
//! describes its logs.
//!
//! [`Zuul`] asks and listens: `live/` polls the API, `mqtt.rs` hears the reporter.
//! [`reported`] reads builds, [`files`] a `zuul-manifest.json`, [`failures`] a `job-output.json`. All
//! are lenient: what is missing or of another type is left out, what cannot be used is counted.

mod builds;
mod choose;
mod live;
mod manifest;
mod mqtt;

pub use crate::intake::{Failure, Failures, failures};
pub use builds::{Finished, Reported, reported};
pub use live::{Unusable, Zuul};
pub use manifest::{Files, LogFile, files};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Build;
    use proptest::prelude::*;
    use serde_json::Value;

    /// JSON of any shape, with the names that the readers look for.
    fn json() -> impl Strategy<Value = Value> {
        let names = [
            "builds",
            "buildset",
            "job_name",
            "result",
            "uuid",
            "ref",
            "refs",
            "artifacts",
            "metadata",
            "tree",
            "name",
            "children",
            "size",
            "plays",
            "tasks",
            "hosts",
            "failed",
            "results",
            "stats",
            "start_time",
            "pipeline",
            "change",
            "voting",
            "msg",
            "failures",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            let name = proptest::sample::select(names.to_vec());
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((name, inner), 0..6).prop_map(|all| {
                    all.into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_makes_them_panic(value in json()) {
            for build in reported(&value).into_iter().flat_map(|found| found.builds) {
                prop_assert!(Build::check_uuid(&build.build.uuid).is_ok());
            }
            for file in files(&value).into_iter().flat_map(|found| found.files) {
                prop_assert!(!file.path.starts_with('/') && !file.path.split('/').any(|part| part == ".."));
            }
            let text = value.to_string();
            for failure in failures(text.as_bytes()).into_iter().flat_map(|found| found.all) {
                prop_assert!(failure.event().message.starts_with("TASK ["));
            }
        }
    }
}
