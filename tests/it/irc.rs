//! The IRC client against real servers, through a connection that breaks, and against one that lies.
//!
//! `tests/real/run ngircd inspircd -- irc::` starts the servers.

mod faults;
mod flood;
mod login;
mod peer;
mod proxy;
mod service;
mod talk;

use crate::skip;
use peer::Peer;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use whorl::note::chat::irc::{Channel, IrcClient, IrcHandle, Settings, Status, Tls};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server of `tests/real` is.
#[derive(Debug)]
struct Server {
    plain: u16,
    tls: u16,
    /// A port where flooding is punished (`InspIRCd` only).
    strict: u16,
    folder: PathBuf,
}

impl Server {
    /// ngIRCd: no SASL, nothing of `IRCv3`.
    fn ngircd() -> Option<Self> {
        Self::named("WHORL_NGIRCD", 3)
    }

    /// `InspIRCd` with Atheme: SASL, lines come back.
    fn inspircd() -> Option<Self> {
        Self::named("WHORL_INSPIRCD", 4)
    }

    fn named(variable: &str, parts: usize) -> Option<Self> {
        let Ok(value) = std::env::var(variable) else {
            skip(&format!("IRC against a real server: {variable} is not set"));
            return None;
        };
        let all: Vec<&str> = value.split(',').collect();
        assert_eq!(all.len(), parts, "{variable}={value}");
        Some(Self {
            plain: all[0].parse().unwrap(),
            tls: all[1].parse().unwrap(),
            strict: all[parts - 2].parse().unwrap(),
            folder: all[parts - 1].into(),
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Settings for a plain port, with little patience.
fn plain(port: u16, nick: &str, channels: &[&str]) -> Settings {
    let mut settings = Settings::new("127.0.0.1", nick);
    (settings.port, settings.tls) = (port, None);
    settings.channels = channels.iter().map(|name| Channel::new(*name)).collect();
    (settings.burst, settings.pace) = (50, Duration::from_millis(10));
    settings.timeout = Duration::from_secs(15);
    settings.first_delay = Duration::from_millis(50);
    settings.max_delay = Duration::from_millis(200);
    // ngIRCd slows down who asks in vain too often.
    settings.rejoin = Duration::from_millis(500);
    settings
}

/// The same over TLS, trusting the server's certificate.
fn encrypted(server: &Server, nick: &str, channels: &[&str]) -> Settings {
    let mut settings = plain(server.tls, nick, channels);
    settings.host = "localhost".into();
    settings.tls = Some(Tls {
        ca_file: Some(server.file("cert.pem")),
        identity: None,
    });
    settings
}

/// A client that stops when the test ends.
struct Client {
    handle: IrcHandle,
    _stop: DropGuard,
}

impl std::ops::Deref for Client {
    type Target = IrcHandle;

    fn deref(&self) -> &IrcHandle {
        &self.handle
    }
}

fn start(settings: Settings) -> Client {
    let stop = CancellationToken::new();
    let handle = IrcClient::start(settings, stop.clone()).unwrap();
    Client {
        handle,
        _stop: stop.drop_guard(),
    }
}

impl Client {
    /// Waits until the status is so.
    async fn is(&self, what: &str, wished: impl FnMut(&Status) -> bool) -> Status {
        let found = tokio::time::timeout(PATIENCE, self.until(wished)).await;
        match found {
            Ok(Some(status)) => status,
            _ => panic!("{what}: {:?}", self.status()),
        }
    }

    /// Waits until it is in so many channels.
    async fn in_channels(&self, n: usize) -> Status {
        self.is("in its channels", |status| status.joined().len() == n)
            .await
    }
}

/// A server of the test's own, for those that are killed or have a password.
struct Own {
    child: std::process::Child,
    port: u16,
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Own {
    /// An ngIRCd like the one that runs, on a port of its own.
    fn ngircd(server: &Server, password: Option<&str>) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let like = std::fs::read_to_string(server.file("ngircd.conf")).unwrap();
        let (like, _) = like.split_once("[SSL]").unwrap();
        let mut conf = String::new();
        for line in like.lines() {
            match line.trim_start().split_once('=') {
                Some((key, _)) if key.trim() == "Ports" => {
                    conf.extend(["  Ports = ", &port.to_string(), "\n"]);
                    if let Some(password) = password {
                        conf.extend(["  Password = ", password, "\n"]);
                    }
                }
                _ => conf.extend([line, "\n"]),
            }
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ngircd.conf"), conf).unwrap();
        let program = server.file("program");
        let child = Self::spawn(&program, folder.path());
        Self {
            child,
            port,
            folder,
            program,
        }
    }

    fn spawn(program: &Path, folder: &Path) -> std::process::Child {
        let mut command = std::process::Command::new(program);
        command
            .arg("--nodaemon")
            .arg("--config")
            .arg(folder.join("ngircd.conf"));
        let quiet = std::process::Stdio::null;
        command.stdin(quiet()).stdout(quiet()).stderr(quiet());
        command.spawn().unwrap()
    }

    /// As a crash does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        self.child = Self::spawn(&self.program, self.folder.path());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
