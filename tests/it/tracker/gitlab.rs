//! GitLab: the documented REST API, version 4.

use super::fake::{Asked, Fake, Said};
use super::{Shared, bug, facts, shown, site};
use serde_json::{Value, json};
use std::time::Duration;
use whorl::event::BugStatus;
use whorl::tracker::{Comment, TrackerError, Wait};

const TOKEN: &str = "glpat-secret";
const PROJECT: &str = "acme%2Fdeep%2Ftool";

#[derive(Debug, Default)]
pub(crate) struct Lab {
    issue: Value,
    /// Author, text, whether GitLab itself wrote it.
    notes: Vec<(&'static str, String, bool)>,
    limited: bool,
}

pub(crate) async fn start(lab: Lab) -> (Fake, Shared<Lab>) {
    let lab: Shared<Lab> = std::sync::Arc::new(lab.into());
    let inside = lab.clone();
    let fake = Fake::start(move |_, asked| answer(&mut inside.lock().unwrap(), asked)).await;
    (fake, lab)
}

pub(crate) fn lab(state: &str, moved: Option<u64>) -> Lab {
    let closed = (state == "closed").then_some("2026-11-10T08:00:00.123+01:00");
    let issue = json!({"id": 900, "iid": 7, "project_id": 3, "title": "It breaks", "state": state,
        "web_url": "https://gitlab.com/acme/deep/tool/-/issues/7", "closed_at": closed,
        "updated_at": "2026-11-12T08:00:00.000Z", "moved_to_id": moved,
        "assignees": [{"id": 1, "username": "ann"}], "assignee": {"id": 1, "username": "ann"}});
    Lab {
        issue,
        ..Lab::default()
    }
}

fn refused(status: u16, message: &str) -> Said {
    Said::json(status, &json!({ "message": message }))
}

fn answer(lab: &mut Lab, asked: &Asked) -> Said {
    if lab.limited {
        return Said::text(429, "text/plain", "Retry later")
            .with("retry-after", "42")
            .with("ratelimit-remaining", "0")
            .with("ratelimit-reset", "1795200000");
    }
    let known = match asked.header("private-token") {
        None => false,
        Some(TOKEN) => true,
        Some(_) => return refused(401, "401 Unauthorized"),
    };
    let Some(path) = asked.below("/api/v4/") else {
        return refused(404, "404 Not Found");
    };
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["user"]) if known => Said::json(200, &json!({"id": 5, "username": "whorl-bot"})),
        (_, ["user"]) => refused(401, "401 Unauthorized"),
        ("GET", ["projects", PROJECT, "issues", "7"]) => Said::json(200, &lab.issue),
        ("GET", ["projects", PROJECT, "issues", "7", "related_merge_requests"]) => {
            paged(asked, &requests())
        }
        ("GET", ["projects", PROJECT, "issues", "7", "notes"]) => paged(asked, &notes(lab)),
        ("POST" | "PUT", _) if !known => refused(401, "401 Unauthorized"),
        ("POST", ["projects", PROJECT, "issues", "7", "notes"]) => match text(asked) {
            None => refused(400, "400 Bad request - Note {:note=>[\"can't be blank\"]}"),
            Some(text) => {
                lab.notes.push(("whorl-bot", text, false));
                Said::json(201, notes(lab).first().unwrap())
            }
        },
        ("PUT", ["projects", PROJECT, "issues", "7", "notes", id]) => edit(lab, asked, id),
        _ => refused(404, "404 Project Not Found"),
    }
}

fn text(asked: &Asked) -> Option<String> {
    let text = asked.json()?.get("body")?.as_str()?.to_owned();
    (!text.is_empty()).then_some(text)
}

fn edit(lab: &mut Lab, asked: &Asked, id: &str) -> Said {
    let at = id.parse::<usize>().unwrap();
    let (Some(one), Some(text)) = (lab.notes.get_mut(at), text(asked)) else {
        return refused(404, "404 Note Not Found");
    };
    if one.0 != "whorl-bot" {
        return refused(403, "403 Forbidden");
    }
    one.1 = text;
    Said::json(200, &json!({"id": at, "body": one.1}))
}

/// At most three on each page here, whatever is asked for.
fn paged(asked: &Asked, all: &[Value]) -> Said {
    let number = |name: &str, usual: usize| asked.query(name).map_or(usual, |n| n.parse().unwrap());
    let (size, page) = (number("per_page", 20).min(3), number("page", 1));
    let rows: Vec<&Value> = all.iter().skip(size * (page - 1)).take(size).collect();
    let next = if size * page < all.len() {
        (page + 1).to_string()
    } else {
        String::new()
    };
    Said::json(200, &json!(rows))
        .with("x-next-page", next)
        .with("x-page", page.to_string())
}

