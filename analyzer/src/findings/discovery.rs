//! Thousands of series are judged at once: how many leaks may be there by chance.

use super::Judged;
use crate::stats::benjamini_hochberg;
use crate::verdict::Verdict;

/// Share of false discoveries among the drift tests of a recording (Benjamini & Hochberg 1995).
const FALSE_DISCOVERY: f64 = 0.05;

/// Leaks whose drift is not significant among so many tests become suspects, or steady where the
/// interval of the slope says that they may as well not grow.
pub(super) fn control_false_discoveries(judged: &mut [Judged]) {
    let tested: Vec<usize> = (0..judged.len())
        .filter(|at| judged[*at].judgement.p_drift < 1.0)
        .collect();
    let p: Vec<f64> = tested
        .iter()
        .map(|at| judged[*at].judgement.p_drift)
        .collect();
    for (at, holds) in tested
        .into_iter()
        .zip(benjamini_hochberg(&p, FALSE_DISCOVERY))
    {
        let judgement = &mut judged[at].judgement;
        if judgement.verdict == Verdict::Leak && !holds {
            judgement.verdict = if judgement.slope_low_per_s > 0.0 {
                Verdict::Suspect
            } else {
                Verdict::Steady
            };
        }
    }
}
