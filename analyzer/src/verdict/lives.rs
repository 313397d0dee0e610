//! Judging the lives of a series, and making one judgement of them.

use super::case::examine;
use super::cells::{Blocks, Cells};
use super::rules as r;
use super::words::hours;
use super::{Evidence, Judgement, TooEarly, Traits, Verdict};

/// Judges one life of a series.
#[must_use]
pub fn judge(cells: &Cells, traits: &Traits) -> Judgement {
    judge_blocks(&Blocks::from_cells(cells), traits)
}

/// Judges a series that restarts cut into lives, in order of time.
///
/// Lives too short or too thin are left out.  The verdict is leak where leaking lives make up at
/// least half of the rest or the longest one leaks, as shorter ones see less; the slope is then
/// the mean of the leaking ones by duration.  Otherwise the longest life decides.
#[must_use]
pub fn judge_lives(lives: &[Cells], traits: &Traits) -> Judgement {
    let blocks: Vec<Blocks> = lives.iter().map(Blocks::from_cells).collect();
    judge_block_lives(&blocks, traits)
}

/// [`judge`] for blocks that are made already.
#[must_use]
pub fn judge_blocks(blocks: &Blocks, traits: &Traits) -> Judgement {
    judge_block_lives(std::slice::from_ref(blocks), traits)
}

/// [`judge_lives`] for blocks that are made already.
#[must_use]
pub fn judge_block_lives(lives: &[Blocks], traits: &Traits) -> Judgement {
    let lives: Vec<&Blocks> = lives.iter().filter(|l| l.n > 0).collect();
    let Some((first, last)) = lives.first().zip(lives.last()) else {
        let text = "no sample is a finite number".to_owned();
        let rule = Evidence::new("min_samples", 0.0, r::MIN_SAMPLES, false, text);
        return Judgement::plain(Verdict::Unjudgeable, None, vec![rule]);
    };
    let end = last.start_s + last.span_s;
    let span = end - first.start_s;
    let judged: Vec<(f64, Judgement)> = lives
        .iter()
        .enumerate()
        .map(|(i, life)| {
            (
                lives.get(i + 1).map_or(end, |next| next.start_s) - life.start_s,
                life,
            )
        })
        .filter(|(lasts, life)| {
            lives.len() == 1
                || (life.n as f64 >= r::MIN_SAMPLES && *lasts >= r::MIN_LIFE_SHARE * span)
        })
        .map(|(lasts, life)| (lasts, examine(life, traits.floor)))
        .collect();
    let judgement = if judged.is_empty() {
        let most = lives.iter().map(|l| l.n).max().unwrap_or(0) as f64;
        let text = format!("no life between restarts has {} samples", r::MIN_SAMPLES);
        let rule = Evidence::new("min_samples", most, r::MIN_SAMPLES, false, text);
        Judgement {
            first: first.first,
            last: last.last,
            would_change: Some(format!(
                "a life of at least {} samples between two restarts",
                r::MIN_SAMPLES
            )),
            ..Judgement::plain(Verdict::TooShort, None, vec![rule])
        }
    } else {
        combine(judged)
    };
    settle(judgement, traits, span)
}

/// One judgement out of those of several lives.
fn combine(mut judged: Vec<(f64, Judgement)>) -> Judgement {
    if judged.len() == 1 {
        return judged.remove(0).1;
    }
    let total: f64 = judged.iter().map(|(w, _)| w).sum();
    let grows = |verdicts: &[Verdict]| -> f64 {
        judged
            .iter()
            .filter(|(_, j)| verdicts.contains(&j.verdict))
            .map(|(w, _)| w)
            .sum()
    };
    let leaking = grows(&[Verdict::Leak]);
    let suspected = grows(&[Verdict::Leak, Verdict::Suspect]);
    let longest_leaks = judged[longest(&judged, |_| true)].1.verdict == Verdict::Leak;
    let (verdict, covered, wanted): (_, _, &[Verdict]) =
        if longest_leaks || (leaking >= r::LEAKING_SHARE * total && leaking > 0.0) {
            (Verdict::Leak, leaking, &[Verdict::Leak])
        } else if suspected >= r::LEAKING_SHARE * total && suspected > 0.0 {
            (
                Verdict::Suspect,
                suspected,
                &[Verdict::Leak, Verdict::Suspect],
            )
        } else {
            let longest = longest(&judged, |_| true);
            return judged.swap_remove(longest).1;
        };
    let chosen = |j: &Judgement| wanted.contains(&j.verdict);
    let weighted = |value: &dyn Fn(&Judgement) -> f64| -> f64 {
        judged
            .iter()
            .filter(|(_, j)| chosen(j))
            .map(|(w, j)| w * value(j))
            .sum::<f64>()
            / covered
    };
    let mut out = judged[longest(&judged, chosen)].1.clone();
    out.verdict = verdict;
    out.slope_per_s = weighted(&|j| j.slope_per_s);
    out.slope_low_per_s = weighted(&|j| j.slope_low_per_s);
    out.slope_high_per_s = weighted(&|j| j.slope_high_per_s);
    let growing = || judged.iter().map(|(_, j)| j).filter(|j| chosen(j));
    out.p_drift = growing().map(|j| j.p_drift).fold(0.0, f64::max);
    out.since_s = growing().find_map(|j| j.since_s);
    let share = covered / total;
    let text = format!(
        "grows in {:.0} % of the time between restarts",
        100.0 * share
    );
    out.evidence.push(Evidence::new(
        "leaking_share",
        share,
        r::LEAKING_SHARE,
        true,
        text,
    ));
    out
}

fn longest(judged: &[(f64, Judgement)], wanted: impl Fn(&Judgement) -> bool) -> usize {
    let candidates = judged.iter().enumerate().filter(|(_, (_, j))| wanted(j));
    // The first of equals, as the earlier life is as good.
    let best = candidates.rev().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
    best.map_or(0, |(i, _)| i)
}

/// What the traits make of a growth.
fn settle(mut judgement: Judgement, traits: &Traits, span: f64) -> Judgement {
    if let (Verdict::Leak, Some(planned)) = (judgement.verdict, traits.planned_span_s) {
        let done = span / planned;
        if done < r::HALF_THE_PLAN {
            judgement.verdict = Verdict::Suspect;
            let needed = r::HALF_THE_PLAN;
            judgement.too_early = Some(TooEarly { done, needed });
            let text = format!(
                "growing, too early to say: {:.0} % of the planned {} are over, {:.0} % are needed to tell a leak from a warm-up",
                100.0 * done,
                hours(planned),
                100.0 * needed
            );
            judgement.would_change = Some(format!(
                "the same growth after {} more",
                hours(needed * planned - span)
            ));
            let rule = Evidence::new("half_the_plan", done, needed, false, text);
            judgement.evidence.push(rule);
        }
    }
    if traits.reclaimable && matches!(judgement.verdict, Verdict::Leak | Verdict::Suspect) {
        judgement.verdict = Verdict::Reclaimable;
        judgement.would_change = Some(
            "growth that stays after the kernel was made to give caches back (drop-caches)"
                .to_owned(),
        );
    }
    judgement
}
