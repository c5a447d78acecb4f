//! Keeps a watchdog alive for as long as there may be faults.

use crate::chaos::child::beside;
use crate::chaos::fault::watchdog::{DONE, LOOK};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The way to the watchdog; nothing once there is to be none.
#[derive(Debug, Default)]
struct Line {
    to: Option<ChildStdin>,
    over: bool,
}

/// A watchdog, started again when it dies before its time.
#[derive(Debug)]
pub(super) struct Guard {
    line: Arc<Mutex<Line>>,
}

impl Guard {
    /// Starts a watchdog and waits until it watches. Without a program there is none.
    pub(super) fn start(program: Option<PathBuf>, folder: PathBuf) -> io::Result<Self> {
        let line = Arc::new(Mutex::new(Line::default()));
        if let Some(program) = program {
            let (child, to) = spawn(&program, &folder)?;
            with(&line, |line| line.to = Some(to));
            let line = Arc::clone(&line);
            thread::spawn(move || keep(child, &program, &folder, &line));
        }
        Ok(Self { line })
    }

    /// There is something new in the journal.
    pub(super) fn look(&self) {
        with(&self.line, |line| say(line, LOOK));
    }

    /// Everything is taken back.
    pub(super) fn done(self) {
        with(&self.line, |line| {
            line.over = true;
            say(line, DONE);
        });
    }
}

fn with<T>(line: &Mutex<Line>, act: impl FnOnce(&mut Line) -> T) -> T {
    act(&mut line.lock().unwrap_or_else(PoisonError::into_inner))
}

fn say(line: &mut Line, word: &str) {
    if let Some(to) = &mut line.to {
        // A dead watchdog is found out by who waits for it.
        let _ = writeln!(to, "{word}").and_then(|()| to.flush());
    }
}

fn spawn(program: &Path, folder: &Path) -> io::Result<(Child, ChildStdin)> {
    let mut command = Command::new(program);
    beside(command.args(["chaos", "watchdog"]).arg(folder), "watchdog")
}

/// Waits for the watchdog's end, and starts another one unless there is to be none.
fn keep(mut child: Child, program: &Path, folder: &Path, line: &Mutex<Line>) {
    loop {
        // However it ended, it is gone.
        let _ = child.wait();
        loop {
            if with(line, |line| line.over) || !folder.exists() {
                return;
            }
            match spawn(program, folder) {
                Ok((next, to)) => {
                    child = next;
                    with(line, |line| {
                        line.to = Some(to);
                        if line.over {
                            say(line, DONE);
                        }
                    });
                    break;
                }
                Err(_) => thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}
