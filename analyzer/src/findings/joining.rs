//! What belongs together: sums and their parts, what one process moves, parts of the same objects.

use std::collections::HashMap;

use memsoak_schema::Trend;

use super::Judged;
use super::suspects::{Held, STANDS_OUT, pid};
use super::things::{Evidence, Thing, is_held_file, is_of_process, is_on_mount, is_part_of, parts};
use crate::ledger::UNACCOUNTED;
use crate::load::Quantity;
use crate::stats::agreement;

/// A sum is explained by its parts when they make up at least this share of its slope: what is left is
/// under half of what they have, and naming the sum beside them would say the same twice.
const EXPLAINED: f64 = 0.7;

/// What has no owner and is at most this share of something that leaks along the same course is what
/// the kernel keeps to manage that: page tables of what is mapped (1/256 with a guard page for each),
/// the upper tables of a process, a struct for each area.
const BOOKKEEPING: f64 = 0.05;

/// Two series have the same course when one explains this much of the other's variance.
pub(super) const SAME_COURSE: f64 = 0.98;

/// The same of what is known to belong together and is little, so that it comes in few steps or lies in
/// noise: bookkeeping, slabs of what mappings consist of.
pub(super) const LITTLE_COURSE: f64 = 0.9;

/// How much of the variance of one a line over the other explains, 0 where either fell.
pub(super) fn course(one: &Judged, other: &Judged) -> f64 {
    let curves = one.curve.as_ref().zip(other.curve.as_ref());
    let found = curves.and_then(|(y, x)| agreement(y, x));
    found.map_or(0.0, |found| found.shape)
}

/// Drops the totals and mounts that grow because the recorder does, and its recording where that lies in
/// memory: a diagnosis tells of it.
pub(super) fn drop_own(evidence: &Evidence<'_>, things: &mut Vec<Thing>) {
    let judged = evidence.judged;
    things.retain(|thing| {
        let sum = &judged[thing.members[0]];
        if is_held_file(&sum.name) {
            return !evidence.is_recorder(sum.key, &sum.name);
        }
        let span_s = evidence
            .index
            .boots
            .get(sum.key.boot)
            .map_or(0.0, |boot| boot.span_s());
        let is_of_sum = |one: &Judged| {
            is_on_mount(one, sum) || (sum.name.trend == Trend::Total && is_part_of(one, sum))
        };
        let own: f64 = judged
            .iter()
            .filter(|one| is_of_sum(one) && evidence.is_recorder(one.key, &one.name))
            .map(|one| {
                // Its buffers grow by steps, of which a line is the mean.
                let mean = (one.judgement.last - one.judgement.first) / span_s.max(1.0);
                one.judgement.slope_per_s.max(mean)
            })
            .sum();
        own < EXPLAINED * sum.judgement.slope_per_s
    });
}

/// A mount belongs to the process that holds most of what grows on it.
pub(super) fn fold_mounts(evidence: &Evidence<'_>, things: &mut [Thing], groups: &mut Groups) {
    let judged = evidence.judged;
    for at in 0..things.len() {
        let mount = &judged[things[at].members[0]];
        let holders = things.iter().enumerate().map(|(place, files)| {
            let on_mount = files.members.iter().map(|one| &judged[*one]);
            let slope: f64 = on_mount
                .filter(|one| is_on_mount(one, mount) && one.name.quantity == Quantity::Bytes)
                .map(|one| one.judgement.slope_per_s)
                .sum();
            (place, slope)
        });
        let largest = holders.max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((largest, slope)) = largest
            && slope > 0.0
            && slope >= EXPLAINED * mount.judgement.slope_per_s
        {
            groups.join(at, largest);
            things[at].mirror = true;
        }
    }
}

/// The sum over things of one name belongs to the one that makes up most of it; otherwise they belong
/// to the sum: workers that leak alike, or children of which none lives long.
pub(super) fn fold_names(evidence: &Evidence<'_>, things: &mut [Thing], groups: &mut Groups) {
    let judged = evidence.judged;
    let kin = &evidence.index.kin;
    for at in 0..things.len() {
        let sum = &judged[things[at].members[0]];
        if kin.group(sum.key.entity).is_none() {
            continue;
        }
        let slope = |member: &Thing| {
            member
                .members
                .iter()
                .map(|one| &judged[*one])
                .find(|one| one.key.metric == sum.key.metric)
                .map_or(0.0, |one| one.judgement.slope_per_s)
        };
        let members: Vec<(usize, f64)> = things
            .iter()
            .enumerate()
            .filter(|(_, other)| {
                let key = judged[other.members[0]].key;
                key.boot == sum.key.boot && kin.of(key.entity) == Some(sum.key.entity)
            })
            .map(|(place, other)| (place, slope(other)))
            .collect();
        let largest = members.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        match largest {
            Some((largest, slope)) if *slope >= EXPLAINED * sum.judgement.slope_per_s => {
                groups.join(at, *largest);
                things[at].mirror = true;
            }
            _ => members
                .iter()
                .for_each(|(member, _)| groups.join(at, *member)),
        }
    }
}

