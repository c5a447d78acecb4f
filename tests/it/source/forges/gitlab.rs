//! GitLab's notifications, and what is asked of it.

use super::fake::{Asked, Fake, Said};
use super::{Place, SECRET, SHA, Told, fixture, mutilated, post, send, size, strange};
use axum::Router;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use whorl::source::gitlab::{GitLab, Settings};
use whorl::source::{Logs, Source};

/// A secret that can stand in a header.
const TOKEN: &str = "0123456789abcdef";

fn lab(place: &Place, api: &str) -> (Arc<GitLab>, Router) {
    let settings = Settings {
        name: "lab".into(),
        api: format!("{api}/api/v4").parse().unwrap(),
        secret: TOKEN.into(),
        token: "glpat-1".into(),
        timeout: Duration::from_secs(5),
        retry: Duration::from_millis(20),
    };
    let lab = Arc::new(GitLab::new(settings).unwrap());
    let routes = lab.clone().routes(place.desk.clone());
    (lab, routes)
}

async fn tell(routes: &Router, event: &str, payload: &Value) -> Told {
    let headers = [("x-gitlab-event", event), ("x-gitlab-token", TOKEN)];
    send(routes, post(&headers, payload.to_string())).await
}

/// As documented: the token in its header, numbers of projects, commits and their merge requests.
fn api(asked: &Asked, pulls: &Value) -> Said {
    if asked.header("private-token") != "glpat-1" || asked.method != "GET" {
        return Said::status(401);
    }
    match asked
        .path
        .strip_prefix("/api/v4/projects/380/repository/commits/")
    {
        Some(rest) if rest == format!("{SHA}/merge_requests") => Said::json(pulls),
        Some(rest) if rest == SHA => {
            Said::json(&json!({"id": SHA, "parent_ids": ["0".repeat(40), "a".repeat(40)]}))
        }
        _ => Said::status(404),
    }
}

fn requests() -> Value {
    json!([
        {"iid": 3, "state": "merged", "sha": SHA},
        {"iid": 4, "state": "opened", "sha": "b".repeat(40)},
        {"iid": 17, "state": "opened", "sha": SHA},
    ])
}

