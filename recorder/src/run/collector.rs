//! Reads the sources that are due: what the machine says at one moment, not yet written anywhere.

use std::path::PathBuf;

use memsoak_schema::{Rows, SampleState, Status, TickTime};

use super::Options;
use crate::budget::{Pace, fair_share};
use crate::clock::{Due, boottime_us, cpu_us, wall_offset_us};
use crate::root::Root;
use crate::source::recorder::Figures;
use crate::source::{Moment, Sampler, Setup, Source};

/// What was read at one tick.
#[derive(Debug)]
pub(super) struct Picture {
    /// When, and how far from the plan.
    pub(super) time: TickTime,
    /// CPU time of the recorder when it began, in us.
    pub(super) begin_cpu_us: i64,
    /// What each source that was due gave.
    pub(super) taken: Vec<Taken>,
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
    sampler: Box<dyn Sampler>,
    pace: Pace,
    last_index: Option<i64>,
    new_plan: Option<String>,
    /// Memory for its rows, and what happened that is not stored yet.
    rows: Rows,
}

/// The sources of a run, each at its own pace.
pub(super) struct Collector {
    root: Root,
    db: PathBuf,
    interval_us: i64,
    cpu_budget: f64,
    active: Vec<Active>,
    figures: Figures,
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
                    sampler: source.sampler(setup),
                    pace: Pace::new(interval_us, every).eager(eager),
                    last_index: None,
                    new_plan: Some("as planned".to_owned()),
                    rows: Rows::default(),
                }
            })
            .collect();
        Self {
            root,
            db: options.db.clone(),
            interval_us,
            cpu_budget: options.cpu_budget,
            active,
            figures: Figures::default(),
        }
    }

    /// Reads what is due. `keyframes` says of each source whether every row of it is wanted.
    pub(super) fn collect(&mut self, due: Due, keyframes: &[bool]) -> Picture {
        let begin_us = boottime_us();
        let begin_cpu_us = cpu_us();
        self.figures.missed_ticks += due.missed.unsigned_abs();
        if due.late_us * 10 > self.interval_us {
            self.figures.late_ticks += 1;
        }
        self.figures.cpu_us = begin_cpu_us;
        self.figures.held_descriptors = self
            .active
            .iter()
            .map(|active| active.sampler.held_descriptors() as u64)
            .sum();
        let mut taken = Vec::with_capacity(self.active.len());
        let mut rates: Vec<f64> = self
            .active
            .iter()
            .map(|active| active.pace.rate())
            .collect();
        let share = fair_share(&mut rates, self.cpu_budget);
        for (place, active) in self.active.iter_mut().enumerate() {
            if !active.pace.is_due(due.index, active.last_index) {
                continue;
            }
            active.last_index = Some(due.index);
            let moment = Moment {
                root: &self.root,
                full: keyframes.get(place).copied().unwrap_or(true),
                db: &self.db,
                own: &self.figures,
            };
            taken.push(active.read(place, &moment, share));
        }
        Picture {
            time: TickTime {
                boottime_us: begin_us,
                wall_offset_us: wall_offset_us(),
                late_us: due.late_us,
                missed: due.missed,
            },
            begin_cpu_us,
            taken,
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

impl Active {
    fn read(&mut self, place: usize, moment: &Moment<'_>, share: f64) -> Taken {
        let read_us = boottime_us();
        let read_cpu = cpu_us();
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        let outcome = self.sampler.sample(moment, &mut rows);
        let took = boottime_us() - read_us;
        let changed = if outcome.status == Status::Unavailable {
            self.pace.note_absent()
        } else {
            self.pace.note_cost(cpu_us() - read_cpu);
            self.pace.keep_within(share)
        };
        let reason = changed.or_else(|| self.new_plan.take());
        Taken {
            place,
            state: SampleState {
                status: outcome.status,
                reason: outcome.reason,
                read_us: Some(took),
                bytes: i64::try_from(outcome.bytes).ok(),
            },
            rows,
            plan: reason.map(|reason| (self.pace.interval_us(), reason)),
        }
    }
}

#[cfg(test)]
impl Collector {
    /// Puts another sampler in the place of the first source.
    pub(super) fn replace_first(&mut self, sampler: Box<dyn Sampler>) {
        self.active[0].sampler = sampler;
    }
}
