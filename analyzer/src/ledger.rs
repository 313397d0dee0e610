//! How MemTotal is used over time: classes that do not overlap, and what no class owns.
//!
//! The fields are those of /proc/meminfo (Documentation/filesystems/proc.rst), with the free pages
//! that wait on per-CPU lists from /proc/zoneinfo: they are in no field of meminfo, and without them
//! the rest wanders by tens of MiB, and with what drivers hold of the areas for contiguous memory from
//! the source cma. A class that this kernel or this user lacks is absent, not zero.

use std::collections::{HashMap, HashSet};

use memsoak_schema::{Error, Metric, Recording, Source};

use crate::experiments::judge_past;
use crate::load::{Index, Points, SeriesKey, points};
use crate::stats;
use crate::verdict::{Cells, Judgement, Traits, judge};

/// Moments at which the ledger is drawn up, where there are as many samples; a divisor of the
/// stretches that [`points`] keeps, so that the fields of one moment are of one sample.
const MOMENTS: usize = 600;

/// The fields at one moment, in bytes.
struct Moment<'a> {
    fields: &'a Fields<'a>,
    t_s: f64,
}

impl Moment<'_> {
    /// A field; `None` where this kernel lacks it or it is missing at this moment.
    fn of(&self, field: &str) -> Option<f64> {
        let parts = self.fields.found.get(field)?;
        parts.iter().map(|points| points.at(self.t_s)).sum()
    }

    /// A field that counts as nothing where this kernel lacks it.
    fn if_any(&self, field: &str) -> Option<f64> {
        if self.fields.found.contains_key(field) {
            self.of(field)
        } else {
            Some(0.0)
        }
    }
}

