//! Who is behind memory that the kernel holds, and that those beside him are left alone.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use memsoak_analyze::findings::Analysis;
use memsoak_schema::{Label, MetricSpec, Shape, Spec, Trend, Unit, Value};
use support::{analysed, entities, of_shape};

static PROCESS: Spec = entities(
    "process",
    &[
        MetricSpec::gauge("rss_anon_kib", Unit::Kib).judged(Trend::Memory),
        MetricSpec::gauge("threads", Unit::Count)
            .judged(Trend::Count)
            .part_of("loadavg/tasks"),
        MetricSpec::gauge("fds", Unit::Count)
            .judged(Trend::Count)
            .part_of("fs/file-nr.allocated"),
        MetricSpec::gauge("vm_size_kib", Unit::Kib).judged(Trend::Clue),
    ],
);

static FS: Spec = of_shape(
    "fs",
    Shape::Scalars {
        known: &[MetricSpec::gauge("file-nr.allocated", Unit::Count).judged(Trend::Total)],
        other: |_| MetricSpec::gauge("", Unit::Count),
    },
);

static LOADAVG: Spec = of_shape(
    "loadavg",
    Shape::Scalars {
        known: &[MetricSpec::gauge("tasks", Unit::Count).judged(Trend::Total)],
        other: |_| MetricSpec::gauge("", Unit::Count),
    },
);

static SYSVSHM: Spec = entities(
    "sysvshm",
    &[MetricSpec::gauge("rss_bytes", Unit::Bytes).judged(Trend::Memory)],
);

static SLABINFO: Spec = entities(
    "slabinfo",
    &[
        MetricSpec::gauge("active_objs", Unit::Count).judged(Trend::Count),
        MetricSpec::gauge("objsize_bytes", Unit::Bytes),
        MetricSpec::gauge("num_slabs", Unit::Count),
        MetricSpec::gauge("pages_per_slab", Unit::Count),
        MetricSpec::gauge("slab_pages", Unit::Pages)
            .judged(Trend::Memory)
            .generated(),
    ],
);

