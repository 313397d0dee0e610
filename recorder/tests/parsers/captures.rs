//! What the captures say, checked against what was counted by hand and against each other.

use std::collections::BTreeMap;

use memsoak_record::source::process_text::{parse_stat, parse_statm, parse_status};
use memsoak_schema::{Label, Value};

use super::{capture, captures, check_rows, readings, spec_of};

fn int(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(value)) => *value,
        _ => 0,
    }
}

/// The pages in free blocks of order 0 and up.
fn free_pages<'a>(orders: impl IntoIterator<Item = &'a Value>) -> i64 {
    (0..)
        .zip(orders)
        .map(|(order, value)| int(Some(value)) << order)
        .sum()
}

fn near(what: &str, one: i64, other: i64, tolerance: i64) {
    let off = (one - other).abs();
    assert!(
        off <= tolerance,
        "{what}: {one} and {other} differ by {off}, more than {tolerance}"
    );
}

/// Sources that not every capture has.
const SELDOM: &[&str] = &[
    "sockstat",
    "fs",
    "sysvshm",
    "modules",
    "zram",
    "zswap",
    "cma",
    "numa",
    "hugepages",
    "ksm",
    "allocinfo",
    "page_owner",
    "kmemleak",
];

#[test]
fn every_capture_is_understood_to_the_last_line() {
    for capture in captures() {
        for (spec, _) in readings() {
            let Some(rows) = capture.rows(spec.name) else {
                let seldom = SELDOM.contains(&spec.name);
                assert!(seldom, "{} has no {}", capture.name, spec.name);
                continue;
            };
            let what = format!("{} {}", capture.name, spec.name);
            assert!(!rows.is_empty() || spec.name == "swaps", "{what}");
            check_rows(spec, &rows);
        }
    }
}

#[test]
fn rows_are_as_many_as_counted_by_hand() {
    // Capture, then zones, populated zones, zones x types, swap areas.
    for (name, expected) in [
        ("6.1-x86_64-debian/t0", [5, 2, 10, 1]),
        ("6.1-x86_64-pageowner/t1", [4, 2, 12, 1]),
        ("6.1-arm64-debian/t0", [4, 1, 6, 0]),
        ("6.12-arm64-16k/t1", [5, 1, 6, 0]),
        ("6.18-x86_64-microvm/t0", [5, 3, 15, 0]),
    ] {
        let capture = capture(name);
        let count = |source| capture.rows(source).unwrap().len();
        let counts = ["zoneinfo", "buddyinfo", "pagetypeinfo", "swaps"].map(count);
        assert_eq!(counts, expected, "{name}");
        let lines = |path: &str| {
            let text = capture.read(path).unwrap();
            text.iter().filter(|byte| **byte == b'\n').count()
        };
        // Two lines of headers.
        assert_eq!(count("slabinfo"), lines("proc/slabinfo") - 2, "{name}");
        assert_eq!(count("meminfo"), lines("proc/meminfo"), "{name}");
        assert_eq!(count("vmstat"), lines("proc/vmstat"), "{name}");
    }
}

#[test]
fn every_key_of_meminfo_in_the_captures_is_known() {
    let spec = spec_of("meminfo");
    for capture in captures() {
        for row in capture.rows("meminfo").unwrap().iter() {
            let known = |key: &[u8]| spec.metrics().iter().any(|m| m.name.as_bytes() == key);
            assert!(known(row.key()), "{}", row.key().escape_ascii());
        }
    }
}

/// `Slab` also counts kmalloc beyond two pages, which is in no cache (measured: up to 1.5 MiB), and
/// is folded from per-CPU counters that may lag; the machine allocates between the two reads.
#[test]
fn the_caches_add_up_to_the_slab_total() {
    for capture in captures() {
        let pages: i64 = capture
            .rows("slabinfo")
            .unwrap()
            .iter()
            .map(|row| int(row.values().get(4)) * int(row.values().get(6)))
            .sum();
        let caches_kib = pages * capture.page_bytes / 1024;
        let total_kib = capture.int("meminfo", "Slab");
        let tolerance = 2 * 1024 + total_kib / 50;
        near(&capture.name, caches_kib, total_kib, tolerance);
    }
}

