//! What a few sources held at the ticks around the probes.

use std::collections::{BTreeMap, HashMap};

use memsoak_schema::{Error, Recording};

use crate::buddy::{FREE_BLOCKS, known};
use crate::load::{BootTicks, Index, View, pictures};

/// Keys of meminfo that a probe moves.
pub(super) const KEYS: &[&str] = &[
    "MemTotal",
    "MemFree",
    "Cached",
    "Buffers",
    "Shmem",
    "Mapped",
    "SReclaimable",
    "KReclaimable",
    "SUnreclaim",
    "Slab",
    "Active(file)",
    "Inactive(file)",
];

const VIEWS: &[View] = &[
    View {
        source: "meminfo",
        metrics: KEYS,
    },
    View {
        source: "slabinfo",
        metrics: &["slab_pages", "active_objs"],
    },
    FREE_BLOCKS,
    View {
        source: "pagetypeinfo",
        metrics: &["pageblocks"],
    },
];

/// Memory in bytes, NaN where it was not obtained; nothing where the source was not read.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    meminfo: Vec<f64>,
    /// Bytes and objects of each cache.
    pub(super) slabs: BTreeMap<i64, (f64, f64)>,
    /// Free blocks of each zone by order, up to the highest that the kernel has.
    pub(super) zones: BTreeMap<i64, Vec<f64>>,
    /// Pageblocks of each zone and migrate type.
    pub(super) blocks: BTreeMap<i64, f64>,
}

impl Snapshot {
    /// A key of meminfo in bytes.
    pub(super) fn key(&self, name: &str) -> Option<f64> {
        let place = KEYS.iter().position(|key| *key == name)?;
        self.meminfo
            .get(place)
            .copied()
            .filter(|value| !value.is_nan())
    }
}

/// The first time at which something was read from an instant on: a tick that was merged into the
/// next one is there.
pub(super) fn sampled_from(boot: &BootTicks, t_s: f64) -> Option<f64> {
    let next = |times: &[f64]| times.get(times.partition_point(|at| *at < t_s)).copied();
    boot.sources
        .values()
        .filter_map(|ticks| next(&ticks.t_s))
        .min_by(f64::total_cmp)
}

/// Snapshots of these times, by the bits of the time.
pub(super) fn take(
    recording: &Recording,
    index: &Index,
    boot: usize,
    times: &[f64],
) -> Result<HashMap<u64, Snapshot>, Error> {
    let mut taken: HashMap<u64, Snapshot> = times
        .iter()
        .map(|time| (time.to_bits(), Snapshot::default()))
        .collect();
    pictures(
        recording,
        index,
        &index.boots[boot],
        VIEWS,
        |view, picture| {
            let Some(snapshot) = taken.get_mut(&picture.t_s.to_bits()) else {
                return;
            };
            match view {
                0 => snapshot.meminfo = picture.scalars().to_vec(),
                1 => {
                    snapshot.slabs = picture
                        .entities()
                        .filter_map(|(entity, values)| match values {
                            &[bytes, objects] if !bytes.is_nan() => {
                                Some((entity, (bytes, objects)))
                            }
                            _ => None,
                        })
                        .collect();
                }
                2 => {
                    snapshot.zones = picture
                        .entities()
                        .map(|(zone, values)| (zone, known(values)))
                        .collect();
                }
                _ => {
                    snapshot.blocks = picture
                        .entities()
                        .filter_map(|(entity, values)| {
                            let blocks = values.first().copied().filter(|n| !n.is_nan())?;
                            Some((entity, blocks))
                        })
                        .collect();
                }
            }
        },
    )?;
    Ok(taken)
}
