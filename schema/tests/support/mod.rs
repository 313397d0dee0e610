//! What the tests write: two small sources, one of keys and values, one of things, and runs of ticks
//! of a second on one machine.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and one that fails may panic"
)]

use memsoak_schema::{
    BootInfo, HostInfo, MetricSpec, RunInfo, SampleState, Shape, Spec, Status, TickTime, Trend,
    Unit, Writer,
};

/// Keys and values; AnonPages is judged.
pub(crate) static MEMINFO: Spec = Spec {
    name: "meminfo",
    paths: &["proc/meminfo"],
    shape: Shape::Scalars {
        known: &[MetricSpec::gauge("AnonPages", Unit::Kib).judged(Trend::Total)],
        other: |_| MetricSpec::gauge("", Unit::Kib),
    },
    interval_s: 0,
    needs: "",
    caveats: "",
    overhead: "",
};

/// Things, by path.
pub(crate) static SWAPS: Spec = Spec {
    name: "swaps",
    paths: &["proc/swaps"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("size_kib", Unit::Kib),
            MetricSpec::gauge("used_kib", Unit::Kib),
            MetricSpec::gauge("priority", Unit::Count),
        ],
    },
    interval_s: 0,
    needs: "",
    caveats: "",
    overhead: "",
};

/// A machine.
pub(crate) fn host(machine: &str) -> HostInfo {
    HostInfo {
        machine: machine.to_owned(),
        name: b"board-1".to_vec(),
        arch: "riscv64".to_owned(),
    }
}

/// One lifetime of its kernel.
pub(crate) fn boot(boot_id: &str) -> BootInfo {
    BootInfo {
        boot_id: boot_id.to_owned(),
        page_bytes: 4096,
        user_hz: 100,
        ..BootInfo::default()
    }
}

/// A recorder that samples every second.
pub(crate) fn run() -> RunInfo {
    RunInfo {
        program: "test".to_owned(),
        settings: "{}".to_owned(),
        labels: "{}".to_owned(),
        interval_us: 1_000_000,
        ..RunInfo::default()
    }
}

/// Begins a run of these sources on machine `m1`.
pub(crate) fn begin(mut writer: Writer, boot_id: &str, sources: &[&'static Spec]) -> Writer {
    writer
        .begin_run(&host("m1"), &boot(boot_id), &run(), sources)
        .unwrap();
    writer
}

/// How a read went.
pub(crate) fn sampled(status: Status) -> SampleState {
    SampleState {
        status,
        reason: (status != Status::Ok).then(|| "why".to_owned()),
        read_us: Some(7),
        bytes: Some(100),
    }
}

/// When a tick was.
pub(crate) fn at(second: i64) -> TickTime {
    TickTime {
        boottime_us: second * 1_000_000,
        ..TickTime::default()
    }
}