/// Free pages move by some MiB while the files are copied one after the other: 2 % of the free
/// memory, and 1 MiB on small machines.
#[test]
fn free_blocks_add_up_to_the_free_pages_of_their_zone() {
    for capture in captures() {
        let zones = capture.rows("zoneinfo").unwrap();
        let lists = capture.rows("buddyinfo").unwrap();
        assert!(!lists.is_empty());
        for row in lists.iter() {
            let free = int(zones.value_of(row.key()).as_ref());
            near(
                &capture.name,
                free_pages(row.values()),
                free,
                256 + free / 50,
            );
        }
    }
}

/// As above: one walks the lists, the other reads their lengths, at different moments.
#[test]
fn the_types_of_a_zone_add_up_to_its_free_blocks() {
    for capture in captures() {
        let zones = capture.rows("buddyinfo").unwrap();
        let mut sums: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for row in capture.rows("pagetypeinfo").unwrap().iter() {
            let kind = row.name().iter().rposition(|byte| *byte == b' ').unwrap();
            let pages = free_pages(row.values().iter().skip(1));
            *sums.entry(row.name()[..kind].to_vec()).or_default() += pages;
        }
        assert_eq!(sums.len(), zones.len());
        for row in zones.iter() {
            let free = free_pages(row.values());
            near(&capture.name, sums[row.key()], free, 256 + free / 50);
        }
    }
}

/// Exact: neither moves after boot. But a host that takes memory back from its guest can leave the
/// zones with less than the total, as in the micro-VM.
#[test]
fn managed_pages_add_up_to_the_total() {
    for capture in captures() {
        let zones = capture.rows("zoneinfo").unwrap();
        let managed: i64 = zones.iter().map(|row| int(row.values().get(8))).sum();
        let kib = managed * capture.page_bytes / 1024;
        let total = capture.int("meminfo", "MemTotal");
        if capture.name.starts_with("6.18-x86_64-microvm") {
            assert!(kib < total);
        } else {
            assert_eq!(kib, total, "{}", capture.name);
        }
    }
}

/// A leaking module allocates 256 KiB each 200 ms between the two reads of the Debian captures'
/// t1, which lie up to two seconds apart.
#[test]
fn callers_add_up_to_the_vmalloc_total() {
    for capture in captures() {
        let callers = capture.rows("vmallocinfo").unwrap();
        let pages: i64 = callers.iter().map(|row| int(row.values().get(2))).sum();
        let kib = pages * capture.page_bytes / 1024;
        let total = capture.int("meminfo", "VmallocUsed");
        near(&capture.name, kib, total, 2560);
    }
}

/// vmstat sums the nodes, and each of these machines has one. The machine goes on between the
/// reads: 5 % and 8 MiB.
#[test]
fn on_one_node_nodestat_equals_vmstat() {
    for capture in captures() {
        for key in ["nr_anon_pages", "nr_slab_unreclaimable", "nr_kernel_stack"] {
            let node = capture.int("nodestat", &format!("node0.{key}"));
            let all = capture.int("vmstat", key);
            near(&capture.name, node, all, 2048 + all / 20);
        }
    }
}

