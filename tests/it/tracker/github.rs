//! GitHub: the documented REST API.

use super::fake::{Asked, Fake, Said};
use super::{Shared, bug, facts, shown, site};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use whorl::config::TrackerKind;
use whorl::event::BugStatus;
use whorl::tracker::{Comment, Fetched, TrackerError, Wait};

pub(crate) const TOKEN: &str = "ghp_secret";

/// Issues of `acme/tool` by number, with the comments that were written.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    pub(crate) issues: BTreeMap<u64, Value>,
    /// Number of the issue, author, text.
    pub(crate) comments: Vec<(u64, String, String)>,
    pub(crate) limited: bool,
    /// The token may not see pull requests.
    pub(crate) shy: bool,
}

fn refused(status: u16, message: &str) -> Said {
    Said::json(
        status,
        &json!({"message": message, "documentation_url": "https://docs"}),
    )
}

pub(crate) fn issue(number: u64, state: &str, reason: Option<&str>) -> Value {
    let closed = (state == "closed").then_some("2026-11-10T08:00:00Z");
    json!({"id": 1, "number": number, "title": format!("Bug {number}"), "state": state,
        "state_reason": reason, "html_url": format!("https://github.com/acme/tool/issues/{number}"),
        "updated_at": "2026-11-12T08:00:00Z", "closed_at": closed, "assignee": {"login": "ann"},
        "assignees": [{"login": "ann", "id": 3}], "comments": 0, "user": {"login": "bob"}})
}

/// The server: refuses what the real one refuses.
pub(crate) async fn start(hub: Hub) -> (Fake, Shared<Hub>) {
    let hub: Shared<Hub> = std::sync::Arc::new(hub.into());
    let inside = hub.clone();
    let fake =
        Fake::start(move |base, asked| answer(&mut inside.lock().unwrap(), base, asked)).await;
    (fake, hub)
}

fn answer(hub: &mut Hub, base: &str, asked: &Asked) -> Said {
    if asked.header("user-agent").is_none_or(str::is_empty) {
        let rule = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
        return Said::text(403, "text/html", rule);
    }
    if asked.header("accept") != Some("application/vnd.github+json") {
        return refused(415, "Unsupported 'Accept' header");
    }
    if asked.header("x-github-api-version") != Some("2022-11-28") {
        return refused(400, "version");
    }
    if hub.limited {
        return refused(403, "API rate limit exceeded for user ID 1.")
            .with("x-ratelimit-limit", "5000")
            .with("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", "1795200000");
    }
    let known = match asked.header("authorization") {
        None => false,
        Some(token) if token == format!("Bearer {TOKEN}") => true,
        Some(_) => return refused(401, "Bad credentials"),
    };
    let Some(path) = asked.below("/api/v3/") else {
        return refused(404, "Not Found");
    };
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["user"]) if known => Said::json(200, &json!({"login": "Whorl-Bot", "id": 9})),
        (_, ["user"]) => refused(401, "Requires authentication"),
        ("GET", ["repos", "acme", "tool", "issues", id]) => one(hub, base, asked, id),
        ("GET", ["repos", "acme", "tool", "issues", id, "timeline"]) => {
            timeline(hub, base, asked, id)
        }
        ("GET", ["repositories", "123", "issues", "80"]) => {
            Said::json(200, &issue(80, "open", None))
        }
        ("GET", ["repositories", "123", "issues", "80", "timeline"]) => Said::json(200, &json!([])),
        ("GET", ["repos", "acme", "tool", "issues", id, "comments"]) => {
            comments(hub, base, asked, id)
        }
        ("POST" | "PATCH", _) if !known => refused(401, "Requires authentication"),
        ("POST", ["repos", "acme", "tool", "issues", id, "comments"]) => match text(asked) {
            None => refused(422, "Validation Failed"),
            Some(text) => {
                hub.comments
                    .push((id.parse().unwrap(), "Whorl-Bot".into(), text));
                Said::json(201, &comment(hub, hub.comments.len() - 1))
            }
        },
        ("PATCH", ["repos", "acme", "tool", "issues", "comments", id]) => edit(hub, asked, id),
        _ => refused(404, "Not Found"),
    }
}

