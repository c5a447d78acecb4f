//! The `whorl` program: parses the command line and hands over to [`whorl::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    whorl::cli::main()
}
