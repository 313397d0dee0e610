//! `memsoak-record doctor`: what this machine gives to this user, what a read costs here, and what
//! is missing for the rest.
//!
//! Sources are read by the samplers that record, and their intervals come from the budget that
//! recording keeps, so that what is told here is what a recording would get.

mod around;
mod tell;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use memsoak_schema::{Rows, Status};
use rustix::process::{Resource, getrlimit};

pub use around::{Around, Capability, Probe};

use crate::budget::{Pace, fair_share};
use crate::clock::cpu_us;
use crate::root::Root;
use crate::source::files::DENIED;
use crate::source::recorder::Figures;
use crate::source::{Moment, SOURCES, Setup, Source};

/// Before the second read, so that it meets a machine that went on.
const BETWEEN_READS: Duration = Duration::from_millis(200);

/// What `doctor` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The machine that is read.
    pub root: PathBuf,
    /// The recording that is planned; its folder's room is looked at.
    pub db: PathBuf,
    /// Interval of the ticks that is planned.
    pub interval: Duration,
    /// Share of one CPU that the recording may take.
    pub cpu_budget: f64,
}

/// What this machine gives of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All of it.
    Ok,
    /// All of it, but less often than it should be read.
    Costly,
    /// A part of it.
    Partial,
    /// Nothing: this user may not read it.
    Denied,
    /// Nothing: this machine has none.
    Absent,
    /// Nothing: it is there, and cannot be read or understood.
    Failed,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Costly => "costly",
            Self::Partial => "partial",
            Self::Denied => "denied",
            Self::Absent => "absent",
            Self::Failed => "failed",
        }
    }
}

/// What was found of a source.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The source's name.
    pub source: &'static str,
    /// What this machine gives of it.
    pub state: State,
    /// Why it is not `ok`.
    pub reason: Option<String>,
    /// What to do about that; `None` where nothing helps, or nothing is amiss.
    pub advice: Option<String>,
    /// CPU time of the second read in us; the first one opens files and meets all for the first time.
    pub cpu_us: i64,
    /// Bytes that it read.
    pub bytes: u64,
    /// The interval at which it would be read, in us.
    pub interval_us: i64,
    /// With which capabilities a user other than root is given all that root is.
    pub capabilities: &'static [&'static str],
}

/// All that `doctor` found.
#[derive(Debug)]
pub struct Diagnosis {
    /// The sources, in the order in which they are read.
    pub findings: Vec<Finding>,
    /// What is not a source.
    pub around: Around,
}

impl Diagnosis {
    /// As text for a person.
    pub fn text(&self) -> String {
        tell::text(self)
    }

    /// As JSON for a program: `memsoak-doctor/1`.
    pub fn json(&self) -> String {
        tell::json(self)
    }
}

/// Reads every source twice and looks around.
///
/// # Errors
/// When the root is not there. A source that cannot be read is what this is for.
pub fn examine(options: &Options) -> anyhow::Result<Diagnosis> {
    let root = Root::open(&options.root)
        .with_context(|| format!("cannot open the root {}", options.root.display()))?;
    let tick_us = i64::try_from(options.interval.as_micros())?;
    let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 16);
    let setup = Setup {
        interval_us: tick_us.unsigned_abs(),
        // Enough for most machines, without a look at what the recorder takes of memory.
        held_processes: usize::try_from(files / 2).unwrap_or(0),
        recorded_until_us: None,
    };
    let mut patients: Vec<Patient> = SOURCES
        .iter()
        .map(|source| Patient::new(source, &setup, tick_us))
        .collect();
    for is_first in [true, false] {
        for patient in &mut patients {
            patient.read(&root, options, is_first);
        }
        if is_first {
            std::thread::sleep(BETWEEN_READS);
        }
    }
    let mut rates: Vec<f64> = patients.iter().map(|patient| patient.pace.rate()).collect();
    let share = fair_share(&mut rates, options.cpu_budget);
    let findings: Vec<Finding> = patients
        .into_iter()
        .map(|patient| patient.judge(share))
        .collect();
    let around = Around::look(&root, &options.db, &findings);
    Ok(Diagnosis { findings, around })
}

/// A source that is looked at.
struct Patient {
    source: &'static Source,
    sampler: Box<dyn crate::source::Sampler>,
    pace: Pace,
    rows: Rows,
    status: Status,
    reason: Option<String>,
    cpu_us: i64,
    bytes: u64,
}

impl Patient {
    fn new(source: &'static Source, setup: &Setup, tick_us: i64) -> Self {
        Self {
            source,
            sampler: source.sampler(setup),
            pace: Pace::new(tick_us, i64::from(source.spec.interval_s) * 1_000_000),
            rows: Rows::default(),
            status: Status::Skipped,
            reason: None,
            cpu_us: 0,
            bytes: 0,
        }
    }

    fn read(&mut self, root: &Root, options: &Options, is_first: bool) {
        self.rows.clear();
        let before = cpu_us();
        let outcome = self.sampler.sample(
            &Moment {
                root,
                full: is_first,
                db: &options.db,
                own: &Figures::default(),
            },
            &mut self.rows,
        );
        self.cpu_us = cpu_us() - before;
        if outcome.status != Status::Unavailable {
            self.pace.note_cost(self.cpu_us);
        }
        self.status = outcome.status;
        self.reason = outcome.reason;
        self.bytes = outcome.bytes;
    }

    fn judge(mut self, share: f64) -> Finding {
        let planned_us = self.pace.interval_us();
        let stretched = if self.status == Status::Unavailable {
            self.pace.note_absent();
            None
        } else {
            self.pace.keep_within(share)
        };
        let is_denied = self
            .reason
            .as_deref()
            .is_some_and(|why| why.contains(DENIED));
        let is_costly = self.status.has_values() && self.pace.interval_us() > planned_us;
        let state = match self.status {
            Status::Ok if is_costly => State::Costly,
            Status::Ok => State::Ok,
            Status::Partial => State::Partial,
            Status::Unavailable if is_denied => State::Denied,
            Status::Unavailable => State::Absent,
            Status::Failed | Status::Skipped => State::Failed,
        };
        let capabilities = self.source.capabilities;
        let advice = if is_denied && capabilities.iter().all(|name| around::is_held(name)) {
            Some("a security module or another user namespace forbids it to root too".to_owned())
        } else if is_denied {
            let instead = capabilities.join(" and ");
            Some(format!("record as root, or with {instead}"))
        } else if is_costly {
            let every = self.pace.interval_us() / 1_000_000;
            Some(format!(
                "read every {every} s; --every {}=TIME or a larger --cpu-budget reads it more often",
                self.source.spec.name
            ))
        } else {
            None
        };
        Finding {
            source: self.source.spec.name,
            state,
            reason: self.reason.or_else(|| stretched.filter(|_| is_costly)),
            advice,
            cpu_us: self.cpu_us,
            bytes: self.bytes,
            interval_us: self.pace.interval_us(),
            capabilities,
        }
    }
}
