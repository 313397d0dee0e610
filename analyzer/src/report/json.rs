//! report.json: names that scripts depend on.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::baseline::{BaselineEntry, BesideEntry, beside_entry};
use super::diagnoses::{DiagnosisEntry, ExhaustionEntry};
use super::experiments::ExperimentEntry;
use super::load::{FollowsEntry, LoadEntry};
use super::marks::PhasesEntry;
use crate::findings::{Analysis, CallSite, Finding, Judged as JudgedSeries, Suspect};
use crate::load::{Index, Quantity};
use crate::onset::Onset;
use crate::verdict::{Evidence, Verdict};

/// Events in the report at the most; the recording has all of them.
const MOST_EVENTS: usize = 200;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `memsoak-report/1`.
    pub format: &'static str,
    /// `leak`, `suspect`, `clean` or `inconclusive`.
    pub verdict: &'static str,
    /// What was analysed, by boot.
    pub recordings: Vec<RecordingEntry>,
    /// The recording that the growth is held against, where one was given.
    pub baseline: Option<BaselineEntry>,
    /// The findings, the worst first.
    pub findings: Vec<FindingEntry>,
    /// The series that would be called but for the load of the machine.
    pub follows_load: Vec<FollowsEntry>,
    /// How the memory is used.
    pub ledger: LedgerEntry,
    /// The totals that grow, and who has them.
    pub attribution: Vec<AttributionEntry>,
    /// Conditions that need no trend, the worst first.
    pub diagnoses: Vec<DiagnosisEntry>,
    /// When memory runs out under all that grows together, for the last boot.
    pub exhaustion: Vec<ExhaustionEntry>,
    /// Growth between marks, for each boot that has any.
    pub phases: Vec<PhasesEntry>,
    /// What was done to the machine on purpose, and what it showed.
    pub experiments: Vec<ExperimentEntry>,
    /// Marks and other things that happened, in order of time.
    pub events: Vec<Event>,
    /// How many more the recording has.
    pub events_left_out: usize,
    /// How much of each source there is.
    pub coverage: Vec<CoverageEntry>,
    /// How many series were judged.
    pub judged: Judged,
    /// The smallest leak that could have been seen.
    pub smallest_detectable: SmallestDetectable,
    /// Charts of the whole, by boot.
    pub overview: Vec<ChartEntry>,
}

/// A chart that was drawn; report.json has its path alone.
#[derive(Clone, Debug, Serialize)]
#[serde(into = "String")]
pub struct ChartEntry {
    /// Where it lies, relative to the report.
    pub path: String,
    /// What it shows, for who does not see it.
    pub shows: String,
}

impl From<ChartEntry> for String {
    fn from(chart: ChartEntry) -> Self {
        chart.path
    }
}

/// One boot of a recording.
#[derive(Debug, Serialize)]
pub struct RecordingEntry {
    /// The file.
    pub file: String,
    /// Node name.
    pub host: String,
    /// Boot id.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// Architecture.
    pub arch: String,
    /// Wall time of the first tick, RFC 3339.
    pub start: Option<String>,
    /// Wall time of the last tick.
    pub end: Option<String>,
    /// Length in hours.
    pub span_hours: f64,
    /// Ticks in the whole recording.
    pub ticks: u64,
    /// Stretches without ticks.
    pub gaps: Vec<Gap>,
}

/// A stretch without ticks.
#[derive(Debug, Serialize)]
pub struct Gap {
    /// Seconds from the start of the boot's recording.
    pub from_s: f64,
    /// Wall time.
    pub from: Option<String>,
    /// Wall time.
    pub to: Option<String>,
    /// Length in seconds.
    pub seconds: f64,
    /// Why.
    pub reason: String,
}

