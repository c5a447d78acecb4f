//! The `whorl` program: parses the command line and hands over to [`whorl::cli`].

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Memory that one thread takes and another lets go of goes back, as events do between intake and index.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    whorl::cli::main()
}
