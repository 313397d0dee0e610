//! `memsoak-record`: samples every Linux memory source at intervals into one SQLite file.

pub mod budget;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod doctor;
pub mod host;
pub mod import;
pub mod log;
pub mod manifest;
pub mod notify;
pub mod probe;
pub mod root;
pub mod run;
pub mod source;
pub mod status;
