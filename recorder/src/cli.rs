//! The command line of `memsoak-record`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use memsoak_schema::Experiment;

use crate::probe::{KINDS, Probe, Provoked};
use crate::root::Root;
use crate::{capture, clock, doctor, import, log, run, status};

const EXIT_CODES: &str = "Exit codes: 0 stopped on request after a flush, 2 failure.";

const EXAMPLES: &str = "\
Examples:
  memsoak-record run --db soak.db --interval 10s --duration 72h
  memsoak-record mark --db soak.db 'test step 3 begins'
  memsoak-record probe --db soak.db drop-caches
  memsoak-record import --db soak.db captures/";

/// Samples every Linux memory source at intervals into one SQLite file.
#[derive(Debug, Parser)]
#[command(name = "memsoak-record", version, max_term_width = 80)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXIT_CODES}\n\n{EXAMPLES}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record until stopped; an existing file is continued
    Run(RunArgs),
    /// Put a named instant into a live recording
    Mark {
        /// The recording
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// What happens now
        text: String,
    },
    /// Do something intrusive once, with full samples just before and after:
    /// by the recorder at work on the file, or in a short run of its own
    Probe {
        /// The recording; created where it is not there
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// What to do
        #[arg(value_name = "KIND", value_parser = clap::builder::PossibleValuesParser::new(KINDS))]
        kind: String,
        /// drop-caches only: 1 page cache, 2 dentries and inodes, 3 both (default)
        #[arg(value_name = "LEVEL")]
        level: Option<String>,
    },
    /// Does what `probe` is for; the recorder starts it
    #[command(hide = true)]
    Provoke { kind: String, level: Option<String> },
    /// Last tick, gaps, the state of each source, and what recording costs
    Status {
        /// The recording
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
    },
    /// Write a consistent copy of a live recording
    Copy {
        /// The recording
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// The copy; must not exist yet
        out: PathBuf,
    },
    /// What this machine gives, what is missing for the rest, and what reading costs
    Doctor {
        /// Read the files below this folder instead of the running machine
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// The recording that is planned: the room beside it is told
        #[arg(long, value_name = "FILE", default_value = "soak.db")]
        db: PathBuf,
        /// The interval that is planned
        #[arg(long, default_value = "10s", value_parser = interval)]
        interval: Duration,
        /// The CPU time that recording may take
        #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = percent)]
        cpu_budget: f64,
        /// Tell it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy the raw files of now into a new folder, without names of the host
    /// and without command lines
    Capture {
        /// Read the files below this folder instead of the running machine
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// The folder; must not exist yet
        dir: PathBuf,
    },
    /// Make a recording of captures, also of another machine
    Import {
        /// The recording; must not exist yet
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// Time between captures where none tells when it was made
        #[arg(long, default_value = "10s", value_parser = interval)]
        interval: Duration,
        /// Captures, or folders of captures
        #[arg(required = true)]
        dir: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The recording; created with mode 0600, or continued
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Time between ticks, from 100ms up
    #[arg(long, default_value = "10s", value_parser = interval)]
    interval: Duration,
    /// Stop after this time instead of at SIGTERM or SIGINT
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Read one source at an interval of its own, such as vmallocinfo=60s
    #[arg(long, value_name = "SOURCE=TIME", value_parser = every)]
    every: Vec<(String, Duration)>,
    /// Leave a source out
    #[arg(long, value_name = "SOURCE")]
    without: Vec<String>,
    /// Read the files below this folder instead of the running machine
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Note something about this run
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// CPU time that recording may take; costly sources are read less often
    /// to stay within it
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = percent)]
    cpu_budget: f64,
    /// Room to leave on the disk: while there is less, ticks wait in memory
    /// [default: 200MiB, or 5% of a smaller disk]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min_free: Option<u64>,
    /// Room that the recording may take, from 16MiB up: at this size its
    /// oldest part is thinned
    #[arg(long, value_name = "SIZE", value_parser = max_size)]
    max_size: Option<u64>,
    /// Do something intrusive at intervals, with full samples just before and
    /// after: drop-caches, drop-caches:1, compact, kmemleak-scan, sysrq-m
    #[arg(long, value_name = "KIND=TIME", value_parser = probe_every)]
    probe: Vec<(Probe, Duration)>,
}

/// A probe changes what is measured: at shorter intervals nothing else would be seen.
const SHORTEST_PROBE: Duration = Duration::from_secs(60);

fn probe_every(text: &str) -> Result<(Probe, Duration), String> {
    let (probe, time) = pair(text)?;
    let probe = match probe.split_once(':') {
        Some((kind, argument)) => Probe::from_words(kind, Some(argument)),
        None => Probe::from_words(probe, None),
    }?;
    let time = humantime::parse_duration(time).map_err(|error| error.to_string())?;
    if time < SHORTEST_PROBE {
        return Err("shorter than 1min".to_owned());
    }
    Ok((probe, time))
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < Duration::from_millis(100) {
        return Err("shorter than 100ms".to_owned());
    }
    Ok(time)
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| "must be KEY=VALUE".to_owned())
}

