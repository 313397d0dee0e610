//! A made-up series for the tests of what a probe does to one.

use crate::verdict::Cells;

pub(crate) const MIB: f64 = 1_048_576.0;

/// 200 samples, one in 10 s, each a little off what is given.
pub(crate) fn series(value: impl Fn(usize) -> f64) -> Cells {
    let t: Vec<f64> = (0..200).map(|i| 10.0 * i as f64).collect();
    let v: Vec<f64> = (0..200)
        .map(|i| value(i) + 8192.0 * ((i * 7) % 5) as f64)
        .collect();
    Cells::from_samples(&t, &v)
}
