//! Writes a made-up recording of a long soak: the reference load with one leak in it.
//!
//! ```sh
//! cargo run --release --example long_soak -- week.db
//! cargo run --release --example long_soak -- day.db --ticks 8640 --processes 200 --leak 4096
//! ```
//!
//! The process `slow-leak` grows by 1,440 KiB an hour (a page a tick of 10 s) under a saw-tooth of
//! 96 MiB that takes about three hours. `memsoak-analyze report week.db` is to name it, and nothing
//! else. docs/PERFORMANCE.md says what that costs.

#![allow(clippy::print_stdout, reason = "an example talks to people")]

#[path = "../tests/support/made_up_soak/mod.rs"]
mod made_up_soak;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use made_up_soak::Soak;

const USAGE: &str = "usage: long_soak OUT.db [--ticks 60480] [--processes 1125] [--interval 10s] \
    [--leak KIB_PER_HOUR] [--seed 1] [--max-mib N]";

fn main() -> anyhow::Result<()> {
    let mut soak = Soak {
        ticks: 60_480,
        processes: 1125,
        interval_s: 10,
        leak_kib_per_hour: 1440,
        seed: 1,
        most_bytes: None,
    };
    let mut out = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> anyhow::Result<u32> {
            let text = arguments.next().context(USAGE)?;
            text.trim_end_matches('s').parse().context(USAGE)
        };
        match argument.as_str() {
            "--ticks" => soak.ticks = number()?,
            "--processes" => soak.processes = number()?,
            "--interval" => soak.interval_s = number()?.max(1),
            "--leak" => soak.leak_kib_per_hour = number()?,
            "--seed" => soak.seed = number()?,
            "--max-mib" => soak.most_bytes = Some(u64::from(number()?) << 20),
            path if !path.starts_with('-') && out.is_none() => out = Some(PathBuf::from(path)),
            _ => bail!(USAGE),
        }
    }
    let out = out.context(USAGE)?;
    if out.exists() {
        bail!("{} exists already", out.display());
    }
    let begun = Instant::now();
    made_up_soak::write(&out, &soak)?;
    let bytes = std::fs::metadata(&out)?.len();
    println!(
        "{}: {} ticks, {} MiB, {} bytes a tick, written in {:.0} s",
        out.display(),
        soak.ticks,
        bytes >> 20,
        bytes / u64::from(soak.ticks.max(1)),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
