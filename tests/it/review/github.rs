//! GitHub: a strict fake, and faults on the way to it.

use super::fake::{Fake, Reply};
use super::hub::{APP, Hub, KEY, REPOSITORY, SHA, TOKEN, message};
use super::{HOSTILE, TIMEOUT, note, refused, turned, until_said};
use crate::proxy::{Fault, Proxy};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;
use whorl::note::Then;
use whorl::note::review::{App, GitHub, GitHubAuth, GitHubSettings};
use whorl::state::Note;

fn settings(url: &Url, auth: GitHubAuth) -> GitHubSettings {
    GitHubSettings {
        url: url.clone(),
        auth,
        login: None,
        check_run: Some("whorl".into()),
        timeout: TIMEOUT,
    }
}

fn by_token(url: &Url) -> GitHub {
    GitHub::new(settings(url, GitHubAuth::Token(TOKEN.into()))).unwrap()
}

pub(super) fn by_app(url: &Url) -> GitHub {
    let app = App::new(APP.to_string(), KEY, None).unwrap();
    GitHub::new(settings(url, GitHubAuth::App(Box::new(app)))).unwrap()
}

fn known(generation: u64) -> Note {
    note(REPOSITORY, "7", SHA, generation)
}

fn bodies(fake: &Fake<Hub>) -> Vec<String> {
    let hub = fake.service.lock().unwrap();
    let body = |one: &Value| one["body"].as_str().unwrap().to_owned();
    hub.comments.iter().map(body).collect()
}

