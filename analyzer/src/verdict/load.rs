//! What the load of the machine explains of a growth, and whether a leak is left beside it.
//!
//! Memory that goes up and down with the work of the machine is in use, and grows when the work does.
//! Any two trends correlate, so a common one excuses nothing: a series has to follow the load's ups and
//! downs about both their lines, to come down where the load does, and to have no trend left when the
//! load's part is taken off. A leak for each piece of work never comes down: it grows with the work
//! that was done so far, not with the work being done.

use serde::Serialize;

use super::rules as r;
use super::words::{percent, short};
use super::work::{Course, Work};
use super::{Cells, Evidence, Judgement, Traits, Verdict, judge};
use crate::stats::{self, Follow};

/// What the load has to do with a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Its growth is the load's.
    Growth,
    /// It follows the load, and grows beside that.
    Level,
    /// It grows by about as much for each piece of work, and keeps that.
    Rate,
}

/// What the load of the machine explains of a series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LoadPart {
    /// What it has to do with it.
    pub part: Part,
    /// The kind of work that it follows most closely.
    pub work: &'static str,
    /// What `per_unit` is for: one unit of work a second, or for [`Part::Rate`] one of work.
    pub for_each: &'static str,
    /// Correlation of the two about their lines in time.
    pub r: f64,
    /// Units of the series for each of those.
    pub per_unit: f64,
    /// Work a second at the start of the line through it.
    pub load_first: f64,
    /// Work a second at its end.
    pub load_last: f64,
    /// Share of the growth that the load explains.
    pub share: f64,
    /// Units a second that the series grows beside the load.
    pub rest_per_s: f64,
    /// Lower end of its 95 % interval.
    pub rest_low_per_s: f64,
    /// Upper end.
    pub rest_high_per_s: f64,
}

/// Memory may follow a load at once, or after a while: in stretches.
const LAGS: [f64; 4] = [0.0, 0.5, 1.0, 2.0];

/// Judges one life of a series, with regard to the work that the machine did meanwhile.
///
/// Without work, or where the series has nothing to do with it, this is [`judge`].
#[must_use]
pub fn judge_beside_load(life: &Cells, traits: &Traits, works: &[Work]) -> Judgement {
    let plain = judge(life, traits);
    let judged = !matches!(
        plain.verdict,
        Verdict::TooShort | Verdict::Unjudgeable | Verdict::Reclaimable
    );
    // A trend that taking the load's ups and downs off can show is there before.
    let grew = plain.slope_per_s * life.span_s;
    let called = is_called(plain.verdict);
    if !judged || !(called || grew >= traits.floor.max(r::MIN_QUANTA * life.quantum) && grew > 0.0)
    {
        return plain;
    }
    let count = |rule| stats::index_of(rule, usize::MAX);
    let (most, least) = (count(r::MAX_BLOCKS), count(r::LOAD_STRETCHES));
    // As fine as the coarsest work that is fine enough.
    let known = works
        .iter()
        .map(|work| work.known(life.t_s[0], life.t_s[life.t_s.len() - 1]))
        .filter(|known| *known >= least)
        .min();
    let course = known.and_then(|known| Course::of(life, most.min(known), least, r::START_UP));
    let Some(course) = course else {
        return plain;
    };
    let of_rate = if called {
        Followed::by_work_done(&course, works)
    } else {
        None
    };
    let of_level = Followed::closest(&course, works);
    match (of_rate, of_level) {
        // The work done swings like its rate, a quarter of a wave later: the closer one is meant.
        (Some(rate), level) if level.as_ref().is_none_or(|l| l.follow.r <= rate.follow.r) => {
            rate.tell_rate(plain)
        }
        (_, Some(level)) => level.weigh(life, traits, plain),
        _ => plain,
    }
}

fn is_called(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Leak | Verdict::Suspect)
}

/// A work, the course of a series beside it, and how that follows.
struct Followed<'a> {
    work: &'a Work,
    lag: f64,
    width: f64,
    t_s: Vec<f64>,
    /// The rate of the work in each stretch, `lag` stretches before.
    rate: Vec<f64>,
    /// The line through these at both ends.
    line: (f64, f64),
    follow: Follow,
}