fn text(asked: &Asked) -> Option<String> {
    let text = asked.json()?.get("body")?.as_str()?.to_owned();
    (!text.is_empty()).then_some(text)
}

fn one(hub: &Hub, base: &str, asked: &Asked, id: &str) -> Said {
    if let Some(said) = gone(base, id, "") {
        return said;
    }
    let Some(issue) = id.parse().ok().and_then(|id: u64| hub.issues.get(&id)) else {
        return refused(404, "Not Found");
    };
    let etag = format!("W/\"{}-{}\"", id, issue["updated_at"].as_str().unwrap());
    if asked.header("if-none-match") == Some(&etag) {
        return Said::text(304, "application/json", "").with("etag", etag);
    }
    Said::json(200, issue)
        .with("etag", etag)
        .with("x-ratelimit-remaining", "4999")
}

/// Issue 8 was transferred, issue 9 was deleted.
fn gone(base: &str, id: &str, rest: &str) -> Option<Said> {
    match id {
        "8" => {
            let place = format!("{base}/api/v3/repositories/123/issues/80{rest}");
            let said = json!({"message": "Moved Permanently", "url": place});
            Some(Said::json(301, &said).with("location", place))
        }
        "9" => Some(refused(410, "This issue was deleted")),
        _ => None,
    }
}

/// A hundred and more happenings; those that count are at the end.
fn timeline(hub: &Hub, base: &str, asked: &Asked, id: &str) -> Said {
    if let Some(said) = gone(base, id, "/timeline") {
        return said;
    }
    if hub.shy {
        return refused(403, "Resource not accessible by personal access token");
    }
    let pull = |number: u64, state: &str, merged: Option<&str>| {
        let mut pull = issue(number, state, None);
        pull["html_url"] = format!("https://github.com/acme/tool/pull/{number}").into();
        pull["pull_request"] = json!({"url": "u", "merged_at": merged});
        json!({"event": "cross-referenced", "actor": {}, "source": {"type": "issue", "issue": pull}})
    };
    let mut all = vec![json!({"event": "labeled", "id": 1, "label": {"name": "x"}}); 101];
    // A commit has no `event` of its own in some versions.
    all.push(json!({"sha": "abc", "event": "committed", "message": "m"}));
    if hub.issues.contains_key(&7) && id == "7" {
        all.push(pull(71, "open", None));
        all.push(pull(71, "open", None));
        all.push(pull(72, "closed", Some("2026-11-01T00:00:00Z")));
        all.push(json!({"event": "cross-referenced", "source": {"type": "issue", "issue": issue(73, "open", None)}}));
    }
    paged(base, asked, &all)
}

fn paged(base: &str, asked: &Asked, all: &[Value]) -> Said {
    let number = |name: &str, usual: usize| asked.query(name).map_or(usual, |n| n.parse().unwrap());
    let (size, page) = (number("per_page", 30).min(100), number("page", 1));
    let rows: Vec<&Value> = all.iter().skip(size * (page - 1)).take(size).collect();
    let said = Said::json(200, &json!(rows));
    if size * page >= all.len() {
        return said;
    }
    let link = |page: usize| format!("<{base}{}?per_page={size}&page={page}>", asked.path);
    let last = all.len().div_ceil(size);
    said.with(
        "link",
        format!(
            "{}; rel=\"next\", {}; rel=\"last\"",
            link(page + 1),
            link(last)
        ),
    )
}

fn comment(hub: &Hub, at: usize) -> Value {
    let (_, author, text) = &hub.comments[at];
    json!({"id": 1000 + at, "body": text, "user": {"login": author, "id": 2}})
}

fn comments(hub: &Hub, base: &str, asked: &Asked, id: &str) -> Said {
    let id: u64 = id.parse().unwrap();
    let of = (0..hub.comments.len()).filter(|at| hub.comments[*at].0 == id);
    let all: Vec<Value> = of.map(|at| comment(hub, at)).collect();
    paged(base, asked, &all)
}

