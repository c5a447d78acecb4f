//! Builds, as the REST API and the MQTT reporter tell of them.

use crate::event::{Build, FieldValue};
use crate::intake::loose::{moment, text};
use crate::source::digest::digest;
use serde_json::Value;

/// A build that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// What is known of it.
    pub build: Build,
    /// Where the list of its log files is.
    pub manifest_url: Option<String>,
    /// Where its logs are; not the page about the build, which `log_url` is where there are none.
    pub logs: Option<String>,
    /// True when Zuul itself ran the job again instead of reporting it.
    pub retried: bool,
}

/// What an answer or a message says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reported {
    /// The builds that have ended, in order.
    pub builds: Vec<Finished>,
    /// How many have not ended.
    pub unfinished: usize,
    /// How many things are no builds.
    pub unread: usize,
}

/// Reads an answer of `builds`, `build/UUID`, `buildsets` or `buildset/UUID`, or a message of the MQTT
/// reporter; none if it is nothing of that.
pub fn reported(value: &Value) -> Option<Reported> {
    let mut found = Reported::default();
    match value {
        Value::Array(all) => {
            for one in all {
                if !found.object(one) {
                    found.unread += 1;
                }
            }
            let any = found.unread < all.len() || all.is_empty();
            any.then_some(found)
        }
        one => found.object(one).then_some(found),
    }
}

impl Reported {
    /// Reads one object; false if it is none that Zuul says.
    fn object(&mut self, value: &Value) -> bool {
        if let Some(builds) = value["buildset"]["builds"].as_array() {
            let around = Around::of_message(value);
            self.all(builds, &around);
            self.again(&value["buildset"]["retry_builds"], &around);
            return true;
        }
        if let Some(builds) = value["builds"].as_array() {
            let around = Around::of_buildset(value);
            self.all(builds, &around);
            self.again(&value["retry_builds"], &around);
            return true;
        }
        if value["job_name"].is_string() {
            self.one(value, &Around::default());
            return true;
        }
        // A list of buildsets has no builds: each of them is asked for by its uuid.
        value["uuid"].is_string() && value["pipeline"].is_string() && value.get("result").is_some()
    }

    fn all(&mut self, builds: &[Value], around: &Around) {
        for build in builds {
            if build["job_name"].is_string() {
                self.one(build, around);
            } else {
                self.unread += 1;
            }
        }
    }

    /// Takes the builds after which Zuul ran their jobs once more.
    fn again(&mut self, builds: &Value, around: &Around) {
        let before = self.builds.len();
        self.all(builds.as_array().map_or(&[], Vec::as_slice), around);
        for one in &mut self.builds[before..] {
            one.retried = true;
        }
    }

    fn one(&mut self, value: &Value, around: &Around) {
        match finished(value, around) {
            Some(build) => self.builds.push(build),
            None => self.unfinished += 1,
        }
    }
}

/// What stands around a build, once for all builds.
#[derive(Debug, Clone, Default)]
struct Around {
    build: Build,
    buildset: Option<String>,
}

impl Around {
    /// The MQTT reporter writes the change beside the buildset.
    fn of_message(message: &Value) -> Self {
        let mut around = Self {
            build: change(message),
            buildset: text(&message["buildset"]["uuid"]),
        };
        around.build.pipeline = text(&message["pipeline"]);
        around.build.commit = text(&message["commit_id"]).or(around.build.commit);
        extra(&mut around.build, "tenant", &message["tenant"]);
        extra(&mut around.build, "change_url", &message["change_url"]);
        around
    }

    fn of_buildset(buildset: &Value) -> Self {
        let first = &buildset["refs"][0];
        let mut around = Self {
            build: change(if first.is_object() { first } else { buildset }),
            buildset: text(&buildset["uuid"]),
        };
        around.build.pipeline = text(&buildset["pipeline"]);
        around
    }
}

/// The change or branch that an object is about.
fn change(value: &Value) -> Build {
    let mut build = Build {
        project: text(&value["project"]),
        branch: text(&value["branch"]),
        change: text(&value["change"]),
        patchset: text(&value["patchset"]),
        commit: text(&value["newrev"]).or_else(|| text(&value["commit_id"])),
        ..Build::default()
    };
    for name in ["ref_url", "change_url"] {
        extra(&mut build, "change_url", &value[name]);
    }
    build
}

fn extra(build: &mut Build, name: &str, value: &Value) {
    if let Some(text) = text(value) {
        build.extra.set(name, FieldValue::text(text));
    }
}

