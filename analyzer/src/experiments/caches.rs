//! What drop-caches gave back: the page cache, and each slab cache.

use memsoak_schema::{Error, Recording, printable};

use super::from_to;
use super::snapshot::{KEYS, Snapshot};
use crate::words::{bytes, percent};

/// A slab cache before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheShare {
    /// Its number.
    pub entity: i64,
    /// The kernel's word for it.
    pub name: String,
    /// Whether its objects are known to go under pressure.
    pub reclaimable: bool,
    /// Bytes of its slabs before.
    pub before_bytes: f64,
    /// And after.
    pub after_bytes: f64,
    /// Objects in use before.
    pub before_objects: f64,
    /// And after.
    pub after_objects: f64,
}

impl CacheShare {
    /// Bytes given back.
    #[must_use]
    pub fn gave_back(&self) -> f64 {
        self.before_bytes - self.after_bytes
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caches {
    /// Keys of meminfo that were read on both sides, in bytes before and after.
    pub keys: Vec<(&'static str, f64, f64)>,
    /// The slab caches that were there on both sides, what gave most back first.
    pub each: Vec<CacheShare>,
}

impl Caches {
    pub(super) fn between(
        recording: &Recording,
        before: &Snapshot,
        after: &Snapshot,
    ) -> Result<Option<Self>, Error> {
        let keys: Vec<_> = KEYS
            .iter()
            .filter_map(|key| Some((*key, before.key(key)?, after.key(key)?)))
            .collect();
        let mut each = Vec::new();
        for (entity, (before_bytes, before_objects)) in &before.slabs {
            let Some((after_bytes, after_objects)) = after.slabs.get(entity) else {
                continue;
            };
            let Some(found) = recording.entity(*entity)? else {
                continue;
            };
            each.push(CacheShare {
                entity: *entity,
                name: printable(&found.name),
                reclaimable: found.labels.get("reclaimable") == Some(&true.into()),
                before_bytes: *before_bytes,
                after_bytes: *after_bytes,
                before_objects: *before_objects,
                after_objects: *after_objects,
            });
        }
        each.sort_by(|a, b| {
            b.gave_back()
                .total_cmp(&a.gave_back())
                .then_with(|| a.name.cmp(&b.name))
        });
        Ok((!keys.is_empty()).then_some(Self { keys, each }))
    }

    /// A key of meminfo before and after.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<(f64, f64)> {
        let (_, before, after) = self.keys.iter().find(|(key, ..)| *key == name)?;
        Some((*before, *after))
    }

    /// The page cache without what cannot be dropped because it is no copy of a file: tmpfs and
    /// shared memory are counted in Cached (Documentation/filesystems/proc.rst).
    #[must_use]
    pub fn page_cache(&self) -> Option<(f64, f64)> {
        let (cached, shmem) = (self.key("Cached")?, self.key("Shmem")?);
        let buffers = self.key("Buffers").unwrap_or((0.0, 0.0));
        Some((
            (cached.0 - shmem.0 + buffers.0).max(0.0),
            (cached.1 - shmem.1 + buffers.1).max(0.0),
        ))
    }

    pub(super) fn text(&self, slabs_too: bool) -> String {
        let mut text = String::new();
        if let Some((before, after)) = self.key("MemFree") {
            text.push_str(&if after >= before {
                format!(" and won {} of free memory", bytes(after - before))
            } else {
                ", and there was less free memory after it than before".to_owned()
            });
        }
        let mut parts = Vec::new();
        let mut part = |what: &str, found: Option<(f64, f64)>| {
            if let Some((before, after)) = found.filter(|(before, _)| *before > 0.0) {
                let share = ((before - after) / before).max(0.0);
                parts.push(format!(
                    "{} of {what} ({})",
                    percent(share),
                    from_to(before, after)
                ));
            }
        };
        part("the page cache", self.page_cache());
        if slabs_too {
            part("the reclaimable slabs", self.key("SReclaimable"));
        }
        if !parts.is_empty() {
            text.push_str(": it gave back ");
            text.push_str(&parts.join(" and "));
        }
        if let Some((_, mapped)) = self.key("Mapped").filter(|(_, mapped)| *mapped > 0.0) {
            text.push_str(&format!(
                "; {} of files and shared memory are mapped by processes and stay",
                bytes(mapped)
            ));
        }
        text.push('.');
        text
    }
}
