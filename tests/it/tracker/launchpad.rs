//! Launchpad: the web service of linked resources, as its documentation and its source say it is.

use super::fake::{Asked, Fake, Said};
use super::{Shared, bug, facts, shown, site};
use serde_json::{Value, json};
use whorl::event::BugStatus;
use whorl::tracker::{Comment, Fetched, TrackerError};

const KEYS: &str = "user: whorl, token: tok, token-secret: 'se cret'";

#[derive(Debug, Default)]
struct Pad {
    /// Tasks of bug 1182131: target, status, assignee, date of closing.
    tasks: Vec<(
        &'static str,
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
    )>,
    updated: &'static str,
    /// Author and text.
    messages: Vec<(String, String)>,
    nonces: Vec<String>,
}

async fn start(pad: Pad) -> (Fake, Shared<Pad>) {
    let pad: Shared<Pad> = std::sync::Arc::new(pad.into());
    let inside = pad.clone();
    let fake =
        Fake::start(move |base, asked| answer(&mut inside.lock().unwrap(), base, asked)).await;
    (fake, pad)
}

fn pad() -> Pad {
    Pad {
        tasks: vec![
            (
                "nova",
                "Fix Released",
                Some("ann"),
                Some("2026-11-01T10:00:00.123456+00:00"),
            ),
            ("neutron", "In Progress", Some("bob"), None),
            (
                "neutron/kilo",
                "Won't Fix",
                None,
                Some("2026-11-02T10:00:00+00:00"),
            ),
        ],
        updated: "2026-11-12T08:00:00.654321+00:00",
        messages: vec![("reporter".into(), "It breaks".into())],
        nonces: Vec::new(),
    }
}

fn plain(status: u16, text: &str) -> Said {
    Said::text(status, "text/plain", text)
}

/// True for a signed request, an answer for one that is signed wrongly.
fn signed(pad: &mut Pad, asked: &Asked) -> Result<bool, Said> {
    let Some(header) = asked.header("authorization") else {
        return Ok(false);
    };
    let Some(fields) = header.strip_prefix("OAuth ") else {
        return Err(plain(401, "Invalid authorization"));
    };
    let field = |name: &str| {
        let all = fields
            .split(',')
            .filter_map(|one| one.trim().split_once('='));
        let found = all.into_iter().find(|(key, _)| *key == name);
        found
            .map(|(_, value)| value.trim_matches('"').to_owned())
            .unwrap_or_default()
    };
    let wanted = [
        ("oauth_consumer_key", "whorl"),
        ("oauth_token", "tok"),
        ("oauth_signature_method", "PLAINTEXT"),
        ("oauth_signature", "%26se%2520cret"),
    ];
    if wanted.iter().any(|(name, value)| field(name) != *value) {
        return Err(plain(401, "Unknown access token (tok)."));
    }
    let nonce = field("oauth_nonce");
    let age = jiff::Timestamp::now().as_second() - field("oauth_timestamp").parse::<i64>().unwrap();
    if nonce.is_empty() || pad.nonces.contains(&nonce) || age.abs() > 60 {
        return Err(plain(401, "This nonce has been used already."));
    }
    pad.nonces.push(nonce);
    Ok(true)
}

fn answer(pad: &mut Pad, base: &str, asked: &Asked) -> Said {
    let known = match signed(pad, asked) {
        Ok(known) => known,
        Err(said) => return said,
    };
    let Some(path) = asked.below("/devel/") else {
        return plain(404, "Object: <Root>, name: unknown");
    };
    let me = format!("{base}/devel/~whorl-bot");
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["people", "+me"]) if known => plain(303, "").with("location", me),
        ("GET", ["~whorl-bot"]) => Said::json(200, &json!({"self_link": me, "name": "whorl-bot"})),
        ("GET", ["people", "+me"]) => plain(401, "You need to be logged in to view this URL."),
        ("GET", ["bugs", "1182131"]) => entry(pad, base, asked),
        ("GET", ["bugs", "666"]) => plain(401, "(<Bug at 0x7f>, 'title', 'launchpad.View')"),
        ("GET", ["bugs", "1182131", "bug_tasks"]) => paged(base, asked, &tasks(pad, base)),
        ("GET", ["bugs", "1182131", "linked_merge_proposals"]) => paged(base, asked, &proposals()),
        ("GET", ["bugs", "1182131", "messages"]) => paged(base, asked, &messages(pad, base)),
        ("POST", _) if !known => plain(401, "(<Bug at 0x7f>, 'newMessage', 'launchpad.AnyPerson')"),
        ("POST", ["bugs", "1182131"]) => {
            match (asked.form("ws.op").as_deref(), asked.form("content")) {
                (Some("newMessage"), Some(text)) => {
                    pad.messages.push(("whorl-bot".into(), text));
                    let at = pad.messages.len() - 1;
                    plain(201, "").with(
                        "location",
                        format!("{base}/devel/nova/+bug/1182131/comments/{at}"),
                    )
                }
                (Some("newMessage"), None) => plain(400, "content: Required input is missing."),
                (op, _) => plain(
                    400,
                    &format!("No such operation: {}", op.unwrap_or_default()),
                ),
            }
        }
        ("POST", ["nova", "+bug", "1182131", "comments", at]) => edit(pad, asked, at),
        _ => plain(404, "Object: <BugSet>, name: unknown"),
    }
}