/// Pid, name, anonymous KiB, threads and descriptors of a process at a tick.
type Process = (i64, &'static str, i64, i64, i64);

/// Name and objects of a cache with 32 of 256 bytes in a slab of two pages.
type Cache = (&'static str, i64);

const TICKS: i64 = 400;

/// What a machine shows at a tick.
#[derive(Default)]
struct Seen {
    processes: Vec<Process>,
    caches: Vec<Cache>,
    /// The creators of System V segments of 64 KiB each.
    segments: Vec<i64>,
    /// Open files, where they are not those of the processes as they are seen.
    files: Option<i64>,
}

impl From<(Vec<Process>, Vec<Cache>)> for Seen {
    fn from((processes, caches): (Vec<Process>, Vec<Cache>)) -> Self {
        Self {
            processes,
            caches,
            ..Self::default()
        }
    }
}

fn record<T: Into<Seen>>(path: &Path, at: impl Fn(i64) -> T) -> Analysis {
    let sources: [&'static Spec; 5] = [&PROCESS, &SLABINFO, &LOADAVG, &FS, &SYSVSHM];
    analysed(path, &sources, TICKS, |tick, source, rows| {
        let seen: Seen = at(tick).into();
        match source {
            0 => {
                for (pid, name, anon, threads, fds) in seen.processes {
                    let values = [anon, threads, fds, address_space_kib(name, tick)];
                    let values = values.map(Value::Int);
                    rows.entity(format!("{pid}.1").as_bytes(), name.as_bytes(), &values);
                    rows.label("pid", Label::Int(pid));
                    if let Some(kind) = newest_fds(name) {
                        rows.label("newest_fds", Label::Bytes(kind.as_bytes()));
                    }
                }
            }
            1 => {
                for (name, objects) in seen.caches {
                    let values = [objects, 256, (objects + 31) / 32, 2].map(Value::Int);
                    rows.entity(name.as_bytes(), name.as_bytes(), &values);
                }
            }
            2 => rows.scalar(b"tasks", seen.processes.iter().map(|of| of.3).sum::<i64>()),
            3 => {
                let held = || seen.processes.iter().map(|of| of.4).sum::<i64>();
                rows.scalar(b"file-nr.allocated", seen.files.unwrap_or_else(held));
            }
            _ => {
                let mut made: BTreeMap<i64, u32> = BTreeMap::new();
                for creator in seen.segments {
                    let number = made.entry(creator).or_default();
                    *number += 1;
                    let name = format!("{creator}.{number}");
                    rows.entity(name.as_bytes(), name.as_bytes(), &[Value::Int(65_536)]);
                    rows.label("pid", Label::Int(creator));
                }
            }
        }
    })
}

/// The address space of a process: one maps thirty pages a tick, one takes a page for every three of
/// these, all others stay.
fn address_space_kib(name: &str, tick: i64) -> i64 {
    90_000
        + match name {
            "maps" => 4 * uneven(tick, 30),
            "grows-a-little" => 4 * uneven(tick, 10),
            _ => 0,
        }
}

/// What the descriptors of some are, by their names.
fn newest_fds(name: &str) -> Option<&'static str> {
    match name {
        "waits" => Some("eventfd"),
        "talks" => Some("socket"),
        _ => None,
    }
}

/// Ten that do all sorts of things and keep nothing.
fn innocents(tick: i64) -> Vec<Process> {
    let wave = |period: i64, by: i64| (tick % period - period / 2).abs() * by;
    vec![
        (101, "idle", 900, 1, 4),
        (102, "sawtooth", 5_000 + (tick % 40) * 300, 1, 8),
        (103, "pool", 9_000, 4 + wave(50, 1), 12),
        (104, "churns-fds", 800, 1, 20 + (tick * 37) % 23),
        (
            105,
            "warm-up",
            20_000 - (15_000 >> (tick / 8).min(20)),
            2,
            9,
        ),
        (
            106,
            "periodic",
            4_000 + wave(90, 40),
            1,
            5 + wave(90, 1) / 3,
        ),
        (107, "opens-once", 700, 1, if tick < 60 { 3 } else { 33 }),
        (108, "burst", 600, 1 + 20 * i64::from(tick % 100 < 3), 6),
        (109, "worker", 3_000, 2, 7),
        (110, "worker", 3_000 + (tick * 13) % 50, 2, 7),
    ]
}

/// Heads of the findings with what they explain and whom they suspect.
fn told(analysis: &Analysis) -> Vec<(String, Vec<String>, Vec<String>)> {
    let name = |at: usize| analysis.judged[at].name.id.clone();
    analysis
        .findings
        .iter()
        .map(|finding| {
            let mut explains: Vec<String> = finding.explains.iter().map(|at| name(*at)).collect();
            explains.sort();
            let suspects = finding.suspects.iter().map(|of| of.comm.clone()).collect();
            (name(finding.head), explains, suspects)
        })
        .collect()
}

/// An uneven but steady rate: `per_tick` on average.
fn uneven(tick: i64, per_tick: i64) -> i64 {
    per_tick * tick + (tick * 7) % 5
}

#[test]
fn sockets_that_a_process_never_closes_are_one_finding_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let sockets = uneven(tick, 3);
        let mut processes = innocents(tick);
        processes.push((500, "server", 6_000, 3, 10 + sockets));
        let caches = vec![
            ("UDP", 40 + sockets),
            ("sock_inode_cache", 300 + sockets),
            ("filp", 4_000 + sockets + (tick * 31) % 17),
            ("kmalloc-64", 9_000 + (tick * 11) % 90),
        ];
        (processes, caches)
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    let (head, explains, suspects) = &told[0];
    assert!(head.starts_with("slabinfo/"), "{head}");
    assert_eq!(suspects, &["server"]);
    for series in [
        "slabinfo/UDP/",
        "slabinfo/sock_inode_cache/",
        "slabinfo/filp/",
        "process/server[500]/fds",
    ] {
        let known = head.starts_with(series) || explains.iter().any(|id| id.starts_with(series));
        assert!(known, "{series} in {told:#?}");
    }
    let suspect = &analysis.findings[0].suspects[0];
    assert_eq!(suspect.pid, Some(500));
    assert!(suspect.strength > 0.9, "{suspect:?}");
    assert!(
        suspect
            .ratio
            .is_some_and(|ratio| (ratio - 1.0).abs() < 0.03),
        "{suspect:?}"
    );
}

/// The machine is slow now and then, and with it all who leak. The descriptors of a process are read
/// less often than their number on the machine and the caches, and one in eight is no socket.
#[test]
fn sockets_are_not_blamed_on_who_has_more_descriptors_of_another_kind() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let pace = |tick: i64| tick + tick % 9 + 3 * (tick % 31) / 4;
        let seen = |tick: i64| pace(tick - tick % 6);
        let mut processes = innocents(tick);
        processes.push((500, "waits", 900, 1, 10 + 9 * seen(tick)));
        processes.push((501, "talks", 900, 1, 10 + 8 * seen(tick)));
        let (sockets, all) = (7 * pace(tick), 17 * pace(tick));
        Seen {
            processes,
            caches: vec![("UDP", 40 + sockets), ("filp", 400 + all)],
            files: Some(40 + all),
            ..Seen::default()
        }
    });
    let told = told(&analysis);
    let of = |cache: &str| {
        let found = told.iter().find(|finding| finding.0.starts_with(cache));
        found.map(|finding| finding.2.clone())
    };
    assert_eq!(
        of("slabinfo/UDP/"),
        Some(vec!["talks".to_owned()]),
        "{told:#?}"
    );
    let files = of("slabinfo/filp/").unwrap();
    assert_eq!(
        files.first().map(String::as_str),
        Some("waits"),
        "{told:#?}"
    );
}

