//! Two recordings beside each other: what grows faster than it did in the base.
//!
//! A healthy run of the same load tells growth that is usual from growth that is not (Matias et al.,
//! ISSRE 2014): what warms up, fills or creeps does so in both.

use std::collections::BTreeMap;

use memsoak_schema::{Error, Recording, Trend};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::findings::{Analysis, Judged};
use crate::load::{Index, SeriesKey, SeriesName};
use crate::stats::benjamini_hochberg;
use crate::verdict::{Evidence, Verdict};
use crate::words::percent;

/// Share of false ones among what is said to grow faster (Benjamini & Hochberg 1995).
const FALSE_DISCOVERY: f64 = 0.05;

/// Two runs of one program differ in their pace, and slopes are good to some 5 % each: a difference
/// under this share of the base's rate is none.
const SAME_PACE: f64 = 0.10;

/// What warms up grows the faster on average the shorter the run: runs of unlike length are not held
/// against a growth, nor for it, beyond this ratio.
const UNLIKE_SPANS: f64 = 2.0;

/// The confidence of the slopes' intervals.
const CONFIDENCE: f64 = 0.95;

/// The same thing in any boot: what it is called, without pids and numbers that another boot gives
/// out anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    source: String,
    name: String,
    /// Module, mapped file: what tells two of the same name apart.
    part: Vec<String>,
    metric: String,
}

impl Identity {
    fn of(name: &SeriesName) -> Self {
        let part = ["module", "file"].iter().filter_map(|label| {
            let value = name.labels.get(*label)?;
            Some(
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), ToOwned::to_owned),
            )
        });
        Self {
            source: name.source.clone(),
            name: name.name.clone(),
            part: part.collect(),
            metric: name.metric.clone(),
        }
    }
}

/// How fast something grows, in units a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The slope.
    pub slope: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The verdict on it; the gravest where several are added up.
    pub verdict: Verdict,
}

impl Pace {
    const STILL: Self = Self {
        slope: 0.0,
        low: 0.0,
        high: 0.0,
        verdict: Verdict::Steady,
    };

    fn of(one: &Judged) -> Option<Self> {
        let judgement = &one.judgement;
        let known = !matches!(judgement.verdict, Verdict::TooShort | Verdict::Unjudgeable);
        known.then_some(Self {
            slope: judgement.slope_per_s,
            low: judgement.slope_low_per_s,
            high: judgement.slope_high_per_s,
            verdict: judgement.verdict,
        })
    }

    /// Both together: independent errors add up as squares.
    fn plus(self, other: Self) -> Self {
        let slope = self.slope + other.slope;
        Self {
            slope,
            low: slope - (self.slope - self.low).hypot(other.slope - other.low),
            high: slope + (self.high - self.slope).hypot(other.high - other.slope),
            verdict: self.verdict.min(other.verdict),
        }
    }
}

/// How a growth compares with the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// Faster, beyond what chance does among so many.
    Faster,
    /// It grew in the base too, as fast or faster.
    Alike,
    /// The base had no such thing.
    New,
    /// The intervals are too wide, or the runs too unlike in length, to say.
    Undecided,
}

/// What a series grows beyond the base, in units a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beside {
    /// The growth of the thing, all that bear its name together.
    pub here: Pace,
    /// Its growth in the base; `None` where the base had no such thing.
    pub base: Option<Pace>,
    /// Difference of the slopes.
    pub excess: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// What that means.
    pub course: Course,
}

/// What grew in the base.
#[derive(Debug)]
pub struct Baseline {
    paces: BTreeMap<Identity, Pace>,
    /// Length of the boot that stands for it.
    pub span_s: f64,
    /// Whether any of its series was long enough for a verdict.
    pub could_judge: bool,
}

impl Baseline {
    /// Takes the longest boot of a recording as the base.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn of(recording: &Recording, analysis: &Analysis) -> Result<Self, Error> {
        let boot = longest_boot(&analysis.index);
        let mut paces: BTreeMap<_, _> = things(&analysis.index, &analysis.judged, boot)
            .into_iter()
            .map(|(identity, thing)| (identity, thing.pace))
            .collect();
        for key in analysis.still.iter().filter(|key| key.boot == boot) {
            let name = SeriesName::of(recording, &analysis.index, *key)?;
            paces.entry(Identity::of(&name)).or_insert(Pace::STILL);
        }
        Ok(Self {
            paces,
            span_s: span_s(&analysis.index, boot),
            could_judge: analysis.could_judge(),
        })
    }

    /// Whether a boot of this length can be held against it.
    #[must_use]
    pub fn is_as_long_as(&self, span_s: f64) -> bool {
        (self.span_s / UNLIKE_SPANS..=self.span_s * UNLIKE_SPANS).contains(&span_s)
    }
}