fn edit(hub: &mut Hub, asked: &Asked, id: &str) -> Said {
    let at = id.parse::<usize>().unwrap().wrapping_sub(1000);
    let (Some(one), Some(text)) = (hub.comments.get_mut(at), text(asked)) else {
        return refused(404, "Not Found");
    };
    if one.1 != "Whorl-Bot" {
        return refused(403, "Must have admin rights to Repository.");
    }
    one.2 = text;
    Said::json(200, &comment(hub, at))
}

pub(crate) fn hub(issues: Vec<Value>) -> Hub {
    let number = |issue: &Value| issue["number"].as_u64().unwrap();
    let issues = issues
        .into_iter()
        .map(|issue| (number(&issue), issue))
        .collect();
    Hub {
        issues,
        ..Hub::default()
    }
}

#[tokio::test]
async fn an_issue_is_read_with_the_reviews_that_name_it() {
    let (fake, _) = start(hub(vec![issue(7, "open", None)])).await;
    let site = site(&format!("kind: github, web: '{}'", fake.url()));
    assert_eq!(site.kind, TrackerKind::Github);
    let facts = facts(&site, "github:acme/tool#7").await.unwrap();
    insta::assert_snapshot!(shown(&fake, &facts));
    let pages: Vec<_> = fake
        .asked()
        .iter()
        .map(|one| one.query("page").map(str::to_owned))
        .collect();
    assert_eq!(
        pages,
        [None, None, Some("2".into())],
        "the timeline was read to its end"
    );
}

#[tokio::test]
async fn an_issue_is_read_though_its_reviews_may_not_be_seen() {
    let (fake, _) = start(Hub {
        shy: true,
        ..hub(vec![issue(7, "open", None)])
    })
    .await;
    let site = site(&format!("kind: github, web: '{}'", fake.url()));
    let facts = facts(&site, "github:acme/tool#7").await.unwrap();
    assert_eq!((facts.title.as_str(), facts.reviews.len()), ("Bug 7", 0));
}

#[tokio::test]
async fn every_state_has_its_status() {
    let mut merged = issue(5, "closed", None);
    merged["pull_request"] = json!({"merged_at": "2026-11-10T08:00:00Z"});
    let mut rejected = issue(6, "closed", None);
    rejected["pull_request"] = json!({"merged_at": null});
    let issues = vec![
        issue(1, "closed", Some("completed")),
        issue(2, "closed", Some("not_planned")),
        issue(3, "closed", None),
        issue(4, "open", Some("reopened")),
        merged,
        rejected,
        issue(10, "half-open", None),
    ];
    let (fake, _) = start(hub(issues)).await;
    let site = site(&format!("kind: github, web: '{}'", fake.url()));
    let mut found = Vec::new();
    for id in [1, 2, 3, 4, 5, 6, 10] {
        let facts = facts(&site, &format!("github:acme/tool#{id}"))
            .await
            .unwrap();
        found.push((facts.status, facts.word, facts.closed.is_some()));
    }
    let row = |status, word: &str, closed| (status, word.to_owned(), closed);
    assert_eq!(
        found,
        [
            row(BugStatus::Fixed, "closed (completed)", true),
            row(BugStatus::ClosedOtherwise, "closed (not planned)", true),
            row(BugStatus::Fixed, "closed", true),
            row(BugStatus::Open, "open", false),
            row(BugStatus::Fixed, "closed", true),
            row(BugStatus::ClosedOtherwise, "closed", true),
            row(BugStatus::Unknown, "half-open", false),
        ]
    );
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (fake, hub) = start(hub(vec![issue(7, "open", None)])).await;
    let site = site(&format!(
        "kind: github, web: '{}', token: {TOKEN}",
        fake.url()
    ));
    let bug = bug(&site, "github:acme/tool#7");
    let Fetched::Facts { validator, .. } = site.tracker.fetch(&bug, None).await.unwrap() else {
        panic!("nothing was known");
    };
    assert!(validator.is_some());
    fake.asked();
    let again = site
        .tracker
        .fetch(&bug, validator.as_deref())
        .await
        .unwrap();
    assert_eq!(again, Fetched::Unchanged);
    assert_eq!(fake.paths().len(), 1, "one request, and no timeline");
    hub.lock().unwrap().issues.get_mut(&7).unwrap()["updated_at"] = "2026-11-13T00:00:00Z".into();
    let changed = site
        .tracker
        .fetch(&bug, validator.as_deref())
        .await
        .unwrap();
    assert!(matches!(changed, Fetched::Facts { .. }));
}

