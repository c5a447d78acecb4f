//! `disk-slow` and `disk-errors`: a folder seen through a file system of our own that hands everything
//! on, but takes its time, or fails.
//!
//! A child mirrors the folder and mounts the mirror over it. Files that are open when the fault comes
//! stay as they are; those opened meanwhile go on without faults when it is taken back.

mod luck;
mod mirror;
mod nodes;

use super::disk::{inside, may_mount};
use super::file::path_in;
use super::helper::{self, Wanted};
use super::record::Record;
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::mounts;
use crate::chaos::safety::Target;
use fuser::{Session, SessionACL};
use luck::Luck;
use mirror::Mirror;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The operations that a fault may hit.
const OPERATIONS: [&str; 4] = ["read", "write", "fsync", "open"];

const PATH: (&str, &str) = ("path", "the folder");
const READ: (&str, &str) = (
    "read",
    "percent of reads; with any of these four, the others are not hit",
);
const WRITE: (&str, &str) = ("write", "percent of writes");
const FSYNC: (&str, &str) = ("fsync", "percent of syncs");
const OPEN: (&str, &str) = ("open", "percent of opens");
const RECORD: (&str, &str) = (
    "record",
    "a file outside the folder that gets a line of JSON for each operation that was hit, and stays",
);

const SLOW: [(&str, &str); 8] = [
    PATH,
    (
        "delay",
        "milliseconds that an operation takes longer; 100 when not given",
    ),
    ("intensity", "percent of the operations; 100 when not given"),
    READ,
    WRITE,
    FSYNC,
    OPEN,
    RECORD,
];

const ERRORS: [(&str, &str); 8] = [
    PATH,
    (
        "error",
        "EIO (when not given), ENOSPC, EROFS, EACCES, EMFILE, ETIMEDOUT",
    ),
    (
        "intensity",
        "percent of the operations, chosen by the seed; 100 when not given",
    ),
    READ,
    WRITE,
    FSYNC,
    OPEN,
    RECORD,
];

/// A folder on a disk that is not well.
pub(super) enum Ill {
    /// It takes its time.
    Slow,
    /// It fails.
    Errors,
}

/// The number of an error.
fn errno(name: &str) -> Option<Errno> {
    Some(match name {
        "EIO" => Errno::EIO,
        "ENOSPC" => Errno::ENOSPC,
        "EROFS" => Errno::EROFS,
        "EACCES" => Errno::EACCES,
        "EMFILE" => Errno::EMFILE,
        "ETIMEDOUT" => Errno::ETIMEDOUT,
        _ => return None,
    })
}

/// Percent for each operation.
fn rates(parameters: &Parameters<'_>) -> Result<Value, FaultError> {
    let all = parameters.percent("intensity")?;
    let each = OPERATIONS.iter().any(|operation| parameters.has(operation));
    let mut rates = Map::new();
    for operation in OPERATIONS {
        let own = parameters.whole(operation, 0, 100)?;
        let rate = if each { own.unwrap_or(0) } else { all };
        rates.insert(operation.into(), json!(rate));
    }
    Ok(Value::Object(rates))
}

