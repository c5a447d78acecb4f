//! The API: paging, filters, broken answers, builds that appear late.

use super::fake::{Fake, Trouble, build};
use super::{AtWork, Home, config, until};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::tempdir;
use whorl::config::{Period, ZuulSource};
use whorl::source::Logs;
use whorl::source::zuul::Zuul;

const NAME: &str = "zuul";

/// One that asks often.
fn quick(fake: &Fake, rest: &str) -> ZuulSource {
    let mut config = config(&format!("url: '{}'{rest}", fake.url));
    config.every = Period(Duration::from_millis(20));
    config
}

fn start(fake: &Fake, rest: &str, home: &Home) -> AtWork {
    AtWork::start(Zuul::new(&quick(fake, rest)).unwrap(), home)
}

const SHOP: &str = ", tenants: [shop]";

/// Waits until so many more requests were answered.
async fn asked(fake: &Fake, more: usize) {
    let enough = fake.asked() + more;
    until("it is asked again", || fake.asked() >= enough).await;
}

#[tokio::test]
async fn pages_are_read_once_and_what_appears_late_is_found() {
    let (fake, folder) = (Fake::start().await, tempdir().unwrap());
    let home = Home::open(folder.path());
    let many = (0..25).map(|n| build(&format!("b{n}"), Some(600 + n), "FAILURE"));
    fake.change(|held| held.builds = many.collect());
    // It began long ago and still runs.
    fake.change(|held| held.builds.insert(3, build("slow", None, "")));
    let work = start(&fake, &format!("{SHOP}, page: 10"), &home);
    until("all are there", || home.announced(NAME) == 25).await;
    assert!(!home.has("slow"));
    fake.change(|held| held.builds[3] = build("slow", Some(630), "TIMED_OUT"));
    until("the slow one too", || home.has("slow")).await;
    asked(&fake, 10).await;
    assert_eq!(home.announced(NAME), 26, "each was new once");
    let fetch = home.desk.fetch_of("slow").await.unwrap().unwrap();
    let url = "https://logs.shop.example/slow/".to_owned();
    assert_eq!(fetch.logs, Logs::Root { url });
    let stored = home.state.build("b7").unwrap().unwrap().build;
    assert_eq!(
        (stored.change.as_deref(), stored.patchset.as_deref()),
        (Some("7"), Some("2"))
    );
    assert_eq!(stored.finished.unwrap().to_string(), "2026-01-02T10:07:00Z");
    work.stop().await;
    // After a restart nothing is new but what is new.
    fake.change(|held| held.builds.push(build("later", Some(640), "FAILURE")));
    let home = Home::open(folder.path());
    let work = start(&fake, &format!("{SHOP}, page: 10"), &home);
    until("the later one", || home.has("later")).await;
    asked(&fake, 10).await;
    assert_eq!(home.announced(NAME), 1);
    work.stop().await;
}

