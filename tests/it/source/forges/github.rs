//! GitHub's notifications.

use super::fake::{Fake, Said};
use super::{Place, SECRET, SHA, Told, fixture, mutilated, post, send, signature, size, strange};
use axum::Router;
use globset::{Glob, GlobSet};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use whorl::source::github::{Account, GitHub, Settings};
use whorl::source::{Logs, Source};

pub(super) fn settings(api: &str) -> Settings {
    Settings {
        name: "hub".into(),
        api: format!("{api}/api/v3/").parse().unwrap(),
        secret: SECRET.into(),
        account: Account::Token("t0ken".into()),
        non_voting: GlobSet::empty(),
        checks: vec!["example-ci".into()],
        timeout: Duration::from_secs(5),
        retry: Duration::from_millis(20),
        catch_up: None,
    }
}

/// A GitHub that knows nothing.
async fn silent() -> Fake {
    Fake::start(|_, _| Said::status(404)).await
}

fn routes(place: &Place, settings: Settings) -> (Arc<GitHub>, Router) {
    let hub = Arc::new(GitHub::new(settings).unwrap());
    let routes = hub.clone().routes(place.desk.clone());
    (hub, routes)
}

pub(super) async fn tell(routes: &Router, event: &str, id: &str, payload: &Value) -> Told {
    let body = payload.to_string();
    let signature = signature(body.as_bytes());
    let headers = [
        ("x-github-event", event),
        ("x-github-delivery", id),
        ("x-hub-signature-256", &signature),
        ("content-type", "application/json"),
    ];
    send(routes, post(&headers, body)).await
}

/// The name that a fake's builds begin with: its port is another one each time.
pub(super) fn uuid_with(place: &Place, end: &str) -> String {
    let all = place.logs();
    let one = all.iter().find(|(uuid, _)| uuid.ends_with(end));
    one.unwrap_or_else(|| panic!("{end} is not in {all:?}"))
        .0
        .clone()
}

#[tokio::test]
async fn a_job_becomes_a_build_whose_log_is_at_the_api() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(
        &place,
        Settings {
            non_voting: GlobSet::new([Glob::new("CI / unit*").unwrap()]).unwrap(),
            ..settings(fake.url())
        },
    );
    let pull = fixture("github-pull_request.json");
    assert_eq!(tell(&routes, "pull_request", "1", &pull).await.status, 200);
    let told = tell(
        &routes,
        "workflow_job",
        "2",
        &fixture("github-workflow_job.json"),
    )
    .await;
    assert_eq!((told.status.as_u16(), told.text.as_str()), (200, "heard\n"));
    let logs = place.logs();
    let (uuid, logs) = &logs[0];
    assert!(
        uuid.starts_with("github-") && uuid.ends_with("-9001-2"),
        "{uuid}"
    );
    let url = format!(
        "{}/api/v3/repos/example/shop/actions/jobs/9001/logs",
        fake.url()
    );
    let (name, account) = ("job-output.txt".to_owned(), Some("hub".to_owned()));
    assert_eq!(*logs, Logs::File { url, name, account });
    let build = place.build(uuid).unwrap();
    assert_eq!(build.job.as_deref(), Some("CI / unit (3.12, ünïcode ✓)"));
    assert_eq!(build.result.as_deref(), Some("FAILURE"));
    assert_eq!(build.project.as_deref(), Some("example/shop"));
    // By the pull request's own notification: the API was not asked.
    assert_eq!(build.change.as_deref(), Some("17"));
    assert_eq!(
        (build.patchset.as_deref(), build.commit.as_deref()),
        (Some(SHA), Some(SHA))
    );
    assert_eq!(build.branch.as_deref(), Some("grüne-wiese"));
    assert_eq!(build.voting, Some(false));
    assert!(
        build
            .log_url
            .unwrap()
            .ends_with("/actions/runs/7001/job/9001")
    );
    assert_eq!(build.finished.unwrap().to_string(), "2026-03-04T05:11:42Z");
    assert_eq!(fake.asked().len(), 0);
    assert_eq!(
        (place.status("hub").events, place.status("hub").builds),
        (2, 1)
    );
}

