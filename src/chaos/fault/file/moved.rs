//! `file-moved`.

use super::{must_be_there, path_in, put_back, stash, sync_folder_of};
use crate::chaos::fault::disk::inside;
use crate::chaos::fault::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::mounts::here;
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::fs;

const PARAMETERS: [(&str, &str); 1] = [("path", "the file or folder")];

/// A file that is not where it should be.
pub(in crate::chaos::fault) struct Moved;

impl Fault for Moved {
    fn name(&self) -> &'static str {
        "file-moved"
    }

    fn about(&self) -> &'static str {
        "moves a file or folder away; it comes back unless it was written anew meanwhile"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.path("path").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let path = parameters.path("path")?;
        must_be_there(&path)?;
        Ok(json!({"path": path, "stash": stash(&path, ground), "namespace": here()}))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let (path, stash) = (path_in(plan, "path"), path_in(plan, "stash"));
        fs::rename(&path, &stash).map_err(FaultError::io(&path))?;
        sync_folder_of(&path)
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        inside(plan, || {
            put_back(&path_in(plan, "path"), &path_in(plan, "stash"))
        })
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Path(path_in(plan, "path"))]
    }

    fn steps(&self, plan: &Value) -> Steps {
        let (path, stash) = (path_in(plan, "path"), path_in(plan, "stash"));
        let (path, stash) = (path.display(), stash.display());
        Steps {
            does: vec![format!("mv {path} {stash}")],
            undo: vec![format!("mv {stash} {path}, unless it was written anew")],
        }
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        Cause {
            fault: self.name().into(),
            text: format!("{target} was moved away"),
            target,
        }
    }
}
