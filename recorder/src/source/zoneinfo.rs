//! `/proc/zoneinfo`: the zones, with watermarks and the free pages that CPUs keep for themselves.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Unit, Value};

use super::text::{
    DUPLICATE, Issues, MALFORMED, Seen, first_word, lines, parse_i64, parse_u64, split_once,
};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "zoneinfo",
    paths: &["proc/zoneinfo"],
    shape: Shape::Entities {
        columns: &[
            pages("free_pages"),
            pages("boost_pages"),
            pages("min_pages"),
            pages("low_pages"),
            pages("high_pages"),
            pages("promo_pages"),
            pages("spanned_pages"),
            pages("present_pages"),
            pages("managed_pages"),
            pages("cma_pages"),
            pages("inactive_anon_pages"),
            pages("active_anon_pages"),
            pages("inactive_file_pages"),
            pages("active_file_pages"),
            pages("unevictable_pages"),
            pages("write_pending_pages"),
            pages("mlock_pages"),
            pages("bounce_pages"),
            pages("zspages_pages"),
            pages("free_cma_pages"),
            pages("pcp_count_pages"),
            pages("pcp_high_pages"),
            pages("pcp_batch_pages"),
        ],
    },
    interval_s: 0,
    needs: "",
    caveats: "A zone without memory has a row too, with zeros for its sizes and NULL for its \
        states. What a kernel lacks is NULL (6.1 has no promo, 6.18 no bounce). Pages \
        on the per-CPU lists (pcp_count_pages) are free but in neither free_pages nor MemFree. \
        States are folded from per-CPU counters and may be off by some hundred pages. A host \
        that takes memory back can leave the zones managing less than MemTotal.",
    overhead: "26 us a read on a held descriptor (48 us when opened, as the text outgrows the \
        first buffer), more with more CPUs; takes each zone's lock for its lines.",
};

const fn pages(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Pages)
}

/// The kernel's word for each column, up to the per-CPU ones.
const FIELDS: [&[u8]; 20] = [
    b"free",
    b"boost",
    b"min",
    b"low",
    b"high",
    b"promo",
    b"spanned",
    b"present",
    b"managed",
    b"cma",
    b"nr_zone_inactive_anon",
    b"nr_zone_active_anon",
    b"nr_zone_inactive_file",
    b"nr_zone_active_file",
    b"nr_zone_unevictable",
    b"nr_zone_write_pending",
    b"nr_mlock",
    b"nr_bounce",
    b"nr_zspages",
    b"nr_free_cma",
];

/// A line that names a zone, as in this file, buddyinfo and pagetypeinfo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ZoneName<'a> {
    /// The node's number, as it is written.
    pub(super) node: &'a [u8],
    /// The zone's name.
    pub(super) zone: &'a [u8],
}

impl<'a> ZoneName<'a> {
    /// Takes `Node 0, zone   Normal` off the start of a line, and gives what follows.
    pub(super) fn take(line: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (node, rest) = split_once(line.strip_prefix(b"Node")?, b',')?;
        let node = node.trim_ascii();
        parse_u64(node)?;
        let (word, rest) = first_word(rest)?;
        let (zone, rest) = first_word(rest)?;
        (word == b"zone").then_some((Self { node, zone }, rest))
    }

    /// Writes the entity's name, `Node 0 Normal`, into an empty buffer.
    pub(super) fn write(&self, name: &mut Vec<u8>) {
        name.clear();
        for part in [b"Node ", self.node, b" ", self.zone] {
            name.extend_from_slice(part);
        }
    }

    /// Labels the entity that was added last.
    pub(super) fn label(&self, rows: &mut Rows) {
        if let Some(node) = parse_i64(self.node) {
            rows.label("node", Label::Int(node));
        }
        rows.label("zone", Label::Bytes(self.zone));
    }
}

/// One zone, as far as it was read.
#[derive(Debug)]
struct Zone<'a> {
    name: ZoneName<'a>,
    line: usize,
    values: [Value; FIELDS.len()],
    protection: &'a [u8],
    cpus: u64,
    count: Sum,
    high: Sum,
    batch: Sum,
    /// The line after the per-CPU lists was seen, so none of them was lost to a cut.
    complete: bool,
}

