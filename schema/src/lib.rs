//! The recording: its tables, its types, and the only doors that read and write it.

mod issue;
mod rows;
mod spec;

pub use issue::Issue;
pub use rows::{Label, RowRef, Rows, Value};
pub use spec::{Kind, MetricSpec, Shape, Spec, Status, Trend, Unit};
