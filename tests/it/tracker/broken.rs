//! Every tracker when its answers are broken: always an error of the right sort, in bounded time.

use super::fake::{Fake, Said, Trouble};
use super::{config, facts};
use serde_json::json;
use std::time::{Duration, Instant};
use whorl::tracker::{Site, TrackerError, Wait, sites};

const NAMES: [&str; 5] = [
    "launchpad:1182131",
    "github:acme/tool#7",
    "gitlab:acme/tool#7",
    "jira:OSP-44",
    "bugzilla:99",
];

/// All five, in front of a fake that answers each of them with something sound enough to be halved.
async fn start() -> (Fake, Vec<Site>) {
    let fake = Fake::start(|_, _| {
        let long = "x".repeat(4096);
        Said::json(
            200,
            &json!({"title": long, "state": "open", "key": "OSP-44"}),
        )
    })
    .await;
    let url = fake.url();
    let text = format!(
        "  sites:
    - {{kind: launchpad, api: '{url}/devel', user: w, token: hush-1, token-secret: hush-2}}
    - {{kind: github, api: '{url}', token: hush-3}}
    - {{kind: gitlab, api: '{url}', token: hush-4}}
    - {{kind: jira, web: '{url}', user: w, token: hush-5}}
    - {{kind: bugzilla, web: '{url}', token: hush-6}}
"
    );
    let sites = sites(&config(&text)).unwrap();
    (fake, sites)
}

async fn errors(trouble: Trouble) -> Vec<TrackerError> {
    let (fake, sites) = start().await;
    fake.trouble(Some(trouble));
    let mut all = Vec::new();
    for (site, name) in sites.iter().zip(NAMES) {
        let error = facts(site, name).await.unwrap_err();
        let told = format!("{error} {error:?} {site:?}");
        assert!(!told.contains("hush"), "{told}");
        all.push(error);
    }
    all
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    for error in errors(Trouble::Half).await {
        assert!(matches!(error, TrackerError::Malformed(_)), "{error:?}");
        assert!(!error.concerns_all());
    }
    for error in errors(Trouble::Cut).await {
        assert!(matches!(error, TrackerError::Network(_)), "{error:?}");
        assert!(error.concerns_all());
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_is_not_understood() {
    for error in errors(Trouble::WrongTypes).await {
        assert!(matches!(error, TrackerError::Malformed(_)), "{error:?}");
    }
    for error in errors(Trouble::Html).await {
        assert_eq!(error, TrackerError::NotJson("text/html".into()));
        assert!(error.concerns_all());
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    for error in errors(Trouble::Huge).await {
        assert_eq!(error, TrackerError::TooLarge(8 << 20));
    }
}

#[tokio::test]
async fn faults_of_the_server_are_waited_for() {
    for error in errors(Trouble::Status(500, vec![])).await {
        assert_eq!(
            error,
            TrackerError::Server {
                status: 500,
                wait: None
            }
        );
    }
    let after = vec![("retry-after", "30".to_owned())];
    let wait = Wait::For(Duration::from_secs(30));
    for error in errors(Trouble::Status(503, after.clone())).await {
        assert_eq!(
            error,
            TrackerError::Server {
                status: 503,
                wait: Some(wait)
            }
        );
    }
    for error in errors(Trouble::Status(429, after)).await {
        assert_eq!(error, TrackerError::Limited { status: 429, wait });
    }
    for error in errors(Trouble::Status(418, vec![])).await {
        assert_eq!(error, TrackerError::Refused(418));
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    for error in errors(Trouble::Away).await {
        assert_eq!(error, TrackerError::Elsewhere("127.0.0.2".into()));
    }
}

#[tokio::test]
async fn who_hangs_or_is_not_there_is_given_up() {
    let begun = Instant::now();
    let (fake, sites) = start().await;
    fake.trouble(Some(Trouble::Hang));
    // All at once: each takes the two seconds of the configuration.
    let mut all = tokio::task::JoinSet::new();
    for (site, name) in sites.clone().into_iter().zip(NAMES) {
        all.spawn(async move { facts(&site, name).await });
    }
    while let Some(done) = all.join_next().await {
        assert_eq!(done.unwrap(), Err(TrackerError::Timeout));
    }
    assert!(begun.elapsed() < Duration::from_secs(8));
    drop(fake);
    super::fake::until("the listener is gone", || {
        let address = sites[3].web.socket_addrs(|| None).unwrap()[0];
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    for (site, name) in sites.iter().zip(NAMES) {
        let error = facts(site, name).await.unwrap_err();
        assert!(matches!(error, TrackerError::Network(_)), "{error:?}");
    }
}
