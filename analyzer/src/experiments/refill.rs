//! A probe's own effect on the trends: what fell at drop-caches fills again, which is no leak, and
//! the fall hides none.

use super::CACHE_SHARE;
use crate::stats;
use crate::verdict::{Cells, Evidence, Judgement, Traits, Verdict, judge, judge_lives};
use crate::words::percent;

/// A series falls at a probe when it falls by more than this many of its usual steps from cell to
/// cell; less is how it always goes to and fro.
const STEPS: f64 = 4.0;

/// And by more than this share of its range: less moves no verdict, as less beside a step does not.
const SHARE: f64 = 0.05;

/// After the tick behind a probe a series may go on falling for so many cells: what waits for a
/// grace period or for a worker goes late.
const LATE_CELLS: usize = 2;

/// A series that was cut more often is a saw, whose teeth the trend engine knows: its lower envelope
/// is what the probes leave.
const MOST_CUTS: usize = 3;

/// What a probe took of a series for good, as far as the recording goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fall {
    /// When it was, in seconds from the start of the boot's recording.
    pub at_s: f64,
    /// By how much it fell.
    pub by: f64,
}

/// The series without the stretches in which it fills again what a probe took, cut into lives where
/// it never did; `drops` are the times of the ticks before and after the probes. The falls are those
/// at which it was cut.
#[must_use]
pub fn without_refill(cells: &Cells, drops: &[(f64, f64)]) -> (Vec<Cells>, Vec<Fall>) {
    let whole = || (vec![cells.clone()], Vec::new());
    let count = cells.t_s.len();
    if drops.is_empty() || count < 3 {
        return whole();
    }
    let steps: Vec<f64> = cells.low.windows(2).map(|w| (w[1] - w[0]).abs()).collect();
    let usual = (STEPS * stats::median(&steps)).max(SHARE * (cells.max - cells.min));
    let mut keep = vec![true; count];
    let mut cuts: Vec<(usize, Fall)> = Vec::new();
    for (at, (before_s, after_s)) in drops.iter().enumerate() {
        // A cell that holds samples of both sides counts as before: its envelope is not yet low.
        let from = cells.t_s.partition_point(|t| t < after_s);
        let Some(last) = from.checked_sub(1) else {
            continue;
        };
        let level = cells.low[..from]
            .iter()
            .rev()
            .zip(cells.t_s[..from].iter().rev())
            .find(|(_, t)| *t <= before_s)
            .map_or(cells.low[last], |(low, _)| *low);
        let soon = (from + 1 + LATE_CELLS).min(count);
        let lowest = cells.low[from.min(count)..soon]
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        let fall = level - lowest;
        if !fall.is_finite() || fall <= usual {
            continue;
        }
        let until = drops
            .get(at + 1)
            .map_or(count, |(next, _)| cells.t_s.partition_point(|t| t <= next));
        let filled = (from..until).find(|i| cells.low[*i] >= level);
        match filled {
            Some(filled) => keep[from..filled].fill(false),
            None => cuts.push((
                from,
                Fall {
                    at_s: *after_s,
                    by: fall,
                },
            )),
        }
    }
    if cuts.len() > MOST_CUTS {
        return whole();
    }
    if cuts.is_empty() && keep.iter().all(|keep| *keep) {
        return whole();
    }
    let mut lives = Vec::new();
    let mut start = 0;
    let ends = cuts.iter().map(|(cut, _)| *cut).chain([count]);
    for end in ends {
        let life: Vec<usize> = (start..end).filter(|i| keep[*i]).collect();
        if !life.is_empty() {
            lives.push(part(cells, &life));
        }
        start = end;
    }
    (lives, cuts.into_iter().map(|(_, fall)| fall).collect())
}

/// Judges a series past the probes: by what [`without_refill`] leaves of it, and as it is where that
/// is too little, as long as that is no alarm: in a short recording a refill is most of what there is.
///
/// Growth that a probe took back, and growth after it up to what it took, is called reclaimable. A
/// part that is held grows on beyond that, and the thing that holds it does not fall at all.
#[must_use]
pub fn judge_past(cells: &Cells, drops: &[(f64, f64)], traits: &Traits) -> Judgement {
    let (lives, falls) = without_refill(cells, drops);
    let mut judgement = judge_lives(&lives, traits);
    if judgement.verdict == Verdict::TooShort {
        let whole = judge(cells, traits);
        return match whole.verdict {
            Verdict::Leak | Verdict::Suspect => judgement,
            _ => whole,
        };
    }
    (judgement.first, judgement.last) = (cells.first, cells.last);
    for evidence in &mut judgement.evidence {
        // Its lives begin at probes.
        evidence.text = evidence.text.replace("between restarts", "between probes");
    }
    if matches!(judgement.verdict, Verdict::Leak | Verdict::Suspect)
        && let Some(share) = share_taken_back(&lives, &falls)
    {
        judgement.verdict = Verdict::Reclaimable;
        judgement.would_change = Some(
            "growth beyond the level from which drop-caches took it, or growth that a further drop-caches leaves"
                .to_owned(),
        );
        judgement.evidence.push(Evidence::new(
            "refill",
            share,
            REFILL,
            false,
            format!(
                "since drop-caches it grew by {} of what that had taken: it may only fill again",
                percent(share)
            ),
        ));
    }
    judgement
}

/// What growth after a fall may be for it to be taken for filling again, as a share of the fall.
const REFILL: f64 = 1.0;