/// What of a work a series may follow: its rate, or what is done so far.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Rate,
    Done,
}

/// A series beside a work, in the stretches for which that is known.
struct Laid {
    t_s: Vec<f64>,
    level: Vec<f64>,
    work: Vec<f64>,
}

impl Laid {
    fn new(course: &Course, work: Vec<f64>) -> Self {
        let known = |values: &[f64]| -> Vec<f64> {
            let pairs = values.iter().zip(&work).filter(|(_, work)| !work.is_nan());
            pairs.map(|(value, _)| *value).collect()
        };
        Self {
            t_s: known(&course.t_s),
            level: known(&course.level),
            work: known(&work),
        }
    }
}

impl<'a> Followed<'a> {
    /// The work that a series follows most closely, where it does so beyond chance.
    fn most_closely(
        course: &Course,
        works: impl Iterator<Item = &'a Work>,
        lags: &[f64],
        side: Side,
    ) -> Option<Self> {
        let mut tried = 0.0;
        let mut best: Option<(f64, &Work, f64)> = None;
        let lay = |work: &Work, lag: f64, side| match side {
            Side::Rate => Laid::new(course, course.rates(work, lag)),
            Side::Done => Laid::new(course, course.done(work)),
        };
        for work in works.filter(|work| course.is_known_to(work)) {
            for lag in lags {
                let Laid {
                    t_s,
                    level,
                    work: x,
                } = lay(work, *lag, side);
                tried += 1.0;
                let r = stats::correlation_about_lines(&t_s, &level, &x);
                if r >= r::FOLLOWS && best.is_none_or(|best| r > best.0) {
                    best = Some((r, work, *lag));
                }
            }
        }
        let (_, work, lag) = best?;
        let laid = lay(work, lag, side);
        let follow = stats::follow(&laid.t_s, &laid.level, &laid.work)?;
        let by_chance = tried * follow.p_levels.max(follow.p_changes);
        let rates = lay(work, lag, Side::Rate);
        (by_chance <= r::FOLLOWS_BY_CHANCE).then(|| Self {
            work,
            lag,
            width: course.width,
            line: stats::ends_of_line(&rates.t_s, &rates.work),
            t_s: rates.t_s,
            rate: rates.work,
            follow,
        })
    }

    /// The load that a series follows, up and down.
    fn closest(course: &Course, works: &'a [Work]) -> Option<Self> {
        let found = Self::most_closely(course, works.iter(), &LAGS, Side::Rate)?;
        let follow = &found.follow;
        (follow.comes_down_beside >= r::COMES_DOWN * follow.per_unit.slope).then_some(found)
    }

    /// The work, done so far, that a series follows: where it grows by as much for each piece of it.
    fn by_work_done(course: &Course, works: &'a [Work]) -> Option<Self> {
        let works = works.iter().filter(|work| !work.by_growth);
        let found = Self::most_closely(course, works, &LAGS[..1], Side::Done)?;
        (found.share() >= r::PER_WORK).then_some(found)
    }

    /// Share of the growth that is explained.
    fn share(&self) -> f64 {
        self.follow.per_unit.slope * self.follow.x_slope / self.follow.y_slope
    }

    /// The judgement of a leak that grows with the work done: the same, with evidence of what makes it.
    fn tell_rate(&self, mut plain: Judgement) -> Judgement {
        let share = self.share();
        let text = format!(
            "its growth follows the work done ({}, r = {:.2} about their lines, {} of it): it keeps some of each piece of work",
            self.work.what,
            self.follow.r,
            percent(share.min(1.0)),
        );
        let rule = Evidence::new("per_work", share, r::PER_WORK, true, text);
        plain.evidence.push(rule);
        plain.load = Some(self.load_part(Part::Rate));
        plain
    }

