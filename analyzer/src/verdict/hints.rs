//! What is known of a source before any of its values are seen.

use super::Traits;

/// Slab caches that shrinkers empty under pressure.
///
/// `vmap_area` is among them because the kernel frees areas in batches: up to a threshold that
/// grows with the number of CPUs, freed areas stay, and their cache climbs in a straight line.
/// A dentry cache that grows for ever without pressure is what every healthy machine shows, in a
/// straight line too where a job makes names at a constant rate, so no shape tells it from a leak.
/// Inode caches of sockets, pipes and tmpfs are not among them: their inodes live as long as their
/// files.  `inode_cache` holds those of pipes and of sysfs, whose number is bounded, and no cache
/// of a disk; a line there is pinned.
const RECLAIMABLE_CACHES: &[&str] = &[
    "dentry",
    "buffer_head",
    "radix_tree_node",
    "xfs_buf",
    "xfs_ili",
    "vmap_area",
];

/// Inode caches whose objects no shrinker can take.
const PINNED_INODES: &[&str] = &[
    "sock_inode_cache",
    "shmem_inode_cache",
    "mqueue_inode_cache",
    "lsm_inode_cache",
    "hugetlbfs_inode_cache",
    "rpc_inode_cache",
    "bdev_cache",
];

/// Fields of meminfo that are mostly page cache or shrinkable slabs.
const RECLAIMABLE_FIELDS: &[&str] = &[
    "Cached",
    "Buffers",
    "SReclaimable",
    "KReclaimable",
    "Active(file)",
    "Inactive(file)",
];

/// Processes and cgroups creep by this much in bytes whatever they run: heap fragmentation,
/// interpreter caches.  Measured on healthy programs, it removes four of five false alarms.
const PROCESS_FLOOR_BYTES: f64 = 65_536.0;

/// The same as a share of the level.
const PROCESS_FLOOR_SHARE: f64 = 0.005;

impl Traits {
    /// The traits of a source named like `slab.dentry.active`, `meminfo.Cached`,
    /// `proc.server.VmRSS` or `cgroup.web.usage`; a slash serves as well as a dot.  `level` is a
    /// typical value of the series.  An unknown source has no traits.
    #[must_use]
    pub fn of_source(source: &str, level: f64) -> Self {
        let mut parts = source.split(['.', '/']);
        let group = parts.next().unwrap_or_default();
        let name = parts.next().unwrap_or_default();
        let field = parts.next_back().unwrap_or_default();
        match group {
            "slab" | "slabinfo" => Self {
                reclaimable: is_reclaimable_cache(name),
                ..Self::default()
            },
            "meminfo" => {
                let reclaimable = RECLAIMABLE_FIELDS.contains(&name);
                Self {
                    reclaimable,
                    ..Self::default()
                }
            }
            // Counts of files and threads are small and exact: each one counts.
            "proc" | "process" | "cgroup" if !is_count(field) => {
                let floor = PROCESS_FLOOR_BYTES.max(PROCESS_FLOOR_SHARE * level.abs());
                Self {
                    floor,
                    ..Self::default()
                }
            }
            _ => Self::default(),
        }
    }
}

fn is_reclaimable_cache(name: &str) -> bool {
    let inodes = name.ends_with("_inode_cache") || name.ends_with("_inode");
    !PINNED_INODES.contains(&name)
        && (RECLAIMABLE_CACHES.contains(&name) || inodes || name.starts_with("kmalloc-rcl-"))
}

fn is_count(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    ["fds", "threads", "pids", "count", "processes", "fdsize"].contains(&field.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_that_shrink_are_known_and_pinned_ones_are_not() {
        for source in [
            "slab.dentry.active",
            "slab.ext4_inode_cache.pages",
            "meminfo.Cached",
            "slab/dentry/slab_pages",
        ] {
            assert!(Traits::of_source(source, 0.0).reclaimable, "{source}");
        }
        for source in [
            "slab.sock_inode_cache.active",
            "slab.filp.active",
            "slab.inode_cache.active",
            "meminfo.Slab",
            "",
        ] {
            assert_eq!(
                Traits::of_source(source, 1e9),
                Traits::default(),
                "{source}"
            );
        }
    }

    #[test]
    fn processes_have_a_floor_in_bytes_but_not_in_descriptors() {
        assert!((Traits::of_source("proc.web.VmRSS", 1e6).floor - 65_536.0).abs() < 1e-9);
        assert!((Traits::of_source("cgroup.web.usage", 1e9).floor - 5e6).abs() < 1e-3);
        assert!(Traits::of_source("proc.web.fds", 1e6).floor.abs() < 1e-9);
    }
}
