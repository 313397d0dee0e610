//! Experiments in the report: what was done, what it gave back, what it won.

use std::fmt::Write;

use serde::Serialize;

use super::json::{Clock, Report};
use super::markdown::{code, plain};
use crate::experiments::{Caches, Compaction, Experiment};
use crate::findings::Analysis;
use crate::words::{bytes, percent, took};

/// Caches that are told of an experiment; report.json has all that changed.
const MOST_CACHES: usize = 10;

/// A cache under this size is told by nobody.
const SMALLEST_CACHE: f64 = 262_144.0;

/// A probe.
#[derive(Debug, Serialize)]
pub struct ExperimentEntry {
    /// The boot.
    pub boot_id: String,
    /// Wall time at which it began.
    pub at: Option<String>,
    /// The same in seconds from the start of the boot's recording.
    pub t_s: f64,
    /// `drop-caches`, `compact`, `kmemleak-scan`, `sysrq-m`.
    pub kind: String,
    /// What was written, for `drop-caches`.
    pub argument: Option<String>,
    /// `done`, or why not.
    pub outcome: String,
    /// How long it took.
    pub took_seconds: Option<f64>,
    /// What was done one after the other.
    pub steps: Vec<StepEntry>,
    /// The time of the tick before it, in us of CLOCK_BOOTTIME.
    pub before_us: Option<i64>,
    /// The time of the tick after it.
    pub after_us: Option<i64>,
    /// What it showed, in words.
    pub text: String,
    /// What drop-caches gave back.
    pub caches: Option<CachesEntry>,
    /// What compaction won, by zone.
    pub zones: Vec<ZoneEntry>,
}

/// A step of a probe.
#[derive(Debug, Serialize)]
pub struct StepEntry {
    /// What was done.
    pub did: String,
    /// How long it took.
    pub took_seconds: f64,
}

/// What drop-caches gave back, in bytes; negative where there was more after it.
#[derive(Debug, Serialize)]
pub struct CachesEntry {
    /// Free memory won.
    pub free_bytes: Option<f64>,
    /// Of the page cache (Cached and Buffers without Shmem).
    pub page_cache_bytes: Option<f64>,
    /// Of the slabs that the kernel counts as reclaimable.
    pub reclaimable_slab_bytes: Option<f64>,
    /// The slab caches that changed.
    pub each: Vec<CacheEntry>,
}

/// A slab cache.
#[derive(Debug, Serialize)]
pub struct CacheEntry {
    /// The kernel's word.
    pub name: String,
    /// Bytes before.
    pub before_bytes: f64,
    /// Bytes after.
    pub after_bytes: f64,
    /// Objects in use before.
    pub before_objects: f64,
    /// Objects in use after.
    pub after_objects: f64,
    /// Whether its objects are known to go under pressure.
    pub reclaimable: bool,
}

