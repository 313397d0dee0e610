//! Experiments: what a probe showed, from the pictures just before and after it.
//!
//! What drop-caches gave back was cache, whatever the shape of its growth; what it did not give back
//! is held by somebody. What compaction won tells whether free memory is only scattered, or pinned.

mod caches;
#[cfg(test)]
pub(crate) mod made_up;
mod refill;
mod snapshot;
mod zones;

use memsoak_schema::{Error, PROBE, Recording};

use crate::load::{Index, SeriesKey};
use crate::words::{bytes, percent, took};

pub use caches::{CacheShare, Caches};
pub use refill::{Fall, judge_past, without_refill};
pub use zones::{Compaction, ZoneBlocks};

/// A probe that was made, or was to be made.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Place of its boot in [`Index::boots`].
    pub boot: usize,
    /// What the recorder wrote down.
    pub done: memsoak_schema::Experiment,
    /// When it began, in seconds from the start of the boot's recording.
    pub at_s: f64,
    /// The times of the ticks before and after it.
    pub between_s: Option<(f64, f64)>,
    /// What drop-caches gave back.
    pub caches: Option<Caches>,
    /// What compaction won.
    pub compaction: Option<Compaction>,
}

impl Experiment {
    /// Whether its caches were to be dropped, and it was done.
    fn drops(&self, level: Level) -> bool {
        let bits = match self.done.argument.as_deref() {
            Some("1") => 1,
            Some("2") => 2,
            _ => 3,
        };
        self.done.is_done() && self.done.kind == "drop-caches" && bits & level as u8 != 0
    }

    /// Whether dentries and inodes were to be dropped, and it was done.
    #[must_use]
    pub fn drops_slabs(&self) -> bool {
        self.drops(Level::Slabs)
    }

    /// What it showed, in a sentence or two.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.done.is_done() {
            return format!("{}: {}.", self.done.name(), self.done.outcome);
        }
        let mut text = match self.done.took_us {
            #[expect(clippy::cast_precision_loss, reason = "microseconds of a probe")]
            Some(took_us) => {
                format!("{} took {}", self.done.name(), took(took_us as f64 / 1e6))
            }
            None => format!("{} was done", self.done.name()),
        };
        match (&self.caches, &self.compaction) {
            (Some(caches), _) => text.push_str(&caches.text(self.drops_slabs())),
            (_, Some(compaction)) => text.push_str(&compaction.text()),
            _ if self.between_s.is_none() => {
                text.push_str("; there is no tick on both sides of it to compare.");
            }
            _ => text.push_str("; what the kernel said of it stands among the events."),
        }
        text
    }
}

/// What a number written to drop_caches drops (fs/drop_caches.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Pages = 1,
    Slabs = 2,
}

/// All probes of a recording.
#[derive(Clone, Debug, Default)]
pub struct Experiments {
    /// In order of boots and time.
    pub all: Vec<Experiment>,
    slabs: Option<Slabs>,
    meminfo: Option<i64>,
}

/// The numbers of what is judged of a cache.
#[derive(Clone, Copy, Debug)]
struct Slabs {
    source: i64,
    bytes: i64,
    objects: i64,
}

/// What the last drop-caches that could take a series back left of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaveBack {
    /// What it held just before.
    pub before: f64,
    /// And just after.
    pub after: f64,
}

/// What that says of its growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was cache.
    Cache,
    /// Somebody holds it.
    Held,
    /// Some of it was given back, and nobody knows which.
    Open,
}

/// What is given back of a series from which it counts as cache, as a share of what it held: a leak
/// of the tenth that may hide in the rest shows as growth of what later probes leave.
pub const CACHE_SHARE: f64 = 0.9;

/// What is given back up to which growth counts as held, as a share of the growth: even if all of
/// it was of the growth, nine tenths of that stayed.
pub const HELD_SHARE: f64 = 0.1;

impl GaveBack {
    /// The share of what it held that was given back.
    #[must_use]
    pub fn share(&self) -> f64 {
        ((self.before - self.after) / self.before).clamp(0.0, 1.0)
    }

    /// What it says of a series that began with `first`.
    #[must_use]
    pub fn answer(&self, first: f64) -> Answer {
        let grown = self.before - first;
        if self.before > 0.0 && self.share() >= CACHE_SHARE {
            Answer::Cache
        } else if grown > 0.0 && self.before - self.after <= HELD_SHARE * grown {
            Answer::Held
        } else {
            Answer::Open
        }
    }

    /// The same in words.
    #[must_use]
    pub fn words(&self, first: f64) -> String {
        let share = percent(self.share());
        match self.answer(first) {
            Answer::Cache => format!("drop-caches gave back {share} of it: reclaimable"),
            Answer::Held => format!("drop-caches gave back only {share} of it: held"),
            Answer::Open => format!("drop-caches gave back {share} of it, of the growth or not"),
        }
    }
}

