//! Diagnoses, exhaustion and onsets in the report.

use std::fmt::Write;

use memsoak_schema::{Error, Recording};
use serde::Serialize;

use super::charts::{quantity, rate_words};
use super::json::{Clock, FindingEntry, Report};
use super::markdown::plain;
use crate::diagnose::{Diagnosis, Severity, diagnose};
use crate::exhaustion::{Exhaustion, Outlook, Resource, exhaustion, outlooks};
use crate::findings::Analysis;
use crate::load::Quantity;
use crate::onset::{Onset, onset_event, onset_tolerance_s};
use crate::verdict::Verdict;
use crate::words::{bytes, hours, percent};

/// A condition that held, as scripts read it.
#[derive(Debug, Serialize)]
pub struct DiagnosisEntry {
    /// Its word; see `memsoak_analyze::diagnose::CONDITIONS`.
    pub id: &'static str,
    /// `info`, `warning` or `critical`.
    pub severity: Severity,
    /// The boot.
    pub boot_id: String,
    /// Wall time at which it began.
    pub at: Option<String>,
    /// The same in seconds from the start of the boot's recording.
    pub t_s: f64,
    /// Wall time at which it ended last; none where it held up to the end.
    pub until: Option<String>,
    /// For how long it held in all, from sample to sample.
    pub seconds: f64,
    /// What happened.
    pub text: String,
    /// The numbers behind it, with the names of the series.
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

/// When something runs out, under all that grows together.
#[derive(Debug, Serialize)]
pub struct ExhaustionEntry {
    /// `MemAvailable`, `CommitLimit` where `vm.overcommit_memory` is 2, or `cgroup/NAME/limit_bytes`.
    pub of: String,
    /// What is left at the end, in bytes.
    pub left_bytes: f64,
    /// The verdict on what is used.
    pub verdict: Verdict,
    /// By how much it is used up an hour.
    pub slope_per_hour: f64,
    /// Lower end of its 95 % interval.
    pub slope_low: f64,
    /// Upper end.
    pub slope_high: f64,
    /// The slopes of the leaks found together, in bytes an hour.
    pub leaks_slope_per_hour: f64,
    /// Hours until it is used up; none where it is not being used up for good.
    pub hours: Option<f64>,
    /// The same at the steepest slope of the interval.
    pub hours_soonest: Option<f64>,
    /// At the flattest; none where that is no growth.
    pub hours_latest: Option<f64>,
    /// In words.
    pub text: String,
}

/// Looks for the conditions, what runs out, and what happened at the onsets.
pub(super) fn add(
    recording: &Recording,
    analysis: &Analysis,
    report: &mut Report,
) -> Result<(), Error> {
    let index = &analysis.index;
    report.diagnoses = diagnose(recording, index)?
        .into_iter()
        .map(|one| entry(analysis, one))
        .collect();
    let outlooks = outlooks(recording, index)?;
    report.exhaustion = outlooks
        .iter()
        .map(|outlook| exhaustion_entry(analysis, outlook))
        .collect();
    for (finding, entry) in analysis.findings.iter().zip(&mut report.findings) {
        let head = &analysis.judged[finding.head];
        let boot = head.key.boot;
        let onset = head
            .judgement
            .since_s
            .zip(onset_tolerance_s(index, boot, head.key.source));
        if let Some((since_s, tolerance_s)) = onset {
            entry.onset = onset_event(recording, index, boot, since_s, tolerance_s)?;
        }
        let available = analysis
            .ledgers
            .get(boot)
            .and_then(|ledger| ledger.as_ref()?.available);
        if let (Some(available), Quantity::Bytes) = (available, head.name.quantity) {
            let judgement = &head.judgement;
            let left = exhaustion(
                available,
                judgement.slope_per_s,
                judgement.slope_low_per_s,
                judgement.slope_high_per_s,
            );
            entry.eta_low_hours = left.and_then(|left| left.hours_soonest);
            entry.eta_high_hours = left.and_then(|left| left.hours_latest);
        }
        // A group with a limit of its own comes to that before the machine is out of memory.
        let own = outlooks.iter().find(|outlook| {
            let is_it =
                matches!(outlook.of, Resource::Group { entity, .. } if entity == head.key.entity);
            is_it && outlook.boot == boot && head.name.source == "cgroup"
        });
        if let Some(when) = own.and_then(|outlook| outlook.when) {
            entry.eta_hours = Some(when.hours);
            entry.eta_low_hours = when.hours_soonest;
            entry.eta_high_hours = when.hours_latest;
        }
    }
    Ok(())
}

impl Report {
    /// The diagnoses that nobody should miss.
    pub fn critical(&self) -> impl Iterator<Item = &DiagnosisEntry> {
        let all = self.diagnoses.iter();
        all.filter(|one| one.severity == Severity::Critical)
    }
}

fn entry(analysis: &Analysis, one: Diagnosis) -> DiagnosisEntry {
    let index = &analysis.index;
    let clock = Clock {
        index,
        boot: one.boot,
    };
    DiagnosisEntry {
        id: one.id,
        severity: one.severity,
        boot_id: index.boots[one.boot].boot.boot_id.clone(),
        at: clock.at(one.from_s),
        t_s: one.from_s,
        until: one.until_s.and_then(|until| clock.at(until)),
        seconds: one.held_s,
        text: one.text,
        evidence: one.evidence,
    }
}

fn exhaustion_entry(analysis: &Analysis, outlook: &Outlook) -> ExhaustionEntry {
    let judgement = &outlook.judgement;
    let leaks: f64 = analysis
        .findings
        .iter()
        .map(|finding| &analysis.judged[finding.head])
        .filter(|head| head.key.boot == outlook.boot && head.name.quantity == Quantity::Bytes)
        .filter(|head| head.judgement.verdict == Verdict::Leak)
        .map(crate::findings::Judged::slope_per_hour)
        .sum();
    let slope = judgement.slope_per_s * 3600.0;
    let (low, high) = (
        judgement.slope_low_per_s * 3600.0,
        judgement.slope_high_per_s * 3600.0,
    );
    let (of, what) = match &outlook.of {
        Resource::Available => ("MemAvailable".to_owned(), "MemAvailable".to_owned()),
        Resource::CommitLimit => (
            "CommitLimit".to_owned(),
            "What may still be promised under CommitLimit (vm.overcommit_memory is 2)".to_owned(),
        ),
        Resource::Group { name, .. } => (
            format!("cgroup/{name}/limit_bytes"),
            format!("What the control group {name} may still take under its limit"),
        ),
    };
    let mut text = match outlook.when {
        Some(when) => format!(
            "{what}, {} at the end, falls by {} and is used up in {}.",
            bytes(outlook.left),
            rate_words(quantity(Quantity::Bytes), slope, low, high),
            left_words(when),
        ),
        None => format!(
            "{what}, {} at the end, does not fall for good.",
            bytes(outlook.left)
        ),
    };
    if outlook.when.is_some() && leaks > 0.0 && outlook.of == Resource::Available {
        let _ = write!(
            text,
            " The leaks found make up {} of that.",
            percent(leaks / slope)
        );
    }
    ExhaustionEntry {
        of,
        left_bytes: outlook.left,
        verdict: judgement.verdict,
        slope_per_hour: slope,
        slope_low: low,
        slope_high: high,
        leaks_slope_per_hour: leaks,
        hours: outlook.when.map(|when| when.hours),
        hours_soonest: outlook.when.and_then(|when| when.hours_soonest),
        hours_latest: outlook.when.and_then(|when| when.hours_latest),
        text,
    }
}

/// Hours with their interval: `12.0 h (10.0 h to 15.0 h)`.
fn left_words(left: Exhaustion) -> String {
    let words = hours(left.hours);
    match (left.hours_soonest.map(hours), left.hours_latest.map(hours)) {
        // An interval that rounds away says nothing.
        (Some(soonest), Some(latest)) if soonest == latest => words,
        (Some(soonest), Some(latest)) => format!("{words} ({soonest} to {latest})"),
        (Some(soonest), None) => format!("{words} ({soonest} at the soonest)"),
        _ => words,
    }
}

/// The cell of a finding's table that says when memory is used up.
pub(super) fn eta_words(finding: &FindingEntry) -> String {
    finding.eta_hours.map_or_else(
        || "-".to_owned(),
        |hours| {
            left_words(Exhaustion {
                hours,
                hours_soonest: finding.eta_low_hours,
                hours_latest: finding.eta_high_hours,
            })
        },
    )
}

/// What stands behind "growing since".
pub(super) fn onset_words(onset: Option<&Onset>) -> String {
    let Some(onset) = onset else {
        return String::new();
    };
    let distance = crate::words::seconds(onset.distance_s.abs());
    let order = if onset.distance_s >= 0.0 {
        "after"
    } else {
        "before"
    };
    let kind = match onset.kind.as_str() {
        "run_start" | "process_start" => String::new(),
        kind => format!("{}: ", plain(kind)),
    };
    format!(", {distance} {order} {kind}{}", plain(&onset.text))
}

/// The sections of the report.
pub(super) fn render(out: &mut String, report: &Report) -> std::fmt::Result {
    let running_out: Vec<_> = report
        .exhaustion
        .iter()
        .filter(|entry| entry.hours.is_some())
        .collect();
    if !running_out.is_empty() {
        writeln!(out, "## When memory runs out\n")?;
    }
    for entry in running_out {
        writeln!(out, "{}\n", plain(&entry.text))?;
    }
    if report.diagnoses.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Diagnoses\n")?;
    for one in &report.diagnoses {
        let at = one.at.as_deref().unwrap_or("an unknown time");
        let when = match &one.until {
            Some(until) if until == at => format!("at {at}"),
            Some(until) => format!("{at} to {until}"),
            None => format!("since {at}"),
        };
        writeln!(
            out,
            "- **{}** `{}`, {when}: {}",
            one.severity.as_str(),
            one.id,
            plain(&one.text)
        )?;
    }
    writeln!(out)
}
