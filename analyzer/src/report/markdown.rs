//! report.md: what goes into a bug report.

use std::fmt::Write;

use super::charts::{quantity_of, rate_words};
use super::diagnoses::{eta_words, onset_words};
use super::json::{ChartEntry, FindingEntry, LedgerClass, Report};
use crate::chart::Quantity;
use crate::verdict::Verdict;
use crate::words::hours;

/// Findings that are told in full; the others stand in the table.
const TOLD_IN_FULL: usize = 10;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, report);
    out
}

/// Text in a code span: a name from the kernel can hold anything.
pub(super) fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

/// Text in a table or a sentence.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '<' | '>' | '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn number(unit: &str, value: f64) -> String {
    quantity_of(unit).format(value)
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# memsoak: {}\n", headline(report))?;
    for recording in &report.recordings {
        writeln!(
            out,
            "- {} on {}, Linux {} ({}), {} from {} to {}, {} ticks, {} gaps",
            code(&recording.file),
            plain(&recording.host),
            plain(&recording.kernel),
            plain(&recording.arch),
            hours(recording.span_hours),
            recording.start.as_deref().unwrap_or("an unknown time"),
            recording.end.as_deref().unwrap_or("an unknown time"),
            recording.ticks,
            recording.gaps.len(),
        )?;
        for gap in &recording.gaps {
            writeln!(
                out,
                "  - gap of {} at {}: {}",
                hours(gap.seconds / 3600.0),
                gap.from.as_deref().unwrap_or("an unknown time"),
                plain(&gap.reason)
            )?;
        }
    }
    if let Some(baseline) = &report.baseline {
        writeln!(out, "- {}", baseline.in_words())?;
    }
    writeln!(out)?;
    if !report.findings.is_empty() {
        findings(out, report)?;
    }
    super::load::render(out, report)?;
    super::diagnoses::render(out, report)?;
    super::experiments::render(out, report)?;
    super::marks::render(out, report)?;
    for overview in &report.overview {
        chart(out, overview)?;
    }
    ledger(out, report)?;
    attribution(out, report)?;
    super::events::render(out, report)?;
    coverage(out, report)?;
    judged(out, report)
}

fn headline(report: &Report) -> String {
    let leaks = report
        .findings
        .iter()
        .filter(|f| f.verdict == Verdict::Leak)
        .count();
    let suspects = report.findings.len() - leaks;
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let found = match (report.verdict, report.findings.first()) {
        ("leak" | "suspect", Some(first)) => {
            let mut parts = Vec::new();
            if leaks > 0 {
                parts.push(count(leaks, "leak"));
            }
            if suspects > 0 {
                parts.push(count(suspects, "suspect"));
            }
            format!(
                "{}; the first: {} {} at {}/h",
                parts.join(", "),
                code(&first.entity_or_name()),
                code(&first.metric),
                number(first.unit, first.slope_per_hour)
            )
        }
        ("inconclusive", _) => "inconclusive, the recording is too short to judge".to_owned(),
        _ => "no leak found".to_owned(),
    };
    // Who reads no further is to know that memory ran out.
    let mut critical: Vec<String> = Vec::new();
    for one in report.critical() {
        let id = code(one.id);
        if !critical.contains(&id) {
            critical.push(id);
        }
    }
    if critical.is_empty() {
        found
    } else {
        format!("{found}; critical: {}", critical.join(", "))
    }
}

impl FindingEntry {
    fn entity_or_name(&self) -> String {
        if self.entity.is_empty() {
            self.name.clone()
        } else {
            self.entity.clone()
        }
    }
}

