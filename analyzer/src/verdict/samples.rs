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
            // Samples mostly come at even intervals, so that the edge lies where those would put it.
            let guess = (t.len() - from) / (count + 1 - i);
            from + first_from(&t[from..], start + width * i as f64, guess)
        };
        if to > from {
            each(from, to);
        }
        from = to;
    }
}

/// How many of ascending times lie before `edge`, sought outwards from a guess: from a good one few
/// of them are looked at.
fn first_from(t: &[f64], edge: f64, guess: usize) -> usize {
    let (mut low, mut high) = (guess.min(t.len()), guess.min(t.len()));
    let mut reach = 1;
    while low > 0 && t[low - 1] >= edge {
        high = low - 1;
        low = low.saturating_sub(reach);
        reach *= 2;
    }
    while high < t.len() && t[high] < edge {
        low = high + 1;
        high = (high + reach).min(t.len());
        reach *= 2;
    }
    low + t[low..high.max(low)].partition_point(|&x| x < edge)
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
    let mut quantum = f64::INFINITY;
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    // Times that ascend between finite ends are finite, and so are values whose means are.
    let mut sound = t[0].is_finite() && t[t.len() - 1].is_finite();
    equal_time(t, t[0], t[t.len() - 1], count, |from, to| {
        let (times, values) = (&t[from..to], &v[from..to]);
        // What is said of pairs needs the last sample of the stretch before.
        let back = from.saturating_sub(1);
        quantum = quantum.min(stats::least_step(&v[back..to]));
        let ends = stats::extremes(values);
        (min, max) = (min.min(ends.0), max.max(ends.1));
        let (t_s, mean) = (stats::mean(times), stats::mean(values));
        sound &= mean.is_finite() && ascends(&t[back..to]);
        let [low, median] = order.quantiles(values, ends, [rules::ENVELOPE, 0.5]);
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

/// Whether each is greater than the one before.  All pairs are looked at, as that is faster than to
/// stop at the first that is not.
fn ascends(t: &[f64]) -> bool {
    let pairs = t.iter().zip(&t[1..]);
    pairs.fold(true, |yes, (a, b)| yes & (b > a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_found_from_any_guess() {
        let t: Vec<f64> = (0..40).map(|i| f64::from(i * i)).collect();
        for edge in [-1.0, 0.0, 1.0, 150.0, 400.5, 1521.0, 9e9] {
            let wanted = t.partition_point(|&x| x < edge);
            for guess in 0..60 {
                assert_eq!(first_from(&t, edge, guess), wanted, "{edge} {guess}");
            }
        }
        assert_eq!(first_from(&[], 1.0, 7), 0);
        // Disorder gives any place, but one inside.
        for guess in 0..6 {
            assert!(first_from(&[f64::NAN, 5.0, -1.0, f64::NAN, 2.0], 1.0, guess) <= 5);
        }
    }
}
