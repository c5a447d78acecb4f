//! Several processes on one `PostgreSQL`: one killed, one frozen, one stopped. What was acknowledged
//! has one verdict, and each note is said once.

pub(super) use super::program::until_within as until;
use super::program::{Home, Program, log_of};
use crate::state::place::Place;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Within this time the work of a process that has died goes on.
pub(super) const TAKEOVER: Duration = Duration::from_secs(30);

/// A receiver of notes that counts what it has taken: what it answered, and the sender lived to see.
#[derive(Clone)]
struct Hook {
    port: u16,
    shared: Arc<(Mutex<Counted>, Condvar)>,
}

#[derive(Default)]
struct Counted {
    /// While it is closed nothing is answered.
    closed: bool,
    /// Requests that wait for it to open.
    held: usize,
    /// Their connections.
    waiting: Vec<TcpStream>,
    /// How often each note was taken, by its number.
    taken: BTreeMap<String, usize>,
}

impl Hook {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::default(),
        };
        let this = hook.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let this = this.clone();
                std::thread::spawn(move || this.answer(stream.unwrap()));
            }
        });
        hook
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some(id) = read(&stream) else { return };
        let (lock, opened) = &*self.shared;
        let mut counted = lock.lock().unwrap();
        counted.held += 1;
        let held = counted.closed;
        if held {
            counted.waiting.push(stream.try_clone().unwrap());
        }
        while counted.closed {
            counted = opened.wait(counted).unwrap();
        }
        counted.held -= 1;
        // Who has died while it was held has not heard the answer: for it nothing was taken.
        if held && gone(&stream) {
            return;
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        if stream.write_all(answer).is_ok() {
            *counted.taken.entry(id).or_default() += 1;
        }
    }

    fn close(&self) {
        self.shared.0.lock().unwrap().closed = true;
    }

    fn open(&self) {
        self.shared.0.lock().unwrap().closed = false;
        self.shared.1.notify_all();
    }

    fn held(&self) -> usize {
        self.shared.0.lock().unwrap().held
    }

    /// Requests that were held, and nobody waits for their answer any more.
    fn abandoned(&self) -> usize {
        let counted = self.shared.0.lock().unwrap();
        counted.waiting.iter().filter(|stream| gone(stream)).count()
    }

    fn taken(&self) -> BTreeMap<String, usize> {
        self.shared.0.lock().unwrap().taken.clone()
    }
}

/// The number of the note of a request.
fn read(stream: &TcpStream) -> Option<String> {
    let mut stream = BufReader::new(stream);
    let (mut id, mut length, mut line) = (None, 0, String::new());
    while stream.read_line(&mut line).ok()? > 2 {
        // The first line has no name.
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        match name.to_lowercase().as_str() {
            "x-whorl-delivery" => id = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length]).ok()?;
    id
}

/// True when nobody is at the other end any more.
fn gone(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let ended = match stream.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).unwrap();
    ended
}

/// Puts the log of a build where somebody else puts it.
pub(super) type Put = Box<dyn Fn(&str) + Sync>;

/// What several processes share.
pub(super) struct Cluster {
    place: Place,
    folder: tempfile::TempDir,
    hook: Hook,
    /// The configuration of their log store; empty for the embedded one.
    store: String,
    /// Without it the builds bring their logs.
    elsewhere: Option<Put>,
}

impl Cluster {
    pub(super) fn new() -> Option<Self> {
        Self::on(String::new(), None)
    }

    pub(super) fn on(store: String, elsewhere: Option<Put>) -> Option<Self> {
        Some(Self {
            place: Place::server()?,
            folder: tempfile::tempdir().unwrap(),
            hook: Hook::listen(),
            store,
            elsewhere,
        })
    }

    /// The configuration of one process, with a data folder of its own.
    pub(super) fn home(&self) -> Home {
        Home::new(&format!(
            "state: {{url: '{}', shared-dir: '{}'}}\nintake: {{workers: 1}}\nnotes:\n  webhooks:\n    \
             - {{url: 'http://127.0.0.1:{}/', secret: k, retry: 50ms, max-tries: 500, timeout: 60s}}\n{}",
            self.place.url(),
            self.folder.path().display(),
            self.hook.port,
            self.store,
        ))
    }

    pub(super) fn count(&self, sql: &str) -> usize {
        self.place.ask(sql)[0].parse().unwrap()
    }

    /// Who has both roles, when one has both.
    fn chief(&self) -> Option<String> {
        let owners = self.place.ask("SELECT DISTINCT owner FROM leases");
        let both = self.count("SELECT count(*) FROM leases") == 2;
        (both && owners.len() == 1).then(|| owners[0].clone())
    }

