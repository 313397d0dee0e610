//! `memsoak-record status`: how a recording fares.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use memsoak_schema::{Recording, Sample, Status, printable};

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
    writeln!(out, "ticks      {} taken, {missed} missed", ticks.len())?;

    // What it costs is told of the last run: intervals may differ between runs.
    let of_run: Vec<_> = ticks.iter().filter(|tick| tick.run == last.run).collect();
    let from = of_run
        .first()
        .map_or(first.boottime_us, |tick| tick.boottime_us);
    let interval = run.map_or(0, |run| run.interval_us);
    let span_us = last.boottime_us - from + interval;
    let cpu_us: i64 = of_run.iter().map(|tick| tick.cpu_us).sum();
    let mean = |sum: i64| sum / i64::try_from(of_run.len().max(1)).unwrap_or(1);
    writeln!(
        out,
        "CPU        {:.2} ms a tick, {:.3} % of one CPU",
        ratio(mean(cpu_us), 1000),
        100.0 * ratio(cpu_us, span_us)
    )?;
    let size = std::fs::metadata(db)?.len();
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let all_us: i64 = runs
        .iter()
        .filter_map(|run| {
            let mut of_run = ticks.iter().filter(|tick| tick.run == run.run);
            let first = of_run.next()?.boottime_us;
            let last = of_run.next_back().map_or(first, |tick| tick.boottime_us);
            Some(last - first + run.interval_us)
        })
        .sum();
    writeln!(
        out,
        "file size  {:.1} MiB, grows by {:.1} MiB a day",
        ratio(size, 1 << 20),
        ratio(size, 1 << 20) * ratio(86_400_000_000, all_us.max(1))
    )?;

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

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn ratio(a: i64, b: i64) -> f64 {
    a as f64 / (b.max(1)) as f64
}
