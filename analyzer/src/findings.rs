//! From judged series to findings: one leak is one finding, and the series that only mirror it
//! stand under it.

use std::collections::BTreeMap;

use memsoak_schema::{Error, Recording, Trend};

use crate::ledger::{Ledger, read_ledgers};
use crate::load::{Index, Quantity, SeriesKey, SeriesName, judged_series};
use crate::stats::benjamini_hochberg;
use crate::verdict::{Cells, Judgement, Traits, Verdict, judge};

/// Share of false discoveries among the drift tests of a recording (Benjamini & Hochberg 1995):
/// thousands of series are judged at once.
const FALSE_DISCOVERY: f64 = 0.05;

/// A total is explained by its parts when they make up at least this share of its slope: the larger
/// half of a growth has an owner, and naming the total beside it would say the same twice.
const EXPLAINED: f64 = 0.5;

/// A judged series that is not constant.
#[derive(Debug)]
pub struct Judged {
    /// Which series.
    pub key: SeriesKey,
    /// What it is called.
    pub name: SeriesName,
    /// What was found.
    pub judgement: Judgement,
}

impl Judged {
    fn is_called(&self) -> bool {
        matches!(self.judgement.verdict, Verdict::Leak | Verdict::Suspect)
    }

    /// Slope in units an hour.
    pub fn slope_per_hour(&self) -> f64 {
        self.judgement.slope_per_s * 3600.0
    }
}

/// One leak, with the series that it explains.
#[derive(Debug)]
pub struct Finding {
    /// The series that stands for it, as a place in [`Analysis::judged`].
    pub head: usize,
    /// The series that mirror it.
    pub explains: Vec<usize>,
    /// Its share of the growth of the total that it is a part of, where that total grows.
    pub share_of_growth: Option<f64>,
    /// Hours until MemAvailable is used up at this slope.
    pub eta_hours: Option<f64>,
}

/// All that was judged.
#[derive(Debug)]
pub struct Analysis {
    /// What the recording holds besides values.
    pub index: Index,
    /// How MemTotal is used over time, by boot.
    pub ledgers: Vec<Option<Ledger>>,
    /// Every judged series that is not constant, in order of source, entity and metric.
    pub judged: Vec<Judged>,
    /// How many series have which verdict, constant ones included.
    pub by_verdict: BTreeMap<Verdict, u64>,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
}

impl Analysis {
    /// How many series were judged.
    pub fn series(&self) -> u64 {
        self.by_verdict.values().sum()
    }

    /// Whether any series was long enough for a verdict.
    pub fn could_judge(&self) -> bool {
        self.by_verdict.iter().any(|(verdict, n)| {
            *n > 0 && !matches!(verdict, Verdict::TooShort | Verdict::Unjudgeable)
        })
    }

    /// The word for the whole: the worst verdict among the findings.
    pub fn verdict(&self) -> &'static str {
        let any = |verdict| {
            self.findings
                .iter()
                .any(|finding| self.judged[finding.head].judgement.verdict == verdict)
        };
        if any(Verdict::Leak) {
            "leak"
        } else if any(Verdict::Suspect) {
            "suspect"
        } else if self.could_judge() {
            "clean"
        } else {
            "inconclusive"
        }
    }
}

/// Judges every series of a recording.
///
/// # Errors
/// When the file is damaged.
pub fn analyse(recording: &Recording, mut progress: impl FnMut(&str)) -> Result<Analysis, Error> {
    progress("ticks");
    let index = Index::read(recording)?;
    let mut judged = Vec::new();
    let mut by_verdict: BTreeMap<Verdict, u64> = BTreeMap::new();
    let mut damage = None;
    judged_series(recording, &index, &mut progress, |key, cells| {
        if damage.is_some() {
            return;
        }
        match judge_one(recording, &index, key, &cells) {
            Ok(Some(one)) => judged.push(one),
            Ok(None) => *by_verdict.entry(constant(&cells)).or_default() += 1,
            Err(error) => damage = Some(error),
        }
    })?;
    if let Some(error) = damage {
        return Err(error);
    }
    control_false_discoveries(&mut judged);
    for one in &judged {
        *by_verdict.entry(one.judgement.verdict).or_default() += 1;
    }
    progress("ledger");
    let ledgers = read_ledgers(recording, &index)?;
    let available: Vec<Option<f64>> = ledgers
        .iter()
        .map(|ledger| ledger.as_ref().and_then(|ledger| ledger.available))
        .collect();
    let findings = group(&judged, &available);
    Ok(Analysis {
        index,
        ledgers,
        judged,
        by_verdict,
        findings,
    })
}

fn constant(cells: &Cells) -> Verdict {
    judge(cells, &Traits::default()).verdict
}

fn judge_one(
    recording: &Recording,
    index: &Index,
    key: SeriesKey,
    cells: &Cells,
) -> Result<Option<Judged>, Error> {
    if cells.max <= cells.min {
        return Ok(None);
    }
    let name = SeriesName::of(recording, index, key)?;
    let mut traits = Traits::of_source(&name.id, f64::midpoint(cells.min, cells.max));
    if name.quantity == Quantity::Count {
        traits.floor = 0.0;
    }
    traits.reclaimable |= name.reclaimable;
    // A life that covers less than half of what was watched, or was to be watched, is a suspect at
    // most: a job that grew and ended gave its memory back, and a young one may still be warming up.
    traits.planned_span_s = index
        .boots
        .get(key.boot)
        .map(|boot| boot.planned_s.unwrap_or(0.0).max(boot.span_s()));
    let judgement = judge(cells, &traits);
    Ok(Some(Judged {
        key,
        name,
        judgement,
    }))
}

