//! Statistics on plain slices of numbers.
//!
//! Nothing here knows of memory, files or recordings, nothing logs, and nothing panics on odd
//! input: a function that has too little to work on says so by `None` or by the value its doc
//! names.  The numbers may come in any unit; times are seconds.
//!
//! Samples of memory are autocorrelated.  Each function says what that does to its result.

mod agreement;
mod choice;
mod drift;
mod efficiency;
mod follow;
mod hampel;
mod harmonic;
mod least_squares;
mod mann_kendall;
mod multiple;
mod ols;
mod order;
mod quantile;
mod renewal;
mod shapes;
mod slope_error;
mod steps;
mod theil_sen;
mod walk;

pub use agreement::{Agreement, agreement};
pub use choice::{Choice, Curve, choose_shape, curve};
pub use drift::{DriftTest, drift_test};
pub use efficiency::{Efficiency, efficiency};
pub use follow::{Follow, correlation_about_lines, ends_of_line, follow};
pub use hampel::hampel;
pub use harmonic::{Harmonic, harmonic};
pub use least_squares::{Basis, LeastSquares};
pub use mann_kendall::{MannKendall, hamed_rao_factor, mann_kendall};
pub use multiple::benjamini_hochberg;
pub use ols::{Ols, ols};
pub use order::Order;
pub(crate) use order::{extremes, least_step};
pub use quantile::{MAD_TO_SIGMA, mad_sigma, median, quantile, quantile_sorted};
pub use renewal::{Life, Renewal, renewal};
pub use shapes::{Shape, ShapeFit, fit_shapes};
pub use slope_error::{SlopeError, slope_error};
pub use steps::best_step_pair;
pub use theil_sen::{SlopeInterval, TheilSen, median_slope, theil_sen};
pub use walk::{WalkTest, Ways, walk_test};

use std::cmp::Ordering;

/// True where neither number is greater; false as soon as one is NaN.
pub(crate) fn same(a: f64, b: f64) -> bool {
    a.partial_cmp(&b) == Some(Ordering::Equal)
}

/// The whole part of `x` as an index, held within `0..=max`.  NaN gives 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value was clamped to 0..=max just before"
)]
pub(crate) fn index_of(x: f64, max: usize) -> usize {
    if x.is_nan() {
        0
    } else {
        x.clamp(0.0, max as f64) as usize
    }
}

/// The mean; 0 for an empty slice.
pub(crate) fn mean(values: &[f64]) -> f64 {
    // Sums that wait for one another are slow.
    let mut sums = [0.0; 8];
    let whole = values.chunks_exact(sums.len());
    let rest: f64 = whole.remainder().iter().sum();
    for chunk in whole {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    if values.is_empty() {
        0.0
    } else {
        (sums.iter().sum::<f64>() + rest) / values.len() as f64
    }
}

/// Largest minus smallest; 0 for an empty slice.
pub(crate) fn range(values: &[f64]) -> f64 {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| {
            (l.min(x), h.max(x))
        });
    if high >= low { high - low } else { 0.0 }
}
