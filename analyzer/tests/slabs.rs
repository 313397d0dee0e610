//! What the objects of a cache say of its slabs, and what slabs make other caches hold.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use memsoak_analyze::findings::Analysis;
use memsoak_analyze::verdict::Verdict;
use memsoak_schema::{MetricSpec, Spec, Trend, Unit, Value};
use support::{analysed, entities};

static SLABINFO: Spec = entities(
    "slabinfo",
    &[
        MetricSpec::gauge("active_objs", Unit::Count).judged(Trend::Count),
        MetricSpec::gauge("objsize_bytes", Unit::Bytes),
        MetricSpec::gauge("objs_per_slab", Unit::Count),
        MetricSpec::gauge("pages_per_slab", Unit::Pages),
        MetricSpec::gauge("num_slabs", Unit::Count),
        MetricSpec::gauge("slab_pages", Unit::Pages)
            .judged(Trend::Memory)
            .generated(),
    ],
);

/// A cache at a tick: name, size of an object, objects in a slab, objects, slabs of a page.
type Cache = (&'static str, i64, i64, i64, i64);

fn recorded(at: impl Fn(i64) -> Vec<Cache>) -> Analysis {
    let dir = tempfile::tempdir().unwrap();
    analysed(
        &dir.path().join("a.db"),
        &[&SLABINFO],
        400,
        |tick, _, rows| {
            for (name, size, in_slab, objects, slabs) in at(tick) {
                let values = [objects, size, in_slab, 1, slabs].map(Value::Int);
                rows.entity(name.as_bytes(), name.as_bytes(), &values);
            }
        },
    )
}

/// A steady but uneven number.
fn uneven(tick: i64, per_tick: i64) -> i64 {
    per_tick * tick + (tick * 7) % 5
}

#[test]
fn a_cache_of_what_is_kept_for_each_slab_belongs_to_the_slabs() {
    // 21 pointers are 168 bytes, which come from kmalloc-192; nothing here has vectors of 96 bytes.
    let analysis = recorded(|tick| {
        let mapped = uneven(tick, 42);
        let slabs = mapped / 21;
        vec![
            ("vm_area_struct", 192, 21, 9_000 + mapped, 430 + slabs),
            ("kmalloc-192", 192, 21, 6_000 + slabs, 300 + slabs / 21),
            ("kmalloc-96", 96, 42, 900 + 3 * slabs, 40 + slabs / 14),
        ]
    });
    let name = |at: usize| analysis.judged[at].name.name.as_str();
    let heads: Vec<&str> = analysis.findings.iter().map(|of| name(of.head)).collect();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads.contains(&"vm_area_struct"), "{heads:?}");
    let with_slabs = analysis
        .findings
        .iter()
        .find(|of| name(of.head) == "vm_area_struct");
    let explains: Vec<&str> = with_slabs
        .unwrap()
        .explains
        .iter()
        .map(|at| name(*at))
        .collect();
    assert!(explains.contains(&"kmalloc-192"), "{explains:?}");
}

#[test]
fn a_few_slabs_more_are_no_leak_while_the_objects_stay() {
    let few_steps =
        |tick: i64, objects: i64| vec![("anon_vma", 104, 39, objects, 100 + tick / 110)];
    let verdict = |analysis: &Analysis| {
        let slabs = analysis
            .judged
            .iter()
            .find(|of| of.name.metric == "slab_bytes");
        slabs.unwrap().judgement.verdict
    };
    let stay = recorded(|tick| few_steps(tick, 3_000 + (tick * 13) % 40));
    assert_eq!(verdict(&stay), Verdict::Suspect);
    let grow = recorded(|tick| few_steps(tick, 3_000 + uneven(tick, 1)));
    assert_eq!(verdict(&grow), Verdict::Leak);
}
