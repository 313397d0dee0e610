//! Theil-Sen slope: the median of all pairwise slopes.

use super::quantile::median_in_place;
use statrs::distribution::{ContinuousCDF, Normal};

/// All pairwise slopes of a series, in ascending order.
#[derive(Debug, Clone)]
pub struct TheilSen {
    /// The median of the pairwise slopes, in units of y per unit of t.
    pub slope: f64,
    /// Number of points that went in.
    pub n: usize,
    slopes: Vec<f64>,
}

/// A slope's confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlopeInterval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Estimates the slope of `y` over `t` by the median over all pairs of `(yj - yi) / (tj - ti)`.
///
/// Up to 29 % of the points may be arbitrary.  The estimate itself needs no independence: under
/// autocorrelation it stays centred, only its spread grows (see [`TheilSen::interval`]).
/// Uneven ticks are fine.  Pairs at the same time are left out.
/// Degenerate: `None` without a pair of different times; all values equal give slope 0.
/// Cost: `n^2 log n`, so feed it tens of points.
/// Reference: Theil 1950; Sen, JASA 63 (1968).
#[must_use]
pub fn theil_sen(t: &[f64], y: &[f64]) -> Option<TheilSen> {
    let mut slopes = pairwise(t, y);
    if slopes.is_empty() {
        return None;
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let slope = super::quantile_sorted(&slopes, 0.5);
    Some(TheilSen {
        slope,
        n: t.len().min(y.len()),
        slopes,
    })
}

/// Only the slope of [`theil_sen`], at a third of the cost.
#[must_use]
pub fn median_slope(t: &[f64], y: &[f64]) -> Option<f64> {
    let mut slopes = pairwise(t, y);
    if slopes.is_empty() {
        None
    } else {
        Some(median_in_place(&mut slopes))
    }
}

fn pairwise(t: &[f64], y: &[f64]) -> Vec<f64> {
    let n = t.len().min(y.len());
    let mut slopes = Vec::with_capacity(n * n.saturating_sub(1) / 2);
    for j in 1..n {
        for i in 0..j {
            let dt = t[j] - t[i];
            if dt.abs() > 0.0 {
                slopes.push((y[j] - y[i]) / dt);
            }
        }
    }
    slopes
}

impl TheilSen {
    /// The slopes of rank `(N -+ z sd) / 2` among the N pairwise ones, where `sd` is the square
    /// root of `score_variance` and `z` the normal quantile of the two-sided `confidence`.
    ///
    /// `score_variance` is the variance of the Mann-Kendall score of the same points.  For
    /// autocorrelated samples multiply it by [`super::hamed_rao_factor`] (not under 1) first;
    /// without that the interval is far too narrow.
    /// Degenerate: ranks beyond the ends are held at the smallest and largest slope.
    #[must_use]
    pub fn interval(&self, score_variance: f64, confidence: f64) -> SlopeInterval {
        let tail = f64::midpoint(1.0, confidence.clamp(0.0, 1.0 - 1e-12));
        let reach = Normal::standard().inverse_cdf(tail) * score_variance.max(0.0).sqrt();
        let count = self.slopes.len() as f64;
        let last = self.slopes.len() - 1;
        SlopeInterval {
            low: self.slopes[super::index_of((count - reach) / 2.0, last)],
            high: self.slopes[super::index_of(f64::midpoint(count, reach), last)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_point_does_not_move_the_slope() {
        // By hand: slopes between the four good points are all 2.
        let t = [0.0, 1.0, 2.0, 3.0, 4.0];
        let fit = theil_sen(&t, &[1.0, 3.0, 5.0, 7.0, 900.0]).expect("five times");
        assert!((fit.slope - 2.0).abs() < 1e-12);
        assert!(
            (median_slope(&t, &[1.0, 3.0, 5.0, 7.0, 900.0]).expect("five") - 2.0).abs() < 1e-12
        );
    }

    #[test]
    fn interval_takes_the_ranks_of_the_score_variance() {
        // y = t^2 on 0..=3 has the pairwise slopes 1 2 3 3 4 5.  With variance 1 and 95 % the ranks are
        // (6 -+ 1.96) / 2 = 2.02 and 3.98, so slopes number 2 and 3 counted from 0.
        let fit = theil_sen(&[0.0, 1.0, 2.0, 3.0], &[0.0, 1.0, 4.0, 9.0]).expect("four times");
        let ends = fit.interval(1.0, 0.95);
        assert!((ends.low - 3.0).abs() < 1e-12 && (ends.high - 3.0).abs() < 1e-12);
        let wide = fit.interval(1e6, 0.99);
        assert!((wide.low - 1.0).abs() < 1e-12 && (wide.high - 5.0).abs() < 1e-12);
    }

    #[test]
    fn no_pair_of_different_times_has_no_slope() {
        assert!(theil_sen(&[1.0], &[2.0]).is_none());
        assert!(theil_sen(&[1.0, 1.0], &[2.0, 3.0]).is_none());
        assert!(median_slope(&[], &[]).is_none());
    }
}
