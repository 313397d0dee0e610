//! Whether one series moves with another.

use super::mann_kendall::ranks;
use super::mean;

/// Moments at which both series have a value, at the least: with fewer a correlation of ranks says
/// nothing (12 give a standard error of .3).
const LEAST: usize = 12;

/// How two series move together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Units of `y` for each unit of `x`: the slope of the least-squares line of `y` over `x`.
    pub ratio: f64,
    /// Share of the variance of `y` that this line explains, 0 to 1; 0 where it falls.
    pub shape: f64,
    /// Share of the variance of `y` that a straight line in time explains, 0 to 1.
    pub line: f64,
    /// Spearman's rank correlation of the changes from moment to moment, the best of the lags -1, 0
    /// and 1; 0 where one of them changes always by the same.
    pub changes: f64,
    /// The lag of it: 1 where `y` follows `x` by a moment.
    pub lag: i32,
    /// Moments at which both have a value.
    pub n: usize,
}

/// Compares two series at the same moments of equal distance; NaN is a missing value.
///
/// Levels of two series that both grow always agree to some degree (Yule 1926), so `shape` alone
/// proves nothing: compare it with `line`, and see whether the changes agree too. A lag of one moment
/// either way is allowed for, as sources are not read at the same instant. The changes of memory
/// series are about independent; their correlation has a standard error of 1/sqrt(n).
/// Degenerate: `None` with fewer than 12 moments, or where either is constant.
/// Cost: n log n. Reference: Spearman 1904, with mean ranks for ties.
#[must_use]
pub fn agreement(y: &[f64], x: &[f64]) -> Option<Agreement> {
    let (mut t, mut a, mut b) = (Vec::new(), Vec::new(), Vec::new());
    for (i, (y, x)) in y.iter().zip(x).enumerate() {
        if y.is_finite() && x.is_finite() {
            t.push(i as f64);
            a.push(*y);
            b.push(*x);
        }
    }
    if a.len() < LEAST {
        return None;
    }
    let (ratio, correlation) = regression(&a, &b)?;
    let line = regression(&a, &t).map_or(0.0, |(_, r)| r * r);
    let differences = |of: &[f64]| of.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>();
    let (da, db) = (differences(&a), differences(&b));
    let (changes, lag) = [
        (rank_correlation(&da, &db), 0),
        (rank_correlation(&da[1..], &db[..db.len() - 1]), 1),
        (rank_correlation(&da[..da.len() - 1], &db[1..]), -1),
    ]
    .into_iter()
    .fold((f64::NEG_INFINITY, 0), |best, next| {
        if next.0 > best.0 { next } else { best }
    });
    Some(Agreement {
        ratio,
        shape: if correlation > 0.0 {
            correlation * correlation
        } else {
            0.0
        },
        line,
        changes,
        lag,
        n: a.len(),
    })
}

/// Slope of the line of `y` over `x` and Pearson's correlation; `None` where either is constant.
fn regression(y: &[f64], x: &[f64]) -> Option<(f64, f64)> {
    let (my, mx) = (mean(y), mean(x));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (y, x) in y.iter().zip(x) {
        xx += (x - mx) * (x - mx);
        yy += (y - my) * (y - my);
        xy += (x - mx) * (y - my);
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / xx, xy / (xx * yy).sqrt()))
}

fn rank_correlation(y: &[f64], x: &[f64]) -> f64 {
    regression(&ranks(y), &ranks(x)).map_or(0.0, |(_, r)| r)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of uneven height, as descriptors come and go.
    fn uneven(seed: u64, n: usize) -> Vec<f64> {
        let mut state = seed;
        let mut level = 0.0;
        (0..n)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                level += f64::from(u32::try_from(state >> 61).unwrap_or(0));
                level
            })
            .collect()
    }

    #[test]
    fn what_one_makes_of_the_other_is_found_with_its_ratio() {
        let x = uneven(1, 60);
        let y: Vec<f64> = x.iter().map(|x| 3.0 * x + 7.0).collect();
        let found = agreement(&y, &x).expect("both vary");
        assert!((found.ratio - 3.0).abs() < 1e-9 && (found.shape - 1.0).abs() < 1e-9);
        assert!((found.changes - 1.0).abs() < 1e-9);
        assert_eq!((found.lag, found.n), (0, 60));
        assert!(found.line < found.shape);
    }

    #[test]
    fn two_that_grow_by_themselves_agree_in_shape_and_not_in_their_changes() {
        let found = agreement(&uneven(1, 90), &uneven(2, 90)).expect("both vary");
        assert!(found.shape > 0.95, "{found:?}");
        assert!(found.changes < 0.4, "{found:?}");
    }

    #[test]
    fn one_that_follows_by_a_moment_is_recognised() {
        let x = uneven(3, 60);
        let y: Vec<f64> = std::iter::once(0.0)
            .chain(x.iter().copied())
            .take(60)
            .collect();
        let found = agreement(&y, &x).expect("both vary");
        assert!(found.changes > 0.99 && found.lag == 1, "{found:?}");
    }

    #[test]
    fn opposite_directions_have_no_shape_and_constants_no_agreement() {
        let x = uneven(1, 60);
        let y: Vec<f64> = x.iter().map(|x| -x).collect();
        let found = agreement(&y, &x).expect("both vary");
        assert!(found.shape.abs() < 1e-12 && found.ratio < 0.0);
        assert_eq!(agreement(&[1.0; 60], &x), None);
        assert_eq!(agreement(&x[..11], &x[..11]), None);
        let mut gaps = x.clone();
        gaps[..50].fill(f64::NAN);
        assert_eq!(agreement(&gaps, &x), None);
    }

    /// By hand: the ranks are 1 2.5 2.5 5 4 6 and 2 1 3 4.5 4.5 6, each with a sum of squares of 17
    /// about 3.5, and a sum of products of 15.
    #[test]
    fn ties_have_mean_ranks() {
        let found = rank_correlation(
            &[1.0, 2.0, 2.0, 4.0, 3.0, 7.0],
            &[2.0, 1.0, 3.0, 4.0, 4.0, 6.0],
        );
        assert!((found - 15.0 / 17.0).abs() < 1e-12, "{found}");
    }
}
