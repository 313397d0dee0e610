//! Which simple shape a series has: straight growth, growth that flattens, a step, nothing.

use super::least_squares::{Basis, LeastSquares, dot};
use super::mean;
use super::steps::{LEVEL, Sums};

/// The shapes that are tried, each a least-squares fit over u = 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `a`
    Constant,
    /// `a + b u`
    Line,
    /// `a + b (1 - exp(-u / tau))`, a warm-up that ends.
    Warmup,
    /// `a + b ln(1 + u / tau)`, growth that slows for ever.
    Logarithm,
    /// `a + b u / (u + tau)`, a warm-up whose rate falls with the square of what is still missing.
    Hyperbola,
    /// `a + b u + c (1 - exp(-u / tau))`
    WarmupLine,
    /// `a + b max(0, u - s)`, growth from s on.
    Hinge,
    /// `a + b min(u, s)`, growth until s.
    RampFlat,
    /// One change of mean.
    Step,
    /// Two changes of mean.
    StepPair,
    /// `a + b u + c [u >= s]` with c not negative.
    StepLine,
}

impl Shape {
    /// True for the shapes that go on growing at the end.
    #[must_use]
    pub fn grows_for_ever(self) -> bool {
        matches!(
            self,
            Self::Line | Self::WarmupLine | Self::Hinge | Self::StepLine
        )
    }

    /// True for the shapes that grow more and more slowly, or stop.
    #[must_use]
    pub fn flattens(self) -> bool {
        matches!(
            self,
            Self::Warmup | Self::Logarithm | Self::Hyperbola | Self::RampFlat
        )
    }

    /// Free numbers of the shape, with the place of a bend or step counted.
    pub(super) fn parameters(self) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Line => 2.0,
            Self::Warmup
            | Self::Logarithm
            | Self::Hyperbola
            | Self::Hinge
            | Self::RampFlat
            | Self::Step => 3.0,
            Self::WarmupLine | Self::StepLine => 4.0,
            // Two places chosen among all cost more than one each (Zhang & Siegmund 2007).
            Self::StepPair => 7.0,
        }
    }

    /// The shape in plain words, to stand in a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Constant => "a constant level",
            Self::Line => "a straight line",
            Self::Warmup => "a warm-up that ends",
            Self::Logarithm => "growth that slows for ever",
            Self::Hyperbola => "a warm-up with a long tail",
            Self::WarmupLine => "a line after a warm-up",
            Self::Hinge => "a line from a late onset on",
            Self::RampFlat => "a ramp that flattens",
            Self::Step => "one step",
            Self::StepPair => "two steps",
            Self::StepLine => "a line with a step",
        }
    }

    /// One word for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Line => "line",
            Self::Warmup => "warmup",
            Self::Logarithm => "logarithm",
            Self::Hyperbola => "long_warmup",
            Self::WarmupLine => "warmup_and_line",
            Self::Hinge => "late_onset",
            Self::RampFlat => "ramp_then_flat",
            Self::Step => "step",
            Self::StepPair => "two_steps",
            Self::StepLine => "step_and_line",
        }
    }
}

/// The best fit of one shape.
#[derive(Debug, Clone)]
pub struct ShapeFit {
    /// Which shape.
    pub shape: Shape,
    /// Sum of squared residuals.
    pub sse: f64,
    /// Growth over u = 0..1 of the part that goes on for ever (`b`), 0 for shapes without one.
    pub growth: f64,
    /// tau, bend or place of the (first) step, in u.
    pub at: f64,
    /// Place of the second step, in u.
    pub at_second: f64,
    /// Coefficients in the order of the formula; empty for steps.
    pub coefficients: Vec<f64>,
    /// Values minus fit; empty for steps.
    pub residuals: Vec<f64>,
}

impl ShapeFit {
    /// The last column of the shape, of two steps the one of the first.
    fn last_column(&self, u: &[f64]) -> Vec<f64> {
        u.iter()
            .map(|u| unit_column(self.shape, self.at, *u))
            .collect()
    }

    /// The columns of the shape beside the constant.
    pub(super) fn columns(&self, u: &[f64]) -> Vec<Vec<f64>> {
        let last = self.last_column(u);
        match self.shape {
            Shape::Constant => vec![],
            Shape::WarmupLine | Shape::StepLine => vec![u.to_vec(), last],
            Shape::StepPair => {
                let second = u.iter().map(|x| f64::from(*x >= self.at_second));
                vec![last, second.collect()]
            }
            _ => vec![last],
        }
    }