    /// Waits until everything that waits is done, and checks that nothing was done twice or wrong.
    fn settles(&self, accepted: &[String], limit: Duration) {
        until("a verdict of every build", limit, || {
            let waiting = "SELECT count(*) FROM builds WHERE waiting = 1
                           AND completed_at IS NOT NULL";
            (self.count(waiting) == 0).then_some(())
        });
        let wrong = self.place.ask(
            "SELECT b.uuid || ' ' || b.verdict || ' ' || count(v.id) FROM builds b
             LEFT JOIN verdicts v ON v.build = b.id WHERE b.completed_at IS NOT NULL
             GROUP BY b.id HAVING count(v.id) <> 1 OR b.verdict <> 'matched'",
        );
        assert_eq!(wrong, Vec::<String>::new(), "one verdict, of the logs");
        let known = self
            .place
            .ask("SELECT uuid FROM builds WHERE completed_at IS NOT NULL");
        let lost: Vec<_> = accepted
            .iter()
            .filter(|uuid| !known.contains(uuid))
            .collect();
        assert_eq!(lost, Vec::<&String>::new(), "acknowledged");
        until("every note said", limit, || {
            (self.count("SELECT count(*) FROM notes WHERE state <> 'delivered'") == 0).then_some(())
        });
        let taken = self.hook.taken();
        let twice: Vec<_> = taken.iter().filter(|(_, times)| **times != 1).collect();
        assert_eq!(twice, Vec::<(&String, &usize)>::new(), "said once");
        // For the review and for the chat.
        assert_eq!(taken.len(), known.len());
    }
}

/// Sends builds until told to stop or the service is gone; gives those that it has accepted.
fn send(
    cluster: &Cluster,
    program: &Program,
    prefix: &str,
    stop: impl Fn(usize) -> bool,
) -> Vec<String> {
    let (mut accepted, bytes) = (Vec::new(), log_of(500));
    let call = |method: &str, path: String, body: &[u8]| {
        let request = program.client.request(method.parse().unwrap(), path);
        let answer = request.body(body.to_vec()).send().ok()?;
        answer.status().is_success().then_some(())
    };
    for n in 0.. {
        if stop(n) {
            break;
        }
        let at = format!("{}/api/v1/builds/{prefix}{n}", program.base);
        let meta = br#"{"job":"unit","project":"p","change":"7","patchset":"1"}"#;
        let sent = call("PUT", at.clone(), meta)
            .and_then(|()| match &cluster.elsewhere {
                None => call("PUT", format!("{at}/logs/console.txt"), &bytes),
                Some(put) => {
                    put(&format!("{prefix}{n}"));
                    Some(())
                }
            })
            .and_then(|()| call("POST", format!("{at}/complete"), br#"{"result":"FAILURE"}"#));
        match sent {
            Some(()) => accepted.push(format!("{prefix}{n}")),
            None => break,
        }
    }
    accepted
}

#[test]
fn what_a_killed_process_was_doing_is_done_by_the_other_and_once() {
    if let Some(cluster) = Cluster::new() {
        let (second, again, _) = one_is_killed(&cluster);
        let text = again.get("/api/v1/builds/d0/logs/console.txt");
        assert!(
            text.ends_with("boom\n"),
            "one reads what the other received"
        );
        assert_eq!(again.stop(), Some(0));
        assert_eq!(second.stop(), Some(0));
    }
}

/// Two processes, one killed in the middle and started again: every build one verdict, every note
/// once. Gives the one that lived, the one that came back, and the builds.
pub(super) fn one_is_killed(cluster: &Cluster) -> (Program, Program, Vec<String>) {
    let (first_home, second_home) = (cluster.home(), cluster.home());
    let mut first = first_home.start();
    let begun = |limit| until("a chief", limit, || cluster.chief());
    let chief = begun(Duration::from_secs(10));
    let second = second_home.start();

    // Both receive; the notes of the first builds are said and known to be.
    let mut accepted = send(cluster, &first, "a", |n| n == 5);
    accepted.extend(send(cluster, &second, "b", |n| n == 5));
    cluster.settles(&accepted, TAKEOVER);

    // The first one dies with notes under way and a build in the middle.
    cluster.hook.close();
    accepted.extend(send(cluster, &first, "c", |n| n == 3));
    until("notes under way", TAKEOVER, || {
        (cluster.hook.held() > 0).then_some(())
    });
    let at_it =
        format!("SELECT count(*) FROM builds WHERE waiting = 1 AND lease_owner = '{chief}'");
    let accepted = std::thread::scope(|scope| {
        let to_first = scope.spawn(|| send(cluster, &first, "d", |_| false));
        let to_second = scope.spawn(|| send(cluster, &second, "e", |n| n == 30));
        until("some more", TAKEOVER, || {
            let d = "SELECT count(*) FROM builds WHERE uuid LIKE 'd%' AND completed_at IS NOT NULL";
            (cluster.count(d) > 3).then_some(())
        });
        until("a build in the middle", TAKEOVER, || {
            first.signal(Signal::SIGSTOP);
            if cluster.count(&at_it) > 0 {
                return Some(());
            }
            first.signal(Signal::SIGCONT);
            None
        });
        first.signal(Signal::SIGKILL);
        accepted.extend(to_first.join().unwrap());
        accepted.extend(to_second.join().unwrap());
        accepted
    });
    let died = Instant::now();
    assert_eq!(first.ended(), None, "killed");
    assert!(cluster.count(&at_it) > 0 && cluster.hook.held() > 0);
    cluster.hook.open();
    let next = until("a new chief", TAKEOVER, || {
        cluster.chief().filter(|now| *now != chief)
    });
    let led = died.elapsed();
    cluster.settles(&accepted, TAKEOVER.saturating_sub(died.elapsed()));
    println!(
        "{} builds; new chief after {led:?}, all done after {:?}",
        accepted.len(),
        died.elapsed()
    );
    let said = cluster.place.ask("SELECT DISTINCT sender FROM notes");
    assert!(said.contains(&chief) && said.contains(&next), "{said:?}");

    // The dead one comes back, and finds nothing to do again.
    let again = first_home.start();
    for uuid in &accepted {
        assert_eq!(again.build(uuid)["verdict"], "matched");
    }
    cluster.settles(&accepted, TAKEOVER);
    (second, again, accepted)
}

#[test]
fn a_process_that_was_frozen_says_nothing_that_another_one_has_said() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first_home, second_home) = (cluster.home(), cluster.home());
    let first = first_home.start();
    let chief = until("a chief", Duration::from_secs(10), || cluster.chief());
    let second = second_home.start();
    cluster.hook.close();
    let accepted = send(&cluster, &first, "a", |n| n == 3);
    until("notes under way", TAKEOVER, || {
        (cluster.hook.held() > 0).then_some(())
    });
    first.signal(Signal::SIGSTOP);
    let held = cluster.hook.held();
    until("the other one's", TAKEOVER, || {
        (cluster.hook.held() > held).then_some(())
    });
    // The other role may follow a moment later.
    until("a new chief", TAKEOVER, || {
        cluster.chief().filter(|now| *now != chief)
    });
    first.signal(Signal::SIGCONT);
    // It notices, and lets go of what it had begun to say.
    until("requests let go of", Duration::from_secs(10), || {
        let noticed = first.said("another process says the notes now");
        (noticed && cluster.hook.abandoned() >= held).then_some(())
    });
    cluster.hook.open();
    cluster.settles(&accepted, TAKEOVER);
    assert_eq!((first.stop(), second.stop()), (Some(0), Some(0)));
}

