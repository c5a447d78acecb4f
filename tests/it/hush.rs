//! Silences and outage over HTTP: for programs and by the buttons of the page.

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use whorl::config::Config;
use whorl::state::State;
use whorl::web::{Local, Service};

struct Running {
    base: String,
    client: Client,
    stop: tokio_util::sync::CancellationToken,
    done: tokio::task::JoinHandle<bool>,
}

async fn start(dir: &Path) -> Running {
    let queries = dir.join("queries");
    std::fs::create_dir_all(&queries).unwrap();
    let text = format!(
        "listen: 127.0.0.1:0\ndata-dir: {}\nfingerprints: [{}]\nintake: {{token: geheim}}\n",
        dir.join("data").display(),
        queries.display()
    );
    let config = Config::parse("x", &text, &|_| None).unwrap();
    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let service = Service::open_at(
        config,
        Arc::new(move || now),
        |config, spool, state, voices| {
            Ok(Arc::new(Local::open(config, spool, state.clone(), voices)?))
        },
    );
    let service = service.await.unwrap();
    Running {
        base: format!("http://{}", service.address().unwrap()),
        client: Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap(),
        stop: service.stopper(),
        done: tokio::spawn(async move { service.run().await.unwrap() }),
    }
}

impl Running {
    fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        let asked = self.client.request(method.parse().unwrap(), url);
        asked.header("authorization", "Bearer geheim")
    }

    async fn json(&self, path: &str) -> Value {
        self.ask("GET", path)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (StatusCode, String) {
        let sent = self.ask(method, path).json(&body).send().await.unwrap();
        (sent.status(), sent.text().await.unwrap())
    }

    async fn press(&self, path: &str, form: &[(&str, &str)]) -> StatusCode {
        let url = format!("{}{path}", self.base);
        let sent = self.client.post(url).form(form).send().await.unwrap();
        sent.status()
    }

    async fn page(&self) -> String {
        let page = self.ask("GET", "/silences").send().await.unwrap();
        let text = page.text().await.unwrap();
        let main = text.split_once("<main id=\"main\">").unwrap().1;
        main.split_once("</main>").unwrap().0.trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_begin_and_end_them() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let asked =
        json!({"kind": "change", "what": "nova#7", "for": "2h", "reason": "loud", "by": "ann"});
    let url = format!("{}/api/v1/silences", running.base);
    let naked = running.client.post(url).json(&asked).send().await.unwrap();
    assert_eq!(naked.status(), StatusCode::UNAUTHORIZED);
    let (status, body) = running.send("POST", "/api/v1/silences", asked).await;
    assert_eq!(
        (status, body.as_str()),
        (
            StatusCode::CREATED,
            r#"{"id":1,"until":"2026-11-21T14:00:00Z"}"#
        )
    );
    for (bad, why) in [
        (
            json!({"kind": "change", "what": "", "for": "2h"}),
            "say of what",
        ),
        (
            json!({"kind": "change", "what": "7", "for": "soon"}),
            "write a period",
        ),
        (
            json!({"kind": "change", "what": "7", "for": "99d"}),
            "write a period",
        ),
        (
            json!({"kind": "change", "what": "a\nb", "for": "2h"}),
            "control characters",
        ),
        (
            json!({"kind": "mood", "what": "7", "for": "2h"}),
            "unknown variant",
        ),
    ] {
        let (status, body) = running.send("POST", "/api/v1/silences", bad).await;
        assert!(
            status.is_client_error() && body.contains(why),
            "{status} {body}"
        );
    }
    let all = running.json("/api/v1/silences").await;
    assert_eq!(all[0]["what"], "nova#7");
    assert_eq!(all[0]["by"], "ann");
    let (status, _) = running
        .send("DELETE", "/api/v1/silences/1", json!(null))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = running
        .send("DELETE", "/api/v1/silences/1", json!(null))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(running.json("/api/v1/silences").await, json!([]));

    assert_eq!(running.json("/api/v1/outage").await, json!(null));
    let (status, _) = running
        .send(
            "POST",
            "/api/v1/outage",
            json!({"text": "Down.", "for": "1h"}),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(
        running.json("/api/v1/outage").await["until"],
        "2026-11-21T13:00:00Z"
    );
    let (status, _) = running.send("DELETE", "/api/v1/outage", json!(null)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = running.send("DELETE", "/api/v1/outage", json!(null)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    running.stop.cancel();
    assert!(running.done.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn people_press_buttons() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    insta::assert_snapshot!("silences_empty", running.page().await);
    let change = [
        ("kind", "change"),
        ("what", "<b>7</b>"),
        ("for", "2h"),
        ("reason", "a & b"),
    ];
    assert_eq!(
        running.press("/silences", &change).await,
        StatusCode::SEE_OTHER
    );
    let bug = [
        ("kind", "fingerprint"),
        ("what", "1182131"),
        ("for", "1d"),
        ("reason", ""),
    ];
    assert_eq!(
        running.press("/silences", &bug).await,
        StatusCode::SEE_OTHER
    );
    let outage = [("text", "The mirror is <down>."), ("for", "")];
    assert_eq!(
        running.press("/outage", &outage).await,
        StatusCode::SEE_OTHER
    );
    insta::assert_snapshot!("silences_and_outage", running.page().await);
    assert!(
        running
            .ask("GET", "/notes")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains("href=\"/silences\"")
    );
    let url = format!("{}/silences/1/end", running.base);
    let foreign = running
        .client
        .post(url)
        .header("sec-fetch-site", "cross-site")
        .send();
    assert_eq!(foreign.await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(
        running.press("/silences/1/end", &[]).await,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        running.press("/outage/end", &[]).await,
        StatusCode::SEE_OTHER
    );
    let page = running.page().await;
    assert!(
        !page.contains("mirror is") && page.contains("1 on,") && page.contains("1182131"),
        "{page}"
    );
    running.stop.cancel();
    assert!(running.done.await.unwrap());
    let state = State::open(dir.path().join("data/state.db")).unwrap();
    let audit = state.audit_log(9).unwrap();
    let told: Vec<_> = audit
        .iter()
        .rev()
        .map(|row| (row.actor.as_str(), row.action.as_str()))
        .collect();
    let of = |action| ("page", action);
    assert_eq!(
        told,
        [
            of("silenced"),
            of("silenced"),
            of("outage-begun"),
            of("silence-ended"),
            of("outage-ended")
        ]
    );
}
