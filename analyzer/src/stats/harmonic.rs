//! The strongest periodic part of a series with a trend.

use super::least_squares::{Basis, dot};

/// A sine wave fitted beside a straight line.
#[derive(Debug, Clone)]
pub struct Harmonic {
    /// Cycles over the whole of u = 0..1.
    pub cycles: f64,
    /// The wave at each point, without line and mean.
    pub wave: Vec<f64>,
    /// Share of the variance about the line that the wave removes, 0 to 1.
    pub explained: f64,
    /// Sum of squares that line and wave leave.
    pub sse: f64,
}

/// First frequency tried, in cycles per series.  Slower waves cannot be told from a trend.
const FROM: f64 = 1.75;
/// Up to here frequencies are [`FINE`] apart, beyond twice as much.
const COARSE_FROM: f64 = 6.0;
const FINE: f64 = 0.125;

/// Fits `a + b u + c cos(2 pi f u) + d sin(2 pi f u)` for f = 1.75 up to (not including) n / 2
/// cycles and returns the f that leaves the least.
///
/// A wave of more cycles than n / 2 shows as one of less (aliasing), so that what is seen of it is
/// removed as well: the teeth of a saw that are shorter than two points.
/// `u` is time scaled to 0..1, even or not.  The variance share is a description and no test: a
/// random walk often has one wave that explains half of it.
/// Degenerate: `None` for n < 6 or where a straight line leaves only rounding.
/// Reference: cosinor (Halberg); Lomb-Scargle with a trend.
#[must_use]
pub fn harmonic(u: &[f64], y: &[f64]) -> Option<Harmonic> {
    let n = u.len().min(y.len());
    if n < 6 {
        return None;
    }
    let mut basis = Basis::constant(n);
    basis.push(&u[..n]);
    let line = basis.fit(&y[..n]);
    let rounding = 1e-28 * y[..n].iter().map(|v| v * v).sum::<f64>();
    if line.sse <= rounding {
        return None;
    }
    // The angle grows by the same amount from one frequency to the next, so turning the last
    // cosine and sine is all it takes.
    let turn = std::f64::consts::TAU;
    let start: Vec<(f64, f64)> = u[..n].iter().map(|x| (turn * FROM * x).sin_cos()).collect();
    let fine: Vec<(f64, f64)> = u[..n].iter().map(|x| (turn * FINE * x).sin_cos()).collect();
    let (mut sin, mut cos): (Vec<f64>, Vec<f64>) = start.into_iter().unzip();
    // At n / 2 itself the sine is zero in every point.
    let last = n as f64 / 2.0 - FINE;
    let mut cycles = FROM;
    let rest = &line.residuals;
    let mut best: Option<(f64, f64, [Vec<f64>; 2])> = None;
    while cycles < COARSE_FROM || cycles < last {
        let (cs, cc, ss) = basis.products(&cos, &sin);
        let (cr, sr) = (dot(&cos, rest), dot(&sin, rest));
        let determinant = cc * ss - cs * cs;
        let explains = (cr * cr * ss - 2.0 * cr * sr * cs + sr * sr * cc) / determinant;
        if explains > best.as_ref().map_or(0.0, |b| b.0) {
            best = Some((explains, cycles, [cos.clone(), sin.clone()]));
        }
        let times = if cycles < COARSE_FROM { 1 } else { 2 };
        cycles += FINE * f64::from(times);
        for _ in 0..times {
            for ((s, c), (step_s, step_c)) in sin.iter_mut().zip(&mut cos).zip(&fine) {
                (*s, *c) = (*s * step_c + *c * step_s, *c * step_c - *s * step_s);
            }
        }
    }
    let (_, cycles, columns) = best?;
    for column in &columns {
        basis.push(column);
    }
    let fit = basis.fit_from(line.residuals, 2);
    let [cos, sin] = &columns;
    let (c, s) = (fit.coefficients[2], fit.coefficients[3]);
    Some(Harmonic {
        cycles,
        wave: cos.iter().zip(sin).map(|(x, y)| c * x + s * y).collect(),
        explained: 1.0 - fit.sse / line.sse,
        sse: fit.sse,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_on_a_slope_is_found_with_its_frequency() {
        let u: Vec<f64> = (0..48).map(|i| f64::from(i) / 47.0).collect();
        let y: Vec<f64> = u
            .iter()
            .map(|x| 5.0 + 2.0 * x + 3.0 * (std::f64::consts::TAU * 7.5 * x).cos())
            .collect();
        let found = harmonic(&u, &y).expect("there is a wave");
        assert!((found.cycles - 7.5).abs() < 1e-9, "{}", found.cycles);
        assert!(found.explained > 0.999_999);
        assert!((found.wave[0] - 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_wave_shorter_than_two_points_is_found_as_its_alias() {
        // 28 cycles seen 47 times a span are 47 - 28 = 19.
        let u: Vec<f64> = (0..48).map(|i| f64::from(i) / 47.0).collect();
        let y: Vec<f64> = u
            .iter()
            .map(|x| 2.0 * x + (std::f64::consts::TAU * 28.0 * x).cos())
            .collect();
        let found = harmonic(&u, &y).expect("there is a wave");
        assert!((found.cycles - 19.0).abs() < 1e-9, "{}", found.cycles);
        assert!(found.explained > 0.999_999);
    }

    #[test]
    fn a_straight_line_and_a_short_series_have_none() {
        assert!(harmonic(&[0.0, 0.5, 1.0], &[1.0, 5.0, 2.0]).is_none());
        assert!(harmonic(&[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], &[1.0; 6]).is_none());
    }
}
