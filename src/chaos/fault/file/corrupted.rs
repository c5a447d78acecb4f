//! `file-corrupted`.

use super::path_in;
use crate::chaos::fault::disk::inside;
use crate::chaos::fault::parameters::Dice;
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::mounts::here;
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const PARAMETERS: [(&str, &str); 2] = [
    ("path", "the file"),
    (
        "intensity",
        "percent of its bytes that are changed, chosen by the seed; 100 when not given",
    ),
];

/// Files beyond this are not copied aside, so they are not corrupted either.
const LARGEST: u64 = 1 << 30;

/// A file with wrong bytes in it.
pub(in crate::chaos::fault) struct Corrupted;

fn backup(plan: &Value, ground: &Ground<'_>) -> PathBuf {
    // A name only, so that it is found in a copy of the folder too.
    ground
        .folder
        .join(plan["backup"].as_str().unwrap_or_default())
}

/// Writes over a file, which stays the same file for who has it open.
fn overwrite(path: &Path, bytes: &[u8]) -> Result<(), FaultError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(FaultError::io(path))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(FaultError::io(path))
}

fn read(path: &Path) -> Result<Vec<u8>, FaultError> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(FaultError::io(path))?;
    file.read_to_end(&mut bytes).map_err(FaultError::io(path))?;
    Ok(bytes)
}

impl Fault for Corrupted {
    fn name(&self) -> &'static str {
        "file-corrupted"
    }

    fn about(&self) -> &'static str {
        "changes bytes of a file; its content comes back from a copy"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.percent("intensity")?;
        parameters.path("path").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let path = parameters.path("path")?;
        let data = fs::metadata(&path).map_err(FaultError::io(&path))?;
        if !data.is_file() || data.len() > LARGEST || data.len() == 0 {
            let path = path.display();
            return Err(FaultError::Target(format!(
                "{path} is empty, larger than 1 GiB, or no regular file"
            )));
        }
        let plan = json!({
            "path": path,
            "namespace": here(),
            "backup": format!("file-{}", ground.id),
            "seed": ground.seed,
            "intensity": parameters.percent("intensity")?,
        });
        overwrite(&backup(&plan, ground), &read(&path)?)?;
        Ok(plan)
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        let path = path_in(plan, "path");
        let mut bytes = read(&backup(plan, ground))?;
        let share = plan["intensity"].as_u64().unwrap_or(100);
        let mut dice = Dice::new(plan["seed"].as_u64().unwrap_or(0));
        let first = dice.below(bytes.len());
        for (at, byte) in bytes.iter_mut().enumerate() {
            let roll = dice.roll();
            if at == first || roll % 100 < share {
                // Never zero, so that the byte does change.
                *byte ^= u8::try_from(roll >> 8 & 0xff).unwrap_or(0) | 1;
            }
        }
        overwrite(&path, &bytes)
    }

    fn undo(&self, plan: &Value, ground: &Ground<'_>) -> Result<String, FaultError> {
        let path = path_in(plan, "path");
        let before = read(&backup(plan, ground))?;
        inside(plan, || {
            if read(&path).is_ok_and(|now| now == before) {
                return Ok(format!("{} is as it was", path.display()));
            }
            overwrite(&path, &before)?;
            Ok(format!("{} has its content back", path.display()))
        })
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Path(path_in(plan, "path"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        let path = path_in(plan, "path");
        let path = path.display();
        let share = &plan["intensity"];
        Steps {
            does: vec![format!("changes {share} % of the bytes of {path}")],
            undo: vec![format!("writes over {path} what was copied before")],
        }
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        Cause {
            fault: self.name().into(),
            text: format!(
                "{} % of the bytes of {target} were changed",
                plan["intensity"]
            ),
            target,
        }
    }
}
