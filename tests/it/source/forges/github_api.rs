//! What is asked of GitHub's API, against a fake that is as strict as its documentation.

use super::fake::{Asked, Fake, Said};
use super::github::{settings, tell, uuid_with};
use super::{Place, SHA, fixture};
use axum::Router;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whorl::forge::{App, AppKey};
use whorl::intake::download::{Answer, Downloader, Hosts, Request, Settings as Limits};
use whorl::source::github::{Account, CatchUp, GitHub, Settings};
use whorl::source::{Logs, Source};

const KEY: &str = include_str!("app-key.pem");
const RUNS: &str = "/api/v3/repos/example/shop/actions/runs";

/// As documented for every request: media type, version, who it is.
fn is_right(asked: &Asked, token: &str) -> bool {
    asked.header("accept") == "application/vnd.github+json"
        && asked.header("x-github-api-version") == "2022-11-28"
        && asked.header("user-agent") == "whorl"
        && asked.header("authorization") == format!("Bearer {token}")
}

/// A source at work.
struct Hub {
    source: Arc<GitHub>,
    routes: Router,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Hub {
    fn start(place: &Place, settings: Settings) -> Self {
        let hub = Arc::new(GitHub::new(settings).unwrap());
        let (stop, desk, running) = (CancellationToken::new(), place.desk.clone(), hub.clone());
        let halt = stop.clone();
        let task = tokio::spawn(async move { running.run(desk, halt).await });
        let routes = hub.clone().routes(place.desk.clone());
        Self {
            source: hub,
            routes,
            stop,
            task,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn app(installation: Option<u64>) -> Account {
    let key = AppKey::new("12345", KEY).unwrap();
    Account::App(Box::new(App::new(key, installation)))
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

fn catching_up(fake: &Fake, every: Duration) -> Settings {
    Settings {
        catch_up: Some(CatchUp {
            repositories: vec!["example/shop".into()],
            every,
            // As far back as later looks go: all ask for the same list.
            since: Duration::from_secs(300),
        }),
        ..settings(fake.url())
    }
}

fn job(id: u64, run: u64) -> Value {
    let mut job = fixture("github-workflow_job.json")["workflow_job"].clone();
    job["id"] = json!(id);
    job["run_id"] = json!(run);
    job
}

/// The pull request of a fork: not in the list of its commit, found by its branch.
fn pulls(asked: &Asked) -> Option<Said> {
    let repo = "/api/v3/repos/example/shop";
    let head = json!({"sha": SHA, "ref": "grüne-wiese"});
    match asked.path.strip_prefix(repo)? {
        path if path == format!("/commits/{SHA}/pulls") => Some(Said::json(&json!([]))),
        "/actions/runs/7001" | "/actions/runs/7002" => Some(Said::json(&json!({
            "id": 7001, "head_branch": "grüne-wiese", "head_repository": {"owner": {"login": "maja"}},
        }))),
        "/pulls" if asked.query("head") == "maja:grüne-wiese" && asked.query("state") == "open" => {
            Some(Said::json(&json!([
                {"number": 16, "state": "open", "head": {"sha": "0".repeat(40)}},
                {"number": 17, "state": "open", "head": head},
            ])))
        }
        _ => None,
    }
}

#[tokio::test]
async fn the_pull_request_of_a_fork_is_found_by_its_branch_once() {
    let fake = Fake::start(|_, asked| {
        if is_right(asked, "t0ken") {
            pulls(asked).unwrap_or_else(|| Said::status(404))
        } else {
            Said::status(401)
        }
    })
    .await;
    let place = Place::new();
    let hub = Hub::start(&place, settings(fake.url()));
    let mut payload = fixture("github-workflow_job.json");
    assert_eq!(
        tell(&hub.routes, "workflow_job", "1", &payload)
            .await
            .status,
        200
    );
    let build = place.build(&uuid_with(&place, "-9001-2")).unwrap();
    assert_eq!(build.change.as_deref(), Some("17"));
    assert_eq!(fake.asked().len(), 3);
    payload["workflow_job"]["id"] = json!(9002);
    tell(&hub.routes, "workflow_job", "2", &payload).await;
    let build = place.build(&uuid_with(&place, "-9002-2")).unwrap();
    assert_eq!(build.change.as_deref(), Some("17"));
    assert_eq!(fake.asked().len(), 3, "asked again");
    hub.stop().await;
}

/// Broken answers of every kind, one after the other: the job is durable at once, its pull request
/// comes when GitHub is well again.
#[tokio::test]
async fn a_job_is_kept_while_github_is_ill() {
    let count = Arc::new(AtomicUsize::new(0));
    let tries = count.clone();
    let fake = Fake::start(move |_, asked| {
        let good = pulls(asked).unwrap_or_else(|| Said::status(404));
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Said::status(502),
            1 => Said::status(403).with("retry-after", "0"),
            2 => Said {
                cut: true,
                body: b"[{}, {}]".to_vec(),
                ..good
            },
            3 => Said {
                body: b"{\"number\": ".to_vec(),
                ..good
            },
            4 => Said {
                body: b"{\"a\": 7}".to_vec(),
                ..good
            },
            _ => good,
        }
    })
    .await;
    let place = Place::new();
    let hub = Hub::start(&place, settings(fake.url()));
    let payload = fixture("github-workflow_job.json");
    assert_eq!(
        tell(&hub.routes, "workflow_job", "1", &payload)
            .await
            .status,
        200
    );
    let uuid = uuid_with(&place, "-9001-2");
    place
        .until("its pull request", |place| {
            place.build(&uuid).unwrap().change.as_deref() == Some("17")
        })
        .await;
    assert_eq!(count.load(Ordering::SeqCst), 8);
    hub.stop().await;
}

/// An App as documented: a statement signed by RS256, a token of the installation for an hour.
fn installation(asked: &Asked, given: &AtomicUsize, until: Timestamp) -> Option<Said> {
    let path = asked.path.strip_prefix("/api/v3/app/installations")?;
    let statement = asked.header("authorization").strip_prefix("Bearer ")?;
    if !is_statement(statement) || asked.header("accept") != "application/vnd.github+json" {
        return Some(Said::status(401));
    }
    match (asked.method.as_str(), path) {
        ("GET", "") => Some(Said::json(&json!([{"id": 678}]))),
        ("POST", "/678/access_tokens") => {
            let number = given.fetch_add(1, Ordering::SeqCst);
            let token = json!({"token": format!("ghs_{number}"), "expires_at": until.to_string()});
            Some(Said {
                status: 201,
                ..Said::json(&token)
            })
        }
        _ => Some(Said::status(404)),
    }
}

/// Checks signature and claims with the public half of the key.
fn is_statement(text: &str) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as PLAIN;
    use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
    let parts: Vec<&str> = text.split('.').collect();
    let [head, claims, signature] = parts[..] else {
        return false;
    };
    let der: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(der)
        .unwrap();
    let key = RsaKeyPair::from_der(&der).unwrap();
    let key = UnparsedPublicKey::new(
        &RSA_PKCS1_2048_8192_SHA256,
        key.public_key().as_ref().to_vec(),
    );
    let signed = format!("{head}.{claims}");
    let signature = PLAIN.decode(signature).unwrap();
    let json = |part: &str| serde_json::from_slice::<Value>(&PLAIN.decode(part).unwrap()).unwrap();
    let (head, claims, now) = (json(head), json(claims), Timestamp::now().as_second());
    let (iat, exp) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    key.verify(signed.as_bytes(), &signature).is_ok()
        && head["alg"] == "RS256"
        && claims["iss"] == "12345"
        && iat <= now
        && exp > now
        && exp - now <= 600
}

#[tokio::test]
async fn the_token_of_an_installation_is_asked_for_once_and_again_when_it_ends() {
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    let fake = Fake::start(move |_, asked| {
        let hour = Timestamp::now() + SignedDuration::from_hours(1);
        if let Some(said) = installation(asked, &count, hour) {
            return said;
        }
        // GitHub has withdrawn the first token before its time.
        if is_right(asked, "ghs_1") {
            pulls(asked).unwrap_or_else(|| Said::status(404))
        } else {
            Said::status(401)
        }
    })
    .await;
    let place = Place::new();
    let account = app(None);
    let hub = Hub::start(
        &place,
        Settings {
            account,
            ..settings(fake.url())
        },
    );
    for _ in 0..3 {
        let headers = hub.source.headers().await.unwrap();
        assert_eq!(headers[0].1.to_str().unwrap(), "Bearer ghs_0");
    }
    assert_eq!(given.load(Ordering::SeqCst), 1);
    let payload = fixture("github-workflow_job.json");
    tell(&hub.routes, "workflow_job", "1", &payload).await;
    let build = place.build(&uuid_with(&place, "-9001-2")).unwrap();
    assert_eq!(build.change.as_deref(), Some("17"));
    assert_eq!(given.load(Ordering::SeqCst), 2);
    hub.stop().await;
}

#[tokio::test]
async fn a_token_that_ends_soon_is_not_used() {
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    let fake = Fake::start(move |_, asked| {
        let soon = Timestamp::now() + SignedDuration::from_secs(100);
        installation(asked, &count, soon).unwrap_or_else(|| Said::status(404))
    })
    .await;
    let hub = GitHub::new(Settings {
        account: app(Some(678)),
        ..settings(fake.url())
    })
    .unwrap();
    for n in 0..2 {
        let headers = hub.headers().await.unwrap();
        assert_eq!(headers[0].1.to_str().unwrap(), format!("Bearer ghs_{n}"));
    }
    // Which installation is known, so nobody was asked.
    assert_eq!(fake.count("/api/v3/app/installations"), 0);
    assert!(AppKey::new("1", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n").is_err());
}

/// The store that GitHub sends to for a log must not get who we are.
#[tokio::test]
async fn the_store_of_a_log_gets_no_credentials() {
    let store = Fake::start(|_, asked| {
        if asked.headers.contains_key("authorization") {
            return Said::status(400);
        }
        Said {
            status: 200,
            body: b"a log\n".to_vec(),
            ..Said::default()
        }
    })
    .await;
    let at = format!("{}/logs/1.txt?sig=abc", store.url());
    let fake = Fake::start(move |_, asked| {
        if !is_right_for_log(asked) {
            return Said::status(403);
        }
        let said = Said {
            status: 302,
            ..Said::default()
        };
        said.with("location", &at)
    })
    .await;
    let place = Place::new();
    let hub = Hub::start(&place, settings(fake.url()));
    tell(
        &hub.routes,
        "workflow_job",
        "1",
        &fixture("github-workflow_job.json"),
    )
    .await;
    let logs = place.logs();
    let Logs::File { url, account, .. } = &logs[0].1 else {
        panic!("a file")
    };
    assert_eq!(account.as_deref(), Some(hub.source.name()));
    let hosts = Hosts::listed(vec!["127.0.0.1:*".parse().unwrap()], Vec::new());
    let downloader = Downloader::new(Limits::new(hosts)).unwrap();
    let mut request = Request::new(url.parse().unwrap());
    for (name, value) in hub.source.headers().await.unwrap() {
        request = request.header(name, value);
    }
    let target = place.dir.path().join("log");
    let Answer::Fetched(_) = downloader.fetch(&request, &target).await.unwrap() else {
        panic!("nothing was known")
    };
    assert_eq!(std::fs::read(&target).unwrap(), b"a log\n");
    assert_eq!(store.asked().len(), 1);
    hub.stop().await;
}

fn is_right_for_log(asked: &Asked) -> bool {
    asked.path.ends_with("/actions/jobs/9001/logs")
        && asked.header("authorization") == "Bearer t0ken"
}

/// Two pages of runs; one of them ended before the last look.
fn missed(base: &str, asked: &Asked) -> Said {
    if !is_right(asked, "t0ken") {
        return Said::status(401);
    }
    if let Some(said) = pulls(asked) {
        return said;
    }
    let run = |id: u64, at: Timestamp| json!({"id": id, "updated_at": at.to_string()});
    match asked.path.strip_prefix(RUNS) {
        Some("") if asked.query("status") == "completed" && asked.query("per_page") == "100" => {
            if asked.header("if-none-match") == "\"one\"" {
                return Said {
                    status: 304,
                    ..Said::default()
                };
            }
            if asked.query("page") == "2" {
                return Said::json(
                    &json!({"workflow_runs": [run(7001, ago(60)), run(7003, ago(80_000))]}),
                );
            }
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&asked.query)
                .finish();
            let next =
                format!("<{base}{RUNS}?{query}&page=2>; rel=\"next\", <{base}/x>; rel=\"last\"");
            Said::json(&json!({"workflow_runs": [run(7002, ago(30))]}))
                .with("link", next)
                .with("etag", "\"one\"")
        }
        Some("/7001/jobs") if asked.query("filter") == "all" => {
            let mut waiting = job(5, 7001);
            waiting["status"] = json!("in_progress");
            Said::json(&json!({"jobs": [job(1, 7001), waiting, {"status": "completed"}]}))
        }
        Some("/7002/jobs") => Said::json(&json!({"jobs": [job(2, 7002)]})),
        _ => Said::status(404),
    }
}

#[tokio::test]
async fn what_was_missed_is_caught_up_once() {
    let fake = Fake::start(missed).await;
    let place = Place::new();
    let hub = Hub::start(&place, catching_up(&fake, Duration::from_millis(30)));
    // Later looks are answered with 304.
    place.until("three looks", |_| fake.count(RUNS) >= 4).await;
    hub.stop().await;
    let mut found: Vec<String> = place.logs().into_iter().map(|(uuid, _)| uuid).collect();
    found.sort();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].ends_with("-1-2") && found[1].ends_with("-2-2"),
        "{found:?}"
    );
    assert_eq!(
        place.build(&found[0]).unwrap().change.as_deref(),
        Some("17")
    );
    assert_eq!(fake.count(&format!("{RUNS}/7001/jobs")), 1);
    assert_eq!(
        fake.count(&format!("{RUNS}/7003/jobs")),
        0,
        "it ended before"
    );
    let status = place.status("hub");
    assert_eq!((status.builds, status.not_understood), (2, 1));
    let mark = place.state.mark("hub").unwrap().unwrap();
    assert!(mark.contains("example/shop"), "{mark}");
    let tags: Vec<String> = fake
        .asked()
        .iter()
        .filter(|one| one.path == RUNS && one.query("page").is_empty())
        .map(|one| one.header("if-none-match").to_owned())
        .collect();
    assert_eq!((tags[0].as_str(), tags[1].as_str()), ("", "\"one\""));
}

#[tokio::test]
async fn a_rate_limit_is_kept_and_said() {
    let fake = Fake::start(|_, _| {
        let reset = Timestamp::now().as_second() + 3000;
        Said::status(403)
            .with("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", reset.to_string())
    })
    .await;
    let place = Place::new();
    let hub = Hub::start(&place, catching_up(&fake, Duration::from_millis(10)));
    place
        .until("an error", |place| place.status("hub").error.is_some())
        .await;
    let status = place.status("hub");
    assert!(status.error.unwrap().contains("to be left alone"), "no");
    assert!(!status.connected);
    // Notifications are heard all the same.
    let mut comment = fixture("github-issue_comment.json");
    comment["comment"]["created_at"] = json!(Timestamp::now().to_string());
    assert_eq!(
        tell(&hub.routes, "issue_comment", "1", &comment)
            .await
            .status,
        200
    );
    assert_eq!(fake.asked().len(), 1, "asked in spite of the limit");
    assert_eq!(place.state.mark("hub").unwrap(), None);
    hub.stop().await;
}

#[tokio::test]
async fn a_next_page_somewhere_else_is_not_asked_for() {
    let other = Fake::start(|_, _| Said::status(404)).await;
    let away = format!("<{}/x>; rel=\"next\"", other.url());
    let fake =
        Fake::start(move |_, _| Said::json(&json!({"workflow_runs": []})).with("link", &away))
            .await;
    let place = Place::new();
    let hub = Hub::start(&place, catching_up(&fake, Duration::from_secs(60)));
    place
        .until("an error", |place| place.status("hub").error.is_some())
        .await;
    hub.stop().await;
    assert_eq!(other.asked().len(), 0);
}

/// A suite that failed has its jobs listed, should one of their notifications have been lost.
#[tokio::test]
async fn a_failed_suite_brings_its_jobs() {
    let fake = Fake::start(|_, asked| {
        if let Some(said) = pulls(asked) {
            return said;
        }
        match asked.path.strip_prefix(RUNS) {
            Some("") if asked.query("check_suite_id") == "55" => {
                Said::json(&json!({"workflow_runs": [{"id": 7001}]}))
            }
            Some("/7001/jobs") if asked.query("filter") == "latest" => {
                Said::json(&json!({"jobs": [job(77, 7001)]}))
            }
            _ => Said::status(404),
        }
    })
    .await;
    let place = Place::new();
    let hub = Hub::start(&place, settings(fake.url()));
    let suite = fixture("github-check_suite.json");
    let mut good = suite.clone();
    good["check_suite"]["conclusion"] = json!("success");
    tell(&hub.routes, "check_suite", "1", &good).await;
    tell(&hub.routes, "check_suite", "2", &suite).await;
    place
        .until("a build", |place| place.status("hub").builds == 1)
        .await;
    assert_eq!(fake.count(RUNS), 1);
    let build = place.build(&uuid_with(&place, "-77-2")).unwrap();
    assert_eq!(build.change.as_deref(), Some("17"));
    hub.stop().await;
}
