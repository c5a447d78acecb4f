//! Requests that get an error instead of their answer.

use axum::Router;
use axum::routing::post;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use whorl::chance::{Plan, Rates, Record, http};

/// A server that counts what it was asked.
async fn counting() -> (String, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let counted = asked.clone();
    let answer = move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        "done"
    };
    let router = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, asked)
}

#[tokio::test]
async fn requests_fail_before_they_are_sent_or_after_they_were_answered() {
    let (address, asked) = counting().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let rates = Rates::new(1.0, [].into()).unwrap();
    let plan = Plan::new(3, rates, "test", Record::nowhere());
    let spot = plan.spot(&http::NOTES);
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..200 {
        let sent = http::within(spot.clone(), "", http::send(client.post(&address))).await;
        let what = match sent {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(error) if error.is_timeout() => "timeout".to_owned(),
            Err(error) => {
                let text = format!("{error:?}");
                assert!(text.contains("ConnectionReset"), "{text}");
                "reset".to_owned()
            }
        };
        *seen.entry(what).or_default() += 1;
    }
    let kinds: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["429", "500", "503", "reset", "timeout"]);
    let tally = &plan.tally()[0];
    assert_eq!((tally.before + tally.after, tally.calls), (200, 200));
    // What came back after it was done was done, and nothing else.
    assert_eq!(asked.load(Ordering::SeqCst), tally.after);
    assert!(tally.after > 50, "{tally:?}");
}

#[tokio::test]
async fn nothing_fails_outside() {
    let (address, asked) = counting().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http::send(client.post(&address)).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "done");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
