//! The recording: its tables, its types, and the only doors that read and write it.

mod beside;
mod catalogue;
mod error;
mod experiment;
mod facts;
mod file;
mod issue;
mod picture;
mod reader;
mod rows;
mod run;
mod spec;
mod sql;
mod writer;

pub use beside::{copy, mark};
pub use catalogue::{
    Boot, Entity, Event, Host, Labels, Metric, Plan, Run, Sample, Source, Tick, WallClock,
};
pub use error::Error;
pub use experiment::{Beside, Experiment, PROBE, PROBE_REQUEST, ProbeRequest, RequestBox};
pub use facts::{BootInfo, HostInfo, OpenRun, RunInfo, SampleState, TickCost, TickTime};
pub use file::newest_version;
pub use issue::Issue;
pub use picture::{LastSample, Picture};
pub use reader::{Recording, printable};
pub use rows::{Happening, Label, RowRef, Rows, Value};
pub use spec::{Kind, MetricSpec, Shape, Spec, Status, Trend, Unit};
pub use writer::Writer;
