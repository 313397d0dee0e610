//! Whether one series follows another in its ups and downs, and what trend is left beside it.

use super::least_squares::{Basis, dot};
use super::slope_error::{SlopeError, slope_error};
use super::{mean, same};
use statrs::distribution::{ContinuousCDF, StudentsT};

impl Follow {
    /// How little and how much `y` may follow `x`: the interval of this `confidence`, and the slope that
    /// all scatter would make were it that of `x`.
    ///
    /// `x` as it is measured is not what `y` feels, and an error in it makes `per_unit` too small, never
    /// below `r^2` times the true one (Gini 1921; Klepper & Leamer, Econometrica 52 (1984)).
    #[must_use]
    pub fn between(&self, confidence: f64) -> (f64, f64) {
        let (slope, reach) = (self.per_unit.slope, self.per_unit.reach(confidence));
        (
            slope - reach,
            (slope + reach).max(slope / (self.r * self.r)),
        )
    }
}

/// Fewer points leave no degrees of freedom for three coefficients and an autocorrelation.
const LEAST: usize = 12;

/// How a series follows another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Follow {
    /// Units of `y` for each unit of `x`, beside a line in time, with its error.
    pub per_unit: SlopeError,
    /// Correlation of the two about their lines in time, -1 to 1.
    pub r: f64,
    /// One-sided probability of such a `per_unit` where the two have nothing to do with each other
    /// and the errors are a first-order autoregression.
    pub p_levels: f64,
    /// The same for the changes from point to point, without the pair that speaks most for it.
    pub p_changes: f64,
    /// Units that `y` comes down for each unit that `x` comes down.
    pub comes_down: f64,
    /// The same beside the trend that is left, as where a leak goes on meanwhile.
    pub comes_down_beside: f64,
    /// Slope of the line through `x`, in units of `x` per unit of `t`.
    pub x_slope: f64,
    /// Slope of the line through `y`: `rest.slope + per_unit.slope x_slope`.
    pub y_slope: f64,
    /// The trend of `y` that is left beside `x`, with its error.
    pub rest: SlopeError,
    /// Number of points.
    pub n: usize,
}

/// Correlation of `y` and `x` about their lines in `t`; 0 where either lies on its line.
///
/// Formula: the partial correlation given a constant and `t`. It costs a pass, and serves to choose
/// whom to [`follow`]. Cost: `n`. Reference: Yule 1907; Frisch & Waugh, Econometrica 1 (1933).
#[must_use]
pub fn correlation_about_lines(t: &[f64], y: &[f64], x: &[f64]) -> f64 {
    let n = t.len().min(y.len()).min(x.len());
    let (y_rest, x_rest) = (about_line(&t[..n], &y[..n]), about_line(&t[..n], &x[..n]));
    let (yy, xx) = (dot(&y_rest, &y_rest), dot(&x_rest, &x_rest));
    // What rounding leaves of a line is no scatter.
    let none = |rest: f64, all: &[f64]| rest <= 1e-18 * dot(all, all);
    if none(yy, &y[..n]) || none(xx, &x[..n]) {
        return 0.0;
    }
    let r = dot(&y_rest, &x_rest) / (yy * xx).sqrt();
    if r.is_finite() { r } else { 0.0 }
}