fn edit(pad: &mut Pad, asked: &Asked, at: &str) -> Said {
    let Some(one) = pad.messages.get_mut(at.parse::<usize>().unwrap()) else {
        return plain(404, "Object: <Bug>, name: unknown");
    };
    let (Some("editContent"), Some(text)) =
        (asked.form("ws.op").as_deref(), asked.form("new_content"))
    else {
        return plain(400, "new_content: Required input is missing.");
    };
    if one.0 != "whorl-bot" {
        return plain(401, "(<Message at 0x7f>, 'editContent', 'launchpad.Edit')");
    }
    one.1 = text;
    Said::json(200, &Value::Null)
}

fn entry(pad: &Pad, base: &str, asked: &Asked) -> Said {
    let etag = format!("\"{}\"", pad.updated);
    if asked.header("if-none-match") == Some(&etag) {
        return plain(304, "").with("etag", etag);
    }
    let link = |name: &str| format!("{base}/devel/bugs/1182131/{name}");
    let body = json!({"id": 7, "title": "Security group\n\u{202e}races", "private": false,
        "web_link": "https://bugs.launchpad.net/bugs/1182131", "date_last_updated": pad.updated,
        "bug_tasks_collection_link": link("bug_tasks"), "messages_collection_link": link("messages"),
        "linked_merge_proposals_collection_link": link("linked_merge_proposals"),
        "http_etag": etag, "resource_type_link": format!("{base}/devel/#bug")});
    Said::json(200, &body).with("etag", etag)
}

/// Two entries on each page.
fn paged(base: &str, asked: &Asked, all: &[Value]) -> Said {
    let start: usize = asked.query("ws.start").map_or(0, |n| n.parse().unwrap());
    let rows: Vec<&Value> = all.iter().skip(start).take(2).collect();
    let mut body = json!({"start": start, "total_size": all.len(), "entries": rows});
    if start + 2 < all.len() {
        let next = format!("{base}{}?ws.start={}&ws.size=2", asked.path, start + 2);
        body["next_collection_link"] = next.into();
    }
    Said::json(200, &body)
}

fn tasks(pad: &Pad, base: &str) -> Vec<Value> {
    let one = |(target, status, assignee, closed): &(&str, &str, Option<&str>, Option<&str>)| {
        let assignee = assignee.map(|name| format!("{base}/devel/~{name}"));
        json!({"status": status, "bug_target_name": target, "assignee_link": assignee,
            "date_closed": closed, "importance": "High", "is_complete": closed.is_some()})
    };
    pad.tasks.iter().map(one).collect()
}

fn proposals() -> Vec<Value> {
    let one = |n: u32, status: &str| {
        json!({"queue_status": status, "description": format!("Fix {n}\n\nMore"),
            "web_link": format!("https://code.launchpad.net/~ann/nova/+merge/{n}")})
    };
    vec![
        one(1, "Merged"),
        one(2, "Needs review"),
        one(3, "Rejected"),
        one(4, "Work in progress"),
    ]
}

fn messages(pad: &Pad, base: &str) -> Vec<Value> {
    let one = |(at, (who, text)): (usize, &(String, String))| {
        json!({"self_link": format!("{base}/devel/nova/+bug/1182131/comments/{at}"), "content": text,
            "owner_link": format!("{base}/devel/~{who}"), "subject": "s"})
    };
    pad.messages.iter().enumerate().map(one).collect()
}

#[tokio::test]
async fn a_bug_is_read_with_all_its_tasks_and_proposals() {
    let (fake, _) = start(pad()).await;
    let site = site(&format!("kind: launchpad, api: '{}/devel'", fake.url()));
    let facts = facts(&site, "launchpad:1182131").await.unwrap();
    insta::assert_snapshot!(shown(&fake, &facts));
}