/// Where each fall took back what the life before it had grown by, the growth of the last life as a
/// share of the last fall, if that is not more than the fall.
fn share_taken_back(lives: &[Cells], falls: &[Fall]) -> Option<f64> {
    let grown = |life: &Cells| life.last - life.first;
    let taken = lives
        .iter()
        .zip(falls)
        .all(|(life, fall)| fall.by >= CACHE_SHARE * grown(life));
    let share = grown(lives.last()?) / falls.last()?.by;
    (lives.len() == falls.len() + 1 && taken && share <= REFILL).then_some(share.max(0.0))
}

/// The chosen cells as a series of their own.
fn part(cells: &Cells, chosen: &[usize]) -> Cells {
    let pick = |values: &[f64]| -> Vec<f64> { chosen.iter().map(|i| values[*i]).collect() };
    let (t_s, low, median) = (pick(&cells.t_s), pick(&cells.low), pick(&cells.median));
    let mean = pick(&cells.mean);
    let samples: Vec<u32> = chosen.iter().map(|i| cells.samples[*i]).collect();
    let extreme = |start: f64, choose: fn(f64, f64) -> f64| {
        low.iter().chain(&median).copied().fold(start, choose)
    };
    Cells {
        quantum: cells.quantum,
        span_s: t_s[t_s.len() - 1] - t_s[0],
        n: samples.iter().map(|n| u64::from(*n)).sum(),
        first: low[0],
        last: low[low.len() - 1],
        min: extreme(f64::INFINITY, f64::min),
        max: extreme(f64::NEG_INFINITY, f64::max),
        t_s,
        low,
        median,
        mean,
        samples,
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{MIB, series};
    use super::*;

    /// The probe is between the samples 60 and 61.
    const DROPS: [(f64, f64); 1] = [(600.0, 601.5)];

    fn verdict(lives: &[Cells]) -> Verdict {
        judge_lives(lives, &Traits::default()).verdict
    }

    #[test]
    fn what_fills_again_is_left_out_and_a_steady_level_stays_steady() {
        // From 500 MiB to 100 MiB and back in a straight line within 80 samples.
        let cells = series(|i| match i {
            0..=60 => 500.0 * MIB,
            61..=140 => 100.0 * MIB + 5.0 * MIB * (i - 61) as f64,
            _ => 500.0 * MIB,
        });
        let (lives, falls) = without_refill(&cells, &DROPS);
        assert_eq!((lives.len(), falls.len()), (1, 0));
        assert!(lives[0].t_s.len() < 125, "{}", lives[0].t_s.len());
        assert_eq!(verdict(&lives), Verdict::Steady);
    }

    #[test]
    fn a_leak_that_the_fall_would_hide_is_seen_on_both_sides_of_it() {
        let leak = |i: usize| 300.0 * MIB + 0.5 * MIB * i as f64;
        let cells = series(|i| leak(i) - if i > 60 { 250.0 * MIB } else { 0.0 });
        assert_ne!(verdict(std::slice::from_ref(&cells)), Verdict::Leak);
        let (lives, falls) = without_refill(&cells, &DROPS);
        assert_eq!((lives.len(), falls.len()), (2, 1));
        assert!((falls[0].by - 249.5 * MIB).abs() < MIB, "{:?}", falls[0]);
        assert_eq!(verdict(&lives), Verdict::Leak);
        // Up to the old level it may fill again; a leak grows beyond it.
        let past = |cells: &Cells| judge_past(cells, &DROPS, &Traits::default()).verdict;
        assert_eq!(past(&cells), Verdict::Reclaimable);
        let small = series(|i| leak(i) - if i > 60 { 25.0 * MIB } else { 0.0 });
        assert_eq!(past(&small), Verdict::Leak);
    }

    #[test]
    fn growth_that_a_probe_took_back_and_that_begins_anew_is_reclaimable() {
        let cells = series(|i| 300.0 * MIB + 0.5 * MIB * (i % 110) as f64);
        let drops = [(1090.0, 1091.5)];
        let judgement = judge_past(&cells, &drops, &Traits::default());
        assert_eq!(judgement.verdict, Verdict::Reclaimable);
        assert_eq!(
            judgement.evidence.last().map(|one| one.rule),
            Some("refill")
        );
    }

    #[test]
    fn a_series_that_no_probe_moves_stays_as_it_is() {
        let cells = series(|i| 300.0 * MIB + 0.5 * MIB * i as f64);
        let (lives, falls) = without_refill(&cells, &DROPS);
        assert_eq!((lives.as_slice(), falls.len()), (&[cells][..], 0));
    }

    #[test]
    fn a_short_series_is_judged_as_it_is_where_a_probe_leaves_too_little_of_it() {
        let t: Vec<f64> = (0..50).map(f64::from).collect();
        let v: Vec<f64> = t
            .iter()
            .map(|t| if *t > 25.0 { 100.0 } else { 300.0 } + t % 3.0)
            .collect();
        let cells = Cells::from_samples(&t, &v);
        let drops = [(25.0, 25.5)];
        assert_eq!(without_refill(&cells, &drops).0.len(), 2);
        let judgement = judge_past(&cells, &drops, &Traits::default());
        let as_it_is = judge(&cells, &Traits::default());
        assert_eq!(judgement, as_it_is);
        assert_ne!(judgement.verdict, Verdict::TooShort);
    }

    #[test]
    fn a_saw_with_a_tooth_at_every_probe_is_left_to_the_trend_engine() {
        let drops: Vec<(f64, f64)> = (1..10)
            .map(|i| (200.0 * f64::from(i), 200.0 * f64::from(i) + 1.5))
            .collect();
        let cells = series(|i| 100.0 * MIB + 5.0 * MIB * (i % 20) as f64);
        let (lives, falls) = without_refill(&cells, &drops);
        assert_eq!((lives.len(), falls.len()), (1, 0));
        assert_eq!(verdict(&lives), Verdict::Steady);
    }
}
