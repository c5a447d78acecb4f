//! The `nft` command, in a network namespace.

use crate::chaos::fault::FaultError;
use crate::chaos::fault::namespace::Namespace;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Runs `nft` with a script.
pub(super) fn run(
    namespace: Namespace,
    arguments: &[&str],
    script: &str,
) -> Result<String, FaultError> {
    let gone = || FaultError::Target("the network namespace is gone".into());
    let mut command = namespace.command("nft").ok_or_else(gone)?;
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(FaultError::io(Path::new("nft")))?;
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
pub(super) fn tables(namespace: Namespace) -> Result<Vec<String>, FaultError> {
    let text = run(namespace, &["list", "tables"], "")?;
    let names = text.lines().filter_map(|line| line.split(' ').nth(2));
    Ok(names.map(str::to_owned).collect())
}
