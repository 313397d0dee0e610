//! The search for suspects: what there is to compare a leak with.

use std::collections::BTreeMap;

use super::Judged;
use super::suspects::{
    All, Clue, Held, Leak, Life, Suspect, by_life, is_kernel_thread, pid, suspects,
};
use super::things::{Evidence, Thing, is_same_thing, parts};
use crate::load::{Quantity, SeriesName};

/// What all processes together hold, boot by boot: as the kernel counts it, and their descriptors
/// by kind.
pub(super) fn counted_totals<'a>(
    evidence: &Evidence<'a>,
    things: &[Thing],
) -> Vec<(usize, All<'a>)> {
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
            && !evidence.is_recorder(clue.key, &clue.name)
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

/// The process that made System V segments, which bear no name but its number.
pub(super) fn maker_of(evidence: &Evidence<'_>, head: &Judged) -> Option<Suspect> {
    let maker = pid(&head.name).filter(|_| head.name.source == "sysvshm")?;
    let of_boot = |life: &&Life| life.key.boot == head.key.boot;
    let (key, name) = evidence.lives.iter().filter(of_boot).find_map(|life| {
        let name = SeriesName::of(evidence.recording, evidence.index, life.key).ok()?;
        (pid(&name) == Some(maker)).then_some((life.key, name))
    })?;
    Some(Suspect {
        key,
        series: name.id,
        pid: Some(maker),
        comm: name.name,
        why: "it made the segments".to_owned(),
        strength: 1.0,
        ratio: None,
        by_name: false,
        of_all: None,
    })
}

/// The processes that move with a thing that has no owner of its own.
pub(super) fn suspects_of(
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
    let clues = evidence
        .clues
        .iter()
        .filter(|clue| clue.key.boot == boot && !evidence.is_recorder(clue.key, &clue.name));
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
    let name = |key| {
        SeriesName::of(evidence.recording, evidence.index, key)
            .ok()
            .filter(|name| !evidence.is_recorder(key, name) && !is_kernel_thread(&name.labels))
    };
    by_life(&leak, &lives.collect::<Vec<_>>(), name)
        .into_iter()
        .collect()
}
