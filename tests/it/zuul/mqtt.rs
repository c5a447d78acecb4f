//! The MQTT reporter's messages, through a real Mosquitto.

use super::{AtWork, Home, config, until};
use crate::skip;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::{TempDir, tempdir};
use whorl::source::zuul::Zuul;

const NAME: &str = "zuul";
const STATUS: &str = "zuul (mqtt)";

/// A broker of `tests/real`: plain port, TLS port, folder.
fn real() -> Option<(u16, u16, PathBuf)> {
    let Ok(value) = std::env::var("WHORL_MOSQUITTO") else {
        skip("MQTT against a real broker: WHORL_MOSQUITTO is not set");
        return None;
    };
    let all: Vec<&str> = value.split(',').collect();
    Some((
        all[0].parse().unwrap(),
        all[1].parse().unwrap(),
        all[2].into(),
    ))
}

fn message(uuid: &str) -> String {
    json!({
        "action": "failure", "tenant": "shop", "pipeline": "check", "project": "shop/api", "branch": "main",
        "change": "1234", "patchset": "5",
        "buildset": {"uuid": "set", "result": "FAILURE", "builds": [
            {"uuid": uuid, "job_name": "unit", "result": "FAILURE", "voting": true, "end_time": 1_767_323_045.5,
             "log_url": "https://logs.shop.example/x/"},
            {"uuid": format!("{uuid}-good"), "job_name": "docs", "result": "SUCCESS", "voting": true}]},
    })
    .to_string()
}

/// Publishes as Zuul does, and waits until the broker has it.
async fn publish(port: u16, topic: &str, text: &str) {
    let own = format!("pub-{}-{topic}", std::process::id()).replace('/', "-");
    let (client, mut events) = AsyncClient::new(MqttOptions::new(own, "127.0.0.1", port), 10);
    client
        .publish(topic, QoS::AtLeastOnce, false, text)
        .await
        .unwrap();
    let acked = async {
        loop {
            // The broker may still be starting.
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => return,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), acked)
        .await
        .unwrap();
}

/// Topic and client of one test alone.
fn plain(port: u16, test: &str) -> Zuul {
    let id = format!("{test}-{}", std::process::id());
    let mqtt = format!(
        "mqtt: {{host: 127.0.0.1, port: {port}, tls: false, client-id: '{id}', topic: '{test}/#'}}"
    );
    Zuul::new(&config(&mqtt)).unwrap()
}

fn connected(home: &Home) -> bool {
    home.desk
        .statuses()
        .get(STATUS)
        .is_some_and(|status| status.connected)
}

fn heard(home: &Home) -> u64 {
    home.desk
        .statuses()
        .get(STATUS)
        .map_or(0, |status| status.events)
}

#[tokio::test]
async fn a_message_is_announced_once_and_what_was_missed_is_kept() {
    let Some((port, _, _)) = real() else { return };
    let folder = tempdir().unwrap();
    let home = Home::open(folder.path());
    let work = AtWork::start(plain(port, "once"), &home);
    until("it listens", || connected(&home)).await;
    publish(port, "once/shop", &message("m1")).await;
    until("it is heard", || home.has("m1")).await;
    assert!(!home.has("m1-good"));
    publish(port, "once/shop", "{\"hello\": 1}").await;
    publish(port, "once/shop", "not JSON \u{1}").await;
    until("they are counted", || home.not_understood(STATUS) == 2).await;
    work.stop().await;
    publish(port, "once/shop", &message("m2")).await;
    let work = AtWork::start(plain(port, "once"), &home);
    // It is counted a moment after it is there.
    let missed = || home.has("m2") && home.announced(NAME) > 1;
    until("the missed one is heard", missed).await;
    assert_eq!(
        (home.announced(NAME), heard(&home)),
        (2, 4),
        "nothing was sent twice"
    );
    let stored = home.state.build("m2").unwrap().unwrap().build;
    assert_eq!(stored.change.as_deref(), Some("1234"));
    work.stop().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_is_heard_again() {
    let Some((port, _, _)) = real() else { return };
    let folder = tempdir().unwrap();
    // The broker knows the client, and a client that hears and dies before it acknowledges.
    let id = format!("killed-{}", std::process::id());
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_clean_session(false).set_manual_acks(true);
    let (client, mut events) = AsyncClient::new(options, 10);
    client
        .subscribe("killed/#", QoS::AtLeastOnce)
        .await
        .unwrap();
    let mut sent = false;
    loop {
        match events.poll().await.unwrap() {
            Event::Incoming(Packet::SubAck(_)) if !sent => {
                sent = true;
                publish(port, "killed/shop", &message("k1")).await;
            }
            Event::Incoming(Packet::Publish(_)) => break,
            _ => {}
        }
    }
    drop((client, events));
    let home = Home::open(folder.path());
    let work = AtWork::start(plain(port, "killed"), &home);
    until("it is heard again", || home.has("k1")).await;
    until("it is acknowledged", || heard(&home) == 1).await;
    work.stop().await;
    let work = AtWork::start(plain(port, "killed"), &home);
    publish(port, "killed/shop", &message("k2")).await;
    until("the next one is heard", || home.has("k2")).await;
    assert_eq!(heard(&home), 2, "the first one was not sent once more");
    work.stop().await;
}

/// As root the broker would become a user of its own, whom an unpacked package does not make.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0)
}

