//! Records this machine while known leakers and innocent neighbours run, analyses the recording,
//! and scores the report: was each leaker named once, at its rate, and nobody else?
//!
//! ```sh
//! cargo run --release --example leak_hunt
//! cargo run --release --example leak_hunt -- --seconds 3600 --alone --kinds pipes,threads
//! ```
//!
//! Each takes 600 steps, however long that takes. Root sees the most.

#![allow(clippy::print_stdout, reason = "an example talks to people")]

mod cast;
#[path = "../leak_lab/lab/mod.rs"]
mod lab;
mod score;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cast::{Leaker, Player};
use memsoak_analyze::report;
use memsoak_record::run;

const USAGE: &str = "\
usage: leak_hunt [--seconds 600] [--interval-ms 1000] [--alone] [--kinds KIND,...]
                 [--beside NAME,...] [--out DIR] [--again]
  --seconds N      how long to record
  --interval-ms N  the recorder's interval
  --alone          one recording for each leaker instead of one for all
  --kinds KIND,... which leakers take part; all of them by default
  --beside NAME,.. other programs that run and do not leak, by the beginning of their names
  --out DIR        where recordings and reports go; target/leak_hunt by default
  --again          analyses and scores what stands there already";

/// Steps that each player takes in a recording.
const STEPS: u32 = 600;

struct Hunt {
    seconds: u64,
    interval: Duration,
    alone: bool,
    leakers: Vec<&'static Leaker>,
    beside: Vec<String>,
    out: PathBuf,
    again: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    // The players are this program under other names.
    if lab::kinds().any(|kind| args.first().is_some_and(|first| first == kind.name)) {
        return Ok(lab::main(&args));
    }
    let hunt = parse(&args)?;
    if hunt.out.exists() && !hunt.again {
        std::fs::remove_dir_all(&hunt.out)?;
    }
    let mut failures = 0;
    if hunt.alone {
        for leaker in &hunt.leakers {
            println!("\n{}, alone among innocents", leaker.kind);
            failures += hunt.at(&hunt.out.join(leaker.kind), &[leaker])?;
        }
    } else {
        failures = hunt.at(&hunt.out, &hunt.leakers)?;
    }
    println!("\n{failures} failures");
    Ok(ExitCode::from(u8::from(failures > 0)))
}

fn parse(args: &[String]) -> anyhow::Result<Hunt> {
    let mut hunt = Hunt {
        seconds: 600,
        interval: Duration::from_secs(1),
        alone: false,
        leakers: cast::LEAKERS.iter().collect(),
        beside: Vec::new(),
        out: PathBuf::from("target/leak_hunt"),
        again: false,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--alone" => hunt.alone = true,
            "--again" => hunt.again = true,
            "--seconds" => hunt.seconds = args.next().context(USAGE)?.parse()?,
            "--interval-ms" => {
                hunt.interval = Duration::from_millis(args.next().context(USAGE)?.parse()?);
            }
            "--out" => hunt.out = args.next().context(USAGE)?.into(),
            "--beside" => {
                let names = args.next().context(USAGE)?.split(',');
                hunt.beside = names.map(str::to_owned).collect();
            }
            "--kinds" => {
                hunt.leakers = args
                    .next()
                    .context(USAGE)?
                    .split(',')
                    .map(|kind| cast::leaker_of(kind).with_context(|| format!("no leaker {kind}")))
                    .collect::<anyhow::Result<_>>()?;
            }
            _ => bail!(USAGE),
        }
    }
    ensure!(hunt.seconds > 0, "--seconds needs a number above 0");
    Ok(hunt)
}

impl Hunt {
    /// Records, analyses and scores in one folder; returns how much was wrong.
    fn at(&self, folder: &Path, leakers: &[&'static Leaker]) -> anyhow::Result<usize> {
        let db = folder.join("soak.db");
        let truth = folder.join("truth.tsv");
        if !self.again {
            std::fs::create_dir_all(folder)?;
            cast::write_truths(&truth, &self.record(&db, folder, leakers)?)?;
        }
        let out = folder.join("report");
        report::write(&db, None, &out, |_| {})?;
        let json = std::fs::read(out.join("report.json"))?;
        let report = serde_json::from_slice(&json)?;
        let truths = cast::read_truths(&truth)?;
        Ok(score::print(&report, leakers, &truths, &self.beside))
    }

    /// Records while the cast runs, and returns what each of it did.
    fn record(
        &self,
        db: &Path,
        folder: &Path,
        leakers: &[&'static Leaker],
    ) -> anyhow::Result<Vec<cast::Truth>> {
        let step = Duration::from_secs(self.seconds) / STEPS;
        let leaking = leakers
            .iter()
            .map(|leaker| (cast::leaker_comm(leaker.kind), leaker.kind, leaker.count));
        let innocent = cast::INNOCENTS
            .iter()
            .map(|it| (cast::innocent_comm(it.kind), it.kind, it.count));
        let players = leaking
            .chain(innocent)
            .map(|(comm, kind, count)| Player::start(folder, comm, kind, count, step))
            .collect::<anyhow::Result<Vec<_>>>()?;
        println!(
            "{} leakers and {} innocents; recording for {} s into {} ...",
            leakers.len(),
            cast::INNOCENTS.len(),
            self.seconds,
            db.display()
        );
        run::run(&run::Options {
            db: db.to_owned(),
            interval: self.interval,
            duration: Some(Duration::from_secs(self.seconds)),
            every: Vec::new(),
            without: Vec::new(),
            root: PathBuf::from("/"),
            labels: vec![("made-by".to_owned(), "leak_hunt".to_owned())],
            cpu_budget: 0.05,
            probes: Vec::new(),
            min_free: None,
            max_size: None,
        })?;
        players.into_iter().map(Player::end).collect()
    }
}
