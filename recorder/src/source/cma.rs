//! The areas of the contiguous memory allocator, of which drivers take large buffers.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};

use super::matching::{Text, TextIssue};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "cma",
    paths: &[
        "sys/kernel/mm/cma/*/total_pages",
        "sys/kernel/mm/cma/*/available_pages",
        "sys/kernel/mm/cma/*/alloc_pages_success",
        "sys/kernel/mm/cma/*/alloc_pages_fail",
        "sys/kernel/mm/cma/*/release_pages_success",
        "sys/kernel/debug/cma/*/count",
        "sys/kernel/debug/cma/*/used",
        "sys/kernel/debug/cma/*/maxchunk",
    ],
    shape: Shape::Entities {
        columns: &[
            pages("total_pages"),
            pages("used_pages").judged(Trend::Memory),
            pages("largest_free_pages"),
            MetricSpec::counter("allocated_pages", Unit::Pages),
            MetricSpec::counter("failed_pages", Unit::Pages),
            MetricSpec::counter("released_pages", Unit::Pages),
        ],
    },
    interval_s: 10,
    needs: "CONFIG_CMA with CONFIG_CMA_SYSFS (Linux 5.13), or CONFIG_CMA_DEBUGFS and root",
    caveats: "used_pages is what drivers hold of an area: what debugfs says, else total less \
        available (Linux 6.15), else what was ever allocated less what was released (Linux 6.9), \
        else NULL. It is in no field of meminfo: CmaTotal less CmaFree holds also the movable pages \
        of processes and files that stay in an area until a driver wants it. failed_pages are those \
        asked for in vain; largest_free_pages (debugfs only) tells why, when there is room and no \
        stretch of it.",
    overhead: "12 us a read where there is no area; an area has three to eight files of one number, of which such a read opens each for 4 us. used and maxchunk of debugfs take the lock of the area.",
};

const fn pages(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Pages)
}

/// What the files say of an area, by their places in [`Spec::paths`].
type Figures = [Value; 8];

/// Parses the files: one number each.
pub fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
    let mut issues = Vec::new();
    let mut areas: Vec<(&[u8], Figures)> = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let value = match text.number() {
            Ok(value) => value,
            Err(issue) => {
                issues.push((at, issue));
                continue;
            }
        };
        let folder = text.folder();
        // Older kernels put a word before the name in debugfs that sysfs has.
        let bare = folder.strip_prefix(b"cma-").unwrap_or(folder);
        let place = [folder, bare]
            .iter()
            .find_map(|name| areas.iter().position(|(area, _)| area == name));
        let place = place.unwrap_or_else(|| {
            areas.push((folder, Figures::default()));
            areas.len() - 1
        });
        if let Some((_, figures)) = areas.get_mut(place)
            && let Some(slot) = figures.get_mut(text.pattern)
        {
            *slot = value;
        }
    }
    for (name, figures) in areas {
        let [
            total,
            available,
            allocated,
            failed,
            released,
            count,
            used,
            largest,
        ] = figures;
        let columns = [
            first_known([total, count]),
            first_known([used, less(total, available), less(allocated, released)]),
            largest,
            allocated,
            failed,
            released,
        ];
        rows.entity(name, name, &columns);
    }
    issues
}

fn first_known<const N: usize>(values: [Value; N]) -> Value {
    let known = values.into_iter().find(|value| *value != Value::Null);
    known.unwrap_or_default()
}

/// What is left of `of`; not known where either is not, or more was taken than there is.
fn less(of: Value, taken: Value) -> Value {
    match (of, taken) {
        (Value::Int(of), Value::Int(taken)) if of >= taken => Value::Int(of - taken),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{clean_texts, values};
    use super::*;

    #[test]
    fn what_was_allocated_and_not_released_is_in_use() {
        let rows = clean_texts(&SPEC, parse, "6.12-x86_64-pageowner/t0");
        let zero = Value::Int(0);
        let expected = [Value::Null, zero, Value::Null, zero, zero, zero];
        assert_eq!(values(&rows, "reserved"), expected);
    }

    #[test]
    fn a_kernel_that_does_not_count_releases_leaves_the_use_unknown() {
        let rows = clean_texts(&SPEC, parse, "6.1-x86_64-pageowner/t0");
        let zero = Value::Int(0);
        let expected = [
            Value::Null,
            Value::Null,
            Value::Null,
            zero,
            zero,
            Value::Null,
        ];
        assert_eq!(values(&rows, "reserved"), expected);
    }

    fn area(pattern: usize, folder: &str, number: u64) -> Text {
        let file = SPEC.paths.get(pattern).copied().unwrap_or_default();
        Text {
            pattern,
            path: file.replace('*', folder).into_bytes(),
            bytes: format!("{number}\n").into_bytes(),
        }
    }

    fn columns(texts: &[Text], name: &str) -> Vec<Value> {
        let mut rows = Rows::default();
        assert_eq!(parse(texts, &mut rows), vec![]);
        assert_eq!(rows.len(), 1);
        values(&rows, name)
    }

    #[test]
    fn the_use_is_taken_from_where_it_is_known_best() {
        let sysfs = [
            area(0, "linux,cma", 4096),
            area(1, "linux,cma", 4000),
            area(2, "linux,cma", 500),
            area(4, "linux,cma", 390),
        ];
        let used = |texts: &[Text]| columns(texts, "linux,cma").get(1).copied();
        assert_eq!(used(&sysfs), Some(Value::Int(96)));
        let debugfs = [area(6, "linux,cma", 97), area(7, "linux,cma", 2048)];
        assert_eq!(used(&[&sysfs[..], &debugfs].concat()), Some(Value::Int(97)));
    }

    #[test]
    fn both_file_systems_tell_of_one_area_under_either_name() {
        let texts = [
            area(2, "reserved", 7),
            area(5, "cma-reserved", 4096),
            area(6, "cma-reserved", 5),
        ];
        let read = columns(&texts, "reserved");
        assert_eq!(read.get(..2), Some(&[4096, 5].map(Value::Int)[..]));
        let alone = [area(5, "cma-0", 4096), area(6, "cma-0", 5)];
        assert_eq!(columns(&alone, "cma-0").first(), Some(&Value::Int(4096)));
    }
}
