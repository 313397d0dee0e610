//! One life before the rules: they are asked in order, and the first that fails decides.

use super::cells::Blocks;
use super::change;
use super::clean::{Cleaned, Growth, interval, later_part};
use super::outcome;
use super::rules as r;
use super::smallest::Detectable;
use super::wander::Tests;
use super::words::{hours, percent, short};
use super::{Evidence, Judgement, TooEarly, Verdict};
use crate::stats::{self, Choice, Shape, ShapeFit};

/// Judges one life, without regard to what is known of the series.
pub(super) fn examine(blocks: &Blocks, floor: f64) -> Judgement {
    let n = blocks.n as f64;
    if n < r::MIN_SAMPLES {
        let text = format!("{n} samples are too few");
        let rule = Evidence::new("min_samples", n, r::MIN_SAMPLES, false, text);
        return Judgement {
            would_change: Some(format!("{} more samples", r::MIN_SAMPLES - n)),
            ..Judgement::plain(Verdict::TooShort, Some(blocks), vec![rule])
        };
    }
    if blocks.max <= blocks.min {
        return Judgement {
            would_change: Some("any change of the value".to_owned()),
            ..Judgement::plain(Verdict::Steady, Some(blocks), Vec::new())
        };
    }
    // Times so far apart that their distance is no number lie in no stretch.
    let count = if blocks.span_s.is_finite() {
        blocks.t_s.len()
    } else {
        0
    };
    if (count as f64) < r::MIN_BLOCKS {
        let text = format!("only {count} stretches of the time have samples");
        let rule = Evidence::new("min_blocks", count as f64, r::MIN_BLOCKS, false, text);
        return Judgement {
            would_change: Some("a recording with fewer gaps".to_owned()),
            ..Judgement::plain(Verdict::TooShort, Some(blocks), vec![rule])
        };
    }
    look(blocks, floor, r::START_UP)
        .unwrap_or_else(|| Judgement::plain(Verdict::TooShort, Some(blocks), Vec::new()))
}

/// Looks at the whole of a life, and where something that ended hides its later part, at that.
fn look(blocks: &Blocks, floor: f64, start_up: f64) -> Option<Judgement> {
    let cleaned = Cleaned::new(blocks, start_up);
    let fits = stats::fit_shapes(&cleaned.u, &cleaned.low);
    let choice = stats::choose_shape(&fits, blocks.quantum, r::FLAT_PENALTY)?;
    let t = &blocks.t_s[cleaned.from..];
    let low = &cleaned.low[cleaned.from..];
    let slope = stats::median_slope(t, low).unwrap_or(0.0);
    let growth = choice
        .leak
        .map(|i| Growth::new(&fits[i], blocks, &cleaned, slope));
    let detectable = Detectable::new(blocks, &cleaned, &choice, floor);
    let rest = growth.as_ref().map_or(low, |g| &g.rest[cleaned.from..]);
    let tests = Tests::new(blocks, &cleaned, rest, growth.as_ref());
    let overall = interval(slope, &[t], low);
    let mut out = Judgement {
        slope_per_s: slope,
        slope_low_per_s: overall.low,
        slope_high_per_s: overall.high,
        method: "theil_sen",
        p_drift: tests.drift.p,
        persistence: tests.way.ratio,
        smallest_growth: detectable.growth,
        ..Judgement::plain(Verdict::Steady, Some(blocks), Vec::new())
    };
    let case = Case {
        blocks,
        cleaned: &cleaned,
        choice: &choice,
        fits: &fits,
        least: detectable.least,
        tests,
    };
    if let Some(growth) = &growth {
        out.verdict = case.follow_rules(growth, &mut out);
    } else {
        out.would_change = Some("growth: nothing rises here that goes on".to_owned());
    }
    let hidden = start_up > 0.0 && matches!(out.verdict, Verdict::Step | Verdict::Plateau);
    if hidden && let Some(later) = case.later_leak(floor) {
        return Some(later);
    }
    outcome::finish(&case, growth.as_ref(), floor, &mut out);
    Some(out)
}