#[tokio::test]
async fn only_who_knows_the_secret_is_heard() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let body = fixture("github-workflow_job.json").to_string();
    let good = signature(body.as_bytes());
    let upper = good.to_uppercase();
    let other = whorl::note::webhook::signature("another secret..", body.as_bytes());
    let wrong = [
        "",
        "sha256=",
        &good[..70],
        &good[7..],
        &upper,
        &other,
        "sha256=zzzz",
        &good.replace("sha256", "sha512"),
    ];
    for signature in wrong {
        let headers = [
            ("x-github-event", "workflow_job"),
            ("x-hub-signature-256", signature),
        ];
        let told = send(&routes, post(&headers, body.clone())).await;
        assert_eq!(
            (told.status.as_u16(), told.text.as_str()),
            (401, "no\n"),
            "{signature}"
        );
    }
    let told = send(&routes, post(&[("x-github-event", "ping")], body.clone())).await;
    assert_eq!(told.status, 401);
    // The signature of one body is none of another.
    let headers = [
        ("x-github-event", "workflow_job"),
        ("x-hub-signature-256", good.as_str()),
    ];
    let told = send(&routes, post(&headers, body.replace("9001", "9002"))).await;
    assert_eq!(told.status, 401);
    assert_eq!((place.logs().len(), place.status("hub").events), (0, 0));
    assert_eq!(send(&routes, post(&headers, body)).await.status, 200);
}

#[tokio::test]
async fn a_delivery_is_heard_once() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let mut payload = fixture("github-issue_comment.json");
    payload["comment"]["created_at"] = json!(Timestamp::now().to_string());
    assert_eq!(
        tell(&routes, "issue_comment", "same", &payload).await.text,
        "heard\n"
    );
    // Sent again by GitHub, and by somebody else under another number.
    for id in ["same", "other"] {
        let told = tell(&routes, "issue_comment", id, &payload).await;
        assert_eq!(
            (told.status.as_u16(), told.text.as_str()),
            (200, "heard before\n")
        );
    }
    let said = place.said().unwrap();
    assert_eq!(
        (said.author.as_str(), said.text.as_str()),
        ("maja", "whorl: why unit")
    );
    assert_eq!(
        (said.project.as_str(), said.change.as_str()),
        ("example/shop", "17")
    );
    assert_eq!(place.said(), None);
    assert_eq!(place.status("hub").events, 1);
}

#[tokio::test]
async fn only_people_are_heard_on_pull_requests_and_only_in_time() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let mut fresh = fixture("github-issue_comment.json");
    fresh["comment"]["created_at"] = json!(Timestamp::now().to_string());
    let mut bot = fresh.clone();
    bot["comment"]["user"]["type"] = json!("Bot");
    let mut issue = fresh.clone();
    issue["issue"]
        .as_object_mut()
        .unwrap()
        .remove("pull_request");
    let mut edited = fresh.clone();
    edited["action"] = json!("edited");
    let mut old = fresh.clone();
    old["comment"]["created_at"] = json!("2026-03-04T05:06:07Z");
    for (id, payload) in [("1", bot), ("2", issue), ("3", edited), ("4", old)] {
        assert_eq!(
            tell(&routes, "issue_comment", id, &payload).await.status,
            200
        );
        assert_eq!(place.said(), None, "{id}");
    }
    assert_eq!(place.status("hub").not_understood, 1);
}

#[tokio::test]
async fn check_runs_are_builds_only_of_the_apps_that_are_named() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let check = fixture("github-check_run.json");
    for app in ["github-actions", "somebody"] {
        let mut other = check.clone();
        other["check_run"]["app"]["slug"] = json!(app);
        assert_eq!(
            tell(&routes, "check_run", app, &other).await.text,
            "heard\n"
        );
    }
    assert_eq!(place.logs().len(), 0);
    tell(&routes, "check_run", "3", &check).await;
    let logs = place.logs();
    let (uuid, logs) = &logs[0];
    let url = "https://logs.example.org/333/".to_owned();
    assert_eq!(*logs, Logs::Root { url });
    let build = place.build(uuid).unwrap();
    assert!(uuid.ends_with("-check-333"), "{uuid}");
    assert_eq!(
        (build.change.as_deref(), build.result.as_deref()),
        (Some("17"), Some("TIMED_OUT"))
    );
}

