//! Reads the sources that are due: what the machine says at one moment, not yet written anywhere.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use memsoak_schema::{Happening, Label, Rows, SampleState, Status, TickTime};

use super::Options;
use super::reader::{Done, Job, Reader, Stuck};
use crate::budget::{Pace, fair_share};
use crate::clock::{Clocks, Due, Jump, Watch, boottime_us, cpu_us};
use crate::log;
use crate::root::Root;
use crate::source::recorder::Figures;
use crate::source::{Sampler, Setup, Source};

/// A read may take a quarter of the interval, so that three that hang at once do not cost a tick;
/// but no less than the slowest files take on large machines (/proc/slabinfo of 10,000 caches,
/// page_owner: some 100 ms), and no more than anybody waits for.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

/// What was read at one tick.
#[derive(Debug)]
pub(super) struct Picture {
    /// When, and how far from the plan.
    pub(super) time: TickTime,
    /// CPU time of the recorder when it began, in us.
    pub(super) begin_cpu_us: i64,
    /// What each source that was due gave.
    pub(super) taken: Vec<Taken>,
    /// What the run itself noticed since the last tick.
    pub(super) noticed: Vec<Happening>,
}

/// What one source gave at a tick.
#[derive(Debug)]
pub(super) struct Taken {
    /// The source's place in the list that the run began with.
    pub(super) place: usize,
    /// How the read went.
    pub(super) state: SampleState,
    /// Its rows; they mean something only where the state has values.
    pub(super) rows: Rows,
    /// Its interval from here on in us, and why it is that.
    pub(super) plan: Option<(i64, String)>,
}

struct Active {
    source: &'static Source,
    /// `None` while it hangs in a read.
    sampler: Option<Box<dyn Sampler>>,
    /// Every row is wanted at the next read, whatever the writer says.
    anew: bool,
    pace: Pace,
    last_index: Option<i64>,
    new_plan: Option<String>,
    /// Memory for its rows, and what happened that is not stored yet.
    rows: Rows,
}

/// The sources of a run, each at its own pace.
pub(super) struct Collector {
    reader: Reader,
    setup: Setup,
    interval_us: i64,
    cpu_budget: f64,
    active: Vec<Active>,
    figures: Figures,
    watch: Watch,
    noticed: Vec<Happening>,
}

impl Collector {
    /// Makes the samplers; nothing is read yet.
    pub(super) fn new(
        options: &Options,
        root: Root,
        wanted: &[&'static Source],
        setup: &Setup,
    ) -> Self {
        let interval_us = options.interval_us();
        let active = wanted
            .iter()
            .map(|&source| {
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
                    source,
                    sampler: Some(source.sampler(setup)),
                    anew: false,
                    pace: Pace::new(interval_us, every).eager(eager),
                    last_index: None,
                    new_plan: Some("as planned".to_owned()),
                    rows: Rows::default(),
                }
            })
            .collect();
        let patience = (options.interval / 4).clamp(PATIENCE.0, PATIENCE.1);
        Self {
            reader: Reader::new(root, options.db.clone(), patience),
            setup: *setup,
            interval_us,
            cpu_budget: options.cpu_budget,
            active,
            figures: Figures::default(),
            watch: Watch::default(),
            noticed: Vec::new(),
        }
    }

