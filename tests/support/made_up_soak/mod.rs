//! A made-up recording of a long soak: the reference load, healthy but for one process that leaks.
//!
//! What the system sources hold starts from a capture of a real machine, and as many numbers change
//! a tick as were counted there under the reference load at 10 s: 24 keys of meminfo, 46 of vmstat,
//! 32 slab caches, 50 of 1,125 processes. Everything that moves does so as a function of time, so
//! that a longer interval gives the same week with fewer ticks.

mod machine;
mod motion;
mod table;

use std::path::Path;

use memsoak_record::source::SOURCES;
use memsoak_schema::{
    BootInfo, Error, Happening, HostInfo, Label, Rows, RunInfo, SampleState, Status, TickCost,
    TickTime, Writer,
};

use machine::Machine;
use motion::{Dice, whole};

/// The process that leaks.
pub(crate) const LEAKER: &str = "slow-leak";

/// What is to be made up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soak {
    /// How many ticks.
    pub(crate) ticks: u32,
    /// How many processes; 1,125 are the reference load.
    pub(crate) processes: u32,
    /// The interval of the ticks in seconds.
    pub(crate) interval_s: u32,
    /// How much the leaker's anonymous memory grows in KiB an hour.
    pub(crate) leak_kib_per_hour: u32,
    /// Another seed is another week of the same kind.
    pub(crate) seed: u32,
    /// Bytes that the file may have; its oldest part is thinned.
    pub(crate) most_bytes: Option<u64>,
}

/// What becomes of the machine's clocks at a tick of the soak.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "not every program that makes up a soak upsets it")]
pub(crate) enum Upset {
    /// The wall clock is set by so many us.
    Clock(i64),
    /// The machine sleeps for so many us.
    Suspend(i64),
    /// It boots again.
    Reboot,
}

/// The wall clock of a machine whose date nobody upset, minus its boot clock, in us.
pub(crate) const WALL_OFFSET_US: i64 = 1_760_000_000_000_000;

/// Writes the soak to a new file.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When the capture that it starts from is not there.
#[allow(
    dead_code,
    reason = "not every program that makes up a soak leaves it alone"
)]
pub(crate) fn write(path: &Path, soak: &Soak) -> Result<(), Error> {
    write_upset(path, soak, WALL_OFFSET_US, &[])
}

/// Writes the soak to a new file, with what becomes of the clocks at which ticks. The wall clock is
/// at `offset_us` from the boot clock at first.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When the capture that it starts from is not there.
pub(crate) fn write_upset(
    path: &Path,
    soak: &Soak,
    mut offset_us: i64,
    upsets: &[(u32, Upset)],
) -> Result<(), Error> {
    const START_US: i64 = 90_000_000;
    let interval_us = i64::from(soak.interval_s) * 1_000_000;
    let mut machine = Machine::new(soak);
    let specs: Vec<_> = SOURCES.iter().map(|source| source.spec).collect();
    let mut boot = 1;
    let mut writer = begin(path, boot, interval_us, &specs)?;
    let mut rows = Rows::default();
    let mut reads = Dice::of(soak.seed, "reads");
    let mut last_read_us = vec![i64::MIN; specs.len()];
    // What the boot clock is ahead of the time that the machine has lived.
    let mut ahead_us = START_US;
    let mut now_us = START_US;
    for tick in 0..soak.ticks {
        let mut noticed = None;
        for (_, upset) in upsets.iter().filter(|(at, _)| *at == tick) {
            match upset {
                Upset::Clock(by_us) => offset_us += by_us,
                Upset::Suspend(us) => {
                    ahead_us += us;
                    let slept = Happening::new("suspend", b"the machine was suspended");
                    noticed = Some(slept.with("suspended_us", Label::Int(*us)));
                }
                Upset::Reboot => {
                    drop(writer);
                    let lived_us = i64::from(tick) * interval_us;
                    offset_us += ahead_us + lived_us - START_US;
                    ahead_us = START_US - lived_us;
                    machine = Machine::new(soak);
                    last_read_us.fill(i64::MIN);
                    boot += 1;
                    writer = begin(path, boot, interval_us, &specs)?;
                }
            }
        }
        now_us = ahead_us + i64::from(tick) * interval_us;
        machine.live(tick, f64::from(tick) * f64::from(soak.interval_s));
        let late_us = whole(machine.dice.between(50.0, 900.0));
        writer.begin_tick(TickTime {
            boottime_us: now_us + late_us,
            wall_offset_us: offset_us,
            late_us,
            missed: 0,
        })?;
        if let Some(noticed) = noticed {
            writer.write_noticed(&noticed)?;
        }
        for (place, spec) in specs.iter().enumerate() {
            let every_us = (i64::from(spec.interval_s) * 1_000_000).max(interval_us);
            let last_us = last_read_us[place];
            if last_us != i64::MIN && now_us - last_us < every_us {
                continue;
            }
            last_read_us[place] = now_us;
            rows.clear();
            machine.put(place, writer.wants_keyframe(place), &mut rows);
            let state = SampleState {
                status: Status::Ok,
                reason: None,
                read_us: Some(whole(reads.between(10.0, 400.0))),
                bytes: Some(4096),
            };
            writer.write_sample(place, &state, Some(&rows))?;
            if tick == 0 {
                writer.write_plan(place, every_us, "as planned")?;
            }
        }
        writer.commit_tick(TickCost {
            took_us: 9000,
            cpu_us: 7000,
        })?;
        if let Some(most_bytes) = soak.most_bytes {
            writer.keep_within(most_bytes)?;
        }
    }
    writer.end_run(now_us, "duration reached")
}

/// Begins the run of a boot.
fn begin(
    path: &Path,
    boot: u32,
    interval_us: i64,
    specs: &[&'static memsoak_schema::Spec],
) -> Result<Writer, Error> {
    let mut writer = Writer::open_for_import(path)?;
    writer.begin_run(
        &HostInfo {
            machine: "made up".to_owned(),
            name: b"made-up".to_vec(),
            arch: "x86_64".to_owned(),
        },
        &BootInfo {
            boot_id: format!("00000000-0000-4000-8000-{boot:012}"),
            kernel: Some("6.18.44".to_owned()),
            page_bytes: 4096,
            user_hz: 100,
            cpus: Some(2),
            ..BootInfo::default()
        },
        &RunInfo {
            program: "made up".to_owned(),
            pid: 1,
            pid_start: 7,
            started_us: 90_000_000,
            interval_us,
            settings: "{}".to_owned(),
            labels: "{}".to_owned(),
            ..RunInfo::default()
        },
        specs,
    )?;
    Ok(writer)
}
