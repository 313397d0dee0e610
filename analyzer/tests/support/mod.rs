//! Recordings that tests make up tick by tick.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test takes what it needs, and one that fails may panic"
)]

use std::path::Path;

use memsoak_analyze::findings::{Analysis, analyse};
use memsoak_schema::{
    BootInfo, HostInfo, MetricSpec, Recording, Rows, RunInfo, SampleState, Shape, Spec, Status,
    TickCost, TickTime, Trend, Unit, Writer,
};

/// A source of entities.
pub(crate) const fn entities(name: &'static str, columns: &'static [MetricSpec]) -> Spec {
    of_shape(name, Shape::Entities { columns })
}

/// A source of keys and values.
pub(crate) const fn of_shape(name: &'static str, shape: Shape) -> Spec {
    Spec {
        name,
        paths: &[],
        shape,
        interval_s: 0,
        needs: "",
        caveats: "",
        overhead: "",
    }
}

/// Pid of the recorder.
pub(crate) const RECORDER: u32 = 77;

/// Swap areas, by path.
pub(crate) static SWAPS: Spec = entities(
    "swaps",
    &[
        MetricSpec::gauge("size_kib", Unit::Kib),
        MetricSpec::gauge("used_kib", Unit::Kib).judged(Trend::Memory),
        MetricSpec::gauge("priority", Unit::Count),
    ],
);

/// Length of a tick.
pub(crate) const TICK_US: i64 = 10_000_000;

/// Begins a run of ticks of ten seconds.
pub(crate) fn begin(path: &Path, boot_id: &str, sources: &[&'static Spec]) -> Writer {
    let mut writer = Writer::open_for_import(path).unwrap();
    let run = RunInfo {
        program: "test".to_owned(),
        pid: RECORDER,
        interval_us: TICK_US,
        settings: "{}".to_owned(),
        labels: "{}".to_owned(),
        ..RunInfo::default()
    };
    let boot = BootInfo {
        boot_id: boot_id.to_owned(),
        page_bytes: 4096,
        user_hz: 100,
        ..BootInfo::default()
    };
    writer
        .begin_run(&HostInfo::default(), &boot, &run, sources)
        .unwrap();
    writer
}

/// Writes a tick at so many us of the boot, of what `fill` puts into the rows of each source.
pub(crate) fn write_tick(
    writer: &mut Writer,
    at_us: i64,
    sources: usize,
    mut fill: impl FnMut(usize, &mut Rows),
) {
    let time = TickTime {
        boottime_us: at_us,
        ..TickTime::default()
    };
    let ok = SampleState {
        status: Status::Ok,
        reason: None,
        read_us: None,
        bytes: None,
    };
    writer.begin_tick(time).unwrap();
    for source in 0..sources {
        let mut rows = Rows::default();
        fill(source, &mut rows);
        writer.write_sample(source, &ok, Some(&rows)).unwrap();
        writer.write_happenings(source, &rows).unwrap();
    }
    writer.commit_tick(TickCost::default()).unwrap();
}

/// Records ticks of ten seconds, each of what `fill` puts into the rows of each source.
pub(crate) fn record(
    path: &Path,
    sources: &[&'static Spec],
    ticks: i64,
    mut fill: impl FnMut(i64, usize, &mut Rows),
) {
    let mut writer = begin(path, "b", sources);
    for tick in 0..ticks {
        write_tick(
            &mut writer,
            tick * TICK_US,
            sources.len(),
            |source, rows| {
                fill(tick, source, rows);
            },
        );
    }
    writer.end_run(ticks * TICK_US, "done").unwrap();
}

/// Records such ticks and analyses them.
pub(crate) fn analysed(
    path: &Path,
    sources: &[&'static Spec],
    ticks: i64,
    fill: impl FnMut(i64, usize, &mut Rows),
) -> Analysis {
    record(path, sources, ticks, fill);
    analyse(&Recording::open(path).unwrap(), |_| {}).unwrap()
}
