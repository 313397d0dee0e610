//! zswap: pages that are compressed in memory before they would go to the swap area.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Unit, Value};

use super::matching::{Text, TextIssue};
use super::text::MALFORMED;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "zswap",
    paths: &[
        "sys/module/zswap/parameters/enabled",
        "sys/module/zswap/parameters/max_pool_percent",
        "sys/kernel/debug/zswap/*",
    ],
    shape: Shape::Scalars {
        known: &[
            MetricSpec::gauge("enabled", Unit::Count),
            MetricSpec::gauge("max_pool_percent", Unit::Percent),
            MetricSpec::gauge("pool_total_size", Unit::Bytes),
            MetricSpec::gauge("stored_pages", Unit::Pages),
            MetricSpec::gauge("same_filled_pages", Unit::Pages),
            MetricSpec::gauge("stored_incompressible_pages", Unit::Pages),
            MetricSpec::counter("written_back_pages", Unit::Pages),
        ],
        other: |_| MetricSpec::counter("", Unit::Count),
    },
    interval_s: 10,
    needs: "CONFIG_ZSWAP; apart from its settings root, and debugfs mounted at /sys/kernel/debug",
    caveats: "enabled is 1 or 0, and what was stored before it was switched off stays. debugfs has \
        its figures once it has been enabled; reject_* and pool_limit_hit are counted since boot. \
        pool_total_size is Zswap of meminfo and stored_pages is Zswapped there (since Linux 5.19, \
        and those need no debugfs): the trend is judged there. A pool of zsmalloc is in nr_zspages \
        too, one of zbud or z3fold (until Linux 6.14) is not.",
    overhead: "24 us a read of the settings alone, 69 us with the eleven files of debugfs; takes no lock.",
};

/// Parses the files: one number or a letter for yes and no each.
pub fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
    let mut issues = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let value = match (text.pattern, text.bytes.as_slice()) {
            (0, b"Y\n") => Ok(Value::Int(1)),
            (0, b"N\n") => Ok(Value::Int(0)),
            (0, other) => Err(Issue::new(1, MALFORMED, other)),
            _ => text.number(),
        };
        match value {
            Ok(value) => rows.scalar(text.file_name(), value),
            Err(issue) => issues.push((at, issue)),
        }
    }
    issues
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::clean_texts;
    use super::*;

    #[test]
    fn settings_and_figures_are_read() {
        let rows = clean_texts(&SPEC, parse, "6.18-x86_64-microvm/t0");
        assert_eq!(rows.len(), 13);
        for (key, value) in [
            ("enabled", 1),
            ("max_pool_percent", 20),
            ("pool_total_size", 1_953_792),
            ("stored_pages", 760),
            ("stored_incompressible_pages", 200),
            ("written_back_pages", 0),
        ] {
            let read = rows.value_of(key.as_bytes());
            assert_eq!(read, Some(Value::Int(value)), "{key}");
        }
    }

    #[test]
    fn a_setting_that_is_no_letter_for_yes_or_no_is_told() {
        let text = Text {
            pattern: 0,
            path: b"sys/module/zswap/parameters/enabled".to_vec(),
            bytes: b"1\n".to_vec(),
        };
        let mut rows = Rows::default();
        assert_eq!(parse(&[text], &mut rows).len(), 1);
        assert!(rows.is_empty());
    }
}
