//! Who moves with memory of the kernel that has no owner of its own.
//!
//! A cache, a vmalloc caller or pages that no counter owns do not say for whom they are held. What a
//! process holds beside them does: its descriptors, threads and mappings, the number of processes of
//! its name, or just the time that it lived.

use super::curve::Curve;
use crate::load::{Quantity, SeriesKey, SeriesName};
use crate::stats::{Agreement, agreement};

/// What a process has must explain at least this share of the variance of what leaks: less is left
/// over only where both go the same way all along.
const SHAPE: f64 = 0.9;

/// The line over a process's life must leave at most this share of what the line over all the time
/// leaves: a process that is there all the time, or anywhere, explains nothing.
const LIFE_LEFT_OVER: f64 = 0.25;

/// A ratio is whole when it is off by at most this much: half the distance at which chance would do
/// it in one of five.
const WHOLE: f64 = 0.1;

/// Ratios above this are whole by chance too often, as what is counted comes in slabs.
const LARGEST_WHOLE: f64 = 16.0;

/// Suspects are told from this share of the strength of the best on.
const NEAR_THE_BEST: f64 = 0.8;

/// At most so many are told of one finding.
const MOST: usize = 3;

/// The word for the process's descriptors, threads ...: what a metric of a process counts.
const CLUES: &[(&str, &str)] = &[
    ("fds", "descriptor"),
    ("threads", "thread"),
    ("processes", "process"),
    ("vm_size_bytes", "byte of address space"),
];

/// Caches of what a mapping consists of; how large the mapping is says nothing of any other.
const OF_MAPPINGS: &[&str] = &[
    "vm_area_struct",
    "vma_lock",
    "maple_node",
    "anon_vma",
    "anon_vma_chain",
];

/// Something of a process that may move with a leak.
#[derive(Debug)]
pub(super) struct Clue {
    pub(super) key: SeriesKey,
    pub(super) name: SeriesName,
    pub(super) curve: Curve,
    pub(super) growth: f64,
}

/// The part of a recording in which a process lived.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) key: SeriesKey,
    pub(super) from_s: f64,
    pub(super) to_s: f64,
}

/// Whether a metric of a process says something of what the kernel holds for it.
pub(super) fn is_clue(name: &SeriesName) -> bool {
    name.source == "process" && CLUES.iter().any(|(metric, _)| *metric == name.metric)
}

/// A process that moves with a leak.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The series that moves, or the first series of the process where only its life fits.
    pub key: SeriesKey,
    /// What that series is called.
    pub series: String,
    /// Its process id; `None` for processes of one name together.
    pub pid: Option<i64>,
    /// Its name.
    pub comm: String,
    /// What moves, in words and numbers.
    pub why: String,
    /// 0 to 1: the share of variance explained, halved where neither the changes agree nor the
    /// ratio is whole.
    pub strength: f64,
    /// Objects (or pages, where no objects are counted) for each descriptor, thread, process.
    pub ratio: Option<f64>,
}

/// What leaks, as suspects are compared with it.
pub(super) struct Leak<'a> {
    /// The bare kernel word.
    pub(super) name: &'a str,
    /// Objects, or bytes.
    pub(super) curve: &'a Curve,
    /// What the curve counts.
    pub(super) quantity: Quantity,
    pub(super) page_bytes: f64,
    pub(super) span_s: f64,
}

/// The processes that move with a leak, the strongest first; none where nothing fits.
pub(super) fn suspects(leak: &Leak<'_>, clues: &[&Clue]) -> Vec<Suspect> {
    let mut found: Vec<Suspect> = clues
        .iter()
        .filter_map(|clue| compare(leak, clue))
        .collect();
    found.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    // Of one process what fits best.
    let mut told: Vec<Suspect> = Vec::new();
    for suspect in found {
        let of_best = told
            .first()
            .map_or(1.0, |best| suspect.strength / best.strength);
        let known = told.iter().any(|other| {
            other.comm == suspect.comm && (other.pid == suspect.pid || suspect.pid.is_none())
        });
        if !known && of_best >= NEAR_THE_BEST && told.len() < MOST {
            told.push(suspect);
        }
    }
    told
}

