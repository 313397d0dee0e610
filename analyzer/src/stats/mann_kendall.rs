//! Mann-Kendall trend score and the Hamed-Rao factor for autocorrelated samples.

use super::same;
use statrs::distribution::{ContinuousCDF, Normal};

/// Result of the Mann-Kendall test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannKendall {
    /// Pairs that rise minus pairs that fall.
    pub score: f64,
    /// Variance of the score for independent samples, corrected for ties.
    pub variance: f64,
    /// Standardised score with continuity correction.
    pub z: f64,
    /// One-sided probability of such a score or a larger one without a rise.
    pub p_rise: f64,
    /// Number of samples.
    pub n: usize,
}

/// Counts rising against falling pairs.
///
/// Formula: `S = sum over i<j of sign(yj - yi)`, variance
/// `(n(n-1)(2n+5) - sum over ties of c(c-1)(2c+5)) / 18`, `z = (S - sign S) / sqrt(variance)`.
/// Assumes independent samples.  Memory samples are not: `p_rise` alone calls nearly every
/// wandering series a trend.  Multiply the variance by [`hamed_rao_factor`], or use
/// [`super::drift_test`].  The times play no part, so uneven ticks do no harm.
/// Degenerate: n < 2 or all equal give z = 0 and p = 0.5.
/// Reference: Mann 1945; Kendall 1975.  Cost: `n^2`.
#[must_use]
pub fn mann_kendall(y: &[f64]) -> MannKendall {
    let n = y.len();
    let mut score = 0.0;
    for j in 1..n {
        for i in 0..j {
            if y[j] > y[i] {
                score += 1.0;
            } else if y[j] < y[i] {
                score -= 1.0;
            }
        }
    }
    let mut sorted = y.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let term = |c: f64| c * (c - 1.0) * (2.0 * c + 5.0);
    let ties: f64 = sorted
        .chunk_by(|a, b| same(*a, *b))
        .map(|c| term(c.len() as f64))
        .sum();
    let variance = (term(n as f64) - ties) / 18.0;
    let z = standardise(score, variance);
    MannKendall {
        score,
        variance,
        z,
        p_rise: Normal::standard().sf(z),
        n,
    }
}

fn standardise(score: f64, variance: f64) -> f64 {
    if variance <= 0.0 || same(score, 0.0) {
        0.0
    } else {
        (score - score.signum()) / variance.sqrt()
    }
}

impl MannKendall {
    /// The same score against a variance inflated by `factor`.
    #[must_use]
    pub fn inflated(&self, factor: f64) -> Self {
        let variance = self.variance * factor;
        let z = standardise(self.score, variance);
        Self {
            variance,
            z,
            p_rise: Normal::standard().sf(z),
            ..*self
        }
    }
}

/// How much autocorrelation inflates the variance of the Mann-Kendall score.
///
/// Formula: ranks of `y - slope t`, their autocorrelations `r_k`, and
/// `1 + 2 / (n(n-1)(n-2)) sum over k of (n-k)(n-k-1)(n-k-2) r_k` over those `r_k` outside
/// `-+1.96 / sqrt n`.  It halves the false alarms on memory series and no more: on series
/// close to a random walk the correction is too small.
/// Degenerate: n < 4 or all ranks equal give 1.  May come out below 1 for alternating series;
/// callers that want to be careful take the larger of it and 1.
/// Reference: Hamed & Rao, J. Hydrology 204 (1998).
#[must_use]
pub fn hamed_rao_factor(t: &[f64], y: &[f64], slope: f64) -> f64 {
    let n = t.len().min(y.len());
    if n < 4 {
        return 1.0;
    }
    let detrended: Vec<f64> = (0..n).map(|i| y[i] - slope * (t[i] - t[0])).collect();
    let centre = (n as f64 + 1.0) / 2.0;
    let ranks: Vec<f64> = ranks(&detrended).iter().map(|r| r - centre).collect();
    let total: f64 = ranks.iter().map(|r| r * r).sum();
    if total <= 0.0 {
        return 1.0;
    }
    let count = n as f64;
    let limit = Normal::standard().inverse_cdf(0.975) / count.sqrt();
    let mut sum = 0.0;
    for k in 1..n {
        let r = ranks[k..]
            .iter()
            .zip(&ranks)
            .map(|(a, b)| a * b)
            .sum::<f64>()
            / total;
        if r.abs() > limit {
            let left = (n - k) as f64;
            sum += left * (left - 1.0) * (left - 2.0) * r;
        }
    }
    1.0 + 2.0 / (count * (count - 1.0) * (count - 2.0)) * sum
}

/// Ranks from 1, ties sharing their mean rank.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut out = vec![0.0; values.len()];
    let mut from = 0;
    for group in order.chunk_by(|&a, &b| same(values[a], values[b])) {
        let shared = from as f64 + (group.len() as f64 + 1.0) / 2.0;
        for &i in group {
            out[i] = shared;
        }
        from += group.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rising_series_has_the_textbook_score() {
        // n = 10 without ties: S = 45, variance = 10 * 9 * 25 / 18 = 125.
        let y: Vec<f64> = (0..10).map(f64::from).collect();
        let mk = mann_kendall(&y);
        assert!((mk.score - 45.0).abs() < 1e-12 && (mk.variance - 125.0).abs() < 1e-12);
        assert!((mk.z - 44.0 / 125f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn ties_lower_the_variance_and_all_equal_is_no_trend() {
        // One tie of three: (5*4*15 - 3*2*11) / 18 = 13.
        let mk = mann_kendall(&[1.0, 2.0, 2.0, 2.0, 3.0]);
        assert!((mk.variance - 13.0).abs() < 1e-12 && (mk.score - 7.0).abs() < 1e-12);
        let flat = mann_kendall(&[4.0; 8]);
        assert!(flat.z.abs() < 1e-12 && (flat.p_rise - 0.5).abs() < 1e-12);
        assert!((mann_kendall(&[]).p_rise - 0.5).abs() < 1e-12);
    }

    #[test]
    fn hamed_rao_inflates_slow_waves_and_leaves_short_series_alone() {
        let t: Vec<f64> = (0..40).map(f64::from).collect();
        let wave: Vec<f64> = t.iter().map(|x| (x / 4.0).sin()).collect();
        // Expected value from numpy and scipy, rank autocorrelations through an FFT.
        assert!((hamed_rao_factor(&t, &wave, 0.0) - 3.085_935_655_634_975).abs() < 1e-9);
        assert!((hamed_rao_factor(&[0.0, 1.0], &[1.0, 2.0], 0.0) - 1.0).abs() < 1e-12);
        assert!((hamed_rao_factor(&t, &[2.0; 40], 0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn tied_values_share_a_rank() {
        assert_eq!(
            format!("{:?}", ranks(&[3.0, 1.0, 3.0, 2.0])),
            "[3.5, 1.0, 3.5, 2.0]"
        );
    }
}
