//! `/proc/slabinfo`: the slab caches, in which most of the kernel's small objects live.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};

use super::text::{Issues, MALFORMED, last_word, lines, parse_u64, rsplit_once, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "slabinfo",
    paths: &["proc/slabinfo"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("active_objs", Unit::Count).judged(Trend::Count),
            MetricSpec::gauge("num_objs", Unit::Count),
            MetricSpec::gauge("objsize_bytes", Unit::Bytes),
            MetricSpec::gauge("objs_per_slab", Unit::Count),
            MetricSpec::gauge("pages_per_slab", Unit::Pages),
            MetricSpec::gauge("active_slabs", Unit::Count),
            MetricSpec::gauge("num_slabs", Unit::Count),
            MetricSpec::gauge("slab_pages", Unit::Pages)
                .judged(Trend::Memory)
                .part_of("meminfo/Slab")
                .generated(),
            MetricSpec::gauge("active_bytes", Unit::Bytes).generated(),
        ],
    },
    interval_s: 0,
    needs: "root or CAP_DAC_READ_SEARCH, CONFIG_SLUB_DEBUG",
    caveats: "Caches of like objects are merged and stand under one name (slab_nomerge on the \
        kernel's command line keeps them apart); the label aliases tells the other names of a \
        cache, from the links in /sys/kernel/slab. SLUB takes free objects on per-CPU slabs for \
        active. kmalloc beyond two pages comes from the page allocator: it is in no cache but in \
        meminfo/Slab. A cache's key is name:objsize:ordinal; the oldest of equal ones has 0, and \
        the others count down when it goes.",
    overhead: "0.3-0.7 ms a read, held or opened (7 reads of a page each for 230 caches); holds \
        slab_mutex, and each node's list lock while it walks the partial slabs.",
};

/// Caches whose objects the kernel gives back under pressure, with the reason: their growth is no
/// leak. What its owner pins is not here, whatever the cache's flags: inodes of sockets
/// (`sock_inode_cache`), of files in memory (`shmem_inode_cache`, `hugetlbfs_inode_cache`), of
/// message queues (`mqueue_inode_cache`), of trees that the kernel builds (`debugfs_inode_cache`,
/// `tracefs_inode_cache`).
const RECLAIMABLE: &[(&str, &[&str])] = &[
    ("unused names go with the dentry shrinker", &["dentry"]),
    (
        "unused inodes of file systems go with the inode shrinker",
        &[
            "adfs_inode_cache",
            "affs_inode_cache",
            "afs_inode_cache",
            "befs_inode_cache",
            "bfs_inode_cache",
            "btrfs_inode",
            "ceph_inode_info",
            "cifs_inode_cache",
            "coda_inode_cache",
            "ecryptfs_inode_cache",
            "efs_inode_cache",
            "erofs_inode",
            "exfat_inode_cache",
            "ext2_inode_cache",
            "ext3_inode_cache",
            "ext4_inode_cache",
            "f2fs_inode_cache",
            "fat_inode_cache",
            "fuse_inode",
            "gfs2_inode",
            "hfs_inode_cache",
            "hfsplus_icache",
            "hpfs_inode_cache",
            "inode_cache",
            "isofs_inode_cache",
            "jffs2_i",
            "jfs_ip",
            "minix_inode_cache",
            "nfs_inode_cache",
            "nilfs2_inode_cache",
            "ntfs_inode_cache",
            "ocfs2_inode_cache",
            "orangefs_inode_cache",
            "ovl_inode",
            "proc_inode_cache",
            "qnx4_inode_cache",
            "qnx6_inode_cache",
            "reiser_inode_cache",
            "romfs_inode_cache",
            "squashfs_inode_cache",
            "sysv_inode_cache",
            "ubifs_inode_slab",
            "udf_inode_cache",
            "ufs_inode_cache",
            "v9fs_inode_cache",
            "vboxsf_inode_cache",
            "xfs_inode",
        ],
    ),
    (
        "belong to an inode and go with it",
        &[
            "fscrypt_info",
            "fscrypt_inode_info",
            "fsverity_info",
            "ima_iint_cache",
            "iint_cache",
            "lsm_inode_cache",
            "xfs_ili",
        ],
    ),
    (
        "nodes of the page cache's trees: emptied with the pages, then shrunk as shadows",
        &["radix_tree_node"],
    ),
    (
        "belong to cached pages of block devices and go with them",
        &["buffer_head", "btrfs_extent_buffer"],
    ),
    (
        "what file systems remember of extents, attributes and quotas has shrinkers",
        &[
            "btrfs_extent_map",
            "dquot",
            "ext4_extent_status",
            "extent_status",
            "f2fs_extent_node",
            "f2fs_extent_tree",
            "fat_cache",
            "exfat_cache",
            "mb_cache_entry",
            "xfs_buf",
        ],
    ),
    (
        "heads of journalled buffers go with the journal's shrinker once written",
        &["jbd2_journal_head"],
    ),
    (
        "records of unmapped kernel addresses are purged lazily, many at once",
        &["vmap_area"],
    ),
    (
        "kmalloc whose callers promised that it can be reclaimed (long names of dentries)",
        &[
            "kmalloc-rcl-8",
            "kmalloc-rcl-16",
            "kmalloc-rcl-32",
            "kmalloc-rcl-64",
            "kmalloc-rcl-96",
            "kmalloc-rcl-128",
            "kmalloc-rcl-192",
            "kmalloc-rcl-256",
            "kmalloc-rcl-512",
            "kmalloc-rcl-1k",
            "kmalloc-rcl-2k",
            "kmalloc-rcl-4k",
            "kmalloc-rcl-8k",
        ],
    ),
];

