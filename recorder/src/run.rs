//! `memsoak-record run`: the loop of the ticks.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use memsoak_schema::{Rows, RunInfo, SampleState, Spec, Status, TickCost, TickTime, Writer};
use rustix::process::{Resource, geteuid, getpid, getrlimit, setrlimit};

use crate::budget::{Pace, fair_share};
use crate::clock::{Alarm, Deadlines, Due, boottime_us, cpu_us, wall_offset_us};
use crate::root::Root;
use crate::source::recorder::Figures;
use crate::source::{Moment, SOURCES, Sampler, Setup, Source};
use crate::{host, log};

/// The main file is brought up to the log at least this often, so that a copy of it alone is never
/// more than 60 s behind: a checkpoint, and the interval until the next tick.
const CHECKPOINT_US: i64 = 30_000_000;

/// Share of MemTotal that descriptors held on processes may take in the kernel.
const HELD_SHARE: f64 = 0.0005;
/// What one of them takes: a seq_file buffer, a file, a dentry and an inode.
const HELD_BYTES: f64 = 5200.0;

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
}

struct Active {
    sampler: Box<dyn Sampler>,
    pace: Pace,
    last_index: Option<i64>,
    new_plan: Option<String>,
    rows: Rows,
}

/// What a source gave at a tick, beside its rows.
struct Taken {
    place: usize,
    state: SampleState,
    /// Its interval from here on, and why it is that.
    plan: Option<(i64, String)>,
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
    let mut deadlines = Deadlines::new(start, recorder.interval_us);
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
        recorder.tick(due)?;
    };
    let ticks = recorder.ticks;
    recorder.finish(why)?;
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
    writer: Writer,
    db: PathBuf,
    root: Root,
    interval_us: i64,
    cpu_budget: f64,
    active: Vec<Active>,
    figures: Figures,
    ticks: u64,
    last_checkpoint_us: Option<i64>,
    /// Ticks that could not be written since the last good one, and why.
    lost: Option<(i64, String)>,
    warnings: log::Limited,
}

