//! A series made small: cells while it is read, blocks when it is judged.

use super::level::level;
use super::rules;
use super::samples::{clean, equal_time, summarise};
use crate::stats::{self, Order};

/// A series has at most this many cells.
pub const MAX_CELLS: usize = 240;

/// One series made small enough to keep while a recording is read: cells of equal time, those
/// without a sample left out.  Up to [`MAX_CELLS`] samples are a cell each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cells {
    /// Mean time of the samples in each cell, ascending.
    pub t_s: Vec<f64>,
    /// The 30 % quantile of the samples in each cell.
    pub low: Vec<f64>,
    /// Their median.
    pub median: Vec<f64>,
    /// Their mean.
    pub mean: Vec<f64>,
    /// Their number.
    pub samples: Vec<u32>,
    /// Smallest non-zero difference of successive values without sign, 0 for a constant series.
    pub quantum: f64,
    /// Time from the first sample to the last.
    pub span_s: f64,
    /// Number of samples.
    pub n: u64,
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

/// A series as the rules see it: 10 to 48 blocks of equal time, empty ones left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Blocks {
    /// Mean time of the samples in each block, ascending.
    pub t_s: Vec<f64>,
    /// What stands for each block: the 30 % quantile, its lower envelope, of all or the mean of all.
    pub level: Vec<f64>,
    /// The median of each block.
    pub median: Vec<f64>,
    /// Time of the first sample.
    pub start_s: f64,
    /// Time from the first sample to the last.
    pub span_s: f64,
    /// Smallest non-zero difference of successive values without sign, 0 for a constant series.
    pub quantum: f64,
    /// Number of samples.
    pub n: u64,
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

fn block_count(n: u64) -> usize {
    let wanted = (n as f64 / rules::SAMPLES_PER_BLOCK).clamp(rules::MIN_BLOCKS, rules::MAX_BLOCKS);
    stats::index_of(wanted, usize::MAX)
}

/// How many stretches the time is cut into: by the number of samples, and more where stretches
/// without samples (a gap in the recording) would leave too few with some.
fn stretches(t: &[f64], start: f64, end: f64, n: u64) -> usize {
    let least = stats::index_of(rules::MIN_BLOCKS, usize::MAX);
    let most = stats::index_of(rules::MAX_BLOCKS, usize::MAX);
    let wanted = block_count(n);
    (wanted..=most)
        .find(|count| {
            let mut filled = 0;
            equal_time(t, start, end, *count, |_, _| filled += 1);
            filled >= least
        })
        .unwrap_or(wanted)
}

impl Cells {
    /// Cells of a series that is at hand as a whole.  Samples that are not finite are dropped,
    /// others are put in order, and of those at the same time the first stays.
    #[must_use]
    pub fn from_samples(t: &[f64], v: &[f64]) -> Self {
        sound_or_clean(t, v, Self::of_sound)
    }

    /// The same of at least one sample, and whether they are sound.
    fn of_sound(t: &[f64], v: &[f64]) -> (Self, bool) {
        let n = t.len();
        let mut cells = Self {
            span_s: t[n - 1] - t[0],
            n: n as u64,
            first: v[0],
            last: v[n - 1],
            ..Self::default()
        };
        let few = n <= MAX_CELLS;
        let all = summarise(t, v, if few { 1 } else { MAX_CELLS }, |one| {
            if !few {
                cells.t_s.push(one.t_s);
                cells.low.push(one.low);
                cells.median.push(one.median);
                cells.mean.push(one.mean);
                let samples = u32::try_from(one.samples).unwrap_or(u32::MAX);
                cells.samples.push(samples);
            }
        });
        if few {
            cells.samples = vec![1; n];
            cells.t_s = t.to_vec();
            cells.low = v.to_vec();
            cells.median = v.to_vec();
            cells.mean = v.to_vec();
        }
        (cells.quantum, cells.min, cells.max) = (all.quantum, all.min, all.max);
        (cells, all.sound)
    }
}

/// Makes something of samples: of those as they are where they turn out to be sound, of cleaned
/// ones otherwise.
fn sound_or_clean<T: Default>(
    t: &[f64],
    v: &[f64],
    make: impl Fn(&[f64], &[f64]) -> (T, bool),
) -> T {
    let n = t.len().min(v.len());
    let (t, v) = (&t[..n], &v[..n]);
    if n > 0
        && let (made, true) = make(t, v)
    {
        return made;
    }
    let (t, v) = clean(t, v);
    if t.is_empty() {
        return T::default();
    }
    make(&t, &v).0
}

impl Blocks {
    /// Blocks straight from samples; exact for any number of them.
    #[must_use]
    pub fn from_samples(t: &[f64], v: &[f64]) -> Self {
        sound_or_clean(t, v, Self::of_sound)
    }

