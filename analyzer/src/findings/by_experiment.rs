//! What probes say of a growth: whether it is cache, held, or only what fills again.

use crate::experiments::{Answer, CACHE_SHARE, GaveBack, judge_past};
use crate::verdict::{Cells, Evidence, Judgement, Traits, Verdict};

/// Judges a series without a probe's own effect on it, and by what a probe took of it. `drops` are
/// the times before and after each probe that makes caches fall.
pub(super) fn judge_with(
    life: &Cells,
    traits: &Traits,
    drops: &[(f64, f64)],
    gave_back: Option<GaveBack>,
) -> Judgement {
    let answer = gave_back.map(|gave| gave.answer(life.first));
    // What was seen comes before what is known of caches of that name.
    let traits = Traits {
        reclaimable: match answer {
            Some(Answer::Cache) => true,
            Some(Answer::Held) => false,
            Some(Answer::Open) | None => traits.reclaimable,
        },
        ..*traits
    };
    let mut judgement = judge_past(life, drops, &traits);
    let grows = matches!(
        judgement.verdict,
        Verdict::Leak | Verdict::Suspect | Verdict::Reclaimable
    );
    if !grows {
        return judgement;
    }
    if let Some(gave) = gave_back {
        judgement.evidence.push(Evidence::new(
            "given_back",
            gave.share(),
            CACHE_SHARE,
            gave.share() < CACHE_SHARE,
            gave.words(life.first),
        ));
        if answer == Some(Answer::Cache) {
            judgement.would_change =
                Some("growth of what later drop-caches leave of it".to_owned());
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::made_up::{MIB, series};

    const DROPS: [(f64, f64); 1] = [(1500.0, 1501.5)];

    fn rules(judgement: &Judgement) -> Vec<&'static str> {
        judgement.evidence.iter().map(|one| one.rule).collect()
    }

    #[test]
    fn growth_that_a_probe_gave_back_is_reclaimable_and_what_it_left_is_a_leak_whatever_its_name() {
        let growing = |i: usize| 10.0 * MIB + MIB * i as f64;
        let fell = series(|i| {
            if i > 150 {
                5.0 * MIB + MIB * (i - 150) as f64
            } else {
                growing(i)
            }
        });
        let stayed = series(growing);
        let gave = |before, after| Some(GaveBack { before, after });
        let unknown = Traits::default();
        let hinted = Traits {
            reclaimable: true,
            ..unknown
        };
        let cache = judge_with(&fell, &unknown, &DROPS, gave(160.0 * MIB, 5.0 * MIB));
        assert_eq!(cache.verdict, Verdict::Reclaimable);
        assert!(rules(&cache).contains(&"given_back"));
        let held = judge_with(&stayed, &hinted, &DROPS, gave(160.0 * MIB, 158.0 * MIB));
        assert_eq!(held.verdict, Verdict::Leak);
        let text = &held.evidence.last().expect("evidence").text;
        assert_eq!(text, "drop-caches gave back only 1.2 % of it: held");
        // Without an answer what is known of the name counts.
        let open = judge_with(&stayed, &hinted, &DROPS, None);
        assert_eq!(open.verdict, Verdict::Reclaimable);
    }

    #[test]
    fn what_grows_after_a_fall_up_to_the_old_level_may_fill_again_and_beyond_it_is_a_leak() {
        let early: [(f64, f64); 1] = [(100.0, 101.5)];
        let after = |rate: f64| {
            series(move |i| {
                if i > 10 {
                    50.0 * MIB + rate * MIB * (i - 10) as f64
                } else {
                    400.0 * MIB
                }
            })
        };
        let refill = judge_with(&after(1.0), &Traits::default(), &early, None);
        assert_eq!(refill.verdict, Verdict::Reclaimable);
        assert!(rules(&refill).contains(&"refill"));
        let leak = judge_with(&after(8.0), &Traits::default(), &early, None);
        assert_eq!(leak.verdict, Verdict::Leak, "{leak:?}");
    }
}