fn requests() -> Vec<Value> {
    let one = |iid: u32, state: &str| {
        json!({"id": iid, "iid": iid, "title": format!("Fix {iid}"), "state": state,
            "web_url": format!("https://gitlab.com/acme/deep/tool/-/merge_requests/{iid}")})
    };
    vec![
        one(1, "merged"),
        one(2, "opened"),
        one(3, "closed"),
        one(4, "opened"),
        one(5, "locked"),
    ]
}

/// The newest first, as GitLab sorts them.
fn notes(lab: &Lab) -> Vec<Value> {
    let one = |(id, (who, text, system)): (usize, &(&str, String, bool))| json!({"id": id, "body": text, "author": {"username": who}, "system": system});
    lab.notes.iter().enumerate().map(one).rev().collect()
}

#[tokio::test]
async fn an_issue_is_read_with_its_merge_requests() {
    let (fake, _) = start(lab("opened", None)).await;
    let site = site(&format!(
        "kind: gitlab, web: '{}', token: {TOKEN}",
        fake.url()
    ));
    let facts = facts(&site, "gitlab:acme/deep/tool#7").await.unwrap();
    insta::assert_snapshot!(shown(&fake, &facts));
    assert_eq!(fake.paths().len(), 3, "the issue and two pages");
}

#[tokio::test]
async fn closed_moved_hidden_and_refused_are_told_apart() {
    let (fake, lab_of) = start(lab("closed", None)).await;
    let keys = format!("kind: gitlab, web: '{}'", fake.url());
    let plain = site(&keys);
    let found = facts(&plain, "gitlab:acme/deep/tool#7").await.unwrap();
    let closed = "2026-11-10T07:00:00.123Z".parse().unwrap();
    assert_eq!(
        (found.status, found.closed),
        (BugStatus::Fixed, Some(closed))
    );
    *lab_of.lock().unwrap() = lab("closed", Some(12));
    let found = facts(&plain, "gitlab:acme/deep/tool#7").await.unwrap();
    assert_eq!(
        (found.status, found.word.as_str()),
        (BugStatus::ClosedOtherwise, "closed (moved)")
    );
    assert_eq!(
        facts(&plain, "gitlab:acme/other#7").await,
        Err(TrackerError::NotFound)
    );
    let wrong = site(&format!("{keys}, token: glpat-old"));
    assert_eq!(
        facts(&wrong, "gitlab:acme/deep/tool#7").await,
        Err(TrackerError::Unauthorized)
    );
    lab_of.lock().unwrap().limited = true;
    let wait = Wait::For(Duration::from_secs(42));
    let limited = TrackerError::Limited { status: 429, wait };
    assert_eq!(facts(&plain, "gitlab:acme/deep/tool#7").await, Err(limited));
}

#[tokio::test]
async fn our_comment_is_written_found_and_edited() {
    let mut lab = lab("opened", None);
    let marker = "<!-- whorl: hit counts -->";
    lab.notes = vec![
        ("ann", format!("I copied {marker}"), false),
        (
            "whorl-bot",
            format!("changed the description {marker}"),
            true,
        ),
    ];
    let (fake, lab) = start(lab).await;
    let site = site(&format!(
        "kind: gitlab, web: '{}', token: {TOKEN}",
        fake.url()
    ));
    let bug = bug(&site, "gitlab:acme/deep/tool#7");
    assert_eq!(site.tracker.own_comment(&bug).await.unwrap(), None);
    let text = format!("{}\none", site.tracker.marker());
    let id = site.tracker.add_comment(&bug, &text).await.unwrap();
    for n in 0..4 {
        lab.lock()
            .unwrap()
            .notes
            .push(("ann", format!("comment {n}"), false));
    }
    let found = site.tracker.own_comment(&bug).await.unwrap();
    assert_eq!(
        found,
        Some(Comment {
            id: id.clone(),
            text
        })
    );
    site.tracker.edit_comment(&bug, &id, "two").await.unwrap();
    assert_eq!(lab.lock().unwrap().notes[2].1, "two");
    let theirs = site.tracker.edit_comment(&bug, "0", "x").await;
    assert_eq!(theirs, Err(TrackerError::Denied));
}