/// Puts each total with the largest of its parts when the parts that leak explain it; returns the
/// totals that are.
pub(super) fn fold_totals(
    evidence: &Evidence<'_>,
    things: &[Thing],
    groups: &mut Groups,
) -> Vec<usize> {
    let judged = evidence.judged;
    let mut explained = Vec::new();
    for (at, thing) in things.iter().enumerate() {
        let total = &judged[thing.members[0]];
        if total.name.trend != Trend::Total {
            continue;
        }
        let parts = parts(evidence, things, total);
        let sum: f64 = parts.iter().map(|(_, slope)| slope).sum();
        if sum >= EXPLAINED * total.judgement.slope_per_s
            && let Some((largest, _)) = parts.iter().max_by(|a, b| a.1.total_cmp(&b.1))
        {
            groups.join(at, *largest);
            explained.push(at);
        }
    }
    explained
}

/// What is little, has no owner and grows along the course of something that leaks is kept to manage
/// that: pages that no counter owns, totals that no part explains, and what the recorder keeps of each
/// thing that it watches.
pub(super) fn join_bookkeeping(evidence: &Evidence<'_>, things: &[Thing], groups: &mut Groups) {
    let judged = evidence.judged;
    let is_recorder = |one: &Judged| evidence.is_recorder(one.key, &one.name);
    let is_orphan = |one: &Judged| {
        one.name.id == format!("ledger/{UNACCOUNTED}")
            || one.name.trend == Trend::Total
            || is_recorder(one)
    };
    for (at, thing) in things.iter().enumerate() {
        let orphan = &judged[thing.members[0]];
        // The recorder stands twice, as it says itself and among the processes, or with all of its name.
        let alone = (0..things.len()).all(|other| {
            other == at
                || groups.root(other) != groups.root(at)
                || things[other].mirror
                || is_recorder(&judged[things[other].members[0]])
        });
        if !alone || !is_orphan(orphan) || orphan.name.quantity != Quantity::Bytes {
            continue;
        }
        let manages = |one: &Judged| {
            one.key.boot == orphan.key.boot
                && one.name.quantity == Quantity::Bytes
                && !is_recorder(one)
                && orphan.judgement.slope_per_s <= BOOKKEEPING * one.judgement.slope_per_s
                && course(orphan, one) >= LITTLE_COURSE
        };
        let slope = |at: usize| judged[things[at].members[0]].judgement.slope_per_s;
        let largest = (0..things.len())
            .filter(|other| manages(&judged[things[*other].members[0]]))
            .max_by(|a, b| slope(*a).total_cmp(&slope(*b)));
        if let Some(largest) = largest {
            groups.join(at, largest);
        }
    }
}

/// What the same process moves is one leak, and the process's own series belong to it. Where all of
/// a name move it, they all do.
pub(super) fn join_suspects(evidence: &Evidence<'_>, things: &[Thing], groups: &mut Groups) {
    /// A process, or what all processes hold of something.
    #[derive(PartialEq, Eq, Hash)]
    enum Cause<'a> {
        Process(i64),
        All(Held, Option<&'a str>),
        Recorder,
    }
    let mut first_of: HashMap<(usize, Cause<'_>), usize> = HashMap::new();
    let processes: HashMap<(usize, i64), i64> = things
        .iter()
        .map(|thing| &evidence.judged[thing.members[0]])
        .filter(|one| is_of_process(&one.name))
        .filter_map(|one| Some(((one.key.boot, pid(&one.name)?), one.key.entity)))
        .collect();
    for (at, thing) in things.iter().enumerate() {
        let Judged { key, name, .. } = &evidence.judged[thing.members[0]];
        let moved_by = match thing.suspects.as_slice() {
            [only] if only.by_name => Some(only),
            all => all.first().filter(|best| best.strength >= STANDS_OUT),
        };
        let causes: Vec<Cause<'_>> = if evidence.is_recorder(*key, name) {
            vec![Cause::Recorder]
        } else if is_of_process(name) {
            vec![Cause::Process(key.entity)]
        } else if let Some(pid) = pid(name) {
            // What it holds by descriptors alone belongs to what it holds otherwise.
            let of_process = processes.get(&(key.boot, pid));
            of_process
                .map(|of| Cause::Process(*of))
                .into_iter()
                .collect()
        } else if let Some(best) = moved_by {
            let members = evidence.index.kin.members(best.key.entity);
            let of_process = std::iter::once(best.key.entity).chain(members);
            let of_all = best.of_all.as_ref();
            of_process
                .map(Cause::Process)
                .chain(of_all.map(|(held, kind)| Cause::All(*held, kind.as_deref())))
                .collect()
        } else {
            continue;
        };
        for cause in causes {
            groups.join(at, *first_of.entry((key.boot, cause)).or_insert(at));
        }
    }
}

/// Sets that are joined (union-find).
pub(super) struct Groups(Vec<usize>);

impl Groups {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    pub(super) fn root(&mut self, at: usize) -> usize {
        let mut root = at;
        while self.0[root] != root {
            self.0[root] = self.0[self.0[root]];
            root = self.0[root];
        }
        root
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
