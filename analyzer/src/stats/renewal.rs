//! A line that begins anew now and then: growth of one pace that restarts cut.

use super::{mean, range};

/// Cuts that are looked for; more lives than nine are short ones.
const MOST: usize = 8;

/// What is left between two cuts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Life {
    /// Index of its first point.
    pub from: usize,
    /// Index after its last one.
    pub to: usize,
    /// How long it lasts, in units of t.
    pub lasts: f64,
    /// How far a line of its own leads away from the common one, as a share of what it grows: the
    /// root of the ratio of both squares.  0: as all others; 1: as far as one that does not grow.
    pub off: f64,
    /// The same difference in squares, over the variance of the errors about lines of their own:
    /// chi-squared with two degrees of freedom where the life is one of them.
    pub chi_squared: f64,
}

/// `start + pace (t - t0)`, t0 being the time of the last cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Renewal {
    /// The growth in each life, per unit of t.
    pub pace: f64,
    /// Share of the squares about the mean that it explains.
    pub explained: f64,
    /// The lives, in order.
    pub lives: Vec<Life>,
}

/// Fits a line that begins anew at cuts of its own choice to `y` over `t` (ascending).
///
/// Each cut is put where it leaves the least squares beside the others; when all are placed, each
/// is placed anew, and those that are not `sure` standard deviations beyond noise go again, the
/// weakest first.  No life is shorter than `least` points.
/// The errors count as a first-order autoregression: their variance is taken times
/// `(1 + rho) / (1 - rho)` with rho their lag-1 autocorrelation, 0 to .95.
/// Degenerate: `None` where no cut remains, values are not finite, or all are equal.
/// Reference: binary segmentation (Scott & Knott 1974; Bai, Econometric Theory 13 (1997), for
/// placing breaks anew).
#[must_use]
pub fn renewal(t: &[f64], y: &[f64], least: usize, sure: f64) -> Option<Renewal> {
    let n = t.len().min(y.len());
    let (least, spread) = (least.max(3), range(&y[..n]));
    let finite = t[..n].iter().chain(&y[..n]).all(|x| x.is_finite());
    if n < 2 * least || !finite || spread <= 0.0 || t[n - 1] <= t[0] {
        return None;
    }
    // Scaled numbers keep their digits in the sums of squares.
    let (start, span, level) = (t[0], t[n - 1] - t[0], mean(&y[..n]));
    let t: Vec<f64> = t[..n].iter().map(|t| (t - start) / span).collect();
    let y: Vec<f64> = y[..n].iter().map(|y| (y - level) / spread).collect();
    let sums = Sums::new(&t, &y);
    let mut cuts: Vec<usize> = Vec::new();
    let put = |cuts: &mut Vec<usize>| {
        let found = sums.best_cut(cuts, least);
        if let Some(cut) = found {
            cuts.insert(cuts.partition_point(|c| *c < cut), cut);
        }
        found.is_some()
    };
    while cuts.len() < MOST && put(&mut cuts) {}
    for i in 0..cuts.len() {
        cuts.remove(i);
        put(&mut cuts);
    }
    loop {
        let line = sums.fit(&cuts);
        let noise = variance(&sums.left(&cuts, line));
        let without = |i: usize| {
            let mut others = cuts.clone();
            others.remove(i);
            sums.fit(&others).sse
        };
        let all = (0..cuts.len()).map(|i| (without(i), i));
        let (sse, weakest) = all.min_by(|a, b| a.0.total_cmp(&b.0))?;
        if sse - line.sse >= sure * sure * noise {
            let lives = sums.lives(&cuts, line, span);
            return Some(Renewal {
                pace: line.pace * spread / span,
                explained: 1.0 - line.sse / sums.squares,
                lives,
            });
        }
        cuts.remove(weakest);
    }
}

/// The common line, and the squares that it leaves.
#[derive(Clone, Copy)]
struct Line {
    start: f64,
    pace: f64,
    sse: f64,
}

/// Running sums, so that a cut anywhere costs nothing to try.  The values have mean 0.
struct Sums<'a> {
    t: &'a [f64],
    y: &'a [f64],
    /// Of t, t^2, y and t y.
    running: Vec<[f64; 4]>,
    squares: f64,
}

