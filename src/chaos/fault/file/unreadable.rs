//! `file-unreadable`.

use super::{must_be_there, path_in, put_back, stash, sync_folder_of};
use crate::chaos::fault::disk::inside;
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::mounts::here;
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const PARAMETERS: [(&str, &str); 2] = [
    ("path", "the file"),
    (
        "how",
        "`mode` takes all rights away (EACCES), `loop` puts a link to itself in its place (ELOOP), \
         which stops root too; by default what works for who runs this",
    ),
];

/// A file that cannot be opened.
pub(in crate::chaos::fault) struct Unreadable;

impl Unreadable {
    fn how(parameters: &Parameters<'_>) -> Result<&'static str, FaultError> {
        let how = parameters.one_of("how", &["mode", "loop"])?;
        // Rights do not stop root.
        Ok(how.unwrap_or(if nix::unistd::geteuid().is_root() {
            "loop"
        } else {
            "mode"
        }))
    }
}

impl Fault for Unreadable {
    fn name(&self) -> &'static str {
        "file-unreadable"
    }

    fn about(&self) -> &'static str {
        "makes that a file cannot be opened"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        Self::how(parameters)?;
        parameters.path("path").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let path = parameters.path("path")?;
        let data = must_be_there(&path)?;
        Ok(json!({
            "path": path,
            "how": Self::how(parameters)?,
            "mode": data.permissions().mode() & 0o7777,
            "device": data.dev(),
            "inode": data.ino(),
            "stash": stash(&path, ground),
            "namespace": here(),
        }))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let path = path_in(plan, "path");
        if plan["how"] == "mode" {
            fs::set_permissions(&path, Permissions::from_mode(0o000))
                .map_err(FaultError::io(&path))?;
        } else {
            fs::rename(&path, path_in(plan, "stash")).map_err(FaultError::io(&path))?;
            symlink(&path, &path).map_err(FaultError::io(&path))?;
            sync_folder_of(&path)?;
        }
        if File::open(&path).is_ok() {
            return Err(FaultError::Effect(format!(
                "{} can still be opened",
                path.display()
            )));
        }
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        inside(plan, || {
            let path = path_in(plan, "path");
            if plan["how"] == "mode" {
                return give_rights_back(plan, &path);
            }
            if fs::read_link(&path).is_ok_and(|to| to == path) {
                fs::remove_file(&path).map_err(FaultError::io(&path))?;
            }
            put_back(&path, &path_in(plan, "stash"))
        })
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Path(path_in(plan, "path"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        let (path, stash) = (path_in(plan, "path"), path_in(plan, "stash"));
        let (path, stash) = (path.display(), stash.display());
        if plan["how"] == "mode" {
            let mode = plan["mode"].as_u64().unwrap_or(0);
            return Steps {
                does: vec![format!("chmod 0 {path}")],
                undo: vec![format!("chmod {mode:o} {path}")],
            };
        }
        Steps {
            does: vec![format!("mv {path} {stash}"), format!("ln -s {path} {path}")],
            undo: vec![format!("rm {path}"), format!("mv {stash} {path}")],
        }
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        let sign = if plan["how"] == "mode" {
            "EACCES"
        } else {
            "ELOOP"
        };
        Cause {
            fault: self.name().into(),
            text: format!("{target} could not be opened ({sign})"),
            target,
        }
    }
}

/// Gives the rights back to the same file; another one of that name keeps its own.
fn give_rights_back(plan: &Value, path: &Path) -> Result<String, FaultError> {
    let Ok(data) = fs::symlink_metadata(path) else {
        return Ok(format!("{} is gone", path.display()));
    };
    if plan["inode"] != data.ino() || plan["device"] != data.dev() {
        return Ok(format!("{} is another file by now", path.display()));
    }
    let mode = plan["mode"]
        .as_u64()
        .and_then(|mode| u32::try_from(mode).ok());
    fs::set_permissions(path, Permissions::from_mode(mode.unwrap_or(0o600)))
        .map_err(FaultError::io(path))?;
    Ok(format!("{} has its rights back", path.display()))
}