    /// The rate of the work that the series shows at an instant, over the length of a stretch.
    fn rate(&self, t: f64) -> f64 {
        let (half, late) = (0.5 * self.width, self.lag * self.width);
        // Beyond the edges of what is known it is what is known there.
        let edge = if t < self.t_s[0] {
            self.rate[0]
        } else {
            self.rate[self.rate.len() - 1]
        };
        let (from, to) = (t - late - half, t - late + half);
        self.work.rate(from, to).unwrap_or(edge)
    }

    /// What the load explains of the series at an instant, from the start of its line on.
    fn part_at(&self, t: f64) -> f64 {
        self.follow.per_unit.slope * (self.rate(t) - self.line.0)
    }

    /// The same without the load's own trend: its ups and downs alone.
    fn swing_at(&self, t: f64) -> f64 {
        let trend = self.follow.x_slope * (t - self.t_s[0]);
        self.part_at(t) - self.follow.per_unit.slope * trend
    }

    /// What may be left beside the load, in units a second.
    fn left(&self) -> (f64, f64, f64) {
        let Follow {
            rest,
            x_slope,
            y_slope,
            ..
        } = self.follow;
        let reach = rest.reach(r::CONFIDENCE);
        let most_followed = y_slope - self.follow.between(r::CONFIDENCE).1 * x_slope;
        let (low, high) = (rest.slope - reach, rest.slope + reach);
        (low.min(most_followed), rest.slope, high.max(most_followed))
    }

    /// Whether something is left that neither the error of the load's part nor a part of it that does
    /// not follow in a straight line can be.
    fn leaves_growth(&self) -> bool {
        let (low, rest, _) = self.left();
        let explained = self.follow.per_unit.slope * self.follow.x_slope;
        low > 0.0 && rest >= r::LOAD_SHARE * explained
    }

    fn load_part(&self, part: Part) -> LoadPart {
        let (load_first, load_last) = self.line;
        let (rest_low_per_s, rest_per_s, rest_high_per_s) = self.left();
        LoadPart {
            part,
            work: self.work.what,
            for_each: match part {
                Part::Rate => self.work.unit,
                Part::Growth | Part::Level => self.work.rate_unit,
            },
            r: self.follow.r,
            per_unit: self.follow.per_unit.slope,
            load_first,
            load_last,
            share: self.share(),
            rest_per_s,
            rest_low_per_s,
            rest_high_per_s,
        }
    }

    fn weigh(&self, life: &Cells, traits: &Traits, plain: Judgement) -> Judgement {
        let without = |part_at: &dyn Fn(f64) -> f64| judge(&without(life, part_at), traits);
        let left = without(&|t| self.part_at(t));
        let grows = self.leaves_growth();
        // What only shows beside the load has to show however closely it follows, and with the load's
        // own trend in it too, so that taking the load off cannot make it.
        let shows_anyway = || {
            let (least, most) = self.follow.between(r::CONFIDENCE);
            let scale = 1.0 / self.follow.per_unit.slope;
            let leaks = |part_at: &dyn Fn(f64) -> f64| without(part_at).verdict == Verdict::Leak;
            [least, most]
                .into_iter()
                .all(|b| leaks(&|t| b * scale * self.part_at(t)))
                && leaks(&|t| self.swing_at(t))
        };
        match (plain.verdict, left.verdict) {
            // With the load's part and without it: what is left of the growth is its rate.
            (Verdict::Leak, Verdict::Leak) | (Verdict::Suspect, Verdict::Suspect) if grows => {
                self.told(&plain, left, Part::Level, vec![self.follows(Part::Level)])
            }
            (Verdict::Leak, _) => self.excuse(plain, left),
            (_, Verdict::Leak) if grows && shows_anyway() => {
                self.told(&plain, left, Part::Level, vec![self.follows(Part::Level)])
            }
            (Verdict::Suspect, _) => self.excuse(plain, left),
            _ => plain,
        }
    }

