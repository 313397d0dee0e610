//! `/proc/vmstat`: the page states of the whole machine, and what its memory management did.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Unit};

use super::text::{DUPLICATE, Issues, MALFORMED, Seen, lines, parse_u64, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "vmstat",
    paths: &["proc/vmstat"],
    shape: Shape::Scalars {
        known: KNOWN,
        other: metric_of,
    },
    interval_s: 0,
    needs: "",
    caveats: "States (nr_*) are pages, apart from nr_kernel_stack (KiB) and the huge page states, \
        which count huge pages. Each is folded from per-CPU counters about once a second \
        (vm.stat_interval) and may be off by some hundred pages until then. Everything else is \
        counted since boot. What a balloon holds is balloon_inflate less \
        balloon_deflate, in pages, and nr_balloon_pages on newer kernels (6.18 has it, 6.12 not); a \
        driver that does not use the kernel's balloon_compaction counts in neither.",
    overhead: "23 us a read on a held descriptor (27 us when opened); takes no lock.",
};

const KNOWN: &[MetricSpec] = &[
    // Stored in KiB since stacks can be smaller than a page.
    MetricSpec::gauge("nr_kernel_stack", Unit::Kib),
    MetricSpec::gauge("nr_shadow_call_stack", Unit::Kib),
    // Printed as a number of huge pages, whatever the kernel keeps inside.
    MetricSpec::gauge("nr_anon_transparent_hugepages", Unit::Count),
    MetricSpec::gauge("nr_shmem_hugepages", Unit::Count),
    MetricSpec::gauge("nr_shmem_pmdmapped", Unit::Count),
    MetricSpec::gauge("nr_file_hugepages", Unit::Count),
    MetricSpec::gauge("nr_file_pmdmapped", Unit::Count),
    // Nodes of the page cache's trees that hold nothing but traces of evicted pages.
    MetricSpec::gauge("workingset_nodes", Unit::Count),
    // Events that bear the prefix of states.
    MetricSpec::counter("nr_dirtied", Unit::Pages),
    MetricSpec::counter("nr_written", Unit::Pages),
    MetricSpec::counter("nr_throttled_written", Unit::Pages),
    MetricSpec::counter("nr_vmscan_write", Unit::Pages),
    MetricSpec::counter("nr_vmscan_immediate_reclaim", Unit::Pages),
    MetricSpec::counter("nr_foll_pin_acquired", Unit::Count),
    MetricSpec::counter("nr_foll_pin_released", Unit::Count),
    MetricSpec::counter("nr_tlb_remote_flush", Unit::Count),
    MetricSpec::counter("nr_tlb_remote_flush_received", Unit::Count),
    MetricSpec::counter("nr_tlb_local_flush_all", Unit::Count),
    MetricSpec::counter("nr_tlb_local_flush_one", Unit::Count),
    // Counted in sectors, printed in KiB.
    MetricSpec::counter("pgpgin", Unit::Kib),
    MetricSpec::counter("pgpgout", Unit::Kib),
    MetricSpec::counter("pswpin", Unit::Pages),
    MetricSpec::counter("pswpout", Unit::Pages),
];

/// What a key is: one of the exceptions, else a state in pages (`nr_`) or an event.
pub(super) fn metric_of(key: &[u8]) -> MetricSpec {
    let known = KNOWN.iter().find(|metric| metric.name.as_bytes() == key);
    match known {
        Some(metric) => *metric,
        None if key.starts_with(b"nr_") => MetricSpec::gauge("", Unit::Pages),
        None => MetricSpec::counter("", Unit::Count),
    }
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(256);
    for (number, line) in lines(text, &mut issues) {
        match parse_line(line) {
            Some((key, value)) if seen.take(key) => rows.scalar(key, value),
            Some(_) => issues.add(number, DUPLICATE, line),
            None => issues.add(number, MALFORMED, line),
        }
    }
    issues.finish()
}

/// `nr_free_pages 2064652`
pub(super) fn parse_line(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut words = words(line);
    let key = words.next()?;
    let value = parse_u64(words.next()?)?;
    words.next().is_none().then_some((key, value))
}

#[cfg(test)]
mod tests {
    use memsoak_schema::{Kind, Value};

    use super::super::fixtures::{capture, clean};
    use super::*;

    #[test]
    fn states_and_events_are_read() {
        let text = capture("6.18-x86_64-microvm/t0", "proc/vmstat");
        let rows = clean(parse, &text);
        assert_eq!(rows.len(), text.split(|b| *b == b'\n').count() - 1);
        assert_eq!(rows.value_of(b"nr_free_pages"), Some(Value::Int(2_064_652)));
        assert_eq!(rows.value_of(b"pgfault"), Some(Value::Int(105_933_882)));
    }

    #[test]
    fn the_prefix_alone_does_not_make_a_state() {
        let kind = |key: &str| {
            let metric = metric_of(key.as_bytes());
            (metric.kind, metric.unit)
        };
        assert_eq!(kind("nr_free_pages"), (Kind::Gauge, Unit::Pages));
        assert_eq!(kind("nr_dirtied"), (Kind::Counter, Unit::Pages));
        assert_eq!(kind("nr_kernel_stack"), (Kind::Gauge, Unit::Kib));
        assert_eq!(kind("workingset_nodes"), (Kind::Gauge, Unit::Count));
        assert_eq!(
            kind("workingset_refault_anon"),
            (Kind::Counter, Unit::Count)
        );
        assert_eq!(kind("pgfault"), (Kind::Counter, Unit::Count));
    }

    #[test]
    fn huge_page_states_are_counted_in_huge_pages() {
        let root = "6.18-x86_64-microvm/t0";
        let vmstat = clean(parse, &capture(root, "proc/vmstat"));
        let meminfo = clean(super::super::meminfo::parse, &capture(root, "proc/meminfo"));
        // 206 x 2,048 KiB = 421,888 KiB.
        assert_eq!(
            vmstat.value_of(b"nr_anon_transparent_hugepages"),
            Some(Value::Int(206))
        );
        assert_eq!(
            meminfo.value_of(b"AnonHugePages"),
            Some(Value::Int(421_888))
        );
    }
}
