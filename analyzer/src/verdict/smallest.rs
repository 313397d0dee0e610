//! The smallest growth that a series of this noise and length would have shown.

use super::cells::Blocks;
use super::clean::Cleaned;
use super::rules as r;
use crate::stats::{self, Choice};
use statrs::distribution::{ContinuousCDF, Normal};

/// Chance with which the growth is called.
const CHANCE: f64 = 0.95;

/// Rules that each take a part of the remaining chance (Bonferroni).
const RULES: f64 = 10.0;

/// What growth counts, and what growth would be called.
pub(super) struct Detectable {
    /// The growth that counts as any, with the rule that says so.
    pub(super) least: (&'static str, f64),
    /// The growth over the run that would be called with a chance of 95 %.
    pub(super) growth: f64,
}

impl Detectable {
    /// Takes the residuals of the closest shape for the noise.
    ///
    /// A growth G over the run is called where every rule lets it pass; with s the standard error
    /// of the growth from a line through such noise, autocorrelated as it is ([`stats::slope_error`]),
    /// and z the normal quantile of the chance, the rules that bind are
    ///
    /// - the growth that counts: `G >= least + z s`;
    /// - growth that goes on: the later half, whose slope has `sqrt(8)` times the error of the whole
    ///   and holds it as a part, grows at half the rate: `G (1 - .5) >= z s sqrt(8 - 2 + .25)`;
    /// - the walk test: `G / n` reaches [`stats::WalkTest::least_step`].
    pub(super) fn new(blocks: &Blocks, cleaned: &Cleaned, choice: &Choice, floor: f64) -> Self {
        let level = stats::median(&cleaned.low).abs();
        let least = [
            ("min_relative_growth", r::MIN_RELATIVE_GROWTH * level),
            ("min_quanta", r::MIN_QUANTA * blocks.quantum),
            ("min_sigmas", r::MIN_SIGMAS * choice.sigma),
            ("floor", floor),
        ]
        .into_iter()
        .fold(("min_quanta", 0.0), |most, next| {
            if next.1 > most.1 { next } else { most }
        });
        let from = cleaned.from;
        let noise = choice.residuals.get(from..).unwrap_or_default();
        let Some(error) = stats::slope_error(&[&cleaned.u[from..]], noise) else {
            let growth = least.1;
            return Self { least, growth };
        };
        let z = Normal::standard().inverse_cdf(1.0 - (1.0 - CHANCE) / RULES);
        let counted = least.1 + z * error.error;
        let going_on = z * error.error * 6.25f64.sqrt() / (1.0 - r::STILL_GROWING);
        let n = noise.len();
        let beyond_walk = n as f64 * error.sigma * stats::WalkTest::least_step(n, error.rho);
        Self {
            least,
            growth: counted.max(going_on).max(beyond_walk),
        }
    }
}
