//! Jenkins' notifications.

use super::{Place, SHA, Told, fixture, mutilated, post, send, size, strange};
use axum::Router;
use serde_json::{Value, json};
use std::sync::Arc;
use whorl::source::jenkins::{Jenkins, Phase, Settings};
use whorl::source::{Logs, Source};

const TOKEN: &str = "0123456789abcdef";

fn jenkins(place: &Place, phase: Phase) -> (Arc<Jenkins>, Router) {
    let jenkins = Arc::new(Jenkins::new(Settings {
        name: "j".into(),
        url: "https://ci.example.org".parse().unwrap(),
        secret: TOKEN.into(),
        account: Some(("whorl".into(), "s3cret".into())),
        phase,
    }));
    let routes = jenkins.clone().routes(place.desk.clone());
    (jenkins, routes)
}

async fn tell(routes: &Router, payload: &Value) -> Told {
    send(
        routes,
        post(&[("x-whorl-token", TOKEN)], payload.to_string()),
    )
    .await
}

#[tokio::test]
async fn a_finalized_build_is_one_with_its_change_and_console_text() {
    let place = Place::new();
    let (jenkins, routes) = jenkins(&place, Phase::Finalized);
    let payload = fixture("jenkins-finalized.json");
    assert_eq!(tell(&routes, &payload).await.text, "heard\n");
    assert_eq!(tell(&routes, &payload).await.text, "heard before\n");
    let logs = place.logs();
    let (uuid, logs) = &logs[0];
    let expected = Logs::File {
        url: "https://ci.example.org/job/shop-unit/18/consoleText".into(),
        name: "consoleText".into(),
        account: Some("j".into()),
    };
    assert_eq!(*logs, expected);
    let build = place.build(uuid).unwrap();
    assert_eq!(
        (build.job.as_deref(), build.result.as_deref()),
        (Some("shop-unit"), Some("UNSTABLE"))
    );
    assert_eq!(
        (build.change.as_deref(), build.patchset.as_deref()),
        (Some("4711"), Some("2"))
    );
    assert_eq!(
        (build.project.as_deref(), build.commit.as_deref()),
        (Some("example/shop"), Some(SHA))
    );
    assert_eq!(build.branch.as_deref(), Some("main"));
    assert_eq!(
        build.failed_tests,
        Some(vec!["shop.cart.test_grün".to_owned()])
    );
    assert_eq!(build.finished.unwrap().to_string(), "2026-03-04T05:11:42Z");
    assert_eq!(build.started.unwrap().to_string(), "2026-03-04T05:06:07Z");
    let headers = jenkins.headers().await.unwrap();
    assert_eq!(headers[0].1.to_str().unwrap(), "Basic d2hvcmw6czNjcmV0");
    assert!(headers[0].1.is_sensitive());
}

#[tokio::test]
async fn the_token_comes_in_a_header_or_in_the_address() {
    let place = Place::new();
    let (_, routes) = jenkins(&place, Phase::Finalized);
    let body = || fixture("jenkins-finalized.json").to_string();
    let with = |uri: &str| {
        axum::http::Request::post(uri.to_owned())
            .body(body().into())
            .unwrap()
    };
    for wrong in [
        "/",
        "/?token=",
        "/?token=0123456789abcdeF",
        "/?Token=0123456789abcdef",
    ] {
        let told = send(&routes, with(wrong)).await;
        assert_eq!(
            (told.status.as_u16(), told.text.as_str()),
            (401, "no\n"),
            "{wrong}"
        );
    }
    // A wrong header is not made good by the address.
    let mut both = with("/?token=0123456789abcdef");
    both.headers_mut()
        .insert("x-whorl-token", "no".parse().unwrap());
    assert_eq!(send(&routes, both).await.status, 401);
    assert_eq!(place.status("j").events, 0);
    assert_eq!(
        send(&routes, with("/?token=0123456789abcdef")).await.text,
        "heard\n"
    );
    let bearer = [("authorization", "Bearer 0123456789abcdef")];
    assert_eq!(
        send(&routes, post(&bearer, body())).await.text,
        "heard before\n"
    );
}

