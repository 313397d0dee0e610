//! Growth between marks in the report.

use std::fmt::Write;

use memsoak_schema::{Error, Recording};
use serde::Serialize;

use super::charts::quantity_of;
use super::json::{Clock, Report};
use super::markdown::{code, plain};
use crate::findings::Analysis;
use crate::marks::{BootPhases, PhasedSeries, phases};
use crate::verdict::Verdict;
use crate::words::seconds;

/// Rows of the table; report.json has more.
const MOST_ROWS: usize = 15;

/// Columns of the table: a page is not wider.
const MOST_COLUMNS: usize = 6;

/// The phases of a boot.
#[derive(Debug, Serialize)]
pub struct PhasesEntry {
    /// The boot.
    pub boot_id: String,
    /// The phases in order of their first mark.
    pub phases: Vec<PhaseEntry>,
    /// The series.
    pub series: Vec<PhasedEntry>,
}

/// The stretches of time after marks of one text.
#[derive(Debug, Serialize)]
pub struct PhaseEntry {
    /// The text; `start` before the first mark.
    pub name: String,
    /// Wall time at which it began first.
    pub at: Option<String>,
    /// How long it lasted in all.
    pub seconds: f64,
    /// How often it was.
    pub times: usize,
}

/// What a series did in each phase.
#[derive(Debug, Serialize)]
pub struct PhasedEntry {
    /// Name of the series.
    pub series: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its verdict, where it was judged.
    pub verdict: Option<Verdict>,
    /// Growth over all phases.
    pub growth: f64,
    /// Growth in each phase, in the order of `phases`.
    pub by_phase: Vec<Option<f64>>,
    /// The same an hour.
    pub rate_per_hour: Vec<Option<f64>>,
    /// The phase in which alone it grows.
    pub grows_only_in: Option<String>,
}

/// Takes the growth apart.
pub(super) fn add(
    recording: &Recording,
    analysis: &Analysis,
    report: &mut Report,
) -> Result<(), Error> {
    report.phases = phases(recording, &analysis.index, &analysis.judged)?
        .iter()
        .map(|of_boot| entry(analysis, of_boot))
        .collect();
    Ok(())
}

fn entry(analysis: &Analysis, of_boot: &BootPhases) -> PhasesEntry {
    let clock = Clock {
        index: &analysis.index,
        boot: of_boot.boot,
    };
    let phased = |series: &PhasedSeries| PhasedEntry {
        series: series.name.id.clone(),
        unit: series.name.quantity.unit(),
        verdict: series.verdict,
        growth: series.growth,
        rate_per_hour: series
            .by_phase
            .iter()
            .zip(&of_boot.phases)
            .map(|(growth, phase)| growth.map(|growth| growth / phase.seconds() * 3600.0))
            .collect(),
        by_phase: series.by_phase.clone(),
        grows_only_in: series.only_in.map(|at| of_boot.phases[at].name.clone()),
    };
    PhasesEntry {
        boot_id: analysis.index.boots[of_boot.boot].boot.boot_id.clone(),
        phases: of_boot
            .phases
            .iter()
            .map(|phase| PhaseEntry {
                name: phase.name.clone(),
                at: phase.pieces.first().and_then(|(from, _)| clock.at(*from)),
                seconds: phase.seconds(),
                times: phase.pieces.len(),
            })
            .collect(),
        series: of_boot.series.iter().map(phased).collect(),
    }
}

/// The section of the report.
pub(super) fn render(out: &mut String, report: &Report) -> std::fmt::Result {
    for of_boot in &report.phases {
        if !of_boot.series.is_empty() {
            table(out, of_boot)?;
        }
    }
    Ok(())
}

fn table(out: &mut String, of_boot: &PhasesEntry) -> std::fmt::Result {
    writeln!(out, "## Growth between marks\n")?;
    // The longest phases, in the order of time.
    let mut shown: Vec<usize> = (0..of_boot.phases.len()).collect();
    let length = |at: usize| of_boot.phases[at].seconds;
    shown.sort_by(|a, b| length(*b).total_cmp(&length(*a)));
    shown.truncate(MOST_COLUMNS);
    shown.sort_unstable();
    write!(out, "| series | verdict |")?;
    for at in &shown {
        let phase = &of_boot.phases[*at];
        let times = if phase.times > 1 {
            format!("{} times, ", phase.times)
        } else {
            String::new()
        };
        write!(
            out,
            " {} ({times}{}) |",
            plain(&phase.name),
            seconds(phase.seconds)
        )?;
    }
    writeln!(out, "\n|---|---|{}", "--:|".repeat(shown.len()))?;
    for series in of_boot.series.iter().take(MOST_ROWS) {
        let verdict = series.verdict.map_or("", Verdict::as_str);
        write!(out, "| {} | {verdict} |", code(&series.series))?;
        for at in &shown {
            write!(out, " {} |", cell(series, *at))?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    for series in of_boot.series.iter().take(MOST_ROWS) {
        if let Some(phase) = &series.grows_only_in {
            writeln!(
                out,
                "- {} grows only in the phase {}.",
                code(&series.series),
                code(phase)
            )?;
        }
    }
    let left_out = of_boot.phases.len() - shown.len();
    if left_out > 0 || of_boot.series.len() > MOST_ROWS {
        writeln!(
            out,
            "\nAll {} phases and {} series stand in report.json.",
            of_boot.phases.len(),
            of_boot.series.len()
        )?;
    }
    writeln!(out)
}

fn cell(series: &PhasedEntry, at: usize) -> String {
    let number = |value: f64| quantity_of(series.unit).format(value);
    match (series.by_phase[at], series.rate_per_hour[at]) {
        (Some(growth), _) if growth.abs() < f64::EPSILON => "0".to_owned(),
        (Some(growth), Some(rate)) => format!("{} ({}/h)", number(growth), number(rate)),
        _ => "-".to_owned(),
    }
}
