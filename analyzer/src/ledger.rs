//! How MemTotal is used over time: classes that do not overlap, and what no class owns.
//!
//! The fields are those of /proc/meminfo (Documentation/filesystems/proc.rst), with the free pages
//! that wait on per-CPU lists from /proc/zoneinfo: they are in no field of meminfo, and without them
//! the rest wanders by tens of MiB. A class that this kernel or this user lacks is absent, not zero.

use std::collections::HashMap;

use memsoak_schema::{Error, Recording};

use crate::load::{Index, Points, SeriesKey, points};
use crate::verdict::{Cells, Judgement, Traits, judge};

/// Moments at which the ledger is drawn up; a divisor of the stretches that [`points`] keeps, so
/// that the fields of one moment are of one sample.
const MOMENTS: usize = 600;

/// A class: name, the fields that are added, the fields that are taken off, and whether the kernel
/// gives it back.
struct ClassDef {
    name: &'static str,
    plus: &'static [&'static str],
    minus: &'static [&'static str],
    reclaimable: bool,
}

/// Bottom up in the chart. Shmem is counted in Cached, and with stacks from vmalloc (VMAP_STACK,
/// x86 and arm64) KernelStack is counted in VmallocUsed.
const CLASSES: &[ClassDef] = &[
    class("anon", &["AnonPages"], &[], false),
    class("shmem", &["Shmem"], &[], false),
    class("slab_unreclaimable", &["SUnreclaim"], &[], false),
    class("slab_reclaimable", &["SReclaimable"], &[], true),
    class("kernel_stacks", &["KernelStack"], &[], false),
    class("page_tables", &["PageTables", "SecPageTables"], &[], false),
    class("percpu", &["Percpu"], &[], false),
    class("vmalloc", &["VmallocUsed"], &["KernelStack"], false),
    class("hugetlb", &["Hugetlb"], &[], false),
    class("file_cache", &["Cached", "Buffers"], &["Shmem"], true),
    class("free_percpu_lists", &[PCP], &[], true),
    class("free", &["MemFree"], &[], true),
];

const fn class(
    name: &'static str,
    plus: &'static [&'static str],
    minus: &'static [&'static str],
    reclaimable: bool,
) -> ClassDef {
    ClassDef {
        name,
        plus,
        minus,
        reclaimable,
    }
}

/// Stands for the sum of the zones' per-CPU lists.
const PCP: &str = "zoneinfo/pcp_count";

/// A class over time.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// Bytes at each moment of [`Ledger::t_s`]; `None` is a gap.
    pub values: Vec<Option<f64>>,
    /// Its trend; `None` for what is free.
    pub judgement: Option<Judgement>,
}

impl Class {
    /// First and last value that there is.
    pub fn ends(&self) -> Option<(f64, f64)> {
        let mut known = self.values.iter().flatten();
        let first = *known.next()?;
        Some((first, *self.values.iter().flatten().next_back()?))
    }
}

/// The ledger of one boot.
#[derive(Debug)]
pub struct Ledger {
    /// Seconds from the start.
    pub t_s: Vec<f64>,
    /// The classes, bottom up; `unaccounted` is among them.
    pub classes: Vec<Class>,
    /// MemTotal in bytes.
    pub total: f64,
    /// The last MemAvailable in bytes.
    pub available: Option<f64>,
}

/// The class of pages that no counter owns.
pub const UNACCOUNTED: &str = "unaccounted";

impl Ledger {
    fn of_nobody(&self) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == UNACCOUNTED)
    }

    /// What no class owns, as a series; `None` where it is never known.
    pub fn unaccounted(&self) -> Option<Cells> {
        let values = &self.of_nobody()?.values;
        let known: Vec<f64> = values.iter().map(|v| v.unwrap_or(f64::NAN)).collect();
        let cells = Cells::from_samples(&self.t_s, &known);
        (cells.n > 0).then_some(cells)
    }

    /// The same point by point.
    pub fn unaccounted_points(&self) -> Option<Points> {
        let values = &self.of_nobody()?.values;
        Some(Points {
            points: self
                .t_s
                .iter()
                .copied()
                .zip(values.iter().copied())
                .collect(),
        })
    }
}