#[tokio::test]
async fn the_password_goes_only_to_the_configured_server() {
    let place = Place::new();
    let (_, routes) = jenkins(&place, Phase::Finalized);
    let mut payload = fixture("jenkins-finalized.json");
    // A Jenkins that does not know how it is reached: the path below it is used.
    payload["build"]["full_url"] = json!("http://localhost:8080/job/shop-unit/18/");
    tell(&routes, &payload).await;
    let Logs::File { url, .. } = place.logs()[0].1.clone() else {
        panic!("a file")
    };
    assert_eq!(url, "https://ci.example.org/job/shop-unit/18/consoleText");
    for (n, (whole, part)) in [
        ("https://evil.example/job/x/1/", "//evil.example/job/x/1/"),
        (
            "https://ci.example.org.evil.example/x/",
            "https://evil.example/x/",
        ),
        ("https://ci.example.org:444/x/", "\\\\evil.example\\x"),
        ("http://ci.example.org/x/", "http:x"),
        ("https://me:pw@ci.example.org/x/", ""),
        ("file:///etc/passwd", "file:///etc/passwd"),
    ]
    .into_iter()
    .enumerate()
    {
        payload["build"]["number"] = json!(100 + n);
        payload["build"]["full_url"] = json!(whole);
        payload["build"]["url"] = json!(part);
        tell(&routes, &payload).await;
        for (_, logs) in place.logs() {
            let Logs::File { url, .. } = logs else {
                panic!("a file")
            };
            assert!(
                url.starts_with("https://ci.example.org/"),
                "{whole} {part}: {url}"
            );
        }
    }
}

#[tokio::test]
async fn a_build_that_goes_on_is_none() {
    let place = Place::new();
    let (_, routes) = jenkins(&place, Phase::Finalized);
    let mut payload = fixture("jenkins-finalized.json");
    for phase in ["QUEUED", "STARTED", "COMPLETED"] {
        payload["build"]["phase"] = json!(phase);
        assert_eq!(tell(&routes, &payload).await.text, "heard\n");
    }
    assert_eq!(place.logs().len(), 0);
    payload["build"]["phase"] = json!("GROWING");
    assert!(tell(&routes, &payload).await.text.contains("not all"));
    let (_, routes) = super::jenkins::jenkins(&place, Phase::Completed);
    payload["build"]["phase"] = json!("COMPLETED");
    tell(&routes, &payload).await;
    assert_eq!(place.logs().len(), 1);
    payload["build"]["phase"] = json!("FINALIZED");
    payload["build"]["status"] = json!("NOT_BUILT");
    payload["build"]["url"] = json!("job/other/1/");
    payload["build"]["full_url"] = json!("https://ci.example.org/job/other/1/");
    tell(&routes, &payload).await;
    let build = place.build(&place.logs()[0].0).unwrap();
    assert!(!build.failed());
}

#[tokio::test]
async fn no_notification_makes_it_panic() {
    let place = Place::new();
    let (_, routes) = jenkins(&place, Phase::Finalized);
    let payload = fixture("jenkins-finalized.json");
    for with in &strange() {
        for at in 0..size(&payload) {
            let told = tell(&routes, &mutilated(&payload, at, with)).await;
            assert_eq!(told.status, 200, "{at}");
        }
    }
    let told = send(
        &routes,
        post(&[("x-whorl-token", TOKEN)], "<notification/>"),
    )
    .await;
    assert_eq!(told.status, 400);
    assert!(place.status("j").not_understood > 10);
}

#[tokio::test]
async fn jobs_in_folders_have_their_whole_name_and_multibranch_jobs_a_change() {
    let place = Place::new();
    let (_, routes) = jenkins(&place, Phase::Finalized);
    let mut payload = fixture("jenkins-finalized.json");
    payload["build"]["parameters"] = json!({});
    let cases = [
        (
            "PR-17",
            "job/team/job/shop/job/PR-17/",
            "team/shop",
            Some("17"),
        ),
        ("MR-8-merge", "job/shop/job/MR-8-merge/", "shop", Some("8")),
        ("PR-x", "job/shop/job/PR-x/", "shop/PR-x", None),
        ("unit", "job/unit/", "unit", None),
        ("unit", "view/all/job/unit", "unit", None),
    ];
    for (n, (name, url, job, change)) in cases.into_iter().enumerate() {
        payload["name"] = json!(name);
        payload["url"] = json!(url);
        payload["build"]["full_url"] = json!(format!("https://ci.example.org/{n}/"));
        tell(&routes, &payload).await;
        let build = place.build(&place.logs()[0].0).unwrap();
        assert_eq!(
            (build.job.as_deref(), build.change.as_deref()),
            (Some(job), change)
        );
    }
}
