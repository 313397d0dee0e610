//! `/proc/meminfo`: the kernel's own totals.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Trend, Unit};

use super::text::{DUPLICATE, Issues, MALFORMED, Seen, lines, parse_u64, split_once, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "meminfo",
    paths: &["proc/meminfo"],
    shape: Shape::Scalars {
        known: KNOWN,
        other: metric_of,
    },
    interval_s: 0,
    needs: "",
    caveats: "The kernel writes kB and means KiB. Most totals are sums of per-CPU counters that are \
        folded in now and then: each may be off by some hundred pages. Cached contains Shmem, \
        which is not given back. Free pages on the per-CPU lists are in no field (see zoneinfo). \
        Where stacks are mapped (CONFIG_VMAP_STACK) VmallocUsed contains KernelStack; Percpu is \
        never in it. VmallocTotal is address space, not memory.",
    overhead: "6 us a read on a held descriptor (10 us when opened); takes swap_lock for a moment.",
};

const fn kib(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Kib)
}

const fn count(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Count)
}

const KNOWN: &[MetricSpec] = &[
    kib("MemTotal"),
    kib("MemFree"),
    kib("MemAvailable"),
    kib("Buffers").judged(Trend::Reclaimable),
    kib("Cached").judged(Trend::Reclaimable),
    kib("SwapCached"),
    kib("Active"),
    kib("Inactive"),
    kib("Active(anon)"),
    kib("Inactive(anon)"),
    kib("Active(file)"),
    kib("Inactive(file)"),
    kib("Unevictable"),
    kib("Mlocked"),
    kib("SwapTotal"),
    kib("SwapFree"),
    kib("Zswap")
        .judged(Trend::Total)
        .part_of("meminfo/SwapTotal"),
    kib("Zswapped"),
    kib("Dirty"),
    kib("Writeback"),
    kib("AnonPages").judged(Trend::Total),
    kib("Mapped"),
    kib("Shmem").judged(Trend::Total),
    kib("KReclaimable"),
    kib("Slab"),
    kib("SReclaimable")
        .judged(Trend::Reclaimable)
        .part_of("meminfo/Slab"),
    kib("SUnreclaim")
        .judged(Trend::Total)
        .part_of("meminfo/Slab"),
    kib("KernelStack").judged(Trend::Total),
    kib("PageTables").judged(Trend::Total),
    kib("SecPageTables").judged(Trend::Total),
    kib("NFS_Unstable"),
    kib("Bounce"),
    kib("WritebackTmp"),
    kib("CommitLimit"),
    kib("Committed_AS"),
    kib("VmallocTotal"),
    kib("VmallocUsed").judged(Trend::Total),
    kib("VmallocChunk"),
    kib("Percpu").judged(Trend::Memory),
    kib("HardwareCorrupted"),
    kib("AnonHugePages"),
    kib("ShmemHugePages"),
    kib("ShmemPmdMapped"),
    kib("FileHugePages"),
    kib("FilePmdMapped"),
    kib("CmaTotal"),
    kib("CmaFree"),
    kib("Unaccepted"),
    kib("Balloon"),
    count("HugePages_Total"),
    count("HugePages_Free"),
    count("HugePages_Rsvd"),
    count("HugePages_Surp"),
    kib("Hugepagesize"),
    kib("Hugetlb"),
    kib("DirectMap4k"),
    kib("DirectMap2M"),
    kib("DirectMap1G"),
];

/// What a key is whose like we do not know: only the pools of huge pages are counted.
fn metric_of(key: &[u8]) -> MetricSpec {
    if key.starts_with(b"HugePages_") {
        count("")
    } else {
        kib("")
    }
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(64);
    for (number, line) in lines(text, &mut issues) {
        match parse_line(line) {
            Some((key, value)) if seen.take(key) => rows.scalar(key, value),
            Some(_) => issues.add(number, DUPLICATE, line),
            None => issues.add(number, MALFORMED, line),
        }
    }
    issues.finish()
}

/// `MemFree:   335228 kB`. A unit that is not the expected one makes the number meaningless.
fn parse_line(line: &[u8]) -> Option<(&[u8], u64)> {
    let (key, rest) = split_once(line, b':')?;
    let mut words = words(rest);
    let value = parse_u64(words.next()?)?;
    let unit: Option<&[u8]> = match metric_of(key).unit {
        Unit::Count => None,
        _ => Some(b"kB"),
    };
    (!key.is_empty() && words.next() == unit && words.next().is_none()).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use memsoak_schema::Value;

    use super::super::fixtures::{capture, clean, parsed};
    use super::*;

    #[test]
    fn totals_and_pools_of_huge_pages_are_read() {
        let rows = clean(parse, &capture("6.12-x86_64-debian/t0", "proc/meminfo"));
        assert_eq!(rows.len(), 55);
        assert_eq!(rows.value_of(b"MemTotal"), Some(Value::Int(407_600)));
        assert_eq!(rows.value_of(b"Active(anon)"), Some(Value::Int(19_988)));
        assert_eq!(
            rows.value_of(b"VmallocTotal"),
            Some(Value::Int(13_743_895_347_199))
        );
        assert_eq!(rows.value_of(b"HugePages_Total"), Some(Value::Int(0)));
    }

    #[test]
    fn a_number_with_another_unit_is_not_taken_for_kib() {
        let text = b"MemFree: 5 MB\nMemAvailable: 5\nHugePages_Free: 5 kB\nSlab: 7 kB\n";
        let (rows, issues) = parsed(parse, text);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.value_of(b"Slab"), Some(Value::Int(7)));
        assert_eq!(issues.len(), 3);
        assert_eq!(
            issues.first().map(ToString::to_string).as_deref(),
            Some("line 1: line not understood: \"MemFree: 5 MB\"")
        );
    }
}