/// Whether the kernel gives the objects of this cache back under pressure.
pub fn is_reclaimable(name: &[u8]) -> bool {
    RECLAIMABLE
        .iter()
        .flat_map(|(_, names)| names.iter())
        .any(|known| known.as_bytes() == name)
}

/// One line.
#[derive(Debug)]
struct Cache<'a> {
    name: &'a [u8],
    objsize: &'a [u8],
    values: [u64; 7],
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut caches = Vec::with_capacity(256);
    let mut equals = HashMap::with_capacity(256);
    for (number, line) in lines(text, &mut issues) {
        if let Some(version) = line.strip_prefix(b"slabinfo - version: ") {
            // The rest may still be readable; what is not becomes an issue of its own.
            if words(version).next() != Some(b"2.1") {
                issues.add(number, "version is not 2.1", line);
            }
        } else if line.starts_with(b"# name ") {
        } else if let Some(cache) = parse_line(line) {
            *equals.entry((cache.name, cache.objsize)).or_insert(0_u32) += 1;
            caches.push(cache);
        } else {
            issues.add(number, MALFORMED, line);
        }
    }
    // The kernel lists the newest cache first. Counting from the end lets a cache keep its key when
    // another of its name comes.
    let mut key = Vec::new();
    for cache in &caches {
        let mut ordinal = 0;
        if let Some(left) = equals.get_mut(&(cache.name, cache.objsize)) {
            *left -= 1;
            ordinal = *left;
        }
        key.clear();
        for part in [cache.name, b":", cache.objsize, b":"] {
            key.extend_from_slice(part);
        }
        push_decimal(&mut key, ordinal);
        rows.entity(&key, cache.name, &cache.values.map(Value::from));
        if is_reclaimable(cache.name) {
            rows.label("reclaimable", Label::Bool(true));
        }
    }
    issues.finish()
}

fn push_decimal(key: &mut Vec<u8>, number: u32) {
    if number >= 10 {
        push_decimal(key, number / 10);
    }
    key.extend(u8::try_from(number % 10).map(|digit| b'0' + digit));
}