/// A class: its name, the field without which it is absent, its bytes, and whether the kernel gives
/// it back.
struct ClassDef {
    name: &'static str,
    field: &'static str,
    bytes: fn(&Moment<'_>) -> Option<f64>,
    reclaimable: bool,
}

const fn class(
    name: &'static str,
    field: &'static str,
    bytes: fn(&Moment<'_>) -> Option<f64>,
) -> ClassDef {
    ClassDef {
        name,
        field,
        bytes,
        reclaimable: false,
    }
}

impl ClassDef {
    const fn reclaimable(mut self) -> Self {
        self.reclaimable = true;
        self
    }
}

/// Bottom up in the chart.
const CLASSES: &[ClassDef] = &[
    class("anon", "AnonPages", |at| at.of("AnonPages")),
    // Pages that were swapped in, or wait to be written out, and that nobody maps: those that are
    // mapped are anon too. What stands on the LRU lists beside the page cache and anon.
    class("swap_cache", "SwapCached", |at| {
        let lru = [
            "Active(anon)",
            "Inactive(anon)",
            "Active(file)",
            "Inactive(file)",
            "Unevictable",
        ];
        let listed: f64 = lru.iter().map(|list| at.of(list)).sum::<Option<f64>>()?;
        let owned = at.of("AnonPages")? + at.of("Cached")? + at.of("Buffers")?;
        Some((listed - owned).clamp(0.0, at.of("SwapCached")?))
    }),
    class("shmem", "Shmem", |at| at.of("Shmem")),
    class("slab_unreclaimable", "SUnreclaim", |at| at.of("SUnreclaim")),
    class("slab_reclaimable", "SReclaimable", |at| {
        at.of("SReclaimable")
    })
    .reclaimable(),
    // Since Linux 4.20 (commit 61f94e18de94): what drivers keep and give back, ION pools for one.
    class("misc_reclaimable", "KReclaimable", |at| {
        Some((at.of("KReclaimable")? - at.of("SReclaimable")?).max(0.0))
    })
    .reclaimable(),
    class("kernel_stacks", "KernelStack", |at| at.of("KernelStack")),
    class("page_tables", "PageTables", |at| {
        Some(at.of("PageTables")? + at.if_any("SecPageTables")?)
    }),
    class("percpu", "Percpu", |at| at.of("Percpu")),
    class("vmalloc", VMALLOC, |at| {
        let stacks = if at.fields.stacks_are_mapped {
            at.of("KernelStack")?
        } else {
            0.0
        };
        Some((at.of(VMALLOC)? - stacks).max(0.0))
    }),
    class("hugetlb", "Hugetlb", |at| at.of("Hugetlb")),
    // What zram and zswap hold compressed (mm/zsmalloc.c).
    class("zsmalloc", ZSPAGES, |at| at.of(ZSPAGES)),
    // Pools of zswap that are not of zsmalloc: zbud and z3fold, which commit 6df8bae8e851 and its
    // neighbour removed in Linux 6.15. Those of zsmalloc are no larger than all that it has.
    class("zswap", "Zswap", |at| {
        Some((at.of("Zswap")? - at.if_any(ZSPAGES)?).max(0.0))
    }),
    // What drivers hold; pages of processes that stay in an area meanwhile are anon or file cache.
    class("cma", CMA, |at| at.of(CMA)),
    class("balloon", "Balloon", |at| at.of("Balloon")),
    class("hardware_corrupted", "HardwareCorrupted", |at| {
        at.of("HardwareCorrupted")
    }),
    // Shmem is counted in Cached.
    class("file_cache", "Cached", |at| {
        Some((at.of("Cached")? + at.of("Buffers")? - at.of("Shmem")?).max(0.0))
    })
    .reclaimable(),
    class("free_percpu_lists", PCP, |at| at.of(PCP)).reclaimable(),
    class("free", "MemFree", |at| at.of("MemFree")).reclaimable(),
];

/// The fields of meminfo that the classes are made of.
const FIELDS: &[&str] = &[
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Buffers",
    "Cached",
    "SwapCached",
    "Active(anon)",
    "Inactive(anon)",
    "Active(file)",
    "Inactive(file)",
    "Unevictable",
    "AnonPages",
    "Shmem",
    "SUnreclaim",
    "SReclaimable",
    "KReclaimable",
    "KernelStack",
    "PageTables",
    "SecPageTables",
    "Percpu",
    VMALLOC,
    "Hugetlb",
    "Zswap",
    "Balloon",
    "HardwareCorrupted",
];

/// Stands for the sum of the zones' per-CPU lists.
const PCP: &str = "pcp_count_pages";

/// Stands for the sum of the zones' compressed pages.
const ZSPAGES: &str = "zspages_pages";

/// Stands for the sum over the areas of the contiguous memory allocator.
const CMA: &str = "used_pages";

/// Areas of which huge pages are made, which Hugetlb has already (mm/hugetlb_cma.c).
const CMA_OF_HUGETLB: &[u8] = b"hugetlb";

/// Pages behind vmalloc: VmallocUsed, or the sum over vmallocinfo where that is always 0, from Linux
/// 4.4 (commit a5ad88ce8c7f) to 5.2 (until commit 97105f0ab7b8).
const VMALLOC: &str = "VmallocUsed";

/// Who maps the stacks of tasks where they are mapped (CONFIG_VMAP_STACK): then vmalloc has them in.
const STACK_CALLERS: &[&[u8]] = &[
    b"kernel_clone",
    b"dup_task_struct",
    b"alloc_thread_stack_node",
    b"copy_process",
    b"_do_fork",
];

/// Architectures that map them by default, for recordings without vmallocinfo (HAVE_ARCH_VMAP_STACK
/// with VMAP_STACK default y; on 32-bit arm only since Linux 5.18).
const MAPPED_BY_DEFAULT: &[&str] = &["x86_64", "aarch64", "s390x", "riscv64"];

/// Fields of one boot, point by point; several of one name are added.
struct Fields<'a> {
    found: HashMap<&'a str, Vec<&'a Points>>,
    stacks_are_mapped: bool,
}

/// A class over time.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// Bytes at each moment of [`Ledger::t_s`]; `None` is a gap.
    pub values: Vec<Option<f64>>,
    /// The kernel gives it back, or it is free.
    pub reclaimable: bool,
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

impl Class {
    /// How far a value may be off from the next by the way it is read, in bytes: the scatter of the
    /// changes from moment to moment, as a standard deviation of one value. The fields are not read
    /// at one instant, and the kernel folds its counters per CPU now and then.
    pub fn noise(&self) -> Option<f64> {
        let known: Vec<f64> = self.values.iter().flatten().copied().collect();
        let changes: Vec<f64> = known.windows(2).map(|w| w[1] - w[0]).collect();
        (changes.len() > 1).then(|| stats::mad_sigma(&changes) / std::f64::consts::SQRT_2)
    }
}

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

