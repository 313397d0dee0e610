//! What belongs together: sums and their parts, what one process moves, parts of the same objects.

use std::collections::HashMap;

use memsoak_schema::Trend;

use super::Judged;
use super::suspects::{Held, STANDS_OUT, is_of_mappings, pid};
use super::things::{
    Evidence, Thing, has_no_owner, is_held_file, is_of_process, is_on_mount, is_part_of, parts,
};
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

/// Two caches that gain the same number of objects, to this share, hold parts of the same things ...
const SAME_NUMBER: f64 = 0.05;

/// ... or to this one, where the intervals of both slopes allow that it is the same: objects on a CPU's
/// slab count as taken, so that small numbers come in steps of a slab.
const MAY_BE_SAME_NUMBER: f64 = 0.2;

/// ... when the course of one also explains this much of the other's variance.
const SAME_COURSE: f64 = 0.98;

/// The same of what is known to belong together and is little, so that it comes in few steps or lies in
/// noise: bookkeeping, slabs of what mappings consist of.
const LITTLE_COURSE: f64 = 0.9;

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
                && one
                    .curve
                    .as_ref()
                    .zip(orphan.curve.as_ref())
                    .is_some_and(|(x, y)| {
                        agreement(y, x).is_some_and(|found| found.shape >= LITTLE_COURSE)
                    })
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

/// Caches that gain the same number of objects along the same course hold parts of the same things, and
/// so does a cache with something that has an owner: the inodes of shared memory segments. What mappings
/// consist of is one thing in any number: a node of the tree has many.
///
/// The closest numbers are joined first, and never two groups of which each has an owner: many leaks at
/// once may happen to have like numbers.
pub(super) fn join_same_numbers(evidence: &Evidence<'_>, things: &[Thing], groups: &mut Groups) {
    let judged = evidence.judged;
    let head = |at: usize| &judged[things[at].members[0]];
    let has_owner = |at: usize| {
        let best = things[at].suspects.first();
        !has_no_owner(&head(at).name) || best.is_some_and(|best| best.strength >= STANDS_OUT)
    };
    let watched: Vec<usize> = (0..things.len())
        .filter(|at| !evidence.is_recorder(head(*at).key, &head(*at).name))
        .collect();
    let count = |at: usize| {
        let mut members = things[at].members.iter().map(|one| &judged[*one]);
        members.find(|one| one.name.quantity == Quantity::Count && one.name.trend == Trend::Count)
    };
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (place, &at) in watched.iter().enumerate() {
        for &other in &watched[place + 1..] {
            let owned = has_owner(at) && has_owner(other);
            if owned || head(at).key.boot != head(other).key.boot {
                continue;
            }
            let course = |one: &Judged, other: &Judged| {
                let curves = one.curve.as_ref().zip(other.curve.as_ref());
                curves
                    .and_then(|(x, y)| agreement(y, x))
                    .map_or(0.0, |found| found.shape)
            };
            if let Some((one, another)) = count(at).zip(count(other))
                && let Some(apart) = numbers_apart(one, another)
                && course(one, another) >= SAME_COURSE
            {
                pairs.push((apart, at, other));
            } else if [at, other]
                .iter()
                .all(|at| is_of_mappings(&head(*at).name.name))
                && course(head(at), head(other)) >= LITTLE_COURSE
            {
                pairs.push((f64::INFINITY, at, other));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    // By the root of each group.
    let mut owned = vec![false; things.len()];
    for at in 0..things.len() {
        owned[groups.root(at)] |= has_owner(at);
    }
    for (_, at, other) in pairs {
        let either = [at, other].map(|at| owned[groups.root(at)]);
        if either != [true, true] {
            groups.join(at, other);
            owned[groups.root(at)] = either[0] || either[1];
        }
    }
}

/// By which share of the larger one two numbers differ that may be the same.
fn numbers_apart(one: &Judged, other: &Judged) -> Option<f64> {
    let (one, other) = (&one.judgement, &other.judgement);
    let apart = (one.growth - other.growth).abs() / one.growth.max(other.growth);
    let may_be_equal = one.slope_low_per_s <= other.slope_high_per_s
        && other.slope_low_per_s <= one.slope_high_per_s;
    let same = apart <= SAME_NUMBER || (apart <= MAY_BE_SAME_NUMBER && may_be_equal);
    same.then_some(apart)
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
