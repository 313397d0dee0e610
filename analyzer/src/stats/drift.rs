//! A trend test that holds for stationary errors and for a random walk alike.

use super::least_squares::{Basis, dot};
use super::{mean, same};
use statrs::distribution::{ContinuousCDF, Normal};

/// Result of the z-lambda test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftTest {
    /// One-sided probability of such a rise without a drift.
    pub p: f64,
    /// The weighted statistic, standard normal without a drift.
    pub z: f64,
    /// Weight of the random-walk statistic, 0 to 1.
    pub lambda: f64,
    /// Trend statistic for stationary errors.
    pub z_stationary: f64,
    /// Mean-difference statistic for errors with a unit root.
    pub z_random_walk: f64,
    /// Number of points.
    pub n: usize,
}

/// Tests `y` for a positive drift, whichever of the two kinds of errors it has.
///
/// Formula: `z0` = least-squares trend over its standard error with a Bartlett long-run variance
/// of `floor(4 (n/100)^0.25) + 1` lags; `z1` = mean difference over its standard error with the
/// same; `lambda = exp(-0.00025 (U/S)^2)` with `U` the DF-GLS statistic with trend (c = -13.5,
/// one lag) and `S` the KPSS statistic with trend; `z = (1 - lambda) z0 + lambda z1`.
/// This is the null hypothesis that suits memory: a series that wanders up is no leak.  It is
/// conservative near a unit root and in short series.  Points count as evenly spaced.
/// Degenerate: n < 8, all equal or a NaN give p = 1 and z = 0.
/// References: Harvey, Leybourne & Taylor, J. Econometrics 141 (2007); Elliott, Rothenberg &
/// Stock 1996; Kwiatkowski et al. 1992.
#[must_use]
pub fn drift_test(y: &[f64]) -> DriftTest {
    let n = y.len();
    let none = DriftTest {
        p: 1.0,
        z: 0.0,
        lambda: 0.0,
        z_stationary: 0.0,
        z_random_walk: 0.0,
        n,
    };
    if n < 8 || y.iter().all(|x| same(*x, y[0])) || y.iter().any(|x| !x.is_finite()) {
        return none;
    }
    let count = n as f64;
    let level = mean(y);
    let x: Vec<f64> = (0..n).map(|i| i as f64 - (count - 1.0) / 2.0).collect();
    let sxx = dot(&x, &x);
    let slope = x.iter().zip(y).map(|(x, y)| x * (y - level)).sum::<f64>() / sxx;
    let errors: Vec<f64> = x
        .iter()
        .zip(y)
        .map(|(x, y)| y - level - slope * x)
        .collect();
    let lags = super::index_of(4.0 * (count / 100.0).powf(0.25), n) + 1;
    let error_variance = long_run_variance(&errors, lags);
    let z_stationary = slope / (error_variance / sxx).sqrt();

    let steps: Vec<f64> = y.windows(2).map(|w| w[1] - w[0]).collect();
    let step = mean(&steps);
    let centred: Vec<f64> = steps.iter().map(|d| d - step).collect();
    let z_random_walk = step / (long_run_variance(&centred, lags) / (count - 1.0)).sqrt();

    let mut sum = 0.0;
    let kpss = errors
        .iter()
        .map(|e| {
            sum += e;
            sum * sum
        })
        .sum::<f64>()
        / (count * count)
        / error_variance;
    let ratio = df_gls(y) / kpss.max(1e-9);
    let lambda = (-0.00025 * ratio * ratio).exp();
    let z = (1.0 - lambda) * z_stationary + lambda * z_random_walk;
    if z.is_nan() {
        return none;
    }
    DriftTest {
        p: Normal::standard().sf(z),
        z,
        lambda,
        z_stationary,
        z_random_walk,
        n,
    }
}

