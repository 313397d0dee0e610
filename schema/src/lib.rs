//! The recording: its tables, its types, and the only doors that read and write it.

mod aside;
mod beside;
mod catalogue;
mod digest;
mod door;
mod error;
mod experiment;
mod facts;
mod file;
mod guard;
mod ids;
mod issue;
mod merge;
mod picture;
mod reader;
mod rows;
mod run;
mod salvage;
mod spec;
mod sql;
mod thin;
mod undo;
mod verify;
mod writer;

pub use aside::set_aside;
pub use beside::{copy, mark};
pub use catalogue::{
    Boot, Entity, Event, Host, Labels, Metric, Plan, Run, Sample, Source, Tick, WallClock,
};
pub use door::printable;
pub use error::Error;
pub use experiment::{Beside, Experiment, PROBE, PROBE_REQUEST, ProbeRequest, RequestBox};
pub use facts::{BootInfo, HostInfo, OpenRun, RunInfo, SampleState, TickCost, TickTime};
pub use file::newest_version;
pub use ids::{IdHasher, IdMap};
pub use issue::Issue;
pub use picture::{LastSample, Picture};
pub use reader::Recording;
pub use rows::{Happening, Label, RowRef, Rows, Value};
pub use salvage::{Salvaged, SalvagedSource, Stretch, salvage};
pub use spec::{Kind, MetricSpec, Shape, Spec, Status, Trend, Unit};
pub use verify::Damage;
pub use writer::Writer;
