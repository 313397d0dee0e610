//! Damages copies of a recording in every way that happens and tries the analyzer on each: info,
//! trends, salvage, and trends of what was salvaged.
//!
//! ```sh
//! cargo run --release --example damaged_copies -- --count 10000
//! ```
//!
//! Prints the table of docs/ROBUSTNESS.md; exits with 1 where anything panicked, said what was never
//! so, or refused a copy without saying what helps.

#![allow(clippy::print_stdout, reason = "an example talks to people")]
#![allow(
    clippy::cast_precision_loss,
    reason = "shares, shown with three digits"
)]

#[path = "../tests/support/damage.rs"]
mod damage;
#[path = "../tests/support/made_up_soak/mod.rs"]
mod made_up_soak;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use damage::{Fared, Kind, Original};

const USAGE: &str =
    "usage: damaged_copies [--count 1000] [--first 0] [--ticks 1300] [--max-size KIB]";

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

fn mean(of: &[Fared], share: impl Fn(&Fared) -> f64) -> f64 {
    100.0 * of.iter().map(share).sum::<f64>() / of.len().max(1) as f64
}

fn main() -> anyhow::Result<ExitCode> {
    let (mut count, mut first, mut ticks) = (1000_u64, 0_u64, 1300_u64);
    let mut most_bytes = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = arguments.next().context(USAGE)?.parse().context(USAGE)?;
        match argument.as_str() {
            "--count" => count = number,
            "--first" => first = number,
            "--ticks" => ticks = number,
            "--max-size" => most_bytes = Some(number << 10),
            _ => bail!(USAGE),
        }
    }
    let original = Original::make(u32::try_from(ticks).context(USAGE)?, most_bytes)?;
    let before_kib = peak_kib();
    let begun = Instant::now();
    let mut by_kind: BTreeMap<Kind, Vec<Fared>> = BTreeMap::new();
    // A panic is counted, not told each time.
    std::panic::set_hook(Box::new(|_| {}));
    for number in first..first + count {
        let (kind, fared) = original.try_copy(number);
        if !fared.panics.is_empty() || !fared.speechless.is_empty() || fared.wrong != (0, 0) {
            println!("copy {number}, {kind:?}: {fared:?}");
        }
        by_kind.entry(kind).or_default().push(fared);
    }
    println!(
        "{count} copies of {} ticks, {} KiB each, in {:.0} s; peak RSS {} MiB ({} MiB before them)\n",
        original.ticks.1,
        original.bytes() >> 10,
        begun.elapsed().as_secs_f64(),
        peak_kib() >> 10,
        before_kib >> 10
    );
    println!(
        "| damage | copies | read as they are | values then | salvaged | ticks then | values then \
         | wrong values | panics | slowest step |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut faults = 0;
    for (kind, all) in &by_kind {
        let read: Vec<Fared> = all.iter().filter(|one| one.is_read).cloned().collect();
        let wrong: usize = all.iter().map(|one| one.wrong.0 + one.wrong.1).sum();
        let panics: usize = all.iter().map(|one| one.panics.len()).sum();
        let speechless: usize = all.iter().map(|one| one.speechless.len()).sum();
        faults += wrong + panics + speechless;
        let slowest = all
            .iter()
            .map(|one| one.longest)
            .max()
            .unwrap_or(Duration::ZERO);
        println!(
            "| {kind:?} | {} | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {wrong} | {panics} | {:.1} s |",
            all.len(),
            mean(all, |one| f64::from(u8::from(one.is_read))),
            mean(&read, |one| one.samples.0).abs(),
            mean(all, |one| f64::from(u8::from(one.is_salvaged))),
            mean(all, |one| one.ticks),
            mean(all, |one| one.samples.1),
            slowest.as_secs_f64()
        );
    }
    Ok(ExitCode::from(u8::from(faults > 0)))
}