/// A broker of our own, which can be killed.
struct Broker {
    child: Child,
    folder: TempDir,
    port: u16,
    program: PathBuf,
}

impl Broker {
    fn start(real: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let (folder, program) = (tempdir().unwrap(), real.join("program"));
        let at = folder.path().display();
        let user = if is_root() { "user root\n" } else { "" };
        let text = format!(
            "{user}listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {at}/\nautosave_interval 1\nautosave_on_changes true\n\
             log_dest file {at}/log\nlog_type all\n"
        );
        std::fs::write(folder.path().join("m.conf"), text).unwrap();
        let child = Self::run(&program, folder.path());
        Self {
            child,
            folder,
            port,
            program,
        }
    }

    fn run(program: &Path, folder: &Path) -> Child {
        let mut command = Command::new(program);
        command.arg("-c").arg(folder.join("m.conf"));
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn end(&mut self) {
        // It writes what it keeps when it is asked to end.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }

    /// True when it has a listener's acknowledgement, so that it need not send again.
    fn is_acknowledged(&self) -> bool {
        let log = std::fs::read_to_string(self.folder.path().join("log"));
        log.is_ok_and(|log| log.contains("Received PUBACK from"))
    }

    fn again(&mut self) {
        self.child = Self::run(&self.program, self.folder.path());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_broker_that_comes_back_is_heard_again() {
    let Some((_, _, folder)) = real() else { return };
    let mut broker = Broker::start(&folder);
    let dir = tempdir().unwrap();
    let home = Home::open(dir.path());
    let work = AtWork::start(plain(broker.port, "back"), &home);
    until("it listens", || connected(&home)).await;
    publish(broker.port, "back/shop", &message("r1")).await;
    until("it is heard", || home.has("r1")).await;
    // Else it would send it once more.
    until("it is acknowledged", || broker.is_acknowledged()).await;
    broker.end();
    until("it is said", || !connected(&home)).await;
    broker.again();
    publish(broker.port, "back/shop", &message("r2")).await;
    let next = || home.has("r2") && home.announced(NAME) > 1;
    until("the next one is heard", next).await;
    assert_eq!(home.announced(NAME), 2);
    work.stop().await;
}

#[tokio::test]
async fn encrypted_with_an_account_and_not_with_a_wrong_one() {
    let Some((_, tls, folder)) = real() else {
        return;
    };
    let ca = folder.join("cert.pem");
    let with = |password: &str, ca: &str| {
        let text = format!(
            "mqtt: {{host: localhost, port: {tls}, user: ci, password: {password}, topic: 'tls/#', \
             client-id: tls-{}-{password}{ca}}}",
            std::process::id()
        );
        Zuul::new(&config(&text)).unwrap()
    };
    let trusting = format!(", ca-file: '{}'", ca.display());
    let dir = tempdir().unwrap();
    let home = Home::open(dir.path());
    let work = AtWork::start(with("secret", &trusting), &home);
    until("it listens", || connected(&home)).await;
    work.stop().await;
    for (password, ca, wanted) in [
        ("wrong", trusting.as_str(), "refused"),
        ("secret", "", "ertificate"),
    ] {
        let dir = tempdir().unwrap();
        let home = Home::open(dir.path());
        let work = AtWork::start(with(password, ca), &home);
        until("it is said", || home.error(STATUS).is_some()).await;
        let error = home.error(STATUS).unwrap();
        assert!(error.contains(wanted), "{error}");
        work.stop().await;
    }
}