    /// Reads what is due. `keyframes` says of each source whether every row of it is wanted.
    pub(super) fn collect(&mut self, due: Due, keyframes: &[bool]) -> Picture {
        let clocks = Clocks::read();
        let begin_cpu_us = cpu_us();
        let jumps = self.watch.look(clocks);
        let told = jumps.into_iter().map(|jump| tell(jump, &clocks));
        self.noticed.extend(told);
        self.take_back();
        self.figures.missed_ticks += due.missed.unsigned_abs();
        if due.late_us * 10 > self.interval_us {
            self.figures.late_ticks += 1;
        }
        self.figures.cpu_us = begin_cpu_us;
        self.figures.held_descriptors = self
            .active
            .iter()
            .filter_map(|active| active.sampler.as_ref())
            .map(|sampler| sampler.held_descriptors() as u64)
            .sum();
        let mut rates: Vec<f64> = self
            .active
            .iter()
            .map(|active| active.pace.rate())
            .collect();
        let share = fair_share(&mut rates, self.cpu_budget);
        let mut taken = Vec::with_capacity(self.active.len());
        let mut jobs = Vec::with_capacity(self.active.len());
        for (place, active) in self.active.iter_mut().enumerate() {
            if !active.pace.is_due(due.index, active.last_index) {
                continue;
            }
            active.last_index = Some(due.index);
            let Some(sampler) = active.sampler.take() else {
                let why = self.reader.why_not(place, active.source.spec.paths);
                taken.push(active.nothing(place, why, Rows::default()));
                continue;
            };
            jobs.push(Job {
                place,
                sampler,
                rows: std::mem::take(&mut active.rows),
                full: active.anew || keyframes.get(place).copied().unwrap_or(true),
            });
        }
        let batch = self.reader.read(jobs, self.figures);
        for done in batch.done {
            let active = &mut self.active[done.job.place];
            taken.push(active.take(done, share));
        }
        for stuck in batch.given_up {
            taken.push(self.give_up(&stuck));
        }
        if let Some((jobs, why)) = batch.unread {
            for job in jobs {
                let active = &mut self.active[job.place];
                taken.push(active.nothing(job.place, why.clone(), job.rows));
                active.sampler = Some(job.sampler);
            }
        }
        // In the order of the sources, as they are stored.
        taken.sort_by_key(|one| one.place);
        Picture {
            time: TickTime {
                boottime_us: clocks.boottime_us,
                wall_offset_us: clocks.wall_offset_us,
                late_us: due.late_us,
                missed: due.missed,
            },
            begin_cpu_us,
            taken,
            noticed: std::mem::take(&mut self.noticed),
        }
    }

    /// Takes note of a read that hangs. A source that can do without what hangs is read by another
    /// sampler from the next tick on.
    fn give_up(&mut self, stuck: &Stuck) -> Taken {
        let active = &mut self.active[stuck.place];
        let name = active.source.spec.name;
        let why = self.reader.why_not(stuck.place, active.source.spec.paths);
        let text = format!("{name}: {why}");
        self.noticed
            .push(Happening::new("blocked", text.as_bytes()));
        log::warn(&[("event", "a read hangs"), ("source", name), ("why", &why)]);
        let mut other = active.source.sampler(&self.setup);
        if stuck.path.is_some() && other.leave_out(&self.reader.paths_hung(stuck.place)) {
            active.sampler = Some(other);
            active.anew = true;
        }
        active.nothing(stuck.place, why, Rows::default())
    }

    /// Takes back what hung and came back.
    fn take_back(&mut self) {
        for (stuck, job) in self.reader.returned() {
            let active = &mut self.active[stuck.place];
            let name = active.source.spec.name;
            let hung_s = (boottime_us() - stuck.since_us) / 1_000_000;
            let file = stuck.path.as_deref().unwrap_or(name);
            let text = format!("{name}: the read of {file} came back after {hung_s} s");
            log::info(&[
                ("event", "a read came back"),
                ("source", name),
                ("file", file),
            ]);
            self.noticed
                .push(Happening::new("unblocked", text.as_bytes()));
            match &mut active.sampler {
                Some(other) => {
                    other.leave_out(&self.reader.paths_hung(stuck.place));
                }
                None => {
                    active.sampler = Some(job.sampler);
                    active.rows = job.rows;
                    active.anew = true;
                    active.last_index = None;
                }
            }
        }
    }

    /// The machine that is read.
    pub(super) fn root(&self) -> &Root {
        self.reader.root()
    }

    /// Has every source that is cheap read at the next tick, whatever its interval.
    pub(super) fn ask_for_all(&mut self) {
        for active in &mut self.active {
            if active.pace.is_cheap() {
                active.last_index = None;
            }
        }
    }

    /// Takes the memory of a picture back that was stored.
    pub(super) fn was_kept(&mut self, picture: Picture) {
        for taken in picture.taken {
            let rows = &mut self.active[taken.place].rows;
            *rows = taken.rows;
            rows.clear_happenings();
        }
    }

