//! `memsoak-record`: samples every Linux memory source at intervals into one SQLite file.

pub mod budget;
pub mod cli;
pub mod clock;
pub mod host;
pub mod log;
pub mod notify;
pub mod root;
pub mod run;
pub mod source;
pub mod status;
