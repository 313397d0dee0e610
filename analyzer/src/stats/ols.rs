//! Ordinary least squares of a straight line: the baseline that everyone knows.

use super::theil_sen::SlopeInterval;
use super::{mean, same};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A straight line fitted by ordinary least squares, with the test of its slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ols {
    /// Units of y per unit of t.
    pub slope: f64,
    /// The line at t = 0.
    pub intercept: f64,
    /// Share of the variance of y that the line explains, 0 to 1.
    pub r2: f64,
    /// Standard error of the slope.
    pub slope_error: f64,
    /// The slope over its standard error.
    pub t: f64,
    /// Two-sided probability of such a `t` or a larger one without a slope.
    pub p: f64,
    /// Number of points.
    pub n: usize,
}

/// Fits `y = intercept + slope t`.
///
/// Formula: with sums about the means, `slope = Sty / Stt`, `r2 = Sty^2 / (Stt Syy)`, the standard
/// error `sqrt(SSE / (n - 2) / Stt)`, and `t = slope / error` against Student's distribution with
/// `n - 2` degrees of freedom.
/// Assumes independent normal errors of equal variance.  Memory samples are not independent: the
/// error comes out too small by a factor of about `sqrt((1 + r) / (1 - r))` for a lag-1
/// autocorrelation `r`, so that `p` calls nearly everything that wanders a trend, and a high `r2`
/// does not tell growth that goes on from growth that stops or from a step.  It is here to be
/// compared with.  Uneven ticks are fine; one wild value moves the line.
/// Degenerate: `None` for n < 3, for equal times, and for a value or time that is not finite.  All
/// y equal give slope 0, r2 0, t 0 and p 1; points exactly on a line an infinite `t` and p 0.
/// Reference: Draper & Smith, Applied Regression Analysis, 3rd ed. (1998), chapter 1.  Cost: `n`.
#[must_use]
pub fn ols(t: &[f64], y: &[f64]) -> Option<Ols> {
    let n = t.len().min(y.len());
    let (t, y) = (&t[..n], &y[..n]);
    if n < 3 || t.iter().chain(y).any(|x| !x.is_finite()) {
        return None;
    }
    let (t_mean, y_mean) = (mean(t), mean(y));
    let (mut tt, mut ty, mut yy) = (0.0, 0.0, 0.0);
    for (t, y) in t.iter().zip(y) {
        let (dt, dy) = (t - t_mean, y - y_mean);
        tt += dt * dt;
        ty += dt * dy;
        yy += dy * dy;
    }
    if tt <= 0.0 {
        return None;
    }
    let slope = ty / tt;
    let mut line = Ols {
        slope,
        intercept: y_mean - slope * t_mean,
        r2: 0.0,
        slope_error: 0.0,
        t: 0.0,
        p: 1.0,
        n,
    };
    if y.iter().all(|value| same(*value, y[0])) {
        // The mean of equal values may differ from them in the last digit.
        return Some(Ols {
            slope: 0.0,
            intercept: y[0],
            ..line
        });
    }
    // From the residuals and not as Syy - slope Sty, which loses all digits on a close fit.
    let sse: f64 = t
        .iter()
        .zip(y)
        .map(|(t, y)| y - y_mean - slope * (t - t_mean))
        .map(|residual| residual * residual)
        .sum();
    let freedom = n as f64 - 2.0;
    line.r2 = (1.0 - sse / yy).clamp(0.0, 1.0);
    line.slope_error = (sse / freedom / tt).sqrt();
    line.t = if line.slope_error > 0.0 {
        slope / line.slope_error
    } else if same(slope, 0.0) {
        0.0
    } else {
        f64::INFINITY.copysign(slope)
    };
    line.p = 2.0 * tail(freedom, line.t.abs());
    Some(line)
}

/// Probability of more than `t` for Student's distribution.
fn tail(freedom: f64, t: f64) -> f64 {
    if t.is_infinite() {
        0.0
    } else {
        StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |student| student.sf(t))
    }
}

