//! What a recording says of itself: the rows of its small tables.

use crate::{Kind, Status, Trend, Unit};

/// Labels of an entity, of a run.
pub type Labels = serde_json::Map<String, serde_json::Value>;

/// A machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its number.
    pub host: i64,
    /// Node name, made printable.
    pub name: String,
    /// Architecture.
    pub arch: String,
}

/// One lifetime of its kernel.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Its number.
    pub boot: i64,
    /// The machine.
    pub host: i64,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Clock ticks a second.
    pub user_hz: u32,
    /// Processors.
    pub cpus: Option<u32>,
}

/// One lifetime of the recorder.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its number.
    pub run: i64,
    /// The boot it ran in.
    pub boot: i64,
    /// Name and version of the recorder.
    pub program: String,
    /// Its process id.
    pub pid: i64,
    /// Its effective user.
    pub uid: i64,
    /// CLOCK_BOOTTIME in us.
    pub started_us: i64,
    /// Interval of the ticks in us.
    pub interval_us: i64,
    /// The options given.
    pub settings: Labels,
    /// The labels given.
    pub labels: Labels,
    /// When it ended, in us of CLOCK_BOOTTIME; `None` while it runs or where it was killed.
    pub ended_us: Option<i64>,
    /// Why it ended.
    pub end_reason: Option<String>,
}

/// A moment of sampling.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Its number.
    pub tick: i64,
    /// The run.
    pub run: i64,
    /// CLOCK_BOOTTIME in us.
    pub boottime_us: i64,
    /// After the planned moment, in us.
    pub late_us: i64,
    /// Planned moments before it that passed without a tick.
    pub missed: i64,
    /// Wall time that it took, in us.
    pub took_us: i64,
    /// CPU time of the recorder in us.
    pub cpu_us: i64,
}

/// Wall time minus boot time, from a tick on.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// From this tick on.
    pub tick: i64,
    /// In this boot.
    pub boot: i64,
    /// Wall time minus boot time, in us.
    pub offset_us: i64,
}

/// A source as the recording describes it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its number.
    pub source: i64,
    /// Its name.
    pub name: String,
    /// The files it reads.
    pub paths: String,
    /// Whether it has a table of entities; scalars otherwise.
    pub has_entities: bool,
    /// What it needs.
    pub needs: String,
    /// Its columns or keys.
    pub metrics: Vec<Metric>,
}

/// A column or key as the recording describes it.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its number.
    pub metric: i64,
    /// The kernel's key, or the column.
    pub name: String,
    /// Unit of the stored number.
    pub unit: Unit,
    /// Level or running total.
    pub kind: Kind,
    /// As what it is judged.
    pub trend: Trend,
    /// The total that it is a part of, as `source/key`; empty when none.
    pub part_of: String,
}

/// A thing with an identity.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its number.
    pub entity: i64,
    /// The boot it lives in.
    pub boot: i64,
    /// The tick that saw it first.
    pub first_tick: i64,
    /// The kernel's name for it.
    pub name: Vec<u8>,
    /// Its labels.
    pub labels: Labels,
}

/// How a read of a source went.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The tick.
    pub tick: i64,
    /// The source.
    pub source: i64,
    /// Whether values were obtained.
    pub status: Status,
    /// Whether every row stands here.
    pub keyframe: bool,
    /// Wall time of the read in us.
    pub read_us: Option<i64>,
    /// Bytes read.
    pub bytes: Option<i64>,
    /// Why there are no values, or not all; see [`crate::Recording::reasons`].
    pub reason: Option<i64>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The boot.
    pub boot: i64,
    /// CLOCK_BOOTTIME in us.
    pub boottime_us: i64,
    /// Kind (`mark`, `renamed`, ...).
    pub kind: String,
    /// The source that it concerns.
    pub source: Option<String>,
    /// Its text, made printable; line ends are written as `\n`.
    pub text: String,
    /// What a program needs of the text (`victim_pid`, `order`); empty where there is none.
    pub detail: Labels,
}

/// At which interval a source is read, from a tick on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From this tick on.
    pub tick: i64,
    /// The source.
    pub source: i64,
    /// Interval in us.
    pub interval_us: i64,
    /// Why.
    pub reason: String,
}
