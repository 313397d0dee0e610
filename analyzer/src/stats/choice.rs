//! Which of the fitted shapes a series has, and its curve.

use super::least_squares::{Basis, dot};
use super::shapes::{Shape, ShapeFit};
use super::{mad_sigma, mean};

/// Which shape the data support.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Index of the best shape that grows for ever; `None` when none of them rises.
    pub leak: Option<usize>,
    /// Index of the best other shape.
    pub other: usize,
    /// How much better the leak shape is, in BIC with the penalties; negative infinity without one.
    pub margin: f64,
    /// Number of independent values that the residuals amount to.
    pub n_effective: f64,
    /// Scaled MAD of the residuals of the closest shape.
    pub sigma: f64,
    /// Those residuals.
    pub residuals: Vec<f64>,
}

/// Compares the shapes by `BIC = ne ln((SSE + floor) / n) + k ln ne`.
///
/// `ne = max(8, n (1 - rho) / (1 + rho))` with rho the lag-1 autocorrelation (0 to .95) of the
/// residuals of the closest shape allows for autocorrelated samples.  `floor = n (.29 q)^2`, the
/// rounding of values that are multiples of `quantum`, keeps exact staircases from being
/// over-read.  A shape that flattens gets `flat_penalty` in its favour, since a false leak costs
/// more than a late one.
/// Degenerate: `None` for an empty list.
/// Reference: Schwarz 1978; trend or step: Reeves et al. 2007; Lund & Reeves 2002.
#[must_use]
pub fn choose_shape(fits: &[ShapeFit], quantum: f64, flat_penalty: f64) -> Option<Choice> {
    let with_residuals = fits.iter().filter(|f| !f.residuals.is_empty());
    let closest = &with_residuals
        .min_by(|a, b| a.sse.total_cmp(&b.sse))?
        .residuals;
    let total = fits.iter().find(|f| f.shape == Shape::Constant)?.sse;
    let n = closest.len() as f64;
    let rho = (dot(&closest[1..], closest) / dot(closest, closest).max(1e-300)).clamp(0.0, 0.95);
    let n_effective = (n * (1.0 - rho) / (1.0 + rho)).max(8.0);
    let floor = n * (quantum * 0.29).powi(2) + 1e-12 * total;
    let penalty = |f: &ShapeFit| {
        if f.shape.flattens() {
            flat_penalty
        } else {
            0.0
        }
    };
    let bic = |f: &ShapeFit| {
        n_effective * ((f.sse + floor) / n).ln() + f.shape.parameters() * n_effective.ln()
            - penalty(f)
    };
    let best = |wanted: &dyn Fn(&ShapeFit) -> bool| {
        fits.iter()
            .enumerate()
            .filter(|(_, f)| wanted(f))
            .map(|(i, f)| (bic(f), i))
            .min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let leak = best(&|f| f.shape.grows_for_ever() && f.growth > 0.0);
    let other = best(&|f| !f.shape.grows_for_ever())?;
    Some(Choice {
        leak: leak.map(|l| l.1),
        other: other.1,
        margin: leak.map_or(f64::NEG_INFINITY, |l| other.0 - l.0),
        n_effective,
        sigma: mad_sigma(closest),
        residuals: closest.clone(),
    })
}

/// A fitted shape as a chart draws it.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The fit at each point.
    pub value: Vec<f64>,
    /// Standard error of the fit at each point.
    pub error: Vec<f64>,
}

/// The curve of a fitted shape with its standard error: the square root of leverage times
/// residual variance times `n / n_effective`.
///
/// The place of a bend or step counts as known, so the error there is somewhat too small.
/// Degenerate: no error (0) where the shape has as many parameters as there are points.
#[must_use]
pub fn curve(fit: &ShapeFit, u: &[f64], y: &[f64], n_effective: f64) -> Curve {
    let n = u.len().min(y.len());
    let (u, level) = (&u[..n], mean(&y[..n]));
    let centred: Vec<f64> = y[..n].iter().map(|v| v - level).collect();
    let mut basis = Basis::constant(n);
    for column in fit.columns(u) {
        basis.push(&column);
    }
    let solved = basis.fit(&centred);
    let free = n as f64 - basis.columns() as f64;
    let variance = if free > 0.0 { solved.sse / free } else { 0.0 };
    let inflate = (n as f64 / n_effective.max(1.0)).max(1.0);
    let error = basis
        .leverage()
        .iter()
        .map(|h| (h * variance * inflate).sqrt())
        .collect();
    let value = y
        .iter()
        .zip(&solved.residuals)
        .map(|(y, r)| y - r)
        .collect();
    Curve { value, error }
}