impl Recorder {
    fn start(options: &Options, root: Root) -> anyhow::Result<Self> {
        let interval_us = i64::try_from(options.interval.as_micros())?;
        let wanted = select(options)?;
        let mut writer = Writer::open(&options.db)?;
        refuse_if_in_use(&mut writer, &options.db, &root)?;
        let pid = u32::try_from(getpid().as_raw_nonzero().get())?;
        let live = Root::open(Path::new("/"))?;
        let settings = serde_json::json!({
            "interval_us": interval_us,
            "duration_us": options.duration
                .and_then(|duration| i64::try_from(duration.as_micros()).ok()),
            "every": options.every.iter()
                .map(|(name, every)| (name.clone(), serde_json::json!(every.as_micros().to_string())))
                .collect::<serde_json::Map<_, _>>(),
            "without": options.without,
            "cpu_budget": options.cpu_budget,
            // A setting of the machine without which CommitLimit means nothing.
            "overcommit_memory": root
                .text("proc/sys/vm/overcommit_memory")
                .and_then(|mode| mode.parse::<i64>().ok()),
        });
        let labels: serde_json::Map<_, _> = options
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().into()))
            .collect();
        let specs: Vec<&'static Spec> = wanted.iter().map(|source| source.spec).collect();
        writer.begin_run(
            &host::read_host(&root),
            &host::read_boot(&root),
            &RunInfo {
                program: concat!("memsoak-record ", env!("CARGO_PKG_VERSION")).to_owned(),
                pid,
                pid_start: host::start_ticks(&live, pid).unwrap_or(0),
                uid: geteuid().as_raw(),
                started_us: boottime_us(),
                interval_us,
                settings: settings.to_string(),
                labels: serde_json::Value::Object(labels).to_string(),
            },
            &specs,
        )?;
        let setup = Setup {
            interval_us: interval_us.unsigned_abs(),
            held_processes: held_processes(&root),
            recorded_until_us: writer.recorded_until_us()?,
        };
        let active = wanted
            .into_iter()
            .map(|source| {
                let asked = options
                    .every
                    .iter()
                    .find(|(name, _)| name == source.spec.name);
                let every = asked.map_or(
                    i64::from(source.spec.interval_s) * 1_000_000,
                    |(_, every)| i64::try_from(every.as_micros()).unwrap_or(i64::MAX),
                );
                let eager = asked.is_none() && source.spec.is_judged();
                Active {
                    sampler: source.sampler(&setup),
                    pace: Pace::new(interval_us, every).eager(eager),
                    last_index: None,
                    new_plan: Some("as planned".to_owned()),
                    rows: Rows::default(),
                }
            })
            .collect();
        Ok(Self {
            writer,
            db: options.db.clone(),
            root,
            interval_us,
            cpu_budget: options.cpu_budget,
            active,
            figures: Figures::default(),
            ticks: 0,
            last_checkpoint_us: None,
            lost: None,
            warnings: log::Limited::default(),
        })
    }

    /// One tick: reads what is due and commits. Only an error that no later tick can mend is one.
    fn tick(&mut self, due: Due) -> anyhow::Result<()> {
        let begin_us = boottime_us();
        let begin_cpu = cpu_us();
        self.figures.missed_ticks += due.missed.unsigned_abs();
        if due.late_us * 10 > self.interval_us {
            self.figures.late_ticks += 1;
        }
        self.figures.cpu_us = begin_cpu;
        self.figures.held_descriptors = self
            .active
            .iter()
            .map(|active| active.sampler.held_descriptors() as u64)
            .sum();
        let lost = self.lost.as_ref().map_or(0, |(count, _)| *count);
        let time = TickTime {
            boottime_us: begin_us,
            wall_offset_us: wall_offset_us(),
            late_us: due.late_us,
            missed: due.missed + lost,
        };
        match self.write_tick(due.index, time, begin_us, begin_cpu) {
            Ok(()) => {
                self.ticks += 1;
                if let Some((count, why)) = self.lost.take() {
                    log::info(&[
                        ("event", "recording again"),
                        ("lost_ticks", &count.to_string()),
                        ("after", &why),
                    ]);
                }
            }
            Err(error) if error.is_passing() => {
                let text = error.to_string();
                self.figures.lost_ticks += 1;
                if self.warnings.allow() {
                    log::warn(&[("event", "a tick could not be written"), ("error", &text)]);
                }
                self.lost = Some((lost + due.missed + 1, text));
                if let Err(error) = self.writer.rollback_tick()
                    && !error.is_passing()
                {
                    return Err(error.into());
                }
                for active in &mut self.active {
                    active.last_index = None;
                    active.new_plan = Some("as before the gap".to_owned());
                }
            }
            Err(error) => return Err(error.into()),
        }
        // After the first tick too: a copy of the main file alone is a recording from then on.
        let due = |last: i64| begin_us - last + self.interval_us > CHECKPOINT_US;
        if self.last_checkpoint_us.is_none_or(due) {
            self.last_checkpoint_us = Some(begin_us);
            if let Err(error) = self.writer.checkpoint()
                && self.warnings.allow()
            {
                log::warn(&[("event", "no checkpoint"), ("error", &error.to_string())]);
            }
        }
        Ok(())
    }

    fn write_tick(
        &mut self,
        index: i64,
        time: TickTime,
        begin_us: i64,
        begin_cpu: i64,
    ) -> Result<(), memsoak_schema::Error> {
        // Everything is read before the transaction begins: while it is open nobody else can write,
        // and a mark must get in between the ticks of a machine that is too busy to sleep.
        let taken = self.read_due(index);
        self.writer.begin_tick(time)?;
        if let Some((count, why)) = &self.lost {
            let text = format!("{count} ticks could not be written: {why}");
            self.writer.write_event("gap", None, &text)?;
        }
        for Taken { place, state, plan } in taken {
            let rows = &self.active[place].rows;
            let values = state.status.has_values().then_some(rows);
            self.writer.write_sample(place, &state, values)?;
            self.writer.write_happenings(place, rows)?;
            if let Some((interval_us, reason)) = plan {
                self.writer.write_plan(place, interval_us, &reason)?;
            }
        }
        self.writer.commit_tick(TickCost {
            took_us: boottime_us() - begin_us,
            cpu_us: cpu_us() - begin_cpu,
        })?;
        for active in &mut self.active {
            active.rows.clear_happenings();
        }
        Ok(())
    }

    /// Reads the sources that are due.
    fn read_due(&mut self, index: i64) -> Vec<Taken> {
        let mut taken = Vec::with_capacity(self.active.len());
        let mut rates: Vec<f64> = self
            .active
            .iter()
            .map(|active| active.pace.rate())
            .collect();
        let share = fair_share(&mut rates, self.cpu_budget);
        for (place, active) in self.active.iter_mut().enumerate() {
            if !active.pace.is_due(index, active.last_index) {
                continue;
            }
            active.last_index = Some(index);
            let read_us = boottime_us();
            let read_cpu = cpu_us();
            active.rows.clear();
            let moment = Moment {
                root: &self.root,
                full: self.writer.wants_keyframe(place),
                db: &self.db,
                own: &self.figures,
            };
            let outcome = active.sampler.sample(&moment, &mut active.rows);
            let took = boottime_us() - read_us;
            let changed = if outcome.status == Status::Unavailable {
                active.pace.note_absent()
            } else {
                active.pace.note_cost(cpu_us() - read_cpu);
                active.pace.keep_within(share)
            };
            let reason = changed.or_else(|| active.new_plan.take());
            taken.push(Taken {
                place,
                state: SampleState {
                    status: outcome.status,
                    reason: outcome.reason,
                    read_us: Some(took),
                    bytes: i64::try_from(outcome.bytes).ok(),
                },
                plan: reason.map(|reason| (active.pace.interval_us(), reason)),
            });
        }
        taken
    }

    fn finish(self, why: &str) -> anyhow::Result<()> {
        Ok(self.writer.end_run(boottime_us(), why)?)
    }
}

