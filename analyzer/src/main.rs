//! The program `memsoak-analyze`.

use std::process::ExitCode;

fn main() -> ExitCode {
    memsoak_analyze::cli::main()
}
