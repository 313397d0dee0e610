//! Two small sources that the tests write: one of keys and values, one of things.

#![allow(dead_code, reason = "each test takes what it needs")]

use memsoak_schema::{MetricSpec, Shape, Spec, Trend, Unit};

/// Keys and values; AnonPages is judged.
pub(crate) static MEMINFO: Spec = Spec {
    name: "meminfo",
    paths: &["proc/meminfo"],
    shape: Shape::Scalars {
        known: &[MetricSpec::gauge("AnonPages", Unit::Kib).judged(Trend::Total)],
        other: |_| MetricSpec::gauge("", Unit::Kib),
    },
    interval_s: 0,
    needs: "",
    caveats: "",
    overhead: "",
};

/// Things, by path.
pub(crate) static SWAPS: Spec = Spec {
    name: "swaps",
    paths: &["proc/swaps"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("size_kib", Unit::Kib),
            MetricSpec::gauge("used_kib", Unit::Kib),
            MetricSpec::gauge("priority", Unit::Count),
        ],
    },
    interval_s: 0,
    needs: "",
    caveats: "",
    overhead: "",
};
