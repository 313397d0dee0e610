//! `/sys/devices/system/node/node*`: what the totals are on each node.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Unit};

use super::matching::{Text, TextIssue};
use super::text::{
    DUPLICATE, Issues, MALFORMED, Seen, first_word, lines, parse_u64, split_once, words,
};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "numa",
    paths: &[
        "sys/devices/system/node/node*/meminfo",
        "sys/devices/system/node/node*/numastat",
    ],
    shape: Shape::Scalars {
        known: &[],
        other: metric_of,
    },
    interval_s: 60,
    needs: "CONFIG_NUMA",
    caveats: "Keys are node0.MemFree and so on, in KiB as in meminfo, and node0.numa_miss and so on: \
        pages since boot that this node gave (hit, local_node), gave for another (miss, other_node), \
        or could not give (foreign). On a machine with a single node meminfo and vmstat tell the \
        same. FilePages is Cached with Buffers and SwapCached; MemUsed is MemTotal less MemFree. \
        Nothing is judged: what leaks is named by what holds it, not by where it lies.",
    overhead: "36 us a read with one node; adds up what each CPU has counted, takes no lock.",
};

fn metric_of(key: &[u8]) -> MetricSpec {
    let name = split_once(key, b'.').map_or(key, |(_, name)| name);
    if name.starts_with(b"HugePages_") {
        MetricSpec::gauge("", Unit::Count)
    } else if name.first().is_some_and(u8::is_ascii_lowercase) {
        MetricSpec::counter("", Unit::Pages)
    } else {
        MetricSpec::gauge("", Unit::Kib)
    }
}

/// Parses the files. The node is that of the folder, which each line of meminfo repeats.
pub fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
    let mut found = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let mut issues = Issues::default();
        let mut seen = Seen::with_room(64);
        for (number, line) in lines(&text.bytes, &mut issues) {
            let parsed = match text.pattern {
                0 => parse_meminfo(line, text.folder()),
                _ => parse_numastat(line),
            };
            match parsed {
                Some((key, value)) if seen.take(key) => {
                    rows.scalar_parts(&[text.folder(), b".", key], value);
                }
                Some(_) => issues.add(number, DUPLICATE, line),
                None => issues.add(number, MALFORMED, line),
            }
        }
        found.extend(issues.finish().into_iter().map(|issue| (at, issue)));
    }
    found
}

/// `Node 0 MemFree:        14994696 kB`
fn parse_meminfo<'a>(line: &'a [u8], node: &[u8]) -> Option<(&'a [u8], u64)> {
    let (word, rest) = first_word(line)?;
    let (number, rest) = first_word(rest)?;
    if word != b"Node" || Some(number) != node.strip_prefix(b"node") {
        return None;
    }
    let (key, rest) = split_once(rest.trim_ascii_start(), b':')?;
    let mut words = words(rest);
    let value = parse_u64(words.next()?)?;
    let unit: Option<&[u8]> = match metric_of(key).unit {
        Unit::Count => None,
        _ => Some(b"kB"),
    };
    let is_key = key.first().is_some_and(u8::is_ascii_uppercase);
    (is_key && words.next() == unit && words.next().is_none()).then_some((key, value))
}

/// `numa_hit 1234`
fn parse_numastat(line: &[u8]) -> Option<(&[u8], u64)> {
    let (key, rest) = first_word(line)?;
    let value = parse_u64(rest.trim_ascii())?;
    key.first()?.is_ascii_lowercase().then_some((key, value))
}

#[cfg(test)]
mod tests {
    use memsoak_schema::{Kind, Value};

    use super::super::fixtures::clean_texts;
    use super::*;

    #[test]
    fn totals_and_counters_of_a_node_are_read() {
        let rows = clean_texts(&SPEC, parse, "6.12-arm64-16k/t0");
        assert_eq!(rows.value_of(b"node0.MemTotal"), Some(Value::Int(483568)));
        assert_eq!(rows.value_of(b"node0.numa_hit"), Some(Value::Int(7385)));
        assert_eq!(rows.value_of(b"node0.HugePages_Total"), Some(Value::Int(0)));
    }

    #[test]
    fn nodes_do_not_mix_and_units_are_those_of_meminfo() {
        let text = |node: &str, line: &str| Text {
            pattern: 0,
            path: format!("sys/devices/system/node/{node}/meminfo").into_bytes(),
            bytes: line.as_bytes().to_vec(),
        };
        let texts = [
            text("node0", "Node 0 MemFree:  5 kB\n"),
            text(
                "node1",
                "Node 1 MemFree:  7 kB\nNode 0 MemUsed: 1 kB\nNode 1 Slab: 3\n",
            ),
        ];
        let mut rows = Rows::default();
        assert_eq!(parse(&texts, &mut rows).len(), 2, "another node, no unit");
        assert_eq!(rows.value_of(b"node0.MemFree"), Some(Value::Int(5)));
        assert_eq!(rows.value_of(b"node1.MemFree"), Some(Value::Int(7)));
        assert_eq!(rows.len(), 2);
        assert_eq!(metric_of(b"node1.MemFree").unit, Unit::Kib);
        assert_eq!(metric_of(b"node1.HugePages_Surp").unit, Unit::Count);
        assert_eq!(metric_of(b"node1.numa_miss").kind, Kind::Counter);
    }
}