/// A finding.
#[derive(Debug, Serialize)]
pub struct FindingEntry {
    /// From 1.
    pub rank: usize,
    /// `leak` or `suspect`.
    pub verdict: Verdict,
    /// Name of the series.
    pub series: String,
    /// Its source.
    pub source: String,
    /// The entity as it stands in `series`.
    pub entity: String,
    /// The bare kernel word.
    pub name: String,
    /// What is known of the entity.
    pub labels: serde_json::Map<String, serde_json::Value>,
    /// The metric.
    pub metric: String,
    /// Its unit.
    pub unit: &'static str,
    /// Slope in units an hour.
    pub slope_per_hour: f64,
    /// Lower end of its 95 % interval.
    pub slope_low: f64,
    /// Upper end.
    pub slope_high: f64,
    /// Growth over the run.
    pub growth: f64,
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Wall time of the onset.
    pub since: Option<String>,
    /// Length of the judged span in hours.
    pub span_hours: f64,
    /// Share of the growth of the total that it is a part of.
    pub share_of_growth: Option<f64>,
    /// Hours until MemAvailable is used up at this slope.
    pub eta_hours: Option<f64>,
    /// The same at the steepest slope of the interval: the soonest.
    pub eta_low_hours: Option<f64>,
    /// The same at the flattest: the latest; none where the interval holds no growth.
    pub eta_high_hours: Option<f64>,
    /// What happened when it began.
    pub onset: Option<Onset>,
    /// How the slope was found.
    pub method: &'static str,
    /// It grows, and a warm-up cannot be told from a leak yet.
    pub too_early: bool,
    /// What would change the verdict; `None` for a leak.
    pub would_change: Option<String>,
    /// How its growth compares with the baseline.
    pub baseline: Option<BesideEntry>,
    /// What the load of the machine explains of it, where it explains any.
    pub load: Option<LoadEntry>,
    /// Why, in words.
    pub why: Vec<String>,
    /// The same as rules with numbers.
    pub evidence: Vec<Evidence>,
    /// The series that mirror it.
    pub explains: Vec<Explained>,
    /// Processes that move with it, where the kernel's word does not say whose it is.
    pub suspects: Vec<SuspectEntry>,
    /// The code that allocates it, where the kernel counts that.
    pub allocated_by: Vec<SiteEntry>,
    /// Its chart.
    pub chart: Option<ChartEntry>,
}

/// Code that allocates what leaks.
#[derive(Debug, Serialize)]
pub struct SiteEntry {
    /// The series that grows like it.
    pub series: String,
    /// The function.
    pub function: String,
    /// File and line of source, or nothing where only the stack is known.
    pub place: Option<String>,
    /// Its module; nothing for the kernel itself.
    pub module: Option<String>,
    /// What it gains for each unit that leaks.
    pub share: f64,
}

/// A process that moves with a finding.
#[derive(Debug, Serialize)]
pub struct SuspectEntry {
    /// Its process id; `None` for all processes of the name together.
    pub pid: Option<i64>,
    /// Its name.
    pub comm: String,
    /// What moves, in words and numbers.
    pub why: String,
    /// 0 to 1; from 0.7 on the two are one finding.
    pub strength: f64,
    /// Objects (or pages) for each descriptor, thread or process.
    pub ratio: Option<f64>,
    /// The series that moves with it.
    pub series: String,
}

/// A total that grows, taken apart.
#[derive(Debug, Serialize)]
pub struct AttributionEntry {
    /// Name of the total's series.
    pub series: String,
    /// The bare kernel word.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its verdict.
    pub verdict: Verdict,
    /// Slope in units an hour.
    pub slope_per_hour: f64,
    /// Share of the slope that the parts make up.
    pub explained: f64,
    /// The parts from one hundredth on, the largest first.
    pub parts: Vec<PartEntry>,
    /// The processes that move with it, where its parts are not recorded.
    pub suspects: Vec<SuspectEntry>,
}

/// Who has a part of a total.
#[derive(Debug, Serialize)]
pub struct PartEntry {
    /// The series that stands for it.
    pub series: String,
    /// The entity as it stands in `series`.
    pub entity: String,
    /// Share of the total's slope.
    pub share: f64,
}

/// A series that a finding explains.
#[derive(Debug, Serialize)]
pub struct Explained {
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
    /// Its verdict.
    pub verdict: Verdict,
    /// Slope in units an hour.
    pub slope_per_hour: f64,
}