/// The sources that were not left out. A name that there is not is an error: a typo must not
/// silently record something else than was asked for.
fn select(options: &Options) -> anyhow::Result<Vec<&'static Source>> {
    let names = || {
        SOURCES
            .iter()
            .map(|source| source.spec.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let named = options
        .without
        .iter()
        .chain(options.every.iter().map(|(name, _)| name));
    for name in named {
        if !SOURCES.iter().any(|source| source.spec.name == name) {
            bail!(
                "there is no source \"{}\"; there are: {}",
                name.escape_debug(),
                names()
            );
        }
    }
    let wanted: Vec<_> = SOURCES
        .iter()
        .filter(|source| !options.without.iter().any(|name| name == source.spec.name))
        .collect();
    if wanted.is_empty() {
        bail!("every source is left out: nothing to record");
    }
    Ok(wanted)
}

fn refuse_if_in_use(writer: &mut Writer, db: &Path, root: &Root) -> anyhow::Result<()> {
    let Some(open) = writer.open_run()? else {
        return Ok(());
    };
    let live = Root::open(Path::new("/"))?;
    let alive = u32::try_from(open.pid)
        .ok()
        .and_then(|pid| host::start_ticks(&live, pid))
        .is_some_and(|start| i64::try_from(start) == Ok(open.pid_start));
    if alive && open.boot_id == host::read_boot(root).boot_id {
        return Err(memsoak_schema::Error::InUse {
            path: db.to_owned(),
            pid: open.pid,
        }
        .into());
    }
    Ok(())
}

/// How many processes may have a descriptor held on them: within the limit of descriptors, which is
/// raised as far as it goes, and within a fixed small share of the machine's memory.
fn held_processes(root: &Root) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let mut raised = limit;
    raised.current = limit.maximum;
    let files = if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    let files = files.map_or(1 << 20, |files| files.saturating_sub(128));
    let total_kib: f64 = root
        .text("proc/meminfo")
        .and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        })
        .unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of MemTotal is positive and small"
    )]
    let affordable = (total_kib * 1024.0 * HELD_SHARE / HELD_BYTES) as u64;
    usize::try_from(files.min(affordable)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Outcome;

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
        };
        let root = Root::open(&options.root).expect("a running machine has a root");
        let boot_id = host::read_boot(&root).boot_id;
        let mut recorder = Recorder::start(&options, root).expect("a new file");
        recorder.active[0].sampler = Box::new(Marking {
            db: options.db.clone(),
            boot_id,
        });
        let due = Due {
            index: 0,
            late_us: 0,
            missed: 0,
        };
        recorder.tick(due).expect("a tick");
        recorder.finish("over").expect("a clean end");
        let recording = memsoak_schema::Recording::open(&options.db).expect("a recording");
        assert_eq!(recording.ticks().expect("ticks").len(), 1);
        let events = recording.events().expect("events");
        assert!(events.iter().any(|event| event.text == "meanwhile"));
    }
}