fn every(text: &str) -> Result<(String, Duration), String> {
    let (source, time) = pair(text)?;
    let time = humantime::parse_duration(time).map_err(|error| error.to_string())?;
    Ok((source.to_owned(), time))
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = pair(text)?;
    Ok((key.to_owned(), value.to_owned()))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err("must be a percentage above 0, such as 1% or 0.2%".to_owned()),
    }
}

/// Bytes, with a unit of 1,024: `200MiB`.
fn size(text: &str) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err("must be a size such as 200MiB or 2GiB".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "must be a size such as 200MiB or 2GiB".to_owned())
}

/// Below this the catalogue, two full pictures of a large machine and the log do not fit.
const SMALLEST_SIZE: u64 = 16 << 20;

fn max_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes < SMALLEST_SIZE => Err("smaller than 16MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap ends with 2 on a wrong command line, with 0 on --help and --version.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match act(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reading the rest of a list is no failure.
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::BrokenPipe
            {
                return ExitCode::SUCCESS;
            }
            log::error(&error);
            ExitCode::from(2)
        }
    }
}

fn act(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::run(&run::Options {
            db: args.db,
            interval: args.interval,
            duration: args.duration,
            every: args.every,
            without: args.without,
            root: args.root,
            labels: args.label,
            cpu_budget: args.cpu_budget,
            probes: args.probe,
            min_free: args.min_free,
            max_size: args.max_size,
        }),
        Command::Mark { db, text } => {
            let live = Root::open(Path::new("/"))?;
            let boot_id = crate::host::read_boot(&live).boot_id;
            if !memsoak_schema::mark(&db, &boot_id, clock::boottime_us(), &text)? {
                log::warn(&[("event", "marked, but nobody records into this file now")]);
            }
            Ok(())
        }
        Command::Probe { db, kind, level } => {
            run::step_down();
            let probe = Probe::from_words(&kind, level.as_deref()).map_err(anyhow::Error::msg)?;
            let done = run::probe_once(&db, probe)?;
            std::io::stdout().write_all(told(&done).as_bytes())?;
            Ok(())
        }
        Command::Provoke { kind, level } => {
            let probe = Probe::from_words(&kind, level.as_deref()).map_err(anyhow::Error::msg)?;
            let done = Provoked::by(probe, &Root::open(Path::new("/"))?);
            writeln!(std::io::stdout(), "{}", done.to_line())?;
            Ok(())
        }
        Command::Status { db } => {
            let text = status::describe(&db)?;
            std::io::stdout().write_all(text.as_bytes())?;
            Ok(())
        }
        Command::Copy { db, out } => Ok(memsoak_schema::copy(&db, &out)?),
        Command::Doctor {
            root,
            db,
            interval,
            cpu_budget,
            json,
        } => {
            let diagnosis = doctor::examine(&doctor::Options {
                root,
                db,
                interval,
                cpu_budget,
            })?;
            let text = if json {
                diagnosis.json()
            } else {
                diagnosis.text()
            };
            std::io::stdout().write_all(text.as_bytes())?;
            Ok(())
        }
        Command::Capture { root, dir } => {
            let done = capture::capture(&dir, &root)?;
            log::info(&[
                ("event", "captured"),
                ("files", &done.files.to_string()),
                ("bytes", &done.bytes.to_string()),
                ("cut", &done.cut.to_string()),
                ("refused", &done.refused.to_string()),
            ]);
            Ok(())
        }
        Command::Import { db, interval, dir } => {
            let done = import::import(&import::Options {
                db,
                folders: dir,
                interval,
            })?;
            for note in &done.notes {
                log::warn(&[("event", note)]);
            }
            log::info(&[
                ("event", "imported"),
                ("ticks", &done.ticks.to_string()),
                ("boots", &done.boots.to_string()),
            ]);
            Ok(())
        }
    }
}

/// What came of a probe, for the person who waited for it.
fn told(done: &Experiment) -> String {
    let mut text = format!("{}: {}", done.name(), done.outcome);
    if let Some(took_us) = done.took_us {
        let took = Duration::from_micros(took_us.unsigned_abs());
        text += &format!(" in {took:.1?}");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(interval("50ms").is_err());
        assert!(interval("soon").is_err());
        assert!(percent("0%").is_err());
        assert!(percent("200%").is_err());
        assert!(every("=5s").is_err());
        assert!(label("x").is_err());
        assert!(probe_every("drop-caches=30s").is_err());
        assert!(probe_every("reboot=6h").is_err());
        assert_eq!(
            probe_every("drop-caches:1=6h"),
            Ok((Probe::DropCaches(1), Duration::from_secs(6 * 3600)))
        );
        assert_eq!(
            every("process=5s"),
            Ok(("process".to_owned(), Duration::from_secs(5)))
        );
    }
}
