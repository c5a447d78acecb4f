//! Limits of size, time and number.

use super::server::{Server, hang, head, ok};
use super::{Place, lines, local, named, settings};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use whorl::intake::download::{Answer, Budget, Cut, DownloadError, Request, Settings, Wanted};

#[tokio::test]
async fn an_endless_body_is_cut() {
    let server = Server::start(|_, out| {
        out.write_all(head("200 OK", "").as_bytes())?;
        loop {
            out.write_all(&[b'x'; 4096])?;
        }
    });
    let place = Place::with(Settings {
        max_bytes: 100_000,
        ..settings(local())
    });
    let got = place.get(&server.url("/x")).await;
    assert!(
        matches!(got.cut, Some(Cut::TooLarge { limit: 100_000 })),
        "{:?}",
        got.cut
    );
    assert_eq!(got.bytes, 100_000);
    assert!(!place.target().exists());
}

#[tokio::test]
async fn a_file_of_exactly_the_limit_is_whole() {
    let server = Server::start(|_, out| ok(out, &vec![b'x'; 100_000]));
    let place = Place::with(Settings {
        max_bytes: 100_000,
        ..settings(local())
    });
    assert!(place.get(&server.url("/x")).await.is_complete());
    let request = Request::new(server.url("/x")).at_most(99_999);
    assert!(!place.ask(&request).await.unwrap().is_complete());
}

#[tokio::test]
async fn all_files_of_a_build_have_one_budget() {
    let server = Server::start(|_, out| ok(out, &vec![b'x'; 60_000]));
    let place = Place::new();
    let budget = Budget::new(100_000);
    let request = Request::new(server.url("/x")).within(&budget);
    assert!(place.ask(&request).await.unwrap().is_complete());
    let second = place.ask(&request).await.unwrap();
    assert!(matches!(second.cut, Some(Cut::Budget { limit: 100_000 })));
    assert_eq!(second.bytes, 40_000);
}

