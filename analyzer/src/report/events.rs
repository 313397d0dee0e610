//! What happened, on one axis of time: what the kernel said, what was done to the machine, marks and
//! gaps; in the report as a list, on the charts as named instants.

use std::collections::BTreeMap;
use std::fmt::Write;

use memsoak_schema::{PROBE, PROBE_REQUEST};

use super::json::Report;
use super::markdown::plain;
use crate::load::Index;
use crate::words::{headline, seconds};

/// Kinds that are told elsewhere: names of processes that change, and requests, which are answered
/// by what they asked for.
pub(super) const BESIDE: &[&str] = &["renamed", PROBE_REQUEST];

/// Lines of one kind in the list; a reader looks at the first of a storm and at its end.
const MOST_OF_A_KIND: usize = 8;

/// Lines in the list: two pages.
const MOST_LINES: usize = 80;

/// What the kernel says by itself, with the word for it on a chart.
const KERNELS: &[(&str, &str)] = &[
    ("oom_kill", "OOM kill"),
    ("alloc_failure", "allocation failed"),
    ("kasan", "KASAN"),
    ("kfence", "KFENCE"),
    ("ubsan", "UBSAN"),
    ("kmemleak", "kmemleak"),
    ("hung_task", "hung task"),
    ("soft_lockup", "soft lockup"),
];

/// An event of a boot.
pub(super) struct OfBoot<'a> {
    pub(super) t_s: f64,
    kind: &'a str,
    text: &'a str,
}

/// Instants of one kind on a chart: of a storm the first, of probes those of some days.
const MOST_ON_CHARTS: usize = 6;
const MOST_PROBES_ON_CHARTS: usize = 24;

/// What the charts of a boot bear: every mark, probes that were made, and the first of each kind of
/// what the kernel said unasked.
pub(super) fn on_charts(index: &Index, boot: usize) -> Vec<OfBoot<'_>> {
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all = of_boot(index, boot);
    all.retain(|event| {
        let most = match event.kind {
            "mark" => usize::MAX,
            PROBE => MOST_PROBES_ON_CHARTS,
            _ => MOST_ON_CHARTS,
        };
        let is_shown = event.is_on_charts();
        let count = told.entry(event.kind).or_default();
        *count += usize::from(is_shown);
        is_shown && *count <= most
    });
    all
}

/// The events of a boot in order of time.
fn of_boot(index: &Index, boot: usize) -> Vec<OfBoot<'_>> {
    let of_boot = &index.boots[boot];
    let events = index
        .events
        .iter()
        .filter(|event| event.boot == of_boot.boot.boot);
    events
        .map(|event| OfBoot {
            t_s: of_boot.at(event.boottime_us),
            kind: &event.kind,
            text: &event.text,
        })
        .collect()
}

impl OfBoot<'_> {
    fn is_on_charts(&self) -> bool {
        match self.kind {
            "mark" => true,
            PROBE => self.text.ends_with(": done"),
            kind => KERNELS.iter().any(|(known, _)| *known == kind),
        }
    }

    /// A few words for a chart.
    pub(super) fn short(&self) -> String {
        match self.kind {
            PROBE => self.text.trim_end_matches(": done").to_owned(),
            kind => KERNELS
                .iter()
                .find(|(known, _)| *known == kind)
                .map_or_else(|| self.text.to_owned(), |(_, word)| (*word).to_owned()),
        }
    }
}

/// A line of the list.
struct Line {
    /// Place of the boot, and time in it: the order of the list.
    boot: usize,
    t_s: f64,
    at: Option<String>,
    kind: String,
    text: String,
}

fn lines(report: &Report) -> Vec<Line> {
    let mut lines: Vec<Line> = report
        .events
        .iter()
        .map(|event| Line {
            boot: event.boot,
            t_s: event.t_s,
            at: event.at.clone(),
            kind: event.kind.clone(),
            text: headline(&event.text, "Killed process "),
        })
        .collect();
    for (boot, recording) in report.recordings.iter().enumerate() {
        lines.extend(recording.gaps.iter().map(|gap| Line {
            boot,
            t_s: gap.from_s,
            at: gap.from.clone(),
            kind: "gap".to_owned(),
            text: format!("{} without a tick: {}", seconds(gap.seconds), gap.reason),
        }));
    }
    lines.sort_by(|a, b| a.boot.cmp(&b.boot).then(a.t_s.total_cmp(&b.t_s)));
    lines
}

/// The time since the start: `+1:22`, `+3:04:05`, `+2d 03:04:05`.
fn elapsed(t_s: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a recording"
    )]
    let t = t_s.max(0.0) as u64;
    let (days, hours, minutes, seconds) = (t / 86_400, t / 3600 % 24, t / 60 % 60, t % 60);
    match (days, hours) {
        (0, 0) => format!("+{minutes}:{seconds:02}"),
        (0, _) => format!("+{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("+{days}d {hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// The section of the report.
pub(super) fn render(out: &mut String, report: &Report) -> std::fmt::Result {
    let lines = lines(report);
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Events\n")?;
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    // How many of a kind are left out, and when the last of them was.
    let mut left_out: BTreeMap<&str, (usize, &Line)> = BTreeMap::new();
    let mut count = 0;
    let mut boot = None;
    for line in &lines {
        let of_kind = told.entry(&line.kind).or_default();
        if *of_kind >= MOST_OF_A_KIND || count >= MOST_LINES {
            let rest = left_out.entry(&line.kind).or_insert((0, line));
            *rest = (rest.0 + 1, line);
            continue;
        }
        *of_kind += 1;
        count += 1;
        if report.recordings.len() > 1 && boot.replace(line.boot) != Some(line.boot) {
            let id = report
                .recordings
                .get(line.boot)
                .map_or("", |recording| recording.boot_id.as_str());
            writeln!(out, "- boot {}", plain(id))?;
        }
        writeln!(
            out,
            "- {} ({}) **{}**: {}",
            line.at.as_deref().unwrap_or("unknown time"),
            elapsed(line.t_s),
            plain(&line.kind),
            plain(&line.text)
        )?;
    }
    for (kind, (count, last)) in &left_out {
        writeln!(
            out,
            "- and {count} more of **{}**, the last at {}",
            plain(kind),
            last.at.as_deref().unwrap_or("an unknown time")
        )?;
    }
    if report.events_left_out > 0 {
        writeln!(
            out,
            "- and {} more in the table `event` of the recording",
            report.events_left_out
        )?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::elapsed;

    #[test]
    fn times_since_the_start_are_short_and_exact_to_the_second() {
        let shown = [0.4, 82.9, 11_045.0, 183_845.0, -1.0].map(elapsed);
        assert_eq!(
            shown,
            ["+0:00", "+1:22", "+3:04:05", "+2d 03:04:05", "+0:00"]
        );
    }
}
