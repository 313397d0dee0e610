//! The two programs as people run them, on this machine's own /proc.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by failing, one that cannot run says why"
)]

mod aside;
mod captures;
mod exit_codes;
mod faults;
mod findings;
mod full_disk;
mod kills;
mod leak_lab;
mod live;
mod names;
mod queries;
mod recording;
mod sharing;
#[path = "../support/mod.rs"]
mod support;
mod unprivileged;
