//! `memory-stress`: a child that has taken memory and keeps using it.

use super::helper::{self, Wanted};
use super::{Cause, Fault, FaultError, Ground, Parameters, Steps};
use crate::chaos::safety::Target;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

const PARAMETERS: [(&str, &str); 3] = [
    ("megabytes", "how much is taken"),
    ("intensity", "or that many percent of what is available"),
    (
        "spare",
        "megabytes that must stay available, or nothing is done; 256 when not given",
    ),
];

const MEBIBYTE: u64 = 1 << 20;
const PAGE: usize = 4096;

/// Memory that nobody else can have.
pub(super) struct Memory;

/// What `/proc/meminfo` says is available, in MiB.
fn available() -> Result<u64, FaultError> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).map_err(FaultError::io(path))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.map(|kibibytes| kibibytes / 1024).ok_or_else(|| {
        FaultError::Target("the system does not say how much memory is available".into())
    })
}

impl Fault for Memory {
    fn name(&self) -> &'static str {
        "memory-stress"
    }

    fn about(&self) -> &'static str {
        "takes memory with a child that uses it again and again, and that goes first when memory ends"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &PARAMETERS
    }

    fn validate(&self, parameters: &Parameters<'_>) -> Result<(), FaultError> {
        parameters.only(&PARAMETERS)?;
        parameters.percent("intensity")?;
        parameters.whole("spare", 16, 1 << 24)?;
        let fixed = parameters.whole("megabytes", 1, 1 << 24)?.is_some();
        if fixed == parameters.has("intensity") {
            return Err(parameters.missing(
                "megabytes",
                "either `megabytes` or `intensity` is needed, not both",
            ));
        }
        Ok(())
    }

    fn prepare(
        &self,
        parameters: &Parameters<'_>,
        ground: &Ground<'_>,
    ) -> Result<Value, FaultError> {
        let available = available()?;
        let share = available * parameters.percent("intensity")? / 100;
        let spare = parameters.whole("spare", 16, 1 << 24)?.unwrap_or(256);
        let wanted = match parameters.whole("megabytes", 1, 1 << 24)? {
            Some(fixed) => fixed,
            // A share leaves what has to be spared.
            None => share.min(available.saturating_sub(spare)),
        };
        if wanted == 0 || wanted + spare > available {
            return Err(FaultError::Target(format!(
                "{available} MB are available; taking {wanted} would not leave {spare}"
            )));
        }
        Ok(json!({"megabytes": wanted, "seed": ground.seed, "mark": helper::mark(ground)}))
    }

    fn apply(&self, plan: &Value, ground: &Ground<'_>) -> Result<(), FaultError> {
        helper::start(helper::mark_in(plan), ground)
    }

    fn undo(&self, plan: &Value, _: &Ground<'_>) -> Result<String, FaultError> {
        helper::end(helper::mark_in(plan))?;
        Ok("the memory is free again".into())
    }

    fn describe(&self, plan: &Value) -> Cause {
        Cause {
            fault: self.name().into(),
            target: "memory".into(),
            text: format!("{} MB of memory were taken", plan["megabytes"]),
        }
    }

    fn targets(&self, _: &Value) -> Vec<Target> {
        vec![Target::Machine("memory".into())]
    }

    fn steps(&self, plan: &Value) -> Steps {
        let megabytes = &plan["megabytes"];
        Steps {
            does: vec![format!(
                "a child takes {megabytes} MB and uses them again and again"
            )],
            undo: vec!["the child is killed".into()],
        }
    }

    fn work(
        &self,
        plan: &Value,
        ground: &Ground<'_>,
        say: &mut dyn Write,
    ) -> Result<(), FaultError> {
        let path = Path::new("/proc/self/oom_score_adj");
        // When memory ends, it is this one that goes.
        fs::write(path, "1000").map_err(FaultError::io(path))?;
        let bytes = plan["megabytes"]
            .as_u64()
            .unwrap_or(1)
            .saturating_mul(MEBIBYTE);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut block: Vec<u8> = Vec::new();
        block
            .try_reserve_exact(bytes)
            .map_err(|error| FaultError::Effect(error.to_string()))?;
        // Written bytes: pages that were never written take no memory.
        let seed = u8::try_from(ground.seed & 0xff).unwrap_or(0) | 1;
        block.resize(bytes, seed);
        let wanted = Wanted::new(ground);
        helper::ready(say);
        let mut round = seed;
        while wanted.still() {
            round = round.wrapping_add(1);
            block
                .iter_mut()
                .step_by(PAGE)
                .for_each(|byte| *byte = round);
            std::hint::black_box(&block);
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}