/// A process' counters of resident pages are kept by threads or CPUs in portions of 64 pages or so,
/// and it goes on between the reads: 1 MiB.
#[test]
fn statm_and_status_tell_the_same_resident_memory() {
    let mut users = 0;
    for capture in captures() {
        for pid in capture.pids() {
            let read = |file: &str| capture.read(&format!("proc/{pid}/{file}")).unwrap();
            let statm = parse_statm(&read("statm")).unwrap();
            let (status, stat) = (read("status"), read("stat"));
            let status = parse_status(&status);
            let stat = parse_stat(&stat).unwrap();
            assert_eq!(stat.comm, status.name);
            assert_eq!(Some(stat.ppid), status.ppid);
            assert_eq!(Some(stat.threads), status.threads);
            let parts = [
                status.rss_anon_kib,
                status.rss_file_kib,
                status.rss_shmem_kib,
            ];
            if pid == "2" {
                assert_eq!(parts, [None; 3], "a kernel thread");
                assert_eq!(statm.resident_pages, 0);
                continue;
            }
            users += 1;
            let [anon, file, shmem] = parts.map(|part| i64::try_from(part.unwrap()).unwrap());
            let kib = |pages: u64| i64::try_from(pages).unwrap() * capture.page_bytes / 1024;
            let what = format!("{} {pid}", capture.name);
            near(&what, kib(statm.resident_pages), anon + file + shmem, 1024);
            near(&what, kib(statm.shared_pages), file + shmem, 1024);
        }
    }
    assert!(users >= 15);
}

#[test]
fn what_the_kernel_gives_back_is_labelled() {
    let capture = capture("6.18-x86_64-microvm/t0");
    let labelled = |source: &str, name: &[u8]| {
        let rows = capture.rows(source).unwrap();
        let row = rows.iter().find(|row| row.name() == name).unwrap();
        row.labels()
            .any(|label| label == ("reclaimable", Label::Bool(true)))
    };
    assert!(labelled("slabinfo", b"dentry"));
    assert!(!labelled("slabinfo", b"sock_inode_cache"));
    assert!(labelled("vmallocinfo", b"unpurged vm_area"));
    assert!(!labelled("vmallocinfo", b"kernel_clone"));
}

/// As above: the machine goes on between the reads.
#[test]
fn on_one_node_its_totals_are_those_of_the_machine() {
    let mut nodes = 0;
    for capture in captures() {
        if capture.rows("numa").is_none() {
            continue;
        }
        nodes += 1;
        for key in ["AnonPages", "SUnreclaim", "KernelStack"] {
            let node = capture.int("numa", &format!("node0.{key}"));
            let all = capture.int("meminfo", key);
            near(&capture.name, node, all, 8192 + all / 20);
        }
        let part = |key: &str| capture.int("numa", &format!("node0.{key}"));
        assert_eq!(part("MemTotal") - part("MemFree"), part("MemUsed"));
    }
    assert!(nodes >= 5);
}

/// The kernel computes the index of each order from the same free lists that buddyinfo prints
/// (mm/vmstat.c, unusable_free_index); a machine of some 400 MiB that goes on meanwhile moves them by
/// some per cent, and a leaking module by more than that after t0.
#[test]
fn the_kernels_unusable_index_is_what_buddyinfo_gives() {
    for capture in captures().iter().filter(|one| one.name.ends_with("/t0")) {
        let lists = capture.rows("buddyinfo").unwrap();
        for row in capture.rows("extfrag").unwrap().iter() {
            let zone = lists.iter().find(|zone| zone.key() == row.key()).unwrap();
            let free = free_pages(zone.values());
            for (order, index) in row.values().iter().take(zone.values().len()).enumerate() {
                let Some(index) = index.as_f64() else {
                    continue;
                };
                let usable: i64 = (0..)
                    .zip(zone.values())
                    .skip(order)
                    .map(|(order, blocks)| int(Some(blocks)) << order)
                    .sum();
                let computed = Value::Int(free - usable).as_f64().unwrap()
                    / Value::Int(free).as_f64().unwrap();
                assert!(
                    (index - computed).abs() < 0.05,
                    "{} order {order}: {index} and {computed}",
                    capture.name
                );
            }
        }
    }
}

/// The two were copied while a process had been swapped to zram and another to zswap, whose pages
/// were the only ones of that machine's zsmalloc: 1226 in vmstat.
#[test]
fn zram_and_zswap_make_up_the_compressed_pages() {
    let capture = capture("6.18-x86_64-microvm/t0");
    let zram = capture.rows("zram").unwrap();
    let used = zram.iter().map(|row| int(row.values().get(2))).sum::<i64>();
    let pool = capture.int("zswap", "pool_total_size");
    assert_eq!(used + pool, 1226 * capture.page_bytes);
}