#[tokio::test]
async fn results_are_words_that_a_build_understands() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let words = [
        ("success", false),
        ("failure", true),
        ("cancelled", true),
        ("timed_out", true),
        ("action_required", true),
        ("skipped", false),
        ("neutral", false),
        ("stale", true),
        ("startup_failure", true),
    ];
    for (n, (word, failed)) in words.into_iter().enumerate() {
        let mut payload = fixture("github-workflow_job.json");
        payload["workflow_job"]["conclusion"] = json!(word);
        payload["workflow_job"]["id"] = json!(100 + n);
        let told = tell(&routes, "workflow_job", word, &payload).await;
        assert_eq!(told.text, "heard\n", "{word}");
        let waiting = place.logs();
        // What was skipped has no log to fetch, and is complete at once.
        let uuid = match waiting.first() {
            Some((uuid, _)) => uuid.clone(),
            None => place.complete.lock().unwrap().last().unwrap().clone(),
        };
        assert_eq!(waiting.is_empty(), word == "skipped", "{word}");
        let build = place.build(&uuid).unwrap();
        assert_eq!(build.result, Some(word.to_uppercase()));
        assert_eq!(build.failed(), failed, "{word}");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_counted_and_answered() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let told = tell(&routes, "ping", "1", &fixture("github-ping.json")).await;
    assert_eq!(told.text, "heard\n");
    let told = tell(&routes, "star", "2", &json!({"action": "created"})).await;
    assert_eq!(
        (told.status.as_u16(), told.text.contains("not all")),
        (200, true)
    );
    assert_eq!(place.status("hub").not_understood, 1);
    let missing = [
        ("conclusion", "has no `conclusion`"),
        ("id", "without `id`"),
        ("head_sha", "has no `head_sha`"),
        ("name", "has no `name`"),
    ];
    for (n, (key, why)) in missing.into_iter().enumerate() {
        let mut payload = fixture("github-workflow_job.json");
        payload["workflow_job"].as_object_mut().unwrap().remove(key);
        assert_eq!(
            tell(&routes, "workflow_job", key, &payload).await.status,
            200
        );
        let status = place.status("hub");
        assert_eq!(status.not_understood, 2 + n as u64);
        assert!(status.last_not_understood.unwrap().contains(why), "{key}");
    }
    let mut payload = fixture("github-workflow_job.json");
    payload["repository"]["full_name"] = json!("../../x/y");
    tell(&routes, "workflow_job", "x", &payload).await;
    assert!(
        place
            .status("hub")
            .last_not_understood
            .unwrap()
            .contains("no repository")
    );
    let signature = signature(b"{\"action\":");
    let headers = [
        ("x-github-event", "star"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    let told = send(&routes, post(&headers, "{\"action\":")).await;
    assert_eq!(told.status, 400);
    assert!(
        told.text.starts_with("the body is not JSON"),
        "{}",
        told.text
    );
    assert_eq!(place.logs().len(), 0);
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let body = vec![b' '; (25 << 20) + 1];
    let signature = signature(&body);
    let length = body.len().to_string();
    let said = [
        ("content-length", length.as_str()),
        ("x-hub-signature-256", &signature),
    ];
    let told = send(&routes, post(&said, "")).await;
    assert_eq!(told.status, 413, "announced");
    let told = send(&routes, post(&said[1..], body)).await;
    assert_eq!(told.status, 413, "sent");
    assert_eq!(place.status("hub").events, 0);
}

/// Every value of every notification is replaced with something strange: nothing panics, and what is
/// heard is a build, or is counted.
#[tokio::test]
async fn no_notification_makes_it_panic() {
    let (fake, place) = (silent().await, Place::new());
    let (_, routes) = routes(&place, settings(fake.url()));
    let mut id = 0;
    for event in [
        "workflow_job",
        "check_run",
        "check_suite",
        "pull_request",
        "issue_comment",
    ] {
        let payload = fixture(&format!("github-{event}.json"));
        for with in strange().iter().take(6) {
            for at in 0..size(&payload) {
                id += 1;
                let payload = mutilated(&payload, at, with);
                let told = tell(&routes, event, &id.to_string(), &payload).await;
                assert_eq!(told.status, 200, "{event} {at}");
                place.logs();
            }
        }
    }
    let status = place.status("hub");
    assert!(
        status.not_understood > 20 && status.events > 500,
        "{status:?}"
    );
}

#[tokio::test]
async fn fetching_a_log_says_who_we_are() {
    let (fake, place) = (silent().await, Place::new());
    let (hub, _) = routes(&place, settings(fake.url()));
    let headers = hub.headers().await.unwrap();
    let authorization = headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .unwrap();
    assert_eq!(authorization.1.to_str().unwrap(), "Bearer t0ken");
    assert!(authorization.1.is_sensitive());
    let shown = format!("{hub:?}");
    assert!(
        !shown.contains("t0ken") && !shown.contains(SECRET),
        "{shown}"
    );
}
