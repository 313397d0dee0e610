//! Many tests at once.

/// Which of many hypotheses may be rejected so that the expected share of false ones among them
/// is at most `q`.
///
/// Formula: sort the p-values; with m the count, take all up to the largest rank k with
/// `p(k) <= k q / m`.  Holds for independent and for positively dependent tests, and series of
/// one recording are mostly the latter.
/// Degenerate: an empty slice gives an empty vector; NaN counts as 1.
/// Reference: Benjamini & Hochberg, JRSS B 57 (1995).
#[must_use]
pub fn benjamini_hochberg(p: &[f64], q: f64) -> Vec<bool> {
    let value = |i: usize| if p[i].is_nan() { 1.0 } else { p[i] };
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)));
    let step = q / p.len().max(1) as f64;
    let cut = order
        .iter()
        .enumerate()
        .rev()
        .find(|&(k, &i)| value(i) <= (k + 1) as f64 * step);
    let kept = cut.map_or(0, |(k, _)| k + 1);
    let mut out = vec![false; p.len()];
    for &i in &order[..kept] {
        out[i] = true;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_passing_rank_takes_all_smaller_ones_along() {
        // Limits at q = .05 are .0125 .025 .0375 .05: rank 2 fails (.03), rank 3 passes (.035).
        assert_eq!(
            benjamini_hochberg(&[0.9, 0.035, 0.001, 0.03], 0.05),
            [false, true, true, true]
        );
        assert_eq!(benjamini_hochberg(&[0.2, f64::NAN], 0.05), [false, false]);
        assert!(benjamini_hochberg(&[], 0.05).is_empty());
    }
}