/// A sum or maximum over CPUs, and over how many.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    value: u64,
    cpus: u64,
}

impl<'a> Zone<'a> {
    fn new(name: ZoneName<'a>, line: usize) -> Self {
        Self {
            name,
            line,
            values: [Value::Null; FIELDS.len()],
            protection: b"",
            cpus: 0,
            count: Sum::default(),
            high: Sum::default(),
            batch: Sum::default(),
            complete: false,
        }
    }

    /// Adds the zone. A per-CPU value that misses a CPU would be too small: it is left out.
    fn finish(self, name: &mut Vec<u8>, rows: &mut Rows, issues: &mut Issues) {
        let whole = |sum: Sum| (self.complete && sum.cpus == self.cpus).then_some(sum.value);
        let sums = [self.count, self.high, self.batch].map(whole);
        let mut values = [Value::Null; FIELDS.len() + 3];
        let mut sources = self.values.into_iter();
        for value in &mut values {
            *value = sources.next().unwrap_or_default();
        }
        if self.cpus > 0 {
            for (value, sum) in values.iter_mut().rev().zip(sums.iter().rev()) {
                *value = Value::from(*sum);
            }
            if sums.contains(&None) {
                self.name.write(name);
                issues.add(self.line, "per-cpu lists are not complete", name);
            }
        }
        self.name.write(name);
        rows.entity(name, name, &values);
        self.name.label(rows);
        if !self.protection.is_empty() {
            rows.label("protection", Label::Bytes(self.protection));
        }
    }

    /// Takes one line of the zone.
    fn take(&mut self, line: &'a [u8]) -> Result<(), &'static str> {
        let (first, rest) = first_word(line).ok_or(MALFORMED)?;
        let rest = rest.trim_ascii();
        match first {
            b"per-node" | b"pagesets" => return Ok(()),
            b"protection:" => {
                let list = rest.strip_prefix(b"(").and_then(|r| r.strip_suffix(b")"));
                self.protection = list.ok_or(MALFORMED)?;
                return Ok(());
            }
            _ => {}
        }
        let (key, rest) = match first {
            b"pages" => first_word(rest).ok_or(MALFORMED)?,
            // "vm stats threshold: 24"
            b"vm" => (
                first,
                rest.strip_prefix(b"stats threshold:").ok_or(MALFORMED)?,
            ),
            _ => (first, rest),
        };
        let value = parse_u64(rest.trim_ascii()).ok_or(MALFORMED)?;
        match key {
            b"cpu:" => self.cpus += 1,
            b"count:" => self.count.add(value),
            b"high:" => self.high.add(value),
            b"batch:" => self.batch.max(value),
            b"node_unreclaimable:" | b"start_pfn:" => self.complete = true,
            _ => {
                let column = FIELDS.iter().zip(&mut self.values);
                if let Some((_, slot)) = column.into_iter().find(|(field, _)| **field == key) {
                    if *slot != Value::Null {
                        return Err(DUPLICATE);
                    }
                    *slot = Value::from(value);
                }
            }
        }
        Ok(())
    }
}

impl Sum {
    fn add(&mut self, value: u64) {
        self.value = self.value.saturating_add(value);
        self.cpus += 1;
    }