#[tokio::test]
async fn one_comment_is_made_and_then_edited() {
    let fake = Fake::start(Hub::new).await;
    let hub = by_token(&fake.url);
    let said = hub.say_now(&known(1)).await;
    insta::assert_snapshot!(bodies(&fake)[0].replace('\u{200b}', "[zw]"));
    // Said again with the number and without, as after a kill before it was recorded.
    let again = Note {
        remote: said.clone(),
        ..known(1)
    };
    assert_eq!(hub.say_now(&again).await, said);
    assert_eq!(hub.say_now(&known(1)).await, said);
    assert_eq!(fake.count("POST"), 1);
    assert_eq!(fake.count("PATCH"), 0);
    let second = Note {
        remote: said.clone(),
        ..known(2)
    };
    assert_eq!(hub.say_now(&second).await, said);
    // An older wish that comes late changes nothing.
    hub.say_now(&known(1)).await;
    let all = bodies(&fake);
    assert_eq!(all.len(), 1);
    assert!(all[0].contains(r#""generation":2"#), "{}", all[0]);
    // A token makes no check run.
    assert_eq!(fake.count("check-runs"), 0);
}

#[tokio::test]
async fn what_is_outdated_is_folded_and_what_was_wrong_is_withdrawn() {
    let fake = Fake::start(Hub::new).await;
    let hub = by_token(&fake.url);
    let nothing = turned(&known(1), "outdated");
    assert_eq!(hub.say_now(&nothing).await, None);
    assert!(
        bodies(&fake).is_empty(),
        "nothing was said, nothing is folded"
    );
    hub.say_now(&known(1)).await;
    // The head has moved: that is why it is folded.
    fake.service.lock().unwrap().pull["head"]["sha"] = json!("f".repeat(40));
    hub.say_now(&nothing).await;
    insta::assert_snapshot!(bodies(&fake)[0], @r#"
    <details><summary>About an older patchset</summary>

    Turned to outdated.

    </details>

    <!-- whorl-note: {"topic":"acme/shop.api/7/6dcb09b5b57875f334f61aebed695e2e4193db5e","generation":2} -->
    "#);
    hub.say_now(&turned(&nothing, "withdrawn")).await;
    let all = bodies(&fake);
    assert_eq!(all.len(), 1);
    assert!(
        all[0].starts_with("Turned to withdrawn.\n\n<!--"),
        "{}",
        all[0]
    );
}

#[tokio::test]
async fn the_note_is_found_on_any_page_and_only_if_it_is_ours() {
    let fake = Fake::start(Hub::new).await;
    let hub = by_token(&fake.url);
    hub.say_now(&known(1)).await;
    let ours = bodies(&fake)[0].clone();
    {
        let mut hub = fake.service.lock().unwrap();
        let ours = hub.comments.remove(0);
        for n in 0..205 {
            hub.comment("someone", &format!("comment {n}"));
        }
        hub.comments.insert(203, ours);
    }
    hub.say_now(&known(2)).await;
    assert_eq!(fake.count("POST"), 1);
    assert_eq!(fake.count("PATCH"), 1);
    // Somebody else's words with our marker are not ours; nor is a marker that is not at the end.
    let other = Fake::start(Hub::new).await;
    other.service.lock().unwrap().comment("someone", &ours);
    other
        .service
        .lock()
        .unwrap()
        .comment("whorl-bot", &format!("{ours}\nmore"));
    by_token(&other.url).say_now(&known(1)).await;
    assert_eq!(other.count("POST"), 1);
    // A comment that a person deleted is made again only when there is something new to say.
    fake.service.lock().unwrap().comments.clear();
    let gone = Note {
        remote: Some("1001".into()),
        ..known(3)
    };
    hub.say_now(&gone).await;
    assert_eq!(bodies(&fake).len(), 1);
}

#[tokio::test]
async fn nothing_is_said_on_an_outdated_head_or_a_closed_pull_request() {
    let fake = Fake::start(Hub::new).await;
    let hub = by_token(&fake.url);
    let refusal = refused(&hub, &note(REPOSITORY, "7", &"a".repeat(40), 1)).await;
    assert_eq!(refusal.then, Then::Drop, "{refusal:?}");
    fake.service.lock().unwrap().pull["state"] = json!("closed");
    assert_eq!(refused(&hub, &known(1)).await.then, Then::Drop);
    assert_eq!(fake.count("POST"), 0);
    fake.service.lock().unwrap().pull["merged_at"] = json!("2026-11-01T00:00:00Z");
    hub.say_now(&known(1)).await;
    assert_eq!(fake.count("POST"), 1);
    let mut strange = known(1);
    strange.json["project"] = json!("../etc");
    assert_eq!(refused(&hub, &strange).await.then, Then::Park);
    strange.json["project"] = json!("acme/other");
    let refusal = refused(&hub, &strange).await;
    assert_eq!(refusal.then, Then::Park);
    assert_eq!(
        refusal.error,
        "there is no acme/other#7, or the account may not see it"
    );
}

#[tokio::test]
async fn an_app_signs_in_once_and_makes_a_check_run_with_every_annotation_once() {
    let fake = Fake::start(Hub::new).await;
    let hub = by_app(&fake.url);
    let mut big = known(1);
    let one = big.json["builds"][0]["bugs"][0]["evidence"][0].clone();
    big.json["builds"][0]["bugs"][0]["evidence"] = json!(vec![one; 120]);
    // The last piece of the annotations does not get through the first time.
    fake.order(
        "PATCH /repos/acme/shop.api/check-runs",
        message(500, "oops"),
    );
    until_said(&hub, &big).await;
    hub.say_now(&big).await;
    assert_eq!(fake.count("access_tokens"), 1);
    assert_eq!(fake.count("GET /app"), 1);
    {
        let hub = fake.service.lock().unwrap();
        assert_eq!(hub.comments.len(), 1);
        assert_eq!(hub.comments[0]["user"]["login"], "whorl-app[bot]");
        assert_eq!(hub.runs.len(), 1);
        let run = &hub.runs[0];
        assert_eq!(run["output"]["annotations"].as_array().unwrap().len(), 120);
        assert_eq!(run["conclusion"], "neutral");
        assert_eq!(run["head_sha"], SHA);
        let annotation = &run["output"]["annotations"][119];
        assert_eq!(annotation["path"], "job-output.txt");
        assert_eq!(annotation["start_line"], 7);
        assert_eq!(annotation["raw_details"], HOSTILE);
        assert!(
            !run["output"]["summary"]
                .as_str()
                .unwrap()
                .contains("whorl-note")
        );
        insta::assert_snapshot!(run["output"]["title"].as_str().unwrap(), @"1 of 1 failed builds explained");
    }
    // Another generation is another run, the newest of its name.
    hub.say_now(&known(2)).await;
    let hub = fake.service.lock().unwrap();
    assert_eq!(hub.comments.len(), 1);
    assert_eq!(hub.runs.len(), 2);
}

#[tokio::test]
async fn a_token_that_ends_is_asked_for_again_and_a_right_that_is_missing_is_told() {
    let fake = Fake::start(Hub::new).await;
    fake.service.lock().unwrap().lifetime = jiff::SignedDuration::from_secs(100);
    let hub = by_app(&fake.url);
    hub.say_now(&known(1)).await;
    assert!(
        fake.count("access_tokens") > 1,
        "one that ends so soon is not kept"
    );
    fake.service.lock().unwrap().lifetime = jiff::SignedDuration::from_hours(1);
    hub.say_now(&known(2)).await;
    // Taken back before its time: the first refusal makes it forgotten.
    fake.service.lock().unwrap().tokens.clear();
    until_said(&hub, &known(3)).await;
    fake.service.lock().unwrap().app_may = false;
    let refusal = refused(&hub, &known(4)).await;
    assert_eq!(refusal.then, Then::Park);
    assert!(
        refusal.error.contains("not accessible by integration"),
        "{refusal:?}"
    );
    let wrong = App::new("1", KEY, None).unwrap();
    let wrong = GitHub::new(settings(&fake.url, GitHubAuth::App(Box::new(wrong)))).unwrap();
    let refusal = refused(&wrong, &known(5)).await;
    assert!(
        refusal.error.contains("Integration not found"),
        "{refusal:?}"
    );
    assert!(App::new("1", "no key", None).is_err());
}

#[tokio::test]
async fn haste_is_rested_for_as_long_as_it_is_asked() {
    let fake = Fake::start(Hub::new).await;
    let hub = by_token(&fake.url);
    let reset = (jiff::Timestamp::now().as_second() + 90).to_string();
    let limited = |status: u16, text: &str| message(status, text);
    fake.order("GET", limited(429, "x").with("Retry-After", "17"));
    fake.order(
        "GET",
        limited(403, "API rate limit exceeded")
            .with("X-RateLimit-Remaining", "0")
            .with("X-RateLimit-Reset", reset),
    );
    fake.order(
        "GET",
        limited(403, "You have exceeded a secondary rate limit."),
    );
    fake.order("GET", limited(403, "Resource not accessible"));
    let mut waits = Vec::new();
    for _ in 0..4 {
        waits.push(refused(&hub, &known(1)).await.then);
    }
    assert_eq!(waits[0], Then::Rest(Some(Duration::from_secs(17))));
    let Then::Rest(Some(wait)) = waits[1] else {
        panic!("{waits:?}")
    };
    assert!((85..=92).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(waits[2], Then::Rest(Some(Duration::from_secs(60))));
    assert_eq!(waits[3], Then::Park);
    hub.say_now(&known(1)).await;
}

#[tokio::test]
async fn broken_answers_are_refusals_with_clear_words_and_no_secrets() {
    let fake = Fake::start(Hub::new).await;
    let hub = by_token(&fake.url);
    let html = "<html><body>Sign in</body></html>";
    let elsewhere = "<http://127.0.0.1:1/x?page=2>; rel=\"next\"";
    let cases: Vec<(&str, Reply, Then)> = vec![
        (
            "GET",
            Reply::text(200, "text/html", html),
            Then::Again(None),
        ),
        (
            "GET",
            Reply::text(200, "application/json", "[1, 2"),
            Then::Again(None),
        ),
        (
            "GET",
            Reply::text(200, "application/json", "7"),
            Then::Again(None),
        ),
        ("GET", Reply::text(502, "text/html", html), Then::Rest(None)),
        (
            "comments",
            Reply::text(200, "x", "y".repeat(17 << 20)),
            Then::Park,
        ),
        (
            "comments",
            Reply::json(200, &json!([])).with("Link", elsewhere),
            Then::Again(None),
        ),
        (
            "GET",
            Reply::text(301, "x", "").with("Location", "http://127.0.0.1:1/"),
            Then::Park,
        ),
        ("GET", message(500, "oops"), Then::Again(None)),
        ("POST", message(422, "Validation Failed"), Then::Park),
        ("POST", message(410, "Issues are disabled"), Then::Park),
        (
            "POST",
            message(403, "Unable to create comment because issue is locked."),
            Then::Park,
        ),
    ];
    for (part, reply, then) in cases {
        let start: String = reply.body.chars().take(40).collect();
        fake.order(part, reply);
        let refusal = refused(&hub, &known(1)).await;
        assert_eq!(refusal.then, then, "{start}: {refusal:?}");
        assert!(
            !refusal.error.contains("html") && refusal.error.len() < 300,
            "{refusal:?}"
        );
    }
    assert!(bodies(&fake).is_empty());
    let wrong = GitHub::new(settings(&fake.url, GitHubAuth::Token("ghp_OTHER".into()))).unwrap();
    let refusal = refused(&wrong, &known(1)).await;
    insta::assert_snapshot!(refusal.error, @"does not take the credentials: answered 401 Unauthorized: Bad credentials Bearer …");
    assert!(matches!(refusal.then, Then::Rest(Some(_))));
    assert!(!format!("{wrong:?}{hub:?}").contains("ghp_"));
}

#[tokio::test]
async fn what_is_too_long_is_cut_and_says_so() {
    let fake = Fake::start(Hub::new).await;
    let mut long = known(1);
    long.text = format!(
        "head\n\n{}\nwhorl-note: {{}}",
        "- `many` words **here** @x\n".repeat(5_000)
    );
    by_token(&fake.url).say_now(&long).await;
    let body = &bodies(&fake)[0];
    assert!(body.len() > 60_000, "{}", body.len());
    assert!(body.contains("left out here for its length: <https://whorl.example/changes/1>"));
    assert!(body.ends_with("-->"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_two_comments_or_none() {
    let faults = [
        Fault::Refuse,
        Fault::Hang,
        Fault::Lose,
        Fault::Cut,
        Fault::HalfJson,
        Fault::Status(500, None),
        Fault::Status(429, Some(1)),
    ];
    for fault in &faults {
        for part in ["GET", "POST", "PATCH"] {
            let fake = Fake::start(Hub::new).await;
            let proxy = Proxy::to(&fake.url);
            let hub = by_token(&proxy.url());
            proxy.next_on(part, 2, fault.clone());
            until_said(&hub, &known(1)).await;
            until_said(&hub, &known(2)).await;
            let all = bodies(&fake);
            assert_eq!(all.len(), 1, "{fault:?} on {part}");
            assert!(all[0].contains(r#""generation":2"#), "{fault:?} on {part}");
            assert!(
                !proxy.done().is_empty(),
                "{fault:?} on {part} was never met"
            );
        }
    }
    // Any of them at any time, with check runs.
    let fake = Fake::start(Hub::new).await;
    let proxy = Proxy::to(&fake.url);
    let quick: Vec<Fault> = faults
        .iter()
        .filter(|f| **f != Fault::Hang)
        .cloned()
        .collect();
    proxy.storm(&quick, 25, 11);
    let hub = by_app(&proxy.url());
    for generation in 1..=5 {
        until_said(&hub, &known(generation)).await;
    }
    assert_eq!(bodies(&fake).len(), 1);
    let runs = fake.service.lock().unwrap().runs.len();
    assert_eq!(runs, 5, "one for each generation");
    assert!(proxy.done().values().sum::<u64>() > 5, "{:?}", proxy.done());
}

trait SayNow {
    async fn say_now(&self, note: &Note) -> Option<String>;
}

impl SayNow for GitHub {
    /// At the first try.
    async fn say_now(&self, note: &Note) -> Option<String> {
        let said = whorl::note::Target::say(self, note).await;
        said.unwrap().remote
    }
}