#[tokio::test]
async fn only_builds_that_count_are_announced() {
    let (fake, folder) = (Fake::start().await, tempdir().unwrap());
    let home = Home::open(folder.path());
    let words = [
        "SUCCESS",
        "FAILURE",
        "RETRY",
        "CANCELED",
        "RETRY_LIMIT",
        "NEW_WORD",
    ];
    fake.change(|held| {
        held.builds = words.map(|word| build(word, Some(600), word)).into();
        held.builds.push(build("elsewhere", Some(600), "FAILURE"));
        held.builds.last_mut().unwrap()["pipeline"] = json!("post");
        let mut lost = build("lost", Some(600), "NODE_FAILURE");
        lost["log_url"] = Value::Null;
        held.builds.push(lost);
    });
    let work = start(&fake, &format!("{SHOP}, pipelines: [check]"), &home);
    until("they are there", || home.announced(NAME) == 4).await;
    asked(&fake, 4).await;
    let there = |home: &Home| {
        words
            .iter()
            .filter(|word| home.has(word))
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(there(&home), ["FAILURE", "RETRY_LIMIT", "NEW_WORD"]);
    assert!(home.has("lost") && !home.has("elsewhere"));
    assert_eq!(
        *home.complete.lock().unwrap(),
        ["lost"],
        "it has no logs to wait for"
    );
    work.stop().await;
    let folder = tempdir().unwrap();
    let home = Home::open(folder.path());
    let work = start(
        &fake,
        &format!("{SHOP}, passed: true, retried: true"),
        &home,
    );
    until("these too", || home.announced(NAME) == 7).await;
    assert_eq!(
        there(&home),
        ["SUCCESS", "FAILURE", "RETRY", "RETRY_LIMIT", "NEW_WORD"]
    );
    assert!(
        home.desk.fetch_of("SUCCESS").await.unwrap().is_none(),
        "no logs of what passed"
    );
    work.stop().await;
}

#[tokio::test]
async fn trouble_is_said_and_nothing_is_lost() {
    for trouble in [
        Trouble::Hang,
        Trouble::Status(500),
        Trouble::Status(429),
        Trouble::Half,
        Trouble::Html,
        Trouble::WrongTypes,
    ] {
        let (fake, folder) = (Fake::start().await, tempdir().unwrap());
        let home = Home::open(folder.path());
        let many = (0..6).map(|n| build(&format!("b{n}"), Some(600 + n), "FAILURE"));
        fake.change(|held| {
            held.builds = many.collect();
            // The first page comes, the second does not.
            (held.trouble, held.good) = (Some(trouble), 1);
        });
        let mut config = quick(&fake, &format!("{SHOP}, page: 2"));
        config.timeout = Period(Duration::from_millis(300));
        let work = AtWork::start(Zuul::new(&config).unwrap(), &home);
        until("it is said", || home.error(NAME).is_some()).await;
        assert_eq!(home.announced(NAME), 2, "{trouble:?}");
        fake.change(|held| {
            held.trouble = None;
            held.builds.push(build("new", Some(610), "FAILURE"));
        });
        until("all are there", || home.announced(NAME) == 7).await;
        until("all is well", || home.error(NAME).is_none()).await;
        work.stop().await;
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_there_is_in_no_other_ones_way() {
    let (fake, folder) = (Fake::start().await, tempdir().unwrap());
    let home = Home::open(folder.path());
    fake.change(|held| held.builds = vec![build("b1", Some(600), "FAILURE")]);
    let work = start(&fake, ", tenants: [nowhere, shop]", &home);
    until("it is there", || home.has("b1")).await;
    until("it is said", || home.error(NAME).is_some()).await;
    let error = home.error(NAME).unwrap();
    assert_eq!(error, "tenant nowhere: status 404: Tenant does not exist.");
    work.stop().await;
}

#[tokio::test]
async fn one_tenant_alone_an_older_version_and_a_token() {
    let (fake, folder) = (Fake::start().await, tempdir().unwrap());
    let home = Home::open(folder.path());
    fake.change(|held| {
        held.builds = vec![build("b1", Some(600), "FAILURE"), build("runs", None, "")];
        held.builds.push(build("good", Some(600), "SUCCESS"));
        held.white_label = true;
        held.params
            .retain(|key| !["complete", "exclude_result"].contains(key));
        held.token = Some("hush-hush");
    });
    let work = start(&fake, ", token: '${TOKEN}'", &home);
    until("it is there", || home.has("b1")).await;
    assert!(!home.has("good") && !home.has("runs"));
    work.stop().await;
    let other = tempdir().unwrap();
    let home = Home::open(other.path());
    let work = start(&fake, "", &home);
    until("it is said", || home.error(NAME).is_some()).await;
    assert_eq!(
        home.error(NAME).unwrap(),
        "status 401: Authorization required"
    );
    work.stop().await;
}

#[tokio::test]
async fn a_buildset_says_what_a_list_leaves_out() {
    let (fake, folder) = (Fake::start().await, tempdir().unwrap());
    let home = Home::open(folder.path());
    fake.change(|held| {
        let mut bare = build("b1", Some(600), "FAILURE");
        let change = bare["ref"].take();
        held.buildsets = vec![
            json!({"uuid": "set1", "pipeline": "check", "result": "FAILURE",
            "refs": [change], "builds": [bare.clone()]}),
        ];
        held.builds = vec![bare];
    });
    let work = start(&fake, SHOP, &home);
    until("it is there", || home.has("b1")).await;
    let stored = home.state.build("b1").unwrap().unwrap().build;
    assert_eq!(stored.project.as_deref(), Some("shop/api"));
    assert_eq!(stored.change.as_deref(), Some("7"));
    work.stop().await;
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (fake, folder) = (Fake::start().await, tempdir().unwrap());
    let home = Home::open(folder.path());
    fake.change(|held| {
        held.builds = vec![build("b1", Some(600), "FAILURE")];
        held.etags = true;
    });
    let work = start(&fake, SHOP, &home);
    until("it is asked so", || fake.see(|held| held.not_modified) > 2).await;
    fake.change(|held| held.builds.push(build("b2", Some(601), "FAILURE")));
    // It is counted a moment after it is there.
    until("the new one is there", || {
        home.has("b2") && home.announced(NAME) > 1
    })
    .await;
    let asked = fake.see(|held| held.not_modified);
    until("it is asked so again", || {
        fake.see(|held| held.not_modified) > asked + 1
    })
    .await;
    assert_eq!(home.announced(NAME), 2);
    work.stop().await;
}