fn findings(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "## Findings\n")?;
    writeln!(
        out,
        "| # | verdict | what | moves with | grows (95 % interval) | growth | exhausts memory in |"
    )?;
    writeln!(out, "|--:|---|---|---|---|--:|--:|")?;
    for finding in &report.findings {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            finding.rank,
            finding.verdict,
            code(&finding.series),
            finding
                .suspects
                .first()
                .map_or_else(String::new, |suspect| code(&suspect.comm)),
            rate_words(
                quantity_of(finding.unit),
                finding.slope_per_hour,
                finding.slope_low,
                finding.slope_high
            ),
            number(finding.unit, finding.growth),
            eta_words(finding),
        )?;
    }
    writeln!(out)?;
    for finding in report.findings.iter().take(TOLD_IN_FULL) {
        tell(out, finding)?;
    }
    if report.findings.len() > TOLD_IN_FULL {
        writeln!(
            out,
            "The other {} findings are told in report.json.\n",
            report.findings.len() - TOLD_IN_FULL
        )?;
    }
    Ok(())
}

fn tell(out: &mut String, finding: &FindingEntry) -> std::fmt::Result {
    writeln!(out, "### {}. {}\n", finding.rank, code(&finding.series))?;
    writeln!(
        out,
        "{} from {} to {} over {}{}.",
        match finding.verdict {
            Verdict::Leak => "Leaks:",
            _ if finding.too_early => "Growing, too early to say:",
            _ => "Suspect, a longer run decides:",
        },
        number(finding.unit, finding.first),
        number(finding.unit, finding.last),
        hours(finding.span_hours),
        match &finding.since {
            Some(since) => format!(
                ", growing since {since}{}",
                onset_words(finding.onset.as_ref())
            ),
            None => String::new(),
        },
    )?;
    if let Some(share) = finding.share_of_growth {
        writeln!(
            out,
            "It makes up {:.0} % of the growth of the total that it is a part of.",
            share * 100.0
        )?;
    }
    let labels: Vec<String> = finding
        .labels
        .iter()
        .map(|(key, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), ToOwned::to_owned);
            format!("{} {}", plain(key), code(&text))
        })
        .collect();
    if !labels.is_empty() {
        writeln!(out, "{}.", labels.join(", "))?;
    }
    writeln!(out)?;
    for why in &finding.why {
        writeln!(out, "- {}", plain(why))?;
    }
    if let Some(change) = &finding.would_change {
        writeln!(out, "- What would change the verdict: {}", plain(change))?;
    }
    if !finding.suspects.is_empty() {
        writeln!(out, "\nWho moves with it:\n")?;
        for suspect in &finding.suspects {
            let pid = suspect
                .pid
                .map_or_else(String::new, |pid| format!(" (pid {pid})"));
            writeln!(
                out,
                "- {}{pid}, strength {:.2}: {}",
                code(&suspect.comm),
                suspect.strength,
                plain(&suspect.why)
            )?;
        }
    }
    if !finding.explains.is_empty() {
        writeln!(out, "\nExplains:\n")?;
        for explained in &finding.explains {
            writeln!(
                out,
                "- {} {} at {}/h",
                code(&explained.series),
                explained.verdict,
                number(explained.unit, explained.slope_per_hour)
            )?;
        }
    }
    writeln!(out)?;
    if let Some(drawn) = &finding.chart {
        chart(out, drawn)?;
    }
    Ok(())
}

fn chart(out: &mut String, drawn: &ChartEntry) -> std::fmt::Result {
    writeln!(out, "![{}]({})\n", plain(&drawn.shows), drawn.path)
}