/// `dentry  42 42 192 21 1 : tunables 0 0 0 : slabdata 2 2 0`, read backwards from the marks: the
/// name may hold spaces.
fn parse_line(line: &[u8]) -> Option<Cache<'_>> {
    let (line, slabdata) = rsplit_once(line, b" : slabdata ")?;
    let (mut rest, _tunables) = rsplit_once(line, b" : tunables ")?;
    let mut before = [&b""[..]; 5];
    for slot in before.iter_mut().rev() {
        (rest, *slot) = last_word(rest)?;
    }
    let name = rest.trim_ascii();
    let mut after = words(slabdata);
    let [
        active_objs,
        num_objs,
        objsize,
        objs_per_slab,
        pages_per_slab,
    ] = before;
    let values = [
        parse_u64(active_objs)?,
        parse_u64(num_objs)?,
        parse_u64(objsize)?,
        parse_u64(objs_per_slab)?,
        parse_u64(pages_per_slab)?,
        parse_u64(after.next()?)?,
        parse_u64(after.next()?)?,
    ];
    parse_u64(after.next()?)?;
    (!name.is_empty()).then_some(Cache {
        name,
        objsize,
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{capture, clean, parsed, values};
    use super::*;

    fn line(name: &str, active: u32, size: u32) -> String {
        format!("{name:<17} {active:6} 42 {size:6} 21 1 : tunables 0 0 0 : slabdata 2 2 0\n")
    }

    #[test]
    fn every_line_but_the_headers_is_a_cache() {
        let text = capture("6.12-x86_64-debian/t0", "proc/slabinfo");
        let rows = clean(parse, &text);
        assert_eq!(rows.len(), text.split(|b| *b == b'\n').count() - 3);
        assert_eq!(
            values(&rows, "ext4_inode_cache:1168:0"),
            [42, 42, 1168, 14, 4, 3, 3].map(Value::Int)
        );
        let row = rows.iter().find(|row| row.name() == b"ext4_inode_cache");
        assert_eq!(
            row.map(|row| row.labels().collect()),
            Some(vec![("reclaimable", Label::Bool(true))])
        );
    }

    #[test]
    fn a_name_may_hold_spaces_and_even_the_mark() {
        let text = line("my own cache", 1, 64) + &line("a : tunables b", 2, 32);
        let rows = clean(parse, text.as_bytes());
        let names: Vec<_> = rows.iter().map(|row| row.name().to_vec()).collect();
        assert_eq!(names, [&b"my own cache"[..], b"a : tunables b"]);
    }

    #[test]
    fn the_oldest_of_equal_caches_keeps_its_key_when_another_comes() {
        let before = line("x", 1, 64) + &line("x", 7, 32);
        let after = line("x", 2, 64) + &before;
        let rows = clean(parse, before.as_bytes());
        assert_eq!(rows.value_of(b"x:64:0"), Some(Value::Int(1)));
        let rows = clean(parse, after.as_bytes());
        assert_eq!(rows.value_of(b"x:64:0"), Some(Value::Int(1)));
        assert_eq!(rows.value_of(b"x:64:1"), Some(Value::Int(2)));
        assert_eq!(rows.value_of(b"x:32:0"), Some(Value::Int(7)));
    }

    #[test]
    fn an_ordinal_has_all_its_digits() {
        let text: String = (0..112).map(|active| line("x", active, 64)).collect();
        let rows = clean(parse, text.as_bytes());
        assert_eq!(rows.value_of(b"x:64:111"), Some(Value::Int(0)));
        assert_eq!(rows.value_of(b"x:64:10"), Some(Value::Int(101)));
        assert_eq!(rows.value_of(b"x:64:0"), Some(Value::Int(111)));
    }

    #[test]
    fn another_version_is_told_and_its_lines_are_tried() {
        let text = "slabinfo - version: 3.0 (statistics)\n".to_owned() + &line("x", 1, 64);
        let (rows, issues) = parsed(parse, text.as_bytes());
        assert_eq!(rows.len(), 1);
        assert_eq!(issues.len(), 1);
    }

    #[test]
    fn what_owners_pin_is_not_reclaimable() {
        for name in ["dentry", "xfs_inode", "kmalloc-rcl-96", "vmap_area"] {
            assert!(is_reclaimable(name.as_bytes()), "{name}");
        }
        for name in [
            "sock_inode_cache",
            "shmem_inode_cache",
            "mqueue_inode_cache",
            "debugfs_inode_cache",
            "kmalloc-96",
            "filp",
        ] {
            assert!(!is_reclaimable(name.as_bytes()), "{name}");
        }
    }
}
