//! What a recording holds besides values: its boots, runs and ticks, and how each read went.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use memsoak_schema::{
    Boot, Error, Event, Host, Plan, Recording, Run, Source, Status, Tick, WallClock,
};

use super::asleep::Asleep;
use super::dates;
use super::kin::Kin;

/// The samples of one source in one boot that gave values, in order.
#[derive(Clone, Debug, Default)]
pub struct SourceTicks {
    /// Their ticks.
    pub ticks: Vec<i64>,
    /// Their times, in seconds from the start of the boot's recording.
    pub t_s: Vec<f64>,
    /// Ticks at which every row of the source was stored.
    pub keyframes: Vec<i64>,
    /// Ticks at which it was planned and gave nothing.
    pub failed: Vec<i64>,
}

/// How much of what was planned for a source was obtained.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The source.
    pub source: String,
    /// Its last state.
    pub status: Status,
    /// Why, if not ok: the last reason.
    pub reason: Option<String>,
    /// Samples that gave values.
    pub ticks_ok: u64,
    /// Samples that were planned.
    pub ticks_planned: u64,
    /// Mean wall time of a read, in us.
    pub read_us: f64,
}

/// The ticks of one boot.
#[derive(Clone, Debug)]
pub struct BootTicks {
    /// The boot.
    pub boot: Boot,
    /// How many there are.
    pub ticks: u64,
    /// First and last tick.
    pub range: RangeInclusive<i64>,
    /// CLOCK_BOOTTIME of the first tick in us: second 0 of the boot's series.
    pub start_us: i64,
    /// CLOCK_BOOTTIME of the last tick in us.
    pub end_us: i64,
    /// The samples that gave values, by source.
    pub sources: HashMap<i64, SourceTicks>,
    /// Stretches without ticks, in seconds from the start, with the reason.
    pub gaps: Vec<(f64, f64, String)>,
    /// How long the recording was meant to be, in seconds, where that was said.
    pub planned_s: Option<f64>,
    /// When the machine slept.
    pub asleep: Asleep,
}

impl BootTicks {
    /// Length in seconds.
    pub fn span_s(&self) -> f64 {
        seconds(self.end_us - self.start_us)
    }

    /// Seconds from the start of an instant of CLOCK_BOOTTIME in us.
    pub fn at(&self, boottime_us: i64) -> f64 {
        seconds(boottime_us - self.start_us)
    }
}

/// What a recording holds besides values.
#[derive(Debug)]
pub struct Index {
    /// The machines.
    pub hosts: Vec<Host>,
    /// The boots that have ticks, in order.
    pub boots: Vec<BootTicks>,
    /// The runs.
    pub runs: Vec<Run>,
    /// The sources and their metrics.
    pub sources: Vec<Source>,
    /// Which entities bear one name.
    pub kin: Kin,
    /// What happened.
    pub events: Vec<Event>,
    /// The wall clock against the boot clock, as it was set and kept.
    pub clock: Vec<WallClock>,
    /// The offset by which each boot is dated.
    offsets: HashMap<i64, i64>,
    /// How much of each source there is.
    pub coverage: Vec<Coverage>,
    /// Intervals of the sources.
    pub plans: Vec<Plan>,
    /// Number of ticks.
    pub ticks: u64,
    /// Planned moments without a tick.
    pub missed: u64,
}

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "2^53 us are 285 years")]
pub(super) fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

impl Index {
    /// Reads it.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read(recording: &Recording) -> Result<Self, Error> {
        recording.verify()?;
        let runs = recording.runs()?;
        let ticks = recording.ticks()?;
        let sources = recording.sources()?;
        let mut boots = boots_with_ticks(&recording.boots()?, &runs, &ticks);
        let coverage = read_samples(recording, &sources, &ticks, &mut boots)?;
        let events = recording.events()?;
        for boot in &mut boots {
            boot.asleep = Asleep::of(&events, boot.boot.boot, boot.start_us);
            for (from, to, reason) in &mut boot.gaps {
                if let Some(why) = boot.asleep.reason_of(*from, *to) {
                    why.clone_into(reason);
                }
            }
        }
        let clock = recording.wall_clock()?;
        let mut kin = Kin::default();
        for source in &sources {
            kin.read(recording, source)?;
        }
        Ok(Self {
            hosts: recording.hosts()?,
            boots,
            sources,
            kin,
            events,
            offsets: dates::offsets(&clock, &ticks),
            clock,
            coverage,
            plans: recording.plans()?,
            ticks: ticks.len() as u64,
            missed: ticks.iter().fold(0, |sum, tick| {
                sum.saturating_add(tick.missed.unsigned_abs())
            }),
            runs,
        })
    }

    /// Wall time of an instant, in us since 1970. All instants of a boot are dated by one offset of its
    /// clock: the one that it had for the longest time since it was set.
    pub fn wall_us(&self, boot: i64, boottime_us: i64) -> Option<i64> {
        let offset_us = self.offsets.get(&boot)?;
        Some(boottime_us.saturating_add(*offset_us))
    }

    /// The machine of a boot.
    pub fn host(&self, boot: &Boot) -> Option<&Host> {
        self.hosts.iter().find(|host| host.host == boot.host)
    }
}

