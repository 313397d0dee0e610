//! Quantiles of many values without sorting them, and the extremes.

use super::{index_of, quantile_sorted};

/// Up to this many values are sorted: that is as fast.
const FEW: usize = 96;

/// Stretches of equal width into which more values are counted.
const BINS: usize = 256;

/// 2 to the power of 52: a double has as many digits.
const TO_BITS: f64 = 4_503_599_627_370_496.0;

/// Values that are looked at side by side, as comparisons that wait for one another are slow.
const LANES: usize = 8;

/// Finds quantiles; keeps its memory from one call to the next.
#[derive(Debug, Default)]
pub struct Order {
    /// The bin of each value.
    bin: Vec<u8>,
    /// The values of wanted bins.
    held: Vec<(u8, f64)>,
    /// The values that are sorted.
    some: Vec<f64>,
}

/// A rank that is wanted, and the bins that hold its value and the next one.
#[derive(Clone, Copy)]
struct Wanted {
    /// The rank among all values.
    rank: usize,
    /// How far it lies on the way from its value to the next one, 0 to 1.
    share: f64,
    /// Values in bins below the first.
    below: usize,
    /// The first of the bins, and how many come after it.
    first: u8,
    more: u8,
}

impl Wanted {
    /// The quantile `q` of the values that were counted.
    fn new(counts: &[[u32; BINS]; 2], n: usize, q: f64) -> Self {
        let h = (n - 1) as f64 * q.clamp(0.0, 1.0);
        let rank = index_of(h, n - 1);
        let next = (rank + 1).min(n - 1);
        let count = |bin: usize| (counts[0][bin] + counts[1][bin]) as usize;
        let (mut first, mut below) = (0, 0);
        while below + count(first) <= rank {
            below += count(first);
            first += 1;
        }
        let (mut last, mut up_to) = (first, below + count(first));
        while up_to <= next {
            last += 1;
            up_to += count(last);
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are 256 bins")]
        let (first, more) = (first as u8, (last - first) as u8);
        let share = h - rank as f64;
        Self {
            rank,
            share,
            below,
            first,
            more,
        }
    }

    fn holds(self, bin: u8) -> bool {
        bin.wrapping_sub(self.first) <= self.more
    }
}

impl Order {
    /// The quantiles `q` of values in any order, whose smallest and largest are known, as
    /// [`super::quantile`] gives them one by one.
    ///
    /// The values are counted into bins of equal width, and only those of the bins that hold the
    /// wanted ranks are sorted: at O(n) a tenth of the cost of sorting all, which it falls back to
    /// where most values lie in one bin.
    /// Degenerate: NaN for an empty slice, and where a value is NaN.
    pub fn quantiles<const N: usize>(
        &mut self,
        values: &[f64],
        (low, high): (f64, f64),
        q: [f64; N],
    ) -> [f64; N] {
        let n = values.len();
        let scale = (BINS - 1) as f64 / (high - low);
        if n <= FEW || !scale.is_finite() || scale <= 0.0 {
            self.some.clear();
            self.some.extend_from_slice(values);
            self.some.sort_unstable_by(f64::total_cmp);
            return q.map(|q| quantile_sorted(&self.some, q));
        }
        // The last bits of a number of this size count ones.
        #[expect(clippy::cast_possible_truncation, reason = "0 to 255 by the scale")]
        let bin = |v: &f64| ((v - low) * scale + TO_BITS).to_bits() as u8;
        self.bin.clear();
        self.bin.extend(values.iter().map(bin));
        // Neighbours are often in one bin: two tables keep their counts from waiting for each other.
        let mut counts = [[0_u32; BINS]; 2];
        let pairs = self.bin.chunks_exact(2);
        if let [last] = pairs.remainder() {
            counts[0][usize::from(*last)] += 1;
        }
        for pair in pairs {
            counts[0][usize::from(pair[0])] += 1;
            counts[1][usize::from(pair[1])] += 1;
        }
        let wanted = q.map(|q| Wanted::new(&counts, n, q));
        let held = |bin: u8| wanted.iter().fold(false, |any, one| any | one.holds(bin));
        self.held.clear();
        for (bins, values) in self.bin.chunks(LANES).zip(values.chunks(LANES)) {
            if bins.iter().fold(false, |any, bin| any | held(*bin)) {
                let pairs = bins.iter().copied().zip(values.iter().copied());
                self.held.extend(pairs.filter(|(bin, _)| held(*bin)));
            }
        }
        wanted.map(|one| self.value(one))
    }

