//! The smallest growth that a series of this noise and length would have shown.

use super::cells::Blocks;
use super::clean::Cleaned;
use super::rules as r;
use crate::stats::{self, Choice};
use statrs::distribution::{ContinuousCDF, Normal};

/// Chance with which the growth is called.
const CHANCE: f64 = 0.95;

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
    /// A growth G over the run is called where every rule lets it pass; the rules that bind are
    ///
    /// - the growth that counts: `G >= least + z s(G)`, with z the normal quantile of the chance and
    ///   `s(G)` the standard error of the growth, `s^2 = 12 sigma^2 / (n w^2) (1 + rho) / (1 - rho)` for n
    ///   blocks over the share w of the run;
    /// - growth that goes on: the slope of the later half, whose error is `sqrt(8)` times as large, is
    ///   at least half of the whole: `G (1 - .5) >= z s(late - .5 whole)`, which is `z s sqrt(8 - 2 + .25)`
    ///   as the half is a part of the whole;
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
        let z = Normal::standard().inverse_cdf(CHANCE);
        let n = (cleaned.low.len() - cleaned.from) as f64;
        let w = 1.0 - r::START_UP;
        let (sigma, rho) = (choice.noise, choice.rho);
        let error = sigma * (12.0 / n * (1.0 + rho) / (1.0 - rho)).sqrt() / w;
        let counted = least.1 + z * error;
        let going_on = z * error * 6.25f64.sqrt() / (1.0 - r::STILL_GROWING);
        let beyond_walk =
            n * sigma * stats::WalkTest::least_step(cleaned.low.len() - cleaned.from, rho);
        Self {
            least,
            growth: counted.max(going_on).max(beyond_walk),
        }
    }
}
