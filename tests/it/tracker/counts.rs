//! The one comment with counts.

use super::fake::Trouble;
use super::github::{TOKEN, hub, issue, start};
use super::refresh::Bench;

const BUG: &str = "github:acme/tool#7";

fn sites(url: &str, counts: &str) -> String {
    format!("  sites:\n    - {{kind: github, web: '{url}', token: {TOKEN}, counts: {counts}}}\n")
}

#[tokio::test]
async fn one_comment_is_written_and_edited_when_the_counts_change() {
    let (fake, hub) = start(hub(vec![issue(7, "open", None)])).await;
    let bench = Bench::new(&sites(&fake.url(), "write"));
    assert_eq!(
        bench.round(&[BUG]).await.written,
        0,
        "nobody has seen it yet"
    );
    bench.hit(BUG, 60);
    bench.hit(BUG, 3 * 24 * 60);
    bench.hit(BUG, 20 * 24 * 60);
    bench.pass(30);
    assert_eq!(bench.round(&[BUG]).await.written, 1);
    insta::assert_snapshot!(hub.lock().unwrap().comments[0].2);
    fake.asked();
    bench.hit(BUG, 1);
    bench.pass(12 * 60);
    assert_eq!(bench.round(&[BUG]).await.written, 0, "at most once a day");
    bench.pass(12 * 60);
    assert_eq!(bench.round(&[BUG]).await.written, 1);
    let writes = fake.asked().into_iter().filter(|one| one.method != "GET");
    assert_eq!(writes.map(|one| one.method).collect::<Vec<_>>(), ["PATCH"]);
    // Two days later nothing has changed but that time has passed: first the counts, then nothing.
    bench.pass(2 * 24 * 60);
    bench.round(&[BUG]).await;
    bench.pass(24 * 60 + 1);
    bench.round(&[BUG]).await;
    fake.asked();
    bench.pass(24 * 60 + 1);
    assert_eq!(bench.round(&[BUG]).await.written, 0);
    assert!(fake.asked().iter().all(|one| one.method == "GET"));
    assert_eq!(hub.lock().unwrap().comments.len(), 1);
}

#[tokio::test]
async fn a_comment_is_found_again_when_the_state_is_lost_and_never_doubled() {
    let (fake, hub) = start(hub(vec![issue(7, "open", None)])).await;
    let mut bench = Bench::new(&sites(&fake.url(), "write"));
    let forged = "<!-- whorl: hit counts -->\nforged".to_owned();
    hub.lock()
        .unwrap()
        .comments
        .push((7, "mallory".into(), forged.clone()));
    bench.hit(BUG, 60);
    assert_eq!(bench.round(&[BUG]).await.written, 1);
    bench.restart(None, true);
    bench.hit(BUG, 60);
    assert_eq!(bench.round(&[BUG]).await.written, 0, "it says so already");
    bench.restart(None, true);
    bench.pass(24 * 60);
    bench.hit(BUG, 30);
    bench.hit(BUG, 31);
    assert_eq!(bench.round(&[BUG]).await.written, 1);
    let comments = hub.lock().unwrap().comments.clone();
    assert_eq!(comments.len(), 2, "{comments:#?}");
    assert_eq!(comments[0].2, forged);
}

#[tokio::test]
async fn nothing_is_written_unless_it_is_switched_on() {
    for counts in ["never", "dry-run"] {
        let (fake, hub) = start(hub(vec![issue(7, "open", None)])).await;
        let bench = Bench::new(&sites(&fake.url(), counts));
        bench.hit(BUG, 60);
        for _ in 0..3 {
            assert_eq!(bench.round(&[BUG]).await.written, 0, "{counts}");
            bench.pass(25 * 60);
        }
        assert!(
            fake.asked().iter().all(|one| one.method == "GET"),
            "{counts}"
        );
        assert!(hub.lock().unwrap().comments.is_empty());
        let row = bench.state.bug(BUG).unwrap().unwrap();
        assert_eq!(row.comment_at.is_some(), counts == "dry-run");
        assert_eq!(row.comment, None);
    }
}

#[tokio::test]
async fn a_comment_that_was_deleted_is_written_anew_and_a_failing_server_is_asked_again() {
    let (fake, hub) = start(hub(vec![issue(7, "open", None)])).await;
    let bench = Bench::new(&sites(&fake.url(), "write"));
    bench.hit(BUG, 60);
    bench.round(&[BUG]).await;
    hub.lock().unwrap().comments.clear();
    bench.pass(24 * 60);
    bench.hit(BUG, 1);
    bench.hit(BUG, 2);
    fake.trouble(Some(Trouble::Status(503, vec![])));
    assert_eq!(bench.round(&[BUG]).await.written, 0);
    fake.trouble(None);
    bench.pass(10);
    assert_eq!(bench.round(&[BUG]).await.written, 1);
    assert_eq!(hub.lock().unwrap().comments.len(), 1);
}
