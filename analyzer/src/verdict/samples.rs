//! Samples put in order, and summed up stretch by stretch.

use super::rules;
use crate::stats::{self, Order};

/// Finite samples in ascending time, the first of those at the same time.
pub(super) fn clean(t: &[f64], v: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut pairs: Vec<(f64, f64)> = t
        .iter()
        .copied()
        .zip(v.iter().copied())
        .filter(|(t, v)| t.is_finite() && v.is_finite())
        .collect();
    if pairs.windows(2).any(|w| w[1].0 <= w[0].0) {
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        pairs.dedup_by(|later, kept| stats::same(later.0, kept.0));
    }
    pairs.into_iter().unzip()
}

/// Splits ascending times into `count` stretches of equal length and calls back with the range
/// of indices of each stretch that has any.
pub(super) fn equal_time(
    t: &[f64],
    start: f64,
    end: f64,
    count: usize,
    mut each: impl FnMut(usize, usize),
) {
    let width = (end - start) / count as f64;
    let mut from = 0;
    for i in 1..=count {
        let to = if i == count {
            t.len()
        } else {
            let edge = start + width * i as f64;
            from + t[from..].partition_point(|&x| x < edge)
        };
        if to > from {
            each(from, to);
        }
        from = to;
    }
}

/// What stands for the samples of a stretch.
pub(super) struct Stretch {
    /// Mean time.
    pub(super) t_s: f64,
    /// The 30 % quantile.
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) mean: f64,
    /// Number of samples.
    pub(super) samples: usize,
}

/// A whole series in few words.
pub(super) struct Summary {
    /// Smallest non-zero difference of successive values without sign, 0 for a constant series.
    pub(super) quantum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// The times ascend, and every number is finite: no sum is not.
    pub(super) sound: bool,
}

/// Cuts at least one sample into `count` stretches of equal time, calls back with those that have
/// samples, and sums up.  Samples that are not sound give numbers that mean nothing, but no panic.
pub(super) fn summarise(
    t: &[f64],
    v: &[f64],
    count: usize,
    mut each: impl FnMut(Stretch),
) -> Summary {
    let mut order = Order::default();
    let (min, max) = stats::extremes(v);
    let quantum = stats::least_step(v);
    // All pairs are looked at, as that is faster than to stop at the first that descends.  Times that
    // ascend between finite ends are finite, and so are values whose means are.
    let pairs = t.iter().zip(&t[1..]);
    let ascending = pairs.fold(true, |yes, (a, b)| yes & (b > a));
    let mut sound = ascending && t[0].is_finite() && t[t.len() - 1].is_finite();
    equal_time(t, t[0], t[t.len() - 1], count, |from, to| {
        let (t_s, mean) = (stats::mean(&t[from..to]), stats::mean(&v[from..to]));
        sound &= mean.is_finite();
        let [low, median] = order.quantiles(&v[from..to], [rules::ENVELOPE, 0.5]);
        each(Stretch {
            t_s,
            low,
            median,
            mean,
            samples: to - from,
        });
    });
    Summary {
        quantum: if quantum.is_finite() { quantum } else { 0.0 },
        min,
        max,
        sound,
    }
}