    /// How that part changes at `u` with its time constant; 0 for shapes without one.
    #[must_use]
    pub fn unit_part_by_time(&self, u: f64) -> f64 {
        match self.shape {
            Shape::WarmupLine => u * (-u / self.at).exp(),
            _ => 0.0,
        }
    }

    /// The course of that part at `u`, in units of its size; 0 for shapes without one.
    #[must_use]
    pub fn unit_part(&self, u: f64) -> f64 {
        match self.shape {
            Shape::StepLine => f64::from(u >= self.at),
            Shape::WarmupLine => saturation(u, self.at),
            _ => 0.0,
        }
    }

    /// What start-up or a single step adds at `u`, for the shapes that have such a part beside
    /// their growth; 0 for all others.
    #[must_use]
    pub fn passing_part(&self, u: f64) -> f64 {
        let size = self.coefficients.get(2).copied().unwrap_or(0.0);
        size * self.unit_part(u)
    }
}

fn saturation(u: f64, tau: f64) -> f64 {
    1.0 - (-u / tau).exp()
}

const WARMUP_TAU: [f64; 17] = [
    0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.12, 0.15, 0.18, 0.21, 0.25, 0.3, 0.35,
    0.45,
];
const LOGARITHM_TAU: [f64; 6] = [0.002, 0.005, 0.01, 0.02, 0.04, 0.08];
/// Twice as coarse as for a warm-up, whose bend is sharper.
const HYPERBOLA_TAU: [f64; 6] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.3];
/// As fine as for a warm-up alone, or that would win where a large one stands beside a line; not
/// longer, or the line could be part of it.
const WARMUP_LINE_TAU: [f64; 9] = [0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.12];
/// Bends lie at .10, .15, ... of the series: this many for a late onset, one more for a ramp.
const HINGES: usize = 13;
/// Halvings of the distance between places that are tried: to a sixteenth of it.
const REFINED: u32 = 4;
/// A column of size 1 that the others explain but for this is a mix of them.
const LEAST_SQUARE: f64 = 1e-12;
const BEND_FROM: f64 = 0.10;
const BEND_STEP: f64 = 0.05;

