//! `/sys/kernel/debug/extfrag`: why an allocation of several pages would fail, by zone and order.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Unit, Value};

use super::buddyinfo::{ORDERS, parse_orders};
use super::matching::{Text, TextIssue};
use super::text::{DUPLICATE, Issues, MALFORMED, lines, parse_decimal};
use super::zoneinfo::ZoneName;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "extfrag",
    paths: &[
        "sys/kernel/debug/extfrag/unusable_index",
        "sys/kernel/debug/extfrag/extfrag_index",
    ],
    shape: Shape::Entities { columns: &COLUMNS },
    interval_s: 60,
    needs: "root, CONFIG_COMPACTION, and debugfs mounted at /sys/kernel/debug",
    caveats: "unusable: the share of a zone's free memory that lies in blocks too small for the \
        order, 0 to 1. index: -1 where a block of the order is free, else from 0 (it fails for want \
        of memory) to 1 (for want of blocks of that order). Orders that the kernel has not are NULL. \
        Both follow from buddyinfo, which needs no debugfs and from which the analyzer computes \
        them; this is the kernel's own word.",
    overhead: "23 us a read with three zones; takes each zone's lock twice.",
};

const COLUMNS: [MetricSpec; 2 * ORDERS] = [
    ratio("unusable_order0"),
    ratio("unusable_order1"),
    ratio("unusable_order2"),
    ratio("unusable_order3"),
    ratio("unusable_order4"),
    ratio("unusable_order5"),
    ratio("unusable_order6"),
    ratio("unusable_order7"),
    ratio("unusable_order8"),
    ratio("unusable_order9"),
    ratio("unusable_order10"),
    ratio("unusable_order11"),
    ratio("unusable_order12"),
    ratio("unusable_order13"),
    ratio("index_order0"),
    ratio("index_order1"),
    ratio("index_order2"),
    ratio("index_order3"),
    ratio("index_order4"),
    ratio("index_order5"),
    ratio("index_order6"),
    ratio("index_order7"),
    ratio("index_order8"),
    ratio("index_order9"),
    ratio("index_order10"),
    ratio("index_order11"),
    ratio("index_order12"),
    ratio("index_order13"),
];

const fn ratio(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Ratio)
}

/// A zone, and what each of the two files says of it.
type Zone<'a> = (ZoneName<'a>, [Option<[Value; ORDERS]>; 2]);

/// Parses the files: a line for each zone.
pub fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
    let mut found = Vec::new();
    let mut zones: Vec<Zone<'_>> = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let mut issues = Issues::default();
        for (number, line) in lines(&text.bytes, &mut issues) {
            let Some((zone, values)) = parse_line(line) else {
                issues.add(number, MALFORMED, line);
                continue;
            };
            let is_it = |(other, _): &Zone<'_>| (other.node, other.zone) == (zone.node, zone.zone);
            let place = zones.iter().position(is_it).unwrap_or_else(|| {
                zones.push((zone, [None; 2]));
                zones.len() - 1
            });
            let slot = zones
                .get_mut(place)
                .and_then(|zone| zone.1.get_mut(text.pattern));
            match slot {
                Some(slot @ None) => *slot = Some(values),
                _ => issues.add(number, DUPLICATE, line),
            }
        }
        found.extend(issues.finish().into_iter().map(|issue| (at, issue)));
    }
    let mut name = Vec::new();
    for (zone, files) in zones {
        let columns: Vec<Value> = files
            .into_iter()
            .flat_map(|values| values.unwrap_or([Value::Null; ORDERS]))
            .collect();
        zone.write(&mut name);
        rows.entity(&name, &name, &columns);
        zone.label(rows);
    }
    found
}

/// `Node 0, zone   Normal -1.000 -1.000 0.951 `
fn parse_line(line: &[u8]) -> Option<(ZoneName<'_>, [Value; ORDERS])> {
    let (zone, rest) = ZoneName::take(line)?;
    let mut values = [Value::Null; ORDERS];
    parse_orders(rest, &mut values, |word| {
        parse_signed(word).map(Value::Real)
    })?;
    Some((zone, values))
}

fn parse_signed(word: &[u8]) -> Option<f64> {
    match word.strip_prefix(b"-") {
        Some(digits) => parse_decimal(digits).map(|value| -value),
        None => parse_decimal(word),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{clean_texts, values};
    use super::*;

    #[test]
    fn both_files_make_one_row_a_zone() {
        let rows = clean_texts(&SPEC, parse, "6.12-arm64-16k/t0");
        assert_eq!(rows.len(), 1);
        let read = values(&rows, "Node 0 DMA");
        assert_eq!(
            read.get(10..13),
            Some(&[Value::Real(0.133), Value::Real(0.397), Value::Null][..])
        );
        assert_eq!(read.get(ORDERS), Some(&Value::Real(-1.0)));
        assert_eq!(read.get(ORDERS + 12), Some(&Value::Null));
    }

    #[test]
    fn a_file_that_could_not_be_read_leaves_nulls() {
        let text = Text {
            pattern: 1,
            path: b"sys/kernel/debug/extfrag/extfrag_index".to_vec(),
            bytes: b"Node 1, zone   Normal -1.000 0.951 \n".to_vec(),
        };
        let mut rows = Rows::default();
        assert_eq!(parse(&[text], &mut rows), vec![]);
        let read = values(&rows, "Node 1 Normal");
        assert_eq!(read.first(), Some(&Value::Null));
        assert_eq!(read.get(ORDERS + 1), Some(&Value::Real(0.951)));
    }
}
