//! The signed webhook.

use super::{Place, SECRET, Told, fixture, mutilated, post, send, size, strange};
use axum::Router;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use whorl::source::Logs;
use whorl::source::webhook::{Settings, Webhook};

fn routes(place: &Place) -> Router {
    let settings = Settings {
        name: "farm".into(),
        secret: SECRET.into(),
        folder: place.folder(),
        keep: Duration::from_secs(3600),
    };
    Arc::new(Webhook::new(settings)).routes(place.desk.clone())
}

async fn tell_at(routes: &Router, time: &str, body: &str) -> Told {
    let signature = super::signature(format!("{time}.{body}").as_bytes());
    let headers = [
        ("x-whorl-timestamp", time),
        ("x-whorl-signature-256", &signature),
    ];
    send(routes, post(&headers, body.to_owned())).await
}

async fn tell(routes: &Router, body: &str) -> Told {
    tell_at(routes, &now(0), body).await
}

fn now(shift: i64) -> String {
    (Timestamp::now().as_second() + shift).to_string()
}

#[tokio::test]
async fn a_message_brings_builds_with_logs_of_every_kind() {
    let place = Place::new();
    let routes = routes(&place);
    let body = fixture("webhook-message.json").to_string();
    let told = tell(&routes, &body).await;
    assert_eq!((told.status.as_u16(), told.text.as_str()), (200, "heard\n"));
    let build = place.build("farm-1742").unwrap();
    assert_eq!(
        (build.change.as_deref(), build.result.as_deref()),
        (Some("17"), Some("FAILURE"))
    );
    let logs: std::collections::BTreeMap<_, _> = place.logs().into_iter().collect();
    let url = "https://farm.example.org/1742/console.txt".to_owned();
    let (name, account) = ("console.txt".to_owned(), None);
    assert_eq!(logs["farm-1742"], Logs::File { url, name, account });
    let url = "https://farm.example.org/1743/".to_owned();
    assert_eq!(logs["farm-1743"], Logs::Root { url });
    let Logs::Folder { path } = &logs["farm-1744"] else {
        panic!("a folder")
    };
    let text = std::fs::read_to_string(format!("{path}/console.txt")).unwrap();
    assert_eq!(text, "E: grün ✗\n");
    assert_eq!(std::fs::read(format!("{path}/sub/x.log")).unwrap(), b"");
    // Its logs came by the intake API, so it is complete.
    assert_eq!(*place.complete.lock().unwrap(), ["farm-1745"]);
    // A repetition with a new time is heard once.
    assert_eq!(
        tell_at(&routes, &now(1), &body).await.text,
        "heard before\n"
    );
    assert_eq!(place.status("farm").builds, 4);
}

#[tokio::test]
async fn the_signature_is_over_time_and_body() {
    let place = Place::new();
    let routes = routes(&place);
    let body = fixture("webhook-message.json").to_string();
    let (at, later) = (now(0), now(5));
    let good = super::signature(format!("{at}.{body}").as_bytes());
    let plain = super::signature(body.as_bytes());
    let wrong = [
        (at.as_str(), ""),
        (&at, "sha256="),
        (&at, &good[..70]),
        (&at, &plain),
        (&later, &good),
        ("", &good),
        ("soon", &good),
        ("99999999999999999999", &good),
    ];
    for (time, signature) in wrong {
        let headers = [
            ("x-whorl-timestamp", time),
            ("x-whorl-signature-256", signature),
        ];
        let told = send(&routes, post(&headers, body.clone())).await;
        assert_eq!(
            (told.status.as_u16(), told.text.as_str()),
            (401, "no\n"),
            "{time} {signature}"
        );
    }
    // Rightly signed, but old, ahead, or written so that one time has two signatures.
    for time in [
        now(-301),
        now(302),
        format!("+{}", now(0)),
        format!("0{}", now(0)),
        "0".into(),
    ] {
        assert_eq!(tell_at(&routes, &time, &body).await.status, 401, "{time}");
    }
    assert_eq!((place.logs().len(), place.status("farm").events), (0, 0));
    assert_eq!(tell_at(&routes, &now(-290), &body).await.status, 200);
}