    /// Judges the classes anew without what fills again after probes; `drops` are the times before
    /// and after each.
    pub fn look_past(&mut self, drops: &[(f64, f64)]) {
        if drops.is_empty() {
            return;
        }
        for class in &mut self.classes {
            if class.judgement.is_some() {
                let (cells, traits) = to_judge(&self.t_s, &class.values, class.reclaimable);
                class.judgement = Some(judge_past(&cells, drops, &traits));
            }
        }
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
    let mut keys: Vec<(SeriesKey, &str)> = Vec::new();
    let mut mapped = vec![None; index.boots.len()];
    for source in &index.sources {
        match source.name.as_str() {
            "meminfo" => {
                let used = |metric: &&Metric| FIELDS.contains(&metric.name.as_str());
                for metric in source.metrics.iter().filter(used) {
                    keys.extend((0..index.boots.len()).map(|boot| {
                        let key = SeriesKey {
                            boot,
                            source: source.source,
                            entity: 0,
                            metric: metric.metric,
                        };
                        (key, metric.name.as_str())
                    }));
                }
            }
            "zoneinfo" => {
                for field in [PCP, ZSPAGES] {
                    entity_keys(recording, index, source, field, &mut keys)?;
                }
            }
            "cma" => {
                let mut others = HashSet::new();
                recording.scan_names(source.source, |entity, _, name, _| {
                    if name.starts_with(CMA_OF_HUGETLB) {
                        others.insert(entity);
                    }
                })?;
                let from = keys.len();
                entity_keys(recording, index, source, CMA, &mut keys)?;
                let added = keys.split_off(from);
                keys.extend(
                    added
                        .into_iter()
                        .filter(|(key, _)| !others.contains(&key.entity)),
                );
            }
            "vmallocinfo" => {
                entity_keys(recording, index, source, "alloc_pages", &mut keys)?;
                recording.scan_names(source.source, |_, boot, name, _| {
                    let at = index.boots.iter().position(|of| of.boot.boot == boot);
                    if let Some(mapped) = at.and_then(|at| mapped.get_mut(at)) {
                        *mapped = Some(mapped.unwrap_or(false) || STACK_CALLERS.contains(&name));
                    }
                })?;
            }
            _ => {}
        }
    }
    let meminfo = index.sources.iter().find(|source| source.name == "meminfo");
    let meminfo = meminfo.map(|source| source.source);
    let wanted: Vec<SeriesKey> = keys.iter().map(|(key, _)| *key).collect();
    let points = points(recording, index, &wanted)?;
    Ok(index
        .boots
        .iter()
        .enumerate()
        .map(|(at, boot)| {
            let mut found: HashMap<&str, Vec<&Points>> = HashMap::new();
            for (key, name) in keys.iter().filter(|(key, _)| key.boot == at) {
                // A zone that has no per-CPU lists (ZONE_DEVICE) has never had a value.
                if let Some(points) = points.get(key).filter(|points| points.has_values()) {
                    found.entry(name).or_default().push(points);
                }
            }
            let by_callers = found.remove("alloc_pages");
            let is_zero = |of: &Vec<&Points>| of.iter().all(|points| points.are_zero());
            if found.get(VMALLOC).is_some_and(is_zero) {
                found.remove(VMALLOC);
                found.extend(by_callers.map(|callers| (VMALLOC, callers)));
            }
            let samples = meminfo
                .and_then(|source| boot.sources.get(&source))
                .map_or(0, |ticks| ticks.t_s.len());
            let arch = index.host(&boot.boot).map_or("", |host| host.arch.as_str());
            let fields = Fields {
                found,
                stacks_are_mapped: mapped[at].unwrap_or(MAPPED_BY_DEFAULT.contains(&arch)),
            };
            draw_up(boot.span_s(), samples.min(MOMENTS), &fields)
        })
        .collect())
}

/// The series of one column of every entity of a source.
fn entity_keys<'a>(
    recording: &Recording,
    index: &Index,
    source: &'a Source,
    field: &str,
    keys: &mut Vec<(SeriesKey, &'a str)>,
) -> Result<(), Error> {
    let Some(metric) = source.metrics.iter().find(|metric| metric.name == field) else {
        return Ok(());
    };
    for (entity, number) in recording.entity_numbers(source.source)? {
        let boot = index.boots.iter().position(|boot| boot.boot.boot == number);
        keys.extend(boot.map(|boot| {
            let key = SeriesKey {
                boot,
                source: source.source,
                entity,
                metric: metric.metric,
            };
            (key, metric.name.as_str())
        }));
    }
    Ok(())
}

fn draw_up(span_s: f64, count: usize, fields: &Fields<'_>) -> Option<Ledger> {
    let t_s: Vec<f64> = (1..=count)
        .map(|k| span_s * k as f64 / count as f64)
        .collect();
    let moments: Vec<Moment<'_>> = t_s.iter().map(|t| Moment { fields, t_s: *t }).collect();
    let total = moments.iter().find_map(|at| at.of("MemTotal"))?;
    let mut classes: Vec<Class> = CLASSES
        .iter()
        .filter(|class| fields.found.contains_key(class.field))
        .map(|class| {
            let values: Vec<Option<f64>> = moments.iter().map(class.bytes).collect();
            Class {
                name: class.name,
                reclaimable: class.reclaimable,
                judgement: (!class.name.starts_with("free"))
                    .then(|| judge_values(&t_s, &values, class.reclaimable)),
                values,
            }
        })
        .filter(|class| class.values.iter().any(Option::is_some))
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
        reclaimable: false,
        judgement: Some(judge_values(&t_s, &rest, false)),
        values: rest,
    };
    classes.insert(place, unaccounted);
    Some(Ledger {
        available: moments.iter().rev().find_map(|at| at.of("MemAvailable")),
        t_s,
        classes,
        total,
    })
}

