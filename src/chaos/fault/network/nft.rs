//! The `nft` command, in our network namespace or in another one.

use crate::chaos::fault::FaultError;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A network namespace by its file, and by what tells it from one that has the same file later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Namespace {
    file: PathBuf,
    inode: u64,
}

impl Namespace {
    /// The one of a name (`ip netns`) or of a file (`/proc/PID/ns/net`).
    pub(super) fn find(name: &str) -> Result<Self, FaultError> {
        let file = if name.contains('/') {
            PathBuf::from(name)
        } else {
            Path::new("/run/netns").join(name)
        };
        let inode = fs::metadata(&file).map_err(FaultError::io(&file))?.ino();
        Ok(Self { file, inode })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"file": self.file, "inode": self.inode})
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            file: PathBuf::from(value["file"].as_str()?),
            inode: value["inode"].as_u64()?,
        })
    }

    /// It is still there.
    pub(super) fn lives(&self) -> bool {
        fs::metadata(&self.file).is_ok_and(|data| data.ino() == self.inode)
    }
}

fn program(namespace: Option<&Namespace>) -> Command {
    let Some(namespace) = namespace else {
        return Command::new("nft");
    };
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net={}", namespace.file.display()))
        .arg("nft");
    command
}

/// Runs `nft` with a script.
pub(super) fn run(
    namespace: Option<&Namespace>,
    arguments: &[&str],
    script: &str,
) -> Result<String, FaultError> {
    let io = FaultError::io(Path::new("nft"));
    let mut child = program(namespace)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Why it does not read is what it says.
        let _ = stdin.write_all(script.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(FaultError::io(Path::new("nft")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().next().unwrap_or("failed");
    Err(FaultError::Target(format!("nft: {first}")))
}

/// The names of the tables there are.
pub(super) fn tables(namespace: Option<&Namespace>) -> Result<Vec<String>, FaultError> {
    let text = run(namespace, &["list", "tables"], "")?;
    let names = text.lines().filter_map(|line| line.split(' ').nth(2));
    Ok(names.map(str::to_owned).collect())
}
