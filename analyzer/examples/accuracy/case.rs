//! A series with its truth.

use memsoak_analyze::series_csv::Series;

/// What is true of a series, whatever a method says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    /// It leaks.
    Leak,
    /// It does not.
    Healthy,
    /// Nobody knows, or it cannot be seen in the time that was recorded.
    Unscored,
}

/// A series with its truth and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Which collection it is of.
    pub(crate) part: String,
    /// What made it: the cause that figures are broken down by.
    pub(crate) kind: String,
    /// The truth.
    pub(crate) truth: Truth,
    /// The true slope in units per hour, where one number says it.
    pub(crate) rate_per_hour: Option<f64>,
    /// The series, with restarts and source where they are known.
    pub(crate) series: Series,
}

impl Case {
    /// Only times and values, as from a file with two columns: no restarts and no source.
    pub(crate) fn nameless(&self) -> Self {
        let mut case = self.clone();
        case.series.source = None;
        case.series.restarts.clear();
        case
    }
}
