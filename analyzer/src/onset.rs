//! What happened when a growth began.

use memsoak_schema::{Error, Recording, printable};
use serde::Serialize;

use crate::load::Index;
use crate::verdict::RULES;
use crate::words::headline;

/// The event next to an onset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Onset {
    /// `mark`, `run_start`, `process_start`, or the kind of an event of the recording.
    pub kind: String,
    /// What it was.
    pub text: String,
    /// Seconds from the event to the onset; negative where the event came after it. The onset
    /// itself is known to a block of the judged series.
    pub distance_s: f64,
}

/// Kinds of events that say something of the recording and not of the machine.
const BESIDE: &[&str] = &["renamed", "gap", "mem_info"];

/// Where more processes than this started about the onset, none of them is worth a name.
const FEW_STARTS: usize = 3;

/// How far from an onset an event may lie: the length of one block of the judged series, as the
/// onset is fitted to blocks.
pub fn onset_tolerance_s(index: &Index, boot: usize, source: i64) -> Option<f64> {
    let boot = index.boots.get(boot)?;
    let rule = |name: &str| {
        RULES
            .iter()
            .find(|rule| rule.name == name)
            .map(|rule| rule.value)
    };
    #[expect(clippy::cast_precision_loss, reason = "a number of samples")]
    let samples = boot.sources.get(&source)?.ticks.len() as f64;
    let blocks =
        (samples / rule("samples_per_block")?).clamp(rule("min_blocks")?, rule("max_blocks")?);
    Some(boot.span_s() / blocks)
}

/// The event nearest to an onset in a boot, within a tolerance; where two are as near, a mark comes
/// before the other kinds, and a start of a process last. The start of the recording itself is
/// none: what grows from there on began before.
///
/// # Errors
/// When the file is damaged.
pub fn onset_event(
    recording: &Recording,
    index: &Index,
    boot: usize,
    since_s: f64,
    tolerance_s: f64,
) -> Result<Option<Onset>, Error> {
    let Some(of_boot) = index.boots.get(boot) else {
        return Ok(None);
    };
    let number = of_boot.boot.boot;
    let mut near: Vec<Onset> = Vec::new();
    let mut take = |kind: &str, text: &str, t_s: f64| {
        let distance_s = since_s - t_s;
        if distance_s.abs() <= tolerance_s {
            near.push(Onset {
                kind: kind.to_owned(),
                text: text.to_owned(),
                distance_s,
            });
        }
    };
    let events = index.events.iter().filter(|event| event.boot == number);
    for event in events.filter(|event| !BESIDE.contains(&event.kind.as_str())) {
        take(
            &event.kind,
            &headline(&event.text, ""),
            of_boot.at(event.boottime_us),
        );
    }
    let first_run = index
        .runs
        .iter()
        .find(|run| run.boot == number)
        .map(|run| run.run);
    for run in index.runs.iter().filter(|run| run.boot == number) {
        if Some(run.run) != first_run {
            take(
                "run_start",
                "the recorder was started again",
                of_boot.at(run.started_us),
            );
        }
    }
    if since_s > tolerance_s {
        for (name, t_s) in process_starts(recording, index, boot, since_s, tolerance_s)? {
            take("process_start", &format!("{name} started"), t_s);
        }
    }
    let rank = |kind: &str| match kind {
        "mark" => 0,
        "process_start" => 2,
        _ => 1,
    };
    Ok(near.into_iter().min_by(|a, b| {
        a.distance_s
            .abs()
            .total_cmp(&b.distance_s.abs())
            .then(rank(&a.kind).cmp(&rank(&b.kind)))
    }))
}

/// Name and time of the processes that were first seen about an instant; none where they were many.
fn process_starts(
    recording: &Recording,
    index: &Index,
    boot: usize,
    since_s: f64,
    tolerance_s: f64,
) -> Result<Vec<(String, f64)>, Error> {
    let ticks = index
        .sources
        .iter()
        .find(|source| source.name == "process")
        .and_then(|source| Some((source, index.boots[boot].sources.get(&source.source)?)));
    let Some((source, ticks)) = ticks else {
        return Ok(Vec::new());
    };
    let from = ticks.t_s.partition_point(|t| *t < since_s - tolerance_s);
    let to = ticks.t_s.partition_point(|t| *t <= since_s + tolerance_s);
    let (Some(first), Some(last)) = (
        ticks.ticks.get(from),
        to.checked_sub(1).and_then(|to| ticks.ticks.get(to)),
    ) else {
        return Ok(Vec::new());
    };
    let started = recording.entities_first_seen(source.source, &(*first..=*last))?;
    if started.len() > FEW_STARTS {
        return Ok(Vec::new());
    }
    Ok(started
        .into_iter()
        .filter_map(|entity| {
            let at = ticks.ticks.binary_search(&entity.first_tick).ok()?;
            let name = printable(&entity.name);
            let name = match entity.labels.get("pid") {
                Some(pid) => format!("{name}[{pid}]"),
                None => name,
            };
            Some((name, ticks.t_s[at]))
        })
        .collect())
}
