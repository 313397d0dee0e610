//! Whether what grows may as well wander: the tests of the growing part alone.

use super::case::{Case, Ruling};
use super::cells::Blocks;
use super::clean::{Cleaned, Growth};
use super::rules as r;
use super::words::percent;
use super::{Evidence, Verdict};
use crate::stats::{self, DriftTest, Efficiency, Shape, WalkTest, Ways};

/// The tests that look at the growing part alone.
pub(super) struct Tests {
    pub(super) way: Efficiency,
    pub(super) drift: DriftTest,
    pub(super) walk: WalkTest,
    /// The same of the series as it is, with nothing chosen and nothing taken off but a wave.
    pub(super) walk_as_is: WalkTest,
    pub(super) ways: Ways,
    /// A straight line in whole steps: largest distance from it and number of steps.
    pub(super) staircase: Option<(f64, f64)>,
}

impl Tests {
    pub(super) fn new(
        blocks: &Blocks,
        cleaned: &Cleaned,
        rest: &[f64],
        growth: Option<&Growth>,
    ) -> Self {
        let from = cleaned.from;
        // A walk is asked of what grows only: a flat start would count as returning to a line.
        let growing = growth.map_or(rest, |g| &g.rest[g.onset..]);
        Self {
            way: stats::efficiency(rest, stats::index_of(r::PARTS, 99)),
            drift: stats::drift_test(rest),
            walk: stats::walk_test(growing),
            walk_as_is: stats::walk_test(&cleaned.low[from..]),
            ways: Ways::of(&blocks.level[from..]),
            staircase: staircase(&blocks.t_s[from..], &blocks.level[from..]),
        }
    }
}

/// How far a staircase that never falls strays from a straight line, and how many steps it has,
/// both in units of its largest step; `None` where it falls or stays.
fn staircase(t: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    let steps = || y.windows(2).map(|w| w[1] - w[0]);
    let largest = steps().fold(0.0, f64::max);
    if largest <= 0.0 || steps().any(|d| d < 0.0) {
        return None;
    }
    let slope = stats::median_slope(t, y)?;
    let off: Vec<f64> = y
        .iter()
        .zip(t)
        .map(|(y, t_)| y - slope * (t_ - t[0]))
        .collect();
    Some((
        stats::range(&off) / largest,
        (y[y.len() - 1] - y[0]) / largest,
    ))
}

impl Case<'_> {
    pub(super) fn is_no_walk(&self, growth: &Growth) -> Option<Ruling> {
        let Tests {
            walk,
            walk_as_is,
            ways,
            staircase,
            ..
        } = &self.tests;
        if let Some((off, steps)) = staircase
            && *off <= r::STAIRCASE_OFF
            && *steps >= r::STAIRCASE_STEPS
        {
            let text = format!("{steps:.0} equal steps up at even intervals, none down");
            return Some((
                Evidence::new("staircase", *off, r::STAIRCASE_OFF, true, text),
                Verdict::Steady,
            ));
        }
        if ways.p() <= r::SIGNS {
            let text = format!(
                "{} times up, {} times down: no walk does that",
                ways.rises, ways.falls
            );
            return Some((
                Evidence::new("signs", ways.p(), r::SIGNS, true, text),
                Verdict::Steady,
            ));
        }
        let onset = if growth.shape == Shape::Hinge {
            r::WALK_ONSET
        } else {
            r::WALK
        };
        let no_wave = self.cleaned.wave.is_none();
        let taken_off = growth.shape == Shape::StepLine || !no_wave;
        let chosen = if taken_off { r::WALK_TAKEN_OFF } else { onset };
        // What was chosen to suit has to show more than the series as it is, and either will do.
        let (strength, least) = [(walk_as_is.strength(), r::WALK)]
            .into_iter()
            .filter(|_| no_wave)
            .fold((walk.strength(), chosen), |best, other| {
                if other.0 / other.1 > best.0 / best.1 {
                    other
                } else {
                    best
                }
            });
        let text = format!(
            "{} of what one random walk in a hundred shows by chance, {} are needed",
            percent(strength),
            percent(least)
        );
        let narrow = strength >= r::WALK_NARROW * least;
        let otherwise = if narrow {
            Verdict::Suspect
        } else {
            Verdict::Steady
        };
        let beyond = strength >= least;
        Some((
            Evidence::new("walk", strength, least, beyond, text),
            otherwise,
        ))
    }
}