#[tokio::test]
async fn a_bug_is_as_closed_as_its_least_closed_task() {
    let (fake, pad) = start(pad()).await;
    let site = site(&format!("kind: launchpad, api: '{}/devel'", fake.url()));
    let cases = [
        (vec!["New"], BugStatus::Open),
        (vec!["Incomplete", "Fix Released"], BugStatus::Open),
        (vec!["Fix Committed", "New"], BugStatus::InProgress),
        (vec!["Fix Released", "Invalid"], BugStatus::Fixed),
        (
            vec!["Invalid", "Opinion", "Expired"],
            BugStatus::ClosedOtherwise,
        ),
        (vec!["Sleeping"], BugStatus::Unknown),
    ];
    for (words, wanted) in cases {
        let day = Some("2026-11-01T10:00:00+00:00");
        pad.lock().unwrap().tasks = words
            .iter()
            .map(|word| ("nova", *word, None, day))
            .collect();
        let facts = facts(&site, "launchpad:1182131").await.unwrap();
        assert_eq!(facts.status, wanted, "{words:?}");
        assert_eq!(facts.closed.is_some(), wanted.closed(), "{words:?}");
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (fake, pad) = start(pad()).await;
    let site = site(&format!(
        "kind: launchpad, api: '{}/devel', {KEYS}",
        fake.url()
    ));
    let bug = bug(&site, "launchpad:1182131");
    let Fetched::Facts { validator, .. } = site.tracker.fetch(&bug, None).await.unwrap() else {
        panic!("nothing was known");
    };
    fake.asked();
    let again = site
        .tracker
        .fetch(&bug, validator.as_deref())
        .await
        .unwrap();
    assert_eq!(again, Fetched::Unchanged);
    assert_eq!(fake.paths(), ["GET /devel/bugs/1182131"]);
    pad.lock().unwrap().updated = "2026-11-13T08:00:00+00:00";
    let changed = site
        .tracker
        .fetch(&bug, validator.as_deref())
        .await
        .unwrap();
    assert!(matches!(changed, Fetched::Facts { .. }));
}

#[tokio::test]
async fn a_private_bug_does_not_stop_the_others_but_a_wrong_token_does() {
    let (fake, _) = start(pad()).await;
    let api = format!("kind: launchpad, api: '{}/devel'", fake.url());
    let with = site(&format!("{api}, {KEYS}"));
    assert_eq!(
        facts(&with, "launchpad:666").await,
        Err(TrackerError::Denied)
    );
    assert_eq!(
        facts(&site(&api), "launchpad:666").await,
        Err(TrackerError::Denied)
    );
    assert_eq!(
        facts(&with, "launchpad:3").await,
        Err(TrackerError::NotFound)
    );
    let wrong = site(&format!("{api}, user: whorl, token: old, token-secret: s"));
    assert_eq!(
        facts(&wrong, "launchpad:1182131").await,
        Err(TrackerError::Unauthorized)
    );
}

#[tokio::test]
async fn our_comment_is_written_found_and_edited() {
    let (fake, pad) = start(pad()).await;
    let site = site(&format!(
        "kind: launchpad, api: '{}/devel', {KEYS}",
        fake.url()
    ));
    let (bug, marker) = (bug(&site, "launchpad:1182131"), site.tracker.marker());
    let text = format!("{marker}\ncounts: 1 & 2 = 50 %");
    for n in 0..4 {
        pad.lock()
            .unwrap()
            .messages
            .push(("ann".into(), format!("{n} {marker}")));
    }
    assert_eq!(site.tracker.own_comment(&bug).await.unwrap(), None);
    let id = site.tracker.add_comment(&bug, &text).await.unwrap();
    let found = site.tracker.own_comment(&bug).await.unwrap();
    assert_eq!(
        found,
        Some(Comment {
            id: id.clone(),
            text
        })
    );
    site.tracker.edit_comment(&bug, &id, "two").await.unwrap();
    assert_eq!(pad.lock().unwrap().messages.last().unwrap().1, "two");
    let elsewhere = "https://evil.example.org/devel/nova/+bug/1182131/comments/1";
    let error = site
        .tracker
        .edit_comment(&bug, elsewhere, "x")
        .await
        .unwrap_err();
    assert_eq!(error, TrackerError::Elsewhere("evil.example.org".into()));
}
