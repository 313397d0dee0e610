//! Makes a series small while it streams past as changes.

use crate::verdict::{Cells, MAX_CELLS};

/// The quantile of a cell that stands for its lower envelope.
const ENVELOPE: f64 = 0.30;

/// Which cell each sample of a source falls into.
///
/// Up to [`MAX_CELLS`] samples each have a cell of their own, so that nothing is lost; beyond that
/// cells are stretches of equal time.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    t_s: Vec<f64>,
    /// Running sum of `t_s`, for the mean time of a range of samples.
    t_sum: Vec<f64>,
    cell: Vec<u16>,
}

impl Grid {
    pub(super) fn new(t_s: &[f64]) -> Self {
        let (first, last) = match (t_s.first(), t_s.last()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => (0.0, 0.0),
        };
        let span = last - first;
        let cell = t_s
            .iter()
            .enumerate()
            .map(|(index, t)| {
                let cell = if t_s.len() <= MAX_CELLS || span <= 0.0 {
                    index.min(MAX_CELLS - 1)
                } else {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        clippy::cast_precision_loss,
                        reason = "a share of a few hundred cells"
                    )]
                    let cell = ((t - first) / span * MAX_CELLS as f64) as usize;
                    cell.min(MAX_CELLS - 1)
                };
                u16::try_from(cell).unwrap_or(u16::MAX)
            })
            .collect();
        let mut t_sum = Vec::with_capacity(t_s.len() + 1);
        t_sum.push(0.0);
        for t in t_s {
            t_sum.push(t_sum.last().copied().unwrap_or(0.0) + t);
        }
        Self {
            t_s: t_s.to_vec(),
            t_sum,
            cell,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.t_s.len()
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of samples")]
    fn mean_time(&self, from: usize, to: usize) -> f64 {
        (self.t_sum[to] - self.t_sum[from]) / (to - from) as f64
    }
}

/// A finished cell.
#[derive(Clone, Copy, Debug)]
struct Cell {
    t_s: f64,
    low: f64,
    median: f64,
    mean: f64,
    samples: u32,
}

/// One series that is being read: the value it holds, and the cells behind it.
///
/// A series that never changes costs no more than this struct.
#[derive(Clone, Debug)]
pub(super) struct Builder {
    /// NaN: not obtained.
    value: f64,
    /// The sample from which it holds.
    since: usize,
    first: f64,
    min: f64,
    max: f64,
    last: f64,
    quantum: f64,
    first_sample: usize,
    last_sample: usize,
    n: u64,
    cells: Vec<Cell>,
    /// The cell in hand: first sample, last sample + 1, and its values with their numbers.
    open: Vec<(f64, u32)>,
    open_from: usize,
    open_to: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            value: f64::NAN,
            since: 0,
            first: f64::NAN,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            last: f64::NAN,
            quantum: 0.0,
            first_sample: usize::MAX,
            last_sample: 0,
            n: 0,
            cells: Vec::new(),
            open: Vec::new(),
            open_from: 0,
            open_to: 0,
        }
    }

    /// The value from this sample on; NaN where it was not obtained.
    pub(super) fn set(&mut self, grid: &Grid, sample: usize, value: f64) {
        if value.to_bits() == self.value.to_bits() || (value.is_nan() && self.value.is_nan()) {
            return;
        }
        self.settle(grid, sample);
        if !value.is_nan() && !self.last.is_nan() {
            let step = (value - self.last).abs();
            if step > 0.0 && (self.quantum <= 0.0 || step < self.quantum) {
                self.quantum = step;
            }
        }
        self.value = value;
        self.since = sample;
    }

    /// Puts what was held up to (not including) this sample into cells.
    fn settle(&mut self, grid: &Grid, to: usize) {
        let (from, value) = (self.since, self.value);
        self.since = to;
        if value.is_nan() || from >= to {
            return;
        }
        if self.first_sample == usize::MAX {
            self.first_sample = from;
            self.first = value;
        }
        self.last = value;
        self.last_sample = to - 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.n += (to - from) as u64;
        let mut at = from;
        while at < to {
            let cell = grid.cell[at];
            // Most values change again within their cell.
            let end = if grid.cell[to - 1] == cell {
                to
            } else {
                at + grid.cell[at..to].partition_point(|&c| c <= cell)
            };
            if !self.open.is_empty() && grid.cell[self.open_from] != cell {
                self.close(grid);
            }
            if self.open.is_empty() {
                self.open_from = at;
            }
            let count = u32::try_from(end - at).unwrap_or(u32::MAX);
            self.open.push((value, count));
            self.open_to = end;
            at = end;
        }
    }

    fn close(&mut self, grid: &Grid) {
        self.open.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let samples: u32 = self.open.iter().map(|(_, count)| count).sum();
        let weighted = self.open.iter().map(|(v, count)| v * f64::from(*count));
        self.cells.push(Cell {
            t_s: grid.mean_time(self.open_from, self.open_to),
            low: weighted_quantile(&self.open, ENVELOPE),
            median: weighted_quantile(&self.open, 0.5),
            mean: weighted.sum::<f64>() / f64::from(samples),
            samples,
        });
        self.open.clear();
    }

    /// How many samples it has so far.
    pub(super) fn samples(&self) -> u64 {
        self.n
    }

    /// The series as cells; `None` where there was no value at all.
    pub(super) fn finish(mut self, grid: &Grid) -> Option<Cells> {
        self.settle(grid, grid.len());
        if !self.open.is_empty() {
            self.close(grid);
        }
        if self.n == 0 {
            return None;
        }
        Some(Cells {
            t_s: self.cells.iter().map(|cell| cell.t_s).collect(),
            low: self.cells.iter().map(|cell| cell.low).collect(),
            median: self.cells.iter().map(|cell| cell.median).collect(),
            mean: self.cells.iter().map(|cell| cell.mean).collect(),
            samples: self.cells.iter().map(|cell| cell.samples).collect(),
            quantum: self.quantum,
            span_s: grid.t_s[self.last_sample] - grid.t_s[self.first_sample],
            n: self.n,
            first: self.first,
            last: self.last,
            min: self.min,
            max: self.max,
        })
    }
}