/// The boot that stands for a recording: the longest one, of equals the first.
fn longest_boot(index: &Index) -> usize {
    (0..index.boots.len())
        .rev()
        .max_by(|a, b| span_s(index, *a).total_cmp(&span_s(index, *b)))
        .unwrap_or(0)
}

fn span_s(index: &Index, boot: usize) -> f64 {
    index.boots.get(boot).map_or(0.0, |boot| boot.span_s())
}

/// What bears one name.
struct Thing {
    pace: Pace,
    /// The place of the series that stands for it: the sum, or the one that grows most.
    head: usize,
}

/// The things of a boot that vary, those of one name added up.
fn things(index: &Index, judged: &[Judged], boot: usize) -> BTreeMap<Identity, Thing> {
    let kin = &index.kin;
    let is_sum = |key: SeriesKey| kin.group(key.entity).is_some();
    let mut found: BTreeMap<Identity, Thing> = BTreeMap::new();
    for (at, one) in judged.iter().enumerate() {
        let Some(pace) = Pace::of(one).filter(|_| one.key.boot == boot) else {
            continue;
        };
        let new = Thing { pace, head: at };
        match found.get_mut(&Identity::of(&one.name)) {
            None => {
                found.insert(Identity::of(&one.name), new);
            }
            // The sum has its members in it.
            Some(old) => match (is_sum(judged[old.head].key), is_sum(one.key)) {
                (true, false) => {}
                (false, true) => *old = new,
                _ => {
                    let most = judged[old.head].judgement.slope_per_s;
                    if one.judgement.slope_per_s > most {
                        old.head = at;
                    }
                    old.pace = old.pace.plus(pace);
                }
            },
        }
    }
    found
}

/// Difference of two independent slopes and its interval, by the method of variance estimates
/// recovery (Zou & Donner, Statistics in Medicine 27, 2008): the errors of either side add up as
/// squares.
fn difference(here: Pace, base: Pace) -> (f64, f64, f64) {
    let excess = here.slope - base.slope;
    let low = excess - (here.slope - here.low).hypot(base.high - base.slope);
    let high = excess + (here.high - here.slope).hypot(base.slope - base.low);
    (excess, low, high)
}

/// One-sided p of an excess whose 95 % interval reaches down this far.
fn p_of(excess: f64, low: f64) -> f64 {
    let normal = Normal::standard();
    let error = (excess - low) / normal.inverse_cdf(f64::midpoint(1.0, CONFIDENCE));
    if error > 0.0 {
        normal.sf(excess / error)
    } else {
        f64::from(excess <= 0.0)
    }
}

/// Holds every series of a recording against the base and lets that weigh with its verdict:
/// suspects that outgrow the base are leaks, and what grew as fast in the base is one word milder,
/// since a run that is known to be healthy did the same.
pub(crate) fn weigh(index: &Index, judged: &mut [Judged], baseline: &Baseline) {
    for boot in 0..index.boots.len() {
        let alike_in_length = baseline.is_as_long_as(span_s(index, boot));
        let things = things(index, judged, boot);
        let mut found: BTreeMap<Identity, Beside> = things
            .into_iter()
            .map(|(identity, thing)| {
                let beside = beside(thing.pace, baseline.paces.get(&identity).copied());
                (identity, beside)
            })
            .collect();
        let p: Vec<f64> = found
            .values()
            .map(|beside| match beside.base {
                Some(_) => p_of(beside.excess, beside.low),
                None => 1.0,
            })
            .collect();
        let beyond_chance = benjamini_hochberg(&p, FALSE_DISCOVERY);
        for (beside, beyond_chance) in found.values_mut().zip(beyond_chance) {
            beside.course = course(beside, beyond_chance, alike_in_length);
        }
        for one in judged.iter_mut().filter(|one| one.key.boot == boot) {
            one.beside = found.get(&Identity::of(&one.name)).copied();
            settle(one);
        }
    }
}

fn beside(here: Pace, base: Option<Pace>) -> Beside {
    let (excess, low, high) = difference(here, base.unwrap_or(Pace::STILL));
    Beside {
        here,
        base,
        excess,
        low,
        high,
        course: Course::New,
    }
}

fn course(beside: &Beside, beyond_chance: bool, alike_in_length: bool) -> Course {
    let Some(base) = beside.base else {
        return Course::New;
    };
    let least = SAME_PACE * base.slope.max(0.0);
    let outgrows = beyond_chance && beside.low > 0.0 && beside.excess > least;
    // A still base is no matter of its length.
    let comparable = alike_in_length || base == Pace::STILL;
    match (outgrows, base.low > 0.0) {
        _ if !comparable => Course::Undecided,
        (true, _) => Course::Faster,
        (false, true) => Course::Alike,
        (false, false) => Course::Undecided,
    }
}