/// The build, if it has a result.
fn finished(value: &Value, around: &Around) -> Option<Finished> {
    let result = text(&value["result"])?;
    // Since Zuul 10 the change is an object of its own, `change` in messages; in a buildset it may be
    // said only there.
    let nested = [&value["ref"], &value["change"]];
    let own = change(
        nested
            .into_iter()
            .find(|one| one.is_object())
            .unwrap_or(value),
    );
    let job = text(&value["job_name"]);
    let buildset = text(&value["buildset"]["uuid"]).or_else(|| around.buildset.clone());
    let uuid = text(&value["uuid"]).filter(|uuid| Build::check_uuid(uuid).is_ok());
    let retried = value["final"] == false || result.eq_ignore_ascii_case("RETRY");
    let mut build = Build {
        // What never ran, for want of a node, has no uuid.
        uuid: uuid.unwrap_or_else(|| {
            let parts = [
                &buildset,
                &around.build.change,
                &around.build.patchset,
                &job,
            ];
            digest(&parts.map(|part| part.as_deref().unwrap_or_default()))
        }),
        pipeline: text(&value["pipeline"]).or_else(|| around.build.pipeline.clone()),
        project: own.project.or_else(|| around.build.project.clone()),
        branch: own.branch.or_else(|| around.build.branch.clone()),
        change: own.change.or_else(|| around.build.change.clone()),
        patchset: own.patchset.or_else(|| around.build.patchset.clone()),
        commit: own.commit.or_else(|| around.build.commit.clone()),
        voting: value["voting"].as_bool(),
        log_url: text(&value["log_url"]).or_else(|| text(&value["web_url"])),
        started: moment(&value["start_time"]),
        finished: moment(&value["end_time"]),
        extra: around.build.extra.clone(),
        job,
        result: Some(result),
        ..Build::default()
    };
    for (name, value) in own.extra.iter() {
        build.extra.set(name, value.clone());
    }
    extra(&mut build, "error_detail", &value["error_detail"]);
    if let Some(buildset) = buildset {
        build.extra.set("build_set", FieldValue::text(buildset));
    }
    let manifest_url = manifest_url(&value["artifacts"]);
    let logs = text(&value["log_url"]).or_else(|| Some(folder(manifest_url.as_deref()?)));
    Some(Finished {
        build,
        manifest_url,
        logs,
        retried,
    })
}

/// The address without its last part.
fn folder(url: &str) -> String {
    let end = url.rfind('/').map_or(url.len(), |at| at + 1);
    url[..end].to_owned()
}

