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
    let (t, y, x) = (&t[..n], &y[..n], &x[..n]);
    let (t0, y0, x0) = (mean(t), mean(y), mean(x));
    let [mut tt, mut yy, mut xx, mut ty, mut tx, mut xy] = [0.0; 6];
    for i in 0..n {
        let (t, y, x) = (t[i] - t0, y[i] - y0, x[i] - x0);
        tt += t * t;
        yy += y * y;
        xx += x * x;
        ty += t * y;
        tx += t * x;
        xy += x * y;
    }
    let (y_rest, x_rest) = (yy - ty * ty / tt, xx - tx * tx / tt);
    // What rounding leaves of a line is no scatter.
    if y_rest <= LEFT_OF_A_LINE * yy || x_rest <= LEFT_OF_A_LINE * xx {
        return 0.0;
    }
    let r = (xy - ty * tx / tt) / (y_rest * x_rest).sqrt();
    if r.is_finite() { r } else { 0.0 }
}

/// Share of its squares about the mean that rounding leaves of a line.
const LEFT_OF_A_LINE: f64 = 1e-12;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn jitter(i: usize) -> f64 {
        ((i * 7919) % 101) as f64 / 100.0 - 0.5
    }

    /// Times, and a load that rises and swings.
    fn load() -> (Vec<f64>, Vec<f64>) {
        let at = |i: usize| 2.0 + 0.03 * i as f64 + 1.5 * (i as f64 / 3.0).sin() + jitter(i + 7);
        let t = (0..43).map(|i| 60.0 * f64::from(i)).collect();
        (t, (0..43).map(at).collect())
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs()
    }

    /// Expected values from an independent implementation with whole matrices (numpy, scipy).
    #[test]
    fn what_follows_matches_the_reference() {
        let (t, x) = load();
        let y: Vec<f64> = (0..43)
            .map(|i| 5.0 + 0.02 * i as f64 + 2.0 * x[i] + 2.0 * jitter(3 * i + 1))
            .collect();
        let found = follow(&t, &y, &x).expect("enough points");
        assert!(close(found.r, 0.969_947_641_589_138_4), "{found:?}");
        assert!(close(found.per_unit.slope, 2.054_068_538_334_451));
        assert!((found.per_unit.error / 0.109_177_854_180_989_58 - 1.0).abs() < 5e-3);
        assert!(
            found.p_levels < 1e-19 && found.p_changes < 1e-10,
            "{found:?}"
        );
        assert!(close(found.comes_down, 2.135_746_921_776_92));
        assert!(close(found.comes_down_beside, 2.159_476_920_544_227));
        assert!(
            close(found.rest.slope, 0.000_304_076_998_984_012_67),
            "{found:?}"
        );
        assert!((found.rest.error / 0.000_172_537_595_484_839_1 - 1.0).abs() < 5e-3);
        assert!(close(found.y_slope, 0.000_916_413_001_144_329_5));
        assert!(close(found.x_slope, 0.000_298_108_846_288_463_46));
        // What leaving the load out does to a slope, exactly.
        let whole = found.rest.slope + found.per_unit.slope * found.x_slope;
        assert!(close(found.y_slope, whole));
    }

    /// Expected values as above.
    #[test]
    fn what_grows_with_the_sum_of_a_load_neither_follows_it_nor_comes_down_with_it() {
        let (t, x) = load();
        let mut sum = 0.0;
        let y: Vec<f64> = (0..43)
            .map(|i| {
                sum += x[i];
                1.0 + 0.01 * sum + 0.02 * jitter(3 * i + 1)
            })
            .collect();
        let found = follow(&t, &y, &x).expect("enough points");
        assert!(close(found.r, 0.286_875_826_756_572_34), "{found:?}");
        assert!((found.p_levels - 0.161_251_334_512_232_36).abs() < 2e-3);
        assert!((found.p_changes - 0.032_667_637_487_687_1).abs() < 2e-3);
        assert!(close(found.comes_down, -0.027_294_922_457_954_95));
        let sums: Vec<f64> = x
            .iter()
            .scan(0.0, |sum, x| {
                *sum += x;
                Some(*sum)
            })
            .collect();
        let by_sum = follow(&t, &y, &sums).expect("enough points");
        assert!(
            by_sum.r > 0.98 && (by_sum.per_unit.slope - 0.01).abs() < 5e-4,
            "{by_sum:?}"
        );
    }

    /// Expected values as above.
    #[test]
    fn two_walks_with_trends_do_not_follow_each_other() {
        let walk = |step: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let mut sum = 0.0;
            let mut next = |i: usize| {
                sum += step(i);
                sum
            };
            (0..43).map(&mut next).collect()
        };
        let (t, _) = load();
        let (a, b) = (walk(&jitter), walk(&|i| jitter(5 * i + 2)));
        let found = follow(&t, &a, &b).expect("enough points");
        assert!(close(found.r, 0.370_796_028_977_840_8), "{found:?}");
        assert!((found.p_levels - 0.264_060_610_286_409_54).abs() < 2e-3);
        assert!((found.p_changes - 0.538_858_499_097_712_9).abs() < 2e-3);
    }

    #[test]
    fn one_event_that_raised_both_proves_nothing() {
        // Both noisy on their own, and both up by far at the same moment.
        let t: Vec<f64> = (0..40).map(f64::from).collect();
        let step = |salt: usize| -> Vec<f64> {
            (0..40_usize)
                .map(|i| jitter(i * salt + salt) + if i >= 20 { 30.0 } else { 0.0 })
                .collect()
        };
        let found = follow(&t, &step(3), &step(11)).expect("enough points");
        assert!(found.r > 0.9 && found.p_changes > 0.05, "{found:?}");
    }

    #[test]
    fn falls_and_lines_by_hand() {
        // Changes of x: 2 -1 3 -2, of y: 5 -3 1 -4: in falls (3 + 8) / (1 + 4).
        assert!((in_falls(&[5.0, -3.0, 1.0, -4.0], &[2.0, -1.0, 3.0, -2.0]) - 2.2).abs() < 1e-12);
        assert!(in_falls(&[1.0, 2.0], &[1.0, 1.0]).abs() < 1e-300);
        // As in the normal equations of least_squares: slope 1.1, intercept 1.1.
        let (first, last) = ends_of_line(&[0.0, 1.0, 2.0, 3.0], &[1.0, 3.0, 2.0, 5.0]);
        assert!((first - 1.1).abs() < 1e-12 && (last - 4.4).abs() < 1e-12);
        // x = 1 0 0 1, y = 1 0 1 2 about their lines in 0 1 2 3: the line of x is level, so its rest is
        // .5 -.5 -.5 .5; y has slope .4, rest .6 -.8 -.2 .4; product 1, squares 1 and 1.2.
        let r = correlation_about_lines(
            &[0.0, 1.0, 2.0, 3.0],
            &[1.0, 0.0, 1.0, 2.0],
            &[1.0, 0.0, 0.0, 1.0],
        );
        assert!((r - 1.0 / 1.2_f64.sqrt()).abs() < 1e-12, "{r}");
    }

    #[test]
    fn with_too_little_nothing_follows() {
        let t: Vec<f64> = (0..20).map(f64::from).collect();
        let line: Vec<f64> = t.iter().map(|t| 3.0 * t).collect();
        assert!(correlation_about_lines(&t, &line, &line).abs() < 1e-300);
        assert!(correlation_about_lines(&t, &[5.0; 20], &line).abs() < 1e-300);
        assert!(follow(&t, &line, &[1.0; 20]).is_none());
        assert!(follow(&t[..8], &line[..8], &line[..8]).is_none());
        let mut broken = line.clone();
        broken[3] = f64::NAN;
        assert!(follow(&t, &broken, &line).is_none());
        assert_eq!(ends_of_line(&[], &[]), (0.0, 0.0));
    }
}