fn boots_with_ticks(boots: &[Boot], runs: &[Run], ticks: &[Tick]) -> Vec<BootTicks> {
    let run_of: HashMap<i64, &Run> = runs.iter().map(|run| (run.run, run)).collect();
    let boot_of = |tick: &Tick| run_of.get(&tick.run).map(|run| run.boot);
    ticks
        .chunk_by(|a, b| boot_of(a) == boot_of(b))
        .filter_map(|of_boot| {
            let (first, last) = (of_boot.first()?, of_boot.last()?);
            let number = boot_of(first)?;
            let boot = boots.iter().find(|boot| boot.boot == number)?.clone();
            let interval_us = run_of.get(&last.run)?.interval_us;
            let planned_s = run_of
                .get(&last.run)?
                .settings
                .get("duration_us")
                .and_then(serde_json::Value::as_i64)
                .map(seconds);
            Some(BootTicks {
                boot,
                ticks: of_boot.len() as u64,
                range: first.tick..=last.tick,
                start_us: first.boottime_us,
                end_us: last.boottime_us,
                sources: HashMap::new(),
                gaps: find_gaps(of_boot, first.boottime_us, interval_us, &run_of),
                planned_s,
                asleep: Asleep::default(),
            })
        })
        .collect()
}

/// A stretch between two ticks that is longer than two and a half intervals: one tick that came
/// late is no gap. A hole in the numbers of the ticks is none either: they were taken, and left out
/// to bound the recording's size.
fn find_gaps(
    ticks: &[Tick],
    start_us: i64,
    interval_us: i64,
    run_of: &HashMap<i64, &Run>,
) -> Vec<(f64, f64, String)> {
    ticks
        .windows(2)
        .filter(|pair| {
            let left_out = (pair[1].tick - pair[0].tick - 1).clamp(0, i64::from(i32::MAX));
            let longest = interval_us / 2 * 5 + interval_us.saturating_mul(left_out);
            pair[1].boottime_us - pair[0].boottime_us > longest
        })
        .map(|pair| {
            // Ticks are numbered one after the other: what is not there was thinned out, or lost.
            let absent = pair[1].tick.saturating_sub(pair[0].tick) - 1;
            let reason = if pair[0].run == pair[1].run && absent > 0 {
                format!("{absent} ticks are not in the file")
            } else if pair[0].run == pair[1].run {
                format!("{} ticks missed", pair[1].missed)
            } else {
                let ended = run_of
                    .get(&pair[0].run)
                    .and_then(|run| run.end_reason.clone())
                    .unwrap_or_else(|| "not recording".to_owned());
                format!("recorder: {ended}")
            };
            (
                seconds(pair[0].boottime_us - start_us),
                seconds(pair[1].boottime_us - start_us),
                reason,
            )
        })
        .collect()
}

fn damaged(samples: u64) -> String {
    format!(
        "{samples} of its samples are damaged in this file; `memsoak-analyze salvage FILE OUT` \
         may give some of them"
    )
}

#[derive(Default)]
struct Tally {
    ok: u64,
    planned: u64,
    read_us: i64,
    status: Option<Status>,
    reason: Option<i64>,
}

fn read_samples(
    recording: &Recording,
    sources: &[Source],
    ticks: &[Tick],
    boots: &mut [BootTicks],
) -> Result<Vec<Coverage>, Error> {
    let mut tallies: BTreeMap<i64, Tally> = BTreeMap::new();
    let mut boot_at = 0;
    let mut tick_at = 0;
    recording.scan_samples(|sample| {
        let tally = tallies.entry(sample.source).or_default();
        tally.planned += 1;
        tally.read_us = tally.read_us.saturating_add(sample.read_us.unwrap_or(0));
        tally.status = Some(sample.status);
        if sample.reason.is_some() || sample.status == Status::Ok {
            tally.reason = sample.reason;
        }
        // Samples and ticks are both in order of ticks.
        while ticks
            .get(tick_at)
            .is_some_and(|tick| tick.tick < sample.tick)
        {
            tick_at += 1;
        }
        while boots
            .get(boot_at)
            .is_some_and(|boot| *boot.range.end() < sample.tick)
        {
            boot_at += 1;
        }
        let (Some(tick), Some(boot)) = (ticks.get(tick_at), boots.get_mut(boot_at)) else {
            return;
        };
        if tick.tick != sample.tick {
            return;
        }
        let at = boot.at(tick.boottime_us);
        let of_source = boot.sources.entry(sample.source).or_default();
        if sample.status.has_values() {
            tally.ok += 1;
            of_source.ticks.push(sample.tick);
            of_source.t_s.push(at);
            if sample.keyframe {
                of_source.keyframes.push(sample.tick);
            }
        } else {
            of_source.failed.push(sample.tick);
        }
    })?;
    let reasons: HashMap<_, _> = recording.reasons()?.into_iter().collect();
    let damage = recording.verify()?;
    Ok(sources
        .iter()
        .filter_map(|source| {
            let tally = tallies.get(&source.source)?;
            #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
            let read_us = tally.read_us as f64 / tally.planned.max(1) as f64;
            Some(Coverage {
                source: source.name.clone(),
                status: tally.status?,
                reason: match damage.of_source(source.source) {
                    0 => tally
                        .reason
                        .and_then(|reason| reasons.get(&reason).cloned()),
                    // Also where the last sample is good: what is missing from the middle counts.
                    samples => Some(damaged(samples)),
                },
                ticks_ok: tally.ok,
                ticks_planned: tally.planned,
                read_us,
            })
        })
        .collect())
}