#[test]
fn what_mappings_consist_of_is_one_finding() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let caches = vec![
            ("vm_area_struct", 9_000 + uneven(tick, 30)),
            ("maple_node", 700 + uneven(tick, 3)),
        ];
        (innocents(tick), caches)
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].0.starts_with("slabinfo/vm_area_struct/"),
        "{told:#?}"
    );
}

#[test]
fn mappings_belong_to_the_process_that_has_the_address_space_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let mut processes = innocents(tick);
        processes.push((500, "maps", 900, 1, 4));
        processes.push((501, "grows-a-little", 900, 1, 4));
        (
            processes,
            vec![("vm_area_struct", 9_000 + uneven(tick, 30))],
        )
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].2, ["maps"], "{told:#?}");
}

#[test]
fn two_that_leak_threads_share_the_blame_by_what_each_has() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let (most, some) = (uneven(tick, 3), uneven(tick + 3, 1));
        let mut processes = innocents(tick);
        processes.push((500, "most", 6_000, 1 + most, 5));
        processes.push((501, "some", 6_000, 1 + some, 5));
        (processes, vec![("task_struct", 200 + most + some)])
    });
    let tasks = analysis
        .findings
        .iter()
        .find(|finding| analysis.judged[finding.head].name.name == "task_struct")
        .unwrap();
    assert_eq!(tasks.suspects[0].comm, "most", "{:#?}", told(&analysis));
    for finding in told(&analysis) {
        for comm in &finding.2 {
            assert!(["most", "some"].contains(&comm.as_str()), "{finding:?}");
        }
    }
}

#[test]
fn a_driver_that_leaks_by_itself_is_blamed_on_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        (
            innocents(tick),
            vec![("kmalloc-256", 5_000 + uneven(tick, 5))],
        )
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].0.starts_with("slabinfo/kmalloc-256/"), "{told:#?}");
    assert!(told[0].2.is_empty(), "{told:#?}");
}

#[test]
fn what_grows_only_while_a_process_lives_is_told_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let lived = (tick - 150).max(0);
        let mut processes = innocents(tick);
        if tick >= 150 {
            processes.push((700, "tester", 2_000, 1, 4));
        }
        (processes, vec![("driver_request", 100 + 9 * lived)])
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].2, ["tester"], "{told:#?}");
}

#[test]
fn children_of_which_none_lives_long_are_seen_by_their_sum() {
    let dir = tempfile::tempdir().unwrap();
    // Each lives for ten ticks; three live at once; each next one starts with more.
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let mut processes = innocents(tick);
        for k in 0..3 {
            let child = (tick + 10 * k / 3) / 10;
            processes.push((1_000 + child * 3 + k, "child", 1_000 + 40 * child, 1, 3));
        }
        (processes, Vec::new())
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].0, "process/child/rss_anon_bytes");
}

#[test]
fn workers_that_leak_alike_are_one_finding_with_the_name_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let mut processes = innocents(tick);
        processes.extend((0..4).map(|k| (600 + k, "nginx", 5_000 + uneven(tick + k, 8), 1, 9)));
        (processes, Vec::new())
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].0, "process/nginx/rss_anon_bytes");
    assert_eq!(told[0].1.len(), 4, "{told:#?}");
}

#[test]
fn segments_that_are_made_one_after_the_other_are_added_up_with_their_maker() {
    let dir = tempfile::tempdir().unwrap();
    let analysis = record(&dir.path().join("a.db"), |tick| {
        let mut processes = innocents(tick);
        processes.push((500, "maker", 900, 1, 4));
        let leaked = usize::try_from(tick / 4).unwrap();
        Seen {
            processes,
            // Each segment has an inode.
            caches: vec![("shmem_inode_cache", 70 + tick / 4)],
            segments: [101, 101, 103]
                .into_iter()
                .chain(vec![500; leaked])
                .collect(),
            files: None,
        }
    });
    let told = told(&analysis);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].0, "sysvshm/segments[500]/rss_bytes");
    assert_eq!(told[0].2, ["maker"]);
}

#[test]
fn a_number_that_many_have_alike_says_not_whose_a_cache_is() {
    let dir = tempfile::tempdir().unwrap();
    let joined = |makers: i64| {
        let path = dir.path().join(format!("{makers}.db"));
        let analysis = record(&path, |tick| {
            let processes = (0..makers).map(|at| (500 + at, "maker", 900, 1, 4));
            let each = usize::try_from(tick / 4).unwrap();
            Seen {
                processes: innocents(tick).into_iter().chain(processes).collect(),
                caches: vec![("shmem_inode_cache", 70 + tick / 4)],
                segments: (0..makers).flat_map(|at| vec![500 + at; each]).collect(),
                files: None,
            }
        });
        let heads = told(&analysis).into_iter().map(|told| told.0);
        !heads
            .into_iter()
            .any(|head| head.contains("shmem_inode_cache"))
    };
    assert!(joined(2));
    assert!(!joined(9));
}