/// Asks whether `y` follows `x`, both at the times `t`.
///
/// Any two series with a trend correlate, and so do any two that wander (Yule 1926; Granger & Newbold
/// 1974), so neither a correlation of levels nor its usual p says anything. Here the trends are out of
/// it: with the model `y = a + d t + b x + error`, `per_unit` is b, found from what both do about their
/// lines. It is tested twice. In levels, where the errors are a first-order autoregression whose
/// coefficient is taken at its upper limit ([`slope_error`]); and in changes, which holds for errors
/// that are a random walk, without the pair of changes that adds most to their product, so that no
/// single event that raised both decides. `rest` is d, the trend that `x` does not explain; the line
/// through `y` has the slope `d + b x_slope` exactly (what leaving out `x` does to a slope).
///
/// What only rises with `x`, but never falls, does not follow it: `comes_down` is the sum of the
/// products of changes over the sum of squares of those of `x`, where `x` falls; near `per_unit` for
/// what follows, and below 0 for what goes on growing. `comes_down_beside` has d taken off before.
///
/// Assumes points of about equal distance.
/// Degenerate: `None` with fewer than 12 points, for values that are not finite, or where `x` is a line.
/// Cost: `n`. Reference: Granger & Newbold, J. Econometrics 2 (1974); Granger & Yoon, Hidden
/// Cointegration (2002) for rises and falls apart.
#[must_use]
pub fn follow(t: &[f64], y: &[f64], x: &[f64]) -> Option<Follow> {
    let n = t.len().min(y.len()).min(x.len());
    let (t, y, x) = (&t[..n], &y[..n], &x[..n]);
    if n < LEAST || t.iter().chain(y).chain(x).any(|v| !v.is_finite()) {
        return None;
    }
    let r = correlation_about_lines(t, y, x);
    // Scaled and near 0 the sums lose no digits.
    let (y0, x0) = (mean(y), mean(x));
    let y: Vec<f64> = y.iter().map(|v| v - y0).collect();
    let x: Vec<f64> = x.iter().map(|v| v - x0).collect();
    let level = slope_error(&[&x, t], &y)?;
    let rest = slope_error(&[t, &x], &y)?;
    let (y_slope, x_slope) = (line_slope(t, &y)?, line_slope(t, &x)?);
    let (dt, dy, dx) = (changes(t), changes(&y), changes(&x));
    let beside: Vec<f64> = dy
        .iter()
        .zip(&dt)
        .map(|(y, t)| y - rest.slope * t)
        .collect();
    Some(Follow {
        per_unit: level,
        r,
        p_levels: p_above(&level),
        p_changes: without_the_strongest(&dy, &dx).map_or(1.0, |error| p_above(&error)),
        comes_down: in_falls(&dy, &dx),
        comes_down_beside: in_falls(&beside, &dx),
        x_slope,
        y_slope,
        rest,
        n,
    })
}

/// The least-squares line through `y`, at the first and at the last time; 0 where there is no line.
#[must_use]
pub fn ends_of_line(t: &[f64], y: &[f64]) -> (f64, f64) {
    let ends = t.first().zip(t.last()).zip(line_slope(t, y));
    ends.map_or((0.0, 0.0), |((first, last), slope)| {
        let at = |of: f64| mean(y) + slope * (of - mean(t));
        (at(*first), at(*last))
    })
}

fn changes(of: &[f64]) -> Vec<f64> {
    of.windows(2).map(|w| w[1] - w[0]).collect()
}

fn line_slope(t: &[f64], y: &[f64]) -> Option<f64> {
    let mut basis = Basis::constant(t.len());
    basis.push(t);
    Some(dot(&basis.weights_of_last()?, y))
}

fn about_line(t: &[f64], y: &[f64]) -> Vec<f64> {
    let mut basis = Basis::constant(t.len());
    basis.push(t);
    let level = mean(y);
    basis
        .fit(&y.iter().map(|v| v - level).collect::<Vec<_>>())
        .residuals
}

/// One-sided probability of such a coefficient or a larger one where there is none.
fn p_above(of: &SlopeError) -> f64 {
    if of.error > 0.0 {
        StudentsT::new(0.0, 1.0, of.free.max(1.0)).map_or(1.0, |t| t.sf(of.slope / of.error))
    } else if of.slope > 0.0 {
        0.0
    } else {
        1.0
    }
}

/// The line of the changes `dy` over `dx`, without the pair whose product about the means is largest.
fn without_the_strongest(dy: &[f64], dx: &[f64]) -> Option<SlopeError> {
    let (my, mx) = (mean(dy), mean(dx));
    let strongest = (0..dy.len()).max_by(|a, b| {
        let product = |i: usize| (dy[i] - my) * (dx[i] - mx);
        product(*a).total_cmp(&product(*b))
    })?;
    let others = |of: &[f64]| -> Vec<f64> {
        let kept = of.iter().enumerate().filter(|(i, _)| *i != strongest);
        kept.map(|(_, v)| *v).collect()
    };
    let (dy, dx) = (others(dy), others(dx));
    if dx.iter().all(|v| same(*v, dx[0])) {
        return None;
    }
    slope_error(&[&dx], &dy)
}

/// Change of `y` for each unit of `x` where `x` falls, by least squares through 0; 0 without a fall.
fn in_falls(dy: &[f64], dx: &[f64]) -> f64 {
    let (mut xy, mut xx) = (0.0, 0.0);
    for (dy, dx) in dy.iter().zip(dx).filter(|(_, dx)| **dx < 0.0) {
        xy += dx * dy;
        xx += dx * dx;
    }
    if xx > 0.0 { xy / xx } else { 0.0 }
}
