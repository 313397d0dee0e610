//! Whether a random walk without drift could have made a series.

use super::least_squares::{Basis, dot};

/// Result of the tests against a random walk without drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WalkTest {
    /// How much better a line that the series returns to explains it than a walk: n times the
    /// logarithm of the ratio of the sums of squares.
    pub returns: f64,
    /// Mean of the steps over its standard error.
    pub drift: f64,
    /// Number of points.
    pub n: usize,
}

/// What `returns` exceeds in one rising walk of two hundred.
const RETURNS_CRITICAL: f64 = 10.5;

/// Quasi-differences leave the share `1 - 25 / n` of the point before: a series that forgets
/// within a 25th of its length, which a test of 20 to 48 points can tell from a walk.
const FORGETS: f64 = 25.0;

/// What `drift` exceeds in one rising walk of two hundred.
fn drift_critical(n: usize) -> f64 {
    2.95 + 9.0 / n.max(1) as f64
}

impl WalkTest {
    /// The larger of the two statistics, each over its critical value: above 1 for about one
    /// rising driftless walk in a hundred.
    ///
    /// The critical values, 10.5 and `2.95 + 9 / n`, are those that one in two hundred of 30,000
    /// simulated walks exceeds, seen through the 30 % quantiles of n = 16 to 43 blocks of 15 samples.
    #[must_use]
    pub fn strength(&self) -> f64 {
        (self.returns / RETURNS_CRITICAL).max(self.drift / drift_critical(self.n))
    }

    /// The growth per point, in standard deviations of stationary errors with this lag-1
    /// autocorrelation, at which `n` points are expected to reach a strength of 1.
    #[must_use]
    pub fn least_step(n: usize, rho: f64) -> f64 {
        let count = n.max(1) as f64;
        let keep = 1.0 - FORGETS.min(count) / count;
        let as_line = 1.0 + keep * keep - 2.0 * keep * rho;
        let as_walk = 2.0 * (1.0 - rho);
        let by_return = (RETURNS_CRITICAL / count).exp() * as_line - as_walk;
        let by_drift = drift_critical(n).powi(2) * as_walk / count;
        by_return.max(0.0).min(by_drift).sqrt()
    }
}

/// Tests `y` against a random walk without drift, by the two things that a walk lacks: a line
/// that it returns to, and a mean of its steps.
///
/// Formula: `returns = n ln(S0 / S1)` with S0 the squares of the steps and S1 those of the
/// quasi-differences `y(t) - (1 - 25 / n) y(t-1)` about a line treated alike, the point-optimal
/// statistic of Elliott, Rothenberg & Stock, with no drift in the null hypothesis;
/// `drift = mean step / (sd of the steps / sqrt(n - 1))`.  It has several times the power of a
/// Dickey-Fuller regression where errors are autocorrelated.  A walk under much other noise
/// passes for returning.  Points count as evenly spaced.
/// Degenerate: n < 8 or all equal give 0 for both.
/// Reference: Elliott, Rothenberg & Stock, Econometrica 64 (1996); King 1988.
#[must_use]
pub fn walk_test(y: &[f64]) -> WalkTest {
    let n = y.len();
    let none = WalkTest {
        returns: 0.0,
        drift: 0.0,
        n,
    };
    if n < 8 {
        return none;
    }
    let count = n as f64;
    let keep = 1.0 - FORGETS.min(count) / count;
    let quasi = |v: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..n)
            .map(|i| if i == 0 { v(0) } else { v(i) - keep * v(i - 1) })
            .collect()
    };
    let mut basis = Basis::new(n);
    basis.push(&quasi(&|_| 1.0));
    basis.push(&quasi(&|i| i as f64 / count));
    let steps: Vec<f64> = y.windows(2).map(|w| w[1] - w[0]).collect();
    let as_walk = dot(&steps, &steps);
    // The level plays no part; near 0 the sums lose no digits.
    let as_line = basis.fit(&quasi(&|i| y[i] - y[0])).sse.max(1e-12 * as_walk);
    let step = super::mean(&steps);
    let spread: f64 = steps.iter().map(|d| (d - step).powi(2)).sum();
    let error = (spread.max(1e-12 * as_walk) / (count - 1.0)).sqrt();
    let returns = count * (as_walk / as_line).ln();
    let drift = step / error * (count - 1.0).sqrt();
    if returns.is_finite() && drift.is_finite() {
        WalkTest { returns, drift, n }
    } else {
        none
    }
}