/// Sums of age, its square and its product with the value.
type Ages = [f64; 3];

impl<'a> Sums<'a> {
    fn new(t: &'a [f64], y: &'a [f64]) -> Self {
        let mut sum = [0.0; 4];
        let mut running = Vec::with_capacity(t.len() + 1);
        running.push(sum);
        for (t, y) in t.iter().zip(y) {
            for (sum, more) in sum.iter_mut().zip([*t, t * t, *y, t * y]) {
                *sum += more;
            }
            running.push(sum);
        }
        let squares = y.iter().map(|y| y * y).sum();
        Self {
            t,
            y,
            running,
            squares,
        }
    }

    fn ranges(&self, cuts: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        let ends = cuts.iter().copied().chain([self.t.len()]);
        std::iter::once(0).chain(cuts.iter().copied()).zip(ends)
    }

    fn ages(&self, from: usize, to: usize) -> Ages {
        let [t, square, y, product] =
            std::array::from_fn(|i| self.running[to][i] - self.running[from][i]);
        let (n, born) = ((to - from) as f64, self.t[from]);
        [
            t - n * born,
            square - 2.0 * born * t + n * born * born,
            product - born * y,
        ]
    }

    fn ages_of_all(&self, cuts: &[usize]) -> Ages {
        self.ranges(cuts).fold([0.0; 3], |sum, (from, to)| {
            let ages = self.ages(from, to);
            std::array::from_fn(|i| sum[i] + ages[i])
        })
    }

    fn line(&self, [age, square, product]: Ages) -> Line {
        let n = self.t.len() as f64;
        // The values sum up to 0, so their product with the mean age is 0 too.
        let pace = product / (square - age * age / n).max(1e-12);
        Line {
            start: -pace * age / n,
            pace,
            sse: (self.squares - pace * product).max(1e-12 * self.squares),
        }
    }

    fn fit(&self, cuts: &[usize]) -> Line {
        self.line(self.ages_of_all(cuts))
    }

    fn best_cut(&self, cuts: &[usize], least: usize) -> Option<usize> {
        let all = self.ages_of_all(cuts);
        let mut best: Option<(f64, usize)> = None;
        for (from, to) in self.ranges(cuts) {
            let whole = self.ages(from, to);
            for cut in from + least..(to + 1).saturating_sub(least) {
                let (before, after) = (self.ages(from, cut), self.ages(cut, to));
                let ages = std::array::from_fn(|i| all[i] - whole[i] + before[i] + after[i]);
                let sse = self.line(ages).sse;
                if best.is_none_or(|(lowest, _)| sse < lowest) {
                    best = Some((sse, cut));
                }
            }
        }
        best.map(|(_, cut)| cut)
    }

    /// What the line leaves in one life, and its growth there.
    fn errors(&self, from: usize, to: usize, line: Line) -> impl Iterator<Item = (f64, f64)> {
        (from..to).map(move |i| {
            let grown = line.pace * (self.t[i] - self.t[from]);
            (self.y[i] - line.start - grown, grown)
        })
    }

    /// What the common line leaves.
    fn left(&self, cuts: &[usize], line: Line) -> Vec<f64> {
        let ranges = self.ranges(cuts);
        ranges
            .flat_map(|(from, to)| self.errors(from, to, line).map(|(error, _)| error))
            .collect()
    }

    fn lives(&self, cuts: &[usize], line: Line, span: f64) -> Vec<Life> {
        // Lives that differ are no noise: it is what lines of their own leave.
        let own = self
            .ranges(cuts)
            .flat_map(|(from, to)| own_line(&self.t[from..to], &self.y[from..to]));
        let own: Vec<f64> = own.collect();
        let noise = variance(&own);
        let life = |(from, to): (usize, usize)| {
            let (mut away, mut grown) = (0.0, 0.0);
            for ((error, age), own) in self.errors(from, to, line).zip(&own[from..to]) {
                away += error * error - own * own;
                grown += age * age;
            }
            let away = away.max(0.0);
            Life {
                from,
                to,
                lasts: span * (self.t[to - 1] - self.t[from]),
                off: (away / grown.max(1e-300)).sqrt(),
                chi_squared: away / noise.max(1e-300),
            }
        };
        self.ranges(cuts).map(life).collect()
    }
}