    /// Notes how many ticks were merged into others because memory for those that wait ran out.
    pub(super) fn note_left_out(&mut self, ticks: u64) {
        self.figures.lost_ticks = ticks;
    }
}

/// A jump of a clock as an event.
fn tell(jump: Jump, now: &Clocks) -> Happening {
    match jump {
        Jump::Suspend(us) => {
            let text = format!("the machine was suspended for {}", in_words(us));
            Happening::new("suspend", text.as_bytes()).with("suspended_us", Label::Int(us))
        }
        Jump::Step(us) => {
            let way = if us < 0 { "back" } else { "forward" };
            let new_us = now.boottime_us + now.wall_offset_us;
            let text = format!(
                "the wall clock was set {way} by {}, from {} to {}",
                in_words(us),
                date_of(new_us - us),
                date_of(new_us)
            );
            Happening::new("clock_step", text.as_bytes()).with("step_us", Label::Int(us))
        }
    }
}

/// A length of time in its two largest units.
fn in_words(us: i64) -> String {
    let ms = us.unsigned_abs() / 1_000;
    let (s, min, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match (h / 24, h, min) {
        (0, 0, 0) => format!("{s}.{:03} s", ms % 1_000),
        (0, 0, _) => format!("{min} min {} s", s % 60),
        (0, _, _) => format!("{h} h {} min", min % 60),
        (days, _, _) => format!("{days} d {} h", h % 24),
    }
}

/// Wall time in UTC.
fn date_of(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default()
}

impl Active {
    /// What a read gave.
    fn take(&mut self, done: Done, share: f64) -> Taken {
        let outcome = done.outcome;
        let changed = if outcome.status == Status::Unavailable {
            self.pace.note_absent()
        } else {
            self.pace.note_cost(done.cpu_us);
            self.pace.keep_within(share)
        };
        self.sampler = Some(done.job.sampler);
        self.anew &= !outcome.status.has_values();
        let reason = changed.or_else(|| self.new_plan.take());
        Taken {
            place: done.job.place,
            state: SampleState {
                status: outcome.status,
                reason: outcome.reason,
                read_us: Some(done.took_us),
                bytes: i64::try_from(outcome.bytes).ok(),
            },
            rows: done.job.rows,
            plan: reason.map(|reason| (self.pace.interval_us(), reason)),
        }
    }

    /// A source that was due and gave nothing; `rows` holds what happened and is not stored yet.
    fn nothing(&mut self, place: usize, why: String, rows: Rows) -> Taken {
        let plan = self.new_plan.take();
        Taken {
            place,
            state: SampleState {
                status: Status::Failed,
                reason: Some(why),
                read_us: None,
                bytes: None,
            },
            rows,
            plan: plan.map(|reason| (self.pace.interval_us(), reason)),
        }
    }
}

#[cfg(test)]
impl Collector {
    /// Puts another sampler in the place of the first source.
    pub(super) fn replace_first(&mut self, sampler: Box<dyn Sampler>) {
        self.active[0].sampler = Some(sampler);
    }

    /// Whether the first source hangs.
    pub(super) fn hangs(&self) -> bool {
        self.active[0].sampler.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_told_in_words() {
        let now = Clocks {
            boottime_us: 0,
            suspended_us: 0,
            wall_offset_us: 1_700_000_000_000_000,
        };
        let year = 365 * 86_400_000_000;
        let text = |jump| String::from_utf8(tell(jump, &now).text).expect("words");
        assert_eq!(
            text(Jump::Step(-year)),
            "the wall clock was set back by 365 d 0 h, \
             from 2024-11-13T22:13:20Z to 2023-11-14T22:13:20Z"
        );
        assert_eq!(
            text(Jump::Suspend(1_234_567)),
            "the machine was suspended for 1.234 s"
        );
        assert_eq!(in_words(-7_384_000_000), "2 h 3 min");
        assert_eq!(in_words(184_000_000), "3 min 4 s");
    }
}