    /// The same of at least one sample, and whether they are sound.
    fn of_sound(t: &[f64], v: &[f64]) -> (Self, bool) {
        let n = t.len();
        let (start, end) = (t[0], t[n - 1]);
        let mut blocks = Self {
            start_s: start,
            span_s: end - start,
            n: n as u64,
            first: v[0],
            last: v[n - 1],
            ..Self::default()
        };
        // Most series are constant, which is seen without a quantile.
        let varies = v.iter().any(|x| !stats::same(*x, v[0]));
        let judged = varies && n as f64 >= rules::MIN_SAMPLES;
        let count = if judged {
            stretches(t, start, end, blocks.n)
        } else {
            1
        };
        let (mut lows, mut means) = (Vec::new(), Vec::new());
        let all = summarise(t, v, count, |one| {
            if judged {
                blocks.t_s.push(one.t_s);
                blocks.median.push(one.median);
                lows.push(one.low);
                means.push(one.mean);
            }
        });
        (blocks.quantum, blocks.min, blocks.max) = (all.quantum, all.min, all.max);
        if judged {
            blocks.level = level(lows, means);
        }
        (blocks, all.sound)
    }

    /// Blocks from cells.
    ///
    /// Exact where every cell is one sample.  Otherwise a block is a whole number of cells, and
    /// its quantiles are those of the samples that the cells stand for (see `unfold`).
    #[must_use]
    pub fn from_cells(cells: &Cells) -> Self {
        let mut blocks = Self {
            span_s: cells.span_s,
            quantum: cells.quantum,
            n: cells.n,
            first: cells.first,
            last: cells.last,
            min: cells.min,
            max: cells.max,
            ..Self::default()
        };
        let t = &cells.t_s;
        let Some((first, last)) = t.first().zip(t.last()) else {
            return blocks;
        };
        // The first and last cell lie about as far inside the span as one another.
        blocks.start_s = f64::midpoint(*first, *last) - cells.span_s / 2.0;
        if cells.max <= cells.min || (cells.n as f64) < rules::MIN_SAMPLES {
            return blocks;
        }
        let (mut pool, mut order) = (Vec::new(), Order::default());
        let (mut lows, mut means) = (Vec::new(), Vec::new());
        let mut add = |from: usize, to: usize| {
            let weights = || cells.samples[from..to].iter().map(|s| f64::from(*s));
            let samples = weights().sum::<f64>().max(1.0);
            let mean_of = |x: &[f64]| -> f64 {
                let sum: f64 = x[from..to].iter().zip(weights()).map(|(x, w)| x * w).sum();
                sum / samples
            };
            pool.clear();
            for i in from..to {
                unfold(cells.low[i], cells.median[i], cells.samples[i], &mut pool);
            }
            let ends = stats::extremes(&pool);
            let [low, median] = order.quantiles(&pool, ends, [rules::ENVELOPE, 0.5]);
            blocks.t_s.push(mean_of(t));
            blocks.median.push(median);
            lows.push(low);
            means.push(mean_of(&cells.mean));
        };
        if t.len() as u64 == cells.n {
            let (start, end) = (blocks.start_s, blocks.start_s + cells.span_s);
            equal_time(t, start, end, stretches(t, start, end, cells.n), add);
        } else {
            let (slot, slots) = slots(cells, blocks.start_s);
            let per_block = slots.div_ceil(block_count(cells.n));
            let mut from = 0;
            for group in slot.chunk_by(|a, b| a / per_block == b / per_block) {
                add(from, from + group.len());
                from += group.len();
            }
        }
        blocks.level = level(lows, means);
        blocks
    }
}

/// Which stretch of equal time each cell is, and how many there are with the empty ones.
fn slots(cells: &Cells, start: f64) -> (Vec<usize>, usize) {
    let count = cells.t_s.len();
    if count >= MAX_CELLS {
        return ((0..count).collect(), count);
    }
    // Cells are missing where samples are.  Next to a gap the distance is larger; the mean of the
    // usual distances gives the width of a cell, since what one is short the next has more.
    let apart: Vec<f64> = cells.t_s.windows(2).map(|w| w[1] - w[0]).collect();
    let limit = 1.6 * stats::median(&apart);
    let usual: Vec<f64> = apart.into_iter().filter(|d| *d <= limit).collect();
    let wanted = (cells.span_s / stats::mean(&usual)).round();
    // The estimate is good to a few cells, and a full grid is the common case.
    let nearly_full = wanted >= 0.97 * MAX_CELLS as f64;
    let slots = if nearly_full {
        MAX_CELLS
    } else {
        stats::index_of(wanted, MAX_CELLS).max(1)
    };
    let of = |t: &f64| stats::index_of((t - start) / cells.span_s * slots as f64, slots - 1);
    (cells.t_s.iter().map(of).collect(), slots)
}

