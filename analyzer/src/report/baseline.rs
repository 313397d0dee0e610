//! What is said of growth beside a baseline: in the report, and as a list of its own.

use std::fmt::Write;
use std::path::Path;

use memsoak_schema::Recording;
use serde::Serialize;

use super::charts::{quantity_of, rate_words};
use super::json::file_name;
use super::markdown::code;
use crate::compare::{Baseline, Beside, Course, Pace, by_excess};
use crate::findings::{Analysis, Judged, analyse_beside};
use crate::load::Index;
use crate::verdict::Verdict;
use crate::words::hours;

/// The recording that growth is held against.
#[derive(Debug, Serialize)]
pub struct BaselineEntry {
    /// The file.
    pub file: String,
    /// Length of its longest boot, which stands for it, in hours.
    pub span_hours: f64,
    /// Whether it is about as long as what is compared: at most twice as long, at least half.
    pub comparable: bool,
    /// Whether any of its series was long enough to judge.
    pub judged: bool,
}

/// How the growth of a series compares with the baseline, in units an hour.
#[derive(Debug, Serialize)]
pub struct BesideEntry {
    /// `faster`, `alike`, `new` or `undecided`.
    pub course: Course,
    /// Slope of all that bears the name, as one.
    pub slope_per_hour: f64,
    /// The same in the baseline; `None` where it has no such thing.
    pub base_slope_per_hour: Option<f64>,
    /// Lower end of its 95 % interval.
    pub base_low: Option<f64>,
    /// Upper end.
    pub base_high: Option<f64>,
    /// What was said of it there.
    pub base_verdict: Option<Verdict>,
    /// Difference of both slopes.
    pub excess_per_hour: f64,
    /// Lower end of its 95 % interval.
    pub excess_low: f64,
    /// Upper end.
    pub excess_high: f64,
}

/// `memsoak-analyze compare`: what grows faster than in the base.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// `memsoak-compare/1`.
    pub format: &'static str,
    /// `leak` where something leaks that did not in the base, `suspect`, `clean`, or `inconclusive`.
    pub verdict: &'static str,
    /// The base.
    pub base: BaselineEntry,
    /// The other recording.
    pub new: String,
    /// The things that vary in it, the largest excess first.
    pub series: Vec<ComparedEntry>,
}

/// A series of a comparison.
#[derive(Debug, Serialize)]
pub struct ComparedEntry {
    /// Name of the series.
    pub series: String,
    /// Its source.
    pub source: String,
    /// The bare kernel word.
    pub name: String,
    /// The metric.
    pub metric: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its verdict, with the base in view.
    pub verdict: Verdict,
    /// How it compares.
    #[serde(flatten)]
    pub beside: BesideEntry,
}

pub(super) fn entry(file: &Path, baseline: &Baseline, index: &Index) -> BaselineEntry {
    let mut spans = index.boots.iter().map(|boot| boot.span_s());
    BaselineEntry {
        file: file_name(file),
        span_hours: baseline.span_s / 3600.0,
        comparable: spans.any(|span| baseline.is_as_long_as(span)),
        judged: baseline.could_judge,
    }
}

pub(super) fn beside_entry(beside: &Beside) -> BesideEntry {
    let of_base = |value: fn(&Pace) -> f64| beside.base.as_ref().map(|base| 3600.0 * value(base));
    BesideEntry {
        course: beside.course,
        slope_per_hour: 3600.0 * beside.here.slope,
        base_slope_per_hour: of_base(|base| base.slope),
        base_low: of_base(|base| base.low),
        base_high: of_base(|base| base.high),
        base_verdict: beside.base.map(|base| base.verdict),
        excess_per_hour: 3600.0 * beside.excess,
        excess_low: 3600.0 * beside.low,
        excess_high: 3600.0 * beside.high,
    }
}

impl BaselineEntry {
    /// The baseline as a line of the report.
    pub(super) fn in_words(&self) -> String {
        let mut text = format!(
            "beside the baseline {}, {}",
            code(&self.file),
            hours(self.span_hours)
        );
        if !self.judged {
            text += ": too short to judge, so it says nothing";
        } else if !self.comparable {
            text += ": what moves there is not held against this run, whose length is too unlike";
        }
        text
    }
}

/// Analyses both recordings and compares their growth.
///
/// # Errors
/// When one of them cannot be read.
pub fn compare(
    base: &Path,
    new: &Path,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<Comparison> {
    let baseline = super::read_baseline(base, &mut progress)?;
    let analysis = analyse_beside(&Recording::open(new)?, Some(&baseline), progress)?;
    let series = by_excess(&analysis);
    Ok(Comparison {
        format: "memsoak-compare/1",
        verdict: if baseline.could_judge {
            analysis.verdict()
        } else {
            "inconclusive"
        },
        base: entry(base, &baseline, &analysis.index),
        new: file_name(new),
        series: series
            .into_iter()
            .filter_map(|at| compared(&analysis, at))
            .collect(),
    })
}

fn compared(analysis: &Analysis, at: usize) -> Option<ComparedEntry> {
    let Judged {
        name,
        judgement,
        beside,
        ..
    } = &analysis.judged[at];
    Some(ComparedEntry {
        series: name.id.clone(),
        source: name.source.clone(),
        name: name.name.clone(),
        metric: name.metric.clone(),
        unit: name.quantity.unit(),
        verdict: judgement.verdict,
        beside: beside_entry(beside.as_ref()?),
    })
}

impl ComparedEntry {
    /// Whether it is worth a line: it grows faster, or it is called.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.beside.course == Course::Faster
            || matches!(self.verdict, Verdict::Leak | Verdict::Suspect)
    }
}

impl Comparison {
    /// The comparison for a terminal; of all series, or of those that grow faster or are called.
    #[must_use]
    pub fn in_words(&self, all: bool) -> String {
        let mut text = format!("verdict: {}\n{}\n", self.verdict, self.base.in_words());
        let told: Vec<_> = self
            .series
            .iter()
            .filter(|one| all || one.is_told())
            .collect();
        for one in &told {
            let quantity = quantity_of(one.unit);
            let beside = &one.beside;
            let course = match beside.course {
                Course::Faster => "faster",
                Course::Alike => "alike",
                Course::New => "new",
                Course::Undecided => "undecided",
            };
            let there = match beside.base_slope_per_hour {
                Some(slope) => format!("{}/h", quantity.format(slope)),
                None => "none".to_owned(),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{course:<9} {:<11} {} more ({} there)  {}",
                one.verdict.as_str(),
                rate_words(
                    quantity,
                    beside.excess_per_hour,
                    beside.excess_low,
                    beside.excess_high
                ),
                there,
                one.series
            );
        }
        let _ = writeln!(
            text,
            "{} series vary, {} of them grow faster",
            self.series.len(),
            self.series
                .iter()
                .filter(|one| one.beside.course == Course::Faster)
                .count()
        );
        text
    }
}