/// Variance of errors for each independent one of them.
fn variance(errors: &[f64]) -> f64 {
    let squares: f64 = errors.iter().map(|e| e * e).sum();
    let steps: f64 = errors.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum();
    let rho = (1.0 - steps / (2.0 * squares).max(1e-300)).clamp(0.0, 0.95);
    squares / errors.len() as f64 * (1.0 + rho) / (1.0 - rho)
}

/// What the straight line through these points leaves.
fn own_line(t: &[f64], y: &[f64]) -> Vec<f64> {
    let (middle, level) = (mean(t), mean(y));
    let (mut tt, mut ty) = (0.0, 0.0);
    for (t, y) in t.iter().zip(y) {
        tt += (t - middle).powi(2);
        ty += (t - middle) * (y - level);
    }
    let slope = ty / tt.max(1e-300);
    let left = t.iter().zip(y);
    left.map(|(t, y)| y - level - slope * (t - middle))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jitter(i: usize) -> f64 {
        ((i * 7919) % 101) as f64 / 100.0 - 0.5
    }

    /// Lives of these lengths, which grow by 1 a point from the same start.
    fn series(lengths: &[usize], noise: f64) -> (Vec<f64>, Vec<f64>) {
        let y = lengths.iter().flat_map(|n| 0..*n).enumerate();
        let y: Vec<f64> = y.map(|(i, age)| age as f64 + noise * jitter(i)).collect();
        ((0..y.len()).map(|i| 10.0 * i as f64).collect(), y)
    }

    fn ends(found: &Renewal) -> Vec<usize> {
        found.lives.iter().map(|life| life.to).collect()
    }

    #[test]
    fn lives_of_one_pace_are_found_under_noise_half_as_high_as_they_are() {
        for noise in [0.0, 5.0, 25.0] {
            let (t, y) = series(&[60, 90, 50], noise);
            let found = renewal(&t, &y, 20, 5.0).expect("two cuts");
            let off = |at: usize, to: usize| at.abs_diff(to) <= if noise > 5.0 { 3 } else { 0 };
            let ends = ends(&found);
            assert!(off(ends[0], 60) && off(ends[1], 150), "{noise}: {ends:?}");
            assert!((found.pace - 0.1).abs() < 0.01, "{}", found.pace);
            assert!(found.lives.iter().all(|life| life.off < 0.15), "{found:?}");
        }
    }

    #[test]
    fn a_life_at_half_the_pace_stands_out() {
        let (t, mut y) = series(&[100, 100, 60], 1.0);
        for (age, y) in y[200..].iter_mut().enumerate() {
            *y -= 0.5 * age as f64;
        }
        let found = renewal(&t, &y, 40, 5.0).expect("two cuts");
        assert_eq!(ends(&found), [100, 200, 260]);
        // The common pace gives way a little to the odd one out.
        let off: Vec<f64> = found.lives.iter().map(|life| life.off).collect();
        assert!(off[0] < 0.15 && off[1] < 0.15, "{off:?}");
        assert!((0.3..0.5).contains(&off[2]), "{off:?}");
        assert!(found.lives[2].chi_squared > 1000.0, "{found:?}");
    }

    #[test]
    fn a_line_noise_and_too_few_points_have_no_cut() {
        let (t, y) = series(&[200], 5.0);
        assert!(renewal(&t, &y, 20, 5.0).is_none());
        let noise: Vec<f64> = (0..200).map(jitter).collect();
        assert!(renewal(&t, &noise, 20, 5.0).is_none());
        assert!(renewal(&t, &[3.0; 200], 20, 5.0).is_none());
        assert!(renewal(&t[..30], &y[..30], 20, 5.0).is_none());
        assert!(renewal(&t, &[f64::NAN; 200], 20, 5.0).is_none());
    }
}
