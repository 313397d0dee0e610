//! `/proc/swaps`: the swap areas.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Unit, Value};

use super::text::{
    DUPLICATE, Issues, MALFORMED, Seen, lines, parse_i64, parse_u64, unescape, words,
};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "swaps",
    paths: &["proc/swaps"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("size_kib", Unit::Kib),
            MetricSpec::gauge("used_kib", Unit::Kib),
            MetricSpec::gauge("priority", Unit::Count),
        ],
    },
    interval_s: 10,
    needs: "CONFIG_SWAP",
    caveats: "An area is known by its path. A swap file that was removed while in use bears \
        ` (deleted)` behind it. A machine without swap has no row.",
    overhead: "a few us a read; takes swapon_mutex.",
};

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(8);
    let mut name = Vec::new();
    for (number, line) in lines(text, &mut issues) {
        if line.starts_with(b"Filename\t") {
            continue;
        }
        let Some((path, kind, values)) = parse_line(line) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        if !seen.take(path) {
            issues.add(number, DUPLICATE, line);
            continue;
        }
        unescape(path, &mut name);
        rows.entity(&name, &name, &values);
        rows.label("type", Label::Bytes(kind));
    }
    issues.finish()
}

/// `/dev/vdb   partition  49148  0  -2`; spaces in the path are escaped.
fn parse_line(line: &[u8]) -> Option<(&[u8], &[u8], [Value; 3])> {
    let mut words = words(line);
    let path = words.next()?;
    let kind = words.next()?;
    let values = [
        Value::from(parse_u64(words.next()?)?),
        Value::from(parse_u64(words.next()?)?),
        Value::from(parse_i64(words.next()?)?),
    ];
    words.next().is_none().then_some((path, kind, values))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{capture, clean, values};
    use super::*;

    #[test]
    fn a_partition_is_read() {
        let rows = clean(parse, &capture("6.12-x86_64-debian/t0", "proc/swaps"));
        assert_eq!(values(&rows, "/dev/vdb"), [49_148, 0, -2].map(Value::Int));
    }

    #[test]
    fn a_machine_without_swap_has_no_row() {
        let rows = clean(parse, &capture("6.12-arm64-16k/t0", "proc/swaps"));
        assert!(rows.is_empty());
    }

    #[test]
    fn escapes_are_undone_and_other_backslashes_kept() {
        let rows = clean(
            parse,
            b"/my\\040swap\\040(deleted) file 8 0 -3\n/a\\\\134\\9 file 8 0 1\n/\\777 file 8 0 1\n",
        );
        let names: Vec<_> = rows.iter().map(|row| row.name().to_vec()).collect();
        assert_eq!(names, [&b"/my swap (deleted)"[..], b"/a\\\\\\9", b"/\\777"]);
    }
}
