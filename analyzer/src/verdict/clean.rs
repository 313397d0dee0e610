//! A series freed of waves, dips and spikes, and the part of it that grows.

use super::cells::Blocks;
use super::rules as r;
use crate::stats::{self, Choice, Harmonic, Shape, ShapeFit, SlopeInterval};

/// A series freed of waves, dips and spikes, with its times scaled.
pub(super) struct Cleaned {
    /// Block times scaled to 0..1 over the whole span.
    pub(super) u: Vec<f64>,
    /// The lower envelope.
    pub(super) low: Vec<f64>,
    /// The wave that was taken off.
    pub(super) wave: Option<Harmonic>,
    /// Index of the first block after start-up.
    pub(super) from: usize,
}

impl Cleaned {
    /// Cleans blocks, of which the first `start_up` share of the time counts as start-up.
    pub(super) fn new(blocks: &Blocks, start_up: f64) -> Self {
        let u: Vec<f64> = blocks
            .t_s
            .iter()
            .map(|t| (t - blocks.start_s) / blocks.span_s)
            .collect();
        let mut low = blocks.level.clone();
        let wave = stats::harmonic(&u, &blocks.median).filter(|h| {
            h.explained > r::PERIODIC_SHARE && h.sse < stats::best_step_pair(&blocks.median)
        });
        if let Some(h) = &wave {
            for (l, w) in low.iter_mut().zip(&h.wave) {
                *l -= w;
            }
        }
        let low = stats::hampel(&low, stats::index_of(r::HAMPEL_REACH, 99), r::HAMPEL_LIMIT);
        let from = u.partition_point(|x| *x < start_up);
        Self { u, low, wave, from }
    }
}

/// The growth that the best leak shape sees.
pub(super) struct Growth {
    pub(super) shape: Shape,
    /// Over the run, by least squares.
    pub(super) size: f64,
    /// The slope to report.
    pub(super) slope: f64,
    /// The slope that the rules compare: that of the fitted shape where it differs.
    pub(super) rate: f64,
    pub(super) interval: SlopeInterval,
    pub(super) method: &'static str,
    pub(super) since_s: f64,
    /// The envelope without the part that passes: a warm-up or one step.
    pub(super) rest: Vec<f64>,
    /// Index of the first block that grows: after start-up, and after a late onset.
    pub(super) onset: usize,
}

/// A late onset has to leave this many blocks for a slope and a test of their own.
const BLOCKS_AFTER_ONSET: usize = 6;

impl Growth {
    pub(super) fn new(fit: &ShapeFit, blocks: &Blocks, cleaned: &Cleaned, overall: f64) -> Self {
        let Cleaned { u, low, from, .. } = cleaned;
        let passing = |x: &f64| fit.passing_part(*x);
        let rest: Vec<f64> = low.iter().zip(u).map(|(l, x)| l - passing(x)).collect();
        let mut growth = Self {
            shape: fit.shape,
            size: fit.growth,
            slope: fit.growth / blocks.span_s,
            rate: 0.0,
            interval: SlopeInterval {
                low: 0.0,
                high: 0.0,
            },
            method: "least_squares",
            since_s: blocks.start_s,
            rest,
            onset: *from,
        };
        match fit.shape {
            Shape::Line => {
                growth.slope = overall;
                growth.method = "theil_sen";
            }
            Shape::Hinge => {
                growth.size *= 1.0 - fit.at;
                growth.since_s += fit.at * blocks.span_s;
                let after = u.partition_point(|x| *x < fit.at).max(*from);
                if u.len() - after >= BLOCKS_AFTER_ONSET {
                    growth.onset = after;
                    let slope = stats::median_slope(&blocks.t_s[after..], &low[after..]);
                    growth.slope = slope.unwrap_or(growth.slope);
                    growth.method = "theil_sen_after_onset";
                }
            }
            _ => {}
        }
        growth.rate = growth.slope;
        if fit.shape == Shape::Line {
            // Shapes with a start-up were tried and lost, so that it takes part: a tenth more time is
            // a sixth less error.  The rules compare with the later rate, as the later half does.
            growth.slope = stats::median_slope(&blocks.t_s, low).unwrap_or(overall);
        }
        let column = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { u.iter().map(|x| f(*x)).collect() };
        // What passes leans on the line, so its size counts as unknown, and the time constant of
        // a warm-up too.
        let passing = match fit.shape {
            Shape::StepLine => vec![column(&|x| fit.unit_part(x))],
            Shape::WarmupLine => vec![
                column(&|x| fit.unit_part(x)),
                column(&|x| fit.unit_part_by_time(x)),
            ],
            _ => Vec::new(),
        };
        let first = match fit.shape {
            Shape::Line | Shape::StepLine => 0,
            _ => growth.onset,
        };
        let mut columns: Vec<&[f64]> = vec![&blocks.t_s[first..]];
        columns.extend(passing.iter().map(|column| &column[first..]));
        if fit.shape == Shape::WarmupLine
            && let Some(refined) = stats::slope_error(&columns, &low[first..])
        {
            growth.slope = refined.slope;
        }
        growth.interval = interval(growth.slope, &columns, &low[first..]);
        growth
    }
}

/// The interval of a slope over the first of `columns`.
pub(super) fn interval(slope: f64, columns: &[&[f64]], y: &[f64]) -> SlopeInterval {
    let reach = stats::slope_error(columns, y).map_or(f64::INFINITY, |e| e.reach(r::CONFIDENCE));
    let reach = if reach.is_finite() {
        reach
    } else {
        slope.abs()
    };
    SlopeInterval {
        low: slope - reach,
        high: slope + reach,
    }
}

/// Growth that can only be seen where a larger one is over: the stretch after a step, or the later
/// part beside a warm-up or fill, as blocks of its own with what the other shape explains taken
/// off.  `None` where too little is left.
pub(super) fn later_part(
    blocks: &Blocks,
    cleaned: &Cleaned,
    choice: &Choice,
    other: &ShapeFit,
) -> Option<Blocks> {
    let cut = match other.shape {
        Shape::Warmup | Shape::Hyperbola => r::WARMUP_OVER,
        Shape::RampFlat => other.at,
        Shape::Step => other.at,
        Shape::StepPair => other.at_second,
        _ => return None,
    };
    let count = blocks.t_s.len();
    let from = cleaned.u.partition_point(|x| *x < cut);
    if 1.0 - cut < r::LATER_PART || ((count - from) as f64) < r::MIN_BLOCKS {
        return None;
    }
    let curve = stats::curve(other, &cleaned.u, &cleaned.low, choice.n_effective).value;
    let end = curve[count - 1];
    let wave = |i: usize| cleaned.wave.as_ref().map_or(0.0, |w| w.wave[i]);
    let level: Vec<f64> = (from..count)
        .map(|i| cleaned.low[i] - curve[i] + end)
        .collect();
    let median = (from..count)
        .map(|i| blocks.median[i] - wave(i) - curve[i] + end)
        .collect();
    let start_s = f64::midpoint(blocks.t_s[from - 1], blocks.t_s[from]);
    let (min, max) = level
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| {
            (a.min(*x), b.max(*x))
        });
    Some(Blocks {
        t_s: blocks.t_s[from..].to_vec(),
        median,
        start_s,
        span_s: blocks.start_s + blocks.span_s - start_s,
        quantum: blocks.quantum,
        n: blocks.n,
        first: level[0],
        last: blocks.last,
        min,
        max,
        level,
    })
}
