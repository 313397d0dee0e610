//! The best one and two changes of mean.

use super::mean;

/// A level lasts this many points at least; what is shorter is a dip or a spike.
pub(super) const LEVEL: usize = 3;

/// What the best two changes of mean leave of `y`, as a sum of squares.
///
/// Degenerate: infinite for n < 9.
#[must_use]
pub fn best_step_pair(y: &[f64]) -> f64 {
    let level = mean(y);
    let centred: Vec<f64> = y.iter().map(|v| v - level).collect();
    Sums::new(&centred)
        .best_pair(y.len())
        .map_or(f64::INFINITY, |(sse, _, _)| sse)
}

/// Running sums, so that the squares about the mean of any stretch cost nothing.
pub(super) struct Sums {
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    pub(super) fn new(y: &[f64]) -> Self {
        let mut sums = Self {
            values: vec![0.0],
            squares: vec![0.0],
        };
        let (mut a, mut b) = (0.0, 0.0);
        for v in y {
            a += v;
            b += v * v;
            sums.values.push(a);
            sums.squares.push(b);
        }
        sums
    }

    fn sse(&self, from: usize, to: usize) -> f64 {
        let sum = self.values[to] - self.values[from];
        self.squares[to] - self.squares[from] - sum * sum / (to - from) as f64
    }

    /// Least sum of squares with one change of mean.
    pub(super) fn best_step(&self, n: usize) -> Option<(f64, usize)> {
        let mut best: Option<(f64, usize)> = None;
        for i in LEVEL..=n.saturating_sub(LEVEL) {
            let sse = self.sse(0, i) + self.sse(i, n);
            if best.is_none_or(|b| sse < b.0) {
                best = Some((sse, i));
            }
        }
        best.map(|(sse, i)| (sse.max(0.0), i))
    }

    /// The same with two.
    pub(super) fn best_pair(&self, n: usize) -> Option<(f64, usize, usize)> {
        let mut best: Option<(f64, usize, usize)> = None;
        for i in LEVEL..=n.saturating_sub(2 * LEVEL) {
            let first = self.sse(0, i);
            for j in i + LEVEL..=n - LEVEL {
                let sse = first + self.sse(i, j) + self.sse(j, n);
                if best.is_none_or(|b| sse < b.0) {
                    best = Some((sse, i, j));
                }
            }
        }
        best.map(|(sse, i, j)| (sse.max(0.0), i, j))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_leave_what_is_left_about_three_means() {
        // By hand: means 1, 4 and 2; only the last level strays, by 1, 0 and 1.
        let y = [1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 1.0, 2.0, 3.0];
        assert!((best_step_pair(&y) - 2.0).abs() < 1e-12);
        assert!(best_step_pair(&[1.0, 2.0]).is_infinite());
    }
}
