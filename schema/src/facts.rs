//! What the recorder tells about machine, boot, run, tick and sample.

use crate::Status;

/// The machine under test.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    /// A hash that tells the same machine from another without naming it.
    pub machine: String,
    /// Node name.
    pub name: Vec<u8>,
    /// Machine architecture (`x86_64`).
    pub arch: String,
}

/// One lifetime of its kernel.
#[derive(Clone, Debug, Default)]
pub struct BootInfo {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// `/proc/version`.
    pub version: Option<String>,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Clock ticks a second in `/proc/PID/stat`.
    pub user_hz: u32,
    /// Processors.
    pub cpus: Option<u32>,
}

/// One lifetime of the recorder.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// Name and version of the recorder.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// Its start time in clock ticks.
    pub pid_start: u64,
    /// Its effective user.
    pub uid: u32,
    /// CLOCK_BOOTTIME in us.
    pub started_us: i64,
    /// Interval of the ticks in us.
    pub interval_us: i64,
    /// The options given, as JSON.
    pub settings: String,
    /// The labels given, as JSON.
    pub labels: String,
}

/// A run that did not say that it ended.
#[derive(Clone, Debug)]
pub struct OpenRun {
    /// The boot it ran in.
    pub boot_id: String,
    /// Its process id.
    pub pid: i64,
    /// Its start time in clock ticks.
    pub pid_start: i64,
}

/// The moment of a tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct TickTime {
    /// CLOCK_BOOTTIME in us when it began.
    pub boottime_us: i64,
    /// Wall time minus boot time, in us.
    pub wall_offset_us: i64,
    /// How long after the planned moment it began, in us.
    pub late_us: i64,
    /// Planned moments since the last tick that passed without one.
    pub missed: i64,
}

/// What a tick had cost up to its commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct TickCost {
    /// Wall time in us.
    pub took_us: i64,
    /// CPU time of the recorder in us.
    pub cpu_us: i64,
}

/// How one read of a source went.
#[derive(Clone, Debug)]
pub struct SampleState {
    /// Whether values were obtained.
    pub status: Status,
    /// Why not, or why not all.
    pub reason: Option<String>,
    /// Wall time of reading and parsing in us; `None` when it was not read.
    pub read_us: Option<i64>,
    /// Bytes read.
    pub bytes: Option<i64>,
}
