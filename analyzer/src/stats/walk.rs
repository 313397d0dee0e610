//! Whether a random walk without drift could have made a series.

use super::least_squares::{Basis, dot};

/// Result of the joint test for a random walk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WalkTest {
    /// The statistic; large where the steps have a mean or the series returns to a line.
    pub f: f64,
    /// What one driftless random walk in a hundred exceeds while it rises.
    pub critical: f64,
    /// Number of points.
    pub n: usize,
}

/// Tests `y` against a random walk without drift, by two things that a walk lacks at once: a mean
/// of its steps, and a line that it returns to.
///
/// Formula: F of `a = b = 0, c = 1` in `y(t) = a + b t + c y(t-1) + e`, the statistic Phi2 of
/// Dickey & Fuller.  Its one-sided 1 % point (walks that end higher than they began) is
/// `5.6 + 20 / n + 400 / n^2`, within 4 % of 60,000 simulated walks for n = 12 to 100.
/// Errors beside the walk that are not autocorrelated make the test reject somewhat too often,
/// means of stretches of a walk likewise.  Points count as evenly spaced.
/// Degenerate: n < 8 or all equal give f = 0.
/// Reference: Dickey & Fuller, Econometrica 49 (1981), table V.
#[must_use]
pub fn walk_test(y: &[f64]) -> WalkTest {
    let n = y.len();
    let none = WalkTest {
        f: 0.0,
        critical: walk_critical(n),
        n,
    };
    if n < 8 {
        return none;
    }
    let steps: Vec<f64> = y.windows(2).map(|w| w[1] - w[0]).collect();
    let rows = steps.len();
    let mut basis = Basis::constant(rows);
    let time: Vec<f64> = (0..rows).map(|i| i as f64 / rows as f64).collect();
    basis.push(&time);
    // The level plays no part; near 0 the sums lose no digits.
    let before: Vec<f64> = y[..rows].iter().map(|v| v - y[0]).collect();
    basis.push(&before);
    let as_walk = dot(&steps, &steps);
    let free = basis.fit(&steps).sse.max(1e-12 * as_walk);
    let f = (as_walk - free) / 3.0 / (free / (rows as f64 - 3.0));
    if f.is_finite() {
        WalkTest { f, ..none }
    } else {
        none
    }
}

/// What [`walk_test`] of `n` points has to exceed.
#[must_use]
pub fn walk_critical(n: usize) -> f64 {
    let n = n.max(1) as f64;
    5.6 + 20.0 / n + 400.0 / (n * n)
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
    fn a_wanderer_stays_under_the_critical_value_and_a_line_does_not() {
        let mut sum = 0.0;
        let wander: Vec<f64> = (0..48)
            .map(|i| {
                sum += jitter(i);
                sum
            })
            .collect();
        let found = walk_test(&wander);
        assert!((found.f - WANDER_F).abs() < 1e-6 * WANDER_F, "{found:?}");
        assert!(found.f < found.critical);
        let line: Vec<f64> = (0..48).map(|i| 0.1 * f64::from(i) + jitter(i)).collect();
        let found = walk_test(&line);
        assert!((found.f - LINE_F).abs() < 1e-6 * LINE_F, "{found:?}");
        assert!(found.f > found.critical);
    }

    const WANDER_F: f64 = 3.817_972_945_508_058_7;
    const LINE_F: f64 = 40.951_104_725_807_5;

    #[test]
    fn the_critical_value_is_that_of_the_table() {
        // Table V of Dickey & Fuller, 97.5 % and 99 % at n = 50 and 100: 5.94 to 7.02 and 5.59 to
        // 6.50; the one-sided 1 % lies between, as about half of all walks fall.
        for (n, low, high) in [(50, 5.94, 7.02), (100, 5.59, 6.50), (25, 6.75, 8.21)] {
            let critical = walk_critical(n);
            assert!(low < critical && critical < high, "{n} {critical}");
        }
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
        assert!(walk_test(&[3.0; 40]).f.abs() < 1e-300);
        assert!(walk_test(&[1.0, 2.0]).f.abs() < 1e-300);
    }
}
