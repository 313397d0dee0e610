//! How slabs are laid out, and the caches that grow because others have more slabs.

use std::collections::HashMap;

use memsoak_schema::{Error, Recording};

use super::Judged;
use super::joining::Groups;
use super::things::{Evidence, Thing, has_no_owner, is_same_thing};
use crate::load::{Index, Quantity, SeriesKey, points};

/// The slabs of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Size of an object.
    object_bytes: f64,
    /// Objects in a slab.
    objects: f64,
    /// Size of a slab.
    slab_bytes: f64,
}

/// Layouts by boot and entity.
pub(super) type Layouts = HashMap<(usize, i64), Layout>;

const SOURCE: &str = "slabinfo";

/// Whether it grows for sure, leak or not: what can be reclaimed has slabs too.
fn grows(one: &Judged) -> bool {
    one.judgement.slope_low_per_s > 0.0
}

/// The layouts of the caches that grow.
///
/// # Errors
/// When the file is damaged.
pub(super) fn layouts(
    recording: &Recording,
    index: &Index,
    judged: &[Judged],
) -> Result<Layouts, Error> {
    let Some(source) = index.sources.iter().find(|of| of.name == SOURCE) else {
        return Ok(Layouts::new());
    };
    let metric = |name: &str| {
        let metrics = source.metrics.iter();
        metrics.clone().find(|of| of.name == name)
    };
    let (Some(size), Some(objects), Some(pages)) = (
        metric("objsize_bytes"),
        metric("objs_per_slab"),
        metric("pages_per_slab"),
    ) else {
        return Ok(Layouts::new());
    };
    let mut caches: Vec<SeriesKey> = judged
        .iter()
        .filter(|one| grows(one) && one.key.source == source.source && one.key.entity > 0)
        .map(|one| SeriesKey {
            metric: 0,
            ..one.key
        })
        .collect();
    caches.dedup();
    let of = |cache: SeriesKey, metric: i64| SeriesKey { metric, ..cache };
    let wanted = [size.metric, objects.metric, pages.metric];
    let keys: Vec<SeriesKey> = caches
        .iter()
        .flat_map(|cache| wanted.map(|metric| of(*cache, metric)))
        .collect();
    let found = points(recording, index, &keys)?;
    let layout = |cache: SeriesKey| {
        let last = |metric: i64| {
            let points = found.get(&of(cache, metric))?;
            points.points.iter().rev().find_map(|(_, value)| *value)
        };
        Some(Layout {
            object_bytes: last(size.metric)?,
            objects: last(objects.metric)?,
            slab_bytes: last(pages.metric)?,
        })
    };
    let known = caches.into_iter();
    Ok(known
        .filter_map(|cache| Some(((cache.boot, cache.entity), layout(cache)?)))
        .collect())
}

/// What the kernel keeps for each object of a slab whose objects are charged to a control group, in a
/// vector for each slab: a pointer, and with CONFIG_MEM_ALLOC_PROFILING a reference beside it
/// (`struct slabobj_ext`, include/linux/memcontrol.h; `struct obj_cgroup *` before Linux 6.10).
const EXTENSION_BYTES: [f64; 2] = [8.0, 16.0];

/// The sizes of kmalloc caches (mm/slab_common.c, `kmalloc_info`), up to those of the largest vectors.
const KMALLOC_BYTES: [f64; 11] = [
    8.0, 16.0, 32.0, 64.0, 96.0, 128.0, 192.0, 256.0, 512.0, 1024.0, 2048.0,
];

/// Vectors and slabs are as many when their rates differ by no more: each is a slope of a count that
/// rises in steps, and free objects count as taken while a CPU holds their slab.
const AS_MANY: f64 = 0.3;

impl Layout {
    /// The size of the cache that the vector of each slab is from.
    fn vector_from(self, extension: f64) -> Option<f64> {
        let bytes = self.objects * extension;
        KMALLOC_BYTES.into_iter().find(|size| *size >= bytes)
    }
}

/// Whether the vectors can be from it: not from those for charged, reclaimable or DMA memory.
fn is_plain_kmalloc(name: &str) -> bool {
    let kinds = ["kmalloc-cg-", "kmalloc-rcl-", "kmalloc-dma"];
    name.starts_with("kmalloc-") && !kinds.iter().any(|kind| name.starts_with(kind))
}

/// A kmalloc cache of which no suspect stands out and that gains one object for each slab that others
/// gain holds the vectors of those slabs (mm/slub.c, `alloc_slab_obj_exts`): it belongs to the one of
/// most slabs.
pub(super) fn join_extensions(evidence: &Evidence<'_>, things: &[Thing], groups: &mut Groups) {
    let judged = evidence.judged;
    let head = |at: usize| &judged[things[at].members[0]];
    let layout = |one: &Judged| {
        let layouts = evidence.layouts;
        layouts.get(&(one.key.boot, one.key.entity)).copied()
    };
    for at in 0..things.len() {
        let mut members = things[at].members.iter().map(|one| &judged[*one]);
        let objects = members.find(|one| one.name.quantity == Quantity::Count && grows(one));
        let one = head(at);
        let (Some(own), Some(objects)) = (layout(one), objects) else {
            continue;
        };
        let alone =
            (0..things.len()).all(|other| other == at || groups.root(other) != groups.root(at));
        if !alone
            || !has_no_owner(&one.name)
            || things[at].is_blamed()
            || !is_plain_kmalloc(&one.name.name)
        {
            continue;
        }
        for extension in EXTENSION_BYTES {
            let has_vector_here = |layout: &Layout| {
                layout
                    .vector_from(extension)
                    .is_some_and(|size| (size - own.object_bytes).abs() < 0.5)
            };
            // Slabs that each cache gains in a second.
            let slabs: Vec<(&Judged, f64)> = judged
                .iter()
                .filter(|other| other.key.boot == one.key.boot)
                .filter(|other| other.name.quantity == Quantity::Bytes && grows(other))
                .filter(|other| !is_plain_kmalloc(&other.name.name))
                .filter_map(|other| {
                    let layout = layout(other).filter(has_vector_here)?;
                    Some((other, other.judgement.slope_per_s / layout.slab_bytes))
                })
                .collect();
            let expected: f64 = slabs.iter().map(|(_, slope)| slope).sum();
            let gained = objects.judgement.slope_per_s;
            let most = (0..things.len())
                .filter_map(|other| {
                    let of_thing = |of: &&(&Judged, f64)| is_same_thing(of.0.key, head(other).key);
                    let (_, slope) = slabs.iter().find(of_thing)?;
                    Some((other, *slope))
                })
                .max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((other, _)) = most
                && (expected - gained).abs() <= AS_MANY * gained
            {
                groups.join(at, other);
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_from_the_smallest_cache_that_holds_it() {
        let layout = |objects: f64| Layout {
            object_bytes: 184.0,
            objects,
            slab_bytes: 4096.0,
        };
        // 22 pointers are 176 bytes.
        assert_eq!(layout(22.0).vector_from(8.0), Some(192.0));
        assert_eq!(layout(22.0).vector_from(16.0), Some(512.0));
        assert_eq!(layout(12.0).vector_from(8.0), Some(96.0));
        assert_eq!(layout(1e6).vector_from(8.0), None);
        assert!(is_plain_kmalloc("kmalloc-192") && is_plain_kmalloc("kmalloc-rnd-03-96"));
        assert!(!is_plain_kmalloc("kmalloc-cg-192") && !is_plain_kmalloc("filp"));
    }
}