/// Everything that the rules look at.
pub(super) struct Case<'a> {
    pub(super) blocks: &'a Blocks,
    pub(super) cleaned: &'a Cleaned,
    pub(super) choice: &'a Choice,
    pub(super) fits: &'a [ShapeFit],
    /// The growth that counts as any, with the rule that says so.
    pub(super) least: (&'static str, f64),
    pub(super) tests: Tests,
}

/// What one rule says: its evidence, and the verdict where it fails.
pub(super) type Ruling = (Evidence, Verdict);

/// The rules after the choice of shape, in order; `None` where one does not apply.
const AFTER_SHAPE: [fn(&Case, &Growth) -> Option<Ruling>; 11] = [
    |case, growth| case.is_large_enough(growth),
    |case, growth| case.still_grows(growth),
    |case, growth| case.rises_late(growth),
    |case, growth| case.keeps_its_rate(growth),
    |case, growth| case.exceeds_the_step(growth),
    |case, growth| case.exceeds_the_wave(growth),
    |case, growth| case.persists(growth),
    |case, growth| case.ends_near_its_top(growth),
    |case, growth| case.is_surely_positive(growth),
    |case, growth| case.drifts(growth),
    |case, growth| case.is_no_walk(growth),
];

impl Case<'_> {
    /// Applies the rules to a growth in order, writing down each; the first that fails decides.
    fn follow_rules(&self, growth: &Growth, out: &mut Judgement) -> Verdict {
        let shape = self.has_leak_shape(growth);
        // Where the leak shape loses by next to nothing, the other rules are still asked: a series
        // that meets them all is undecided, not healthy.
        let wins = shape.passed;
        let margin = shape.measured;
        let undecided = !wins && growth.slope > 0.0 && margin >= r::SHAPE_MARGIN - r::UNDECIDED;
        let because = change::after(self, growth, &shape);
        out.evidence.push(shape);
        if !wins && !undecided {
            out.would_change = Some(because);
            return self.without_leak_shape();
        }
        for rule in AFTER_SHAPE {
            let Some((evidence, otherwise)) = rule(self, growth) else {
                continue;
            };
            let failed = !evidence.passed;
            if failed {
                out.would_change = Some(change::after(self, growth, &evidence));
            }
            out.evidence.push(evidence);
            if failed {
                let maybe = otherwise == Verdict::Suspect && growth.interval.low > 0.0;
                return match (otherwise, undecided) {
                    (Verdict::Suspect, false) if maybe => Verdict::Suspect,
                    (Verdict::Suspect, false) => Verdict::Steady,
                    (_, true) => self.without_leak_shape(),
                    (otherwise, false) => otherwise,
                };
            }
        }
        if !undecided {
            return Verdict::Leak;
        }
        out.would_change = Some(because);
        // What may as well not grow at all is no suspect.
        if growth.interval.low <= 0.0 {
            return self.without_leak_shape();
        }
        let other = self.fits[self.choice.other].shape;
        if other.flattens() {
            let (done, needed) = (1.0, r::LONGER_RUN);
            out.too_early = Some(TooEarly { done, needed });
            let text = format!(
                "growing, too early to say: growth that ends fits as well as growth that does not; {} times the {} so far are needed",
                short(needed),
                hours(self.blocks.span_s)
            );
            out.evidence
                .push(Evidence::new("longer_run", done, needed, false, text));
        }
        Verdict::Suspect
    }

    /// The same rules on the part after what hides a leak, where they call one.
    fn later_leak(&self, floor: f64) -> Option<Judgement> {
        let other = &self.fits[self.choice.other];
        let part = later_part(self.blocks, self.cleaned, self.choice, other)?;
        let mut found = look(&part, floor, 0.0)?;
        if found.verdict != Verdict::Leak {
            return None;
        }
        let share = part.span_s / self.blocks.span_s;
        let text = format!(
            "judged on the last {} of the time, after the {}",
            percent(share),
            other.shape.words()
        );
        let rule = Evidence::new("later_part", share, r::LATER_PART, true, text);
        found.evidence.insert(0, rule);
        found.first = self.blocks.first;
        // What was taken off as the tail of the other shape may have been leak too.
        let from = self.blocks.t_s.len() - part.t_s.len();
        let as_seen = stats::median_slope(&part.t_s, &self.cleaned.low[from..]);
        let reach = found.slope_high_per_s - found.slope_per_s;
        found.slope_high_per_s = as_seen.map_or(found.slope_high_per_s, |slope| {
            found.slope_high_per_s.max(slope + reach)
        });
        Some(found)
    }

    fn has_leak_shape(&self, growth: &Growth) -> Evidence {
        let margin = self.choice.margin;
        let (leak, other) = (
            growth.shape.words(),
            self.fits[self.choice.other].shape.words(),
        );
        let (better, worse) = if margin >= 0.0 {
            (leak, other)
        } else {
            (other, leak)
        };
        let text = format!(
            "{better} fits better than {worse}, by {} BIC",
            short(margin.abs())
        );
        let wins = margin >= r::SHAPE_MARGIN && growth.slope > 0.0;
        Evidence::new("shape_margin", margin, r::SHAPE_MARGIN, wins, text)
    }

    fn is_large_enough(&self, growth: &Growth) -> Option<Ruling> {
        let (rule, least) = self.least;
        let text = format!(
            "grew by {}, counts from {} on",
            short(growth.size),
            short(least)
        );
        let large = growth.size >= least;
        Some((
            Evidence::new(rule, growth.size, least, large, text),
            Verdict::Steady,
        ))
    }

    /// Times and values of the later half, in which growth has to go on.
    fn later_half<'b>(&'b self, growth: &'b Growth) -> (&'b [f64], &'b [f64]) {
        let from = self.cleaned.from;
        let half = from + (self.blocks.t_s.len() - from) / 2;
        // A step in the later half is no growth that goes on: it is taken off first.  A warm-up is
        // not, since what is left of it late is what the rule looks for.
        let going = if growth.shape == Shape::StepLine {
            &growth.rest
        } else {
            &self.cleaned.low
        };
        (&self.blocks.t_s[half..], &going[half..])
    }

    fn still_grows(&self, growth: &Growth) -> Option<Ruling> {
        let (t, y) = self.later_half(growth);
        let late = stats::median_slope(t, y).unwrap_or(0.0);
        let share = late / growth.rate;
        let text = format!(
            "the later half grows at {} of the whole rate",
            percent(share)
        );
        let still = share >= r::STILL_GROWING;
        let rule = Evidence::new("still_growing", share, r::STILL_GROWING, still, text);
        Some((
            rule,
            if late > 0.0 {
                Verdict::Plateau
            } else {
                Verdict::Steady
            },
        ))
    }

    fn rises_late(&self, growth: &Growth) -> Option<Ruling> {
        let (t, y) = self.later_half(growth);
        let z = stats::mann_kendall(y).z;
        let text = format!("the later half rises with a Mann-Kendall z of {}", short(z));
        let rises = stats::median_slope(t, y).unwrap_or(0.0) > 0.0;
        let otherwise = if rises {
            Verdict::Plateau
        } else {
            Verdict::Steady
        };
        Some((
            Evidence::new("late_z", z, r::LATE_Z, z >= r::LATE_Z, text),
            otherwise,
        ))
    }

    fn keeps_its_rate(&self, growth: &Growth) -> Option<Ruling> {
        if growth.shape != Shape::WarmupLine {
            return None;
        }
        let (t, y) = self.later_half(growth);
        let count = self.blocks.t_s.len() - self.cleaned.from;
        let quarter = count * 3 / 4 - count / 2;
        let before = stats::median_slope(&t[..=quarter], &y[..=quarter]).unwrap_or(0.0);
        let from = quarter.saturating_sub(1);
        let tail = stats::median_slope(&t[from..], &y[from..]).unwrap_or(0.0);
        let text = format!(
            "after the warm-up the last quarter grows at {}/h, the one before at {}/h",
            short(3600.0 * tail),
            short(3600.0 * before)
        );
        let least = r::TAIL_RATE * before;
        Some((
            Evidence::new("tail_rate", tail, least, tail >= least, text),
            Verdict::Plateau,
        ))
    }

    fn exceeds_the_step(&self, growth: &Growth) -> Option<Ruling> {
        (growth.shape == Shape::StepLine).then(|| {
            let share = growth.size / stats::range(&self.cleaned.low);
            let text = format!(
                "the growth is {} of the range, the rest a step",
                percent(share)
            );
            let enough = share >= r::STEP_SHARE;
            (
                Evidence::new("step_share", share, r::STEP_SHARE, enough, text),
                Verdict::Step,
            )
        })
    }

    fn exceeds_the_wave(&self, growth: &Growth) -> Option<Ruling> {
        let wave = self.cleaned.wave.as_ref()?;
        let (rule, least) = if wave.cycles >= r::SLOW_WAVE_CYCLES {
            ("wave_share", r::WAVE_SHARE)
        } else {
            ("slow_wave_share", r::SLOW_WAVE_SHARE)
        };
        let share = growth.size / stats::range(&wave.wave);
        let text = format!("the growth is {} of the height of a wave", percent(share));
        Some((
            Evidence::new(rule, share, least, share >= least, text),
            Verdict::Steady,
        ))
    }

    fn persists(&self, _: &Growth) -> Option<Ruling> {
        let ratio = self.tests.way.ratio;
        let text = format!("the net rise is {} of the way up and down", percent(ratio));
        let enough = ratio >= r::PERSISTENCE;
        Some((
            Evidence::new("persistence", ratio, r::PERSISTENCE, enough, text),
            Verdict::Steady,
        ))
    }

    fn ends_near_its_top(&self, _: &Growth) -> Option<Ruling> {
        let under = self.tests.way.below_top;
        let text = format!("it ends {} of its range under its top", percent(under));
        let near = under <= r::BELOW_TOP;
        Some((
            Evidence::new("below_top", under, r::BELOW_TOP, near, text),
            Verdict::Steady,
        ))
    }

    fn drifts(&self, _: &Growth) -> Option<Ruling> {
        let p = self.tests.drift.p;
        let text = if p < 0.001 {
            "without a drift it would rise like this with p below 0.001".to_owned()
        } else {
            format!(
                "without a drift it would rise like this with p {}",
                short(p)
            )
        };
        let narrow = p <= r::DRIFT_NARROW;
        let otherwise = if narrow {
            Verdict::Suspect
        } else {
            Verdict::Steady
        };
        Some((
            Evidence::new("drift", p, r::DRIFT, p <= r::DRIFT, text),
            otherwise,
        ))
    }

    fn is_surely_positive(&self, growth: &Growth) -> Option<Ruling> {
        let share = growth.interval.low / growth.slope;
        let text = format!(
            "the lower end of the slope's interval is {} of the slope",
            percent(share)
        );
        let above = growth.interval.low > 0.0;
        let rule = Evidence::new("interval", share, r::INTERVAL, above, text);
        Some((rule, Verdict::Steady))
    }

    /// The verdict where a shape that stops growing explains the series better.
    fn without_leak_shape(&self) -> Verdict {
        let other = &self.fits[self.choice.other];
        let rises = other.coefficients.get(1).is_none_or(|b| *b > 0.0);
        match other.shape {
            Shape::Step | Shape::StepPair => Verdict::Step,
            shape if shape.flattens() && rises => Verdict::Plateau,
            _ => Verdict::Steady,
        }
    }
}