impl Experiments {
    /// Reads them.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read(recording: &Recording, index: &Index) -> Result<Self, Error> {
        let mut all = Vec::new();
        for (at, boot) in index.boots.iter().enumerate() {
            let probes = index
                .events
                .iter()
                .filter(|event| event.kind == PROBE && event.boot == boot.boot.boot);
            for event in probes {
                let done = memsoak_schema::Experiment::of_event(event.boottime_us, &event.detail);
                let Some(done) = done else { continue };
                let time = |us: Option<i64>| snapshot::sampled_from(boot, boot.at(us?));
                all.push(Experiment {
                    boot: at,
                    at_s: boot.at(event.boottime_us),
                    between_s: time(done.before_us)
                        .zip(time(done.after_us))
                        .filter(|(before, after)| before < after),
                    done,
                    caches: None,
                    compaction: None,
                });
            }
        }
        let metric = |source: &str, name: &str| {
            let source = index.sources.iter().find(|one| one.name == source)?;
            let metric = source.metrics.iter().find(|one| one.name == name)?;
            Some((source.source, metric.metric))
        };
        let bytes = metric("slabinfo", "slab_pages");
        let mut found = Self {
            all,
            slabs: bytes.zip(metric("slabinfo", "active_objs")).map(
                |((source, bytes), (_, objects))| Slabs {
                    source,
                    bytes,
                    objects,
                },
            ),
            meminfo: metric("meminfo", "MemTotal").map(|(source, _)| source),
        };
        found.compare(recording, index)?;
        Ok(found)
    }

    fn compare(&mut self, recording: &Recording, index: &Index) -> Result<(), Error> {
        for boot in 0..index.boots.len() {
            let times: Vec<f64> = self
                .of_boot(boot)
                .filter(|one| one.done.is_done())
                .filter_map(|one| one.between_s)
                .flat_map(|(before, after)| [before, after])
                .collect();
            if times.is_empty() {
                continue;
            }
            let snapshots = snapshot::take(recording, index, boot, &times)?;
            let at = |time: f64| snapshots.get(&time.to_bits());
            for one in self.all.iter_mut().filter(|one| one.boot == boot) {
                let Some((before, after)) = one
                    .between_s
                    .filter(|_| one.done.is_done())
                    .and_then(|(before, after)| at(before).zip(at(after)))
                else {
                    continue;
                };
                match one.done.kind.as_str() {
                    "drop-caches" => one.caches = Caches::between(recording, before, after)?,
                    "compact" => {
                        let page = f64::from(index.boots[boot].boot.page_bytes);
                        one.compaction = Compaction::between(recording, before, after, page)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Those of a boot.
    pub fn of_boot(&self, boot: usize) -> impl Iterator<Item = &Experiment> {
        self.all.iter().filter(move |one| one.boot == boot)
    }

    /// Times before and after each probe of a boot that makes caches fall.
    #[must_use]
    pub fn drops(&self, boot: usize) -> Vec<(f64, f64)> {
        self.of_boot(boot)
            .filter(|one| one.drops(Level::Pages) || one.drops(Level::Slabs))
            .filter_map(|one| one.between_s)
            .collect()
    }

    /// What the last drop-caches that could take it back left of a series: of a slab cache, of all
    /// caches of one name, or of a key of meminfo.
    #[must_use]
    pub fn gave_back(&self, index: &Index, key: SeriesKey) -> Option<GaveBack> {
        let of_boot = || {
            self.all
                .iter()
                .rev()
                .filter(|one| one.boot == key.boot)
                .filter_map(|one| Some((one, one.caches.as_ref()?)))
        };
        let slabs = self.slabs.filter(|slabs| slabs.source == key.source);
        if let Some(slabs) = slabs {
            let (_, caches) = of_boot().find(|(one, _)| one.drops(Level::Slabs))?;
            let members: Vec<i64> = if key.entity < 0 {
                index.kin.members(key.entity).collect()
            } else {
                vec![key.entity]
            };
            let mut sum: Option<GaveBack> = None;
            for cache in caches.each.iter().filter(|c| members.contains(&c.entity)) {
                let sum = sum.get_or_insert(GaveBack {
                    before: 0.0,
                    after: 0.0,
                });
                let (before, after) = if key.metric == slabs.bytes {
                    (cache.before_bytes, cache.after_bytes)
                } else if key.metric == slabs.objects {
                    (cache.before_objects, cache.after_objects)
                } else {
                    return None;
                };
                sum.before += before;
                sum.after += after;
            }
            return sum;
        }
        if self.meminfo == Some(key.source) {
            let source = index.sources.iter().find(|one| one.source == key.source)?;
            let name = &source
                .metrics
                .iter()
                .find(|one| one.metric == key.metric)?
                .name;
            let level = match name.as_str() {
                "Cached" | "Buffers" | "Active(file)" | "Inactive(file)" => Level::Pages,
                "SReclaimable" | "KReclaimable" | "SUnreclaim" | "Slab" => Level::Slabs,
                _ => return None,
            };
            let (_, caches) = of_boot().find(|(one, _)| one.drops(level))?;
            let (_, before, after) = caches.keys.iter().find(|(key, ..)| key == name)?;
            return Some(GaveBack {
                before: *before,
                after: *after,
            });
        }
        None
    }
}

/// `1.2 GiB to 60.0 MiB`.
fn from_to(before: f64, after: f64) -> String {
    format!("{} to {}", bytes(before), bytes(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_and_what_stays_tell_a_cache_from_what_is_held() {
        let answer = |first, before, after| GaveBack { before, after }.answer(first);
        // 20 to 200 of which 15 stayed: 92 % was cache.
        assert_eq!(answer(20.0, 200.0, 15.0), Answer::Cache);
        // It grew by 100 and gave 5 back: 95 at least of the growth stayed.
        assert_eq!(answer(100.0, 200.0, 195.0), Answer::Held);
        // It grew by 50 and gave 100 of 150 back, which may hold the 50.
        assert_eq!(answer(100.0, 150.0, 50.0), Answer::Open);
        // It did not grow: nothing is said of growth.
        assert_eq!(answer(100.0, 100.0, 100.0), Answer::Open);
        assert_eq!(answer(0.0, 0.0, 0.0), Answer::Open);
        let one = GaveBack {
            before: 100.0,
            after: 2.0,
        };
        assert_eq!(
            one.words(10.0),
            "drop-caches gave back 98 % of it: reclaimable"
        );
        let two = GaveBack {
            before: 100.0,
            after: 98.0,
        };
        assert_eq!(
            two.words(10.0),
            "drop-caches gave back only 2.0 % of it: held"
        );
    }
}
