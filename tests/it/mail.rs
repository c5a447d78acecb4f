//! Mail to a real SMTP server (`tests/real/start-smtp.sh`), and over a network that does what networks
//! do.

mod digests;
mod parse;
mod wire;

use crate::chat::{changed, note, say, tried};
use parse::Parsed;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use whorl::note::Then;
use whorl::note::mail::{Figures, Mail, Period, Rate, Security, Settings, digest};
use whorl::state::Note;
use wire::{Fault, Wire};

/// The server's ports and its folder.
struct Server {
    port: u16,
    folder: PathBuf,
}

fn server() -> Option<Server> {
    let Ok(text) = std::env::var("WHORL_SMTP") else {
        crate::skip("WHORL_SMTP is not set: no mail server");
        return None;
    };
    let (port, folder) = text.split_once(',').unwrap();
    Some(Server {
        port: port.parse().unwrap(),
        folder: folder.into(),
    })
}

impl Server {
    /// Everything that came for a subject, oldest first.
    fn mails(&self, subject: &str) -> Vec<Parsed> {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.join("mail/new"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
        let mails = files
            .iter()
            .map(|file| Parsed::new(&std::fs::read(file).unwrap()));
        mails
            .filter(|mail| mail.header("Subject").contains(subject))
            .collect()
    }

    fn settings(&self) -> Settings {
        Settings {
            host: "127.0.0.1".into(),
            port: self.port,
            security: Security::Plain,
            login: None,
            from: "whorl <whorl@example.org>".into(),
            to: vec!["team@example.org".into(), "Zoë <zoe@example.org>".into()],
            list_id: Some("whorl.example.org".into()),
            timeout: Duration::from_secs(5),
            ca: None,
        }
    }

    /// With TLS, as `localhost`.
    fn secure(&self, security: Security, login: Option<(&str, &str)>) -> Settings {
        let port = match security {
            Security::Plain => self.port,
            Security::StartTls => self.port + 1,
            Security::Tls => self.port + 2,
        };
        Settings {
            host: "localhost".into(),
            port,
            security,
            login: login.map(|(user, password)| (user.into(), password.into())),
            ca: Some(std::fs::read(self.folder.join("cert.pem")).unwrap()),
            ..self.settings()
        }
    }
}

/// A word that no other mail has.
fn word() -> String {
    format!("w{}", jiff::Timestamp::now().as_nanosecond())
}

/// A note with this subject.
fn about(subject: &str, text: &str) -> Note {
    let mut one = note(1, text);
    one.json["subject"] = subject.into();
    one
}

#[tokio::test]
async fn a_mail_arrives_in_both_forms() {
    let Some(server) = server() else { return };
    let word = word();
    let subject = format!("Größe 😀 {word}\r\nBcc: evil@example.org");
    let text = format!(
        "nova failed <b>\n.\n{}\nsee https://whorl.example/builds/u1?a=1&b=2 {word}",
        "long words ".repeat(20).trim_end()
    );
    let one = about(&subject, &text);
    let said = say(&Mail::new(server.settings()).unwrap(), &one)
        .await
        .unwrap();
    let mails = server.mails(&word);
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(
        mail.header("Subject"),
        format!("Größe 😀 {word} Bcc: evil@example.org")
    );
    assert_eq!(mail.header("Message-ID"), said.remote.unwrap());
    assert_eq!(mail.header("From"), "whorl <whorl@example.org>");
    assert!(mail.header("To").contains("team@example.org") && mail.header("To").contains("Zoë"));
    assert_eq!(mail.header("List-Id"), "<whorl.example.org>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(!mail.has("Bcc"));
    let [(plain, text), (html, page)] = &mail.parts[..] else {
        panic!("{:?}", mail.parts);
    };
    assert!(plain.starts_with("text/plain") && html.starts_with("text/html"));
    assert!(text.starts_with("nova failed <b>\n.\nlong words"), "{text}");
    let columns = text
        .lines()
        .filter(|l| !l.contains("://"))
        .map(str::len)
        .max();
    assert!(columns <= Some(76), "{text}");
    assert!(page.contains("nova failed &lt;b&gt;<br/>"), "{page}");
    assert!(
        page.contains("<a href=\"https://whorl.example/builds/u1?a=1&amp;b=2\">"),
        "{page}"
    );
}

#[tokio::test]
async fn a_repetition_is_the_same_mail_and_a_change_answers_it() {
    let Some(server) = server() else { return };
    let mail = Mail::new(server.settings()).unwrap();
    let word = word();
    let one = about(&word, "one job failed");
    let said = say(&mail, &one).await.unwrap();
    assert_eq!(say(&mail, &tried(&one)).await.unwrap(), said);
    let two = changed(&one, "two jobs failed", said.remote.as_deref());
    assert_eq!(say(&mail, &two).await.unwrap(), said);
    let mails = server.mails(&word);
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(mails[0].parts, mails[1].parts);
    assert_ne!(mails[0].header("Message-ID"), mails[2].header("Message-ID"));
    assert_eq!(
        mails[2].header("In-Reply-To"),
        mails[0].header("Message-ID")
    );
}

#[tokio::test]
async fn tls_and_passwords_are_what_they_should_be() {
    let Some(server) = server() else { return };
    let right = Some(("whorl", "right-password"));
    for settings in [
        server.secure(Security::StartTls, right),
        server.secure(Security::Tls, None),
    ] {
        let word = word();
        say(&Mail::new(settings).unwrap(), &about(&word, "x"))
            .await
            .unwrap();
        assert_eq!(server.mails(&word).len(), 1);
    }
    let word = word();
    let one = about(&word, "x");
    let wrong = server.secure(Security::StartTls, Some(("whorl", "wrong-password")));
    let wrong = Mail::new(wrong).unwrap();
    let refusal = say(&wrong, &one).await.unwrap_err();
    assert_eq!(refusal.then, Then::Park, "{refusal:?}");
    assert!(refusal.error.contains("535"), "{refusal:?}");
    assert!(!format!("{refusal:?}{wrong:?}").contains("wrong-password"));
    // A certificate that nobody vouches for, and one for another name.
    let unknown = Settings {
        ca: None,
        ..server.secure(Security::Tls, None)
    };
    assert!(say(&Mail::new(unknown).unwrap(), &one).await.is_err());
    // TLS that is not offered is not done without.
    let plain = Settings {
        port: server.port,
        ..server.secure(Security::StartTls, None)
    };
    let refusal = say(&Mail::new(plain).unwrap(), &one).await.unwrap_err();
    assert_eq!(refusal.then, Then::Park, "{refusal:?}");
    assert!(server.mails(&word).is_empty());
    let open = Settings {
        host: "mail.example.org".into(),
        security: Security::Plain,
        ..server.secure(Security::Plain, right)
    };
    assert_eq!(
        Mail::new(open).unwrap_err(),
        "a password is not sent without TLS"
    );
}

#[tokio::test]
async fn refusals_of_readers_mean_what_they_say() {
    let Some(server) = server() else { return };
    for (reader, then, wanted) in [
        ("who@refused.example", Then::Park, "550"),
        ("who@busy.example", Then::Again(None), "451"),
    ] {
        let settings = Settings {
            to: vec![reader.into()],
            ..server.settings()
        };
        let refusal = say(&Mail::new(settings).unwrap(), &note(1, "x"))
            .await
            .unwrap_err();
        assert_eq!(refusal.then, then, "{refusal:?}");
        assert!(refusal.error.contains(wanted), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_bad_network_loses_no_mail() {
    let Some(server) = server() else { return };
    let wire = Wire::to(server.port);
    let settings = Settings {
        port: wire.port,
        timeout: Duration::from_secs(2),
        ..server.settings()
    };
    let mail = Mail::new(settings).unwrap();
    for (fault, arrived) in [
        (Fault::Refuse, 0),
        (Fault::Hang, 0),
        (Fault::Reset, 0),
        (Fault::HalfGreeting, 0),
        (Fault::Endless, 0),
        (Fault::Busy(421), 0),
        (Fault::Busy(554), 0),
        // The mail is there and nobody knows: it comes again under the same name.
        (Fault::LoseLast, 1),
    ] {
        let word = word();
        let one = about(&word, "x");
        wire.next(fault);
        let began = Instant::now();
        let refusal = say(&mail, &one).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(8), "{fault:?}");
        let parked = fault == Fault::Busy(554);
        assert_eq!(refusal.then == Then::Park, parked, "{fault:?}: {refusal:?}");
        if fault == Fault::Busy(421) {
            assert_eq!(refusal.then, Then::Rest(None), "{refusal:?}");
        }
        say(&mail, &tried(&one)).await.unwrap();
        let mails = server.mails(&word);
        assert_eq!(mails.len(), 1 + arrived, "{fault:?}");
        let ids = mails.iter().map(|mail| mail.header("Message-ID"));
        assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 1);
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let away = Mail::new(Settings {
        port,
        ..server.settings()
    })
    .unwrap();
    let refusal = say(&away, &note(1, "x")).await.unwrap_err();
    assert_eq!(refusal.then, Then::Rest(None), "{refusal:?}");
}

#[tokio::test]
async fn a_digest_goes_out_as_it_was_composed() {
    let Some(server) = server() else { return };
    let figures = Figures {
        until: jiff::Timestamp::now(),
        rate: Rate {
            explained: 3,
            of: 4,
            interval: Some((0.3, 0.95)),
        },
        before: None,
        not_looked_at: 0,
        bugs: Vec::new(),
        bugs_total: 0,
        returned: Vec::new(),
        unexplained: Vec::new(),
        unexplained_total: 1,
        parked: Vec::new(),
        parked_total: 0,
        base_url: "https://whorl.example".into(),
    };
    let digest = digest(&figures, Period::Weekly).unwrap();
    let word = word();
    let mut one = note(1, &digest.text);
    one.json =
        serde_json::json!({"subject": format!("{} {word}", digest.subject), "html": digest.html});
    say(&Mail::new(server.settings()).unwrap(), &one)
        .await
        .unwrap();
    let mails = server.mails(&word);
    assert!(
        mails[0]
            .header("Subject")
            .starts_with("whorl, weekly: 3 of 4 failed builds explained")
    );
    assert_eq!(mails[0].parts[0].1.trim(), digest.text.trim());
    assert_eq!(mails[0].parts[1].1.trim(), digest.html.trim());
}

#[test]
fn addresses_that_are_none_are_refused() {
    let settings = |from: &str, to: &[&str], list: &str| Settings {
        host: "localhost".into(),
        port: 25,
        security: Security::Plain,
        login: None,
        from: from.into(),
        to: to.iter().map(|&one| one.to_owned()).collect(),
        list_id: Some(list.into()),
        timeout: Duration::from_secs(1),
        ca: None,
    };
    for wrong in [
        settings("whorl", &["a@b.example"], "a.b"),
        settings("a@b.example\r\nBcc: x@y.example", &["a@b.example"], "a.b"),
        settings("a@b.example", &["x <a@b.example>\n"], "a.b"),
        settings("a@b.example", &[], "a.b"),
        settings("a@b.example", &["a@b.example"], "a.b>\r\nX: y"),
    ] {
        assert!(Mail::new(wrong).is_err());
    }
    assert!(Mail::new(settings("a@b.example", &["a@b.example"], "a.b")).is_ok());
}
