//! What probes showed that somebody should look at: caches that stayed, compaction that won nothing.

use memsoak_schema::{Error, Recording};
use serde_json::json;

use super::conditions::{HELD_CACHE_SHARE, HELD_GIVEN_BACK, SCATTERED_FREE};
use super::{Diagnosis, Severity, map};
use crate::experiments::{CacheShare, Caches, Compaction, Experiment, Experiments};
use crate::load::Index;
use crate::words::{bytes, percent};

/// The last probe of each kind in each boot is the one that counts.
pub(super) fn shown(recording: &Recording, index: &Index) -> Result<Vec<Diagnosis>, Error> {
    let experiments = Experiments::read(recording, index)?;
    let mut told = Vec::new();
    for boot in 0..index.boots.len() {
        let of_boot: Vec<&Experiment> = experiments.of_boot(boot).collect();
        let last = |with: &dyn Fn(&Experiment) -> bool| {
            of_boot.iter().rev().copied().find(|one| with(one))
        };
        let dropped = last(&|one| one.caches.is_some() && one.drops_slabs());
        told.extend(dropped.and_then(|one| held_caches(one, one.caches.as_ref()?)));
        let compacted = last(&|one| one.compaction.is_some());
        told.extend(compacted.and_then(|one| won_nothing(one, one.compaction.as_ref()?)));
    }
    Ok(told)
}

fn diagnosis(
    one: &Experiment,
    id: &'static str,
    severity: Severity,
    text: String,
    evidence: serde_json::Value,
) -> Diagnosis {
    Diagnosis {
        id,
        severity,
        boot: one.boot,
        from_s: one.at_s,
        until_s: Some(one.at_s),
        held_s: 0.0,
        text,
        evidence: map(evidence),
    }
}

fn held_caches(one: &Experiment, caches: &Caches) -> Option<Diagnosis> {
    let (total, _) = caches.key("MemTotal")?;
    let mut held: Vec<&CacheShare> = caches
        .each
        .iter()
        .filter(|cache| cache.reclaimable && cache.before_bytes >= HELD_CACHE_SHARE * total)
        .filter(|cache| cache.gave_back() <= HELD_GIVEN_BACK * cache.before_bytes)
        .collect();
    held.sort_by(|a, b| b.after_bytes.total_cmp(&a.after_bytes));
    if held.is_empty() {
        return None;
    }
    let words: Vec<String> = held
        .iter()
        .map(|cache| {
            format!(
                "{} kept {} of {} in {:.0} objects",
                cache.name,
                percent((cache.after_bytes / cache.before_bytes).min(1.0)),
                bytes(cache.before_bytes),
                cache.after_objects
            )
        })
        .collect();
    let text = format!(
        "After {} {}: these objects are in use, by open files, mounts or a reference that was never dropped.",
        one.done.name(),
        words.join(", ")
    );
    let evidence = json!({
        "series": held.iter()
            .map(|cache| format!("slabinfo/{}/slab_bytes", cache.name))
            .collect::<Vec<_>>(),
        "before_bytes": held.iter().map(|cache| cache.before_bytes).collect::<Vec<_>>(),
        "after_bytes": held.iter().map(|cache| cache.after_bytes).collect::<Vec<_>>(),
        "before_us": one.done.before_us,
        "after_us": one.done.after_us,
    });
    Some(diagnosis(
        one,
        "held_caches",
        Severity::Warning,
        text,
        evidence,
    ))
}

fn won_nothing(one: &Experiment, compaction: &Compaction) -> Option<Diagnosis> {
    let huge = compaction.huge_order;
    let block = f64::from(1_u32 << huge);
    let sum = |of: &dyn Fn(&crate::experiments::ZoneBlocks) -> f64| -> f64 {
        compaction.zones.iter().map(of).sum()
    };
    let won = sum(&|zone| zone.won_pages(huge));
    let scattered = sum(&|zone| zone.free_pages() - zone.pages_from(huge));
    if won > 0.0 || scattered < SCATTERED_FREE * block {
        return None;
    }
    let pinned: Vec<f64> = compaction
        .zones
        .iter()
        .filter_map(|zone| zone.pinned_share)
        .collect();
    let worst = pinned.iter().copied().fold(f64::NAN, f64::max);
    let mut text = format!(
        "Compaction won no block of {} although {} are free in smaller ones: huge pages cannot be had.",
        bytes(block * compaction.page_bytes),
        bytes(scattered * compaction.page_bytes),
    );
    if worst > 0.0 {
        text.push_str(&format!(
            " Up to {} of a zone's pageblocks hold kernel memory that cannot be moved.",
            percent(worst)
        ));
    }
    let evidence = json!({
        "series": ["buddyinfo/*", "pagetypeinfo/*/pageblocks"],
        "order": huge,
        "won_pages": won,
        "scattered_free_bytes": scattered * compaction.page_bytes,
        "pinned_share": pinned,
        "before_us": one.done.before_us,
        "after_us": one.done.after_us,
    });
    Some(diagnosis(
        one,
        "compaction_won_nothing",
        Severity::Warning,
        text,
        evidence,
    ))
}