/// The ledger of the last boot.
#[derive(Debug, Default, Serialize)]
pub struct LedgerEntry {
    /// MemTotal in bytes.
    pub total: Option<f64>,
    /// The classes.
    pub classes: Vec<LedgerClass>,
    /// What no class owns.
    pub unaccounted: Option<LedgerClass>,
}

/// A class of the ledger, in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerClass {
    /// Its name.
    pub name: String,
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// Slope an hour.
    pub slope_per_hour: Option<f64>,
    /// Its verdict.
    pub verdict: Option<Verdict>,
    /// Standard deviation of one value by the way it is read.
    pub noise: Option<f64>,
}

/// Something that happened.
#[derive(Debug, Serialize)]
pub struct Event {
    /// Wall time.
    pub at: Option<String>,
    /// Place of its boot in `recordings`.
    pub boot: usize,
    /// Seconds from the start of the boot's recording.
    pub t_s: f64,
    /// Kind.
    pub kind: String,
    /// The source that it concerns.
    pub source: Option<String>,
    /// Text.
    pub text: String,
}

/// How much of a source there is.
#[derive(Debug, Serialize)]
pub struct CoverageEntry {
    /// The source.
    pub source: String,
    /// Its last state.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// Samples that gave values.
    pub ticks_ok: u64,
    /// Samples planned.
    pub ticks_planned: u64,
}

/// How many series were judged.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// All.
    pub series: u64,
    /// By verdict.
    pub by_verdict: BTreeMap<String, u64>,
}

/// The smallest leaks that could have been called in this recording, over the series that vary.
#[derive(Debug, Serialize)]
pub struct SmallestDetectable {
    /// Half of the varying memory series would have shown a leak of this many bytes an hour.
    pub median_bytes_per_hour: Option<f64>,
    /// Nine of ten would have shown one of this many.
    pub p90_bytes_per_hour: Option<f64>,
}

fn rfc3339(us: i64) -> Option<String> {
    Some(DateTime::from_timestamp_micros(us)?.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Dates the seconds of a boot.
pub(super) struct Clock<'a> {
    pub(super) index: &'a Index,
    pub(super) boot: usize,
}

impl Clock<'_> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds of a recording in us"
    )]
    pub(super) fn at(&self, t_s: f64) -> Option<String> {
        let boot = self.index.boots.get(self.boot)?;
        let at = boot.start_us + (t_s * 1e6) as i64;
        rfc3339(self.index.wall_us(boot.boot.boot, at)?)
    }
}

pub(super) fn build(db: &Path, analysis: &Analysis) -> Report {
    let index = &analysis.index;
    let events = events(index);
    let findings = analysis
        .findings
        .iter()
        .enumerate()
        .map(|(at, finding)| finding_entry(at + 1, finding, analysis))
        .collect();
    Report {
        format: "memsoak-report/1",
        verdict: analysis.verdict(),
        recordings: recordings(db, index),
        baseline: None,
        findings,
        follows_load: super::load::excused(analysis),
        ledger: ledger(analysis),
        attribution: attribution(analysis),
        diagnoses: Vec::new(),
        exhaustion: Vec::new(),
        phases: Vec::new(),
        experiments: super::experiments::entries(analysis),
        events_left_out: events.len().saturating_sub(MOST_EVENTS),
        events: events.into_iter().take(MOST_EVENTS).collect(),
        coverage: index
            .coverage
            .iter()
            .map(|coverage| CoverageEntry {
                source: coverage.source.clone(),
                status: coverage.status.to_string(),
                reason: coverage.reason.clone(),
                ticks_ok: coverage.ticks_ok,
                ticks_planned: coverage.ticks_planned,
            })
            .collect(),
        judged: Judged {
            series: analysis.series(),
            by_verdict: analysis
                .by_verdict
                .iter()
                .map(|(verdict, n)| (verdict.to_string(), *n))
                .collect(),
        },
        smallest_detectable: smallest(analysis),
        overview: Vec::new(),
    }
}

