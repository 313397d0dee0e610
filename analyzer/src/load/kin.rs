//! Things of one name: the lives of a service that restarts, the workers of a server, the copies of
//! a slab cache.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use memsoak_schema::{Error, IdMap, Recording, Source};

/// The number of the metric that counts how many of a name there are at once: the catalogue counts
/// from 1.
pub(super) const MEMBERS_METRIC: i64 = 0;

/// The name of this metric.
pub(super) fn members_metric(source: &str) -> &'static str {
    match source {
        "process" => "processes",
        _ => "count",
    }
}

/// Things of one name in one boot.
#[derive(Clone, Debug)]
pub struct Group {
    /// The boot.
    pub boot: i64,
    /// The name.
    pub name: Vec<u8>,
    /// The process that they belong to, where they are of one.
    pub pid: Option<i64>,
    /// The first entity that bore it.
    pub eldest: i64,
    /// How many there are over the whole recording, two at the least.
    pub members: u32,
}

/// Which entities are of one kin. An entity whose name nobody shares is in no group.
#[derive(Clone, Debug, Default)]
pub struct Kin {
    groups: Vec<Group>,
    of: IdMap<i64, usize>,
}

impl Kin {
    /// Reads the names of the entities of a source.
    ///
    /// # Errors
    /// When the file is damaged.
    pub(super) fn read(&mut self, recording: &Recording, source: &Source) -> Result<(), Error> {
        /// The common name of a thing by its own and its process, and the process if that is common.
        type Common = fn(&[u8], Option<i64>) -> Option<(Vec<u8>, Option<i64>)>;
        let common: Common = match source.name.as_str() {
            "process" => |comm, _| Some((comm.to_vec(), None)),
            "slabinfo" => |cache, _| Some((cache_without_copy(cache)?, None)),
            // Who leaks segments makes one after the other, and each stays as it is.
            "sysvshm" => |_, creator| Some((b"segments".to_vec(), Some(creator?))),
            _ => return Ok(()),
        };
        // The first of a name is no group yet.
        type Bearer = (i64, Vec<u8>, Option<i64>);
        let mut first: HashMap<Bearer, (i64, Option<usize>)> = HashMap::new();
        recording.scan_names(source.source, |entity, boot, name, pid| {
            let Some((name, pid)) = common(name, pid) else {
                return;
            };
            match first.entry((boot, name, pid)) {
                Entry::Vacant(place) => {
                    place.insert((entity, None));
                }
                Entry::Occupied(mut place) => {
                    let (eldest, group) = *place.get();
                    let group = group.unwrap_or_else(|| {
                        self.groups.push(Group {
                            boot,
                            name: place.key().1.clone(),
                            pid,
                            eldest,
                            members: 1,
                        });
                        self.of.insert(eldest, self.groups.len() - 1);
                        self.groups.len() - 1
                    });
                    place.get_mut().1 = Some(group);
                    self.groups[group].members += 1;
                    self.of.insert(entity, group);
                }
            }
        })
    }

    /// The group of an entity, as the entity number of its sums.
    pub fn of(&self, entity: i64) -> Option<i64> {
        self.of.get(&entity).map(|group| number(*group))
    }

    /// The group that stands behind an entity number; `None` for an entity.
    pub fn group(&self, entity: i64) -> Option<&Group> {
        let group = usize::try_from(-entity).ok()?.checked_sub(1)?;
        self.groups.get(group)
    }

    /// The members of a group; none of an entity.
    pub fn members(&self, entity: i64) -> impl Iterator<Item = i64> {
        self.of
            .iter()
            .filter(move |(_, group)| number(**group) == entity)
            .map(|(member, _)| *member)
    }
}

/// Groups have the entity numbers below 0.
fn number(group: usize) -> i64 {
    -1 - i64::try_from(group).unwrap_or(i64::MAX - 1)
}

/// With CONFIG_RANDOM_KMALLOC_CACHES (Linux 6.6, commit 3c6152940584) `kmalloc-1k` has 15 more
/// copies, `kmalloc-rnd-01-1k` to `kmalloc-rnd-15-1k`; each call site uses one of the 16.
fn cache_without_copy(name: &[u8]) -> Option<Vec<u8>> {
    let rest = name.strip_prefix(b"kmalloc-rnd-")?;
    let size = rest.get(2..).filter(|size| size.first() == Some(&b'-'))?;
    Some([b"kmalloc-rnd-*", size].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copies_of_a_kmalloc_cache_have_one_name_and_other_caches_keep_theirs() {
        let copies: [&[u8]; 2] = [b"kmalloc-rnd-01-1k", b"kmalloc-rnd-15-1k"];
        for copy in copies {
            assert_eq!(
                cache_without_copy(copy).as_deref(),
                Some(&b"kmalloc-rnd-*-1k"[..])
            );
        }
        let others: [&[u8]; 3] = [b"kmalloc-1k", b"kmalloc-rnd-", b"kmalloc-rnd-0"];
        for other in others {
            assert_eq!(cache_without_copy(other), None);
        }
    }
}