fn compare(leak: &Leak<'_>, clue: &Clue) -> Option<Suspect> {
    let (_, thing) = CLUES
        .iter()
        .find(|(metric, _)| *metric == clue.name.metric)?;
    let of_memory = clue.name.quantity == Quantity::Bytes;
    if clue.growth <= 0.0 || (of_memory && !OF_MAPPINGS.contains(&leak.name)) {
        return None;
    }
    let found = agreement(leak.curve, &clue.curve)?;
    if found.shape < SHAPE {
        return None;
    }
    let (ratio, unit) = match leak.quantity {
        Quantity::Count => (found.ratio, "objects"),
        Quantity::Bytes => (found.ratio / leak.page_bytes, "pages"),
    };
    let whole = if of_memory { 0.0 } else { wholeness(ratio) };
    let support = whole.max(found.changes).clamp(0.0, 1.0);
    Some(Suspect {
        key: clue.key,
        series: clue.name.id.clone(),
        pid: pid(&clue.name),
        comm: clue.name.name.clone(),
        why: in_words(&found, clue, thing, (!of_memory).then_some((ratio, unit))),
        strength: found.shape * f64::midpoint(1.0, support),
        ratio: (!of_memory).then_some(ratio),
    })
}

/// 1 for a whole number of objects, falling to 0 at [`WHOLE`] from one.
fn wholeness(ratio: f64) -> f64 {
    if (1.0 - WHOLE..=LARGEST_WHOLE).contains(&ratio) {
        (1.0 - (ratio - ratio.round()).abs() / WHOLE).max(0.0)
    } else {
        0.0
    }
}

fn pid(name: &SeriesName) -> Option<i64> {
    name.labels.get("pid").and_then(serde_json::Value::as_i64)
}

fn in_words(found: &Agreement, clue: &Clue, thing: &str, ratio: Option<(f64, &str)>) -> String {
    let how_many = match (clue.name.quantity, pid(&clue.name)) {
        (Quantity::Bytes, _) => "its address space grows with it".to_owned(),
        (_, Some(_)) => format!("it has {:.0} {thing}s more", clue.growth),
        (_, None) => format!("all of its name have {:.0} {thing}s more", clue.growth),
    };
    let each = ratio.map_or_else(String::new, |(ratio, unit)| {
        format!(", {ratio:.2} {unit} for each {thing}")
    });
    format!(
        "{how_many}{each}; its course explains {:.1} % of the variance, the changes agree with a rank correlation of {:.2} over {} stretches",
        100.0 * found.shape,
        found.changes,
        found.n
    )
}

/// Processes during whose life it grew, and not before and after; none where several fit as well.
pub(super) fn by_life(
    leak: &Leak<'_>,
    lives: &[&Life],
    name: impl Fn(SeriesKey) -> Option<SeriesName>,
) -> Option<Suspect> {
    let step = leak.span_s / leak.curve.len() as f64;
    let mut fitting = lives
        .iter()
        // It has to begin or to end within the time, or its life is the line itself.
        .filter(|life| life.from_s > 3.0 * step || life.to_s < leak.span_s - 3.0 * step)
        .filter_map(|life| {
            let age: Curve = (0..leak.curve.len())
                .map(|k| {
                    let t = (k as f64 + 0.5) * step;
                    (t - life.from_s).clamp(0.0, life.to_s - life.from_s)
                })
                .collect();
            let found = agreement(leak.curve, &age)?;
            let explains =
                found.shape >= SHAPE && 1.0 - found.shape <= LIFE_LEFT_OVER * (1.0 - found.line);
            explains.then_some((life.key, found))
        });
    let (key, found) = fitting.next()?;
    if fitting.next().is_some() {
        return None;
    }
    let name = name(key)?;
    Some(Suspect {
        key,
        pid: pid(&name),
        series: name.id,
        comm: name.name,
        why: format!(
            "it grows only while this process lives, which explains {:.1} % of the variance (a line over all the time: {:.1} %)",
            100.0 * found.shape,
            100.0 * found.line
        ),
        strength: found.shape / 2.0,
        ratio: None,
    })
}
