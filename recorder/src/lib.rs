//! `memsoak-record`: samples every Linux memory source at intervals into one SQLite file.

pub mod source;
