//! Things of which some series is called, and what they are of each other.

use std::collections::BTreeMap;

use memsoak_schema::{Labels, Recording, Trend};

use super::Judged;
use super::sites::SiteCurve;
use super::slabs::Layouts;
use super::suspects::{Clue, Life, STANDS_OUT, Suspect, pid};
use crate::load::{Index, Quantity, SeriesKey, SeriesName};
use crate::verdict::Verdict;

/// The source of what the recorder says of itself.
const RECORDER: &str = "recorder";

/// What findings are made from.
pub(super) struct Evidence<'a> {
    pub(super) recording: &'a Recording,
    pub(super) index: &'a Index,
    pub(super) judged: &'a [Judged],
    pub(super) clues: &'a [Clue],
    pub(super) lives: &'a [Life],
    pub(super) sites: &'a [SiteCurve],
    pub(super) layouts: &'a Layouts,
}

impl Evidence<'_> {
    /// Whether a thing is the recorder, or a file that it holds. What it holds follows the number of
    /// things that it watches, so it moves with every leak of things.
    pub(super) fn is_recorder(&self, key: SeriesKey, name: &SeriesName) -> bool {
        let number = self.index.boots.get(key.boot).map(|boot| boot.boot.boot);
        let runs = self
            .index
            .runs
            .iter()
            .filter(|run| Some(run.boot) == number);
        name.source == RECORDER
            || ((is_of_process(name) || is_held_file(name))
                && runs.into_iter().any(|run| Some(run.pid) == pid(name)))
    }
}

/// The called series of one thing: of one entity, or one scalar.
pub(super) struct Thing {
    /// Places in [`Evidence::judged`], the weightiest first; never empty.
    pub(super) members: Vec<usize>,
    pub(super) suspects: Vec<Suspect>,
    /// A sum over one name that one bearer makes up: it says nothing that this one does not.
    pub(super) mirror: bool,
}

impl Thing {
    /// Whether a suspect of it stands out.
    pub(super) fn is_blamed(&self) -> bool {
        let best = self.suspects.first();
        best.is_some_and(|best| best.strength >= STANDS_OUT)
    }
}

/// The things of which a series is called.
pub(super) fn things(evidence: &Evidence<'_>) -> Vec<Thing> {
    let judged = evidence.judged;
    let mut things: BTreeMap<(usize, i64, i64, i64), Vec<usize>> = BTreeMap::new();
    for (at, one) in judged.iter().enumerate() {
        if one.is_called() && !has_given_back(evidence, one) {
            let key = one.key;
            let metric = if key.entity == 0 { key.metric } else { 0 };
            things
                .entry((key.boot, key.source, key.entity, metric))
                .or_default()
                .push(at);
        }
    }
    things
        .into_values()
        .map(|mut members| {
            members.sort_by(|a, b| {
                let (a, b) = (&judged[*a], &judged[*b]);
                rank(a)
                    .cmp(&rank(b))
                    .then_with(|| weight(b).total_cmp(&weight(a)))
            });
            Thing {
                members,
                suspects: Vec::new(),
                mirror: false,
            }
        })
        .collect()
}

/// Whether it is a suspect that ended: a job that grew and ended gave its memory back, unless it was
/// the OOM killer that ended it.
fn has_given_back(evidence: &Evidence<'_>, one: &Judged) -> bool {
    one.ended && one.judgement.verdict == Verdict::Suspect && !was_killed(evidence.index, one)
}

/// Whether the OOM killer ended the process that it is of.
pub(super) fn was_killed(index: &Index, one: &Judged) -> bool {
    let number = index.boots.get(one.key.boot).map(|boot| boot.boot.boot);
    let victim = |detail: &Labels| detail.get("victim_pid").and_then(serde_json::Value::as_i64);
    one.ended
        && pid(&one.name).is_some_and(|pid| {
            index
                .events
                .iter()
                .any(|event| Some(event.boot) == number && victim(&event.detail) == Some(pid))
        })
}

pub(super) fn rank(head: &Judged) -> (bool, bool) {
    (
        head.judgement.verdict != Verdict::Leak,
        head.name.trend == Trend::Total,
    )
}

/// What matters more: memory before numbers of things, then the larger growth.
pub(super) fn weight(one: &Judged) -> f64 {
    let growth = one.judgement.growth.max(0.0);
    match one.name.quantity {
        Quantity::Bytes => 1.0 + growth,
        // A thing weighs less than any byte, more things more than fewer.
        Quantity::Count => growth / (1.0 + growth),
    }
}

/// Whether the kernel's word for it does not say whose it is. A mount and a control group are what
/// people know it by.
pub(super) fn has_no_owner(name: &SeriesName) -> bool {
    ![RECORDER, "tmpfs", "cgroup"].contains(&name.source.as_str())
        && !is_of_process(name)
        && pid(name).is_none()
}

pub(super) fn is_of_process(name: &SeriesName) -> bool {
    name.source == "process"
}

/// Whether it is shared memory that a process holds by descriptors.
pub(super) fn is_held_file(name: &SeriesName) -> bool {
    name.source == "shm"
}

/// Whether some files that a process holds are on a mount.
pub(super) fn is_on_mount(files: &Judged, mount: &Judged) -> bool {
    let device = |of: &Judged| of.name.labels.get("dev").cloned();
    is_held_file(&files.name)
        && mount.name.source == "tmpfs"
        && files.key.boot == mount.key.boot
        && device(files).is_some()
        && device(files) == device(mount)
}

pub(super) fn is_same_thing(one: SeriesKey, other: SeriesKey) -> bool {
    (one.boot, one.source, one.entity) == (other.boot, other.source, other.entity)
        && (one.entity != 0 || one.metric == other.metric)
}

pub(super) fn is_part_of(part: &Judged, total: &Judged) -> bool {
    part.key.boot == total.key.boot
        && !part.name.part_of.is_empty()
        && part.name.trend != Trend::Total
        && (part.name.part_of == total.name.id || part.name.part_of == total.name.part_of)
}

/// What a thing contributes to a total, in units a second. Of a thing that leaks all that grows
/// counts, also what was too little by itself to be called: the page tables of a process whose
/// anonymous memory leaks.
pub(super) fn contribution(judged: &[Judged], thing: SeriesKey, total: &Judged) -> f64 {
    judged
        .iter()
        .filter(|one| is_same_thing(one.key, thing) && is_part_of(one, total))
        .map(|one| one.judgement.slope_per_s.max(0.0))
        .sum()
}

/// The things that leak and are part of a total, with what they contribute. Of a sum over one name
/// and its members only one counts.
pub(super) fn parts(
    evidence: &Evidence<'_>,
    things: &[Thing],
    total: &Judged,
) -> Vec<(usize, f64)> {
    let judged = evidence.judged;
    let kin = &evidence.index.kin;
    let key = |thing: &Thing| judged[thing.members[0]].key;
    let is_in_sum = |thing: &Thing| {
        things.iter().any(|sum| {
            !sum.mirror
                && key(sum).boot == key(thing).boot
                && kin.of(key(thing).entity) == Some(key(sum).entity)
        })
    };
    things
        .iter()
        .enumerate()
        .filter(|(_, part)| !part.mirror && !is_in_sum(part))
        .map(|(at, part)| (at, contribution(judged, key(part), total)))
        .filter(|(_, slope)| *slope > 0.0)
        .collect()
}
