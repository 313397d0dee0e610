//! `memsoak-analyze`: judges the trends of a recording and renders charts and a text for a bug
//! report.

pub mod chart;
pub mod load;
pub mod series_csv;
pub mod stats;
pub mod verdict;