/// Variance of the mean of autocorrelated values times n: Bartlett weights on the first `lags`
/// autocovariances (Newey & West 1987).  Never 0.
fn long_run_variance(errors: &[f64], lags: usize) -> f64 {
    let n = errors.len() as f64;
    let at_zero = dot(errors, errors) / n;
    let mut sum = at_zero;
    for k in 1..=lags.min(errors.len().saturating_sub(1)) {
        let weight = 1.0 - k as f64 / (lags as f64 + 1.0);
        sum += 2.0 * weight * dot(&errors[k..], errors) / n;
    }
    sum.max(1e-12 * at_zero + 1e-300)
}

/// The DF-GLS unit-root statistic with trend and one lag.
fn df_gls(y: &[f64]) -> f64 {
    let n = y.len();
    let keep = 1.0 - 13.5 / n as f64;
    // Differences that leave the share `keep`; the first value stays whole.
    let quasi = |v: &dyn Fn(usize) -> f64| -> Vec<f64> {
        (0..n)
            .map(|i| if i == 0 { v(0) } else { v(i) - keep * v(i - 1) })
            .collect()
    };
    // Statistic and trend do not care for the level; near 0 the sums lose no digits.
    let level = y[0];
    let mut basis = Basis::new(n);
    basis.push(&quasi(&|_| 1.0));
    basis.push(&quasi(&|i| i as f64 + 1.0));
    let trend = basis.fit(&quasi(&|i| y[i] - level)).coefficients;
    let rest: Vec<f64> = (0..n)
        .map(|i| y[i] - level - trend[0] - trend[1] * (i as f64 + 1.0))
        .collect();
    let steps: Vec<f64> = rest.windows(2).map(|w| w[1] - w[0]).collect();
    let before = &rest[1..n - 1];
    let step_before = &steps[..n - 2];
    let mut basis = Basis::new(n - 2);
    basis.push(before);
    basis.push(step_before);
    let fit = basis.fit(&steps[1..]);
    let variance = fit.sse / (n - 2).saturating_sub(2).max(1) as f64;
    let (a, b, c) = (
        dot(before, before),
        dot(before, step_before),
        dot(step_before, step_before),
    );
    let determinant = a * c - b * b;
    if determinant <= 1e-14 * a * c {
        return -1.0;
    }
    fit.coefficients[0] / (variance * c / determinant).max(1e-300).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jitter(i: u32) -> f64 {
        f64::from((i * 7919) % 101) / 100.0 - 0.5
    }

    /// Expected values from an independent Python implementation (numpy, scipy) of the test.
    #[test]
    fn wander_and_trend_match_the_reference() {
        let mut sum = 0.0;
        let wander: Vec<f64> = (0..48)
            .map(|i| {
                sum += jitter(i);
                sum
            })
            .collect();
        let found = drift_test(&wander);
        assert!(
            (found.p - 0.618_358_832_047_767_4).abs() < 1e-9,
            "{found:?}"
        );
        assert!((found.lambda - 0.951_465_360_461_542_5).abs() < 1e-9);
        assert!((found.z_stationary - 1.739_047_789_465_326_7).abs() < 1e-9);
        assert!((found.z_random_walk + 0.405_245_834_863_536).abs() < 1e-9);

        let trend: Vec<f64> = (0..48).map(|i| 0.05 * f64::from(i) + jitter(i)).collect();
        let found = drift_test(&trend);
        assert!((found.z - 5.778_338_362_729_221).abs() < 1e-9, "{found:?}");
        assert!((found.lambda - 0.908_052_341_084_185_9).abs() < 1e-9);
    }

    #[test]
    fn without_anything_to_test_p_is_one() {
        assert!((drift_test(&[3.0; 40]).p - 1.0).abs() < 1e-12);
        assert!((drift_test(&[1.0, 2.0, 3.0]).p - 1.0).abs() < 1e-12);
        let mut broken = [1.0; 40];
        broken[7] = f64::NAN;
        assert!((drift_test(&broken).p - 1.0).abs() < 1e-12);
    }
}
