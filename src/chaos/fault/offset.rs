//! `clock-offset`: programs that believe it is earlier or later.
//!
//! They are started with libfaketime and a file that it reads again and again
//! (`FAKETIME_TIMESTAMP_FILE`); the fault writes the file. No other program's clock changes.

use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

const PARAMETERS: [(&str, &str); 2] = [
    (
        "file",
        "the FAKETIME_TIMESTAMP_FILE that the programs were started with",
    ),
    ("offset", "seconds; negative ones lead to the past"),
];

/// Where libfaketime may be, behind the folder of the machine's kind.
const PLACES: [&str; 2] = ["/usr/lib", "/usr/local/lib"];

/// A clock that is wrong.
pub(super) struct Offset;

fn offset(parameters: &Parameters<'_>) -> Result<f64, FaultError> {
    let offset = parameters.value("offset").and_then(Value::as_f64);
    offset
        .filter(|offset| *offset != 0.0 && offset.abs() <= 4e9)
        .ok_or_else(|| parameters.missing("offset", "must be a number of seconds, not 0"))
}

fn read(path: &Path) -> Result<Option<String>, FaultError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FaultError::io(path)(error)),
    }
}

/// Writes a file whole: who reads it meanwhile sees the earlier text or the new one.
fn write(path: &Path, text: &str) -> Result<(), FaultError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".whorl");
    let beside = PathBuf::from(beside);
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(FaultError::io(path))
}

/// libfaketime, if it is installed.
fn library() -> Option<PathBuf> {
    let folders = PLACES.iter().flat_map(|place| {
        let below = fs::read_dir(place).into_iter().flatten().flatten();
        let below = below.map(|entry| entry.path());
        below.chain([PathBuf::from(place)])
    });
    let mut files = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    files.find(|file| file.exists())
}

impl Fault for Offset {
    fn name(&self) -> &'static str {
        "clock-offset"
    }

    fn about(&self) -> &'static str {
        "lets programs that were started with libfaketime believe that it is earlier or later"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn needs(&self) -> &'static str {
        "libfaketime (package faketime), and programs that were started with it"
    }

    fn check(&self) -> Result<(), String> {
        let library = library().ok_or("libfaketime.so.1 is not installed")?;
        let ran = Command::new("date")
            .arg("+%Y")
            .env("LD_PRELOAD", &library)
            .env("FAKETIME", "@2001-02-03 04:05:06")
            .output();
        match ran {
            Ok(output) if output.stdout == b"2001\n" => Ok(()),
            _ => Err(format!("{} has no effect", library.display())),
        }
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.path("file")?;
        offset(parameters).map(drop)
    }

    fn prepare(&self, parameters: &Parameters<'_>, _: &Ground<'_>) -> Result<Value, FaultError> {
        let file = parameters.path("file")?;
        let offset = offset(parameters)?;
        Ok(json!({
            "earlier": read(&file)?,
            "file": file,
            "offset": offset,
            "text": format!("{offset:+}s\n"),
        }))
    }

    fn apply(&self, plan: &Value, _: &Ground<'_>) -> Result<(), FaultError> {
        let file = Path::new(plan["file"].as_str().unwrap_or_default());
        write(file, plan["text"].as_str().unwrap_or_default())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        let file = Path::new(plan["file"].as_str().unwrap_or_default());
        let name = file.display();
        if read(file)?.as_deref() != plan["text"].as_str() {
            return Ok(format!(
                "{name} was not written, or somebody has written it anew"
            ));
        }
        // Without a file, a program that has read one keeps its clock: it has to be told.
        let earlier = plan["earlier"].as_str().unwrap_or("+0s\n");
        write(file, earlier)?;
        Ok(format!("{name} is as before"))
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        vec![Target::Path(
            plan["file"].as_str().unwrap_or_default().into(),
        )]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps::of(
            &format!("write {} seconds to {}", plan["offset"], plan["file"]),
            "write what the file held before",
        )
    }

    fn describe(&self, plan: &Value) -> Cause {
        let file = plan["file"].as_str().unwrap_or_default();
        Cause {
            fault: self.name().into(),
            target: file.into(),
            text: format!(
                "the clock of who reads {file} was off by {} s",
                plan["offset"]
            ),
        }
    }
}
