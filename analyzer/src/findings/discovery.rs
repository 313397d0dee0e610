//! Thousands of series are judged at once: how many leaks may be there by chance, and which of them
//! matter.

use std::collections::HashSet;

use super::Judged;
use super::things::was_killed;
use crate::load::{Index, Quantity};
use crate::stats::benjamini_hochberg;
use crate::verdict::{Evidence, Verdict};

/// Share of false discoveries among the drift tests of a recording (Benjamini & Hochberg 1995).
const FALSE_DISCOVERY: f64 = 0.05;

/// A leak under a page an hour takes 34 MiB in a year. In a week it is a handful of objects, and among
/// thousands of series some drift by as much by chance.
const NEGLIGIBLE_BYTES_PER_HOUR: f64 = 4096.0;

/// The same for things that are counted: the default limit of 1,024 descriptors lasts for six weeks.
const NEGLIGIBLE_COUNT_PER_HOUR: f64 = 1.0;

/// Leaks that would take years to matter become suspects.
pub(super) fn play_down_negligible(judged: &mut [Judged]) {
    for one in judged {
        let (threshold, what) = match one.name.quantity {
            Quantity::Bytes => (NEGLIGIBLE_BYTES_PER_HOUR, "a page"),
            Quantity::Count => (NEGLIGIBLE_COUNT_PER_HOUR, "one"),
        };
        let measured = one.slope_per_hour();
        if one.judgement.verdict == Verdict::Leak && measured < threshold {
            one.judgement.verdict = Verdict::Suspect;
            one.judgement.evidence.push(Evidence {
                rule: "negligible",
                measured,
                threshold,
                passed: false,
                text: format!("it grows by less than {what} an hour, which takes years to matter"),
            });
        }
    }
}

/// Slabs that rise by a few even steps are a leak only where the objects in them grow: their number is
/// the finer measure of the same thing, and a few slabs may be due to how objects come to lie.
pub(super) fn ask_the_objects(judged: &mut [Judged]) {
    let growing: HashSet<(usize, i64)> = judged
        .iter()
        .filter(|one| one.name.metric == "active_objs" && one.is_called())
        .map(|one| (one.key.boot, one.key.entity))
        .collect();
    for one in judged {
        let by_steps = one.judgement.verdict == Verdict::Leak
            && one.name.metric == "slab_bytes"
            && one
                .judgement
                .evidence
                .iter()
                .any(|of| of.rule == "staircase");
        if by_steps && !growing.contains(&(one.key.boot, one.key.entity)) {
            one.judgement.verdict = Verdict::Suspect;
            one.judgement.evidence.push(Evidence {
                rule: "objects",
                measured: 0.0,
                threshold: 1.0,
                passed: false,
                text: "the number of its objects does not grow like this".to_owned(),
            });
            one.judgement.would_change = Some("objects that grow with the slabs".to_owned());
        }
    }
}

/// What grew until the OOM killer ended it is no warm-up and no job that gives back what it took: it is
/// not too early to say so.
pub(super) fn believe_the_oom_killer(index: &Index, judged: &mut [Judged]) {
    for one in judged {
        if one.judgement.verdict == Verdict::Suspect
            && one.judgement.too_early.is_some()
            && was_killed(index, one)
        {
            one.judgement.verdict = Verdict::Leak;
            one.judgement.too_early = None;
            one.judgement.would_change = None;
            let evidence = &mut one.judgement.evidence;
            evidence.retain(|of| of.passed);
            evidence.push(Evidence {
                rule: "oom_killed",
                measured: 1.0,
                threshold: 1.0,
                passed: true,
                text: "it grew until the kernel killed it for lack of memory".to_owned(),
            });
        }
    }
}

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
