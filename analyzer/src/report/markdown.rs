//! report.md: what goes into a bug report.

use std::fmt::Write;

use super::charts::{quantity_of, rate_words};
use super::json::{FindingEntry, LedgerClass, Report};
use crate::chart::Quantity;
use crate::verdict::Verdict;

/// Findings that are told in full; the others stand in the table.
const TOLD_IN_FULL: usize = 10;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, report);
    out
}

/// Text in a code span: a name from the kernel can hold anything.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

/// Text in a table or a sentence.
fn plain(text: &str) -> String {
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

/// Hours as people say them.
fn hours(hours: f64) -> String {
    if hours < 1.0 / 60.0 {
        format!("{:.0} s", hours * 3600.0)
    } else if hours < 1.0 {
        format!("{:.0} min", hours * 60.0)
    } else if hours < 72.0 {
        format!("{hours:.1} h")
    } else if hours < 24.0 * 365.0 {
        format!("{:.1} days", hours / 24.0)
    } else {
        format!("{:.0} years", hours / 24.0 / 365.0)
    }
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
    writeln!(out)?;
    if !report.findings.is_empty() {
        findings(out, report)?;
    }
    for overview in &report.overview {
        writeln!(out, "![how the memory is used]({overview})\n")?;
    }
    ledger(out, report)?;
    events(out, report)?;
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
    match (report.verdict, report.findings.first()) {
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
        "| # | verdict | what | grows (95 % interval) | growth | exhausts memory in |"
    )?;
    writeln!(out, "|--:|---|---|---|--:|--:|")?;
    for finding in &report.findings {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            finding.rank,
            finding.verdict,
            code(&finding.series),
            rate_words(
                quantity_of(finding.unit),
                finding.slope_per_hour,
                finding.slope_low,
                finding.slope_high
            ),
            number(finding.unit, finding.growth),
            finding.eta_hours.map_or_else(|| "-".to_owned(), hours),
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
        if finding.verdict == Verdict::Leak {
            "Leaks:"
        } else {
            "Suspect, a longer run decides:"
        },
        number(finding.unit, finding.first),
        number(finding.unit, finding.last),
        hours(finding.span_hours),
        match &finding.since {
            Some(since) => format!(", growing since {since}"),
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
    if let Some(chart) = &finding.chart {
        writeln!(out, "![{}]({chart})\n", plain(&finding.series))?;
    }
    Ok(())
}

fn ledger(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.ledger.classes.is_empty() {
        return Ok(());
    }
    writeln!(out, "## How the memory is used\n")?;
    writeln!(out, "| class | first | last | change | trend |")?;
    writeln!(out, "|---|--:|--:|--:|---|")?;
    let bytes = |value: f64| Quantity::Bytes.format(value);
    let mut row = |class: &LedgerClass| {
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
    for class in report
        .ledger
        .classes
        .iter()
        .chain(&report.ledger.unaccounted)
    {
        row(class)?;
    }
    writeln!(out)
}

fn events(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.events.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Events\n")?;
    for event in &report.events {
        writeln!(
            out,
            "- {} {}: {}",
            event.at.as_deref().unwrap_or("unknown time"),
            plain(&event.kind),
            plain(&event.text)
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
