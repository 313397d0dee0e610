//! How uncertain a fitted slope is where the errors are autocorrelated.

use super::least_squares::{Basis, dot};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Largest autocorrelation that is reckoned with; beyond it a slope has no useful error.
const MAX_RHO: f64 = 0.98;
/// The normal quantile of a one-sided 95 % limit.
const UPPER: f64 = 1.645;
/// Halvings of the range of autocorrelations, enough for a thousandth.
const HALVINGS: u32 = 11;

/// Error of the slope of a least-squares fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlopeError {
    /// The coefficient itself.
    pub slope: f64,
    /// Standard error, in units of y per unit of the first column.
    pub error: f64,
    /// Upper limit of the lag-1 autocorrelation of the errors, 0 to .98.
    pub rho: f64,
    /// Standard deviation of the errors.
    pub sigma: f64,
    /// Degrees of freedom for a t quantile.
    pub free: f64,
}

impl SlopeError {
    /// Half the width of the two-sided interval of this `confidence`.
    #[must_use]
    pub fn reach(&self, confidence: f64) -> f64 {
        StudentsT::new(0.0, 1.0, self.free.max(1.0)).map_or(f64::INFINITY, |t| {
            t.inverse_cdf(f64::midpoint(1.0, confidence)) * self.error
        })
    }
}

/// The error of the coefficient of the first of `columns` in a least-squares fit of a constant
/// and all of them to `y`, where the errors are a first-order autoregression.
///
/// Formula: with Q an orthonormal basis of the columns, M = 1 - QQ', w the weights that give the
/// coefficient, and S(rho) the matrix of `rho^|i-j|`: rho is where
/// `sum of (M S M)(t, t-1) / trace(M S M)` equals the upper 95 % limit
/// `r + 1.645 sqrt((1 - r^2) / n)` of the lag-1 autocorrelation r of the residuals, which corrects
/// the bias that fitting causes and errs to the wide side; variance of the errors `SSE / trace(M S M)`; variance of
/// the coefficient `w' S w` times that.  Points count as evenly spaced.
/// Degenerate: `None` where there are not at least three points more than columns.
/// Reference: Prais & Winsten 1954; bias: Marriott & Pope, Biometrika 41 (1954).
#[must_use]
pub fn slope_error(columns: &[&[f64]], y: &[f64]) -> Option<SlopeError> {
    let n = y.len();
    let (trend, others) = columns.split_first()?;
    if n < columns.len() + 4 {
        return None;
    }
    let mut basis = Basis::constant(n);
    for column in others {
        basis.push(column);
    }
    // The trend comes last, so that its direction is free of all others.
    basis.push(trend);
    let weights = basis.weights_of_last()?;
    let fit = basis.fit(y);
    let e = &fit.residuals;
    let seen = dot(&e[1..], e) / fit.sse.max(1e-300);
    // The estimate is as likely too small as too large, but only the former misleads.
    let seen = seen + UPPER * ((1.0 - seen * seen).max(0.0) / n as f64).sqrt();
    let (mut low, mut high) = (0.0, MAX_RHO);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        let (trace, lag) = leftover(basis.orthonormal(), n, middle);
        if lag / trace < seen {
            low = middle;
        } else {
            high = middle;
        }
    }
    let rho = if low > 0.0 {
        f64::midpoint(low, high)
    } else {
        0.0
    };
    let (trace, _) = leftover(basis.orthonormal(), n, rho);
    let variance = fit.sse / trace.max(1e-300);
    Some(SlopeError {
        slope: dot(&weights, y),
        error: (variance * dot(&weights, &correlate(&weights, rho))).sqrt(),
        rho,
        sigma: variance.sqrt(),
        free: (n - columns.len() - 2) as f64,
    })
}

/// S(rho) times a vector, in one pass forth and one back.
fn correlate(x: &[f64], rho: f64) -> Vec<f64> {
    let mut out = x.to_vec();
    let mut carry = 0.0;
    for (o, v) in out.iter_mut().zip(x) {
        *o += carry;
        carry = rho * (carry + v);
    }
    carry = 0.0;
    for (o, v) in out.iter_mut().zip(x).rev() {
        *o += carry;
        carry = rho * (carry + v);
    }
    out
}

/// Trace and sum of the first side diagonal of M S M.
fn leftover(q: &[Vec<f64>], n: usize, rho: f64) -> (f64, f64) {
    let moved: Vec<Vec<f64>> = q.iter().map(|q| correlate(q, rho)).collect();
    let (mut trace, mut lag) = (n as f64, (n as f64 - 1.0) * rho);
    for (i, (a, sa)) in q.iter().zip(&moved).enumerate() {
        trace -= dot(a, sa);
        lag -= dot(&a[1..], sa) + dot(&sa[1..], a);
        for (j, b) in q.iter().enumerate() {
            let between = if i == j { dot(a, sa) } else { dot(b, sa) };
            lag += between * dot(&a[1..], b);
        }
    }
    (trace, lag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first-order autoregression from a fixed jitter.
    fn made(n: u32, phi: f64) -> Vec<f64> {
        let mut x = 0.0;
        (0..n)
            .map(|i| {
                x = phi * x + f64::from((i * 7919) % 101) / 100.0 - 0.5;
                x + 0.02 * f64::from(i)
            })
            .collect()
    }

    /// Expected values from an independent implementation with whole matrices (numpy).
    #[test]
    fn the_error_matches_the_reference() {
        let u: Vec<f64> = (0..43).map(|i| f64::from(i) / 42.0).collect();
        let step: Vec<f64> = u.iter().map(|x| f64::from(*x >= 0.4)).collect();
        let y = made(43, 0.95);
        let line = slope_error(&[&u], &y).expect("enough points");
        assert!((line.rho - EXPECTED[0].0).abs() < 1e-3, "{line:?}");
        assert!((line.error / EXPECTED[0].1 - 1.0).abs() < 5e-3, "{line:?}");
        assert!((line.slope - 1.917_558_197_061_076_4).abs() < 1e-9);
        let both = slope_error(&[&u, &step], &y).expect("enough points");
        assert!((both.rho - EXPECTED[1].0).abs() < 1e-3, "{both:?}");
        assert!((both.error / EXPECTED[1].1 - 1.0).abs() < 5e-3, "{both:?}");
    }

    const EXPECTED: [(f64, f64); 2] = [
        (0.753_271_264_089_884_8, 0.406_331_553_967_862),
        (0.838_048_663_478_118_2, 0.750_919_955_134_499_2),
    ];

    #[test]
    fn too_few_points_or_none_have_no_error() {
        assert!(slope_error(&[&[0.0, 1.0, 2.0, 3.0]], &[1.0, 2.0, 3.0, 4.0]).is_none());
        assert!(slope_error(&[], &[1.0; 9]).is_none());
        let flat = slope_error(&[&[0.0, 1.0, 2.0, 3.0, 4.0]], &[5.0; 5]).expect("five points");
        assert!(flat.error.abs() < 1e-12 && flat.reach(0.95).abs() < 1e-9);
    }
}
