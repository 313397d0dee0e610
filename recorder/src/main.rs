//! The program `memsoak-record`.

use std::process::ExitCode;

fn main() -> ExitCode {
    memsoak_record::cli::main()
}