#[tokio::test]
async fn an_end_without_a_length_is_told() {
    let server = Server::start(|_, out| {
        out.write_all(head("200 OK", "").as_bytes())?;
        out.write_all(b"is this all?\n")
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert!(got.is_complete() && !got.framed);
}

#[tokio::test]
async fn a_length_that_is_too_small_ends_the_file() {
    let server = Server::start(|_, out| {
        out.write_all(head("200 OK", "Content-Length: 5\r\n").as_bytes())?;
        out.write_all(b"abcdefgh")
    });
    let place = Place::new();
    let got = place.get(&server.url("/x")).await;
    assert_eq!((got.bytes, place.text()), (5, b"abcde".to_vec()));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    for begun in [false, true] {
        let server = Server::start(move |_, out| {
            if begun {
                out.write_all(head("200 OK", "Content-Length: 100\r\n").as_bytes())?;
                out.write_all(b"begun")?;
            }
            hang(out)
        });
        let place = Place::with(Settings {
            tries: 2,
            idle: Duration::from_millis(300),
            connect: Duration::from_millis(100),
            ..settings(local())
        });
        let start = Instant::now();
        let answer = place.try_get(&server.url("/x")).await;
        assert!(start.elapsed() < Duration::from_secs(10));
        match answer {
            Ok(got) => {
                assert!(begun && got.bytes == 5);
                assert!(matches!(
                    got.cut,
                    Some(Cut::Failed(DownloadError::Idle { .. }))
                ));
            }
            Err(error) => assert!(
                !begun && matches!(error, DownloadError::Idle { .. }),
                "{error}"
            ),
        }
        assert_eq!(server.count(), 2);
    }
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_time_for_the_whole() {
    let server = Server::start(|_, out| {
        out.write_all(head("200 OK", "Content-Length: 1000000\r\n").as_bytes())?;
        loop {
            out.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let place = Place::with(Settings {
        whole: Duration::from_millis(600),
        ..settings(local())
    });
    let start = Instant::now();
    let got = place.get(&server.url("/x")).await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(
        matches!(got.cut, Some(Cut::Failed(DownloadError::TooSlow { .. }))),
        "{:?}",
        got.cut
    );
    assert!(got.bytes > 0 && !got.is_complete());
}

#[tokio::test]
async fn one_hanging_host_holds_up_no_other() {
    let body = lines(2000);
    let sent = body.clone();
    let good = Server::start(move |_, out| ok(out, &sent));
    let bad = Server::start(|_, out| hang(out));
    let names = ["h0.test", "h1.test", "h2.test", "h3.test", "bad.test"];
    let place = Place::with(Settings {
        parallel: 8,
        per_host: 3,
        idle: Duration::from_secs(60),
        tries: 1,
        ..settings(named(&names))
    });
    let mut wanted = Vec::new();
    // The bad host's come first, more of them than there are places.
    for n in 0..100 {
        let url = if n < 20 {
            bad.at("bad.test", &format!("/{n}"))
        } else {
            good.at(names[n % 4], &format!("/{n}"))
        };
        let target = place.dir.path().join(n.to_string());
        let request = Request::new(url);
        wanted.push(Wanted { request, target });
    }
    let start = Instant::now();
    let mut downloads = place.downloader.start(wanted);
    for _ in 0..80 {
        let (n, answer) = downloads.next().await.unwrap();
        assert!(n >= 20, "a hanging one is done");
        assert!(matches!(answer, Ok(Answer::Fetched(got)) if got.is_complete()));
    }
    let took = start.elapsed();
    println!("80 files of 4 hosts beside one that hangs: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(bad.most() <= 3, "{} at once", bad.most());
    drop(downloads);
    let clean = tokio::time::timeout(Duration::from_secs(20), async {
        while place.files().len() != 80 {
            tokio::task::yield_now().await;
        }
    });
    clean.await.expect("what was under way leaves nothing");
}

#[tokio::test]
async fn a_host_takes_no_more_than_its_places() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |_, out| {
        let at_once = counted.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(at_once, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(10));
        // Before the answer: once the client has it, it may ask for the next.
        counted.fetch_sub(1, Ordering::SeqCst);
        ok(out, b"x")
    });
    let place = Place::with(Settings {
        parallel: 16,
        per_host: 2,
        ..settings(local())
    });
    let wanted = (0..20).map(|n| Wanted {
        request: Request::new(server.url(&format!("/{n}"))),
        target: place.dir.path().join(n.to_string()),
    });
    let all = place.downloader.fetch_all(wanted.collect()).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(server.count(), 20);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_queue_has_an_end() {
    let server = Server::start(|_, out| hang(out));
    let place = Place::with(Settings {
        per_host: 1,
        waiting: 3,
        tries: 1,
        idle: Duration::from_secs(60),
        ..settings(local())
    });
    let wanted = (0..10).map(|n| Wanted {
        request: Request::new(server.url("/x")),
        target: place.dir.path().join(n.to_string()),
    });
    let mut downloads = place.downloader.start(wanted.collect());
    for _ in 0..6 {
        let (_, answer) = downloads.next().await.unwrap();
        assert!(matches!(answer, Err(DownloadError::Busy { .. })));
    }
}

#[tokio::test]
async fn files_of_a_host_that_is_down_fail_soon() {
    let server = Server::start(|_, out| hang(out));
    let place = Place::with(Settings {
        per_host: 2,
        idle: Duration::from_millis(100),
        connect: Duration::from_millis(100),
        ..settings(local())
    });
    let wanted = (0..100).map(|n| Wanted {
        request: Request::new(server.url("/x")),
        target: place.dir.path().join(n.to_string()),
    });
    let start = Instant::now();
    let all = place.downloader.fetch_all(wanted.collect()).await;
    let took = start.elapsed();
    assert!(
        all.iter()
            .all(|one| matches!(one, Err(error) if error.is_temporary()))
    );
    // 100 files by 4 tries by 200 ms would be 40 s with two places.
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(server.count() < 20, "{}", server.count());
}
