//! Restarts that nobody wrote down: where a series falls back at once to where it started.
//!
//! A recording knows its restarts from the identity of processes; a CSV file often does not say
//! them, and each then looks like memory that was given back.

use super::cells::Blocks;
use super::rules as r;
use crate::stats::{self, Life};

/// Samples that are looked at to find falls; of more every k-th is taken.
const LOOKED_AT: usize = 360;

/// The first sample of each life but the first, where a series looks like a program that grows at
/// one pace and is restarted now and then; empty where it does not.
///
/// A collector or a cache that is emptied falls too, but does so at a level or at intervals, so
/// that its tops are alike; a restart comes when it comes.  What is asked for is that every fall
/// leads back to the start, that growth between them has one pace, and that the tops differ.  So
/// one fall alone is taken for a restart only where growth went beyond the height of it later on.
/// `blocks` are those of the whole series; they tell at little cost that most series have no fall.
#[must_use]
pub fn unmarked_restarts(blocks: &Blocks, t: &[f64], v: &[f64]) -> Vec<usize> {
    let n = t.len().min(v.len());
    if !may_fall(&blocks.median) {
        return Vec::new();
    }
    let apart = n.div_ceil(LOOKED_AT).max(1);
    let every = |x: &[f64]| -> Vec<f64> { x[..n].iter().step_by(apart).copied().collect() };
    let found = falls_to_the_start(&every(t), &every(v)).unwrap_or_default();
    let exact = |at: usize| {
        // Between the last sample looked at before the fall and the first one after it.
        let (from, to) = ((at - 1) * apart + 1, at * apart);
        let fall = |i: usize| v[i - 1] - v[i];
        (from..=to).max_by(|a, b| fall(*a).total_cmp(&fall(*b)))
    };
    found.into_iter().filter_map(exact).collect()
}

/// Whether the medians of blocks fall somewhere by as much as a restart needs.
fn may_fall(median: &[f64]) -> bool {
    let range = stats::range(median);
    let bends = median.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs());
    let scatter = stats::mean(&bends.collect::<Vec<_>>());
    // A fall makes two bends of its own height.
    let falls = median
        .windows(3)
        .any(|w| w[0] - w[2] >= r::RESTART_FALL * range / 2.0);
    range > 3.0 * scatter && falls
}

fn falls_to_the_start(t: &[f64], v: &[f64]) -> Option<Vec<usize>> {
    let n = t.len().min(v.len());
    if (n as f64) < 2.0 * r::MIN_SAMPLES {
        return None;
    }
    let least = stats::index_of((r::MIN_LIFE_SHARE * n as f64).ceil(), n);
    let found = stats::renewal(t, v, least, r::RESTART_NOISE)?;
    let alike = |life: &Life| {
        life.off <= r::RESTART_ALIKE
            || (life.off <= r::RESTART_DOUBT && life.chi_squared <= r::RESTART_CHANCE)
    };
    let one_pace = found.pace > 0.0 && found.lives.iter().all(alike);
    let (last, ended) = found.lives.split_last()?;
    let lasted = |pick: fn(f64, f64) -> f64| ended.iter().map(|life| life.lasts).reduce(pick);
    // The last life goes on: its end is a top only where it is above all others.
    let (lowest, highest) = (lasted(f64::min)?, lasted(f64::max)?.max(last.lasts));
    let uneven = highest - lowest >= r::RESTART_TOPS * highest;
    let tall = lowest >= r::RESTART_FALL * highest;
    (one_pace && uneven && tall && found.explained >= r::RESTART_EXPLAINS)
        .then(|| ended.iter().map(|life| life.to).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives of these numbers of samples that grow by `pace` a sample from the same start.
    fn lives(lengths: &[u32], pace: impl Fn(usize) -> f64) -> (Vec<f64>, Vec<f64>) {
        let mut v = Vec::new();
        for (life, length) in lengths.iter().enumerate() {
            v.extend(
                (0..*length)
                    .map(|i| 1000.0 + pace(life) * f64::from(i) + f64::from((i * 7919) % 11)),
            );
        }
        let t = (0..u32::try_from(v.len()).unwrap_or(0))
            .map(f64::from)
            .collect();
        (t, v)
    }

    fn found(lengths: &[u32], pace: impl Fn(usize) -> f64) -> Vec<usize> {
        let (t, v) = lives(lengths, pace);
        unmarked_restarts(&Blocks::from_samples(&t, &v), &t, &v)
    }

    #[test]
    fn uneven_lives_of_one_pace_are_cut_where_they_begin() {
        assert_eq!(found(&[120, 260, 200], |_| 3.0), [120, 380]);
        // One fall, and growth that went beyond it.
        assert_eq!(found(&[150, 300], |_| 3.0), [150]);
        // Of many samples the very one.
        assert_eq!(found(&[5003, 11_001], |_| 3.0), [5003]);
    }

    #[test]
    fn restarts_are_seen_under_noise_as_high_as_half_a_life() {
        let (t, mut v) = lives(&[200, 330, 190], |_| 3.0);
        for (i, v) in v.iter_mut().enumerate() {
            *v += 400.0 * (((i * 7919) % 101) as f64 / 100.0 - 0.5);
        }
        let found = unmarked_restarts(&Blocks::from_samples(&t, &v), &t, &v);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].abs_diff(200) <= 4 && found[1].abs_diff(530) <= 4);
    }

    #[test]
    fn even_tops_other_paces_and_falls_elsewhere_are_no_restarts() {
        let none: [usize; 0] = [];
        // A collector: the same top each time.
        assert_eq!(found(&[150, 150, 150], |_| 3.0), none);
        // One fall, and less growth since: it may be a collector that works seldom.
        assert_eq!(found(&[300, 150], |_| 3.0), none);
        // After the first restart nothing grows, or faster.
        assert_eq!(found(&[150, 300], |life| 3.0 - 3.0 * life as f64), none);
        assert_eq!(found(&[150, 300], |life| 3.0 + 3.0 * life as f64), none);
        // It falls half of the way.
        let (t, mut v) = lives(&[150, 300], |_| 3.0);
        for x in &mut v[150..] {
            *x += 200.0;
        }
        assert_eq!(
            unmarked_restarts(&Blocks::from_samples(&t, &v), &t, &v),
            none
        );
        // Nothing falls.
        assert_eq!(found(&[450], |_| 3.0), none);
    }
}