/// `read 10 %, write 50 %`.
fn in_words(plan: &Value) -> String {
    let rates = plan["rates"].as_object().into_iter().flatten();
    let rates = rates.filter(|(_, rate)| **rate != 0);
    rates
        .map(|(operation, rate)| format!("{operation} {rate} %"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn prepare(parameters: &Parameters<'_>, ground: &Ground<'_>) -> Result<Value, FaultError> {
    let path = parameters.path("path")?;
    let path = path.canonicalize().map_err(FaultError::io(&path))?;
    if !path.is_dir() || path == Path::new("/") {
        return Err(FaultError::Target(format!(
            "{} is no folder that can be mirrored",
            path.display()
        )));
    }
    let record = parameters.has("record").then(|| parameters.path("record"));
    let record = record.transpose()?;
    if record.as_ref().is_some_and(|file| file.starts_with(&path)) {
        return Err(parameters.missing("record", "must not be in the folder itself"));
    }
    Ok(json!({
        "path": path, "rates": rates(parameters)?, "seed": ground.seed, "record": record,
        "mark": helper::mark(ground), "name": helper::name(ground), "namespace": mounts::here(),
    }))
}

/// What stands as the mount's source, which tells it from others.
fn source(plan: &Value) -> String {
    format!("whorl-{}", plan["name"].as_str().unwrap_or_default())
}

/// Whether our mirror is mounted here; an error when something else lies over it.
fn mounted(plan: &Value) -> Result<bool, FaultError> {
    let (path, source) = (path_in(plan, "path"), source(plan));
    let here = mounts::of("thread-self").map_err(FaultError::io(&path))?;
    let mut at = here.iter().rev().filter(|mount| mount.point == path);
    let top = at.next().is_some_and(|mount| mount.source == source);
    if !top && at.any(|mount| mount.source == source) {
        let path = path.display();
        return Err(FaultError::Target(format!(
            "{path}: something was mounted over the mirror"
        )));
    }
    Ok(top)
}

/// Takes the mirror away. Who has files open there keeps them.
fn unmount(plan: &Value) -> Result<bool, FaultError> {
    let path = path_in(plan, "path");
    let mut any = false;
    while mounted(plan)? {
        match umount2(&path, MntFlags::MNT_DETACH) {
            Ok(()) => any = true,
            // Somebody was faster.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(any),
            Err(errno) => return Err(FaultError::io(&path)(errno.into())),
        }
    }
    Ok(any)
}

fn undo(plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
    let hit = Record::count(ground.folder, ground.id);
    if !inside(plan, || unmount(plan))? {
        // It has not come to mounting, or is gone.
        helper::end(helper::mark_in(plan))?;
        inside(plan, || unmount(plan))?;
    }
    Ok(format!(
        "{} is itself again, after {hit} operations that were hit",
        path_in(plan, "path").display()
    ))
}

fn steps(plan: &Value) -> Steps {
    let path = path_in(plan, "path");
    let path = path.display();
    Steps {
        does: vec![format!(
            "mount -t fuse.whorl {} {path} (a mirror of it)",
            source(plan)
        )],
        undo: vec![format!("umount -l {path}")],
    }
}

fn check() -> Result<(), String> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.map_err(|error| format!("/dev/fuse: {error}"))?;
    may_mount()
}

/// Mounts the mirror and serves it until nobody uses it any more.
fn serve(
    fault: &'static str,
    plan: &Value,
    ground: &Ground<'_>,
    say: &mut dyn Write,
) -> Result<(), FaultError> {
    let path = path_in(plan, "path");
    let about = json!({"fault": fault, "id": ground.id, "seed": ground.seed});
    // Opened before anything is mounted: what is written down must not go through the mirror.
    let other = plan["record"].as_str().map(Path::new);
    let record = Record::open(ground.folder, ground.id, other, about);
    let record = record.map_err(FaultError::io(ground.folder))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let below = File::open(&path).map_err(FaultError::io(&path))?;
    let luck = Arc::new(Luck::of(plan, record));
    let device = mount_at(&path, &source(plan)).map_err(FaultError::io(&path))?;
    let mirror = Mirror::new(below, Arc::clone(&luck)).map_err(FaultError::io(&path))?;
    let mut session = Session::from_fd(mirror, device, SessionACL::All);
    let wanted = Wanted::new(ground);
    let plan = plan.clone();
    thread::spawn(move || {
        wanted.wait();
        luck.off();
        // Who has taken it back has done this, unless nobody was left to.
        let _ = unmount(&plan);
    });
    helper::ready(say);
    session.run().map_err(FaultError::io(&path))
}

fn mount_at(path: &Path, source: &str) -> io::Result<OwnedFd> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")?;
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let data = format!(
        "fd={},rootmode=40000,user_id={user},group_id={group},allow_other,default_permissions",
        device.as_raw_fd()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some(source),
        path,
        Some("fuse.whorl"),
        flags,
        Some(data.as_str()),
    )?;
    Ok(device.into())
}

/// The mirror answers.
fn answers(plan: &Value) -> Result<(), FaultError> {
    let path = path_in(plan, "path");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !mounted(plan)? {
        if std::time::Instant::now() > deadline {
            return Err(FaultError::Effect(format!(
                "{} is not mirrored",
                path.display()
            )));
        }
        thread::sleep(Duration::from_millis(2));
    }
    std::fs::metadata(&path)
        .map(drop)
        .map_err(FaultError::io(&path))
}

impl Fault for Ill {
    fn name(&self) -> &'static str {
        match self {
            Self::Slow => "disk-slow",
            Self::Errors => "disk-errors",
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Slow => "makes operations on files of a folder slow",
            Self::Errors => "makes operations on files of a folder fail",
        }
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Slow => &SLOW,
            Self::Errors => &ERRORS,
        }
    }

    fn needs(&self) -> &'static str {
        "FUSE and the right to mount (/dev/fuse, root)"
    }

    fn check(&self) -> Result<(), String> {
        check()
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(self.parameters())?;
        parameters.whole("delay", 1, 600_000)?;
        let error = parameters.text("error")?;
        if error.is_some_and(|name| errno(name).is_none()) {
            let wanted = "must be one of EIO, ENOSPC, EROFS, EACCES, EMFILE, ETIMEDOUT";
            return Err(parameters.missing("error", wanted));
        }
        rates(parameters)?;
        parameters.path("path").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let mut plan = prepare(parameters, ground)?;
        match self {
            Self::Slow => {
                plan["delay"] = json!(parameters.whole("delay", 1, 600_000)?.unwrap_or(100));
            }
            Self::Errors => plan["error"] = json!(parameters.text("error")?.unwrap_or("EIO")),
        }
        Ok(plan)
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)?;
        answers(plan)
    }

    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
        undo(plan, ground)
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        let what = match self {
            Self::Slow => format!("took {} ms longer", plan["delay"]),
            Self::Errors => {
                let error = plan["error"].as_str().unwrap_or_default();
                format!("failed with {error}")
            }
        };
        Cause {
            fault: self.name().into(),
            text: format!("operations in {target} {what}: {}", in_words(plan)),
            target,
        }
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Mount(path_in(plan, "path"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        steps(plan)
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        serve(self.name(), plan, ground, say)
    }
}
