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

use cast::{Leaker, Player};
use clap::Parser;
use memsoak_analyze::report;
use memsoak_record::run;

/// Steps that each player takes in a recording.
const STEPS: u32 = 600;

/// Records this machine while known leakers and innocent neighbours run, and scores the report.
#[derive(Parser)]
struct Hunt {
    /// How long to record
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// The recorder's interval
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    interval_ms: u64,
    /// One recording for each leaker instead of one for all
    #[arg(long)]
    alone: bool,
    /// Which leakers take part; all of them by default
    #[arg(long = "kinds", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    leakers: Vec<&'static Leaker>,
    /// Other programs that run and do not leak, by the beginning of their names
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    beside: Vec<String>,
    /// Where recordings and reports go; those of an earlier hunt there are replaced
    #[arg(long, value_name = "DIR", default_value = "target/leak_hunt")]
    out: PathBuf,
    /// Analyse and score what stands there already
    #[arg(long)]
    again: bool,
}

fn kind(name: &str) -> Result<&'static Leaker, String> {
    cast::leaker_of(name).ok_or_else(|| {
        let known: Vec<&str> = cast::LEAKERS.iter().map(|leaker| leaker.kind).collect();
        format!("the leakers are {}", known.join(", "))
    })
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
    let mut hunt = Hunt::parse();
    if hunt.leakers.is_empty() {
        hunt.leakers = cast::LEAKERS.iter().collect();
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

impl Hunt {
    /// Records, analyses and scores in one folder; returns how much was wrong.
    fn at(&self, folder: &Path, leakers: &[&'static Leaker]) -> anyhow::Result<usize> {
        let db = folder.join("soak.db");
        let truth = folder.join("truth.tsv");
        if !self.again {
            remove_earlier(folder)?;
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
            interval: Duration::from_millis(self.interval_ms),
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

/// Makes room for a hunt: removes what an earlier one has left, and nothing else.
fn remove_earlier(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "report" {
            std::fs::remove_dir_all(entry.path())?;
        } else if name == "truth.tsv" || name.starts_with("soak.db") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
