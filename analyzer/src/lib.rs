//! `memsoak-analyze`: judges the trends of a recording and renders charts and a text for a bug
//! report.

mod buddy;
pub mod chart;
pub mod cli;
pub mod compare;
pub mod diagnose;
pub mod exhaustion;
pub mod experiments;
pub mod findings;
pub mod info;
pub mod ledger;
pub mod load;
pub mod marks;
pub mod onset;
pub mod report;
pub mod salvage;
pub mod series_csv;
pub mod show;
pub mod stats;
pub mod verdict;
pub mod when;
mod words;
