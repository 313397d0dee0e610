//! Who held memory at an instant, and who had grown by then: processes and slab caches.

use std::collections::{BTreeMap, BTreeSet};

use memsoak_schema::{Error, printable};
use serde_json::{Value, json};

use super::Scene;
use crate::load::{View, pictures};
use crate::words::bytes;

/// How many are named.
const NAMED: usize = 3;

/// What has less than this share of the first is not worth a name beside it.
const WORTH_A_NAME: f64 = 0.01;

/// What a process holds that is not a file's.
const PROCESSES: View = View {
    source: "process",
    metrics: &["rss_anon_kib", "rss_shmem_kib"],
};

/// What a cache holds.
const CACHES: View = View {
    source: "slabinfo",
    metrics: &["slab_pages"],
};

/// A process or cache, and its bytes: what it held, or by how much it had grown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) source: &'static str,
    pub(super) name: String,
    pub(super) pid: Option<i64>,
    pub(super) bytes: f64,
}

impl Share {
    pub(super) fn in_words(&self) -> String {
        format!("{} {}", self.title(), bytes(self.bytes))
    }

    pub(super) fn title(&self) -> String {
        match (self.pid, self.source) {
            (Some(pid), _) => format!("{}[{pid}]", self.name),
            (None, "slabinfo") => format!("slab cache {}", self.name),
            (None, _) => self.name.clone(),
        }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({"source": self.source, "name": self.name, "pid": self.pid, "bytes": self.bytes})
    }
}

/// Bytes of each entity at the last sample up to an instant.
type Held = BTreeMap<i64, f64>;

fn held_at(scene: &Scene<'_>, view: View, instants: &[f64]) -> Result<Vec<Held>, Error> {
    let times = scene.times(view.source);
    let sample_of = |instant: f64| times.partition_point(|t| *t <= instant).checked_sub(1);
    let wanted: BTreeSet<usize> = instants.iter().filter_map(|at| sample_of(*at)).collect();
    let mut at_sample: BTreeMap<usize, Held> = BTreeMap::new();
    if !wanted.is_empty() {
        let mut sample = 0;
        pictures(
            scene.recording,
            scene.index,
            scene.boot,
            &[view],
            |_, picture| {
                if wanted.contains(&sample) {
                    let held = picture.entities().map(|(entity, values)| {
                        let known = values.iter().filter(|value| !value.is_nan());
                        (entity, known.sum())
                    });
                    at_sample.insert(sample, held.collect());
                }
                sample += 1;
            },
        )?;
    }
    Ok(instants
        .iter()
        .map(|at| {
            sample_of(*at)
                .and_then(|sample| at_sample.get(&sample).cloned())
                .unwrap_or_default()
        })
        .collect())
}

/// The largest few, by name.
fn named(
    scene: &Scene<'_>,
    source: &'static str,
    mut all: Vec<(i64, f64)>,
) -> Result<Vec<Share>, Error> {
    all.retain(|(_, bytes)| *bytes > 0.0);
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(NAMED);
    let least = all.first().map_or(0.0, |(_, first)| first * WORTH_A_NAME);
    all.retain(|(_, bytes)| *bytes >= least);
    all.into_iter()
        .map(|(number, bytes)| {
            let entity = scene.recording.entity(number)?;
            Ok(Share {
                source,
                name: entity
                    .as_ref()
                    .map(|entity| printable(&entity.name))
                    .unwrap_or_default(),
                pid: entity.and_then(|entity| entity.labels.get("pid")?.as_i64()),
                bytes,
            })
        })
        .collect()
}

/// The processes that held most at an instant, the largest first.
pub(super) fn largest_at(scene: &Scene<'_>, t_s: f64) -> Result<Vec<Share>, Error> {
    let held = held_at(scene, PROCESSES, &[t_s])?.pop().unwrap_or_default();
    named(scene, PROCESSES.source, held.into_iter().collect())
}

/// Who had grown before a kill, and who was gone after it.
#[derive(Debug, Default)]
pub(super) struct Kill {
    /// The tick that saw it.
    pub(super) t_s: f64,
    /// The processes and caches that had grown most, the largest first.
    pub(super) growers: Vec<Share>,
    /// The largest processes that were there at the tick before and not after: the victim is among
    /// them.
    pub(super) vanished: Vec<Share>,
}

/// Looks at what happened up to each kill since the start, or since the kill before.
pub(super) fn before_kills(scene: &Scene<'_>, kills: &[f64]) -> Result<Vec<Kill>, Error> {
    let interval = scene.interval_s(PROCESSES.source);
    let interval = if interval.is_finite() { interval } else { 0.0 };
    let times = scene.times(PROCESSES.source);
    let mut instants = Vec::new();
    let mut since = times.first().copied().unwrap_or(0.0);
    for kill in kills {
        // The last sample before the tick at which the counter had risen.
        let before = times[..times.partition_point(|t| *t < *kill)]
            .last()
            .copied()
            .unwrap_or(since);
        // A process that is killed takes a moment to be gone.
        instants.extend([since, before, kill + interval * 1.5]);
        since = *kill;
    }
    let processes = held_at(scene, PROCESSES, &instants)?;
    let caches = held_at(scene, CACHES, &instants)?;
    let grown = |from: &Held, to: &Held| -> Vec<(i64, f64)> {
        to.iter()
            .map(|(entity, bytes)| (*entity, bytes - from.get(entity).copied().unwrap_or(0.0)))
            .collect()
    };
    let triples = processes.chunks_exact(3).zip(caches.chunks_exact(3));
    kills
        .iter()
        .zip(triples)
        .map(|(kill, (processes, caches))| {
            let mut growers = named(scene, PROCESSES.source, grown(&processes[0], &processes[1]))?;
            growers.extend(named(scene, CACHES.source, grown(&caches[0], &caches[1]))?);
            growers.sort_by(|a, b| b.bytes.total_cmp(&a.bytes));
            growers.truncate(NAMED);
            let least = growers
                .first()
                .map_or(0.0, |first| first.bytes * WORTH_A_NAME);
            growers.retain(|one| one.bytes >= least);
            let gone = processes[1]
                .iter()
                .filter(|(entity, _)| !processes[2].contains_key(entity))
                .map(|(entity, bytes)| (*entity, *bytes));
            Ok(Kill {
                t_s: *kill,
                growers,
                vanished: named(scene, PROCESSES.source, gone.collect())?,
            })
        })
        .collect()
}
