//! A process that holds more and more of one thing at a stated rate, or works like a healthy
//! program: something to point the recorder at.
//!
//! It ends when its standard input does, so that it cannot outlive whoever started it, or after
//! the stated seconds; then it says how much it kept.

#![allow(clippy::print_stdout, reason = "an example talks to people")]

mod lab;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The name of the program itself need not be UTF-8.
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    lab::main(&args)
}
