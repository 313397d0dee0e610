//! The slope, the curve and the onset that belong to a verdict.

use super::case::Case;
use super::clean::Growth;
use super::rules as r;
use super::{Fit, FitPoint, Judgement, Verdict};
use crate::stats::{self, Shape};
use statrs::distribution::{ContinuousCDF, Normal};

/// Fills them in.
pub(super) fn finish(case: &Case, growth: Option<&Growth>, floor: f64, out: &mut Judgement) {
    let Case {
        blocks,
        cleaned,
        choice,
        fits,
        ..
    } = case;
    let leaking = matches!(out.verdict, Verdict::Leak | Verdict::Suspect);
    let shown = match choice.leak {
        Some(i) if leaking || choice.margin >= r::SHAPE_MARGIN => &fits[i],
        _ => &fits[choice.other],
    };
    let curve = stats::curve(shown, &cleaned.u, &cleaned.low, choice.n_effective);
    let mut value = curve.value;
    out.growth = value[value.len() - 1] - value[0];
    if let (true, Some(g)) = (leaking, growth) {
        out.slope_per_s = g.slope;
        out.slope_low_per_s = g.interval.low;
        out.slope_high_per_s = g.interval.high;
        out.method = g.method;
        out.since_s = Some(g.since_s);
        out.growth = g.slope * (blocks.start_s + blocks.span_s - g.since_s);
        if g.shape == Shape::Line {
            // The line that the reported slope belongs to, not the least-squares one.
            let levels = cleaned
                .low
                .iter()
                .zip(&blocks.t_s)
                .map(|(l, t)| l - g.slope * (t - blocks.start_s));
            let level = stats::median(&levels.skip(cleaned.from).collect::<Vec<_>>());
            for (v, t) in value.iter_mut().zip(&blocks.t_s) {
                *v = level + g.slope * (t - blocks.start_s);
            }
        }
    }
    let first_step = blocks.start_s + fits[choice.other].at * blocks.span_s;
    match out.verdict {
        Verdict::Step => out.since_s = Some(first_step),
        Verdict::Plateau => out.since_s = Some(blocks.start_s),
        _ => {}
    }
    if matches!(out.verdict, Verdict::Step | Verdict::Plateau) && out.growth.abs() < floor {
        out.verdict = Verdict::Steady;
        out.since_s = None;
    }
    let fall = -out.slope_per_s * blocks.span_s;
    if out.verdict == Verdict::Steady && out.slope_high_per_s < 0.0 && fall >= case.least.1 {
        out.verdict = Verdict::Shrinking;
    }
    let reach = Normal::standard().inverse_cdf(f64::midpoint(1.0, r::CONFIDENCE));
    let points = blocks.t_s.iter().zip(value.iter().zip(&curve.error));
    out.fit = Some(Fit {
        shape: shown.shape.name(),
        points: points
            .map(|(&t_s, (&value, error))| FitPoint {
                t_s,
                value,
                low: value - reach * error,
                high: value + reach * error,
            })
            .collect(),
    });
}