#[tokio::test]
async fn what_the_schema_does_not_know_is_refused_with_its_name() {
    let place = Place::new();
    let routes = routes(&place);
    let cases = [
        ("{", "EOF"),
        ("[]", "invalid"),
        (r#"{"version":2}"#, "version 2 is not known"),
        (r#"{"builds":[]}"#, "missing field `version`"),
        (r#"{"version":1,"bulids":[]}"#, "unknown field `bulids`"),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"u","result":"F","colour":1}}]}"#,
            "unknown field `colour`",
        ),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"../u","result":"F"}}]}"#,
            "builds[0]: build uuid",
        ),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"u"}}]}"#,
            "builds[0]: build.result",
        ),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"u","result":"F"},"logs":{"root":{"url":"ftp://h/"}}}]}"#,
            "an address begins",
        ),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"u","result":"F"},"logs":{"root":{"url":"https://a:b@h/"}}}]}"#,
            "has no password",
        ),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"u","result":"F"},"logs":{"folder":{"path":"/etc"}}}]}"#,
            "unknown variant `folder`",
        ),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"u","result":"F"},"logs":{"inline":[{"name":"../../x","text":""}]}}]}"#,
            "name \"../../x\"",
        ),
        (
            r#"{"version":1,"builds":[{"build":{"uuid":"u","result":"F"},"logs":{"inline":[{"name":"a","text":""},{"name":"./a","text":""}]}}]}"#,
            "is there twice",
        ),
        (
            r#"{"version":1,"patchsets":[{"project":"p","change":"","patchset":"1"}]}"#,
            "patchsets[0]: an empty",
        ),
    ];
    for (body, wanted) in cases {
        let told = tell(&routes, body).await;
        assert_eq!(told.status, 400, "{body}");
        assert!(told.text.contains(wanted), "{body}: {}", told.text);
    }
    let large = json!({"version": 1, "builds": [{"build": {"uuid": "u", "result": "F"},
        "logs": {"inline": [{"name": "a", "text": "x".repeat((1 << 20) + 1)}]}}]});
    assert!(
        tell(&routes, &large.to_string())
            .await
            .text
            .contains("more than 1 MiB")
    );
    assert_eq!(place.status("farm").not_understood, 15);
    assert!(!place.folder().exists(), "something was kept");
    let huge = " ".repeat((16 << 20) + 1);
    assert_eq!(tell(&routes, &huge).await.status, 413);
}

/// Nothing that fails to be kept is answered with success, and it may be sent again.
#[tokio::test]
async fn what_could_not_be_kept_may_come_again() {
    let place = Place::new();
    let routes = routes(&place);
    // A file stands where the folder should be.
    std::fs::write(place.folder(), b"").unwrap();
    let body = fixture("webhook-message.json").to_string();
    let told = tell(&routes, &body).await;
    assert_eq!(told.status, 503);
    assert_eq!((place.logs().len(), place.status("farm").builds), (0, 0));
    std::fs::remove_file(place.folder()).unwrap();
    assert_eq!(tell(&routes, &body).await.text, "heard\n");
    assert_eq!(place.logs().len(), 3);
}

#[tokio::test]
async fn no_message_makes_it_panic() {
    let place = Place::new();
    let routes = routes(&place);
    let payload = fixture("webhook-message.json");
    for with in &strange() {
        for at in 0..size(&payload) {
            let body = mutilated(&payload, at, with).to_string();
            let told = tell(&routes, &body).await;
            assert!(
                matches!(told.status.as_u16(), 200 | 400),
                "{at}: {}",
                told.status
            );
        }
    }
    let status = place.status("farm");
    assert!(status.not_understood > 50, "{status:?}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = [
        "version",
        "builds",
        "build",
        "uuid",
        "result",
        "logs",
        "inline",
        "name",
        "text",
        "action",
        "workflow_job",
        "id",
        "repository",
        "full_name",
        "sha",
        "phase",
        "build_status",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!(1)),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let name = proptest::sample::select(names.to_vec());
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name, inner), 0..6).prop_map(|all| all
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any JSON at any source that knows its sender: an answer, and never a panic; what is refused is
    /// counted.
    #[test]
    fn any_json_is_answered(value in any_json()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            let told = tell(&routes(&place), &value.to_string()).await;
            let (status, counted) = (told.status.as_u16(), place.status("farm").not_understood);
            assert!(status == 200 && counted == 0 || status == 400 && counted == 1, "{status} {counted}");
        });
    }
}
