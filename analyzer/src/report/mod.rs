//! `memsoak-analyze report`: the report as data, and its forms.

mod baseline;
mod charts;
mod diagnoses;
mod events;
mod experiments;
mod json;
mod load;
mod markdown;
mod marks;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use memsoak_schema::Recording;

use crate::compare::Baseline;
use crate::findings::{Analysis, analyse, analyse_beside};
use crate::ledger::Ledger;
use crate::load::SeriesKey;

pub use baseline::{BaselineEntry, BesideEntry, Comparison, compare};
use charts::Drawn;
pub use charts::{quantity, quantity_of, rate_words};
pub use diagnoses::{DiagnosisEntry, ExhaustionEntry};
pub use experiments::{CacheEntry, CachesEntry, ExperimentEntry, StepEntry, ZoneEntry};
pub use json::{
    AttributionEntry, ChartEntry, CoverageEntry, Event, Explained, FindingEntry, Gap, Judged,
    LedgerClass, LedgerEntry, PartEntry, RecordingEntry, Report, SmallestDetectable, SuspectEntry,
};
pub use load::{FollowsEntry, LoadEntry, load_words};
pub use marks::{PhaseEntry, PhasedEntry, PhasesEntry};

/// Findings beyond this many get no chart of their own: nobody looks at the 31st.
const MOST_CHARTS: usize = 30;

/// Analyses a recording, beside a baseline where one is given, and writes report.md, report.json
/// and charts/*.png.
///
/// # Errors
/// When the recording cannot be read, or the folder cannot be written.
pub fn write(
    db: &Path,
    base: Option<&Path>,
    out: &Path,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<(Report, Vec<PathBuf>)> {
    let recording = Recording::open(db)?;
    let baseline = match base {
        Some(base) => Some(read_baseline(base, &mut progress)?),
        None => None,
    };
    let analysis = analyse_beside(&recording, baseline.as_ref(), &mut progress)?;
    let charts = out.join("charts");
    fs::create_dir_all(&charts).with_context(|| format!("cannot create {}", charts.display()))?;
    let mut report = json::build(db, &analysis);
    report.baseline = base
        .zip(baseline.as_ref())
        .map(|(file, baseline)| baseline::entry(file, baseline, &analysis.index));
    progress("diagnoses");
    diagnoses::add(&recording, &analysis, &mut report)?;
    marks::add(&recording, &analysis, &mut report)?;
    progress("charts");
    let written = draw_charts(&recording, &analysis, &mut report, out)?;
    let mut paths = vec![out.join("report.md"), out.join("report.json")];
    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    for (path, content) in paths.iter().zip([markdown::render(&report), text]) {
        fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    paths.extend(written);
    Ok((report, paths))
}

fn read_baseline(file: &Path, progress: impl FnMut(&str)) -> anyhow::Result<Baseline> {
    let recording = Recording::open(file)?;
    let analysis = analyse(&recording, progress)?;
    Ok(Baseline::of(&recording, &analysis)?)
}

fn draw_charts(
    recording: &Recording,
    analysis: &Analysis,
    report: &mut Report,
    out: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let mut put = |name: String, drawn: Drawn| -> anyhow::Result<ChartEntry> {
        let path = out.join(&name);
        fs::write(&path, drawn.png).with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
        Ok(ChartEntry {
            path: name,
            shows: drawn.shows,
        })
    };
    for (boot, ledger) in analysis.ledgers.iter().enumerate() {
        if let Some(ledger) = ledger {
            let of_boot = if analysis.ledgers.len() == 1 {
                String::new()
            } else {
                format!("-boot{}", boot + 1)
            };
            let pictures = [
                (
                    "overview",
                    charts::draw_overview(&analysis.index, boot, ledger)?,
                ),
                (
                    "growth",
                    charts::draw_growth(&analysis.index, boot, ledger)?,
                ),
            ];
            for (what, picture) in pictures {
                let mut entry = put(format!("charts/{what}{of_boot}.png"), picture)?;
                if !of_boot.is_empty() {
                    entry.shows.push_str(&format!(" in boot {}", boot + 1));
                }
                report.overview.push(entry);
            }
        }
    }
    let shown = &analysis.findings[..analysis.findings.len().min(MOST_CHARTS)];
    let keys: Vec<_> = shown
        .iter()
        .map(|finding| analysis.judged[finding.head].key)
        .collect();
    let mut points = crate::load::points(recording, &analysis.index, &keys)?;
    for (boot, ledger) in analysis.ledgers.iter().enumerate() {
        if let Some(drawn_up) = ledger.as_ref().and_then(Ledger::unaccounted_points) {
            points.insert(SeriesKey::unaccounted(boot), drawn_up);
        }
    }
    for (finding, entry) in shown.iter().zip(&mut report.findings) {
        let head = &analysis.judged[finding.head];
        let Some(points) = points.get(&head.key) else {
            continue;
        };
        let name = format!("charts/{:02}-{}.png", entry.rank, file_name(&entry.series));
        let drawn = charts::draw_finding(&analysis.index, head, points)?;
        entry.chart = Some(put(name, drawn)?);
    }
    Ok(written)
}

/// A name that every file system and shell takes.
fn file_name(series: &str) -> String {
    let mut name: String = series
        .chars()
        .take(80)
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name.trim_matches('-').to_owned()
}