#[tokio::test]
async fn moved_deleted_and_hidden_issues_are_told_apart() {
    let (fake, _) = start(hub(vec![issue(7, "open", None)])).await;
    let site = site(&format!("kind: github, web: '{}'", fake.url()));
    assert_eq!(
        facts(&site, "github:acme/tool#8").await.unwrap().title,
        "Bug 80"
    );
    assert_eq!(
        facts(&site, "github:acme/tool#9").await,
        Err(TrackerError::Gone)
    );
    assert_eq!(
        facts(&site, "github:acme/tool#99").await,
        Err(TrackerError::NotFound)
    );
    assert_eq!(
        facts(&site, "github:other/tool#7").await,
        Err(TrackerError::NotFound)
    );
}

#[tokio::test]
async fn a_wrong_token_and_a_limit_concern_all_bugs() {
    let (fake, hub) = start(hub(vec![issue(7, "open", None)])).await;
    let wrong = site(&format!(
        "kind: github, web: '{}', token: ghp_wrong",
        fake.url()
    ));
    let error = facts(&wrong, "github:acme/tool#7").await.unwrap_err();
    assert_eq!(error, TrackerError::Unauthorized);
    assert!(error.concerns_all() && !error.to_string().contains("ghp_"));
    assert!(!format!("{wrong:?}").contains("ghp_"));
    hub.lock().unwrap().limited = true;
    let site = site(&format!(
        "kind: github, web: '{}', token: {TOKEN}",
        fake.url()
    ));
    let error = facts(&site, "github:acme/tool#7").await.unwrap_err();
    let reset = jiff::Timestamp::from_second(1_795_200_000).unwrap();
    assert_eq!(
        error,
        TrackerError::Limited {
            status: 403,
            wait: Wait::Until(reset)
        }
    );
}

#[tokio::test]
async fn our_comment_is_found_among_many_and_never_that_of_somebody_else() {
    let mut hub = hub(vec![issue(7, "open", None)]);
    let marker = "<!-- whorl: hit counts -->";
    hub.comments
        .push((7, "mallory".into(), format!("{marker}\nmine")));
    hub.comments
        .extend((0..105).map(|n| (7, "ann".to_owned(), format!("comment {n}"))));
    let (fake, hub) = start(hub).await;
    let site = site(&format!(
        "kind: github, web: '{}', token: {TOKEN}",
        fake.url()
    ));
    assert_eq!(site.tracker.marker(), marker);
    let bug = bug(&site, "github:acme/tool#7");
    assert_eq!(site.tracker.own_comment(&bug).await.unwrap(), None);
    let id = site
        .tracker
        .add_comment(&bug, &format!("{marker}\none"))
        .await
        .unwrap();
    let found = site.tracker.own_comment(&bug).await.unwrap();
    assert_eq!(
        found,
        Some(Comment {
            id: id.clone(),
            text: format!("{marker}\none")
        })
    );
    site.tracker.edit_comment(&bug, &id, "two").await.unwrap();
    assert_eq!(hub.lock().unwrap().comments.last().unwrap().2, "two");
    let many = (0..2000).map(|n| (7, "ann".to_owned(), format!("before {n}")));
    hub.lock().unwrap().comments.splice(1..1, many);
    let lost = site.tracker.own_comment(&bug).await;
    assert_eq!(lost, Err(TrackerError::TooMany), "rather none than two");
    let theirs = site.tracker.edit_comment(&bug, "1000", "x").await;
    assert_eq!(theirs, Err(TrackerError::Denied));
    let gone = site.tracker.edit_comment(&bug, "4000", "x").await;
    assert_eq!(gone, Err(TrackerError::NotFound));
}