/// A file's name without its folder, safe to print.
pub(super) fn file_name(file: &Path) -> String {
    file.file_name()
        .map(|name| memsoak_schema::printable(name.as_bytes()))
        .unwrap_or_default()
}

fn recordings(db: &Path, index: &Index) -> Vec<RecordingEntry> {
    index
        .boots
        .iter()
        .enumerate()
        .map(|(at, boot)| {
            let host = index.host(&boot.boot);
            let clock = Clock { index, boot: at };
            RecordingEntry {
                file: file_name(db),
                host: host.map(|host| host.name.clone()).unwrap_or_default(),
                boot_id: boot.boot.boot_id.clone(),
                kernel: boot.boot.kernel.clone(),
                arch: host.map(|host| host.arch.clone()).unwrap_or_default(),
                start: clock.at(0.0),
                end: clock.at(boot.span_s()),
                span_hours: boot.span_s() / 3600.0,
                ticks: boot.ticks,
                gaps: boot
                    .gaps
                    .iter()
                    .map(|(from, to, reason)| Gap {
                        from_s: *from,
                        from: clock.at(*from),
                        to: clock.at(*to),
                        seconds: to - from,
                        reason: reason.clone(),
                    })
                    .collect(),
            }
        })
        .collect()
}

fn finding_entry(rank: usize, finding: &Finding, analysis: &Analysis) -> FindingEntry {
    let head = &analysis.judged[finding.head];
    let judgement = &head.judgement;
    let clock = Clock {
        index: &analysis.index,
        boot: head.key.boot,
    };
    let mut labels = head.name.labels.clone();
    if labels.contains_key("pid") {
        labels.insert("comm".to_owned(), head.name.name.clone().into());
    }
    FindingEntry {
        rank,
        verdict: judgement.verdict,
        series: head.name.id.clone(),
        source: head.name.source.clone(),
        entity: head.name.entity.clone(),
        name: head.name.name.clone(),
        labels,
        metric: head.name.metric.clone(),
        unit: head.name.quantity.unit(),
        slope_per_hour: head.slope_per_hour(),
        slope_low: judgement.slope_low_per_s * 3600.0,
        slope_high: judgement.slope_high_per_s * 3600.0,
        growth: judgement.growth,
        first: judgement.first,
        last: judgement.last,
        since: judgement.since_s.and_then(|since| clock.at(since)),
        span_hours: head.span_s / 3600.0,
        share_of_growth: finding.share_of_growth,
        eta_hours: finding.eta_hours,
        eta_low_hours: None,
        eta_high_hours: None,
        onset: None,
        method: judgement.method,
        too_early: judgement.too_early.is_some(),
        would_change: judgement.would_change.clone(),
        baseline: head.beside.as_ref().map(beside_entry),
        load: judgement.load.as_ref().map(super::load::entry),
        why: judgement
            .evidence
            .iter()
            .map(|evidence| in_words(evidence, head.name.quantity))
            .chain(
                judgement
                    .load
                    .map(|load| super::load_words(&load, head.name.quantity)),
            )
            .chain(finding.allocated_by.iter().map(CallSite::in_words))
            .collect(),
        evidence: judgement.evidence.clone(),
        explains: finding
            .explains
            .iter()
            .map(|at| explained(&analysis.judged[*at]))
            .collect(),
        suspects: finding.suspects.iter().map(suspect_entry).collect(),
        allocated_by: finding.allocated_by.iter().map(site_entry).collect(),
        chart: None,
    }
}

fn site_entry(site: &CallSite) -> SiteEntry {
    SiteEntry {
        series: site.series.clone(),
        function: site.function.clone(),
        place: site.place.clone(),
        module: site.module.clone(),
        share: site.share,
    }
}

fn suspect_entry(suspect: &Suspect) -> SuspectEntry {
    SuspectEntry {
        pid: suspect.pid,
        comm: suspect.comm.clone(),
        why: suspect.why.clone(),
        strength: suspect.strength,
        ratio: suspect.ratio,
        series: suspect.series.clone(),
    }
}

