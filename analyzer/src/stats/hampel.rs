//! Hampel filter: replaces short dips and spikes, keeps steps.

use super::quantile::{MAD_TO_SIGMA, median_in_place};

/// Replaces each value that lies more than `limit` scaled MADs from the median of the window of
/// `reach` neighbours on either side by that median.
///
/// Dips and spikes of up to `reach` values go, steps stay.  At the ends the window is cut, not
/// padded.  It looks at order only: uneven ticks do not matter.
/// Degenerate: where a window's MAD is 0 nothing is replaced, since no scale is known there.
/// Reference: Davies & Gather, JASA 88 (1993); Pearson 2002.
#[must_use]
pub fn hampel(values: &[f64], reach: usize, limit: f64) -> Vec<f64> {
    let mut window = Vec::with_capacity(2 * reach + 1);
    values
        .iter()
        .enumerate()
        .map(|(i, &value)| {
            let around = &values[i.saturating_sub(reach)..(i + reach + 1).min(values.len())];
            window.clear();
            window.extend_from_slice(around);
            let centre = median_in_place(&mut window);
            for w in &mut window {
                *w = (*w - centre).abs();
            }
            let sigma = MAD_TO_SIGMA * median_in_place(&mut window);
            if sigma > 0.0 && (value - centre).abs() > limit * sigma {
                centre
            } else {
                value
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_goes_and_a_step_stays() {
        let spike = [1.0, 2.0, 3.0, 90.0, 5.0, 6.0, 7.0];
        // Window of the spike is all seven: median 5, deviations 4 3 2 85 0 1 2, MAD 2.
        assert!((hampel(&spike, 3, 3.0)[3] - 5.0).abs() < 1e-12);
        let step = [1.0, 1.1, 1.0, 1.1, 9.0, 9.1, 9.0, 9.1];
        assert_eq!(format!("{:?}", hampel(&step, 3, 3.0)), format!("{step:?}"));
    }

    #[test]
    fn without_a_scale_nothing_is_replaced() {
        let flat = [4.0, 4.0, 4.0, 9.0, 4.0, 4.0, 4.0];
        assert_eq!(format!("{:?}", hampel(&flat, 3, 3.0)), format!("{flat:?}"));
        assert!(hampel(&[], 3, 3.0).is_empty());
    }
}
