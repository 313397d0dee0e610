//! What the load of the machine explains, in the report.

use std::fmt::Write;

use serde::Serialize;

use super::charts::{quantity, quantity_of};
use super::json::Report;
use super::markdown::{code, plain};
use crate::findings::{Analysis, Judged};
use crate::load::Quantity;
use crate::verdict::{LoadPart, Part, Verdict};
use crate::words::percent;

/// Rows of the table; report.json has all.
const MOST_ROWS: usize = 20;

/// What the load explains of a series.
#[derive(Debug, Serialize)]
pub struct LoadEntry {
    /// `growth`: its growth is the load's. `level`: it follows the load and grows beside that. `rate`: it
    /// grows with the work done.
    pub part: Part,
    /// The kind of work.
    pub work: &'static str,
    /// What `per_unit` is for: work a second, or for `rate` a piece of work.
    pub for_each: &'static str,
    /// Correlation about their lines in time.
    pub r: f64,
    /// Units of the series for each of those.
    pub per_unit: f64,
    /// Work a second at the start, by the line through it.
    pub load_first: f64,
    /// The same at the end.
    pub load_last: f64,
    /// Share of the growth that the load explains.
    pub share: f64,
    /// Slope beside the load in units an hour.
    pub rest_per_hour: f64,
    /// The least that may be.
    pub rest_low: f64,
    /// The most.
    pub rest_high: f64,
}

/// A series whose growth is the load's.
#[derive(Debug, Serialize)]
pub struct FollowsEntry {
    /// Name of the series.
    pub series: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its verdict with regard to the load.
    pub verdict: Verdict,
    /// First value.
    pub first: f64,
    /// Last value.
    pub last: f64,
    /// What the load explains.
    pub load: LoadEntry,
}

/// The load's part as an entry.
pub(super) fn entry(load: &LoadPart) -> LoadEntry {
    LoadEntry {
        part: load.part,
        work: load.work,
        for_each: load.for_each,
        r: load.r,
        per_unit: load.per_unit,
        load_first: load.load_first,
        load_last: load.load_last,
        share: load.share,
        rest_per_hour: load.rest_per_s * 3600.0,
        rest_low: load.rest_low_per_s * 3600.0,
        rest_high: load.rest_high_per_s * 3600.0,
    }
}

/// The series that would be called but for the load, those that grew most first.
pub(super) fn excused(analysis: &Analysis) -> Vec<FollowsEntry> {
    let part = |one: &Judged| one.judgement.load.filter(|load| load.part == Part::Growth);
    let mut found: Vec<_> = analysis
        .judged
        .iter()
        .filter_map(|one| Some((one, part(one)?)))
        .collect();
    let grew = |one: &Judged| one.judgement.last - one.judgement.first;
    found.sort_by(|a, b| {
        let bytes = |one: &Judged| one.name.quantity == Quantity::Bytes;
        (bytes(b.0).cmp(&bytes(a.0))).then(grew(b.0).total_cmp(&grew(a.0)))
    });
    found
        .into_iter()
        .map(|(one, load)| FollowsEntry {
            series: one.name.id.clone(),
            unit: one.name.quantity.unit(),
            verdict: one.judgement.verdict,
            first: one.judgement.first,
            last: one.judgement.last,
            load: entry(&load),
        })
        .collect()
}

/// What the load explains, as a sentence with units.
pub fn load_words(load: &LoadPart, of: Quantity) -> String {
    let show = |value: f64| quantity(of).format(value);
    let rest = format!(
        "{}/h ({} to {})",
        show(3600.0 * load.rest_per_s),
        show(3600.0 * load.rest_low_per_s),
        show(3600.0 * load.rest_high_per_s)
    );
    let each = format!("{} for each {}", show(load.per_unit), load.for_each);
    match load.part {
        Part::Growth | Part::Level => format!(
            "it holds {each}; the load went from {} to {} of those, beside it is a slope of {rest}",
            rate(load.load_first),
            rate(load.load_last),
        ),
        Part::Rate => format!("it keeps {each}; beside that is a slope of {rest}"),
    }
}

fn rate(value: f64) -> String {
    crate::chart::Quantity::Count.format(value)
}

pub(super) fn render(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.follows_load.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Grows with the load\n")?;
    writeln!(
        out,
        "These go up and down with what the machine does and grew as that did; beside the load they do not grow, or it cannot be told.\n"
    )?;
    writeln!(
        out,
        "| what | verdict | from | to | follows | r | explained | may grow beside it |"
    )?;
    writeln!(out, "|---|---|--:|--:|---|--:|--:|--:|")?;
    for one in report.follows_load.iter().take(MOST_ROWS) {
        let show = |value: f64| quantity_of(one.unit).format(value);
        let load = &one.load;
        writeln!(
            out,
            "| {} | {} | {} | {} | {}, {} to {} | {:.2} | {} | {} to {}/h |",
            code(&one.series),
            one.verdict,
            show(one.first),
            show(one.last),
            plain(load.work),
            rate(load.load_first),
            rate(load.load_last),
            load.r,
            percent(load.share),
            show(load.rest_low),
            show(load.rest_high),
        )?;
    }
    let more = report.follows_load.len().saturating_sub(MOST_ROWS);
    if more > 0 {
        writeln!(out, "\n{more} more stand in report.json.")?;
    }
    writeln!(out)
}
