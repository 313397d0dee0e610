//! Placeholder of the first commit.

pub mod series_csv;
pub mod stats;
pub mod verdict;
