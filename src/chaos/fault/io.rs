//! `io-stress`: a child that writes to a disk and waits until it is there.

use super::file::{path_in, there};
use super::helper::{self, Wanted};
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::fault::parameters::Dice;
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

const PARAMETERS: [(&str, &str); 4] = [
    ("path", "a folder on the disk"),
    ("writers", "how many write at a time; 2 when not given"),
    (
        "megabytes",
        "how large each one's file becomes; 16 when not given",
    ),
    (
        "intensity",
        "percent of the time that each writes; 100 when not given",
    ),
];

const BLOCK: usize = 256 * 1024;

/// A disk that is busy.
pub(super) struct Io;

/// The writers' files.
fn files(plan: &Value) -> Vec<PathBuf> {
    let path = path_in(plan, "path");
    let name = plan["name"].as_str().unwrap_or_default();
    let writers = plan["writers"].as_u64().unwrap_or(0);
    (0..writers)
        .map(|n| path.join(format!(".whorl-io-{name}-{n}")))
        .collect()
}

impl Fault for Io {
    fn name(&self) -> &'static str {
        "io-stress"
    }

    fn about(&self) -> &'static str {
        "keeps a disk busy with a child that writes and syncs"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.whole("writers", 1, 256)?;
        parameters.whole("megabytes", 1, 65536)?;
        parameters.percent("intensity")?;
        parameters.path("path").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let path = parameters.path("path")?;
        let writers = parameters.whole("writers", 1, 256)?.unwrap_or(2);
        let megabytes = parameters.whole("megabytes", 1, 65536)?.unwrap_or(16);
        let space = super::disk::space(&path)?;
        if space.available / (1 << 20) <= writers * megabytes {
            return Err(FaultError::Target(format!(
                "{} has no room for {writers} files of {megabytes} MB",
                path.display()
            )));
        }
        Ok(json!({
            "path": path, "writers": writers, "megabytes": megabytes,
            "intensity": parameters.percent("intensity")?,
            "name": helper::name(ground), "mark": helper::mark(ground),
            "namespace": crate::chaos::mounts::here(),
        }))
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        helper::end(helper::mark_in(plan))?;
        super::disk::inside(plan, || {
            for file in files(plan) {
                if there(&file) {
                    fs::remove_file(&file).map_err(FaultError::io(&file))?;
                }
            }
            Ok("nothing writes any more".into())
        })
    }

    fn describe(&self, plan: &Value) -> Cause {
        let target = path_in(plan, "path").display().to_string();
        Cause {
            fault: self.name().into(),
            text: format!(
                "{} writers kept the disk of {target} busy {} % of the time",
                plan["writers"], plan["intensity"]
            ),
            target,
        }
    }

    fn targets(&self, plan: &Value) -> Vec<Target> {
        let mut targets: Vec<Target> = files(plan).into_iter().map(Target::Path).collect();
        targets.push(Target::Machine("disk".into()));
        targets
    }

    fn steps(&self, plan: &Value) -> Steps {
        let file = |file: &PathBuf| {
            format!(
                "writes {} MB to {} and syncs, again and again",
                plan["megabytes"],
                file.display()
            )
        };
        let mut undo = vec!["the child is killed".to_owned()];
        undo.extend(
            files(plan)
                .iter()
                .map(|file| format!("rm -f {}", file.display())),
        );
        Steps {
            does: files(plan).iter().map(file).collect(),
            undo,
        }
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        let wanted = Wanted::new(ground);
        let mut open = Vec::new();
        for path in files(plan) {
            open.push((File::create(&path).map_err(FaultError::io(&path))?, path));
        }
        let megabytes = plan["megabytes"].as_u64().unwrap_or(1);
        let share = u32::try_from(plan["intensity"].as_u64().unwrap_or(100)).unwrap_or(100);
        helper::ready(say);
        thread::scope(|scope| {
            for (at, (file, _)) in open.iter_mut().enumerate() {
                let (wanted, seed) = (&wanted, ground.seed + at as u64);
                scope.spawn(move || write(file, megabytes << 20, share, seed, wanted));
            }
        });
        for (_, path) in open {
            // Who takes back may be faster.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

/// Writes and syncs, round and round.
fn write(file: &mut File, size: u64, share: u32, seed: u64, wanted: &Wanted) {
    let mut dice = Dice::new(seed);
    let block: Vec<u8> = (0..BLOCK)
        .map(|_| u8::try_from(dice.roll() & 0xff).unwrap_or(0))
        .collect();
    let (mut at, mut looked) = (0u64, Instant::now());
    loop {
        if looked.elapsed() > Duration::from_millis(100) {
            looked = Instant::now();
            if !wanted.still() {
                return;
            }
        }
        let begin = Instant::now();
        let place = file.seek(SeekFrom::Start(at));
        // A full or failing disk is somebody else's fault; this one goes on when it can.
        if place
            .and_then(|_| file.write_all(&block))
            .and_then(|()| file.sync_data())
            .is_err()
        {
            thread::sleep(Duration::from_millis(50));
        }
        at = (at + BLOCK as u64) % size.max(1);
        thread::sleep(begin.elapsed() * (100 - share.min(100)) / share.clamp(1, 100));
    }
}
