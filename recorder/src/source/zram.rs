//! `/sys/block/zram*`: block devices that are kept compressed in memory.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};

use super::matching::{Text, TextIssue};
use super::text::{Issues, MALFORMED, lines, parse_u64, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "zram",
    paths: &[
        "sys/block/zram*/mm_stat",
        "sys/block/zram*/io_stat",
        "sys/block/zram*/bd_stat",
        "sys/block/zram*/disksize",
    ],
    shape: Shape::Entities {
        columns: &[
            bytes("data_bytes"),
            bytes("compressed_bytes"),
            bytes("used_bytes")
                .judged(Trend::Total)
                .part_of("meminfo/SwapTotal"),
            bytes("limit_bytes"),
            bytes("peak_bytes"),
            MetricSpec::gauge("same_pages", Unit::Pages),
            MetricSpec::counter("compacted_pages", Unit::Pages),
            MetricSpec::gauge("huge_pages", Unit::Pages),
            MetricSpec::counter("failed_reads", Unit::Count),
            MetricSpec::counter("failed_writes", Unit::Count),
            bytes("backing_bytes"),
            bytes("disk_bytes"),
        ],
    },
    interval_s: 10,
    needs: "CONFIG_ZRAM and a zram device",
    caveats: "used_bytes is the memory that a device takes, with what its allocator wastes: the \
        zspages of zoneinfo, together with those of zswap. data_bytes is what is stored, before \
        compression; same_pages of it (all of one value) take no memory, huge_pages could not be \
        compressed. As swap it holds what processes have in vm_swap_kib and is a total to them; as \
        a disk it holds files, also deleted ones where the file system does not discard. limit_bytes \
        is NULL where there is none. A device that is not set up has zeros. backing_bytes is what \
        was written back to a disk (CONFIG_ZRAM_WRITEBACK). huge_pages is since Linux 4.18.",
    overhead: "67 us a read with one device, which opens its four files; adds up the pages of its size classes, takes no lock of the device that input and output wait for.",
};

const fn bytes(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Bytes)
}

const COLUMNS: usize = 12;

/// What a file's line holds.
struct Line {
    /// How many numbers the oldest kernel gives.
    least: usize,
    /// The columns that they go to; those beyond are left out.
    columns: &'static [usize],
}

/// By the place in [`Spec::paths`]; the numbers are those of
/// Documentation/admin-guide/blockdev/zram.rst.
const LINES: [Line; 4] = [
    Line {
        least: 7,
        columns: &[0, 1, 2, 3, 4, 5, 6, 7],
    },
    Line {
        least: 4,
        columns: &[8, 9],
    },
    Line {
        least: 3,
        columns: &[10],
    },
    Line {
        least: 1,
        columns: &[11],
    },
];

/// Where zeros stand for no limit.
const LIMIT: usize = 3;
/// Counted in units of 4 KiB, whatever the size of a page.
const BACKING: usize = 10;

/// Parses the files: one line of numbers each. A device is a row where its `mm_stat` is understood.
pub fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
    let mut issues = Vec::new();
    let mut devices: Vec<(&[u8], [Value; COLUMNS])> = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let Some(form) = LINES.get(text.pattern) else {
            continue;
        };
        let numbers = match numbers(&text.bytes, form.least) {
            Ok(numbers) => numbers,
            Err(issue) => {
                issues.push((at, issue));
                continue;
            }
        };
        let name = text.folder();
        if text.pattern == 0 {
            devices.push((name, [Value::Null; COLUMNS]));
        }
        let Some((_, values)) = devices.iter_mut().find(|(device, _)| *device == name) else {
            continue;
        };
        for (column, number) in form.columns.iter().zip(numbers) {
            if let Some(slot) = values.get_mut(*column) {
                *slot = match *column {
                    LIMIT => (number > 0).then_some(number).into(),
                    BACKING => number.checked_mul(4096).into(),
                    _ => number.into(),
                };
            }
        }
    }
    for (name, values) in devices {
        rows.entity(name, name, &values);
    }
    issues
}

/// The numbers of the one line of a file, `least` or more: kernels add some at the end.
fn numbers(text: &[u8], least: usize) -> Result<Vec<u64>, Issue> {
    let mut issues = Issues::default();
    let mut found = None;
    for (at, line) in lines(text, &mut issues) {
        let numbers: Option<Vec<u64>> = words(line).map(parse_u64).collect();
        match numbers {
            Some(numbers) if at == 1 && numbers.len() >= least => found = Some(numbers),
            _ => issues.add(at, MALFORMED, line),
        }
    }
    match (issues.finish().into_iter().next(), found) {
        (None, Some(numbers)) => Ok(numbers),
        (issue, _) => Err(issue.unwrap_or_else(|| Issue::new(0, MALFORMED, b""))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{clean_texts, values};
    use super::*;

    #[test]
    fn a_device_that_holds_swap_is_read() {
        let rows = clean_texts(&SPEC, parse, "6.18-x86_64-microvm/t0");
        let expected = [
            5_070_848,
            3_034_273,
            3_067_904,
            48 << 20,
            3_067_904,
            37,
            0,
            200,
            0,
            0,
        ];
        let read = values(&rows, "zram0");
        assert_eq!(read.get(..10), Some(&expected.map(Value::Int)[..]));
        // No disk behind it.
        assert_eq!(
            read.get(10..),
            Some(&[Value::Null, Value::Int(64 << 20)][..])
        );
        // The zspages of that moment were 1226 pages of 4 KiB, with those of zswap.
        assert_eq!(3_067_904 + 1_953_792, 1226 * 4096);
    }

    #[test]
    fn a_device_that_is_not_set_up_has_zeros_and_no_limit() {
        let rows = clean_texts(&SPEC, parse, "6.12-x86_64-pageowner/t0");
        let read = values(&rows, "zram0");
        assert_eq!(read.first(), Some(&Value::Int(0)));
        assert_eq!(read.get(LIMIT), Some(&Value::Null));
    }

    fn text(pattern: usize, file: &str, text: &str) -> Text {
        Text {
            pattern,
            path: format!("sys/block/zram1/{file}").into_bytes(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn words_of_older_and_newer_kernels_are_understood() {
        let texts = [
            text(0, "mm_stat", " 8192 100 4096 0 4096 1 2\n"),
            text(2, "bd_stat", "       3        0        5\n"),
        ];
        let mut rows = Rows::default();
        assert_eq!(parse(&texts, &mut rows), vec![]);
        let read = values(&rows, "zram1");
        assert_eq!(read.get(6..8), Some(&[Value::Int(2), Value::Null][..]));
        assert_eq!(read.get(BACKING), Some(&Value::Int(3 * 4096)));
        let texts = [text(0, "mm_stat", "1 2 3 4 5 6 7 8 9 10 11\n")];
        let mut rows = Rows::default();
        assert_eq!(parse(&texts, &mut rows), vec![]);
    }

    #[test]
    fn a_device_without_its_figures_is_no_row() {
        let texts = [
            text(0, "mm_stat", "1 2 3\n"),
            text(1, "io_stat", "0 0 0 0\n"),
        ];
        let mut rows = Rows::default();
        assert_eq!(parse(&texts, &mut rows).len(), 1);
        assert!(rows.is_empty());
    }
}
