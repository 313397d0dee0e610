//! Persistence of a movement: how much of the way was in one direction.

use super::{median, range};

/// How directly a series went from its first part to its last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Efficiency {
    /// `(last - first) / sum of |differences|` of the parts' medians, -1 (falls all the way) to
    /// 1 (rises all the way).
    pub ratio: f64,
    /// How far the last part lies below the highest, as a share of the range, 0 to 1.
    pub below_top: f64,
    /// Number of parts.
    pub parts: usize,
}

/// Splits the values into `parts` runs of equal count, takes their medians, and compares the way
/// from first to last with the way in all.
///
/// Needs no independence; autocorrelation makes large ratios commoner among wandering series, so
/// this is a filter and no test.
/// Degenerate: fewer than 2 values per part lower the number of parts to n / 2; n < 4 or all
/// equal give ratio 0 and `below_top` 0.
/// Reference: Kaufman's efficiency ratio (Trading Systems and Methods, 1995).
#[must_use]
pub fn efficiency(values: &[f64], parts: usize) -> Efficiency {
    let n = values.len();
    let parts = parts.min(n / 2);
    if parts < 2 {
        return Efficiency {
            ratio: 0.0,
            below_top: 0.0,
            parts,
        };
    }
    // The first n % parts runs hold one value more.
    let (size, extra) = (n / parts, n % parts);
    let mut from = 0;
    let mut medians = Vec::with_capacity(parts);
    for part in 0..parts {
        let to = from + size + usize::from(part < extra);
        medians.push(median(&values[from..to]));
        from = to;
    }
    let way: f64 = medians.windows(2).map(|w| (w[1] - w[0]).abs()).sum();
    let last = medians[parts - 1];
    let top = medians.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = range(&medians);
    Efficiency {
        ratio: if way > 0.0 {
            (last - medians[0]) / way
        } else {
            0.0
        },
        below_top: if span > 0.0 { (top - last) / span } else { 0.0 },
        parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_one_and_a_return_is_zero() {
        let rise: Vec<f64> = (0..32).map(f64::from).collect();
        assert!((efficiency(&rise, 8).ratio - 1.0).abs() < 1e-12);
        assert!(efficiency(&rise, 8).below_top.abs() < 1e-12);
        // Medians of two parts each: 1 5 1 -> way 8, net 0, last is 1 whole range below the top.
        let hill = efficiency(&[1.0, 1.0, 5.0, 5.0, 1.0, 1.0], 3);
        assert!(hill.ratio.abs() < 1e-12 && (hill.below_top - 1.0).abs() < 1e-12);
    }

    #[test]
    fn too_few_or_equal_values_show_no_direction() {
        assert!(efficiency(&[1.0, 2.0, 3.0], 8).ratio.abs() < 1e-12);
        assert!(efficiency(&[2.0; 20], 8).ratio.abs() < 1e-12);
    }
}