/// Draws up the ledger of each boot; `None` where meminfo was not recorded.
///
/// # Errors
/// When the file is damaged.
pub fn read_ledgers(recording: &Recording, index: &Index) -> Result<Vec<Option<Ledger>>, Error> {
    let scalar_keys: Vec<(&str, i64, i64)> = index
        .sources
        .iter()
        .filter(|source| source.name == "meminfo")
        .flat_map(|source| {
            source
                .metrics
                .iter()
                .map(|metric| (metric.name.as_str(), source.source, metric.metric))
        })
        .filter(|(name, ..)| {
            *name == "MemTotal"
                || *name == "MemAvailable"
                || CLASSES.iter().any(|class| class.plus.contains(name))
        })
        .collect();
    let zones = index
        .sources
        .iter()
        .find(|source| source.name == "zoneinfo");
    let pcp = zones.and_then(|source| {
        let metric = source
            .metrics
            .iter()
            .find(|m| m.name == "pcp_count_pages")?;
        Some((source.source, metric.metric))
    });
    let mut keys = Vec::new();
    let mut zone_entities = Vec::new();
    if let Some((source, _)) = pcp {
        zone_entities = recording.entity_numbers(source)?;
    }
    for boot in 0..index.boots.len() {
        let number = index.boots[boot].boot.boot;
        keys.extend(scalar_keys.iter().map(|(_, source, metric)| SeriesKey {
            boot,
            source: *source,
            entity: 0,
            metric: *metric,
        }));
        if let Some((source, metric)) = pcp {
            let of_boot = zone_entities.iter().filter(|(_, of)| *of == number);
            keys.extend(of_boot.map(|(entity, _)| SeriesKey {
                boot,
                source,
                entity: *entity,
                metric,
            }));
        }
    }
    let found = points(recording, index, &keys)?;
    Ok((0..index.boots.len())
        .map(|boot| {
            let mut fields: HashMap<&str, Vec<&Points>> = HashMap::new();
            let of_boot = found.iter().filter(|(key, _)| key.boot == boot);
            // A zone that has no per-CPU lists (ZONE_DEVICE) has never had a value.
            for (key, points) in of_boot.filter(|(_, points)| points.has_values()) {
                let name = scalar_keys
                    .iter()
                    .find(|(_, source, metric)| (*source, *metric) == (key.source, key.metric))
                    .map_or(PCP, |(name, ..)| *name);
                fields.entry(name).or_default().push(points);
            }
            draw_up(index.boots[boot].span_s(), &fields)
        })
        .collect())
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred moments")]
fn draw_up(span_s: f64, fields: &HashMap<&str, Vec<&Points>>) -> Option<Ledger> {
    let t_s: Vec<f64> = (1..=MOMENTS)
        .map(|k| span_s * k as f64 / MOMENTS as f64)
        .collect();
    let sum = |name: &str, t: f64| -> Option<f64> {
        let parts = fields.get(name)?;
        parts.iter().map(|points| points.at(t)).sum()
    };
    let total = t_s.iter().find_map(|t| sum("MemTotal", *t))?;
    let mut classes: Vec<Class> = CLASSES
        .iter()
        .filter(|class| class.plus.iter().any(|field| fields.contains_key(field)))
        .map(|class| {
            let values: Vec<Option<f64>> = t_s
                .iter()
                .map(|t| {
                    // Fields that this kernel does not have are left out; one that it has and that
                    // is missing at this moment makes the moment a gap.
                    let known = |names: &'static [&'static str]| {
                        names
                            .iter()
                            .filter(|name| fields.contains_key(**name))
                            .map(|name| sum(name, *t))
                            .sum::<Option<f64>>()
                    };
                    Some((known(class.plus)? - known(class.minus)?).max(0.0))
                })
                .collect();
            Class {
                name: class.name,
                judgement: (!class.name.starts_with("free"))
                    .then(|| judge_values(&t_s, &values, class.reclaimable)),
                values,
            }
        })
        .collect();
    let rest: Vec<Option<f64>> = (0..t_s.len())
        .map(|at| {
            let used: Option<f64> = classes.iter().map(|class| class.values[at]).sum();
            Some(total - used?)
        })
        .collect();
    let place = classes
        .iter()
        .position(|class| class.name == "file_cache")
        .unwrap_or(classes.len());
    let unaccounted = Class {
        name: UNACCOUNTED,
        judgement: Some(judge_values(&t_s, &rest, false)),
        values: rest,
    };
    classes.insert(place, unaccounted);
    Some(Ledger {
        available: t_s.iter().rev().find_map(|t| sum("MemAvailable", *t)),
        t_s,
        classes,
        total,
    })
}

fn judge_values(t_s: &[f64], values: &[Option<f64>], reclaimable: bool) -> Judgement {
    let numbers: Vec<f64> = values
        .iter()
        .map(|value| value.unwrap_or(f64::NAN))
        .collect();
    let traits = Traits {
        reclaimable,
        ..Traits::default()
    };
    judge(&Cells::from_samples(t_s, &numbers), &traits)
}
