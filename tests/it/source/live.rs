//! Gerrit's events as they come: a program in place of `ssh` and a small REST API that do all that
//! goes wrong, and a real Gerrit.

mod lab;
mod real;

use lab::{Lab, changed, event, failed, message};
use std::io::Write;

#[tokio::test]
async fn a_failure_is_announced_as_soon_as_it_is_heard() {
    let lab = Lab::new().await;
    let run = lab.start(|source| source.rest = None);
    let mut stream = lab.stream().await;
    stream.say(&event(1, 1, "zuul", &failed("a1")));
    lab.build("a1").await;
    stream.say(&event(1, 1, "ann", "recheck please"));
    stream.say(&event(1, 1, "whorl", "All failed builds are known."));
    stream.say(&changed(1, 2));
    stream.say(r#"{"type":"ref-updated","eventCreatedOn":1}"#);
    let said = lab.said().await;
    assert_eq!(
        (
            said.author.as_str(),
            said.text.as_str(),
            said.change.as_str()
        ),
        ("ann", "recheck please", "1")
    );
    lab.until("the patchset", || lab.patchsets() == 1).await;
    lab.until("all types", || run.types().len() == 3).await;
    assert_eq!(run.types()["ref-updated"], 1);
    let status = lab.status();
    assert_eq!(
        (status.connected, status.builds, status.not_understood),
        (true, 1, 0)
    );
    assert!(status.warning.unwrap().contains("no `rest`"));
    let call = lab.calls().remove(0);
    let wanted = "-T -p 29418 -o BatchMode=yes -o StrictHostKeyChecking=yes \
        -o ServerAliveInterval=20 -o ServerAliveCountMax=3 -o ConnectTimeout=20 -o LogLevel=VERBOSE \
        -o UserKnownHostsFile=/k/known -o IdentitiesOnly=yes -i /k/key whorl@review.example \
        gerrit stream-events -s comment-added -s patchset-created";
    assert_eq!(call, wanted);
    // Where the logs lie is kept with the build.
    let fetch = lab
        .state
        .take_fetches(jiff::Timestamp::now(), jiff::SignedDuration::ZERO, 9);
    let fetch = fetch.unwrap().remove(0);
    assert!(
        fetch
            .logs
            .contains(r#""kind":"root","url":"https://zuul.example/"#),
        "{}",
        fetch.logs
    );
    run.stop().await;
}

#[tokio::test]
async fn what_happens_between_two_connections_is_caught_up_once() {
    let lab = Lab::new().await;
    let run = lab.start(|_| ());
    let mut stream = lab.stream().await;
    let first = message("zuul", &failed("a1"), 0);
    lab.rest.change(1, std::slice::from_ref(&first));
    stream.say(&event(1, 1, "zuul", &failed("a1")));
    lab.build("a1").await;
    // It ends within a line; meanwhile more is written.
    stream.half(r#"{"type":"comment-added","#);
    lab.rest
        .change(1, &[first, message("zuul", &failed("b2"), 0)]);
    lab.rest.change(2, &[message("ann", "recheck", 0)]);
    drop(stream);
    let mut stream = lab.stream().await;
    lab.build("b2").await;
    assert_eq!(lab.said().await.text, "recheck");
    // The stream is late with what was caught up already.
    stream.say(&event(1, 1, "zuul", &failed("b2")));
    stream.say(&event(1, 1, "zuul", &failed("c3")));
    lab.build("c3").await;
    let asked = lab.rest.asked();
    lab.until("two more queries", || lab.rest.asked() > asked + 2)
        .await;
    run.stop().await;
    // As after a restart.
    let run = lab.start(|_| ());
    let asked = lab.rest.asked();
    lab.until("queries after the restart", || lab.rest.asked() > asked + 2)
        .await;
    let status = lab.status();
    assert_eq!(status.builds, 3, "{status:?}");
    assert!(lab.nothing_said());
    run.stop().await;
}

#[tokio::test]
async fn garbage_is_counted_and_what_it_may_have_hidden_is_asked_for() {
    let lab = Lab::new().await;
    // Nobody is to think that it is silent while it is only slow.
    let run = lab.start(|source| source.quiet = whorl::config::Period::seconds(5));
    let mut stream = lab.stream().await;
    lab.until("the first query", || lab.rest.asked() > 0).await;
    lab.rest.change(7, &[message("zuul", &failed("d4"), 0)]);
    let long = std::thread::spawn(move || {
        stream.say("nonsense \u{1b}[31m");
        stream.say("[]");
        // 100 MB without an end of line.
        let block = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            stream.file.write_all(&block).unwrap();
        }
        stream.say("");
        stream.say(&event(1, 1, "zuul", "Gibberish."));
        stream.say(&event(1, 1, "zuul", &failed("e5")));
        stream
    });
    lab.build("e5").await;
    lab.build("d4").await;
    let stream = long.join().unwrap();
    let status = lab.status();
    assert!(status.connected && status.not_understood >= 4, "{status:?}");
    assert!(status.last_not_understood.unwrap().contains("Gibberish"));
    drop(stream);
    run.stop().await;
    assert_eq!(lab.status().builds, 2);
}

#[tokio::test]
async fn a_stream_that_is_silent_though_something_happens_is_left() {
    let lab = Lab::new().await;
    let run = lab.start(|_| ());
    let _silent = lab.stream().await;
    lab.until("the gap is closed", || lab.rest.asked() > 3)
        .await;
    // Written long ago, and the stream says nothing.
    lab.rest.change(3, &[message("zuul", &failed("f6"), 20)]);
    lab.build("f6").await;
    lab.until("another connection", || lab.calls().len() == 2)
        .await;
    lab.until("it is connected again", || lab.status().connected)
        .await;
    assert!(lab.status().error.unwrap().contains("was silent"));
    assert_eq!(lab.status().builds, 1);
    run.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_let_us_in_is_tried_again_and_its_words_are_shown() {
    let lab = Lab::new().await;
    lab.plan("echo 'whorl@review.example: Permission denied (publickey).' >&2; exit 255");
    lab.rest.change(1, &[message("zuul", &failed("a1"), 0)]);
    let run = lab.start(|_| ());
    lab.until("some tries", || lab.calls().len() >= 3).await;
    let status = lab.status();
    assert!(!status.connected);
    assert_eq!(
        status.error.unwrap(),
        "the stream ended: whorl@review.example: Permission denied (publickey)."
    );
    // By HTTP something is heard nevertheless.
    lab.build("a1").await;
    lab.plan(lab::CAT);
    let _stream = lab.stream().await;
    lab.until("it is connected", || lab.status().connected)
        .await;
    run.stop().await;
}

#[tokio::test]
async fn a_rest_api_that_fails_holds_up_nothing_and_is_asked_again() {
    let lab = Lab::new().await;
    lab.rest.answer(lab::HANG);
    let run = lab.start(|_| ());
    let mut stream = lab.stream().await;
    lab.until("a question", || lab.rest.asked() == 1).await;
    stream.say(&event(1, 1, "zuul", &failed("aa")));
    lab.build("aa").await;
    assert_eq!(lab.rest.asked(), 1, "nobody waits for the answer");
    lab.rest.answer(503);
    lab.rest.change(9, &[message("zuul", &failed("b2"), 0)]);
    stream.say(&event(1, 1, "zuul", &failed("a1")));
    lab.build("a1").await;
    lab.until("a warning", || {
        lab.status().warning.is_some_and(|w| w.contains("503"))
    })
    .await;
    lab.rest.answer(200);
    lab.build("b2").await;
    lab.until("no warning", || lab.status().warning.is_none())
        .await;
    run.stop().await;
    assert_eq!(lab.status().builds, 3);
}

#[tokio::test]
async fn many_changes_come_page_by_page() {
    let lab = Lab::new().await;
    for number in 0..120 {
        lab.rest.change(
            number,
            &[message("zuul", &failed(&format!("{number:x}e")), 0)],
        );
    }
    let run = lab.start(|source| source.logs = whorl::config::LogsOf::None);
    let _stream = lab.stream().await;
    lab.until("all builds", || lab.status().builds == 120).await;
    let asked = lab.rest.asked();
    lab.until("more queries", || lab.rest.asked() > asked + 6)
        .await;
    assert_eq!(lab.status().builds, 120);
    assert_eq!(
        lab.completed(),
        120,
        "whose logs somebody else brings is looked at at once"
    );
    run.stop().await;
}

#[tokio::test]
async fn nothing_runs_on_after_the_stop() {
    let lab = Lab::new().await;
    lab.plan(&format!(
        "sleep 1000 & echo $! >\"$dir/child\"\n{}",
        lab::CAT
    ));
    let run = lab.start(|_| ());
    let _stream = lab.stream().await;
    let child = std::fs::read_to_string(lab.folder().join("child")).unwrap();
    let status = format!("/proc/{}/stat", child.trim());
    let lives = || std::fs::read_to_string(&status).is_ok_and(|text| !text.contains(") Z "));
    assert!(lives());
    run.stop().await;
    lab.until("its child is gone", || !lives()).await;
}