    /// The value of a rank, and its share of the way to the next one, from those that are held.
    fn value(&mut self, wanted: Wanted) -> f64 {
        self.some.clear();
        let held = self.held.iter().filter(|(bin, _)| wanted.holds(*bin));
        self.some.extend(held.map(|(_, value)| *value));
        let (_, one, above) = self
            .some
            .select_nth_unstable_by(wanted.rank - wanted.below, f64::total_cmp);
        let one = *one;
        // What is above the highest of all is nothing.
        let next = above.iter().copied().reduce(f64::min).unwrap_or(one);
        one + (next - one) * wanted.share
    }
}

/// Smallest and largest value; infinity and minus infinity for an empty slice, NaN counts as
/// neither.
pub(crate) fn extremes(values: &[f64]) -> (f64, f64) {
    let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let whole = values.chunks_exact(LANES);
    for (lane, v) in whole.remainder().iter().enumerate() {
        low[lane] = low[lane].min(*v);
        high[lane] = high[lane].max(*v);
    }
    for chunk in whole {
        for lane in 0..LANES {
            let v = chunk[lane];
            low[lane] = if v < low[lane] { v } else { low[lane] };
            high[lane] = if v > high[lane] { v } else { high[lane] };
        }
    }
    (
        low.into_iter().fold(f64::INFINITY, f64::min),
        high.into_iter().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// Smallest difference of successive values without sign that is not 0; infinity where all are
/// equal.
pub(crate) fn least_step(values: &[f64]) -> f64 {
    let step = |a: f64, b: f64| {
        let d = (b - a).abs();
        if d > 0.0 { d } else { f64::INFINITY }
    };
    let mut least = [f64::INFINITY; LANES];
    let pairs = values.len().saturating_sub(1);
    let (before, after) = (&values[..pairs], &values[values.len() - pairs..]);
    let (a, b) = (before.chunks_exact(LANES), after.chunks_exact(LANES));
    for (lane, (a, b)) in a.remainder().iter().zip(b.remainder()).enumerate() {
        least[lane] = least[lane].min(step(*a, *b));
    }
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            let d = step(a[lane], b[lane]);
            least[lane] = if d < least[lane] { d } else { least[lane] };
        }
    }
    least.into_iter().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::super::quantile;
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let made = |n: u32, f: &dyn Fn(u32) -> f64| -> Vec<f64> { (0..n).map(f).collect() };
        let jitter = |i: u32| f64::from((i * 7919) % 1013);
        let mut order = Order::default();
        for n in [1, 2, 95, 96, 97, 250, 1250, 1251] {
            let series = [
                made(n, &jitter),
                made(n, &|_| 7.0),
                made(n, &|i| 4096.0 * (jitter(i) / 300.0).floor()),
                // One far away puts all others into one bin.
                made(n, &|i| if i == 50 { 1e18 } else { jitter(i) }),
                made(n, &|i| if i % 2 == 0 { f64::MAX } else { f64::MIN }),
                made(n, &|i| -1e-300 * jitter(i)),
            ];
            for v in &series {
                for q in [0.0, 0.3, 0.5, 1.0] {
                    let [found] = order.quantiles(v, extremes(v), [q]);
                    let wanted = quantile(v, q);
                    assert!(
                        found.to_bits() == wanted.to_bits()
                            || found.is_nan() == wanted.is_nan() && (found - wanted).abs() <= 0.0,
                        "{n} {q}: {found} {wanted}"
                    );
                }
            }
        }
        assert!(order.quantiles(&[], extremes(&[]), [0.5])[0].is_nan());
    }

    #[test]
    fn extremes_and_least_step_look_at_every_value() {
        for n in [9, 16, 17, 40] {
            for at in 0..n {
                let mut v = vec![5.0; n];
                v[at] = 9.0;
                assert_eq!(format!("{:?}", extremes(&v)), "(5.0, 9.0)");
                assert_eq!(format!("{:?}", least_step(&v)), "4.0");
                v[at] = -9.0;
                assert_eq!(format!("{:?}", extremes(&v)), "(-9.0, 5.0)");
            }
        }
        assert!(least_step(&[3.0; 20]).is_infinite() && least_step(&[]).is_infinite());
        assert!(extremes(&[]).0.is_infinite());
    }
}
