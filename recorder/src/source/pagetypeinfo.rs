//! `/proc/pagetypeinfo`: the free blocks of each zone by what may be allocated from them, which is
//! what fragmentation looks like from inside.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, Label, Rows, Shape, Spec, Value};

use super::buddyinfo::{ORDERS, columns_after, parse_orders};
use super::text::{
    DUPLICATE, Issues, MALFORMED, Seen, first_word, lines, parse_i64, parse_u64, words,
};
use super::zoneinfo::ZoneName;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "pagetypeinfo",
    paths: &["proc/pagetypeinfo"],
    shape: Shape::Entities {
        columns: &columns_after("pageblocks"),
    },
    interval_s: 60,
    needs: "root or CAP_DAC_READ_SEARCH",
    caveats: "The kernel stops counting a free list at 100,000 blocks and then prints `>100000`: \
        such a count is NULL, as it is not known (buddyinfo has the exact sum over types). Orders \
        that the kernel has not are NULL too, behind the last number. A free block stands under \
        the list it is on; pageblocks counts the areas of pages_per_block pages of each type.",
    overhead: "3-10 ms a read and up to 29 ms seen: walks every free list under the zone's lock, \
        so it grows with fragmentation and holds up allocation meanwhile.",
};

/// Which table of the file a line stands in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Table {
    Head,
    Free,
    Blocks,
    Mixed,
}

impl Table {
    /// The table that this line begins.
    fn begins(line: &[u8]) -> Option<Self> {
        [
            (&b"Free pages count per migrate type"[..], Self::Free),
            (b"Number of blocks type", Self::Blocks),
            // With page_owner: pageblocks that hold pages of another type.
            (b"Number of mixed blocks", Self::Mixed),
        ]
        .into_iter()
        .find_map(|(start, table)| line.starts_with(start).then_some(table))
    }
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(32);
    let mut name = Vec::new();
    let mut pages_per_block = None;
    let mut table = Table::Head;
    let blocks = Blocks::find(text);
    for (number, line) in lines(text, &mut issues) {
        if let Some(next) = Table::begins(line) {
            table = next;
            continue;
        }
        let zone_line = line.starts_with(b"Node");
        match table {
            _ if line.trim_ascii().is_empty() => {}
            Table::Head if line.starts_with(b"Page block order:") => {}
            Table::Head if line.starts_with(b"Pages per block:") => {
                pages_per_block = line
                    .strip_prefix(b"Pages per block:")
                    .and_then(|n| parse_i64(n.trim_ascii()));
                if pages_per_block.is_none() {
                    issues.add(number, MALFORMED, line);
                }
            }
            // The table's first line may have been lost; its lines say themselves what they are.
            Table::Head | Table::Free if zone_line => {
                let Some((zone, kind, mut values)) = parse_free(line) else {
                    issues.add(number, MALFORMED, line);
                    continue;
                };
                if !seen.take((zone.node, zone.zone, kind)) {
                    issues.add(number, DUPLICATE, line);
                    continue;
                }
                if let Some(first) = values.first_mut() {
                    *first = Value::from(blocks.of(zone, kind));
                }
                zone.write(&mut name);
                name.push(b' ');
                name.extend_from_slice(kind);
                rows.entity(&name, &name, &values);
                zone.label(rows);
                rows.label("migratetype", Label::Bytes(kind));
                if let Some(pages) = pages_per_block {
                    rows.label("pages_per_block", Label::Int(pages));
                }
            }
            Table::Blocks if zone_line => {
                if blocks.numbers(line).is_none() {
                    issues.add(number, MALFORMED, line);
                }
            }
            Table::Mixed if zone_line => {}
            _ => issues.add(number, MALFORMED, line),
        }
    }
    issues.finish()
}

/// `Node    0, zone   Normal, type    Unmovable    769   3477 ...`
fn parse_free(line: &[u8]) -> Option<(ZoneName<'_>, &[u8], [Value; ORDERS + 1])> {
    let (mut zone, rest) = ZoneName::take(line)?;
    zone.zone = zone.zone.strip_suffix(b",")?;
    let (word, rest) = first_word(rest)?;
    let (kind, rest) = first_word(rest)?;
    let mut values = [Value::Null; ORDERS + 1];
    parse_orders(rest, values.get_mut(1..)?, parse_count)?;
    (word == b"type").then_some((zone, kind, values))
}

