//! The targets of `tests/it/lost/targets.rs` for libFuzzer: one program, `WHORL_TARGET` names the target.
#![no_main]

#[path = "../tests/it/lost/targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use targets::{NAMES, archive, build, colours, config, fingerprint, log, query, swept, words};

/// A target by its name, for fuzzers that know bytes only: the first of them chooses among `NAMES`.
fn by_name(target: &str) -> Option<fn(&[u8])> {
    fn named(bytes: &[u8], target: impl Fn(&str, &[u8])) {
        if let Some((first, rest)) = bytes.split_first() {
            target(NAMES[usize::from(*first) % NAMES.len()], rest);
        }
    }
    Some(match target {
        "query" => query,
        "words" => words,
        "log" => |bytes| named(bytes, log),
        "archive" => |bytes| named(bytes, archive),
        "sweep" => |bytes| named(bytes, swept),
        "colours" => colours,
        "fingerprint" => fingerprint,
        "config" => config,
        "build" => build,
        _ => return None,
    })
}

fuzz_target!(|bytes: &[u8]| {
    let target = std::env::var("WHORL_TARGET").expect("WHORL_TARGET names a target");
    by_name(&target).expect("a target")(bytes);
});
