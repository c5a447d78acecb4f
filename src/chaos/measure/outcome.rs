//! What a measurement came to, for exit codes.

use super::count::Measured;

/// The system was not well before the fault.
const UNWELL: u8 = 3;
/// A fault could not be put in, or it was not sure that it was there.
const UNVERIFIED: u8 = 4;
/// There was nothing to measure by: no run failed of a fault, or no control run passed.
const NOTHING: u8 = 5;
/// A fingerprint fired where nothing was wrong.
const ON_CONTROLS: u8 = 6;

/// The exit code: a fingerprint that fires on a clean control run fails the measurement, strict or not.
///
/// `unwell` is the number of runs in which the system was not well before the fault.
pub fn exit_code(measured: &Measured, unwell: u64, strict: bool) -> u8 {
    if measured.fails() {
        return ON_CONTROLS;
    }
    if !strict {
        return 0;
    }
    if unwell > 0 {
        return UNWELL;
    }
    if measured.totals.inconclusive > 0 {
        return UNVERIFIED;
    }
    if measured.totals.failed == 0 || measured.totals.clean == 0 {
        return NOTHING;
    }
    0
}
