//! Bugzilla: the documented REST API of version 5.

use super::fake::{Asked, Fake, Said};
use super::{Shared, bug, facts, shown, site};
use serde_json::{Map, Value, json};
use whorl::event::BugStatus;
use whorl::tracker::TrackerError;

const KEY: &str = "key";

async fn start(entry: Value) -> (Fake, Shared<Value>) {
    let entry: Shared<Value> = std::sync::Arc::new(entry.into());
    let inside = entry.clone();
    let fake = Fake::start(move |_, asked| answer(&inside.lock().unwrap(), asked)).await;
    (fake, entry)
}

fn entry(status: &str, resolution: &str, open: bool) -> Value {
    json!({"id": 99, "summary": "It breaks", "status": status, "resolution": resolution,
        "is_open": open, "assigned_to": "ann@example.org", "product": "Tool", "cc": ["a@b"],
        "last_change_time": "2026-11-12T08:00:00Z", "cf_last_closed": "2026-11-10T08:00:00Z"})
}

fn refused(status: u16, code: u32, message: &str) -> Said {
    Said::json(
        status,
        &json!({"error": true, "code": code, "message": message}),
    )
}

fn answer(entry: &Value, asked: &Asked) -> Said {
    let json = Some("application/json");
    if asked.header("accept") != json || asked.header("content-type") != json {
        return refused(400, 32000, "set both Accept and Content-Type");
    }
    if asked
        .header("x-bugzilla-api-key")
        .is_some_and(|key| key != KEY)
    {
        return refused(400, 306, "The API key you specified is invalid.");
    }
    let Some(path) = asked.below("/bz/rest/") else {
        return Said::text(404, "text/html", "<html>Not Found</html>");
    };
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["bug", "99"]) => {
            let bugs = json!({"faults": [], "bugs": [only(entry, asked)]});
            Said::json(200, &bugs)
        }
        ("GET", ["bug", "99", "attachment"]) => {
            let all: Vec<Value> = attachments().iter().map(|one| only(one, asked)).collect();
            Said::json(200, &json!({"bugs": {"99": all}, "attachments": {}}))
        }
        ("GET", ["bug", "7"]) => refused(401, 102, "You are not authorized to access bug #7."),
        // As old versions do it.
        ("GET", ["bug", "8"]) => refused(200, 101, "Bug #8 does not exist."),
        ("GET", ["bug", _]) => refused(404, 101, "Bug #100 does not exist."),
        _ => refused(404, 32000, "no such resource"),
    }
}

/// Only the fields that were asked for.
fn only(all: &Value, asked: &Asked) -> Value {
    let wanted: Vec<&str> = asked
        .query("include_fields")
        .unwrap_or_default()
        .split(',')
        .collect();
    let fields = all.as_object().unwrap().iter();
    let some: Map<String, Value> = fields
        .filter(|(name, _)| wanted.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    some.into()
}

fn attachments() -> Vec<Value> {
    let one = |id: u32, obsolete: Value, flag: &str, status: &str| {
        json!({"id": id, "summary": format!("Patch {id}"), "is_obsolete": obsolete, "data": "AAAA",
            "flags": [{"id": 1, "name": flag, "status": status, "setter": "ann"}]})
    };
    vec![
        one(1, json!(0), "review", "?"),
        one(2, json!(1), "review", "?"),
        one(3, json!(false), "review", "+"),
        one(4, json!(false), "review", "?"),
        one(5, json!(false), "needinfo", "?"),
    ]
}

#[tokio::test]
async fn a_bug_is_read_with_the_patches_that_wait_for_review() {
    let (fake, _) = start(entry("ASSIGNED", "", true)).await;
    let site = site(&format!(
        "kind: bugzilla, web: '{}/bz/', token: {KEY}",
        fake.url()
    ));
    let facts = facts(&site, "bugzilla:99").await.unwrap();
    insta::assert_snapshot!(shown(&fake, &facts));
}

#[tokio::test]
async fn every_state_has_its_status() {
    let (fake, entry_of) = start(entry("NEW", "", true)).await;
    let site = site(&format!("kind: bugzilla, web: '{}/bz'", fake.url()));
    let cases = [
        ("NEW", "", true, BugStatus::Open),
        ("UNCONFIRMED", "", true, BugStatus::Open),
        ("IN_PROGRESS", "", true, BugStatus::InProgress),
        ("RESOLVED", "FIXED", false, BugStatus::Fixed),
        ("CLOSED", "ERRATA", false, BugStatus::Fixed),
        ("VERIFIED", "DUPLICATE", false, BugStatus::ClosedOtherwise),
    ];
    for (word, resolution, open, wanted) in cases {
        *entry_of.lock().unwrap() = entry(word, resolution, open);
        let found = facts(&site, "bugzilla:99").await.unwrap();
        assert_eq!(found.status, wanted, "{word} {resolution}");
        assert_eq!(
            found.closed.is_some(),
            wanted.closed(),
            "{word} {resolution}"
        );
    }
    entry_of.lock().unwrap()["assigned_to"] = "nobody@mozilla.org".into();
    assert_eq!(facts(&site, "bugzilla:99").await.unwrap().assignee, None);
}

#[tokio::test]
async fn refusals_are_told_apart_by_their_code() {
    let (fake, _) = start(entry("NEW", "", true)).await;
    let keys = format!("kind: bugzilla, web: '{}/bz'", fake.url());
    let plain = site(&keys);
    assert_eq!(
        facts(&plain, "bugzilla:100").await,
        Err(TrackerError::NotFound)
    );
    assert_eq!(
        facts(&plain, "bugzilla:8").await,
        Err(TrackerError::NotFound)
    );
    let with = site(&format!("{keys}, token: {KEY}"));
    assert_eq!(facts(&with, "bugzilla:7").await, Err(TrackerError::Denied));
    let wrong = site(&format!("{keys}, token: revoked"));
    assert_eq!(
        facts(&wrong, "bugzilla:99").await,
        Err(TrackerError::Unauthorized)
    );
}

#[tokio::test]
async fn nothing_is_written_where_nothing_can_be_edited() {
    let (fake, _) = start(entry("NEW", "", true)).await;
    let site = site(&format!(
        "kind: bugzilla, web: '{}/bz', token: {KEY}",
        fake.url()
    ));
    let bug = bug(&site, "bugzilla:99");
    let error = site.tracker.add_comment(&bug, "x").await.unwrap_err();
    assert!(matches!(error, TrackerError::Unsupported(_)) && !error.concerns_all());
    assert_eq!(fake.paths(), [""; 0]);
}
