//! `memsoak-record run`: the loop of the ticks.
//!
//! A tick is read by the collector and handed to the keeper, which has it written by a thread
//! of its own: everything is read before the transaction begins, since while it is open nobody else
//! can write, and a mark must get in between the ticks of a machine that is too busy to sleep.

mod claim;
mod collector;
mod keeper;
mod prepare;
mod ring;
mod room;
mod scribe;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use self::collector::Collector;
use self::keeper::Keeper;
use self::prepare::Beginning;
use self::room::Room;
use self::scribe::Scribe;
use crate::clock::{Alarm, Deadlines, Due, boottime_us};
use crate::log;
use crate::root::Root;
use crate::source::Setup;

/// What `run` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The recording.
    pub db: PathBuf,
    /// Interval of the ticks.
    pub interval: Duration,
    /// When to stop; `None` is at a signal.
    pub duration: Option<Duration>,
    /// Intervals of single sources.
    pub every: Vec<(String, Duration)>,
    /// Sources left out.
    pub without: Vec<String>,
    /// The machine that is read.
    pub root: PathBuf,
    /// Labels of the run.
    pub labels: Vec<(String, String)>,
    /// Share of one CPU that the recording may take.
    pub cpu_budget: f64,
    /// Bytes of the disk that are left free; `None` is 200 MiB, or 5 % of a smaller disk.
    pub min_free: Option<u64>,
    /// Bytes that the recording may take; its oldest part is thinned to stay within them.
    pub max_size: Option<u64>,
}

impl Options {
    /// Interval of the ticks in us.
    fn interval_us(&self) -> i64 {
        i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Records until the duration is over or SIGTERM or SIGINT comes; then flushes and returns.
///
/// # Errors
/// When the recording cannot be opened or continued. A source that cannot be read is no error, and
/// a write that fails is tried again at the next tick.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let root = Root::open(&options.root)
        .with_context(|| format!("cannot open the root {}", options.root.display()))?;
    let mut recorder = Recorder::start(options, root)?;
    let alarm = Alarm::new().context("cannot make a timer")?;
    let start = boottime_us();
    let mut deadlines = Deadlines::new(start, options.interval_us());
    let end = options.duration.map(|duration| {
        start.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    });
    log::info(&[
        ("event", "recording"),
        ("db", &options.db.display().to_string()),
        ("interval", &format!("{:?}", options.interval)),
    ]);
    let why = loop {
        if end.is_some_and(|end| deadlines.next_us() >= end) {
            // The last interval is waited for too: a duration of 60 s is 60 s of recording.
            let end = end.unwrap_or_default();
            break if alarm.wait_until(end, stop.as_fd())? {
                "the duration is over"
            } else {
                "stopped by a signal"
            };
        }
        if !alarm.wait_until(deadlines.next_us(), stop.as_fd())? {
            break "stopped by a signal";
        }
        let due = deadlines.take(boottime_us());
        recorder.tick(due);
        if recorder.keeper.has_failed() {
            break "the recording cannot be written";
        }
    };
    let ticks = recorder.keeper.finish(why)?;
    log::info(&[
        ("event", "stopped"),
        ("why", why),
        ("ticks", &ticks.to_string()),
    ]);
    if ticks == 0 {
        bail!("not one tick could be written to {}", options.db.display());
    }
    Ok(())
}

/// SIGTERM and SIGINT as something that can be waited for.
fn stop_signal() -> anyhow::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

struct Recorder {
    collector: Collector,
    keeper: Keeper,
}

impl Recorder {
    fn start(options: &Options, root: Root) -> anyhow::Result<Self> {
        let wanted = prepare::select(options)?;
        let beginning = Beginning::new(options, &root, &wanted)?;
        let begun = beginning.begin()?;
        let setup = Setup {
            interval_us: options.interval_us().unsigned_abs(),
            held_processes: prepare::held_processes(&root),
            recorded_until_us: begun.writer.recorded_until_us()?,
        };
        let room = Room {
            db: options.db.clone(),
            min_free: options.min_free,
            max_size: options.max_size,
        };
        let scribe = Scribe::new(beginning, room, options.interval_us());
        Ok(Self {
            collector: Collector::new(options, root, &wanted, &setup),
            keeper: Keeper::new(begun, wanted.len(), scribe).context("cannot start a thread")?,
        })
    }

    fn tick(&mut self, due: Due) {
        self.collector.note_left_out(self.keeper.left_out());
        let picture = self.collector.collect(due, &self.keeper.keyframes());
        if let Some(written) = self.keeper.keep(picture) {
            self.collector.was_kept(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use memsoak_schema::{Rows, Status};

    use super::*;
    use crate::source::{Moment, Outcome, Sampler};

    /// Puts a mark into the recording while it is being read.
    struct Marking {
        db: PathBuf,
        boot_id: String,
    }

    impl Sampler for Marking {
        fn sample(&mut self, _: &Moment<'_>, rows: &mut Rows) -> Outcome {
            memsoak_schema::mark(&self.db, &self.boot_id, boottime_us(), "meanwhile")
                .expect("the file is free while sources are read");
            rows.scalar(b"MemFree", 1_u64);
            Outcome {
                status: Status::Ok,
                reason: None,
                bytes: 0,
            }
        }
    }

    #[test]
    fn a_mark_gets_in_while_a_tick_reads() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options {
            db: dir.path().join("soak.db"),
            interval: Duration::from_secs(1),
            duration: None,
            every: Vec::new(),
            without: Vec::new(),
            root: PathBuf::from("/"),
            labels: Vec::new(),
            cpu_budget: 0.01,
            min_free: None,
            max_size: None,
        };
        let root = Root::open(&options.root).expect("a running machine has a root");
        let boot_id = crate::host::read_boot(&root).boot_id;
        let mut recorder = Recorder::start(&options, root).expect("a new file");
        recorder.collector.replace_first(Box::new(Marking {
            db: options.db.clone(),
            boot_id,
        }));
        let due = Due {
            index: 0,
            late_us: 0,
            missed: 0,
        };
        recorder.tick(due);
        assert_eq!(recorder.keeper.finish("over").expect("a clean end"), 1);
        let recording = memsoak_schema::Recording::open(&options.db).expect("a recording");
        assert_eq!(recording.ticks().expect("ticks").len(), 1);
        let events = recording.events().expect("events");
        assert!(events.iter().any(|event| event.text == "meanwhile"));
    }
}
