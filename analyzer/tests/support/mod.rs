//! Recordings that tests make up tick by tick.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::path::Path;

use memsoak_analyze::findings::{Analysis, analyse};
use memsoak_schema::{
    BootInfo, HostInfo, MetricSpec, Recording, Rows, RunInfo, SampleState, Shape, Spec, Status,
    TickCost, TickTime, Writer,
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
#[allow(dead_code, reason = "not every test has processes")]
pub(crate) const RECORDER: u32 = 77;

/// Length of a tick.
const TICK_US: i64 = 10_000_000;

/// Records ticks of ten seconds, each of what `fill` puts into the rows of each source, and
/// analyses them.
pub(crate) fn analysed(
    path: &Path,
    sources: &[&'static Spec],
    ticks: i64,
    mut fill: impl FnMut(i64, usize, &mut Rows),
) -> Analysis {
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
        boot_id: "b".to_owned(),
        page_bytes: 4096,
        user_hz: 100,
        ..BootInfo::default()
    };
    writer
        .begin_run(&HostInfo::default(), &boot, &run, sources)
        .unwrap();
    let ok = SampleState {
        status: Status::Ok,
        reason: None,
        read_us: None,
        bytes: None,
    };
    let mut rows = Rows::default();
    for tick in 0..ticks {
        let time = TickTime {
            boottime_us: tick * TICK_US,
            ..TickTime::default()
        };
        writer.begin_tick(time).unwrap();
        for source in 0..sources.len() {
            rows.clear();
            fill(tick, source, &mut rows);
            writer.write_sample(source, &ok, Some(&rows)).unwrap();
        }
        writer.commit_tick(TickCost::default()).unwrap();
    }
    writer.end_run(ticks * TICK_US, "done").unwrap();
    analyse(&Recording::open(path).unwrap(), |_| {}).unwrap()
}