/// Fits every shape to `y` over `u` (ascending, 0..1) and returns the best fit of each.
///
/// Least squares: outliers should be filtered before (see [`super::hampel`]).  Autocorrelated
/// residuals do not bias a fit but overstate its support; [`super::choose_shape`] allows for that.
/// Uneven `u` is fine.
/// Degenerate: an empty vector for n < 8; all values equal fit every shape with 0 left.
#[must_use]
pub fn fit_shapes(u: &[f64], y: &[f64]) -> Vec<ShapeFit> {
    let n = u.len().min(y.len());
    if n < 8 {
        return Vec::new();
    }
    let (u, level) = (&u[..n], mean(&y[..n]));
    // Centred values keep their digits; the level goes back into the constant at the end.
    let y: Vec<f64> = y[..n].iter().map(|v| v - level).collect();
    let mut flat = Basis::constant(n);
    let constant = flat.fit(&y);
    let mut fits = Vec::with_capacity(11);
    let one = |shape, at| ShapeFit {
        shape,
        at,
        sse: f64::INFINITY,
        growth: 0.0,
        at_second: 0.0,
        coefficients: Vec::new(),
        residuals: Vec::new(),
    };
    let fill = |into: ShapeFit, fit: LeastSquares| {
        let growth = if into.shape.grows_for_ever() {
            fit.coefficients[1]
        } else {
            0.0
        };
        ShapeFit {
            growth,
            sse: fit.sse,
            coefficients: fit.coefficients,
            residuals: fit.residuals,
            ..into
        }
    };
    fits.push(fill(one(Shape::Constant, 0.0), constant.clone()));

    // Shapes with one column beside the constant.
    let straight = [(Shape::Line, 0.0)];
    let warmups = WARMUP_TAU.map(|tau| (Shape::Warmup, tau));
    let logarithms = LOGARITHM_TAU.map(|tau| (Shape::Logarithm, tau));
    let hyperbolas = HYPERBOLA_TAU.map(|tau| (Shape::Hyperbola, tau));
    let bend = |i: usize| BEND_FROM + BEND_STEP * i as f64;
    let hinges: [_; HINGES] = std::array::from_fn(|i| (Shape::Hinge, bend(i)));
    let ramps: [_; HINGES + 1] = std::array::from_fn(|i| (Shape::RampFlat, bend(i)));
    let families: [&[(Shape, f64)]; 6] = [
        &straight,
        &warmups,
        &logarithms,
        &hyperbolas,
        &hinges,
        &ramps,
    ];
    for family in families {
        let Some((shape, at)) = closest(&flat, u, &constant.residuals, family) else {
            continue;
        };
        let candidate = one(shape, at);
        flat.push(&candidate.last_column(u));
        let fit = flat.fit_from(constant.residuals.clone(), 1);
        flat.truncate(1);
        fits.push(fill(candidate, fit));
    }

    // Shapes with a line and one more column.
    let mut line = Basis::constant(n);
    line.push(u);
    let straight = line.fit(&y);
    let warmups = WARMUP_LINE_TAU.map(|tau| (Shape::WarmupLine, tau));
    let steps: Vec<(Shape, f64)> = (LEVEL..=n - LEVEL)
        .map(|i| (Shape::StepLine, u[i]))
        .collect();
    for family in [warmups.as_slice(), &steps] {
        let Some((shape, at)) = closest(&line, u, &straight.residuals, family) else {
            continue;
        };
        let candidate = one(shape, at);
        line.push(&candidate.last_column(u));
        let mut fit = line.fit_from(straight.residuals.clone(), 2);
        line.truncate(2);
        // The line was already taken off, so it comes on top.
        fit.coefficients[0] += straight.coefficients[0];
        fit.coefficients[1] += straight.coefficients[1];
        fits.push(fill(candidate, fit));
    }

    let sums = Sums::new(&y);
    if let Some((sse, i)) = sums.best_step(n) {
        fits.push(ShapeFit {
            sse,
            ..one(Shape::Step, u[i])
        });
    }
    if let Some((sse, i, j)) = sums.best_pair(n) {
        fits.push(ShapeFit {
            sse,
            at_second: u[j],
            ..one(Shape::StepPair, u[i])
        });
    }
    for fit in &mut fits {
        if let Some(first) = fit.coefficients.first_mut() {
            *first += level;
        }
    }
    fits
}

/// Of candidates with one column beside those of `basis` the one that explains most of `rest`, what
/// these leave of the values; `None` where none may be taken.  Between the neighbours of the best
/// one the place is refined, or what a coarse one leaves of a clean series would be taken for more.
fn closest(
    basis: &Basis,
    u: &[f64],
    rest: &[f64],
    candidates: &[(Shape, f64)],
) -> Option<(Shape, f64)> {
    let mut column = Vec::with_capacity(u.len());
    let mut explains = |shape: Shape, at: f64| {
        column.clear();
        column.extend(u.iter().map(|u| unit_column(shape, at, *u)));
        let along = dot(&column, rest);
        // A step is one upwards.
        if shape == Shape::StepLine && along < 0.0 {
            return -1.0;
        }
        along * along / basis.square(&column).max(LEAST_SQUARE)
    };
    let mut best = (-1.0, 0);
    for (i, &(shape, at)) in candidates.iter().enumerate() {
        let found = explains(shape, at);
        if found > best.0 {
            best = (found, i);
        }
    }
    if best.0 < 0.0 {
        return None;
    }
    let (shape, at) = candidates[best.1];
    if shape == Shape::StepLine || candidates.len() == 1 {
        return Some((shape, at));
    }
    let neighbour = |i: usize| candidates[i.min(candidates.len() - 1)].1;
    let (mut low, mut high) = (neighbour(best.1.saturating_sub(1)), neighbour(best.1 + 1));
    let mut best = (best.0, at);
    // Each half of the way to either neighbour is looked at in its middle.
    for _ in 0..REFINED {
        let (below, above) = (f64::midpoint(low, best.1), f64::midpoint(best.1, high));
        let found = [
            (explains(shape, below), below),
            (explains(shape, above), above),
        ];
        if found[0].0 > best.0 {
            (high, best) = (best.1, found[0]);
        } else if found[1].0 > best.0 {
            (low, best) = (best.1, found[1]);
        } else {
            (low, high) = (below, above);
        }
    }
    Some((shape, best.1))
}

