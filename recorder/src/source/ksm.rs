//! `/sys/kernel/mm/ksm`: pages of equal content that the kernel has merged.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Unit};

use super::matching::{Text, TextIssue};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "ksm",
    paths: &[
        "sys/kernel/mm/ksm/run",
        "sys/kernel/mm/ksm/pages_shared",
        "sys/kernel/mm/ksm/pages_sharing",
        "sys/kernel/mm/ksm/pages_unshared",
        "sys/kernel/mm/ksm/pages_volatile",
        "sys/kernel/mm/ksm/pages_skipped",
        "sys/kernel/mm/ksm/pages_scanned",
        "sys/kernel/mm/ksm/full_scans",
        "sys/kernel/mm/ksm/ksm_zero_pages",
        "sys/kernel/mm/ksm/stable_node_chains",
        "sys/kernel/mm/ksm/stable_node_dups",
        "sys/kernel/mm/ksm/general_profit",
    ],
    shape: Shape::Scalars {
        known: &[
            MetricSpec::gauge("run", Unit::Count),
            pages("pages_shared"),
            pages("pages_sharing"),
            pages("pages_unshared"),
            pages("pages_volatile"),
            MetricSpec::counter("pages_skipped", Unit::Pages),
            MetricSpec::counter("pages_scanned", Unit::Pages),
            MetricSpec::counter("full_scans", Unit::Count),
            pages("ksm_zero_pages"),
            MetricSpec::gauge("stable_node_chains", Unit::Count),
            MetricSpec::gauge("stable_node_dups", Unit::Count),
            MetricSpec::gauge("general_profit", Unit::Bytes),
        ],
        other: |_| pages(""),
    },
    interval_s: 10,
    needs: "CONFIG_KSM",
    caveats: "pages_sharing is what is saved: that many mappings more than pages_shared, the pages \
        that stand for them, which are AnonPages. It falls when merged pages are written to: \
        AnonPages then grow by as much without anybody having asked for memory. run is 0 (stopped), \
        1 (merging) or 2 (unmerged all). general_profit is pages_sharing less what the kernel keeps \
        to manage it, and may be negative (since Linux 6.1). Nothing here is judged: a leak of merged \
        pages is one of AnonPages.",
    overhead: "51 us a read of its twelve files, which are opened for it; takes no lock.",
};

const fn pages(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Pages)
}

/// Parses the files: one number each.
pub fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
    let mut issues = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        match text.number() {
            Ok(number) => rows.scalar(text.file_name(), number),
            Err(issue) => issues.push((at, issue)),
        }
    }
    issues
}

#[cfg(test)]
mod tests {
    use memsoak_schema::Value;

    use super::super::fixtures::clean_texts;
    use super::*;

    #[test]
    fn what_is_merged_is_read() {
        let rows = clean_texts(&SPEC, parse, "6.18-x86_64-microvm/t0");
        assert_eq!(rows.len(), 12);
        for (key, value) in [
            ("run", 1),
            ("pages_shared", 3),
            ("pages_sharing", 597),
            ("pages_unshared", 100),
            ("general_profit", 2_400_512),
        ] {
            let read = rows.value_of(key.as_bytes());
            assert_eq!(read, Some(Value::Int(value)), "{key}");
        }
    }

    #[test]
    fn a_kernel_that_loses_by_it_says_so_with_a_minus() {
        let text = Text {
            pattern: 11,
            path: b"sys/kernel/mm/ksm/general_profit".to_vec(),
            bytes: b"-6400\n".to_vec(),
        };
        let mut rows = Rows::default();
        assert_eq!(parse(&[text], &mut rows), vec![]);
        assert_eq!(rows.value_of(b"general_profit"), Some(Value::Int(-6400)));
    }
}
