//! Jira: the documented REST API, version 2, of the cloud and of a server of one's own.

use super::fake::{Asked, Fake, Said};
use super::{Shared, bug, facts, shown, site};
use serde_json::{Map, Value, json};
use whorl::event::BugStatus;
use whorl::tracker::{Comment, TrackerError, Wait};

/// `whorl@example.org:tok`.
const BASIC: &str = "Basic d2hvcmxAZXhhbXBsZS5vcmc6dG9r";
const BEARER: &str = "Bearer pat";

#[derive(Debug, Default)]
struct Board {
    fields: Value,
    /// Author and text.
    comments: Vec<(&'static str, String)>,
    limited: bool,
}

async fn start(board: Board) -> (Fake, Shared<Board>) {
    let board: Shared<Board> = std::sync::Arc::new(board.into());
    let inside = board.clone();
    let fake = Fake::start(move |_, asked| answer(&mut inside.lock().unwrap(), asked)).await;
    (fake, board)
}

fn board(word: &str, category: &str, resolution: Option<&str>) -> Board {
    let day = resolution.map(|_| "2026-11-10T08:00:00.000+0100");
    let fields = json!({"summary": "It breaks", "status": {"name": word, "id": "3",
            "statusCategory": {"id": 4, "key": category, "name": "whatever"}},
        "resolution": resolution.map(|name| json!({"name": name})), "resolutiondate": day,
        "updated": "2026-11-12T08:00:00.000+0000", "description": "long",
        "assignee": {"accountId": "5b10", "displayName": "Ann B."}});
    Board {
        fields,
        ..Board::default()
    }
}

fn refused(status: u16, message: &str) -> Said {
    Said::json(status, &json!({"errorMessages": [message], "errors": {}}))
}

fn answer(board: &mut Board, asked: &Asked) -> Said {
    if board.limited {
        return Said::text(429, "text/html", "").with("x-ratelimit-reset", "2026-11-22T10:00Z");
    }
    let cloud = match asked.header("authorization") {
        None => None,
        Some(BASIC) => Some(true),
        Some(BEARER) => Some(false),
        Some(_) => {
            return Said::text(401, "text/html", "<html>Unauthorized (401)</html>")
                .with("x-seraph-loginreason", "AUTHENTICATED_FAILED");
        }
    };
    let Some(path) = asked.below("/jira/rest/api/2/") else {
        return Said::text(404, "text/html", "<html>dead link</html>");
    };
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["myself"]) => match cloud {
            None => refused(401, "You are not authenticated."),
            Some(cloud) => Said::json(200, &person("whorl", cloud)),
        },
        ("GET", ["issue", "OSP-44" | "OLD-1"]) => Said::json(200, &issue(board, asked)),
        ("GET", ["issue", "OSP-44", "comment"]) => comments(board, asked, cloud == Some(true)),
        ("POST" | "PUT", _) if cloud.is_none() => refused(401, "You do not have the permission"),
        ("POST", ["issue", "OSP-44", "comment"]) => match text(asked) {
            None => refused(400, "Comment body can not be empty!"),
            Some(text) => {
                board.comments.push(("whorl", text));
                let id = (board.comments.len() - 1).to_string();
                Said::json(
                    201,
                    &json!({"id": id, "body": "b", "author": person("whorl", true)}),
                )
            }
        },
        ("PUT", ["issue", "OSP-44", "comment", id]) => {
            let Some(one) = board.comments.get_mut(id.parse::<usize>().unwrap()) else {
                return refused(404, "Can not find a comment for the id");
            };
            one.1 = text(asked).unwrap();
            Said::json(200, &json!({"id": id, "body": one.1}))
        }
        _ => refused(
            404,
            "Issue does not exist or you do not have permission to see it.",
        ),
    }
}

fn text(asked: &Asked) -> Option<String> {
    Some(asked.json()?.get("body")?.as_str()?.to_owned())
}

fn person(name: &str, cloud: bool) -> Value {
    if cloud {
        return json!({"accountId": format!("id-{name}"), "displayName": name});
    }
    json!({"name": name, "key": name, "displayName": name})
}

