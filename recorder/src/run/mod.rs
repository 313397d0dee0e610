//! `memsoak-record run`: the loop of the ticks.
//!
//! A tick is read by the `Collector` and handed to the `Keeper`, which has it written by a thread of
//! its own: everything is read before the transaction begins, since while it is open nobody else can
//! write, and a mark must get in between the ticks of a machine that is too busy to sleep.

mod claim;
mod collector;
mod footing;
mod keeper;
mod prepare;
mod probe;
mod probe_once;
mod reader;
mod ring;
mod room;
mod scribe;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use self::collector::Collector;
pub use self::footing::step_down;
use self::keeper::Keeper;
use self::prepare::Beginning;
use self::probe::Probes;
pub use self::probe_once::once as probe_once;
use self::room::Room;
use self::scribe::Scribe;
use crate::clock::{Alarm, Deadlines, Due, boottime_us};
use crate::log;
use crate::notify::Notify;
use crate::probe::Probe;
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
    /// What is done to the machine, and how often.
    pub probes: Vec<(Probe, Duration)>,
    /// Bytes of the disk that are left free; `None` is 200 MiB, or 5 % of a smaller disk.
    pub min_free: Option<u64>,
    /// Bytes that the recording may take; its oldest part is thinned to stay within them.
    pub max_size: Option<u64>,
}

impl Options {
    /// A run that is there for one probe; its ticks go on while that takes long.
    fn for_probe(db: &Path) -> Self {
        Self {
            db: db.to_owned(),
            interval: Duration::from_secs(10),
            duration: None,
            every: Vec::new(),
            without: Vec::new(),
            root: PathBuf::from("/"),
            labels: Vec::new(),
            cpu_budget: 0.01,
            probes: Vec::new(),
            min_free: None,
            max_size: None,
        }
    }

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
    footing::take();
    let mut notify = Notify::from_env(options.interval_us().unsigned_abs());
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
        let next = deadlines.next_us();
        // The last interval is waited for too: a duration of 60 s is 60 s of recording.
        let over = end.filter(|end| next >= *end);
        let wake = recorder
            .probes
            .wakes_by(over.unwrap_or(next), boottime_us());
        if !alarm.wait_until(wake, stop.as_fd())? {
            break "stopped by a signal";
        }
        recorder.look_after_probe();
        let now = boottime_us();
        match over {
            Some(end) if now >= end => break "the duration is over",
            None if now >= next => {
                recorder.tick(deadlines.take(now));
                notify.ticked(recorder.keeper.written());
            }
            _ => {}
        }
        if recorder.keeper.has_failed() {
            break "the recording cannot be written";
        }
    };
    notify.stopping(why);
    let ticks = recorder.finish(why)?;
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
    probes: Probes,
    /// The planned moment of the last tick.
    last_index: i64,
}