/// Leaks whose drift is not significant among so many tests become suspects, or steady where the
/// interval of the slope says that they may as well not grow.
fn control_false_discoveries(judged: &mut [Judged]) {
    let tested: Vec<usize> = (0..judged.len())
        .filter(|at| judged[*at].judgement.p_drift < 1.0)
        .collect();
    let p: Vec<f64> = tested
        .iter()
        .map(|at| judged[*at].judgement.p_drift)
        .collect();
    for (at, holds) in tested
        .into_iter()
        .zip(benjamini_hochberg(&p, FALSE_DISCOVERY))
    {
        let judgement = &mut judged[at].judgement;
        if judgement.verdict == Verdict::Leak && !holds {
            judgement.verdict = if judgement.slope_low_per_s > 0.0 {
                Verdict::Suspect
            } else {
                Verdict::Steady
            };
        }
    }
}

fn group(judged: &[Judged], available: &[Option<f64>]) -> Vec<Finding> {
    // The series of one entity are one thing; a scalar stands alone.
    let mut things: BTreeMap<(usize, i64, i64, i64), Vec<usize>> = BTreeMap::new();
    for (at, one) in judged.iter().enumerate() {
        if one.is_called() {
            let key = one.key;
            let metric = if key.entity == 0 { key.metric } else { 0 };
            things
                .entry((key.boot, key.source, key.entity, metric))
                .or_default()
                .push(at);
        }
    }
    let mut findings: Vec<Finding> = things
        .into_values()
        .filter_map(|mut members| {
            members.sort_by(|a, b| weight(&judged[*b]).total_cmp(&weight(&judged[*a])));
            let (head, explains) = members.split_first()?;
            Some(Finding {
                head: *head,
                explains: explains.to_vec(),
                share_of_growth: None,
                eta_hours: None,
            })
        })
        .collect();
    fold_totals(judged, &mut findings);
    for finding in &mut findings {
        let head = &judged[finding.head];
        finding.share_of_growth = share_of_growth(judged, head);
        if head.name.quantity == Quantity::Bytes {
            finding.eta_hours = available
                .get(head.key.boot)
                .copied()
                .flatten()
                .map(|bytes| bytes / head.slope_per_hour())
                .filter(|hours| hours.is_finite() && *hours >= 0.0);
        }
    }
    findings.sort_by(|a, b| {
        let rank = |finding: &Finding| {
            let head = &judged[finding.head];
            (
                head.judgement.verdict != Verdict::Leak,
                head.name.trend == Trend::Total,
            )
        };
        rank(a)
            .cmp(&rank(b))
            .then_with(|| weight(&judged[b.head]).total_cmp(&weight(&judged[a.head])))
    });
    findings
}

/// What matters more: memory before numbers of things, then the larger growth.
fn weight(one: &Judged) -> f64 {
    let growth = one.judgement.growth.max(0.0);
    match one.name.quantity {
        Quantity::Bytes => 1.0 + growth,
        // A thing weighs less than any byte, more things more than fewer.
        Quantity::Count => growth / (1.0 + growth),
    }
}

fn is_of_same_thing(one: SeriesKey, other: SeriesKey) -> bool {
    (one.boot, one.source, one.entity) == (other.boot, other.source, other.entity)
        && (one.entity != 0 || one.metric == other.metric)
}

fn is_part_of(part: &Judged, total: &Judged) -> bool {
    part.key.boot == total.key.boot
        && !part.name.part_of.is_empty()
        && part.name.trend != Trend::Total
        && (part.name.part_of == total.name.id || part.name.part_of == total.name.part_of)
}

/// Puts a total under the largest of its parts when the parts that leak explain it.
fn fold_totals(judged: &[Judged], findings: &mut Vec<Finding>) {
    let totals: Vec<usize> = findings
        .iter()
        .map(|finding| finding.head)
        .filter(|head| judged[*head].name.trend == Trend::Total)
        .collect();
    for total in totals {
        let slope = judged[total].judgement.slope_per_s;
        let parts: Vec<(usize, f64)> = findings
            .iter()
            .enumerate()
            .filter(|(_, finding)| finding.head != total)
            .filter_map(|(at, finding)| {
                // Of a thing that leaks all that grows counts, also what was too little by itself
                // to be called: the page tables of a process whose anonymous memory leaks.
                let head = judged[finding.head].key;
                let of_total: f64 = judged
                    .iter()
                    .filter(|one| is_of_same_thing(one.key, head))
                    .filter(|one| is_part_of(one, &judged[total]))
                    .map(|one| one.judgement.slope_per_s.max(0.0))
                    .sum();
                (of_total > 0.0).then_some((at, of_total))
            })
            .collect();
        let explained: f64 = parts.iter().map(|(_, slope)| slope).sum();
        let largest = parts.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((largest, _)) = largest
            && explained >= EXPLAINED * slope
        {
            findings[*largest].explains.push(total);
            findings.retain(|finding| finding.head != total);
        }
    }
}

fn share_of_growth(judged: &[Judged], head: &Judged) -> Option<f64> {
    let total = judged
        .iter()
        .find(|one| one.key.boot == head.key.boot && one.name.id == head.name.part_of)?;
    let growth = total.judgement.last - total.judgement.first;
    (growth > 0.0).then(|| (head.judgement.growth / growth).clamp(0.0, 1.0))
}
