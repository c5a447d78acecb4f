//! `ssh … gerrit stream-events`, a process of the system, with everything that it has started.

use super::lines::{self, Next};
use crate::config::GerritSource;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// Longest line: a comment has 16 KiB, what a commit says may be more.
const LONGEST: usize = 2 << 20;
/// Kilobytes of lines that wait to be looked at. When there is no room Gerrit has to wait, and says
/// so when it has lost something over it.
const ROOM: u32 = 32 << 10;
/// Lines that wait to be looked at.
const LINES: usize = 4_096;
/// Lines of standard error that are kept.
const LAST_WORDS: usize = 3;
/// How long is waited for last words.
const PATIENCE: Duration = Duration::from_secs(1);
/// What ssh says when all is well.
const NOISE: &[&str] = &[
    "Transferred: ",
    "Bytes per second: ",
    "debug",
    "Warning: Permanently added",
];

/// What came.
#[derive(Debug)]
pub(super) enum Told {
    /// The server has let us in.
    Ready,
    /// A line.
    Line(Vec<u8>, OwnedSemaphorePermit),
    /// Something that is no whole line, and why.
    Broken(String),
}

/// A running process. It is ended when this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    told: mpsc::Receiver<Told>,
    reader: JoinHandle<String>,
    group: Group,
}

/// The process group, until it was ended.
#[derive(Debug, Clone)]
struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    /// Ends all processes. The first of them was not waited for yet, so the number is still ours.
    fn end(&self) {
        let group = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.group.end();
        self.reader.abort();
    }
}

impl Stream {
    /// Starts the program.
    pub(super) fn start(source: &GerritSource) -> io::Result<Self> {
        let mut child = command(source).spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Group(Arc::new(Mutex::new(pid.map(Pid::from_raw))));
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            group.end();
            return Err(io::Error::other("the program has no output"));
        };
        let (tell, told) = mpsc::channel(LINES);
        let words = tokio::spawn(last_words(err, tell.clone()));
        let reader = tokio::spawn(read(child, group.clone(), out, words, tell));
        Ok(Self {
            told,
            reader,
            group,
        })
    }

    /// What comes next; none when the stream has ended.
    pub(super) async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// What has come already.
    pub(super) fn now(&mut self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    /// Why it ended.
    pub(super) async fn why(mut self) -> String {
        let why = (&mut self.reader).await;
        why.unwrap_or_else(|error| error.to_string())
    }
}

fn command(source: &GerritSource) -> Command {
    let mut words = source.ssh_command.iter();
    let mut command = Command::new(words.next().map_or("ssh", String::as_str));
    command.args(words).args(arguments(source));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn arguments(source: &GerritSource) -> Vec<String> {
    let mut all = vec!["-T".to_owned(), "-p".into(), source.port.to_string()];
    let mut option = |name: &str, value: &str| all.extend(["-o".into(), format!("{name}={value}")]);
    option("BatchMode", "yes");
    option("StrictHostKeyChecking", "yes");
    option(
        "ServerAliveInterval",
        &source.keep_alive.0.as_secs().to_string(),
    );
    option("ServerAliveCountMax", "3");
    option("ConnectTimeout", "20");
    // Says when the server has let us in.
    option("LogLevel", "VERBOSE");
    if let Some(file) = &source.known_hosts {
        option("UserKnownHostsFile", &quoted(&file.display().to_string()));
    }
    if let Some(key) = &source.key {
        option("IdentitiesOnly", "yes");
        all.extend(["-i".into(), key.display().to_string()]);
    }
    all.push(format!("{}@{}", source.user, source.host));
    let events = "gerrit stream-events -s comment-added -s patchset-created";
    all.extend(events.split(' ').map(str::to_owned));
    all
}

/// A name of a file as ssh's options want it.
fn quoted(file: &str) -> String {
    if file.contains(' ') {
        format!("\"{file}\"")
    } else {
        file.to_owned()
    }
}

/// Reads lines until the stream ends; says why it did.
async fn read(
    mut child: Child,
    group: Group,
    out: impl AsyncRead + Unpin,
    mut words: JoinHandle<String>,
    tell: mpsc::Sender<Told>,
) -> String {
    let room = Arc::new(Semaphore::new(ROOM as usize));
    let mut out = BufReader::with_capacity(64 << 10, out);
    let ended = loop {
        let told = match lines::next(&mut out, LONGEST).await {
            Ok(Next::Line(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(Next::Line(line)) => {
                let size = u32::try_from(line.len() >> 10).unwrap_or(ROOM) + 1;
                let Ok(permit) = room.clone().acquire_many_owned(size.min(ROOM)).await else {
                    break "nobody listens".to_owned();
                };
                Told::Line(line, permit)
            }
            Ok(Next::TooLong(size)) => Told::Broken(format!("a line of {size} bytes")),
            Ok(Next::CutOff(_)) => Told::Broken("the stream ended within a line".into()),
            Ok(Next::End) => break "the stream ended".to_owned(),
            Err(error) => break error.to_string(),
        };
        if tell.send(told).await.is_err() {
            break "nobody listens".to_owned();
        }
    };
    let said = tokio::time::timeout(PATIENCE, &mut words).await;
    group.end();
    words.abort();
    // It was told to end; how it did says nothing.
    let _ = child.wait().await;
    match said {
        Ok(Ok(said)) if !said.is_empty() => format!("{ended}: {said}"),
        _ => ended,
    }
}

/// Tells when the server lets us in, and gives the last that is said otherwise.
async fn last_words(err: impl AsyncRead + Unpin, tell: mpsc::Sender<Told>) -> String {
    let mut err = BufReader::new(err);
    let mut last = VecDeque::new();
    loop {
        let line = match lines::next(&mut err, 4 << 10).await {
            Ok(Next::Line(line)) => line,
            Ok(Next::TooLong(_)) => continue,
            Ok(Next::CutOff(_) | Next::End) | Err(_) => break,
        };
        let line = String::from_utf8_lossy(&line);
        let line: String = line.trim().chars().filter(|c| !c.is_control()).collect();
        if line.starts_with("Authenticated to ") {
            // Who does not listen any more does not want to know.
            let _ = tell.send(Told::Ready).await;
        } else if !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise)) {
            last.push_back(line);
            if last.len() > LAST_WORDS {
                last.pop_front();
            }
        }
    }
    Vec::from(last).join("; ")
}