    fn max(&mut self, value: u64) {
        self.value = self.value.max(value);
        self.cpus += 1;
    }
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(8);
    let mut name = Vec::new();
    let mut zone: Option<Zone<'_>> = None;
    let mut orphans = false;
    for (number, line) in lines(text, &mut issues) {
        let header = ZoneName::take(line);
        let starts_zone = line.starts_with(b"  pages free");
        if header.is_some() || (starts_zone && zone.as_ref().is_some_and(has_sizes)) {
            // Either a new zone, or the sizes of one whose first line was lost: what follows
            // belongs to no zone that we could name.
            if let Some(done) = zone.take() {
                done.finish(&mut name, rows, &mut issues);
            }
        }
        match (&mut zone, header) {
            (_, Some((_, rest))) if !rest.trim_ascii().is_empty() => {
                issues.add(number, MALFORMED, line);
                orphans = true;
            }
            (_, Some((header, _))) if seen.take((header.node, header.zone)) => {
                zone = Some(Zone::new(header, number));
                orphans = false;
            }
            (_, Some(_)) => {
                issues.add(number, DUPLICATE, line);
                orphans = true;
            }
            (Some(zone), None) => {
                if let Err(what) = zone.take(line) {
                    issues.add(number, what, line);
                }
            }
            (None, None) if !orphans => {
                issues.add(number, "lines without a zone", line);
                orphans = true;
            }
            (None, None) => {}
        }
    }
    if let Some(done) = zone.take() {
        done.finish(&mut name, rows, &mut issues);
    }
    issues.finish()
}

fn has_sizes(zone: &Zone<'_>) -> bool {
    zone.values.first().is_some_and(|free| *free != Value::Null)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{capture, clean, parsed, values};
    use super::*;

    fn ints(numbers: &[i64]) -> Vec<Value> {
        numbers.iter().copied().map(Value::Int).collect()
    }

    #[test]
    fn a_populated_zone_has_every_column_and_its_cpus_summed() {
        let rows = clean(parse, &capture("6.12-arm64-16k/t0", "proc/zoneinfo"));
        assert_eq!(rows.len(), 5);
        assert_eq!(
            values(&rows, "Node 0 DMA"),
            ints(&[
                26_817, 0, 171, 213, 255, 297, 32_768, 32_768, 30_223, 4_096, 0, 1_517, 0, 0, 0, 0,
                0, 0, 0, 4_072, 530, 1_173, 7
            ])
        );
    }

    #[test]
    fn a_zone_without_memory_is_there_with_nulls_for_what_it_has_not() {
        let rows = clean(parse, &capture("6.18-x86_64-microvm/t0", "proc/zoneinfo"));
        let movable = values(&rows, "Node 0 Movable");
        assert_eq!(
            movable.iter().take(10).copied().collect::<Vec<_>>(),
            ints(&[0, 0, 32, 32, 32, 32, 0, 0, 0, 0])
        );
        assert!(movable.iter().skip(10).all(|value| *value == Value::Null));
    }

    #[test]
    fn a_zone_is_labelled_with_its_node_and_protection() {
        let rows = clean(parse, &capture("6.18-x86_64-microvm/t0", "proc/zoneinfo"));
        assert_eq!(
            rows.iter().next().map(|row| row.labels().collect()),
            Some(vec![
                ("node", Label::Int(0)),
                ("zone", Label::Bytes(b"DMA")),
                ("protection", Label::Bytes(b"0, 3019, 10699, 10699, 10699")),
            ])
        );
    }

    #[test]
    fn fields_that_this_kernel_lacks_are_null() {
        let rows = clean(parse, &capture("6.1-x86_64-debian/t0", "proc/zoneinfo"));
        assert_eq!(values(&rows, "Node 0 DMA32").get(5), Some(&Value::Null));
        let rows = clean(parse, &capture("6.18-x86_64-microvm/t0", "proc/zoneinfo"));
        assert_eq!(values(&rows, "Node 0 Normal").get(17), Some(&Value::Null));
    }

    #[test]
    fn a_zone_whose_first_line_is_lost_does_not_flow_into_the_one_before() {
        let text = capture("6.18-x86_64-microvm/t0", "proc/zoneinfo");
        let whole = clean(parse, &text);
        let text: Vec<u8> = text
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| *line != b"Node 0, zone   Normal\n")
            .flatten()
            .copied()
            .collect();
        let (rows, issues) = parsed(parse, &text);
        assert_eq!(rows.len(), 4);
        assert_eq!(issues.len(), 1);
        assert_eq!(
            values(&rows, "Node 0 DMA32"),
            values(&whole, "Node 0 DMA32")
        );
    }

    #[test]
    fn a_sum_that_misses_a_cpu_is_null_not_too_small() {
        let text = b"Node 0, zone Normal\n  pages free 9\n  pagesets\n    cpu: 0\n    count: 5\n    high: 6\n    batch: 1\n    cpu: 1\n    high: 6\n    batch: 1\n  start_pfn: 1\n";
        let (rows, issues) = parsed(parse, text);
        let pcp: Vec<_> = values(&rows, "Node 0 Normal").split_off(20);
        assert_eq!(pcp, [Value::Null, Value::Int(12), Value::Int(1)]);
        assert_eq!(issues.len(), 1);
    }
}