    /// Whether the growth is the load's, and where it is, what that makes of the verdict.
    fn excuse(&self, plain: Judgement, mut left: Judgement) -> Judgement {
        let follow = &self.follow;
        let comes_down = follow.comes_down / follow.per_unit.slope;
        let grows_with_it = follow.y_slope > 0.0 && follow.x_slope > 0.0;
        if !grows_with_it || comes_down < r::COMES_DOWN || self.leaves_growth() {
            return plain;
        }
        let (low, rest, high) = self.left();
        let explained = follow.per_unit.slope * follow.x_slope;
        let open = high / follow.y_slope;
        let nothing = !is_called(left.verdict) || rest < r::LOAD_SHARE * explained;
        let sure = open <= r::BESIDE_LOAD && nothing;
        // What the line through the load leaves may lean either way.
        if sure && (is_called(left.verdict) || left.verdict == Verdict::Shrinking) {
            left.verdict = Verdict::Steady;
        }
        let mut evidence = vec![
            self.follows(Part::Growth),
            Evidence::new(
                "comes_down",
                comes_down,
                r::COMES_DOWN,
                false,
                format!(
                    "where the load fell it came down at {} of the rate at which it follows it",
                    percent(comes_down)
                ),
            ),
            Evidence::new(
                "beside_load",
                open,
                r::BESIDE_LOAD,
                !sure,
                format!(
                    "the load explains {} of its growth; {} to {} of it may be beside the load",
                    percent(self.share()),
                    percent(low / follow.y_slope),
                    percent(open),
                ),
            ),
        ];
        let mut out = if sure {
            self.told(&plain, left, Part::Growth, evidence)
        } else {
            evidence.extend(plain.evidence);
            Judgement {
                verdict: Verdict::Suspect,
                load: Some(self.load_part(Part::Growth)),
                evidence,
                ..plain
            }
        };
        out.would_change = Some(format!(
            "growth that stays when the load ({}) is back where it was, or goes on while it stands still",
            self.work.what
        ));
        out
    }

    /// What is left beside the load as the judgement of the series, with the load's evidence first.
    fn told(
        &self,
        plain: &Judgement,
        mut left: Judgement,
        part: Part,
        first: Vec<Evidence>,
    ) -> Judgement {
        left.evidence.splice(0..0, first);
        let (low, rest, high) = self.left();
        left.slope_low_per_s = left.slope_low_per_s.min(left.slope_per_s + low - rest);
        left.slope_high_per_s = left.slope_high_per_s.max(left.slope_per_s + high - rest);
        (left.first, left.last) = (plain.first, plain.last);
        // The load is in the values that a chart shows.
        for point in left.fit.iter_mut().flat_map(|fit| &mut fit.points) {
            let part = self.part_at(point.t_s);
            point.value += part;
            point.low += part;
            point.high += part;
        }
        left.load = Some(self.load_part(part));
        left
    }

    fn follows(&self, part: Part) -> Evidence {
        let Follow {
            r,
            p_levels,
            p_changes,
            ..
        } = self.follow;
        let p = p_levels.max(p_changes);
        let chance = if p < 0.001 {
            "p below 0.001".to_owned()
        } else {
            format!("p {}", short(p))
        };
        let what = self.work.what;
        let (first, last) = self.line;
        let text = match part {
            Part::Growth => format!(
                "follows the load: {what} {} over the run and this with it, up and down (r = {r:.2} about their lines, {chance})",
                rose(first, last)
            ),
            _ => format!(
                "follows the load up and down ({what}, r = {r:.2} about their lines, {chance}) and is judged without that part"
            ),
        };
        Evidence::new("follows_load", r, r::FOLLOWS, part != Part::Growth, text)
    }
}

/// How the load moved, in words.
fn rose(first: f64, last: f64) -> String {
    let share = (last - first) / first;
    if first <= 0.0 || share > 10.0 {
        "rose from next to nothing".to_owned()
    } else {
        format!("rose by {}", percent(share))
    }
}

/// A series without what something else explains of it at each instant.
fn without(life: &Cells, part_at: impl Fn(f64) -> f64) -> Cells {
    let mut left = life.clone();
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for ((low, median), t) in left.low.iter_mut().zip(&mut left.median).zip(&life.t_s) {
        let part = part_at(*t);
        *low -= part;
        *median -= part;
        min = min.min(*low);
        max = max.max(*median);
    }
    (left.min, left.max) = (min, max);
    left
}
