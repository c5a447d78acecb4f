//! Gerrit: the documented query of changes.

use super::fake::{Asked, Fake, Said};
use serde_json::json;
use std::time::Duration;
use whorl::config::TrackerKind;
use whorl::event::BugReview;
use whorl::tracker::{Bug, Gerrit};

pub(crate) async fn start() -> Fake {
    Fake::start(|_, asked| answer(asked)).await
}

fn answer(asked: &Asked) -> Said {
    if (asked.method.as_str(), asked.path.as_str()) != ("GET", "/r/changes/") {
        return Said::text(404, "text/plain", "Not Found");
    }
    if asked.query("n").is_none_or(|n| n.parse::<u32>().is_err()) {
        return Said::text(400, "text/plain", "\"n\" is not a number");
    }
    let found = match asked.query("q") {
        Some("status:open message:\"1182131\"") => {
            json!([{"id": "openstack%2Fnova~1", "_number": 4711,
            "project": "openstack/nova", "branch": "master", "subject": "Close the race", "status": "NEW"}])
        }
        Some(_) => json!([]),
        None => return Said::text(400, "text/plain", "no query"),
    };
    Said::text(
        200,
        "application/json; charset=UTF-8",
        &format!(")]}}'\n{found}"),
    )
}

#[tokio::test]
async fn open_changes_that_name_a_bug_are_found() {
    let fake = start().await;
    let web = format!("{}/r", fake.url()).parse().unwrap();
    let gerrit = Gerrit::new(&web, Duration::from_secs(2)).unwrap();
    let bug = |id: &str| Bug {
        project: String::new(),
        id: id.into(),
    };
    let found = gerrit
        .reviews(TrackerKind::Launchpad, &bug("1182131"))
        .await
        .unwrap();
    let url = format!("{web}/c/openstack/nova/+/4711");
    assert_eq!(
        found,
        [BugReview {
            title: "Close the race".into(),
            url
        }]
    );
    let none = gerrit
        .reviews(TrackerKind::Launchpad, &bug("1182132"))
        .await
        .unwrap();
    assert_eq!(none, []);
    fake.asked();
    // A short number, or one of a project, is in messages that mean something else.
    assert_eq!(
        gerrit
            .reviews(TrackerKind::Bugzilla, &bug("12"))
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        gerrit
            .reviews(TrackerKind::Github, &bug("1182131"))
            .await
            .unwrap(),
        []
    );
    assert_eq!(fake.paths(), [""; 0]);
}