/// Lets the comparison weigh with the verdict of a series that is called.
fn settle(one: &mut Judged) {
    let called = matches!(one.judgement.verdict, Verdict::Leak | Verdict::Suspect);
    let Some(beside) = one.beside.filter(|_| called) else {
        return;
    };
    let judgement = &mut one.judgement;
    let share = beside
        .base
        .filter(|base| base.slope > 0.0)
        .map(|base| beside.here.slope / base.slope);
    let (passed, text) = match beside.course {
        Course::Faster => (
            true,
            match share {
                Some(times) if times < 100.0 => format!(
                    "it grows {times:.1} times as fast as in the baseline"
                ),
                _ => "it did not grow like this in the baseline".to_owned(),
            },
        ),
        Course::Alike => (
            false,
            format!(
                "it grows as fast in the baseline: here at {} of the rate there",
                percent(share.unwrap_or(1.0))
            ),
        ),
        Course::New => (true, "the baseline has no such series".to_owned()),
        Course::Undecided => (
            true,
            "the baseline does not tell: a slope is too uncertain, or the runs are of unlike length"
                .to_owned(),
        ),
    };
    match (beside.course, judgement.verdict) {
        (Course::Faster, Verdict::Suspect) => {
            judgement.verdict = Verdict::Leak;
            judgement.would_change = None;
            judgement.too_early = None;
        }
        (Course::Alike, verdict) => {
            judgement.verdict = match verdict {
                Verdict::Leak => Verdict::Suspect,
                _ => Verdict::Steady,
            };
            judgement.would_change = Some("growth beyond that of the baseline".to_owned());
        }
        _ => {}
    }
    judgement.evidence.push(Evidence {
        rule: "baseline",
        measured: beside.excess,
        threshold: SAME_PACE * beside.base.map_or(0.0, |base| base.slope.max(0.0)),
        passed,
        text,
    });
}

/// The series of the longest boot that were compared, one for each thing: what grows faster before
/// the rest, things before totals, memory before numbers of things, the largest excess first.  Places in [`Analysis::judged`].
#[must_use]
pub fn by_excess(analysis: &Analysis) -> Vec<usize> {
    let index = &analysis.index;
    let mut heads: Vec<(usize, f64)> = things(index, &analysis.judged, longest_boot(index))
        .into_values()
        .filter_map(|thing| Some((thing.head, analysis.judged[thing.head].beside?.excess)))
        .collect();
    let rank = |at: usize| {
        let one = &analysis.judged[at];
        let faster = one.beside.is_some_and(|b| b.course == Course::Faster);
        let total = one.name.trend == Trend::Total;
        (!faster, total, one.name.quantity.unit())
    };
    heads.sort_by(|a, b| rank(a.0).cmp(&rank(b.0)).then(b.1.total_cmp(&a.1)));
    heads.into_iter().map(|(head, _)| head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(slope: f64, reach: f64) -> Pace {
        Pace {
            slope,
            low: slope - reach,
            high: slope + reach,
            verdict: Verdict::Steady,
        }
    }

    #[test]
    fn errors_of_a_difference_and_of_a_sum_add_up_as_squares() {
        // By hand: 3 and 4 make 5.
        let (excess, low, high) = difference(pace(10.0, 3.0), pace(2.0, 4.0));
        assert!((excess - 8.0).abs() < 1e-12);
        assert!((low - 3.0).abs() < 1e-12 && (high - 13.0).abs() < 1e-12);
        let both = pace(10.0, 3.0).plus(pace(2.0, 4.0));
        assert!((both.low - 7.0).abs() < 1e-12 && (both.high - 17.0).abs() < 1e-12);
    }

    #[test]
    fn an_interval_that_ends_at_zero_has_a_p_of_one_fortieth() {
        assert!((p_of(2.0, 0.0) - 0.025).abs() < 1e-9);
        assert!(p_of(1.0, 1.0) < 1e-12 && (p_of(0.0, 0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn growth_is_faster_alike_new_or_undecided() {
        let found = |here, base| course(&beside(here, base), true, true);
        assert_eq!(found(pace(5.0, 0.1), Some(pace(1.0, 0.1))), Course::Faster);
        assert_eq!(found(pace(5.0, 0.1), Some(Pace::STILL)), Course::Faster);
        assert_eq!(found(pace(5.0, 0.1), Some(pace(5.2, 0.1))), Course::Alike);
        // Surely faster, but by less than two runs of one program differ.
        assert_eq!(found(pace(5.3, 0.01), Some(pace(5.0, 0.01))), Course::Alike);
        assert_eq!(
            found(pace(5.0, 0.1), Some(pace(1.0, 9.0))),
            Course::Undecided
        );
        assert_eq!(found(pace(5.0, 0.1), None), Course::New);
        let unlike = beside(pace(5.0, 0.1), Some(pace(1.0, 0.1)));
        assert_eq!(course(&unlike, true, false), Course::Undecided);
        let still = beside(pace(5.0, 0.1), Some(Pace::STILL));
        assert_eq!(course(&still, true, false), Course::Faster);
    }
}