#[tokio::test]
async fn a_job_becomes_a_build_whose_trace_is_at_the_api() {
    let fake = Fake::start(|_, asked| api(asked, &requests())).await;
    let place = Place::new();
    let (lab, routes) = lab(&place, fake.url());
    let told = tell(&routes, "Job Hook", &fixture("gitlab-job.json")).await;
    assert_eq!((told.status.as_u16(), told.text.as_str()), (200, "heard\n"));
    let logs = place.logs();
    let (uuid, logs) = &logs[0];
    assert!(
        uuid.starts_with("gitlab-") && uuid.ends_with("-1977"),
        "{uuid}"
    );
    let url = format!("{}/api/v4/projects/380/jobs/1977/trace", fake.url());
    let (name, account) = ("job-output.txt".to_owned(), Some("lab".to_owned()));
    assert_eq!(*logs, Logs::File { url, name, account });
    let build = place.build(uuid).unwrap();
    assert_eq!(build.project.as_deref(), Some("example/teams/shop"));
    assert_eq!(
        (build.job.as_deref(), build.result.as_deref()),
        (Some("unit"), Some("FAILURE"))
    );
    assert_eq!(
        (build.change.as_deref(), build.patchset.as_deref()),
        (Some("17"), Some(SHA))
    );
    assert_eq!(build.branch.as_deref(), Some("grüne-wiese"));
    assert_eq!(build.voting, Some(false));
    assert_eq!(build.started.unwrap().to_string(), "2026-03-04T05:06:07Z");
    let page = "https://gitlab.example/example/teams/shop/-/jobs/1977";
    assert_eq!(build.log_url.as_deref(), Some(page));
    let headers = lab.headers().await.unwrap();
    assert_eq!(
        (headers[0].0.as_str(), headers[0].1.to_str().unwrap()),
        ("private-token", "glpat-1")
    );
    assert!(headers[0].1.is_sensitive());
    // The second job of the commit asks nothing more.
    let mut second = fixture("gitlab-job.json");
    second["build_id"] = json!(1978);
    tell(&routes, "Job Hook", &second).await;
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn pipelines_of_merge_requests_say_which() {
    let fake = Fake::start(|_, asked| api(asked, &json!([]))).await;
    let place = Place::new();
    let (_, routes) = lab(&place, fake.url());
    let mut job = fixture("gitlab-job.json");
    job["ref"] = json!("refs/merge-requests/17/head");
    tell(&routes, "Job Hook", &job).await;
    let build = place.build(&place.logs()[0].0).unwrap();
    assert_eq!(
        (build.change.as_deref(), build.patchset.as_deref()),
        (Some("17"), Some(SHA))
    );
    assert_eq!(fake.asked().len(), 0);
    job["ref"] = json!("refs/merge-requests/17/merge");
    job["build_id"] = json!(2000);
    tell(&routes, "Job Hook", &job).await;
    let build = place.build(&place.logs()[0].0).unwrap();
    assert_eq!(build.change.as_deref(), Some("17"));
    assert_eq!(build.patchset, Some("a".repeat(40)));
    assert_eq!(build.commit.as_deref(), Some(SHA));
}

#[tokio::test]
async fn only_who_brings_the_token_is_heard_and_once() {
    let place = Place::new();
    let (_, routes) = lab(&place, "http://127.0.0.1:9");
    let body = fixture("gitlab-merge_request.json").to_string();
    for token in [
        "",
        "0123456789abcde",
        "0123456789abcdeF",
        "0123456789abcdef0",
        SECRET,
    ] {
        let headers = [
            ("x-gitlab-event", "Merge Request Hook"),
            ("x-gitlab-token", token),
        ];
        let told = send(&routes, post(&headers, body.clone())).await;
        assert_eq!(
            (told.status.as_u16(), told.text.as_str()),
            (401, "no\n"),
            "{token}"
        );
    }
    assert_eq!(send(&routes, post(&[], body)).await.status, 401);
    assert_eq!(place.status("lab").events, 0);
    let note = fixture("gitlab-note.json");
    assert_eq!(tell(&routes, "Note Hook", &note).await.text, "heard\n");
    assert_eq!(
        tell(&routes, "Note Hook", &note).await.text,
        "heard before\n"
    );
    let said = place.said().unwrap();
    assert_eq!((said.author.as_str(), said.change.as_str()), ("maja", "17"));
    assert_eq!(
        (said.text.as_str(), said.patchset.as_deref()),
        ("whorl: status", Some(SHA))
    );
    assert_eq!(place.said(), None);
}

#[tokio::test]
async fn machines_and_other_places_are_not_heard() {
    let place = Place::new();
    let (_, routes) = lab(&place, "http://127.0.0.1:9");
    let note = fixture("gitlab-note.json");
    let changed = |pointer: &str, value: Value| {
        let mut note = note.clone();
        *note.pointer_mut(pointer).unwrap() = value;
        note
    };
    for note in [
        changed("/object_attributes/noteable_type", json!("Issue")),
        changed("/object_attributes/system", json!(true)),
        changed("/object_attributes/action", json!("update")),
        changed("/user/username", json!("project_380_bot_1a2b")),
        changed("/user/username", json!("group_7_bot")),
    ] {
        assert_eq!(tell(&routes, "Note Hook", &note).await.text, "heard\n");
        assert_eq!(place.said(), None);
    }
    let person = changed("/user/username", json!("project_x_bottom"));
    tell(&routes, "Note Hook", &person).await;
    assert!(place.said().is_some());
}

#[tokio::test]
async fn jobs_that_have_not_ended_are_none_and_unknown_words_are_counted() {
    let place = Place::new();
    let (_, routes) = lab(&place, "http://127.0.0.1:9");
    let mut job = fixture("gitlab-job.json");
    for word in ["created", "pending", "running", "manual", "skipped"] {
        job["build_status"] = json!(word);
        assert_eq!(
            tell(&routes, "Job Hook", &job).await.text,
            "heard\n",
            "{word}"
        );
    }
    assert_eq!(place.status("lab").not_understood, 0);
    job["build_status"] = json!("befuddled");
    assert!(
        tell(&routes, "Job Hook", &job)
            .await
            .text
            .contains("not all")
    );
    assert!(
        tell(&routes, "Push Hook", &json!({"object_kind": "push"}))
            .await
            .text
            .contains("not all")
    );
    assert_eq!(
        (place.logs().len(), place.status("lab").not_understood),
        (0, 2)
    );
}

/// The API is away when a job is told: the job is durable, and its merge request is found later.
#[tokio::test]
async fn a_merge_request_is_found_when_the_api_is_back() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    let fake = Fake::start(move |_, asked| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Said::status(500),
        1 => Said::status(429).with("retry-after", "0"),
        2 => Said {
            cut: true,
            ..api(asked, &requests())
        },
        3 => Said {
            body: b"<html>".to_vec(),
            ..api(asked, &requests())
        },
        _ => api(asked, &requests()),
    })
    .await;
    let place = Place::new();
    let (lab, routes) = lab(&place, fake.url());
    let told = tell(&routes, "Job Hook", &fixture("gitlab-job.json")).await;
    assert_eq!(told.status, 200);
    let uuid = place.logs()[0].0.clone();
    assert_eq!(place.build(&uuid).unwrap().change, None);
    let stop = CancellationToken::new();
    let (running, desk) = (lab.clone(), place.desk.clone());
    let halt = stop.clone();
    let task = tokio::spawn(async move { running.run(desk, halt).await });
    place
        .until("the merge request", |place| {
            place.build(&uuid).unwrap().change.as_deref() == Some("17")
        })
        .await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn no_notification_makes_it_panic() {
    let fake = Fake::start(|_, _| Said::status(404)).await;
    let place = Place::new();
    let (_, routes) = lab(&place, fake.url());
    let events = [
        ("Job Hook", "gitlab-job.json"),
        ("Merge Request Hook", "gitlab-merge_request.json"),
        ("Note Hook", "gitlab-note.json"),
    ];
    for (event, name) in events {
        let payload = fixture(name);
        for with in &strange() {
            for at in 0..size(&payload) {
                let told = tell(&routes, event, &mutilated(&payload, at, with)).await;
                assert_eq!(told.status, 200, "{event} {at}");
            }
        }
    }
    let status = place.status("lab");
    assert!(
        status.not_understood > 20 && status.events > 100,
        "{status:?}"
    );
}