/// A number, or `>100000` where the kernel gave up counting, so as not to hold the zone's lock for
/// longer (since 5.4, 93b3a674485f): more than we know, so unknown.
fn parse_count(word: &[u8]) -> Option<Value> {
    match word.strip_prefix(b">") {
        Some(limit) => parse_u64(limit).map(|_| Value::Null),
        None => parse_u64(word).map(Value::from),
    }
}

/// The second table, which has a line a zone and a column a type.
#[derive(Clone, Copy, Debug)]
struct Blocks<'a> {
    kinds: &'a [u8],
    lines: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// Finds the table; without one nothing is found in it.
    fn find(text: &'a [u8]) -> Self {
        let mut unheard = Issues::default();
        let mut found = Self {
            kinds: b"",
            lines: b"",
        };
        let mut at = 0;
        for (_, line) in lines(text, &mut unheard) {
            at += line.len() + 1;
            match Table::begins(line) {
                Some(Table::Blocks) => {
                    found.kinds = line.strip_prefix(b"Number of blocks type").unwrap_or(b"");
                    found.lines = text.get(at..).unwrap_or(b"");
                }
                Some(Table::Mixed) => break,
                _ => {}
            }
        }
        found
    }

    /// The numbers of a line, when there is one for each type.
    fn numbers(&self, line: &'a [u8]) -> Option<(ZoneName<'a>, &'a [u8])> {
        let (zone, rest) = ZoneName::take(line)?;
        let fits = words(rest).count() == words(self.kinds).count();
        (fits && words(rest).all(|word| parse_u64(word).is_some())).then_some((zone, rest))
    }

    /// How many pageblocks of this type the zone has.
    fn of(&self, zone: ZoneName<'_>, kind: &[u8]) -> Option<u64> {
        let column = words(self.kinds).position(|word| word == kind)?;
        let mut unheard = Issues::default();
        let (_, numbers) = lines(self.lines, &mut unheard)
            .take_while(|(_, line)| Table::begins(line).is_none())
            .filter_map(|(_, line)| self.numbers(line))
            .find(|(name, _)| *name == zone)?;
        words(numbers).nth(column).and_then(parse_u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{capture, clean, parsed, values};
    use super::*;

    #[test]
    fn both_tables_meet_in_one_row() {
        let rows = clean(
            parse,
            &capture("6.18-x86_64-microvm/t0", "proc/pagetypeinfo"),
        );
        assert_eq!(rows.len(), 15);
        let row = values(&rows, "Node 0 Normal Reclaimable");
        assert_eq!(
            row.iter().take(4).copied().collect::<Vec<_>>(),
            [262, 3_497, 306, 398].map(Value::Int)
        );
        assert_eq!(row.get(12), Some(&Value::Null));
        assert_eq!(
            rows.iter().next().map(|row| row.labels().collect()),
            Some(vec![
                ("node", Label::Int(0)),
                ("zone", Label::Bytes(b"DMA")),
                ("migratetype", Label::Bytes(b"Unmovable")),
                ("pages_per_block", Label::Int(512)),
            ])
        );
    }

    #[test]
    fn the_table_of_page_owner_is_not_taken_for_the_pageblocks() {
        let rows = clean(
            parse,
            &capture("6.1-x86_64-pageowner/t1", "proc/pagetypeinfo"),
        );
        assert_eq!(rows.len(), 12);
        assert_eq!(
            rows.value_of(b"Node 0 DMA32 Movable"),
            Some(Value::Int(204))
        );
    }

    #[test]
    fn a_list_that_the_kernel_did_not_count_to_the_end_is_unknown() {
        let text = b"Node    0, zone   Normal, type    Movable  >100000    12\n";
        let rows = clean(parse, text);
        let row = values(&rows, "Node 0 Normal Movable");
        assert_eq!(row.get(1..3), Some(&[Value::Null, Value::Int(12)][..]));
    }

    #[test]
    fn without_the_second_table_the_pageblocks_are_unknown() {
        let text = capture("6.18-x86_64-microvm/t0", "proc/pagetypeinfo");
        let text: Vec<u8> = text
            .split_inclusive(|byte| *byte == b'\n')
            .take(19)
            .flatten()
            .copied()
            .collect();
        let (rows, _) = parsed(parse, &text);
        assert_eq!(rows.len(), 15);
        assert_eq!(rows.value_of(b"Node 0 DMA Movable"), Some(Value::Null));
    }
}
