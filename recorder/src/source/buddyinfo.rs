//! `/proc/buddyinfo`: the free blocks of each zone, by order.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Unit, Value};

use super::text::{DUPLICATE, Issues, MALFORMED, Seen, lines, parse_u64, words};
use super::zoneinfo::ZoneName;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "buddyinfo",
    paths: &["proc/buddyinfo"],
    shape: Shape::Entities { columns: &COLUMNS },
    interval_s: 0,
    needs: "",
    caveats: "Counts blocks of 2^order pages. Orders that the kernel has not are NULL (it ends at \
        10 on x86, at 11 with 16 KiB pages). Pages on the per-CPU lists are in no order.",
    overhead: "4 us a read on a held descriptor (8 us when opened); takes each zone's lock.",
};

/// Free blocks of each order.
const COLUMNS: [MetricSpec; ORDERS] = [
    blocks("free_order0"),
    blocks("free_order1"),
    blocks("free_order2"),
    blocks("free_order3"),
    blocks("free_order4"),
    blocks("free_order5"),
    blocks("free_order6"),
    blocks("free_order7"),
    blocks("free_order8"),
    blocks("free_order9"),
    blocks("free_order10"),
    blocks("free_order11"),
    blocks("free_order12"),
    blocks("free_order13"),
];

/// How many orders have a column.
pub(super) const ORDERS: usize = 14;

const fn blocks(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Count)
}

/// Another number of blocks, and those of each order behind it.
pub(super) const fn columns_after(first: &'static str) -> [MetricSpec; ORDERS + 1] {
    let mut columns = [blocks(first); ORDERS + 1];
    let (_, orders) = columns.split_at_mut(1);
    orders.copy_from_slice(&COLUMNS);
    columns
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(8);
    let mut name = Vec::new();
    for (number, line) in lines(text, &mut issues) {
        match parse_line(line) {
            Some((zone, values)) if seen.take((zone.node, zone.zone)) => {
                zone.write(&mut name);
                rows.entity(&name, &name, &values);
                zone.label(rows);
            }
            Some(_) => issues.add(number, DUPLICATE, line),
            None => issues.add(number, MALFORMED, line),
        }
    }
    issues.finish()
}

fn parse_line(line: &[u8]) -> Option<(ZoneName<'_>, [Value; ORDERS])> {
    let (zone, rest) = ZoneName::take(line)?;
    let mut values = [Value::Null; ORDERS];
    parse_orders(rest, &mut values, |word| parse_u64(word).map(Value::from))?;
    Some((zone, values))
}

/// Fills one value for each word; `None` when there is no word, one too many, or a bad one.
pub(super) fn parse_orders(
    text: &[u8],
    values: &mut [Value],
    parse: impl Fn(&[u8]) -> Option<Value>,
) -> Option<()> {
    let mut slots = values.iter_mut();
    let mut any = None;
    for word in words(text) {
        *slots.next()? = parse(word)?;
        any = Some(());
    }
    any
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{capture, clean, parsed, values};
    use super::*;

    #[test]
    fn orders_that_the_kernel_lacks_are_null() {
        let rows = clean(parse, &capture("6.18-x86_64-microvm/t0", "proc/buddyinfo"));
        assert_eq!(rows.len(), 3);
        let normal = values(&rows, "Node 0 Normal");
        assert_eq!(normal.first(), Some(&Value::Int(12_232)));
        assert_eq!(normal.get(10), Some(&Value::Int(169)));
        assert_eq!(normal.get(11), Some(&Value::Null));
        // One order more: a block of the largest is 2^11 pages of 16 KiB there.
        let rows = clean(parse, &capture("6.12-arm64-16k/t0", "proc/buddyinfo"));
        assert_eq!(values(&rows, "Node 0 DMA").get(11), Some(&Value::Int(8)));
    }

    #[test]
    fn more_orders_than_columns_are_not_cut_off_silently() {
        let text = b"Node 0, zone Normal 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14\n";
        let (rows, issues) = parsed(parse, text);
        assert!(rows.is_empty());
        assert_eq!(issues.len(), 1);
    }
}
