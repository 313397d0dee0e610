//! `/sys/kernel/mm/hugepages`: the pools of huge pages, by size.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};

use super::matching::{Text, TextIssue};
use super::text::parse_u64;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "hugepages",
    paths: &[
        "sys/kernel/mm/hugepages/hugepages-*/nr_hugepages",
        "sys/kernel/mm/hugepages/hugepages-*/free_hugepages",
        "sys/kernel/mm/hugepages/hugepages-*/resv_hugepages",
        "sys/kernel/mm/hugepages/hugepages-*/surplus_hugepages",
    ],
    shape: Shape::Entities {
        columns: &[
            count("total"),
            count("free"),
            count("reserved"),
            count("surplus"),
            MetricSpec::gauge("pool_bytes", Unit::Bytes),
            MetricSpec::gauge("used_bytes", Unit::Bytes)
                .judged(Trend::Memory)
                .part_of("meminfo/Hugetlb"),
        ],
    },
    interval_s: 10,
    needs: "CONFIG_HUGETLB_PAGE",
    caveats: "An entity is a size, as the kernel names it (2048kB). pool_bytes is total times the \
        size and taken from the machine whether in use or not; used_bytes is that without what is \
        free. reserved is promised and still free: free less reserved is what may be asked for. \
        surplus is what was taken beyond the pool (nr_overcommit_hugepages) and goes back when it is \
        freed. The pools of hugetlbfs only: transparent huge pages are AnonHugePages of meminfo. \
        Where pools lie by node: numa.",
    overhead: "47 us a read with two sizes of four files each, which are opened for it; takes no lock.",
};

const fn count(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Count)
}

/// `hugepages-2048kB`
fn size_bytes(name: &[u8]) -> Option<u64> {
    parse_u64(name.strip_suffix(b"kB")?)?.checked_mul(1024)
}

/// Parses the files: one number each. A pool is a row where its total is known.
pub fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
    let mut issues = Vec::new();
    let mut pools: Vec<(&[u8], u64, [Value; 4])> = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let name = text.folder();
        let name = name.strip_prefix(b"hugepages-").unwrap_or(name);
        let Some(size) = size_bytes(name) else {
            issues.push((at, Issue::new(0, "size not understood", name)));
            continue;
        };
        let value = match text.number() {
            Ok(value) => value,
            Err(issue) => {
                issues.push((at, issue));
                continue;
            }
        };
        let place = pools.iter().position(|(pool, ..)| *pool == name);
        let place = place.unwrap_or_else(|| {
            pools.push((name, size, [Value::Null; 4]));
            pools.len() - 1
        });
        if let Some((_, _, values)) = pools.get_mut(place)
            && let Some(slot) = values.get_mut(text.pattern)
        {
            *slot = value;
        }
    }
    for (name, size, [total, free, reserved, surplus]) in pools {
        if total == Value::Null {
            continue;
        }
        let bytes = |pages: Option<u64>| Value::from(pages.and_then(|n| n.checked_mul(size)));
        let used = whole(total).zip(whole(free));
        let used = used.and_then(|(total, free)| total.checked_sub(free));
        let columns = [
            total,
            free,
            reserved,
            surplus,
            bytes(whole(total)),
            bytes(used),
        ];
        rows.entity(name, name, &columns);
        rows.label(
            "size_kib",
            Label::Int(i64::try_from(size / 1024).unwrap_or(i64::MAX)),
        );
    }
    issues
}

fn whole(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{clean_texts, values};
    use super::*;

    #[test]
    fn the_pools_of_each_size_are_read_and_what_is_in_use_computed() {
        let rows = clean_texts(&SPEC, parse, "6.18-x86_64-microvm/t0");
        assert_eq!(rows.len(), 2);
        // Six pages, three touched and three promised; /proc/meminfo of then: Hugetlb 12288 kB.
        let expected = [6, 3, 3, 1, 12_288 << 10, 3 << 21];
        assert_eq!(values(&rows, "2048kB"), expected.map(Value::Int));
        assert_eq!(values(&rows, "1048576kB"), [0; 6].map(Value::Int));
    }

    #[test]
    fn what_a_capture_lacks_is_null_and_not_zero() {
        let rows = clean_texts(&SPEC, parse, "6.12-arm64-16k/t0");
        assert_eq!(rows.len(), 3);
        let zero = Value::Int(0);
        let expected = [zero, zero, Value::Null, Value::Null, zero, zero];
        assert_eq!(values(&rows, "32768kB"), expected);
    }
}
