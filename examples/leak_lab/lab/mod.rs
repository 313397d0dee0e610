//! The kinds of leaks and of innocent behaviour, and the loop that steps through one of them.

mod innocents;
mod leaks;
mod system;

use std::fmt::Write;
use std::io::Read;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context;

/// The page of all numbers here: kernels with larger pages only round up.
const PAGE_BYTES: usize = 4096;

/// One thing that a process can do again and again.
pub(crate) struct Kind {
    /// Its word on the command line.
    pub(crate) name: &'static str,
    /// What COUNT counts; `None` where nothing is kept for good.
    pub(crate) leaks: Option<Thing>,
    /// What COUNT means, in words.
    does: &'static str,
    begin: fn(usize) -> anyhow::Result<Step>,
}

/// What a leak consists of.
#[derive(Clone, Copy)]
pub(crate) struct Thing {
    /// Its name in the plural.
    pub(crate) name: &'static str,
    /// The memory that one of them takes, where it is the same on every kernel.
    pub(crate) bytes: Option<usize>,
}

/// Does the thing once more, and owns all that is kept.
type Step = Box<dyn FnMut() -> anyhow::Result<()>>;

/// All kinds: first what leaks, then what does not.
pub(crate) fn kinds() -> impl Iterator<Item = &'static Kind> {
    leaks::KINDS.iter().chain(innocents::KINDS)
}

fn usage() -> String {
    let mut text = "\
usage: leak_lab KIND COUNT INTERVAL_MS [SECONDS]

Does the thing at every INTERVAL_MS until standard input ends, or for SECONDS.
What leaks says at its end how much it kept.
"
    .to_owned();
    for (title, kinds) in [("Leaks", leaks::KINDS), ("No leaks", innocents::KINDS)] {
        let _ = write!(text, "\n{title}, at each step:\n");
        for kind in kinds {
            let _ = writeln!(text, "  {:<13} {}", kind.name, kind.does);
        }
    }
    text
}

/// Runs one kind, as the arguments say.
pub(crate) fn main(args: &[String]) -> ExitCode {
    let Some((kind, count, interval, seconds)) = parse(args) else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    match run(kind, count, interval, seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leak_lab {}: {error:#}", kind.name);
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Option<(&'static Kind, usize, Duration, Option<Duration>)> {
    let (kind, count, interval, seconds) = match args {
        [kind, count, interval] => (kind, count, interval, None),
        [kind, count, interval, seconds] => (kind, count, interval, Some(seconds)),
        _ => return None,
    };
    let seconds = match seconds {
        Some(seconds) => Some(Duration::from_secs(seconds.parse().ok()?)),
        None => None,
    };
    Some((
        kinds().find(|known| known.name == kind)?,
        count.parse().ok()?,
        Duration::from_millis(interval.parse().ok()?),
        seconds,
    ))
}

fn run(
    kind: &Kind,
    count: usize,
    interval: Duration,
    seconds: Option<Duration>,
) -> anyhow::Result<()> {
    // Nothing is ever sent: the channel closes when standard input has ended.
    let (open, ended) = mpsc::channel::<()>();
    if seconds.is_none() {
        std::thread::spawn(move || {
            let _open = open;
            let mut rest = [0; 64];
            while matches!(std::io::stdin().read(&mut rest), Ok(read) if read > 0) {}
        });
    } else {
        std::mem::forget(open);
    }
    system::raise_descriptor_limit();
    let mut step = (kind.begin)(count)?;
    let begun = Instant::now();
    let mut steps = 0_usize;
    let mut full = false;
    loop {
        if !full {
            match step().context("no more can be kept") {
                Ok(()) => steps += 1,
                // What it has it goes on holding, as a process at its limit does.
                Err(error) => {
                    eprintln!("leak_lab {}: after {steps} steps: {error:#}", kind.name);
                    full = true;
                }
            }
        }
        let pause = match seconds {
            Some(seconds) => interval.min(seconds.saturating_sub(begun.elapsed())),
            None => interval,
        };
        let over = seconds.is_some_and(|seconds| begun.elapsed() >= seconds);
        if over || ended.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
    }
    if let Some(thing) = kind.leaks {
        let kept = steps * count;
        let bytes = thing
            .bytes
            .map_or_else(String::new, |bytes| format!(", {} bytes,", kept * bytes));
        println!(
            "kept {kept} {}{bytes} in {:.3} s",
            thing.name,
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// Pages that are really there: each is written to.
fn filled(pages: usize) -> Vec<u8> {
    let mut bytes = vec![0; pages * PAGE_BYTES];
    for page in bytes.chunks_mut(PAGE_BYTES) {
        page.fill(std::hint::black_box(0x5a));
    }
    bytes
}