fn attribution(analysis: &Analysis) -> Vec<AttributionEntry> {
    analysis
        .attribution
        .iter()
        .map(|of| {
            let total = &analysis.judged[of.total];
            AttributionEntry {
                series: total.name.id.clone(),
                name: total.name.name.clone(),
                unit: total.name.quantity.unit(),
                verdict: total.judgement.verdict,
                slope_per_hour: total.slope_per_hour(),
                explained: of.explained,
                parts: of
                    .parts
                    .iter()
                    .map(|part| {
                        let name = &analysis.judged[part.series].name;
                        PartEntry {
                            series: name.id.clone(),
                            entity: name.entity.clone(),
                            share: part.share,
                        }
                    })
                    .collect(),
                suspects: of.suspects.iter().map(suspect_entry).collect(),
            }
        })
        .collect()
}

/// The evidence as a sentence; the judge does not know units, the report does.
fn in_words(evidence: &Evidence, of: Quantity) -> String {
    let show = |value: f64| super::quantity(of).format(value);
    match evidence.rule {
        "min_relative_growth" | "min_quanta" | "min_sigmas" | "floor" => format!(
            "it grew by {}; growth is seen here from {} on",
            show(evidence.measured),
            show(evidence.threshold)
        ),
        "tail_rate" => format!(
            "after the warm-up its last quarter grows at {}/h; a warm-up would be under {}/h by then",
            show(evidence.measured * 3600.0),
            show(evidence.threshold * 3600.0)
        ),
        _ => evidence.text.clone(),
    }
}

fn explained(judged: &JudgedSeries) -> Explained {
    Explained {
        series: judged.name.id.clone(),
        source: judged.name.source.clone(),
        name: judged.name.name.clone(),
        metric: judged.name.metric.clone(),
        unit: judged.name.quantity.unit(),
        verdict: judged.judgement.verdict,
        slope_per_hour: judged.slope_per_hour(),
    }
}

fn ledger(analysis: &Analysis) -> LedgerEntry {
    let Some(ledger) = analysis.ledgers.iter().rev().flatten().next() else {
        return LedgerEntry::default();
    };
    let (unaccounted, classes): (Vec<_>, Vec<_>) = ledger
        .classes
        .iter()
        .filter_map(|class| {
            let (first, last) = class.ends()?;
            let judgement = class.judgement.as_ref();
            Some(LedgerClass {
                name: class.name.to_owned(),
                first,
                last,
                slope_per_hour: judgement.map(|judgement| judgement.slope_per_s * 3600.0),
                verdict: judgement.map(|judgement| judgement.verdict),
                noise: class.noise(),
            })
        })
        .partition(|class| class.name == "unaccounted");
    LedgerEntry {
        total: Some(ledger.total),
        classes,
        unaccounted: unaccounted.into_iter().next(),
    }
}

fn events(index: &Index) -> Vec<Event> {
    index
        .events
        .iter()
        .filter_map(|event| {
            let boot = index
                .boots
                .iter()
                .position(|boot| boot.boot.boot == event.boot)?;
            let wall = index.wall_us(event.boot, event.boottime_us);
            Some(Event {
                at: wall.and_then(rfc3339),
                boot,
                t_s: index.boots[boot].at(event.boottime_us),
                kind: event.kind.clone(),
                source: event.source.clone(),
                text: event.text.clone(),
            })
        })
        .filter(|event| !super::events::BESIDE.contains(&event.kind.as_str()))
        .collect()
}

fn smallest(analysis: &Analysis) -> SmallestDetectable {
    let mut slopes: Vec<f64> = analysis
        .judged
        .iter()
        .filter(|one| one.name.quantity == Quantity::Bytes)
        .map(|one| {
            let span = analysis.index.boots[one.key.boot].span_s();
            one.judgement.smallest_growth / span.max(1e-9) * 3600.0
        })
        .filter(|slope| slope.is_finite() && *slope > 0.0)
        .collect();
    slopes.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| (!slopes.is_empty()).then(|| crate::stats::quantile_sorted(&slopes, q));
    SmallestDetectable {
        median_bytes_per_hour: quantile(0.5),
        p90_bytes_per_hour: quantile(0.9),
    }
}