/// The free blocks of a zone.
#[derive(Debug, Serialize)]
pub struct ZoneEntry {
    /// The zone and its node.
    pub name: String,
    /// Free blocks of each order from 0 on, before.
    pub before: Vec<f64>,
    /// And after.
    pub after: Vec<f64>,
    /// Share of its pageblocks that hold kernel memory that cannot be moved.
    pub pinned_share: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a probe")]
fn in_seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

pub(super) fn entries(analysis: &Analysis) -> Vec<ExperimentEntry> {
    let all = analysis.experiments.all.iter();
    all.map(|one| entry(analysis, one)).collect()
}

fn entry(analysis: &Analysis, one: &Experiment) -> ExperimentEntry {
    let index = &analysis.index;
    let clock = Clock {
        index,
        boot: one.boot,
    };
    ExperimentEntry {
        boot_id: index.boots[one.boot].boot.boot_id.clone(),
        at: clock.at(one.at_s),
        t_s: one.at_s,
        kind: one.done.kind.clone(),
        argument: one.done.argument.clone(),
        outcome: one.done.outcome.clone(),
        took_seconds: one.done.took_us.map(in_seconds),
        steps: one
            .done
            .steps
            .iter()
            .map(|(did, took_us)| StepEntry {
                did: did.clone(),
                took_seconds: in_seconds(*took_us),
            })
            .collect(),
        before_us: one.done.before_us,
        after_us: one.done.after_us,
        text: one.text(),
        caches: one.caches.as_ref().map(caches_entry),
        zones: one.compaction.iter().flat_map(zone_entries).collect(),
    }
}

fn caches_entry(caches: &Caches) -> CachesEntry {
    let gave = |found: Option<(f64, f64)>| found.map(|(before, after)| before - after);
    let changed = caches.each.iter().filter(|cache| {
        cache.gave_back().abs() > 0.0 || (cache.before_objects - cache.after_objects).abs() > 0.0
    });
    CachesEntry {
        free_bytes: gave(caches.key("MemFree")).map(|taken| -taken),
        page_cache_bytes: gave(caches.page_cache()),
        reclaimable_slab_bytes: gave(caches.key("SReclaimable")),
        each: changed
            .map(|cache| CacheEntry {
                name: cache.name.clone(),
                before_bytes: cache.before_bytes,
                after_bytes: cache.after_bytes,
                before_objects: cache.before_objects,
                after_objects: cache.after_objects,
                reclaimable: cache.reclaimable,
            })
            .collect(),
    }
}

fn zone_entries(compaction: &Compaction) -> Vec<ZoneEntry> {
    let zones = compaction.zones.iter();
    zones
        .map(|zone| ZoneEntry {
            name: zone.name.clone(),
            before: zone.before.clone(),
            after: zone.after.clone(),
            pinned_share: zone.pinned_share,
        })
        .collect()
}

/// Experiments that are told in full; probes at intervals make hundreds.
const TOLD_IN_FULL: usize = 4;

/// The section of the report.
pub(super) fn render(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.experiments.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Experiments\n")?;
    let from = report.experiments.len().saturating_sub(TOLD_IN_FULL);
    if from > 0 {
        writeln!(
            out,
            "The last {TOLD_IN_FULL} of {}; all stand in report.json.\n",
            report.experiments.len()
        )?;
    }
    for one in report.experiments.iter().skip(from) {
        let at = one.at.as_deref().unwrap_or("an unknown time");
        writeln!(out, "### {} at {at}\n", plain(&name(one)))?;
        writeln!(out, "{}\n", plain(&one.text))?;
        if !one.steps.is_empty() {
            let steps: Vec<_> = one.steps.iter().map(step).collect();
            writeln!(out, "Done: {}.\n", plain(&steps.join(", then ")))?;
        }
        if let Some(caches) = &one.caches {
            table_of_caches(out, caches)?;
        }
        table_of_zones(out, &one.zones)?;
    }
    Ok(())
}

fn step(step: &StepEntry) -> String {
    format!("{} ({})", step.did, took(step.took_seconds))
}

fn name(one: &ExperimentEntry) -> String {
    match &one.argument {
        Some(argument) => format!("{} {argument}", one.kind),
        None => one.kind.clone(),
    }
}

fn table_of_caches(out: &mut String, caches: &CachesEntry) -> std::fmt::Result {
    let shown: Vec<_> = caches
        .each
        .iter()
        .filter(|cache| {
            let large = cache.before_bytes >= SMALLEST_CACHE;
            large && (cache.before_bytes > cache.after_bytes || cache.reclaimable)
        })
        .take(MOST_CACHES)
        .collect();
    if shown.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "| slab cache | before | after | given back | objects |\n|---|--:|--:|--:|--:|"
    )?;
    for cache in shown {
        let share = (cache.before_bytes - cache.after_bytes) / cache.before_bytes;
        writeln!(
            out,
            "| {} | {} | {} | {} | {:.0} to {:.0} |",
            code(&cache.name),
            bytes(cache.before_bytes),
            bytes(cache.after_bytes),
            percent(share.max(0.0)),
            cache.before_objects,
            cache.after_objects
        )?;
    }
    writeln!(out)
}

fn table_of_zones(out: &mut String, zones: &[ZoneEntry]) -> std::fmt::Result {
    let orders = zones
        .iter()
        .map(|zone| zone.before.len().max(zone.after.len()))
        .max();
    let Some(orders) = orders.filter(|orders| *orders > 0) else {
        return Ok(());
    };
    write!(out, "| free blocks of order | |")?;
    for order in 0..orders {
        write!(out, " {order} |")?;
    }
    writeln!(out, "\n|---|---|{}", "--:|".repeat(orders))?;
    for zone in zones {
        for (when, blocks) in [("before", &zone.before), ("after", &zone.after)] {
            write!(out, "| {} | {when} |", plain(&zone.name))?;
            for order in 0..orders {
                match blocks.get(order) {
                    Some(n) => write!(out, " {n:.0} |")?,
                    None => write!(out, " - |")?,
                }
            }
            writeln!(out)?;
        }
    }
    writeln!(out)
}