/// The last column of a shape at `u`; 0 for a shape without one beside the constant.
fn unit_column(shape: Shape, at: f64, u: f64) -> f64 {
    match shape {
        Shape::Constant => 0.0,
        Shape::Line => u,
        Shape::Warmup | Shape::WarmupLine => saturation(u, at),
        Shape::Logarithm => (1.0 + u / at).ln(),
        Shape::Hyperbola => u / (u + at),
        Shape::Hinge => (u - at).max(0.0),
        Shape::RampFlat => u.min(at),
        Shape::Step | Shape::StepPair | Shape::StepLine => f64::from(u >= at),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{choose_shape, curve};
    use super::*;

    fn grid(n: u32) -> Vec<f64> {
        (0..n).map(|i| f64::from(i) / f64::from(n - 1)).collect()
    }

    fn winner(y: &[f64], u: &[f64]) -> (Shape, bool) {
        let fits = fit_shapes(u, y);
        let choice = choose_shape(&fits, 0.01, 1.0).expect("fits");
        match choice.leak {
            Some(i) if choice.margin >= 0.0 => (fits[i].shape, true),
            _ => (fits[choice.other].shape, false),
        }
    }

    /// A fixed jitter of about +-.5 without a trend.
    fn jitter(i: usize) -> f64 {
        ((i * 7919) % 101) as f64 / 100.0 - 0.5
    }

    #[test]
    fn each_made_shape_is_recognised() {
        let u = grid(48);
        let make = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
            u.iter()
                .enumerate()
                .map(|(i, &x)| 1e9 + f(x) + 0.4 * jitter(i))
                .collect()
        };
        assert_eq!(winner(&make(&|x| 30.0 * x), &u).0, Shape::Line);
        assert_eq!(
            winner(&make(&|x| 30.0 * (x - 0.4).max(0.0)), &u).0,
            Shape::Hinge
        );
        assert_eq!(winner(&make(&|x| 30.0 * x.min(0.5)), &u).0, Shape::RampFlat);
        assert_eq!(
            winner(&make(&|x| 30.0 * saturation(x, 0.1)), &u).0,
            Shape::Warmup
        );
        assert_eq!(
            winner(&make(&|x| 90.0 * x / (x + 0.06)), &u),
            (Shape::Hyperbola, false)
        );
        assert_eq!(
            winner(&make(&|x| 30.0 * f64::from(x > 0.6)), &u).0,
            Shape::Step
        );
        let two = |x| 30.0 * (f64::from(x > 0.3) + f64::from(x > 0.7));
        assert_eq!(winner(&make(&two), &u).0, Shape::StepPair);
        let both = |x| 9.0 * x + 40.0 * saturation(x, 0.03);
        assert_eq!(winner(&make(&both), &u).0, Shape::WarmupLine);
        assert_eq!(winner(&make(&|_| 0.0), &u), (Shape::Constant, false));
    }

    #[test]
    fn a_step_is_placed_where_the_mean_changes() {
        let u = grid(10);
        let y = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0];
        let fits = fit_shapes(&u, &y);
        let step = fits.iter().find(|f| f.shape == Shape::Step).expect("tried");
        assert!((step.at - u[6]).abs() < 1e-12 && step.sse < 1e-12);
        let drawn = curve(step, &u, &y, 10.0);
        assert!((drawn.value[5] - 1.0).abs() < 1e-9 && (drawn.value[6] - 5.0).abs() < 1e-9);
    }

    #[test]
    fn scaling_the_values_scales_the_growth() {
        let u = grid(20);
        let y: Vec<f64> = u
            .iter()
            .enumerate()
            .map(|(i, x)| 4.0 * x + jitter(i))
            .collect();
        let big: Vec<f64> = y.iter().map(|v| v * 1024.0).collect();
        let (a, b) = (fit_shapes(&u, &y), fit_shapes(&u, &big));
        for (x, y) in a.iter().zip(&b) {
            assert_eq!(x.shape, y.shape);
            assert!((x.growth * 1024.0 - y.growth).abs() < 1e-6);
        }
    }

    #[test]
    fn too_few_points_fit_nothing() {
        assert!(fit_shapes(&[0.0, 1.0], &[1.0, 2.0]).is_empty());
        assert!(choose_shape(&[], 0.0, 1.0).is_none());
    }
}
