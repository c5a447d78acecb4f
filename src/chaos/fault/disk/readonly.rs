//! `disk-readonly`.

use super::{inside, may_mount};
use crate::chaos::fault::file::path_in;
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::mounts::{self, Mount};
use crate::chaos::safety::Target;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const PARAMETERS: [(&str, &str); 1] = [(
    "path",
    "where a file system is mounted; nobody may have a file open for writing there",
)];

/// A mount that cannot be written.
pub(in crate::chaos::fault) struct ReadOnly;

/// The mount at a path, the topmost one.
fn at(path: &Path) -> Result<Mount, FaultError> {
    let here = mounts::of("thread-self").map_err(FaultError::io(path))?;
    let found = here.into_iter().rev().find(|mount| mount.point == path);
    found.ok_or_else(|| FaultError::Target(format!("{} is no mount point", path.display())))
}

fn is_readonly(mount: &Mount) -> bool {
    mount.options.split(',').any(|option| option == "ro")
}

/// The flags of a mount, which a remount would else take away.
fn flags(options: &str) -> MsFlags {
    let known = [
        ("nosuid", MsFlags::MS_NOSUID),
        ("nodev", MsFlags::MS_NODEV),
        ("noexec", MsFlags::MS_NOEXEC),
        ("noatime", MsFlags::MS_NOATIME),
        ("nodiratime", MsFlags::MS_NODIRATIME),
        ("relatime", MsFlags::MS_RELATIME),
    ];
    let set = options.split(',').filter_map(|option| {
        known
            .iter()
            .find(|(name, _)| *name == option)
            .map(|(_, flag)| *flag)
    });
    set.fold(MsFlags::MS_REMOUNT | MsFlags::MS_BIND, |all, flag| {
        all | flag
    })
}

/// Changes this mount only; the file system may be mounted elsewhere, too.
fn remount(path: &Path, flags: MsFlags) -> Result<(), FaultError> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match mount(None::<&str>, path, None::<&str>, flags, None::<&str>) {
            Ok(()) => return Ok(()),
            // Somebody is writing; most are soon done.
            Err(Errno::EBUSY) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(Errno::EBUSY) => {
                let path = path.display();
                return Err(FaultError::Target(format!(
                    "{path}: files there are open for writing"
                )));
            }
            Err(errno) => return Err(FaultError::io(path)(errno.into())),
        }
    }
}

impl Fault for ReadOnly {
    fn name(&self) -> &'static str {
        "disk-readonly"
    }

    fn about(&self) -> &'static str {
        "makes a mount read-only"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "the right to mount (root, or a user namespace)"
    }

    fn check(&self) -> Result<(), String> {
        may_mount()
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.path("path").map(drop)
    }

    fn prepare(&self, parameters: &Parameters<'_>, _: &Ground<'_>) -> Result<Value, FaultError> {
        let path = parameters.path("path")?;
        let path = path.canonicalize().map_err(FaultError::io(&path))?;
        if path == Path::new("/") {
            return Err(FaultError::Target(
                "the root file system stays as it is".into(),
            ));
        }
        let mount = at(&path)?;
        if is_readonly(&mount) {
            return Err(FaultError::Target(format!(
                "{} is read-only already",
                path.display()
            )));
        }
        Ok(json!({
            "path": path, "device": mount.device, "options": mount.options,
            "namespace": mounts::here(),
        }))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let path = path_in(plan, "path");
        let options = plan["options"].as_str().unwrap_or_default();
        remount(&path, flags(options) | MsFlags::MS_RDONLY)?;
        if is_readonly(&at(&path)?) {
            return Ok(());
        }
        Err(FaultError::Effect(format!(
            "{} can still be written",
            path.display()
        )))
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        inside(plan, || {
            let path = path_in(plan, "path");
            let shown = path.display();
            let there = at(&path)
                .ok()
                .filter(|mount| plan["device"] == mount.device.as_str());
            match there {
                None => Ok(format!("{shown} is no longer mounted")),
                Some(mount) if !is_readonly(&mount) => Ok(format!("{shown} can be written")),
                Some(_) => {
                    remount(&path, flags(plan["options"].as_str().unwrap_or_default()))?;
                    Ok(format!("{shown} can be written again"))
                }
            }
        })
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        Cause {
            fault: self.name().into(),
            text: format!("{target} was read-only"),
            target,
        }
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Mount(path_in(plan, "path"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        let path = path_in(plan, "path");
        let path = path.display();
        Steps {
            does: vec![format!("mount -o remount,bind,ro {path}")],
            undo: vec![format!("mount -o remount,bind,rw {path}")],
        }
    }
}
