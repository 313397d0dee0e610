//! One leak is one finding: what belongs together, and which of it stands for the rest.

use std::collections::{BTreeMap, HashMap};

use memsoak_schema::{Recording, Trend};

use super::attribution::Attribution;
use super::suspects::{All, Clue, Held, Leak, Life, STANDS_OUT, Suspect, by_life, pid, suspects};
use super::{Finding, Judged};
use crate::ledger::Ledger;
use crate::load::{Index, Quantity, SeriesKey, SeriesName};
use crate::stats::agreement;
use crate::verdict::Verdict;

/// A total is explained by its parts when they make up at least this share of its slope: the larger
/// half of a growth has an owner, and naming the total beside it would say the same twice.
const EXPLAINED: f64 = 0.5;

/// A process stands for what the kernel holds for it only if it holds this many times as much itself:
/// what the kernel holds says more of what leaks, a thread rather than the memory that it touched.
const SPECIFIC: f64 = 4.0;

/// Two caches that gain the same number of objects, to this share, hold parts of the same things ...
const SAME_NUMBER: f64 = 0.05;

/// ... when the course of one also explains this much of the other's variance.
const SAME_COURSE: f64 = 0.98;

/// What findings are made from.
pub(super) struct Evidence<'a> {
    pub(super) recording: &'a Recording,
    pub(super) index: &'a Index,
    pub(super) judged: &'a [Judged],
    pub(super) clues: &'a [Clue],
    pub(super) lives: &'a [Life],
}

/// The called series of one thing: of one entity, or one scalar.
struct Thing {
    /// Places in [`Evidence::judged`], the weightiest first; never empty.
    members: Vec<usize>,
    suspects: Vec<Suspect>,
    /// A sum over one name that one bearer makes up: it says nothing that this one does not.
    mirror: bool,
}

/// Draws up the findings, the worst first, and takes the totals that grow apart.
pub(super) fn findings(
    evidence: &Evidence<'_>,
    ledgers: &[Option<Ledger>],
) -> (Vec<Finding>, Vec<Attribution>) {
    let judged = evidence.judged;
    let mut things = things(judged);
    let mut groups = Groups::new(things.len());
    fold_names(evidence, &mut things, &mut groups);
    let explained = fold_totals(evidence, &things, &mut groups);
    let totals = counted_totals(evidence, &things);
    for at in 0..things.len() {
        let head = &judged[things[at].members[0]];
        if !explained.contains(&at) && has_no_owner(&head.name) {
            things[at].suspects = suspects_of(evidence, &totals, head);
        }
    }
    join_suspects(evidence, &things, &mut groups);
    join_same_numbers(judged, &things, &mut groups);

    let mut clusters: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..things.len() {
        clusters.entry(groups.root(at)).or_default().push(at);
    }
    let mut findings: Vec<Finding> = clusters
        .into_values()
        .map(|cluster| finding(judged, &things, &cluster))
        .collect();
    for finding in &mut findings {
        let head = &judged[finding.head];
        finding.share_of_growth = share_of_growth(judged, head);
        let available = ledgers
            .get(head.key.boot)
            .and_then(|ledger| ledger.as_ref()?.available);
        if head.name.quantity == Quantity::Bytes {
            finding.eta_hours = available
                .map(|bytes| bytes / head.slope_per_hour())
                .filter(|hours| hours.is_finite() && *hours >= 0.0);
        }
    }
    findings.sort_by(|a, b| {
        let (a, b) = (&judged[a.head], &judged[b.head]);
        rank(a)
            .cmp(&rank(b))
            .then_with(|| weight(b).total_cmp(&weight(a)))
    });
    let attribution = things
        .iter()
        .filter(|thing| judged[thing.members[0]].name.trend == Trend::Total)
        .map(|thing| {
            let total = thing.members[0];
            let parts = parts(evidence, &things, &judged[total]);
            let parts = parts
                .iter()
                .map(|(at, slope)| (things[*at].members[0], *slope));
            let slope = judged[total].judgement.slope_per_s;
            Attribution::new(total, slope, parts, &thing.suspects)
        })
        .collect();
    (findings, attribution)
}

fn rank(head: &Judged) -> (bool, bool) {
    (
        head.judgement.verdict != Verdict::Leak,
        head.name.trend == Trend::Total,
    )
}

/// What matters more: memory before numbers of things, then the larger growth.
fn weight(one: &Judged) -> f64 {
    let growth = one.judgement.growth.max(0.0);
    match one.name.quantity {
        Quantity::Bytes => 1.0 + growth,
        // A thing weighs less than any byte, more things more than fewer.
        Quantity::Count => growth / (1.0 + growth),
    }
}