/// The samples that a cell stands for, as far as its two quantiles tell.
///
/// One and two samples come back as they were, as do the lower two of three.  Of more samples,
/// those under the 30 % quantile count as equal to it, and those above lie on the line through
/// both quantiles.
fn unfold(low: f64, median: f64, samples: u32, into: &mut Vec<f64>) {
    // More would only cost time: the quantiles of five cells of nine are fine enough.
    let count = samples.clamp(1, 9);
    let slope = (median - low) / (0.5 - rules::ENVELOPE);
    match count {
        1 => into.push(median),
        2 => into.extend([median - 0.5 * slope, median + 0.5 * slope]),
        3 => {
            // The 30 % quantile of three lies .6 of the way from the lowest to the middle one.
            let gap = (median - low) / (1.0 - 2.0 * rules::ENVELOPE);
            into.extend([median - gap, median, median + gap]);
        }
        _ => {
            let last = f64::from(count - 1);
            into.extend((0..count).map(|i| {
                let place = f64::from(i) / last;
                low + slope * (place - rules::ENVELOPE).max(0.0)
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: u32) -> (Vec<f64>, Vec<f64>) {
        let t: Vec<f64> = (0..n).map(|i| 10.0 * f64::from(i)).collect();
        let v = (0..n)
            .map(|i| f64::from(4096 * (i + (i * 7) % 11)))
            .collect();
        (t, v)
    }

    #[test]
    fn up_to_240_samples_cells_lose_nothing() {
        for n in [36, 100, 239, 240] {
            let (t, v) = series(n);
            let exact = Blocks::from_samples(&t, &v);
            let from_cells = Blocks::from_cells(&Cells::from_samples(&t, &v));
            assert_eq!(exact.level, from_cells.level, "{n}");
            assert_eq!(exact.median, from_cells.median, "{n}");
            assert_eq!(exact.t_s.len(), block_count(u64::from(n)));
        }
    }

    #[test]
    fn longer_series_keep_their_envelope_within_the_scatter() {
        let (t, mut v) = series(2000);
        // Spikes that come and go leave a floor, so that the envelope stands for the blocks.
        for (i, v) in v.iter_mut().enumerate() {
            *v = 4096.0 * (i + 20 * usize::from((i * 7) % 11 > 6)) as f64;
        }
        let exact = Blocks::from_samples(&t, &v);
        let cells = Cells::from_samples(&t, &v);
        assert_eq!(cells.t_s.len(), MAX_CELLS);
        let from_cells = Blocks::from_cells(&cells);
        assert_eq!(from_cells.level.len(), 48);
        for (a, b) in exact.level.iter().zip(&from_cells.level) {
            assert!((a - b).abs() < 3.0 * 4096.0, "{a} {b}");
        }
    }

    #[test]
    fn two_samples_a_cell_lose_nothing() {
        let (t, v) = series(480);
        let exact = Blocks::from_samples(&t, &v);
        let from_cells = Blocks::from_cells(&Cells::from_samples(&t, &v));
        for (a, b) in exact.level.iter().zip(&from_cells.level) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn cells_keep_their_places_around_a_gap() {
        let (t, v) = series(2000);
        let keep = |i: &usize| !(600..1100).contains(i);
        let t: Vec<f64> = (0..2000).filter(keep).map(|i| t[i]).collect();
        let v: Vec<f64> = (0..2000).filter(keep).map(|i| v[i]).collect();
        let exact = Blocks::from_samples(&t, &v);
        let from_cells = Blocks::from_cells(&Cells::from_samples(&t, &v));
        assert_eq!(exact.t_s.len(), from_cells.t_s.len());
        for (a, b) in exact.t_s.iter().zip(&from_cells.t_s) {
            assert!((a - b).abs() < 90.0, "{a} {b}");
        }
    }

    #[test]
    fn a_gap_does_not_make_a_series_of_enough_samples_too_short() {
        let t: Vec<f64> = (0..45)
            .map(|i| f64::from(if i < 20 { i } else { i + 12 }))
            .collect();
        let v: Vec<f64> = t.iter().map(|t| 65_536.0 * t).collect();
        let exact = Blocks::from_samples(&t, &v);
        assert!(exact.t_s.len() >= 10, "{}", exact.t_s.len());
        let from_cells = Blocks::from_cells(&Cells::from_samples(&t, &v));
        assert_eq!(exact.t_s.len(), from_cells.t_s.len());
    }

    #[test]
    fn disorder_duplicates_and_nan_are_removed() {
        let cells = Cells::from_samples(
            &[2.0, 1.0, 2.0, 3.0, f64::NAN],
            &[20.0, 10.0, 99.0, f64::INFINITY, 5.0],
        );
        assert_eq!(cells.t_s, [1.0, 2.0]);
        assert_eq!(cells.low, [10.0, 20.0]);
        assert!((cells.quantum - 10.0).abs() < 1e-12 && cells.n == 2);
        assert_eq!(Cells::from_samples(&[], &[]), Cells::default());
    }

    #[test]
    fn a_constant_series_has_no_blocks_and_no_quantum() {
        let t: Vec<f64> = (0..100).map(f64::from).collect();
        let blocks = Blocks::from_samples(&t, &[7.0; 100]);
        assert!(blocks.t_s.is_empty() && blocks.quantum.abs() < 1e-300 && blocks.n == 100);
    }
}
