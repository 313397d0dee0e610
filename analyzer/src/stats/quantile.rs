//! Order statistics: quantile, median, median absolute deviation.

/// Turns a median absolute deviation into the standard deviation of a normal distribution with
/// that deviation: `1 / PHI^-1(3/4)`, rounded as in the robust-statistics literature.
pub const MAD_TO_SIGMA: f64 = 1.4826;

/// The `q` quantile of values that are already in ascending order.
///
/// Formula: with `h = (n - 1) q`, linear interpolation between the values of rank `floor(h)` and
/// `floor(h) + 1` (type 7 of Hyndman & Fan 1996, the default of numpy and R).
/// Unit: that of the values.  Order in time plays no part, so autocorrelation does not bias it.
/// Degenerate: NaN for an empty slice; the value itself for one; `q` is held within 0..1.
#[must_use]
pub fn quantile_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let h = last as f64 * q.clamp(0.0, 1.0);
    let i = super::index_of(h, last);
    let (a, b) = (sorted[i], sorted[(i + 1).min(last)]);
    a + (b - a) * (h - i as f64)
}

/// The `q` quantile of values in any order; see [`quantile_sorted`].
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_sorted(&sorted, q)
}

/// The median of values in any order: the mean of the two middle ones where the count is even.
///
/// Degenerate: NaN for an empty slice.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    median_in_place(&mut values.to_vec())
}

/// The median, reordering the slice instead of copying it; NaN for an empty slice.
pub(crate) fn median_in_place(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        middle
    } else {
        f64::midpoint(
            below.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            middle,
        )
    }
}

/// A standard deviation that single outliers do not move: `1.4826 median |x - median x|`.
///
/// Assumes that the bulk of the values is roughly normal.  Under positive autocorrelation it is
/// too small in short series, as every spread is.
/// Degenerate: NaN for an empty slice; 0 where more than half of the values are equal.
/// Reference: Hampel, JASA 69 (1974).
#[must_use]
pub fn mad_sigma(values: &[f64]) -> f64 {
    let centre = median(values);
    let mut away: Vec<f64> = values.iter().map(|x| (x - centre).abs()).collect();
    MAD_TO_SIGMA * median_in_place(&mut away)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_interpolates_between_ranks() {
        // By hand: h = 3 * .3 = .9, 1 + .9 * (2 - 1).
        assert!((quantile(&[4.0, 2.0, 1.0, 3.0], 0.3) - 1.9).abs() < 1e-12);
        assert!((quantile(&[7.0], 0.3) - 7.0).abs() < 1e-12);
        assert!(quantile(&[], 0.3).is_nan());
    }

    #[test]
    fn median_of_even_count_is_the_middle_of_two() {
        assert!((median(&[5.0, 1.0, 9.0, 2.0]) - 3.5).abs() < 1e-12);
        assert!((median(&[5.0, 1.0, 9.0]) - 5.0).abs() < 1e-12);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn mad_ignores_one_outlier_and_is_zero_when_most_are_equal() {
        // Deviations from 3 are 2 1 0 1 97; their median is 1.
        assert!((mad_sigma(&[1.0, 2.0, 3.0, 4.0, 100.0]) - MAD_TO_SIGMA).abs() < 1e-12);
        assert!(mad_sigma(&[3.0, 3.0, 3.0, 9.0]).abs() < 1e-12);
    }
}
