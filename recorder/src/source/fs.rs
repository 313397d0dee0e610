//! `/proc/sys/fs`: open files, inodes and names of the whole machine.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Trend, Unit};

use super::text::{Issues, MALFORMED, lines, parse_u64, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "fs",
    paths: &[
        "proc/sys/fs/file-nr",
        "proc/sys/fs/inode-nr",
        "proc/sys/fs/dentry-state",
    ],
    shape: Shape::Scalars {
        known: &[
            count("file-nr.allocated").judged(Trend::Total),
            count("file-nr.max"),
            count("inode-nr.nr_inodes"),
            count("inode-nr.nr_free_inodes"),
            count("dentry-state.nr_dentry"),
            count("dentry-state.nr_unused"),
            count("dentry-state.age_limit"),
            count("dentry-state.want_pages"),
            count("dentry-state.nr_negative"),
        ],
        other: |_| count(""),
    },
    interval_s: 0,
    needs: "",
    caveats: "file-nr.allocated is a per-CPU counter that is folded in steps of 32 a CPU or more: a \
        small machine can show 0. age_limit is in seconds and a setting, as are want_pages and \
        file-nr.max. Unused dentries and free inodes are given back under pressure.",
    overhead: "a few us a file on a held descriptor; sums per-CPU counters, takes no lock.",
};

const fn count(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Count)
}

/// The key of each number in each file; an empty one is left out, being always zero.
const KEYS: [&[&str]; 3] = [
    &["file-nr.allocated", "", "file-nr.max"],
    &["inode-nr.nr_inodes", "inode-nr.nr_free_inodes"],
    &[
        "dentry-state.nr_dentry",
        "dentry-state.nr_unused",
        "dentry-state.age_limit",
        "dentry-state.want_pages",
        "dentry-state.nr_negative",
        "",
    ],
];

/// Parses one of the files: one line, which is understood as a whole or not at all.
pub fn parse(text: &[u8], file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let keys = KEYS.get(file).copied().unwrap_or_default();
    for (number, line) in lines(text, &mut issues) {
        let numbers = words(line).map(parse_u64);
        if number > 1
            || numbers.clone().count() != keys.len()
            || numbers.clone().any(|n| n.is_none())
        {
            issues.add(number, MALFORMED, line);
            continue;
        }
        for (key, value) in keys.iter().zip(numbers) {
            if !key.is_empty() {
                rows.scalar(key.as_bytes(), value);
            }
        }
    }
    issues.finish()
}

#[cfg(test)]
mod tests {
    use memsoak_schema::Value;

    use super::super::fixtures::capture;
    use super::*;

    #[test]
    fn each_file_gives_its_own_keys() {
        let mut rows = Rows::default();
        for (file, path) in SPEC.paths.iter().enumerate() {
            let text = capture("6.18-x86_64-microvm/t0", path);
            assert_eq!(parse(&text, file, &mut rows), vec![]);
        }
        assert_eq!(rows.len(), 9);
        for (key, value) in [
            ("file-nr.allocated", 2_773),
            ("file-nr.max", 2_466_177),
            ("inode-nr.nr_inodes", 286_603),
            ("dentry-state.nr_dentry", 405_525),
            ("dentry-state.nr_unused", 401_828),
            ("dentry-state.nr_negative", 118_722),
        ] {
            assert_eq!(
                rows.value_of(key.as_bytes()),
                Some(Value::Int(value)),
                "{key}"
            );
        }
    }

    #[test]
    fn a_line_with_another_number_of_numbers_is_not_guessed_at() {
        let mut rows = Rows::default();
        assert_eq!(parse(b"1\t2\n", 0, &mut rows).len(), 1);
        assert!(rows.is_empty());
    }
}
