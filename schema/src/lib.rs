//! The recording: its tables, its types, and the only doors that read and write it.

mod error;
mod file;
mod issue;
mod reader;
mod rows;
mod spec;
mod writer;

pub use error::Error;
pub use file::newest_version;
pub use issue::Issue;
pub use reader::{
    Boot, Entity, Event, Host, Labels, Metric, Plan, Recording, Run, Sample, Source, Tick,
    WallClock, printable,
};
pub use rows::{Label, RowRef, Rows, Value};
pub use spec::{Kind, MetricSpec, Shape, Spec, Status, Trend, Unit};
pub use writer::{
    BootInfo, HostInfo, OpenRun, RunInfo, SampleState, TickCost, TickTime, Writer, copy, mark,
};