fn manifest_url(artifacts: &Value) -> Option<String> {
    let mut all = artifacts.as_array()?.iter();
    let manifest = all.find(|artifact| artifact["metadata"]["type"] == "zuul_manifest")?;
    text(&manifest["url"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const UUID: &str = "00112233445566778899aabbccddeeff";

    fn build(job: &str, result: &Value) -> Value {
        json!({
            "uuid": UUID, "job_name": job, "result": result, "voting": false,
            "start_time": "2026-01-02T03:00:00", "end_time": "2026-01-02T03:04:05",
            "log_url": "https://logs.shop.example/00112/", "error_detail": "out of nodes",
            "artifacts": [
                {"name": "Docs", "url": "https://logs.shop.example/docs"},
                {"name": "Manifest", "url": "https://logs.shop.example/00112/zuul-manifest.json",
                 "metadata": {"type": "zuul_manifest"}},
            ],
        })
    }

    fn expected() -> Build {
        let mut build = Build::new(UUID);
        build.job = Some("unit".into());
        build.result = Some("FAILURE".into());
        build.pipeline = Some("check".into());
        build.project = Some("shop/api".into());
        build.branch = Some("main".into());
        build.change = Some("1234".into());
        build.patchset = Some("5".into());
        build.voting = Some(false);
        build.log_url = Some("https://logs.shop.example/00112/".into());
        build.started = "2026-01-02T03:00:00Z".parse().ok();
        build.finished = "2026-01-02T03:04:05Z".parse().ok();
        build
            .extra
            .set("error_detail", FieldValue::text("out of nodes"));
        build.extra.set("build_set", FieldValue::text("b5"));
        build.extra.set(
            "change_url",
            FieldValue::text("https://review.shop.example/1234"),
        );
        build
    }

    /// A change as an answer holds it.
    fn the_change() -> Value {
        json!({"project": "shop/api", "branch": "main", "change": 1234, "patchset": "5",
            "ref": "refs/changes/34/1234/5", "newrev": null, "ref_url": "https://review.shop.example/1234"})
    }

    fn with(mut value: Value, more: &Value) -> Value {
        for (name, one) in more.as_object().unwrap() {
            value[name] = one.clone();
        }
        value
    }

    #[test]
    fn builds_of_the_api_before_and_since_version_10() {
        let rest = json!({"pipeline": "check", "buildset": {"uuid": "b5"}});
        let base = with(build("unit", &json!("FAILURE")), &rest);
        let flat = with(base.clone(), &the_change());
        let nested = with(base, &json!({"ref": the_change()}));
        for answer in [json!([flat]), json!([nested]), nested] {
            let found = reported(&answer).unwrap();
            assert_eq!(
                (found.builds.len(), found.unfinished, found.unread),
                (1, 0, 0)
            );
            assert_eq!(found.builds[0].build, expected());
            let manifest = "https://logs.shop.example/00112/zuul-manifest.json";
            assert_eq!(found.builds[0].manifest_url.as_deref(), Some(manifest));
        }
    }

    #[test]
    fn a_buildset_says_once_what_all_its_builds_share() {
        let builds = json!({"uuid": "b5", "pipeline": "check", "result": "FAILURE",
            "builds": [build("unit", &json!("FAILURE")), build("docs", &json!(null)), 7]});
        for answer in [
            with(builds.clone(), &json!({"refs": [the_change()]})),
            with(builds, &the_change()),
        ] {
            let found = reported(&answer).unwrap();
            assert_eq!(
                (found.builds.len(), found.unfinished, found.unread),
                (1, 1, 1)
            );
            assert_eq!(found.builds[0].build, expected());
        }
        let listed = json!([{"uuid": "b5", "pipeline": "check", "result": "FAILURE"}]);
        assert_eq!(reported(&listed), Some(Reported::default()));
    }

    #[test]
    fn a_message_of_the_mqtt_reporter() {
        let mut one = build("unit", &json!("FAILURE"));
        one["start_time"] = json!(1_767_322_800.0);
        one["end_time"] = json!(1_767_323_045.0);
        let lost = json!({"job_name": "arm", "voting": true, "uuid": null, "result": "NODE_FAILURE",
            "web_url": "https://zuul.shop.example/x"});
        let message = json!({
            "action": "failure", "tenant": "shop", "pipeline": "check", "project": "shop/api", "branch": "main",
            "change_url": "https://review.shop.example/1234", "change": "1234", "patchset": "5", "commit_id": "abc",
            "ref": "refs/changes/34/1234/5", "message": "Build failed.",
            "buildset": {"uuid": "b5", "result": "FAILURE", "builds": [one, lost, {"job_name": "docs", "voting": true}]},
        });
        let found = reported(&message).unwrap();
        assert_eq!((found.builds.len(), found.unfinished), (2, 1));
        let mut expected = expected();
        expected.commit = Some("abc".into());
        expected.extra.set("tenant", FieldValue::text("shop"));
        assert_eq!(found.builds[0].build, expected);
        let lost = &found.builds[1].build;
        assert!(Build::check_uuid(&lost.uuid).is_ok(), "{}", lost.uuid);
        assert_eq!(lost.log_url.as_deref(), Some("https://zuul.shop.example/x"));
        assert_eq!(
            reported(&message),
            Some(found),
            "the same message, the same names"
        );
    }

    #[test]
    fn each_build_of_a_message_may_have_its_own_change() {
        let mut one = build("unit", &json!("FAILURE"));
        one["change"] = json!({"project": "shop/web", "branch": "next", "change": "77", "patchset": "2",
            "change_url": "https://review.shop.example/77", "commit_id": "def"});
        let message = json!({"tenant": "shop", "pipeline": "gate", "project": "shop/api", "branch": "main",
            "change": "1234", "patchset": "5", "change_url": "https://review.shop.example/1234",
            "buildset": {"uuid": "b5", "builds": [one]}});
        let found = reported(&message).unwrap().builds.remove(0).build;
        assert_eq!(found.project.as_deref(), Some("shop/web"));
        assert_eq!(
            (found.change.as_deref(), found.patchset.as_deref()),
            (Some("77"), Some("2"))
        );
        assert_eq!(found.commit.as_deref(), Some("def"));
        let url = FieldValue::text("https://review.shop.example/77");
        assert_eq!(found.extra.get("change_url"), Some(&url));
    }

    #[test]
    fn what_zuul_ran_again_and_where_logs_are() {
        let read = |value: Value| reported(&json!([value])).unwrap().builds.remove(0);
        let plain = read(build("unit", &json!("FAILURE")));
        let root = Some("https://logs.shop.example/00112/");
        assert_eq!((plain.retried, plain.logs.as_deref()), (false, root));
        assert!(read(build("unit", &json!("RETRY"))).retried);
        let again = with(
            build("unit", &json!("FAILURE")),
            &json!({"final": false, "log_url": null}),
        );
        let again = read(again);
        assert_eq!((again.retried, again.logs.as_deref()), (true, root));
        let lost =
            read(json!({"job_name": "a", "result": "NODE_FAILURE", "web_url": "https://z/b"}));
        assert_eq!(
            (lost.logs, lost.build.log_url.as_deref()),
            (None, Some("https://z/b"))
        );
    }

    #[test]
    fn what_zuul_does_not_say_is_nothing() {
        for other in [
            json!(null),
            json!(3),
            json!({}),
            json!({"type": "comment-added"}),
            json!(["x", {}]),
        ] {
            assert_eq!(reported(&other), None, "{other}");
        }
        assert_eq!(reported(&json!([])), Some(Reported::default()));
        let hostile = json!([{"job_name": "a", "result": "FAILURE", "uuid": "../../etc"}]);
        let found = reported(&hostile).unwrap();
        assert!(Build::check_uuid(&found.builds[0].build.uuid).is_ok());
    }
}
