//! What judging costs: CPU time a series, and memory for very many.
//!
//! Time is the CPU clock of this thread, so that other work on the machine does not count but for what
//! it does to the caches.

use crate::random::Random;
use crate::support::{self, SWAPS};
use crate::table::Table;
use anyhow::{Context, ensure};
use memsoak_analyze::findings::analyse;
use memsoak_analyze::load::{Index, judged_series};
use memsoak_analyze::series_csv::Series;
use memsoak_analyze::verdict::{Cells, Traits, judge};
use memsoak_schema::{Recording, Value};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

/// A week at 10 s.
const LONG: usize = 60_000;
/// Series that are timed.
const TIMED: usize = 32;
/// Rounds over these.
const ROUNDS: usize = 10;
/// Series that memory is measured on: those that vary, and all.
const VARYING: usize = 10_000;
const MANY: usize = 100_000;
/// Samples of each of those.
const SHORT: usize = 400;

/// The first number of the random streams.
const COST: u64 = 104;

/// Microseconds this thread has run.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// CPU time of a piece of work, for each of `count` series.
fn per_series<T>(count: usize, work: impl FnOnce() -> T) -> (T, String) {
    let before = cpu_us();
    let done = work();
    let spent = cpu_us() - before;
    (done, format!("{:.1} us", spent / count as f64))
}

/// CPU time of a piece of work for each of some things, in rounds over all of them: between two rounds
/// as much memory is gone through as in a real recording.
fn each_of<T>(things: &[T], work: impl Fn(&T)) -> String {
    let ((), time) = per_series(ROUNDS * things.len(), || {
        for _ in 0..ROUNDS {
            things.iter().for_each(|one| work(black_box(one)));
        }
    });
    time
}

/// The table of costs.
///
/// # Errors
/// Where a recording cannot be made in the folder for temporary files.
pub(crate) fn measure(seed: u64) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let mut table = Table::new(1, &["for each series", "CPU"]);
    let all: Vec<Vec<f64>> = (0..TIMED).map(|at| kib(seed, at, LONG)).collect();

    let path = folder.path().join("long.db");
    record(&path, LONG, all.len(), |at, tick| match at % 2 {
        0 => all[at][tick],
        _ => all[at][0],
    });
    let recording = Recording::open(&path)?;
    let index = Index::read(&recording)?;
    let mut cells = Vec::new();
    let (read, time) = per_series(TIMED / 2, || {
        judged_series(
            &recording,
            &index,
            |_| (),
            |_, lives| cells.extend_from_slice(lives),
        )
    });
    read?;
    ensure!(cells.len() == TIMED, "{} series of {TIMED}", cells.len());
    let (constant, varying): (Vec<Cells>, Vec<Cells>) =
        cells.into_iter().partition(|one| one.max <= one.min);
    table.row([
        format!("read {LONG} changes of a recording into cells"),
        time,
    ]);
    let traits = Traits::default();
    for (name, cells) in [
        ("judge the cells of a series that varies", varying),
        ("judge the cells of a constant one", constant),
    ] {
        let time = each_of(&cells, |one| {
            black_box(judge(one, &traits));
        });
        table.row([name.to_owned(), time]);
    }

    let t_s: Vec<f64> = (0..LONG).map(|tick| 10.0 * tick as f64).collect();
    let series: Vec<Series> = all
        .into_iter()
        .map(|value| Series {
            t_s: t_s.clone(),
            value,
            ..Series::default()
        })
        .collect();
    let time = each_of(&series, |one| {
        black_box(one.judge());
    });
    table.row([format!("judge {LONG} samples in memory, exactly"), time]);
    let ((), time) = per_series(ROUNDS * series.len(), || {
        for one in &series {
            for _ in 0..ROUNDS {
                black_box(black_box(one).judge());
            }
        }
    });
    table.row(["the same where the CPU's cache has them".to_owned(), time]);
    let time = each_of(&series, |one| {
        black_box(judge(&Cells::from_samples(&one.t_s, &one.value), &traits));
    });
    table.row([
        format!("judge {LONG} samples in memory, through cells"),
        time,
    ]);
    drop(series);

    let path = folder.path().join("many.db");
    let some: Vec<Vec<f64>> = (0..64).map(|at| kib(seed, at, SHORT)).collect();
    record(&path, SHORT, MANY, |at, tick| {
        let one = &some[at % some.len()];
        if at < VARYING { one[tick] } else { one[0] }
    });
    // A process of its own: memory that was used here before would hide what is used now.
    let output = Command::new(std::env::current_exe()?)
        .arg("--peak-of")
        .arg(&path)
        .output()?;
    ensure!(
        output.status.success(),
        "the process that reads {MANY} series failed"
    );
    let peak = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(format!(
        "{}\nA report's analysis of {MANY} series of {SHORT} samples, of which {VARYING} vary, takes {peak} at its peak.\n",
        table.render()
    ))
}

/// Analyses a recording and says what memory that took.
///
/// # Errors
/// Where it is no recording, or the kernel does not say.
pub(crate) fn peak_of(path: &Path) -> anyhow::Result<String> {
    let analysis = analyse(&Recording::open(path)?, |_| ())?;
    ensure!(
        analysis.series() == MANY as u64,
        "{} series",
        analysis.series()
    );
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
        kib.parse::<f64>().ok()
    });
    let mib = peak.context("no VmHWM in /proc/self/status")? / 1024.0;
    Ok(format!("{mib:.0} MiB"))
}

/// A level of 100 MiB with noise; every second one is a leak, every third one wanders.
fn kib(seed: u64, at: usize, samples: usize) -> Vec<f64> {
    let mut random = Random::new(&[seed, COST, at as u64]);
    let rate = if at.is_multiple_of(2) { 20_000.0 } else { 0.0 };
    let phi = if at.is_multiple_of(3) { 1.0 } else { 0.5 };
    let noise = random.autoregression(samples, phi);
    noise
        .into_iter()
        .enumerate()
        .map(|(tick, e)| 102_400.0 + rate * tick as f64 / samples as f64 + 1000.0 * e)
        .map(|value| 4.0 * (value.max(0.0) / 4.0).round())
        .collect()
}

/// Writes a recording of `entities` swap areas, as the recorder would.
fn record(path: &Path, ticks: usize, entities: usize, used_kib: impl Fn(usize, usize) -> f64) {
    let names: Vec<String> = (0..entities).map(|at| format!("area{at}")).collect();
    let count = i64::try_from(ticks).unwrap_or(i64::MAX);
    support::record(path, &[&SWAPS], count, |tick, _, rows| {
        let tick = usize::try_from(tick).unwrap_or_default();
        for (at, name) in names.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "made small by kib()")]
            let used = used_kib(at, tick) as i64;
            let values = [Value::Int(1 << 30), Value::Int(used), Value::Null];
            rows.entity(name.as_bytes(), name.as_bytes(), &values);
        }
    });
}
