//! The two programs as people run them, on this machine's own /proc.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by failing, one that cannot run says why"
)]

mod aside;
mod blocked;
mod capture;
mod captures;
mod comparing;
mod csv;
mod doctor;
mod exit_codes;
mod faults;
mod findings;
mod full_disk;
mod import;
mod in_memory;
mod kills;
mod leak_lab;
mod live;
#[path = "../support/made_up_soak/mod.rs"]
mod made_up_soak;
mod names;
mod probe;
mod queries;
mod recording;
mod salvage;
mod service;
mod sharing;
mod small_disk;
#[path = "../support/mod.rs"]
mod support;
mod unprivileged;
mod views;