/// How often a series rises and falls from one point to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// Points above the one before.
    pub rises: usize,
    /// Points below the one before.
    pub falls: usize,
}

impl Ways {
    /// Counts the ways of `y`; equal neighbours count as neither.
    #[must_use]
    pub fn of(y: &[f64]) -> Self {
        Self {
            rises: y.windows(2).filter(|w| w[1] > w[0]).count(),
            falls: y.windows(2).filter(|w| w[1] < w[0]).count(),
        }
    }

    /// One-sided probability of so few falls where a rise and a fall are equally likely.
    ///
    /// The sign test: it looks at no sizes, so one large step proves nothing, and many small ones
    /// in the same direction prove much.  Assumes independent steps; positive autocorrelation
    /// makes it reject too often.
    /// Degenerate: no rise and no fall give 1.
    /// Reference: Arbuthnot 1710; Conover, Practical Nonparametric Statistics, 3.4.
    #[must_use]
    pub fn p(self) -> f64 {
        let n = (self.rises + self.falls) as f64;
        let mut term = 0.5f64.powf(n);
        let mut sum = 0.0;
        for k in 0..=self.falls {
            sum += term;
            term *= (n - k as f64) / (k as f64 + 1.0);
        }
        sum.min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jitter(i: u32) -> f64 {
        f64::from((i * 7919) % 101) / 100.0 - 0.5
    }

    /// Expected values from an independent implementation (numpy `lstsq`).
    #[test]
    fn a_wanderer_stays_under_the_critical_values_and_a_line_does_not() {
        let mut sum = 0.0;
        let wander: Vec<f64> = (0..48)
            .map(|i| {
                sum += jitter(i);
                sum
            })
            .collect();
        let found = walk_test(&wander);
        assert!((found.returns - WANDER.0).abs() < 1e-9, "{found:?}");
        assert!((found.drift - WANDER.1).abs() < 1e-9, "{found:?}");
        assert!(found.strength() < 1.0);
        let line: Vec<f64> = (0..48).map(|i| 0.1 * f64::from(i) + jitter(i)).collect();
        let found = walk_test(&line);
        assert!((found.returns - LINE.0).abs() < 1e-9, "{found:?}");
        assert!((found.drift - LINE.1).abs() < 1e-9, "{found:?}");
        assert!(found.strength() > 1.0);
    }

    const WANDER: (f64, f64) = (8.590_671_311_999_191, -0.185_927_600_423_362);
    const LINE: (f64, f64) = (27.359_915_886_502_947, 1.406_694_001_918_388_2);

    #[test]
    fn the_least_step_is_where_the_expected_statistics_reach_their_critical_values() {
        // By hand, n = 50, rho = .9: keep .5; as a line 1 + .25 - .9 = .35, as a walk .2; by return
        // e^.21 .35 - .2 = .231787; by drift 3.13^2 .2 / 50 = .039188, the smaller one.
        assert!((WalkTest::least_step(50, 0.9) - 0.039_187_6_f64.sqrt()).abs() < 1e-9);
        // White noise returns to its line without any growth: e^.21 1.25 < 2.
        assert!(WalkTest::least_step(50, 0.0).abs() < 1e-12);
    }

    #[test]
    fn the_sign_test_counts_directions() {
        // By hand: 8 rises and no fall: 1 / 256. 3 rises, 1 fall: (1 + 4) / 16.
        let up: Vec<f64> = (0..9).map(f64::from).collect();
        assert!((Ways::of(&up).p() - 1.0 / 256.0).abs() < 1e-15);
        let mixed = Ways::of(&[1.0, 2.0, 3.0, 3.0, 2.5, 4.0]);
        assert_eq!((mixed.rises, mixed.falls), (3, 1));
        assert!((mixed.p() - 5.0 / 16.0).abs() < 1e-15);
        assert!((Ways::of(&[]).p() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn without_steps_there_is_nothing_to_test() {
        assert!(walk_test(&[3.0; 40]).strength().abs() < 1e-300);
        assert!(walk_test(&[1.0, 2.0]).strength().abs() < 1e-300);
    }
}