fn judge_values(t_s: &[f64], values: &[Option<f64>], reclaimable: bool) -> Judgement {
    let (cells, traits) = to_judge(t_s, values, reclaimable);
    judge(&cells, &traits)
}

fn to_judge(t_s: &[f64], values: &[Option<f64>], reclaimable: bool) -> (Cells, Traits) {
    let numbers: Vec<f64> = values
        .iter()
        .map(|value| value.unwrap_or(f64::NAN))
        .collect();
    let traits = Traits {
        reclaimable,
        ..Traits::default()
    };
    (Cells::from_samples(t_s, &numbers), traits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    /// A ledger of fields that hold still, in MiB.
    fn of(fields: &[(&str, f64)], stacks_are_mapped: bool) -> Option<Ledger> {
        let points: Vec<(&str, Points)> = fields
            .iter()
            .map(|(name, mib)| {
                let points = vec![(0.0, Some(mib * MIB))];
                (*name, Points { points })
            })
            .collect();
        let found = points.iter().map(|(name, of)| (*name, vec![of])).collect();
        let fields = Fields {
            found,
            stacks_are_mapped,
        };
        draw_up(600.0, 9, &fields)
    }

    fn class(ledger: &Ledger, name: &str) -> Option<f64> {
        let class = ledger.classes.iter().find(|class| class.name == name)?;
        class.values[0].map(|bytes| bytes / MIB)
    }

    /// Every field, each with its own number.
    fn every_field() -> Vec<(&'static str, f64)> {
        let fields = FIELDS.iter().chain(&[PCP, ZSPAGES, CMA]);
        let number = |name: &str| match name {
            "MemTotal" => 10_000.0,
            "Cached" => 900.0,
            "Inactive(file)" => 1_500.0,
            name => 10.0 + name.len() as f64,
        };
        fields.map(|name| (*name, number(name))).collect()
    }

    #[test]
    fn the_classes_and_the_rest_make_up_memtotal() {
        let ledger = of(&every_field(), true).expect("MemTotal is known");
        assert_eq!(
            ledger.classes.len(),
            CLASSES.len() + 1,
            "each field that a class reads is listed"
        );
        for at in 0..ledger.t_s.len() {
            let sum: Option<f64> = ledger.classes.iter().map(|class| class.values[at]).sum();
            assert!((sum.expect("all are known") - ledger.total).abs() < 1.0);
        }
        assert!((class(&ledger, "vmalloc").expect("known") - 0.0).abs() < 1e-9);
        let file = 900.0 + 17.0 - 15.0;
        assert!((class(&ledger, "file_cache").expect("known") - file).abs() < 1e-9);
    }

    #[test]
    fn a_class_that_the_kernel_lacks_is_absent_and_not_zero() {
        let mut fields = every_field();
        fields.retain(|(name, _)| !["Percpu", "SecPageTables", PCP].contains(name));
        let ledger = of(&fields, true).expect("MemTotal is known");
        assert_eq!(class(&ledger, "percpu"), None);
        assert_eq!(class(&ledger, "free_percpu_lists"), None);
        assert!(
            class(&ledger, "page_tables").is_some(),
            "a part that came later"
        );
        assert!(
            of(&[("MemFree", 1.0)], true).is_none(),
            "no ledger without MemTotal"
        );
    }

    #[test]
    fn stacks_are_taken_off_vmalloc_only_where_they_are_mapped() {
        let fields = [("MemTotal", 100.0), (VMALLOC, 30.0), ("KernelStack", 10.0)];
        let vmalloc = |mapped| class(&of(&fields, mapped)?, "vmalloc");
        assert_eq!(vmalloc(true), Some(20.0));
        assert_eq!(vmalloc(false), Some(30.0));
    }

    #[test]
    fn a_pool_of_zswap_counts_only_where_zsmalloc_does_not_have_it() {
        let zswap = |zspages: Option<f64>| {
            let mut fields = vec![("MemTotal", 100.0), ("Zswap", 30.0)];
            fields.extend(zspages.map(|mib| (ZSPAGES, mib)));
            class(&of(&fields, true)?, "zswap")
        };
        assert_eq!(zswap(None), Some(30.0));
        assert_eq!(zswap(Some(0.0)), Some(30.0));
        assert_eq!(zswap(Some(31.0)), Some(0.0));
    }

    #[test]
    fn swap_cache_counts_only_what_nobody_maps() {
        let lru = [
            "Active(anon)",
            "Inactive(anon)",
            "Active(file)",
            "Inactive(file)",
            "Unevictable",
        ];
        let mut fields: Vec<(&str, f64)> = lru.iter().map(|list| (*list, 20.0)).collect();
        fields.extend([("MemTotal", 500.0), ("AnonPages", 50.0), ("Buffers", 5.0)]);
        fields.extend([("Cached", 35.0), ("SwapCached", 25.0)]);
        let ledger = of(&fields, true).expect("MemTotal is known");
        assert_eq!(class(&ledger, "swap_cache"), Some(10.0));
    }
}
