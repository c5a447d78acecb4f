//! Whom a download may ask, and where it may be sent.

use super::server::{Server, ok, reply};
use super::{Place, named, settings};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use url::Url;
use whorl::intake::download::{DownloadError, Hosts, Settings};

fn at(address: &'static str) -> impl Fn(&str) -> std::io::Result<Vec<IpAddr>> {
    move |_| Ok(vec![address.parse().unwrap()])
}

fn hosts(public: &[&str], private: &[&str], address: &'static str) -> Hosts {
    let read = |list: &[&str]| list.iter().map(|host| host.parse().unwrap()).collect();
    Hosts {
        lookup: Some(Arc::new(at(address))),
        ..Hosts::listed(read(public), read(private))
    }
}

async fn refusal(hosts: Hosts, url: &Url) -> String {
    let place = Place::with(settings(hosts));
    let error = place.try_get(url).await.unwrap_err();
    assert!(matches!(error, DownloadError::Refused(_)), "{error}");
    assert!(!error.is_temporary());
    error.to_string()
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_not_asked() {
    let server = Server::start(|_, out| ok(out, b"secret"));
    let port = server.address.port();
    let list = || hosts(&["logs.test:*"], &[], "127.0.0.1");
    assert_eq!(
        refusal(list(), &server.url("/x?token=1")).await,
        format!(
            "http://127.0.0.1:{port}/x: refused: `127.0.0.1:{port}` is not listed; add it to `download.hosts` to allow it"
        )
    );
    assert!(
        refusal(list(), &server.at("other.test", "/x"))
            .await
            .contains("`other.test:")
    );
    let user = Url::parse(&format!("http://u:s3cret@logs.test:{port}/x")).unwrap();
    let said = refusal(list(), &user).await;
    assert!(
        said.contains("a user or password") && !said.contains("s3cret"),
        "{said}"
    );
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_listed_name_that_stands_for_a_private_address_is_not_asked() {
    let server = Server::start(|_, out| ok(out, b"secret"));
    let url = server.at("logs.test", "/x");
    let said = refusal(hosts(&["logs.test:*"], &[], "127.0.0.1"), &url).await;
    assert_eq!(
        said,
        "logs.test: refused: its address 127.0.0.1 is loopback; add the name to `download.private-hosts` to allow it"
    );
    assert_eq!(server.count(), 0);
    for address in [
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "10.0.0.1",
        "100.64.0.1",
        "fd00::1",
    ] {
        let said = refusal(hosts(&["*.test:*"], &[], address), &url).await;
        assert!(said.contains("download.private-hosts"), "{said}");
    }
    for address in ["169.254.169.254", "0.0.0.0", "fe80::1", "ff02::1"] {
        let said = refusal(hosts(&["logs.test:*"], &["logs.test:*"], address), &url).await;
        assert!(said.contains("listed itself in `download.hosts`"), "{said}");
    }
    let place = Place::with(settings(hosts(&[], &["logs.test:*"], "127.0.0.1")));
    place.get(&url).await;
    assert_eq!(server.count(), 1, "listed as one of the own network");
}

#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let server = Server::start(|_, out| ok(out, b"secret"));
    let looked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looked);
    // Public the first time, which is what a check beforehand would see; loopback afterwards.
    let lookup = move |_: &str| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if first { "192.0.2.1" } else { "127.0.0.1" };
        Ok(vec![address.parse().unwrap()])
    };
    let list = Hosts {
        lookup: Some(Arc::new(lookup)),
        ..Hosts::listed(vec!["logs.test:*".parse().unwrap()], Vec::new())
    };
    let place = Place::with(settings(list));
    for _ in 0..3 {
        assert!(place.try_get(&server.at("logs.test", "/x")).await.is_err());
    }
    assert_eq!(server.count(), 0);
    assert!(looked.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn of_many_addresses_only_the_good_ones_are_used() {
    let server = Server::start(|_, out| ok(out, b"x"));
    let list = Hosts {
        lookup: Some(Arc::new(|_| {
            Ok(vec![
                "169.254.169.254".parse().unwrap(),
                "127.0.0.1".parse().unwrap(),
            ])
        })),
        ..Hosts::listed(Vec::new(), vec!["logs.test:*".parse().unwrap()])
    };
    let place = Place::with(settings(list));
    let got = place.get(&server.at("logs.test", "/x")).await;
    assert_eq!(got.tries, 1);
}

#[tokio::test]
async fn each_redirect_is_looked_at() {
    let inner = Server::start(|_, out| ok(out, b"secret"));
    let port = inner.address.port();
    let server = Server::start(move |request, out| {
        let to = request.query.replace("PORT", &port.to_string());
        reply(out, "302 Found", &format!("Location: {to}\r\n"), b"")
    });
    let targets = [
        ("http://127.0.0.1:PORT/x", "is not listed"),
        ("http://169.254.169.254/latest/meta-data/", "is not listed"),
        ("http://[::ffff:127.0.0.1]:PORT/x", "is not listed"),
        ("//2130706433:PORT/x", "is not listed"),
        ("http://inner.test:PORT/x", "is loopback"),
        ("http://u:p@logs.test:PORT/x", "a user or password"),
        ("file:///etc/passwd", "only http and https"),
        ("gopher://logs.test/", "only http and https"),
    ];
    for (target, why) in targets {
        let list = Hosts {
            public: vec!["inner.test:*".parse().unwrap()],
            ..named(&["logs.test"])
        };
        let said = refusal(list, &server.at("logs.test", &format!("/?{target}"))).await;
        assert!(said.contains(why), "{target}: {said}");
    }
    assert_eq!(inner.count(), 0);
}

#[tokio::test]
async fn what_the_user_typed_may_be_private_and_redirects_may_not() {
    let inner = Server::start(|_, out| ok(out, b"secret"));
    let to = inner.at("localhost", "/x").to_string();
    let server = Server::start(move |request, out| match request.path.as_str() {
        "/out" => reply(out, "302 Found", &format!("Location: {to}\r\n"), b""),
        "/meta" => reply(
            out,
            "302 Found",
            "Location: http://169.254.169.254/\r\n",
            b"",
        ),
        "/here" => reply(out, "302 Found", "Location: /log\r\n", b""),
        _ => ok(out, b"log"),
    });
    let typed = server.url("/here");
    let list = || Hosts::typed([&typed]);
    Place::with(settings(list())).get(&typed).await;
    for path in ["/out", "/meta"] {
        let said = refusal(list(), &server.url(path)).await;
        assert!(said.contains("a redirect must not lead there"), "{said}");
    }
    assert_eq!(inner.count(), 0);
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|request, out| {
        let more = format!("Location: /x{}\r\n", request.number);
        reply(out, "302 Found", &more, b"")
    });
    let place = Place::with(Settings {
        redirects: 4,
        ..settings(named(&["logs.test"]))
    });
    let error = place
        .try_get(&server.at("logs.test", "/x"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, DownloadError::Redirects { limit: 4, .. }),
        "{error}"
    );
    assert_eq!(server.count(), 5);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_told() {
    for more in ["", "Location: http://\r\n", "Location: http://[x/\r\n"] {
        let server = Server::start(move |_, out| reply(out, "302 Found", more, b""));
        let place = Place::with(settings(named(&["logs.test"])));
        let error = place
            .try_get(&server.at("logs.test", "/x"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, DownloadError::BadRedirect { .. }),
            "{error}"
        );
    }
}

#[test]
fn an_authority_that_is_none_is_told() {
    for pem in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let made = whorl::intake::download::Downloader::new(Settings {
            ca: Some(pem.to_owned()),
            ..settings(named(&[]))
        });
        assert!(matches!(made, Err(DownloadError::Client(_))), "{pem:?}");
    }
}