fn ledger(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.ledger.classes.is_empty() {
        return Ok(());
    }
    writeln!(out, "## How the memory is used\n")?;
    writeln!(out, "| class | first | last | change | trend |")?;
    writeln!(out, "|---|--:|--:|--:|---|")?;
    let bytes = |value: f64| Quantity::Bytes.format(value);
    let row = |out: &mut String, class: &LedgerClass| {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            class.name.replace('_', " "),
            bytes(class.first),
            bytes(class.last),
            bytes(class.last - class.first),
            match (class.verdict, class.slope_per_hour) {
                (Some(Verdict::Leak | Verdict::Suspect | Verdict::Reclaimable), Some(slope)) =>
                    format!(
                        "{}, {}/h",
                        class.verdict.map_or("", Verdict::as_str),
                        bytes(slope)
                    ),
                (Some(verdict), _) => verdict.to_string(),
                (None, _) => String::new(),
            }
        )
    };
    let classes = report
        .ledger
        .classes
        .iter()
        .chain(&report.ledger.unaccounted);
    // What is never there (no huge pages, no balloon) would only fill the page.
    for class in classes.filter(|class| class.first > 0.0 || class.last > 0.0) {
        row(out, class)?;
    }
    writeln!(out)?;
    let noise = report
        .ledger
        .unaccounted
        .as_ref()
        .and_then(|rest| rest.noise);
    if let Some(noise) = noise {
        writeln!(
            out,
            "The classes add up to MemTotal; `unaccounted` is what none of them owns, give or take {} as they are not read at one instant.\n",
            bytes(noise)
        )?;
    }
    Ok(())
}

/// Parts of a total that are told; report.json has all.
const TOLD_PARTS: usize = 5;

fn attribution(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.attribution.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Who has it\n")?;
    writeln!(
        out,
        "| total that grows | verdict | rate | explained | by |"
    )?;
    writeln!(out, "|---|---|--:|--:|---|")?;
    for total in &report.attribution {
        let mut parts: Vec<String> = total
            .parts
            .iter()
            .take(TOLD_PARTS)
            .map(|part| format!("{} {:.0} %", code(&part.entity), part.share * 100.0))
            .collect();
        if total.parts.len() > TOLD_PARTS {
            parts.push(format!("{} more", total.parts.len() - TOLD_PARTS));
        }
        if parts.is_empty() {
            parts.extend(
                total
                    .suspects
                    .iter()
                    .map(|suspect| format!("moves with {}", code(&suspect.comm))),
            );
        }
        writeln!(
            out,
            "| {} | {} | {}/h | {:.0} % | {} |",
            code(&total.name),
            total.verdict,
            number(total.unit, total.slope_per_hour),
            total.explained * 100.0,
            if parts.is_empty() {
                "no thing that leaks by itself".to_owned()
            } else {
                parts.join(", ")
            }
        )?;
    }
    writeln!(out)
}

fn coverage(out: &mut String, report: &Report) -> std::fmt::Result {
    let (whole, lacking): (Vec<_>, Vec<_>) = report
        .coverage
        .iter()
        .partition(|entry| entry.ticks_ok == entry.ticks_planned && entry.reason.is_none());
    writeln!(out, "## What was recorded\n")?;
    if !lacking.is_empty() {
        writeln!(out, "| source | state | samples | reason |")?;
        writeln!(out, "|---|---|--:|---|")?;
        for entry in &lacking {
            writeln!(
                out,
                "| {} | {} | {} of {} | {} |",
                code(&entry.source),
                entry.status,
                entry.ticks_ok,
                entry.ticks_planned,
                plain(entry.reason.as_deref().unwrap_or(""))
            )?;
        }
        writeln!(out)?;
    }
    let names: Vec<_> = whole.iter().map(|entry| code(&entry.source)).collect();
    writeln!(
        out,
        "Complete: {}.\n",
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    )
}

fn judged(out: &mut String, report: &Report) -> std::fmt::Result {
    let by_verdict: Vec<String> = report
        .judged
        .by_verdict
        .iter()
        .map(|(verdict, n)| format!("{n} {verdict}"))
        .collect();
    writeln!(
        out,
        "{} series were judged: {}.",
        report.judged.series,
        by_verdict.join(", ")
    )?;
    if let (Some(median), Some(p90)) = (
        report.smallest_detectable.median_bytes_per_hour,
        report.smallest_detectable.p90_bytes_per_hour,
    ) {
        writeln!(
            out,
            "A leak under {}/h would have stayed unseen in half of the memory series that vary, one under {}/h in one of ten.",
            Quantity::Bytes.format(median),
            Quantity::Bytes.format(p90)
        )?;
    }
    Ok(())
}
