//! `disk-full`.

use super::{inside, on_root, space};
use crate::chaos::fault::file::{path_in, there};
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps, helper};
use crate::chaos::mounts;
use crate::chaos::safety::Target;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

const PARAMETERS: [(&str, &str); 3] = [
    (
        "path",
        "a folder on the file system; it has to be a listed target unless it is our own",
    ),
    ("free", "kilobytes that stay free; 0 when not given"),
    (
        "megabytes",
        "take no more than so much; needed where the folder is on the root file system",
    ),
];

/// The largest piece that is asked for at once, and the smallest.
const LARGEST: u64 = 1 << 30;
const SMALLEST: u64 = 4096;

/// A file system without room.
pub(in crate::chaos::fault) struct Full;

fn filler(plan: &Value) -> PathBuf {
    let name = plan["name"].as_str().unwrap_or_default();
    path_in(plan, "path").join(format!(".whorl-full-{name}"))
}

impl Fault for Full {
    fn name(&self) -> &'static str {
        "disk-full"
    }

    fn about(&self) -> &'static str {
        "fills a file system with one file until as much is free as wanted"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "a file system that gives room without writing it (fallocate)"
    }

    fn check(&self) -> Result<(), String> {
        let file = tempfile::tempfile().map_err(|error| error.to_string())?;
        fallocate(&file, FallocateFlags::empty(), 0, 4096).map_err(|error| error.to_string())
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.whole("free", 0, u64::MAX >> 11)?;
        parameters.whole("megabytes", 1, u64::MAX >> 21)?;
        parameters.path("path").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let path = parameters.path("path")?;
        let free = parameters.whole("free", 0, u64::MAX >> 11)?.unwrap_or(0) * 1024;
        let limit = parameters
            .whole("megabytes", 1, u64::MAX >> 21)?
            .map(|n| n << 20);
        let available = space(&path)?.available;
        if limit.is_none() && on_root(&path)? {
            return Err(FaultError::Target(format!(
                "{} is on the root file system, which is filled only as far as `megabytes` says",
                path.display()
            )));
        }
        if available <= free {
            return Err(FaultError::Target(format!(
                "{} has only {available} bytes free",
                path.display()
            )));
        }
        Ok(json!({
            "path": path, "free": free, "limit": limit, "name": helper::name(ground),
            "namespace": mounts::here(),
        }))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let (path, filler) = (path_in(plan, "path"), filler(plan));
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .open(&filler)
            .map_err(FaultError::io(&filler))?;
        let free = plan["free"].as_u64().unwrap_or(0);
        let limit = plan["limit"].as_u64();
        fill(&file, &path, free, limit.unwrap_or(u64::MAX)).map_err(FaultError::io(&filler))?;
        let left = space(&path)?.available;
        if limit.is_none() && left > free + 16 * SMALLEST {
            return Err(FaultError::Effect(format!(
                "{left} bytes are still free on {}",
                path.display()
            )));
        }
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        inside(plan, || {
            let filler = filler(plan);
            if there(&filler) {
                fs::remove_file(&filler).map_err(FaultError::io(&filler))?;
            }
            Ok(format!(
                "the file system of {} has its room back",
                path_in(plan, "path").display()
            ))
        })
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        Cause {
            fault: self.name().into(),
            text: format!(
                "the file system of {target} was filled until {} bytes were free",
                plan["free"]
            ),
            target,
        }
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::FileSystem(path_in(plan, "path"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        let filler = filler(plan);
        let filler = filler.display();
        let limit = plan["limit"]
            .as_u64()
            .map_or(String::new(), |n| format!(", at most {n} bytes"));
        Steps {
            does: vec![format!(
                "fallocate {filler} until {} bytes are free{limit}",
                plan["free"]
            )],
            undo: vec![format!("rm -f {filler}")],
        }
    }
}

/// Makes the file larger until so much is free, or it has reached its limit.
fn fill(file: &File, folder: &Path, free: u64, limit: u64) -> io::Result<()> {
    let (mut size, mut piece) = (0u64, LARGEST);
    while piece >= SMALLEST && size < limit {
        let left = space(folder)
            .map_err(io::Error::other)?
            .available
            .saturating_sub(free);
        let wanted = piece.min(left).min(limit - size);
        if left < SMALLEST {
            break;
        }
        let (from, length) = (i64::try_from(size), i64::try_from(wanted));
        let (Ok(from), Ok(length)) = (from, length) else {
            break;
        };
        match fallocate(file, FallocateFlags::empty(), from, length) {
            Ok(()) => size += wanted,
            // What is left is in smaller pieces, or for others.
            Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => piece = wanted / 2,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