/// Quantile of values with numbers, ascending: as if each stood that often, linear between
/// neighbours (type 7 of Hyndman & Fan 1996, as numpy's default).
#[expect(clippy::cast_precision_loss, reason = "a number of samples")]
fn weighted_quantile(sorted: &[(f64, u32)], q: f64) -> f64 {
    let total: u64 = sorted.iter().map(|(_, count)| u64::from(*count)).sum();
    let place = q * (total.saturating_sub(1)) as f64;
    let below = place.floor();
    let value_at = |rank: f64| {
        let mut seen = 0;
        for (value, count) in sorted {
            seen += u64::from(*count);
            if rank < seen as f64 {
                return *value;
            }
        }
        sorted.last().map_or(f64::NAN, |(value, _)| *value)
    };
    let low = value_at(below);
    let share = place - below;
    if share > 0.0 {
        low + share * (value_at(below + 1.0) - low)
    } else {
        low
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    /// What the whole series gives, for a stream of its changes.
    fn compare(t: &[f64], v: &[f64]) {
        let grid = Grid::new(t);
        let mut builder = Builder::new();
        for (sample, value) in v.iter().enumerate() {
            builder.set(&grid, sample, *value);
        }
        let streamed = builder.finish(&grid).unwrap();
        let whole = Cells::from_samples(t, v);
        assert_eq!(streamed.samples, whole.samples);
        assert_eq!(streamed.n, whole.n);
        for (a, b) in [
            (&streamed.t_s, &whole.t_s),
            (&streamed.low, &whole.low),
            (&streamed.median, &whole.median),
            (&streamed.mean, &whole.mean),
        ] {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} {b}");
            }
        }
        for (a, b) in [
            (streamed.quantum, whole.quantum),
            (streamed.span_s, whole.span_s),
            (streamed.first, whole.first),
            (streamed.last, whole.last),
            (streamed.min, whole.min),
            (streamed.max, whole.max),
        ] {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }

    #[test]
    fn streaming_the_changes_gives_the_same_cells_as_the_whole_series() {
        for n in [40_u32, 240, 241, 1000, 5003] {
            let t: Vec<f64> = (0..n)
                .map(|i| f64::from(i) * 10.0 + f64::from(i % 7) * 0.01)
                .collect();
            let busy: Vec<f64> = (0..n).map(|i| f64::from(i + (i * 7919) % 101)).collect();
            let rare: Vec<f64> = (0..n).map(|i| f64::from(i / 97)).collect();
            compare(&t, &busy);
            compare(&t, &rare);
        }
    }

    #[test]
    fn what_was_not_obtained_is_in_no_cell() {
        let t: Vec<f64> = (0..100).map(f64::from).collect();
        let grid = Grid::new(&t);
        let mut builder = Builder::new();
        builder.set(&grid, 10, 5.0);
        builder.set(&grid, 20, f64::NAN);
        builder.set(&grid, 90, 6.0);
        let cells = builder.finish(&grid).unwrap();
        assert_eq!(cells.n, 20);
        assert_eq!(cells.t_s.len(), 20);
        assert!((cells.t_s[9] - 19.0).abs() < 1e-9 && (cells.t_s[10] - 90.0).abs() < 1e-9);
        assert!(Builder::new().finish(&grid).is_none());
    }

    #[test]
    fn a_constant_series_holds_no_memory_until_it_is_done() {
        let t: Vec<f64> = (0..10_000).map(f64::from).collect();
        let grid = Grid::new(&t);
        let mut builder = Builder::new();
        for sample in 0..10_000 {
            builder.set(&grid, sample, 7.0);
        }
        assert_eq!(builder.cells.capacity() + builder.open.capacity(), 0);
        assert_eq!(builder.finish(&grid).unwrap().n, 10_000);
    }
}
