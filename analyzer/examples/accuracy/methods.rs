//! What is compared: memsoak's rule and the tests that people reach for first.

use crate::case::{Case, Truth};
use memsoak_analyze::series_csv::Series;
use memsoak_analyze::stats;
use memsoak_analyze::verdict::{Cells, Judgement, Verdict, judge_lives};

/// What a method says of a series.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Call {
    /// It is a leak.
    pub(crate) leak: bool,
    /// It may be one: memsoak's weaker word, which counts as "no leak" in every figure but its own.
    pub(crate) suspect: bool,
    /// Slope in units per hour.
    pub(crate) slope: f64,
    /// Ends of the slope's 95 % interval.
    pub(crate) low: f64,
    /// The upper one.
    pub(crate) high: f64,
    /// A baseline's own measure of how sure it is: R2 for OLS, z for Mann-Kendall.
    pub(crate) strength: f64,
}

/// The methods, in the order of [`all`].
pub(crate) const NAMES: [&str; 6] = [
    "memsoak",
    "memsoak, through cells",
    "memsoak, nameless",
    "OLS, p < .01 and R2 >= .5",
    "Mann-Kendall, p < .01",
    "Mann-Kendall with Hamed-Rao",
];

/// The rule on all samples with source and restarts, as `trends --csv` applies it.
pub(crate) const MEMSOAK: usize = 0;
/// The same from times and values alone.
pub(crate) const NAMELESS: usize = 2;
/// Where the textbook tests begin.
pub(crate) const BASELINES: usize = 3;

/// Level of the baselines' tests.
const ALPHA: f64 = 0.01;
/// Share of the variance a line has to explain before the OLS baseline calls it a leak.
const R2: f64 = 0.5;
/// The baselines say nothing on fewer samples.
const FEWEST: usize = 12;
/// Level of every interval, that of memsoak's own.
const CONFIDENCE: f64 = 0.95;

/// A case without its samples, and what each of [`NAMES`] says of it.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) part: String,
    pub(crate) kind: String,
    pub(crate) truth: Truth,
    pub(crate) rate_per_hour: Option<f64>,
    pub(crate) calls: [Call; 6],
}

/// Asks every method.
pub(crate) fn judge(case: Case) -> Judged {
    let [ols, mk, hamed_rao] = baselines(&case.series);
    let calls = [
        memsoak(&case.series),
        memsoak_through_cells(&case.series),
        memsoak(&case.nameless().series),
        ols,
        mk,
        hamed_rao,
    ];
    Judged {
        part: case.part,
        kind: case.kind,
        truth: case.truth,
        rate_per_hour: case.rate_per_hour,
        calls,
    }
}

/// memsoak's rule on all samples.
pub(crate) fn memsoak(series: &Series) -> Call {
    call_of(&series.judge())
}

/// memsoak's rule on at most 240 cells a life, which is what is left of a series while a recording
/// is read.
pub(crate) fn memsoak_through_cells(series: &Series) -> Call {
    let mut from = 0;
    let ends = series.restarts.iter().copied().chain([series.t_s.len()]);
    let lives: Vec<Cells> = ends
        .map(|to| {
            let life = Cells::from_samples(&series.t_s[from..to], &series.value[from..to]);
            from = to;
            life
        })
        .collect();
    call_of(&judge_lives(&lives, &series.traits()))
}

fn call_of(judgement: &Judgement) -> Call {
    Call {
        leak: judgement.verdict == Verdict::Leak,
        suspect: judgement.verdict == Verdict::Suspect,
        slope: 3600.0 * judgement.slope_per_s,
        low: 3600.0 * judgement.slope_low_per_s,
        high: 3600.0 * judgement.slope_high_per_s,
        strength: f64::NAN,
    }
}

/// The three textbook tests on the whole series; they know of no restarts and no sources.
///
/// OLS takes every sample, which costs n. The Mann-Kendall family costs n squared, so it takes the
/// medians of at most 240 cells of equal time; up to 240 samples these are the samples.
pub(crate) fn baselines(series: &Series) -> [Call; 3] {
    let (t, v): (Vec<f64>, Vec<f64>) = series
        .t_s
        .iter()
        .zip(&series.value)
        .filter(|(t, v)| t.is_finite() && v.is_finite())
        .unzip();
    if t.len() < FEWEST {
        return [Call::default(); 3];
    }
    let cells = Cells::from_samples(&t, &v);
    [
        ols(&t, &v),
        mann_kendall(&cells, false),
        mann_kendall(&cells, true),
    ]
}

/// A rising line, significant and close enough.
fn ols(t: &[f64], v: &[f64]) -> Call {
    let Some(line) = stats::ols(t, v) else {
        return Call::default();
    };
    let interval = line.interval(CONFIDENCE);
    let rises = line.slope > 0.0 && line.p < ALPHA;
    Call {
        leak: rises && line.r2 >= R2,
        suspect: false,
        slope: 3600.0 * line.slope,
        low: 3600.0 * interval.low,
        high: 3600.0 * interval.high,
        strength: if rises { line.r2 } else { 0.0 },
    }
}

/// A significant rise, with Sen's slope; the variance as for independent samples, or inflated by
/// their autocorrelation after Hamed and Rao.
fn mann_kendall(cells: &Cells, hamed_rao: bool) -> Call {
    let (t, y) = (&cells.t_s, &cells.median);
    let Some(sen) = stats::theil_sen(t, y) else {
        return Call::default();
    };
    let mut score = stats::mann_kendall(y);
    if hamed_rao {
        // The factor can come out negative for alternating values; the variance cannot.
        score = score.inflated(stats::hamed_rao_factor(t, y, sen.slope).max(1e-6));
    }
    let interval = sen.interval(score.variance, CONFIDENCE);
    Call {
        leak: score.p_rise < ALPHA,
        suspect: false,
        slope: 3600.0 * sen.slope,
        low: 3600.0 * interval.low,
        high: 3600.0 * interval.high,
        strength: score.z,
    }
}