fn things(judged: &[Judged]) -> Vec<Thing> {
    let mut things: BTreeMap<(usize, i64, i64, i64), Vec<usize>> = BTreeMap::new();
    for (at, one) in judged.iter().enumerate() {
        if one.is_called() {
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

/// Whether the kernel's word for it does not say whose it is.
fn has_no_owner(name: &SeriesName) -> bool {
    let is_own = name.source == "recorder";
    !is_own && !is_of_process(name) && pid(name).is_none()
}

fn is_of_process(name: &SeriesName) -> bool {
    name.source == "process"
}

fn is_same_thing(one: SeriesKey, other: SeriesKey) -> bool {
    (one.boot, one.source, one.entity) == (other.boot, other.source, other.entity)
        && (one.entity != 0 || one.metric == other.metric)
}

fn is_part_of(part: &Judged, total: &Judged) -> bool {
    part.key.boot == total.key.boot
        && !part.name.part_of.is_empty()
        && part.name.trend != Trend::Total
        && (part.name.part_of == total.name.id || part.name.part_of == total.name.part_of)
}

/// What a thing contributes to a total, in units a second. Of a thing that leaks all that grows
/// counts, also what was too little by itself to be called: the page tables of a process whose
/// anonymous memory leaks.
fn contribution(judged: &[Judged], thing: SeriesKey, total: &Judged) -> f64 {
    judged
        .iter()
        .filter(|one| is_same_thing(one.key, thing) && is_part_of(one, total))
        .map(|one| one.judgement.slope_per_s.max(0.0))
        .sum()
}

/// The sum over things of one name belongs to the one that makes up most of it; otherwise they belong
/// to the sum: workers that leak alike, or children of which none lives long.
fn fold_names(evidence: &Evidence<'_>, things: &mut [Thing], groups: &mut Groups) {
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
fn fold_totals(evidence: &Evidence<'_>, things: &[Thing], groups: &mut Groups) -> Vec<usize> {
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

/// The things that leak and are part of a total, with what they contribute. Of a sum over one name
/// and its members only one counts.
fn parts(evidence: &Evidence<'_>, things: &[Thing], total: &Judged) -> Vec<(usize, f64)> {
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

/// What all processes together hold, boot by boot: as the kernel counts it, and their descriptors
/// by kind.
fn counted_totals<'a>(evidence: &Evidence<'a>, things: &[Thing]) -> Vec<(usize, All<'a>)> {
    let judged = evidence.judged;
    let mut totals: Vec<(usize, All<'a>)> = judged
        .iter()
        .filter_map(|total| {
            let held = Held::of_total(&total.name)?;
            let curve = total.curve.clone()?;
            let slope = total.judgement.slope_per_s.max(f64::MIN_POSITIVE);
            let parts = parts(evidence, things, total)
                .into_iter()
                .map(|(at, part)| {
                    let one = &judged[things[at].members[0]];
                    (one.key, &one.name, part / slope)
                });
            let all = All::new(held, None, curve, parts.collect());
            Some((total.key.boot, all))
        })
        .collect();
    let mut by_kind: BTreeMap<(usize, &str), Vec<&Clue>> = BTreeMap::new();
    for clue in evidence.clues {
        if clue.held == Held::Descriptors
            && clue.key.entity > 0
            && let Some(kind) = clue.kind()
        {
            by_kind.entry((clue.key.boot, kind)).or_default().push(clue);
        }
    }
    totals.extend(by_kind.into_iter().map(|((boot, kind), clues)| {
        let mut curve = vec![0.0; clues[0].curve.len()];
        for clue in &clues {
            // Before its life and after it a process holds none.
            for (sum, value) in curve.iter_mut().zip(&clue.curve) {
                *sum += if value.is_nan() { 0.0 } else { *value };
            }
        }
        let growth: f64 = clues.iter().map(|clue| clue.growth).sum();
        let parts = clues
            .iter()
            .map(|clue| (clue.key, &clue.name, clue.growth / growth));
        (
            boot,
            All::new(Held::Descriptors, Some(kind), curve, parts.collect()),
        )
    }));
    totals
}

fn suspects_of(
    evidence: &Evidence<'_>,
    totals: &[(usize, All<'_>)],
    head: &Judged,
) -> Vec<Suspect> {
    // Of a cache or caller its objects are compared: what belongs to a descriptor is one object.
    let counted = evidence
        .judged
        .iter()
        .filter(|one| is_same_thing(one.key, head.key) && head.key.entity != 0)
        .find(|one| one.name.quantity == Quantity::Count && one.curve.is_some())
        .unwrap_or(head);
    let boot = head.key.boot;
    let (Some(curve), Some(of)) = (&counted.curve, evidence.index.boots.get(boot)) else {
        return Vec::new();
    };
    let leak = Leak {
        name: &head.name.name,
        curve,
        quantity: counted.name.quantity,
        page_bytes: f64::from(of.boot.page_bytes),
        span_s: of.span_s(),
    };
    let clues = evidence.clues.iter().filter(|clue| clue.key.boot == boot);
    let totals = totals.iter().filter(|(of, _)| *of == boot);
    let found = suspects(
        &leak,
        &clues.collect::<Vec<_>>(),
        &totals.map(|(_, all)| all).collect::<Vec<_>>(),
    );
    if !found.is_empty() {
        return found;
    }
    let lives = evidence.lives.iter().filter(|life| life.key.boot == boot);
    let name = |key| SeriesName::of(evidence.recording, evidence.index, key).ok();
    by_life(&leak, &lives.collect::<Vec<_>>(), name)
        .into_iter()
        .collect()
}

/// What the same process moves is one leak, and the process's own series belong to it. Where all of
/// a name move it, they all do.
fn join_suspects(evidence: &Evidence<'_>, things: &[Thing], groups: &mut Groups) {
    let mut first_of: HashMap<(usize, i64), usize> = HashMap::new();
    let processes: HashMap<(usize, i64), i64> = things
        .iter()
        .map(|thing| &evidence.judged[thing.members[0]])
        .filter(|one| is_of_process(&one.name))
        .filter_map(|one| Some(((one.key.boot, pid(&one.name)?), one.key.entity)))
        .collect();
    for (at, thing) in things.iter().enumerate() {
        let Judged { key, name, .. } = &evidence.judged[thing.members[0]];
        let moved_by = thing.suspects.first().filter(|s| s.strength >= STANDS_OUT);
        let keys = if is_of_process(name) {
            vec![key.entity]
        } else if let Some(pid) = pid(name) {
            // What it holds by descriptors alone belongs to what it holds otherwise.
            processes
                .get(&(key.boot, pid))
                .copied()
                .into_iter()
                .collect()
        } else if let Some(best) = moved_by {
            let mut keys = vec![best.key.entity];
            keys.extend(evidence.index.kin.members(best.key.entity));
            keys
        } else {
            continue;
        };
        for entity in keys {
            groups.join(at, *first_of.entry((key.boot, entity)).or_insert(at));
        }
    }
}

/// Caches that gain the same number of objects along the same course hold parts of the same things.
fn join_same_numbers(judged: &[Judged], things: &[Thing], groups: &mut Groups) {
    let counted: Vec<(usize, &Judged)> = things
        .iter()
        .enumerate()
        .filter(|(_, thing)| has_no_owner(&judged[thing.members[0]].name))
        .filter_map(|(at, thing)| {
            let counts = thing.members.iter().map(|one| &judged[*one]);
            Some((
                at,
                counts.into_iter().find(|one| {
                    one.name.quantity == Quantity::Count && one.name.trend == Trend::Count
                })?,
            ))
        })
        .collect();
    for (place, (at, one)) in counted.iter().enumerate() {
        for (other_at, other) in &counted[place + 1..] {
            let (a, b) = (one.judgement.growth, other.judgement.growth);
            if one.key.boot != other.key.boot || (a - b).abs() > SAME_NUMBER * a.max(b) {
                continue;
            }
            if let (Some(x), Some(y)) = (&one.curve, &other.curve)
                && agreement(y, x).is_some_and(|found| found.shape >= SAME_COURSE)
            {
                groups.join(*at, *other_at);
            }
        }
    }
}

/// The finding that a group of things makes. What the kernel holds stands for it unless the process
/// holds more itself: a thread's stack in the kernel rather than the number of threads.
fn finding(judged: &[Judged], things: &[Thing], cluster: &[usize]) -> Finding {
    let best = |of_process: bool| {
        cluster
            .iter()
            .filter(|at| !things[**at].mirror)
            .filter(|at| is_of_process(&judged[things[**at].members[0]].name) == of_process)
            .map(|at| things[*at].members[0])
            .min_by(|a, b| {
                let (a, b) = (&judged[*a], &judged[*b]);
                rank(a)
                    .cmp(&rank(b))
                    .then_with(|| weight(b).total_cmp(&weight(a)))
            })
    };
    let total_only = |at: usize| judged[at].name.trend == Trend::Total;
    let head = match (best(false), best(true)) {
        (Some(kernel), Some(process)) => {
            let process_holds_more = weight(&judged[process]) > SPECIFIC * weight(&judged[kernel]);
            if process_holds_more || total_only(kernel) {
                process
            } else {
                kernel
            }
        }
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => things[cluster[0]].members[0],
    };
    let mut explains: Vec<usize> = cluster
        .iter()
        .flat_map(|at| things[*at].members.iter().copied())
        .filter(|at| *at != head)
        .collect();
    explains.sort_by(|a, b| weight(&judged[*b]).total_cmp(&weight(&judged[*a])));
    let suspects = if is_of_process(&judged[head].name) {
        Vec::new()
    } else {
        let of_head = cluster
            .iter()
            .filter(|at| things[**at].members[0] == head)
            .chain(cluster)
            .map(|at| &things[*at].suspects)
            .find(|suspects| !suspects.is_empty());
        of_head.cloned().unwrap_or_default()
    };
    Finding {
        head,
        explains,
        suspects,
        share_of_growth: None,
        eta_hours: None,
    }
}

fn share_of_growth(judged: &[Judged], head: &Judged) -> Option<f64> {
    let total = judged
        .iter()
        .find(|one| one.key.boot == head.key.boot && one.name.id == head.name.part_of)?;
    let growth = total.judgement.last - total.judgement.first;
    (growth > 0.0).then(|| (head.judgement.growth / growth).clamp(0.0, 1.0))
}

/// Sets that are joined (union-find).
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, at: usize) -> usize {
        let mut root = at;
        while self.0[root] != root {
            self.0[root] = self.0[self.0[root]];
            root = self.0[root];
        }
        root
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