/// Only the fields that were asked for.
fn issue(board: &Board, asked: &Asked) -> Value {
    let wanted: Vec<&str> = asked
        .query("fields")
        .unwrap_or_default()
        .split(',')
        .collect();
    let all = board.fields.as_object().unwrap().iter();
    let some: Map<String, Value> = all
        .filter(|(name, _)| wanted.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    json!({"id": "10044", "key": "OSP-44", "self": "s", "fields": some})
}

/// At most three at a time here, whatever is asked for.
fn comments(board: &Board, asked: &Asked, cloud: bool) -> Said {
    let start: usize = asked.query("startAt").map_or(0, |n| n.parse().unwrap());
    let all = board.comments.iter().enumerate().skip(start).take(3);
    let rows: Vec<Value> = all
        .map(|(id, (who, text))| json!({"id": id.to_string(), "body": text, "author": person(who, cloud)}))
        .collect();
    let total = board.comments.len();
    Said::json(
        200,
        &json!({"startAt": start, "maxResults": 3, "total": total, "comments": rows}),
    )
}

#[tokio::test]
async fn an_issue_is_read_with_its_times() {
    let (fake, _) = start(board("Shipped", "done", Some("Fixed"))).await;
    let site = site(&format!("kind: jira, web: '{}/jira'", fake.url()));
    let facts_of = facts(&site, "jira:OSP-44").await.unwrap();
    insta::assert_snapshot!(shown(&fake, &facts_of));
    let moved = facts(&site, "jira:OLD-1").await.unwrap();
    assert!(moved.url.unwrap().ends_with("/jira/browse/OSP-44"));
    assert_eq!(facts(&site, "jira:NO-1").await, Err(TrackerError::NotFound));
}

#[tokio::test]
async fn every_category_has_its_status() {
    let (fake, board_of) = start(Board::default()).await;
    let site = site(&format!("kind: jira, web: '{}/jira'", fake.url()));
    let cases = [
        ("Backlog", "new", None, BugStatus::Open),
        ("Cooking", "indeterminate", None, BugStatus::InProgress),
        ("Done", "done", Some("Done"), BugStatus::Fixed),
        ("Done", "done", None, BugStatus::Fixed),
        (
            "Closed",
            "done",
            Some("Won't Do"),
            BugStatus::ClosedOtherwise,
        ),
        ("Odd", "undefined", None, BugStatus::Unknown),
    ];
    for (word, category, resolution, wanted) in cases {
        *board_of.lock().unwrap() = board(word, category, resolution);
        let found = facts(&site, "jira:OSP-44").await.unwrap();
        assert_eq!(found.status, wanted, "{word} {category}");
    }
}

#[tokio::test]
async fn accounts_of_both_kinds_write_and_find_their_comment() {
    for keys in ["user: whorl@example.org, token: tok", "token: pat"] {
        let (fake, board) = start(board("Open", "new", None)).await;
        let site = site(&format!("kind: jira, web: '{}/jira', {keys}", fake.url()));
        let (bug, marker) = (bug(&site, "jira:OSP-44"), site.tracker.marker());
        for n in 0..4 {
            board
                .lock()
                .unwrap()
                .comments
                .push(("ann", format!("{n} {marker}")));
        }
        assert_eq!(
            site.tracker.own_comment(&bug).await.unwrap(),
            None,
            "{keys}"
        );
        let text = format!("{marker}\none");
        let id = site.tracker.add_comment(&bug, &text).await.unwrap();
        let found = site.tracker.own_comment(&bug).await.unwrap();
        assert_eq!(
            found,
            Some(Comment {
                id: id.clone(),
                text
            }),
            "{keys}"
        );
        site.tracker.edit_comment(&bug, &id, "two").await.unwrap();
        assert_eq!(board.lock().unwrap().comments[4].1, "two", "{keys}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_limit_concern_all_bugs() {
    let (fake, board) = start(board("Open", "new", None)).await;
    let site = site(&format!(
        "kind: jira, web: '{}/jira', token: old",
        fake.url()
    ));
    assert_eq!(
        facts(&site, "jira:OSP-44").await,
        Err(TrackerError::Unauthorized)
    );
    board.lock().unwrap().limited = true;
    let wait = Wait::Until("2026-11-22T10:00:00Z".parse().unwrap());
    let limited = TrackerError::Limited { status: 429, wait };
    assert_eq!(facts(&site, "jira:OSP-44").await, Err(limited));
}
