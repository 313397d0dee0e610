//! The recording: its tables, its types, and the only doors that read and write it.

mod aside;
mod beside;
mod catalogue;
mod error;
mod facts;
mod file;
mod issue;
mod reader;
mod rows;
mod run;
mod spec;
mod sql;
mod thin;
mod undo;
mod writer;

pub use aside::set_aside;
pub use beside::{copy, mark};
pub use catalogue::{
    Boot, Entity, Event, Host, Labels, Metric, Plan, Run, Sample, Source, Tick, WallClock,
};
pub use error::Error;
pub use facts::{BootInfo, HostInfo, OpenRun, RunInfo, SampleState, TickCost, TickTime};
pub use file::newest_version;
pub use issue::Issue;
pub use reader::{Recording, printable};
pub use rows::{Happening, Label, RowRef, Rows, Value};
pub use spec::{Kind, MetricSpec, Shape, Spec, Status, Trend, Unit};
pub use writer::Writer;
