//! From a series to a verdict, with the evidence for it.
//!
//! [`judge`] takes one life of a series, [`judge_lives`] several that restarts separate.  Both
//! work on [`Blocks`], made from [`Cells`] or straight from samples.  The thresholds are in
//! [`RULES`].
//!
//! A leak is growth that a shape which goes on for ever explains better than any that stops, that
//! is large enough to matter, still going on, persistent, and larger than what a random walk does.

mod case;
mod cells;
mod change;
mod clean;
mod hints;
mod level;
mod lives;
mod load;
mod outcome;
mod restarts;
mod rules;
mod samples;
mod smallest;
#[cfg(test)]
mod tests;
mod wander;
mod words;
mod work;

pub use cells::{Blocks, Cells, MAX_CELLS};
pub use lives::{judge, judge_block_lives, judge_blocks, judge_lives};
pub use load::{LoadPart, Part, judge_beside_load};
pub use restarts::unmarked_restarts;
pub use rules::{RULES, Rule};
pub use work::Work;

use serde::Serialize;
use std::fmt;

/// What is known of a series beside its values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Traits {
    /// The system gives this memory back when it needs it.
    pub reclaimable: bool,
    /// Smallest growth worth a word, in the series' unit.
    pub floor: f64,
    /// How long the recording was meant to be.
    pub planned_span_s: Option<f64>,
}

/// What a series does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Grows, persistently, and does not stop.
    Leak,
    /// May be a leak; a longer run decides.
    Suspect,
    /// Grew, then flattened.
    Plateau,
    /// Grew at one or two instants.
    Step,
    /// Grows like a leak, but the kernel gives it back under pressure.
    Reclaimable,
    /// No growth worth a word: constant, noisy, periodic or wandering.
    Steady,
    /// Falls.
    Shrinking,
    /// Too few samples or too large gaps.
    TooShort,
    /// No sample is a number.
    Unjudgeable,
}

impl Verdict {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Suspect => "suspect",
            Self::Plateau => "plateau",
            Self::Step => "step",
            Self::Reclaimable => "reclaimable",
            Self::Steady => "steady",
            Self::Shrinking => "shrinking",
            Self::TooShort => "too_short",
            Self::Unjudgeable => "unjudgeable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One rule's finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// Name of the rule in [`RULES`].
    pub rule: &'static str,
    /// What was measured.
    pub measured: f64,
    /// What it was compared with.
    pub threshold: f64,
    /// Whether it speaks for a leak.
    pub passed: bool,
    /// The same in words.
    pub text: String,
}

/// One point of a fitted shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FitPoint {
    /// Time.
    pub t_s: f64,
    /// The fit.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A fitted shape, as a chart draws it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// Name of the shape.
    pub shape: &'static str,
    /// Its points, ascending in time.
    pub points: Vec<FitPoint>,
}

/// A verdict with all that led to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Slope in units per second.
    pub slope_per_s: f64,
    /// Lower end of the slope's 95 % interval.
    pub slope_low_per_s: f64,
    /// Upper end.
    pub slope_high_per_s: f64,
    /// Growth over the run: of the part that goes on, for a leak; of the fitted shape otherwise.
    pub growth: f64,
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// When the growth began or the step happened.
    pub since_s: Option<f64>,
    /// How the slope was found.
    pub method: &'static str,
    /// The fitted shape; `None` for a constant or unjudged series.
    pub fit: Option<Fit>,
    /// One-sided p of the drift test, 1 where it was not made.
    pub p_drift: f64,
    /// Net rise over the whole way, -1 to 1.
    pub persistence: f64,
    /// The growth over the run that would be called a leak here with a chance of 95 %, given the
    /// noise and the length of the series; a model, good to a factor of 1.5.
    pub smallest_growth: f64,
    /// Where it grows and it is too early to say whether that ends.
    pub too_early: Option<TooEarly>,
    /// What would change the verdict, in words; `None` for a leak.
    pub would_change: Option<String>,
    /// What the load of the machine explains of it, where it explains any.
    pub load: Option<LoadPart>,
    /// The rules that were tried, in order.
    pub evidence: Vec<Evidence>,
}

/// How much of a run is over, and how much is needed before growth can be told from a warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TooEarly {
    /// Share of the planned run that is over; 1 where no length was planned.
    pub done: f64,
    /// Share that is needed; above 1 where the run has to be longer than it was.
    pub needed: f64,
}

impl Evidence {
    /// One of a rule by its name.
    pub(crate) fn new(
        rule: &'static str,
        measured: f64,
        threshold: f64,
        passed: bool,
        text: String,
    ) -> Self {
        Self {
            rule,
            measured,
            threshold,
            passed,
            text,
        }
    }
}

impl Judgement {
    /// A judgement without a trend.
    fn plain(verdict: Verdict, blocks: Option<&Blocks>, evidence: Vec<Evidence>) -> Self {
        Self {
            verdict,
            slope_per_s: 0.0,
            slope_low_per_s: 0.0,
            slope_high_per_s: 0.0,
            growth: 0.0,
            first: blocks.map_or(f64::NAN, |b| b.first),
            last: blocks.map_or(f64::NAN, |b| b.last),
            since_s: None,
            method: "none",
            fit: None,
            p_drift: 1.0,
            persistence: 0.0,
            smallest_growth: 0.0,
            too_early: None,
            would_change: None,
            load: None,
            evidence,
        }
    }
}
