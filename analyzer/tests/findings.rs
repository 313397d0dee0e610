//! One leak is one finding: what mirrors it stands under it, and what does not stays by itself.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::Path;

use memsoak_analyze::findings::Analysis;
use memsoak_schema::{Happening, Label, MetricSpec, Shape, Spec, Trend, Unit, Value};
use support::{analysed, entities, of_shape};

static MEMINFO: Spec = of_shape(
    "meminfo",
    Shape::Scalars {
        known: &[
            MetricSpec::gauge("AnonPages", Unit::Kib).judged(Trend::Total),
            MetricSpec::gauge("PageTables", Unit::Kib).judged(Trend::Total),
            MetricSpec::gauge("Percpu", Unit::Kib).judged(Trend::Memory),
        ],
        other: |_| MetricSpec::gauge("", Unit::Kib),
    },
);

static SWAPS: Spec = entities(
    "swaps",
    &[
        MetricSpec::gauge("size_kib", Unit::Kib)
            .judged(Trend::Memory)
            .part_of("meminfo/AnonPages"),
        MetricSpec::gauge("used_kib", Unit::Kib)
            .judged(Trend::Memory)
            .part_of("meminfo/PageTables"),
        MetricSpec::gauge("priority", Unit::Count),
    ],
);

static ZRAM: Spec = entities(
    "zram",
    &[MetricSpec::gauge("used_bytes", Unit::Bytes)
        .judged(Trend::Total)
        .part_of("meminfo/SwapTotal")],
);

static SEGMENTS: Spec = entities(
    "sysvshm",
    &[MetricSpec::gauge("swap_bytes", Unit::Bytes)
        .judged(Trend::Memory)
        .part_of("meminfo/SwapTotal")],
);

static TOTALS: Spec = of_shape(
    "meminfo",
    Shape::Scalars {
        known: &[],
        other: |_| MetricSpec::gauge("", Unit::Kib),
    },
);

static AREAS: Spec = entities(
    "cma",
    &[MetricSpec::gauge("used_pages", Unit::Pages).judged(Trend::Memory)],
);

/// What each series holds at a tick: the scalars, and (name, size, used) of each thing.
type Picture<'a> = (Vec<(&'a str, i64)>, Vec<(&'a str, i64, i64)>);

fn record(path: &Path, ticks: i64, picture: impl Fn(i64) -> Picture<'static>) -> Analysis {
    analysed(path, &[&MEMINFO, &SWAPS], ticks, |tick, source, rows| {
        let (scalars, things) = picture(tick);
        if source == 0 {
            for (key, value) in scalars {
                rows.scalar(key.as_bytes(), value);
            }
            return;
        }
        for (name, size, used) in things {
            let values = [Value::Int(size), Value::Int(used), Value::Null];
            rows.entity(name.as_bytes(), name.as_bytes(), &values);
            rows.label("kind", Label::Bytes(b"made up"));
        }
    })
}

/// Each finding's series with those under it.
fn told(analysis: &Analysis) -> Vec<(String, Vec<String>)> {
    let name = |at: usize| analysis.judged[at].name.id.clone();
    analysis
        .findings
        .iter()
        .map(|finding| {
            let mut explains: Vec<String> = finding.explains.iter().map(|at| name(*at)).collect();
            explains.sort();
            (name(finding.head), explains)
        })
        .collect()
}

#[test]
fn a_total_stands_under_the_part_that_explains_it_and_alone_where_nothing_does() {
    let dir = tempfile::tempdir().unwrap();
    // "leaker" takes 40 KiB a tick; AnonPages grows with it. PageTables grows by 8 KiB a tick, of
    // which the leaker has one: its owner is elsewhere. "steady" only wobbles.
    let analysis = record(&dir.path().join("a.db"), 400, |tick| {
        let wobble = (tick * 37) % 11;
        (
            vec![
                ("AnonPages", 90_000 + 40 * tick + wobble),
                ("PageTables", 900 + 8 * tick),
                ("Percpu", 512),
            ],
            vec![
                ("leaker", 1_000 + 40 * tick, 100 + tick),
                ("steady", 50_000 + wobble, 200),
            ],
        )
    });
    assert_eq!(analysis.verdict(), "leak");
    assert_eq!(
        told(&analysis),
        vec![
            (
                "swaps/leaker/size_bytes".to_owned(),
                vec![
                    "meminfo/AnonPages".to_owned(),
                    "swaps/leaker/used_bytes".to_owned(),
                ],
            ),
            ("meminfo/PageTables".to_owned(), vec![]),
        ]
    );
    let first = &analysis.findings[0];
    assert!(first.share_of_growth.is_some_and(|share| share > 0.95));
}

#[test]
fn two_leaks_are_two_findings_the_larger_first() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), 400, |tick| {
        (
            vec![("AnonPages", 90_000 + 30 * tick), ("Percpu", 512)],
            vec![
                ("small", 1_000 + 10 * tick, 7),
                ("large", 1_000 + 20 * tick, 7),
            ],
        )
    });
    let heads: Vec<String> = told(&analysis).into_iter().map(|(head, _)| head).collect();
    assert_eq!(heads, ["swaps/large/size_bytes", "swaps/small/size_bytes"]);
}

#[test]
fn a_young_life_that_grows_is_a_suspect_and_one_that_ended_gave_its_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    let job = |from: i64, to: i64| {
        move |tick: i64| -> Picture<'static> {
            let mut things = vec![("steady", 50_000, 7)];
            if (from..to).contains(&tick) {
                things.push(("job", 1_000 + 40 * (tick - from), 7));
            }
            (vec![("AnonPages", 90_000), ("Percpu", 512)], things)
        }
    };
    let analysis = record(&dir.path().join("a.db"), 400, job(280, 400));
    assert_eq!(analysis.verdict(), "suspect");
    assert_eq!(told(&analysis)[0].0, "swaps/job/size_bytes");
    let analysis = record(&dir.path().join("b.db"), 400, job(0, 120));
    assert_eq!(analysis.verdict(), "clean");
}

