//! `cpu-stress`: threads of a child that keep processors busy.

use super::helper;
use super::undo;
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PARAMETERS: [(&str, &str); 2] = [
    (
        "threads",
        "how many; as many as there are processors when not given",
    ),
    (
        "intensity",
        "percent of the time that each is busy; 100 when not given",
    ),
];

/// Of this much time, a thread is busy for its share.
const SLICE: Duration = Duration::from_millis(20);

/// Busy processors.
pub(super) struct Cpu;

impl Fault for Cpu {
    fn name(&self) -> &'static str {
        "cpu-stress"
    }

    fn about(&self) -> &'static str {
        "keeps processors busy with threads of a child"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.whole("threads", 1, 1024)?;
        parameters.percent("intensity").map(drop)
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(json!({
            "threads": parameters.whole("threads", 1, 1024)?.unwrap_or(processors as u64),
            "intensity": parameters.percent("intensity")?,
            "seconds": ground.seconds,
            "mark": helper::mark(ground),
        }))
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        let program = ground
            .program
            .ok_or_else(|| FaultError::Target("there is no program to start".into()))?;
        let mark = helper::mark_in(plan);
        let mut child = Command::new(program)
            .args(["chaos", "stress", mark])
            .arg(format!("--threads={}", plan["threads"]))
            .arg(format!("--intensity={}", plan["intensity"]))
            .arg(format!("--seconds={}", plan["seconds"]))
            .arg(format!("--id={}", ground.id))
            .arg(ground.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(FaultError::io(program))?;
        // Somebody has to ask for its end, or it stays as a zombie.
        thread::spawn(move || child.wait());
        Ok(())
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        helper::end(helper::mark_in(plan))?;
        Ok("nothing keeps the processors busy".into())
    }

    fn targets(&self, _: &Value) -> Vec<Target> {
        vec![Target::Machine("processors".into())]
    }

    fn steps(&self, plan: &Value) -> Steps {
        Steps {
            does: vec![format!("a child keeps {} threads busy", plan["threads"])],
            undo: vec!["the child is killed".into()],
        }
    }

    fn describe(&self, plan: &Value) -> Cause {
        let (threads, share) = (&plan["threads"], &plan["intensity"]);
        Cause {
            fault: self.name().into(),
            target: "processors".into(),
            text: format!("{threads} threads were busy {share} % of the time"),
        }
    }
}

/// What the child does.
#[derive(Debug, Clone)]
pub struct Stress {
    /// How many threads.
    pub threads: u64,
    /// Percent of the time that each is busy.
    pub intensity: u64,
    /// For how long.
    pub seconds: f64,
    /// The run's folder.
    pub folder: PathBuf,
    /// The number of the fault in its run.
    pub id: u64,
}

/// Keeps processors busy until the time is over.
pub fn stress(stress: &Stress) {
    // Who was started and killed before we came this far could not find us: the journal knows.
    if !undo::is_pending(&stress.folder, stress.id) {
        return;
    }
    let time = Duration::try_from_secs_f64(stress.seconds).unwrap_or(Duration::ZERO);
    let deadline = Instant::now() + time.min(Duration::from_secs(24 * 3600));
    let share = u32::try_from(stress.intensity.min(100)).unwrap_or(100);
    thread::scope(|scope| {
        for _ in 0..stress.threads {
            scope.spawn(|| busy(deadline, SLICE * share / 100));
        }
    });
}

fn busy(deadline: Instant, work: Duration) {
    let mut number = 1u64;
    while Instant::now() < deadline {
        let begin = Instant::now();
        while begin.elapsed() < work {
            for _ in 0..1000 {
                number = black_box(
                    number
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1),
                );
            }
        }
        thread::sleep(SLICE.saturating_sub(work));
    }
}
