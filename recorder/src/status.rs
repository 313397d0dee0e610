//! `memsoak-record status`: how a recording fares.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use memsoak_schema::{Recording, Sample, Status, Tick, printable};

#[derive(Default)]
struct SourceState {
    ok: u64,
    planned: u64,
    bytes: i64,
    read_us: i64,
    last: Option<Sample>,
}

/// The state of a recording as text.
///
/// # Errors
/// When the file cannot be read.
pub fn describe(db: &Path) -> anyhow::Result<String> {
    let recording = Recording::open(db)?;
    let mut out = String::new();
    let file = printable(db.as_os_str().as_bytes());
    let ticks = recording.ticks()?;
    let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else {
        writeln!(out, "{file}: no tick yet")?;
        return Ok(out);
    };
    let runs = recording.runs()?;
    let run = runs.iter().find(|run| run.run == last.run);
    let offset = recording
        .wall_clock()?
        .iter()
        .rfind(|clock| clock.tick <= last.tick)
        .map_or(0, |clock| clock.offset_us);
    let wall = DateTime::from_timestamp_micros(last.boottime_us + offset)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default();
    writeln!(out, "file       {file}")?;
    writeln!(out, "last tick  {} at {wall}", last.tick)?;
    let state = match run.and_then(|run| run.end_reason.as_deref()) {
        Some(reason) => format!("ended: {reason}"),
        None => "open: recording, or killed".to_owned(),
    };
    writeln!(out, "run        {} of {}, {state}", last.run, runs.len())?;
    let missed: i64 = ticks.iter().map(|tick| tick.missed).sum();
    // A hole in the numbers is ticks that were taken and left out to bound a size.
    let left_out = (last.tick - i64::try_from(ticks.len()).unwrap_or(0)).max(0);
    let thinned = match left_out {
        0 => String::new(),
        _ => format!(" ({left_out} more were merged into them)"),
    };
    writeln!(
        out,
        "ticks      {} kept{thinned}, {missed} missed",
        ticks.len()
    )?;

    // What it costs is told of the last run: intervals may differ between runs.
    let of_run: Vec<_> = ticks.iter().filter(|tick| tick.run == last.run).collect();
    let from = of_run
        .first()
        .map_or(first.boottime_us, |tick| tick.boottime_us);
    let interval = run.map_or(0, |run| run.interval_us);
    let span_us = last.boottime_us - from + interval;
    let cpu_us: i64 = of_run.iter().map(|tick| tick.cpu_us).sum();
    let taken = of_run.first().map_or(1, |first| last.tick - first.tick + 1);
    writeln!(
        out,
        "CPU        {:.2} ms a tick, {:.3} % of one CPU",
        ratio(cpu_us / taken.max(1), 1000),
        100.0 * ratio(cpu_us, span_us)
    )?;
    let size = std::fs::metadata(db)?.len();
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let growth = a_day(&recording, &of_run, "file_bytes")?;
    let is_long = growth.is_some();
    let growth = match growth {
        Some(bytes) => format!("grows by {:.1} MiB a day", mib(bytes)),
        None => TOO_SHORT.to_owned(),
    };
    writeln!(out, "file size  {:.1} MiB, {growth}", ratio(size, 1 << 20))?;
    let written = a_day(&recording, &of_run, "written_bytes")?;
    let written = match written {
        Some(bytes) => format!("{:.1} MiB a day to its disk, the log included", mib(bytes)),
        None if is_long => "this kernel does not count what is written".to_owned(),
        None => TOO_SHORT.to_owned(),
    };
    writeln!(out, "writes     {written}")?;

    let mut states: BTreeMap<i64, SourceState> = BTreeMap::new();
    recording.scan_samples(|sample| {
        let state = states.entry(sample.source).or_default();
        state.planned += 1;
        state.ok += u64::from(sample.status == Status::Ok);
        state.bytes += sample.bytes.unwrap_or(0);
        state.read_us += sample.read_us.unwrap_or(0);
        state.last = Some(sample);
    })?;
    let reasons: BTreeMap<_, _> = recording.reasons()?.into_iter().collect();
    writeln!(out)?;
    writeln!(
        out,
        "{:<14} {:<12} {:>15} {:>10} {:>10}  reason",
        "source", "last state", "ok of planned", "read us", "bytes"
    )?;
    for source in recording.sources()? {
        let Some(state) = states.get(&source.source) else {
            continue;
        };
        let planned = i64::try_from(state.planned.max(1)).unwrap_or(1);
        let reason = state
            .last
            .and_then(|sample| sample.reason)
            .and_then(|reason| reasons.get(&reason))
            .map_or("", String::as_str);
        writeln!(
            out,
            "{:<14} {:<12} {:>15} {:>10} {:>10}  {reason}",
            source.name,
            state.last.map_or("", |sample| sample.status.as_str()),
            format!("{} of {}", state.ok, state.planned),
            state.read_us / planned,
            state.bytes / planned,
        )?;
    }
    Ok(out)
}

/// A run says nothing of a day before this time is over: the first pictures are whole ones.
const SETTLED_US: i64 = 60_000_000;
/// Nor before it has gone on for so long from there: the file grows at checkpoints, every 30 s, so
/// that one more or less of twenty is an error of 5 %.
const SHORTEST_US: i64 = 600_000_000;
const TOO_SHORT: &str = "too short to tell what in a day (11 minutes are needed)";

/// By how many bytes a figure that the recorder keeps of itself rises in a day, by what it did in
/// this run. `None` when the run is too short or the kernel does not tell.
fn a_day(recording: &Recording, run: &[&Tick], figure: &str) -> anyhow::Result<Option<f64>> {
    let sources = recording.sources()?;
    let metric = sources
        .iter()
        .filter(|source| source.name == "recorder")
        .flat_map(|source| &source.metrics)
        .find(|metric| metric.name == figure);
    let (Some(metric), Some(first), Some(last)) = (metric, run.first(), run.last()) else {
        return Ok(None);
    };
    let settled_us = first.boottime_us + SETTLED_US;
    let from = run.partition_point(|tick| tick.boottime_us < settled_us);
    let Some(base) = run
        .get(from)
        .filter(|base| last.boottime_us - base.boottime_us >= SHORTEST_US)
    else {
        return Ok(None);
    };
    // Only changes are stored: what stands last up to a tick holds at it.
    let (mut at_base, mut at_last) = (f64::NAN, f64::NAN);
    recording.scan_scalars(
        &[metric.metric],
        &(first.tick..=last.tick),
        |tick, _, value| {
            if tick <= base.tick {
                at_base = value;
            }
            at_last = value;
        },
    )?;
    let days = ratio(last.boottime_us - base.boottime_us, 86_400_000_000);
    Ok(Some((at_last - at_base) / days).filter(|bytes| bytes.is_finite()))
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn ratio(a: i64, b: i64) -> f64 {
    a as f64 / (b.max(1)) as f64
}
