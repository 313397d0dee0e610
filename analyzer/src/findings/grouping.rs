//! One leak is one finding: which of what belongs together stands for the rest.

use std::collections::BTreeMap;

use memsoak_schema::Trend;

use super::attribution::Attribution;
use super::joining::{
    Groups, drop_own, fold_mounts, fold_names, fold_totals, join_bookkeeping, join_suspects,
};
use super::numbers::join_same_numbers;
use super::search::{counted_totals, maker_of, suspects_of};
use super::sites::allocated_by;
use super::slabs::join_extensions;
use super::things::{
    Evidence, Thing, has_no_owner, is_of_process, is_part_of, parts, rank, things, weight,
};
use super::{Finding, Judged};
use crate::ledger::Ledger;
use crate::load::Quantity;
use crate::verdict::Verdict;

/// A process stands for what the kernel holds for it only if it holds this many times as much itself:
/// what the kernel holds says more of what leaks, a thread rather than the memory that it touched.
const SPECIFIC: f64 = 4.0;

/// Draws up the findings, the worst first, and takes the totals that grow apart.
pub(super) fn findings(
    evidence: &Evidence<'_>,
    ledgers: &[Option<Ledger>],
) -> (Vec<Finding>, Vec<Attribution>) {
    let judged = evidence.judged;
    let mut things = things(evidence);
    drop_own(evidence, &mut things);
    let mut groups = Groups::new(things.len());
    fold_names(evidence, &mut things, &mut groups);
    fold_mounts(evidence, &mut things, &mut groups);
    let explained = fold_totals(evidence, &things, &mut groups);
    let totals = counted_totals(evidence, &things);
    for at in 0..things.len() {
        let head = &judged[things[at].members[0]];
        let parts_are_known = head.name.trend == Trend::Total
            && judged
                .iter()
                .filter(|part| is_part_of(part, head))
                .any(|part| part.judgement.verdict != Verdict::TooShort);
        if explained.contains(&at) || parts_are_known {
            continue;
        }
        things[at].suspects = if has_no_owner(&head.name) {
            suspects_of(evidence, &totals, head)
        } else {
            maker_of(evidence, head).into_iter().collect()
        };
    }
    join_suspects(evidence, &things, &mut groups);
    join_same_numbers(evidence, &things, &mut groups);
    join_extensions(evidence, &things, &mut groups);
    join_bookkeeping(evidence, &things, &mut groups);

    let mut clusters: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..things.len() {
        clusters.entry(groups.root(at)).or_default().push(at);
    }
    let mut findings: Vec<Finding> = clusters
        .into_values()
        .map(|cluster| finding(evidence, &things, &cluster))
        .collect();
    for finding in &mut findings {
        let head = &judged[finding.head];
        finding.share_of_growth = share_of_growth(judged, head);
        finding.allocated_by = allocated_by(evidence, head);
        let available = ledgers
            .get(head.key.boot)
            .and_then(|ledger| ledger.as_ref()?.available);
        if head.name.quantity == Quantity::Bytes && !head.ended {
            finding.eta_hours = available
                .map(|bytes| bytes / head.slope_per_hour())
                .filter(|hours| hours.is_finite() && *hours >= 0.0);
        }
    }
    // A total that stands for itself is not explained by what is beside it.
    findings.sort_by(|a, b| {
        let (a, b) = (&judged[a.head], &judged[b.head]);
        let is_leak = |one: &Judged| one.judgement.verdict == Verdict::Leak;
        is_leak(b)
            .cmp(&is_leak(a))
            .then_with(|| weight(b).total_cmp(&weight(a)))
    });
    let attribution = things
        .iter()
        .filter(|thing| judged[thing.members[0]].name.trend == Trend::Total)
        .map(|thing| {
            let total = thing.members[0];
            let parts = parts(evidence, &things, &judged[total]);
            let mut parts: Vec<(usize, f64)> = parts
                .iter()
                .map(|(at, slope)| (things[*at].members[0], *slope))
                .collect();
            if parts.is_empty() {
                parts = young_parts(evidence, &judged[total]);
            }
            let slope = judged[total].judgement.slope_per_s;
            Attribution::new(total, slope, parts.into_iter(), &thing.suspects)
        })
        .collect();
    (findings, attribution)
}

/// What parts of a total have gained that have too few samples to be judged: of a source that is read
/// seldom, in a recording that is young.
fn young_parts(evidence: &Evidence<'_>, total: &Judged) -> Vec<(usize, f64)> {
    let boot = evidence.index.boots.get(total.key.boot);
    let span_s = boot.map_or(0.0, |boot| boot.span_s());
    let parts = evidence.judged.iter().enumerate();
    parts
        .filter(|(_, part)| is_part_of(part, total))
        .filter(|(_, part)| part.judgement.verdict == Verdict::TooShort)
        .map(|(at, part)| {
            let gained = part.judgement.last - part.judgement.first;
            (at, gained / span_s.max(1.0))
        })
        .filter(|(_, slope)| *slope > 0.0)
        .collect()
}

/// The finding that a group of things makes. What the kernel holds stands for it unless the process
/// holds more itself: a thread's stack in the kernel rather than the number of threads. The recorder
/// stands for nothing but itself.
fn finding(evidence: &Evidence<'_>, things: &[Thing], cluster: &[usize]) -> Finding {
    let judged = evidence.judged;
    let is_recorder = |at: &usize| {
        let one = &judged[things[*at].members[0]];
        evidence.is_recorder(one.key, &one.name)
    };
    let own = cluster
        .iter()
        .all(|at| things[*at].mirror || is_recorder(at));
    let best = |of_process: bool| {
        cluster
            .iter()
            .filter(|at| !things[**at].mirror && (own || !is_recorder(at)))
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
        allocated_by: Vec::new(),
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