impl Ols {
    /// The two-sided interval of the slope at the level `confidence`, for independent errors.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> SlopeInterval {
        let level = f64::midpoint(1.0, confidence.clamp(0.0, 1.0 - 1e-12));
        let reach = StudentsT::new(0.0, 1.0, self.n as f64 - 2.0)
            .map_or(f64::NAN, |student| student.inverse_cdf(level))
            * self.slope_error;
        SlopeInterval {
            low: self.slope - reach,
            high: self.slope + reach,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1e-12)
    }

    #[test]
    fn a_line_by_hand() {
        // t = 0 1 2, y = 0 1 1: Stt = 2, Sty = 1, Syy = 2/3, so slope 1/2 and intercept 1/6; residuals
        // -1/6 2/6 -1/6, SSE = 1/6, r2 = 1 - (1/6)/(2/3) = 3/4, error = sqrt(1/6 / 1 / 2), t = sqrt 3.
        // With one degree of freedom (Cauchy) P(|T| > sqrt 3) = 1 - 2/pi atan(sqrt 3) = 1/3.
        let line = ols(&[0.0, 1.0, 2.0], &[0.0, 1.0, 1.0]).expect("three points");
        assert!(close(line.slope, 0.5) && close(line.intercept, 1.0 / 6.0));
        assert!(close(line.r2, 0.75) && close(line.t, 3f64.sqrt()));
        assert!((line.p - 1.0 / 3.0).abs() < 1e-9, "{}", line.p);
    }

    #[test]
    fn uneven_ticks_agree_with_scipy() {
        // scipy 1.17.1: linregress([0,1,2.5,4,7,7.5,9,12], [3,5,4,8,9,8.5,13,12]); the interval is
        // slope -+ t.ppf(.995, 6) * stderr.
        let t = [0.0, 1.0, 2.5, 4.0, 7.0, 7.5, 9.0, 12.0];
        let y = [3.0, 5.0, 4.0, 8.0, 9.0, 8.5, 13.0, 12.0];
        let line = ols(&t, &y).expect("eight points");
        assert!(close(line.slope, 0.807_456_588_355_464_7));
        assert!(close(line.intercept, 3.472_420_837_589_377));
        assert!(close(line.r2, 0.867_542_552_626_564_8));
        assert!(close(line.slope_error, 0.128_806_077_503_374_83));
        assert!(
            (line.p / 0.000_765_471_592_573_317_1 - 1.0).abs() < 1e-6,
            "{}",
            line.p
        );
        let ends = line.interval(0.99);
        assert!(
            (ends.low - 0.329_917_327_302_518_1).abs() < 1e-6,
            "{}",
            ends.low
        );
        assert!(
            (ends.high - 1.284_995_849_408_411_5).abs() < 1e-6,
            "{}",
            ends.high
        );
    }

    #[test]
    fn a_small_slope_on_a_large_level_keeps_its_digits() {
        // A page a minute on 64 GiB, times as seconds since 1970.
        let t: Vec<f64> = (0..500).map(|i| 1.7e9 + 60.0 * f64::from(i)).collect();
        let y: Vec<f64> = (0..500).map(|i| 6.9e10 + 4096.0 * f64::from(i)).collect();
        let line = ols(&t, &y).expect("many points");
        assert!((line.slope / (4096.0 / 60.0) - 1.0).abs() < 1e-9);
        assert!(line.r2 > 1.0 - 1e-12 && line.p < 1e-300);
    }

    #[test]
    fn odd_input_has_no_line_or_a_flat_one() {
        assert_eq!(ols(&[0.0, 1.0], &[0.0, 1.0]), None);
        assert_eq!(ols(&[5.0; 4], &[0.0, 1.0, 2.0, 3.0]), None);
        assert_eq!(ols(&[0.0, 1.0, 2.0], &[0.0, f64::NAN, 2.0]), None);
        let flat = ols(&[0.0, 1.0, 2.0, 3.0], &[0.1; 4]).expect("four points");
        assert_eq!(
            format!("{} {} {} {}", flat.slope, flat.r2, flat.t, flat.p),
            "0 0 0 1"
        );
        let exact = ols(&[0.0, 1.0, 2.0], &[4.0, 2.0, 0.0]).expect("three points");
        assert!(exact.t.is_infinite() && exact.t < 0.0);
        assert!(close(exact.r2, 1.0) && exact.p.abs() < 1e-300);
    }
}
