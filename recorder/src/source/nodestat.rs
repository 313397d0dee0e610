//! The per-node states in `/proc/zoneinfo`, which are in no other file of `/proc`.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec};

use super::text::{DUPLICATE, Issues, MALFORMED, Seen, lines, split_once};
use super::vmstat;
use super::zoneinfo::ZoneName;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "nodestat",
    paths: &["proc/zoneinfo"],
    shape: Shape::Scalars {
        known: &[],
        other: metric_of,
    },
    interval_s: 10,
    needs: "",
    caveats: "Keys are node0.nr_anon_pages and so on, with the units of vmstat's keys. On a machine \
        with a single node they equal vmstat's. A node without memory has none.",
    overhead: "26 us a read on a held descriptor; takes each zone's lock for its lines.",
};

/// What a key is without its node is what it is in vmstat.
fn metric_of(key: &[u8]) -> MetricSpec {
    vmstat::metric_of(split_once(key, b'.').map_or(key, |(_, key)| key))
}

/// Parses the file.
///
/// A node's states follow the first line of its first zone that has memory, six spaces in; the
/// zone's own, which are indented alike, come after its sizes.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(64);
    let mut node = None;
    for (number, line) in lines(text, &mut issues) {
        if let Some((zone, _)) = ZoneName::take(line) {
            node = Some(zone.node);
        } else if line == b"  per-node stats" {
            if node.is_none() {
                issues.add(number, "lines without a node", line);
            }
        } else if let (Some(name), Some(entry)) = (node, node_line(line)) {
            match vmstat::parse_line(entry) {
                Some((key, value)) if seen.take((name, key)) => {
                    rows.scalar_parts(&[b"node", name, b".", key], value);
                }
                Some(_) => issues.add(number, DUPLICATE, line),
                None => issues.add(number, MALFORMED, line),
            }
        } else {
            node = None;
        }
    }
    issues.finish()
}

fn node_line(line: &[u8]) -> Option<&[u8]> {
    let entry = line.strip_prefix(b"      ")?;
    (!entry.starts_with(b" ")).then_some(entry)
}

#[cfg(test)]
mod tests {
    use memsoak_schema::{Kind, Unit, Value};

    use super::super::fixtures::{capture, clean};
    use super::*;

    #[test]
    fn a_nodes_states_are_told_from_its_zones() {
        let rows = clean(parse, &capture("6.12-arm64-16k/t0", "proc/zoneinfo"));
        assert_eq!(rows.len(), 47);
        assert_eq!(
            rows.value_of(b"node0.nr_anon_pages"),
            Some(Value::Int(1_357))
        );
        assert_eq!(rows.value_of(b"node0.nr_mapped"), Some(Value::Int(90)));
        assert_eq!(rows.value_of(b"node0.nr_free_pages"), None);
    }

    #[test]
    fn two_nodes_do_not_mix() {
        let text = b"Node 0, zone Normal\n  per-node stats\n      nr_shmem 1\n  pages free 5\n        min 1\n      nr_mlock 7\nNode 1, zone Normal\n  per-node stats\n      nr_shmem 2\n  pages free 5\n";
        let rows = clean(parse, text);
        let keys: Vec<_> = rows.iter().map(|row| row.key().to_vec()).collect();
        assert_eq!(
            keys,
            [b"node0.nr_shmem".to_vec(), b"node1.nr_shmem".to_vec()]
        );
    }

    #[test]
    fn units_are_those_of_vmstat() {
        let metric = metric_of(b"node0.nr_kernel_stack");
        assert_eq!((metric.kind, metric.unit), (Kind::Gauge, Unit::Kib));
        assert_eq!(metric_of(b"node1.nr_dirtied").kind, Kind::Counter);
    }
}
