//! `inodes-full`.

use super::{inside, on_root, space};
use crate::chaos::fault::file::{path_in, there};
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps, helper};
use crate::chaos::mounts;
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

const PARAMETERS: [(&str, &str); 3] = [
    (
        "path",
        "a folder on the file system; it has to be a listed target unless it is our own",
    ),
    ("free", "inodes that stay free; 0 when not given"),
    (
        "count",
        "take no more than so many; needed where the folder is on the root file system",
    ),
];

/// More are not made: it would take too long to take them back.
const MOST: u64 = 2_000_000;

/// A file system without inodes.
pub(in crate::chaos::fault) struct InodesFull;

fn store(plan: &Value) -> PathBuf {
    let name = plan["name"].as_str().unwrap_or_default();
    path_in(plan, "path").join(format!(".whorl-inodes-{name}"))
}

impl Fault for InodesFull {
    fn name(&self) -> &'static str {
        "inodes-full"
    }

    fn about(&self) -> &'static str {
        "takes the inodes of a file system with empty files: there is room, but no file can be made"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "a file system with a fixed number of inodes (ext4, tmpfs)"
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.whole("free", 0, MOST)?;
        parameters.whole("count", 1, MOST)?;
        parameters.path("path").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let path = parameters.path("path")?;
        let free = parameters.whole("free", 0, MOST)?.unwrap_or(0);
        let count = parameters.whole("count", 1, MOST)?;
        let space = space(&path)?;
        let why = if space.all_inodes == 0 {
            Some("its file system makes inodes as they are needed".to_owned())
        } else if count.is_none() && on_root(&path)? {
            Some("it is on the root file system: only as many are taken as `count` says".to_owned())
        } else if space.inodes <= free {
            Some(format!("only {} inodes are free", space.inodes))
        } else if space.inodes - free > MOST && count.is_none() {
            Some(format!(
                "{} inodes are free: `count` has to say how many are taken",
                space.inodes
            ))
        } else {
            None
        };
        if let Some(why) = why {
            return Err(FaultError::Target(format!("{}: {why}", path.display())));
        }
        Ok(json!({
            "path": path, "free": free, "count": count, "name": helper::name(ground),
            "namespace": mounts::here(),
        }))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let (path, store) = (path_in(plan, "path"), store(plan));
        fs::create_dir(&store).map_err(FaultError::io(&store))?;
        let free = plan["free"].as_u64().unwrap_or(0);
        let count = plan["count"].as_u64();
        let wanted = space(&path)?
            .inodes
            .saturating_sub(free)
            .min(count.unwrap_or(MOST));
        for n in 0..wanted {
            match File::create(store.join(n.to_string())) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(FaultError::io(&store)(error)),
            }
        }
        let left = space(&path)?.inodes;
        if count.is_none() && left > free {
            return Err(FaultError::Effect(format!(
                "{left} inodes are still free on {}",
                path.display()
            )));
        }
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        inside(plan, || {
            let store = store(plan);
            if there(&store) {
                fs::remove_dir_all(&store).map_err(FaultError::io(&store))?;
            }
            Ok(format!(
                "the file system of {} has its inodes back",
                path_in(plan, "path").display()
            ))
        })
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        Cause {
            fault: self.name().into(),
            text: format!(
                "the inodes of the file system of {target} were taken until {} were free",
                plan["free"]
            ),
            target,
        }
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::FileSystem(path_in(plan, "path"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        let store = store(plan);
        let store = store.display();
        Steps {
            does: vec![format!(
                "makes empty files in {store} until {} inodes are free",
                plan["free"]
            )],
            undo: vec![format!("rm -rf {store}")],
        }
    }
}