#[test]
fn a_process_that_stops_hands_over_at_once() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (first_home, second_home) = (cluster.home(), cluster.home());
    let first = first_home.start();
    let chief = until("a chief", Duration::from_secs(10), || cluster.chief());
    let second = second_home.start();
    let accepted = send(&cluster, &first, "a", |n| n == 3);
    // One report at the start, and none because another process came.
    until("a report", Duration::from_secs(10), || {
        (cluster.count("SELECT count(*) FROM reports") == 1).then_some(())
    });
    assert_eq!(first.stop(), Some(0));
    until("a new chief", Duration::from_secs(8), || {
        cluster.chief().filter(|now| *now != chief)
    });
    cluster.settles(&accepted, TAKEOVER);
    let page = second.get("/reports");
    assert!(page.contains("/reports/1.html"), "{page}");
    assert!(second.get("/reports/1.html").contains("<html"));
    let made = cluster.count("SELECT count(*) FROM reports");
    assert!(made <= 2, "at most the next one on schedule: {made}");
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn a_process_that_cannot_read_the_others_logs_does_not_start() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (home, other) = (cluster.home(), cluster.home());
    let running = home.start();
    other.configure(&format!("state: {{url: '{}'}}\n", cluster.place.url()));
    let failed = other.fails();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("the same `state.shared-dir`"), "{said}");
    // Nor one that would tidy up among them.
    other.configure("");
    let text = format!("data-dir: {}\n", other.data().display());
    let config = std::fs::read_to_string(other.config()).unwrap();
    let shared = format!("data-dir: {}\n", cluster.folder.path().display());
    std::fs::write(other.config(), config.replace(&text, &shared)).unwrap();
    let said = String::from_utf8_lossy(&other.fails().stderr).into_owned();
    assert!(
        said.contains("does not hold the logs of the state in"),
        "{said}"
    );
    assert_eq!(running.stop(), Some(0));
}
