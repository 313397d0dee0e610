//! Which level stands for a block: its lower envelope, or its mean.

use super::rules as r;
use crate::stats;

/// The lower envelope of each block, or its mean where that scatters clearly less.
///
/// The envelope is what remains after collection and churn, and steady where there is such.  Plain
/// noise has no floor, and there the 30 % quantile scatters 1.3 times as much as the mean: a fifth to
/// a quarter of the growth that could be seen is lost.  The scatter is the median size of the second
/// differences, which a trend, a step or a few spikes leave as it is.  Where most blocks stand still
/// it is 0 and the envelope stays, as a mean would round off the steps of a staircase and make a walk
/// look like a trend.
pub(super) fn level(low: Vec<f64>, mean: Vec<f64>) -> Vec<f64> {
    if scatter(&mean) < r::LESS_SCATTER * scatter(&low) {
        mean
    } else {
        low
    }
}

/// Median size of the second differences; NaN for fewer than three values.
fn scatter(level: &[f64]) -> f64 {
    let bends = level.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs());
    stats::median(&bends.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scatter_is_the_median_second_difference() {
        // By hand: 1 - 0 + 2 = 3 - 2; bends 3, 4, 1.
        assert!((scatter(&[2.0, 0.0, 1.0, -2.0, -4.0]) - 3.0).abs() < 1e-12);
        // A line and one step in it: two bends of many.
        let line: Vec<f64> = (0..20).map(|i| f64::from(3 * i + 50 * (i / 10))).collect();
        assert!(scatter(&line).abs() < 1e-12);
    }

    #[test]
    fn the_mean_stands_for_noise_and_the_envelope_for_what_has_a_floor() {
        let noisy =
            |size: f64| -> Vec<f64> { (0..20).map(|i| size * f64::from((i * 7) % 5)).collect() };
        assert_eq!(level(noisy(1.0), noisy(0.7)), noisy(0.7));
        assert_eq!(level(noisy(1.0), noisy(0.9)), noisy(1.0));
        // A floor that does not move is kept whatever the mean does.
        assert_eq!(level(vec![4.0; 20], noisy(0.1)), [4.0; 20]);
        assert!(level(vec![1.0], vec![2.0]).len() == 1);
    }
}
