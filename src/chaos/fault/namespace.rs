//! Namespaces that a fault was put into, found again by who takes it back, from wherever that is.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Net,
    Mount,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Mount => "mnt",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Net => "--net",
            Self::Mount => "--mount",
        }
    }
}

/// A namespace, by its number: the kernel gives it to no other one while this machine runs and it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Namespace {
    kind: Kind,
    inode: u64,
}

/// Where `ip netns` keeps names.
const NAMED: &str = "/run/netns";

fn inode(file: &Path) -> Option<u64> {
    fs::metadata(file).ok().map(|data| data.ino())
}

fn below(folder: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

impl Namespace {
    /// The one of a file.
    pub(super) fn of(kind: Kind, file: &Path) -> Option<Self> {
        inode(file).map(|inode| Self { kind, inode })
    }

    /// The network namespace of a name (`ip netns`) or file (`/proc/PID/ns/net`).
    pub(super) fn net(name: &str) -> Option<Self> {
        // A name with a slash in it is a file's.
        Self::of(Kind::Net, &Path::new(NAMED).join(name))
    }

    /// Ours.
    pub(super) fn own(kind: Kind) -> Option<Self> {
        Self::of(kind, &Path::new("/proc/self/ns").join(kind.file()))
    }

    pub(super) fn to_json(self) -> Value {
        json!(self.inode)
    }

    /// What was written down; ours, when nothing was.
    pub(super) fn from_json(kind: Kind, value: &Value) -> Option<Self> {
        let written = value.as_u64().map(|inode| Self { kind, inode });
        written.or_else(|| Self::own(kind))
    }

    /// A command in it; nothing when it is gone.
    pub(super) fn command(self, program: &str) -> Option<Command> {
        if Self::own(self.kind) == Some(self) {
            return Some(Command::new(program));
        }
        let file = self.file()?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("{}={}", self.kind.option(), file.display()))
            .arg(program);
        Some(command)
    }

    /// A file that leads to it: of a process that is in it, or of its name.
    fn file(self) -> Option<PathBuf> {
        let processes = below("/proc").map(|process| process.join("ns").join(self.kind.file()));
        let mut files = processes.chain(below(NAMED));
        files.find(|file| inode(file) == Some(self.inode))
    }
}
