//! A series at moments that all series of a boot share, so that they can be compared.

use crate::stats;
use crate::verdict::Cells;

/// Moments of a curve: enough for correlations (standard error .1), few enough to keep thousands.
const MOMENTS: usize = 96;

/// A cell stands for the time around it up to this many times the usual distance of cells; beyond
/// that is a gap.
const REACH: f64 = 2.5;

/// Values at [`MOMENTS`] equal steps of the boot's recording; NaN where there is none.
pub(super) type Curve = Vec<f64>;

/// The curve of a series that may have several lives, in order of time.
pub(super) fn curve(lives: &[Cells], span_s: f64) -> Curve {
    let mut curve = vec![f64::NAN; MOMENTS];
    for life in lives {
        let apart: Vec<f64> = life.t_s.windows(2).map(|w| w[1] - w[0]).collect();
        let longest = REACH * stats::median(&apart).max(span_s / MOMENTS as f64);
        for (k, value) in curve.iter_mut().enumerate() {
            let t = (k as f64 + 0.5) / MOMENTS as f64 * span_s;
            if let Some(found) = at(life, t, longest) {
                *value = found;
            }
        }
    }
    curve
}

/// On the line between the cells beside an instant.
fn at(life: &Cells, t: f64, longest: f64) -> Option<f64> {
    let after = life.t_s.partition_point(|of| *of < t);
    let (left, right) = (
        after.checked_sub(1),
        (after < life.t_s.len()).then_some(after),
    );
    match (left, right) {
        (Some(l), Some(r)) => {
            let (from, to) = (life.t_s[l], life.t_s[r]);
            (to - from <= longest).then(|| {
                life.median[l] + (life.median[r] - life.median[l]) * (t - from) / (to - from)
            })
        }
        // Cells stand in the middle of their time.
        (Some(end), None) | (None, Some(end)) => {
            ((life.t_s[end] - t).abs() <= longest / 2.0).then(|| life.median[end])
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_follows_its_cells_and_is_empty_where_they_are() {
        let t: Vec<f64> = (20..=80).map(f64::from).collect();
        let life = Cells::from_samples(&t, &t);
        let curve = curve(&[life], 96.0);
        assert_eq!(curve.len(), MOMENTS);
        for (k, value) in curve.iter().enumerate() {
            let t = k as f64 + 0.5;
            if (20.0..80.0).contains(&t) {
                assert!((value - t).abs() < 1e-9);
            } else if !(18.0..82.0).contains(&t) {
                assert!(value.is_nan());
            }
        }
    }

    #[test]
    fn lives_stand_side_by_side() {
        let life = |from: u32, to: u32| {
            let t: Vec<f64> = (from..to).map(f64::from).collect();
            Cells::from_samples(&t, &vec![f64::from(from); t.len()])
        };
        let curve = curve(&[life(0, 40), life(60, 96)], 96.0);
        assert!((curve[10] - 0.0).abs() < 1e-12 && (curve[90] - 60.0).abs() < 1e-12);
        assert!(curve[50].is_nan());
    }
}