#[test]
fn what_grows_until_the_oom_killer_ends_it_is_a_leak_for_as_long_as_it_lived() {
    let dir = tempfile::tempdir().unwrap();
    let victim = |name: &str, pid: Option<i64>| {
        let path = dir.path().join(name);
        analysed(&path, &[&MEMINFO, &SWAPS], 400, |tick, source, rows| {
            if source == 0 {
                rows.scalar(b"Percpu", 512_i64);
                return;
            }
            if tick < 120 {
                let values = [Value::Int(1_000 + 40 * tick), Value::Int(7), Value::Null];
                rows.entity(b"job", b"job", &values);
                rows.label("pid", Label::Int(77));
            }
            if let (Some(pid), 120) = (pid, tick) {
                let killed = Happening::new("oom_kill", b"Killed process");
                rows.happened(killed.with("victim_pid", Label::Int(pid)));
            }
        })
    };
    assert_eq!(victim("ended.db", None).verdict(), "clean");
    assert_eq!(victim("other.db", Some(78)).verdict(), "clean");
    let killed = victim("killed.db", Some(77));
    assert_eq!(killed.verdict(), "leak");
    let head = &killed.judged[killed.findings[0].head];
    assert!((head.span_s - 1190.0).abs() < 1.0, "{}", head.span_s);
    assert!(head.judgement.too_early.is_none());
    assert!(killed.findings[0].eta_hours.is_none());
}

#[test]
fn a_leak_that_takes_years_to_matter_is_a_suspect() {
    let dir = tempfile::tempdir().unwrap();
    // Ticks of ten seconds: 18 KiB, or 1 KiB, more every hour.
    let per_hour = |kib: i64| {
        move |tick: i64| -> Picture<'static> {
            let things = vec![("thing", 1_000 + kib * (tick / 360), 7)];
            (vec![("AnonPages", 90_000), ("Percpu", 512)], things)
        }
    };
    let analysis = record(&dir.path().join("a.db"), 9_000, per_hour(18));
    assert_eq!(analysis.verdict(), "leak");
    let analysis = record(&dir.path().join("b.db"), 9_000, per_hour(1));
    assert_eq!(analysis.verdict(), "suspect");
}

#[test]
fn nothing_that_grows_is_clean_and_too_few_ticks_are_inconclusive() {
    let dir = tempfile::tempdir().unwrap();
    let flat = |tick: i64| -> Picture<'static> {
        (
            vec![("AnonPages", 90_000 + (tick * 37) % 11)],
            vec![("steady", 50_000 - (tick * 13) % 7, 7)],
        )
    };
    let analysis = record(&dir.path().join("a.db"), 400, flat);
    assert_eq!(analysis.verdict(), "clean");
    let analysis = record(&dir.path().join("b.db"), 20, flat);
    assert_eq!(analysis.verdict(), "inconclusive");
    assert!(analysis.findings.is_empty());
}

#[test]
fn compressed_swap_stands_under_what_is_swapped_and_alone_where_it_is_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let with = |file: &str, swapped: i64| {
        let sources: &[&'static Spec] = &[&ZRAM, &SEGMENTS];
        let analysis = analysed(
            &dir.path().join(file),
            sources,
            400,
            |tick, source, rows| {
                let wobble = (tick * 37) % 11;
                // It compresses to a third.
                let (name, bytes) = match source {
                    0 => ("zram0", (1 << 20) + 20_000 * tick + wobble),
                    _ => ("7", (1 << 20) + swapped * tick + wobble),
                };
                rows.entity(name.as_bytes(), name.as_bytes(), &[Value::Int(bytes)]);
            },
        );
        told(&analysis)
    };
    assert_eq!(
        with("swap.db", 60_000),
        [(
            "sysvshm/7/swap_bytes".to_owned(),
            vec!["zram/zram0/used_bytes".to_owned()]
        )]
    );
    assert_eq!(
        with("disk.db", 0),
        [("zram/zram0/used_bytes".to_owned(), vec![])]
    );
}

#[test]
fn what_drivers_hold_of_an_area_is_a_class_of_its_own_and_no_rest() {
    let dir = tempfile::tempdir().unwrap();
    let sources: &[&'static Spec] = &[&TOTALS, &AREAS];
    let analysis = analysed(
        &dir.path().join("a.db"),
        sources,
        400,
        |tick, source, rows| {
            if source == 0 {
                rows.scalar(b"MemTotal", 400_000_i64);
                rows.scalar(b"MemFree", 390_000 - 4 * 3 * tick);
                return;
            }
            // Huge pages are in Hugetlb, also those of an area.
            for (name, pages) in [("reserved", 100 + 3 * tick), ("hugetlb0", 700)] {
                rows.entity(name.as_bytes(), name.as_bytes(), &[Value::Int(pages)]);
            }
        },
    );
    assert_eq!(
        told(&analysis),
        [("cma/reserved/used_bytes".to_owned(), vec![])]
    );
    let ledger = analysis.ledgers[0].as_ref().unwrap();
    let last = |name: &str| {
        let class = ledger.classes.iter().find(|class| class.name == name);
        class.unwrap().ends().unwrap().1
    };
    let pages = f64::from(100 + 3 * 399);
    assert!((last("cma") - pages * 4096.0).abs() < 1.0);
    assert!((last("unaccounted") - (10_000.0 * 1024.0 - 100.0 * 4096.0)).abs() < 1.0);
}