impl Recorder {
    fn start(options: &Options, root: Root) -> anyhow::Result<Self> {
        let wanted = prepare::select(options)?;
        prepare::check_probes(options, &root)?;
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
            probes: Probes::new(&options.probes, boottime_us()),
            last_index: 0,
        })
    }

    /// One tick, and the beginning of a probe where one is due.
    fn tick(&mut self, due: Due) {
        self.last_index = due.index;
        let requests = self.keeper.take_requests();
        let probe = self.probes.take_due(requests, boottime_us());
        let before_us = self.take_tick(due, probe.is_some());
        if let Some(probe) = probe {
            let root = self.collector.root();
            self.probes.begin(probe, before_us, root, boottime_us());
        }
    }

    /// Reads, and hands over what was read; with `all` every cheap source, and every row of it.
    /// Returns the time of the tick.
    fn take_tick(&mut self, due: Due, all: bool) -> i64 {
        let mut keyframes = self.keeper.keyframes();
        if all {
            self.collector.ask_for_all();
            keyframes.fill(true);
        }
        self.collector.note_left_out(self.keeper.left_out());
        let mut picture = self.collector.collect(due, &keyframes);
        let time_us = picture.time.boottime_us;
        picture.noticed.extend(self.probes.tell(time_us));
        if let Some(written) = self.keeper.keep(picture) {
            self.collector.was_kept(written);
        }
        time_us
    }

    /// Ends the run. Returns how many ticks are on disk.
    fn finish(mut self, why: &str) -> anyhow::Result<u64> {
        self.probes.give_up(boottime_us());
        let untold = self.probes.tell(boottime_us());
        Ok(self.keeper.finish(why, untold)?)
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
            Outcome::obtained(None, 0)
        }
    }

    /// Hangs in its first read until it is let go.
    struct Hanging(std::sync::mpsc::Receiver<()>);

    impl Sampler for Hanging {
        fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
            let _ = moment.root.open_file("proc/meminfo");
            let _ = self.0.recv();
            rows.scalar(b"MemFree", 1_u64);
            Outcome::obtained(None, 0)
        }
    }

    /// Every second, in a folder that must outlive the recorder.
    fn every_second(dir: &tempfile::TempDir) -> (Options, Recorder) {
        let options = Options {
            interval: Duration::from_secs(1),
            ..Options::for_probe(&dir.path().join("soak.db"))
        };
        let root = Root::open(&options.root).expect("a running machine has a root");
        let recorder = Recorder::start(&options, root).expect("a new file");
        (options, recorder)
    }

    fn tick(recorder: &mut Recorder, index: i64) {
        let due = Due {
            index,
            late_us: 0,
            missed: 0,
        };
        recorder.tick(due);
    }

    #[test]
    fn a_mark_gets_in_while_a_tick_reads() {
        let dir = tempfile::tempdir().expect("a folder");
        let (options, mut recorder) = every_second(&dir);
        let root = Root::open(&options.root).expect("a running machine has a root");
        recorder.collector.replace_first(Box::new(Marking {
            db: options.db.clone(),
            boot_id: crate::host::read_boot(&root).boot_id,
        }));
        tick(&mut recorder, 0);
        recorder.finish("over").expect("a clean end");
        let recording = memsoak_schema::Recording::open(&options.db).expect("a recording");
        assert_eq!(recording.ticks().expect("ticks").len(), 1);
        let events = recording.events().expect("events");
        assert!(events.iter().any(|event| event.text == "meanwhile"));
    }

    #[test]
    fn a_source_that_hangs_fails_with_its_reason_and_is_taken_up_when_it_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let (options, mut recorder) = every_second(&dir);
        let (let_go, hangs) = std::sync::mpsc::channel();
        recorder.collector.replace_first(Box::new(Hanging(hangs)));
        tick(&mut recorder, 0);
        tick(&mut recorder, 1);
        drop(let_go);
        // However long it takes to come back: ticks go on.
        for index in 2.. {
            tick(&mut recorder, index);
            if !recorder.collector.hangs() {
                break;
            }
        }
        recorder.finish("over").expect("a clean end");

        let recording = memsoak_schema::Recording::open(&options.db).expect("a recording");
        let sources = recording.sources().expect("sources");
        let id_of = |name: &str| {
            let source = sources.iter().find(|source| source.name == name);
            source.expect("it is recorded").source
        };
        let (meminfo, vmstat) = (id_of("meminfo"), id_of("vmstat"));
        let reasons = recording.reasons().expect("reasons");
        let mut of_meminfo = Vec::new();
        let mut of_vmstat = Vec::new();
        recording
            .scan_samples(|sample| {
                let reason = sample.reason.map(|number| {
                    let reason = reasons.iter().find(|(one, _)| *one == number);
                    reason.expect("it is stored").1.clone()
                });
                if sample.source == meminfo {
                    of_meminfo.push((sample.status, reason));
                } else if sample.source == vmstat {
                    of_vmstat.push(sample.status);
                }
            })
            .expect("samples");
        let why = "a read of proc/meminfo blocks: no answer within 1s";
        let blocked = (Status::Failed, Some(why.to_owned()));
        assert_eq!(of_meminfo[..2], [blocked.clone(), blocked]);
        assert_eq!(of_meminfo.last(), Some(&(Status::Ok, None)));
        assert_eq!(of_vmstat.len(), of_meminfo.len());
        assert!(of_vmstat.iter().all(|status| *status == Status::Ok));
        let events = recording.events().expect("events");
        let kinds: Vec<_> = events
            .iter()
            .map(|event| event.kind.as_str())
            .filter(|kind| kind.ends_with("blocked"))
            .collect();
        assert_eq!(kinds, ["blocked", "unblocked"]);
    }
}
