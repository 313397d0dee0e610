//! What probes show, in made-up recordings: each told from the same story without the probe.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "support/story.rs"]
mod story;

use std::path::Path;

use memsoak_analyze::diagnose::{Severity, diagnose};
use memsoak_analyze::findings::{Analysis, analyse};
use memsoak_analyze::report;
use memsoak_analyze::verdict::Verdict;
use memsoak_schema::Recording;
use serde_json::Value;
use story::{Machine, Plot, scratch};

const DENTRY: &str = "dentry:192:0";
const KMALLOC: &str = "kmalloc-64:64:0";

/// The tick behind the probe.
const PROBED: u32 = 70;

fn tell(path: &Path, each: impl FnMut(u32, &mut Machine)) -> Analysis {
    story::write(path, &Plot::default(), each);
    analyse(&Recording::open(path).unwrap(), |_| {}).unwrap()
}

fn verdict(analysis: &Analysis, series: &str) -> Verdict {
    let found = analysis.judged.iter().find(|one| one.name.id == series);
    found.unwrap().judgement.verdict
}

fn evidence(analysis: &Analysis, series: &str) -> Vec<String> {
    let found = analysis.judged.iter().find(|one| one.name.id == series);
    let all = &found.unwrap().judgement.evidence;
    all.iter().map(|one| one.text.clone()).collect()
}

/// Slabs of one page; the totals move with them.
fn set_slabs(machine: &mut Machine, key: &str, per_slab: i64, total: &str, slabs: i64) {
    machine.set_of("slabinfo", key, "num_slabs", slabs);
    machine.set_of("slabinfo", key, "active_slabs", slabs);
    machine.set_of("slabinfo", key, "num_objs", slabs * per_slab);
    machine.set_of("slabinfo", key, "active_objs", slabs * per_slab);
    let base = [
        ("Slab", 12_384),
        ("SReclaimable", 3_128),
        ("SUnreclaim", 9_256),
    ];
    for (name, kib) in base {
        if name == "Slab" || name == total {
            machine.set("meminfo", name, kib + 4 * slabs);
        }
    }
    machine.set("meminfo", "MemFree", 335_228 - 4 * slabs);
}

/// 5 slabs a tick and a few to and fro; 40 at the start.
fn growing(tick: u32) -> i64 {
    let tick = i64::from(tick);
    40 + 5 * tick + tick * 7 % 3
}

#[test]
fn names_that_drop_caches_leaves_are_a_leak_and_without_a_probe_they_are_reclaimable() {
    let story = |probe: bool| {
        let (_folder, file) = scratch();
        let analysis = tell(&file, |tick, machine| {
            set_slabs(machine, DENTRY, 21, "SReclaimable", 4 * growing(tick));
            if probe && tick == PROBED {
                machine.probed = Some(("drop-caches", Some("3")));
            }
        });
        let recording = Recording::open(&file).unwrap();
        let told = diagnose(&recording, &analysis.index).unwrap();
        let ids: Vec<_> = told.iter().map(|one| (one.id, one.severity)).collect();
        (analysis, ids)
    };
    let (quiet, told) = story(false);
    assert_eq!(
        verdict(&quiet, "slabinfo/dentry/slab_bytes"),
        Verdict::Reclaimable
    );
    assert_eq!((quiet.verdict(), told.len()), ("clean", 0));

    let (probed, told) = story(true);
    assert_eq!(
        verdict(&probed, "slabinfo/dentry/slab_bytes"),
        Verdict::Leak
    );
    assert_eq!(probed.verdict(), "leak");
    let why = evidence(&probed, "slabinfo/dentry/slab_bytes");
    assert!(
        why.contains(&"drop-caches gave back only 0.0 % of it: held".to_owned()),
        "{why:?}"
    );
    assert_eq!(told, [("held_caches", Severity::Warning)]);
}

#[test]
fn a_cache_that_nobody_knew_and_that_falls_at_drop_caches_is_no_leak() {
    let story = |level: Option<&'static str>| {
        let (_folder, file) = scratch();
        tell(&file, |tick, machine| {
            let slabs = if level.is_some() && tick >= PROBED {
                growing(tick - PROBED) - 30
            } else {
                growing(tick)
            };
            set_slabs(machine, KMALLOC, 64, "SUnreclaim", slabs);
            if tick == PROBED {
                machine.probed = level.map(|level| ("drop-caches", Some(level)));
            }
        })
    };
    let quiet = story(None);
    assert_eq!(
        verdict(&quiet, "slabinfo/kmalloc-64/slab_bytes"),
        Verdict::Leak
    );
    let probed = story(Some("3"));
    assert_eq!(
        verdict(&probed, "slabinfo/kmalloc-64/slab_bytes"),
        Verdict::Reclaimable
    );
    let why = evidence(&probed, "slabinfo/kmalloc-64/slab_bytes");
    assert!(
        why.contains(&"drop-caches gave back 97 % of it: reclaimable".to_owned()),
        "{why:?}"
    );
    assert_eq!(probed.verdict(), "clean");
    // Dropping the page cache says nothing of slabs, though they fell then.
    let pages = story(Some("1"));
    let why = evidence(&pages, "slabinfo/kmalloc-64/slab_bytes");
    assert!(
        !why.iter().any(|text| text.contains("gave back")),
        "{why:?}"
    );
}

#[test]
fn what_fills_again_after_a_probe_is_no_leak_and_a_leak_beside_it_is_one() {
    let story = |leak: i64| {
        let (_folder, file) = scratch();
        tell(&file, |tick, machine| {
            let at = i64::from(tick);
            // 2,000 slabs that go at tick 20 and come again until tick 110, in a line.
            let slabs = match tick {
                0..=19 => 2_000,
                _ => 2_000 * (at - 20).min(90) / 90,
            };
            set_slabs(machine, KMALLOC, 64, "SUnreclaim", slabs);
            machine.set("meminfo", "PageTables", 1_000 + leak * at + at * 7 % 5);
            if tick == 20 {
                machine.probed = Some(("drop-caches", Some("2")));
            }
        })
    };
    let quiet = story(0);
    for series in ["slabinfo/kmalloc-64/slab_bytes", "meminfo/SUnreclaim"] {
        let verdict = verdict(&quiet, series);
        let called = matches!(verdict, Verdict::Leak | Verdict::Suspect);
        assert!(!called, "{series} {verdict}");
    }
    assert_eq!(quiet.verdict(), "clean");
    let leaking = story(200);
    assert_eq!(verdict(&leaking, "meminfo/PageTables"), Verdict::Leak);
    assert_eq!(leaking.verdict(), "leak");
}

/// Free blocks of the zone DMA32 from order 0 on.
fn set_free(machine: &mut Machine, blocks: [i64; 11]) {
    for (order, n) in blocks.iter().enumerate() {
        machine.set_of(
            "buddyinfo",
            "Node 0 DMA32",
            &format!("free_order{order}"),
            *n,
        );
    }
}

const SCATTERED: [i64; 11] = [9_000, 9_000, 5_000, 2_000, 100, 0, 0, 0, 0, 0, 0];

#[test]
fn compaction_that_wins_nothing_is_told_with_the_blocks_that_cannot_be_moved() {
    let story = |after: [i64; 11]| {
        let (_folder, file) = scratch();
        let analysis = tell(&file, |tick, machine| {
            set_free(machine, if tick < PROBED { SCATTERED } else { after });
            machine.set_of("pagetypeinfo", "Node 0 DMA32 Unmovable", "pageblocks", 120);
            machine.set_of("pagetypeinfo", "Node 0 DMA32 Movable", "pageblocks", 80);
            machine.set_of("pagetypeinfo", "Node 0 DMA32 Reclaimable", "pageblocks", 0);
            if tick == PROBED {
                machine.probed = Some(("compact", None));
            }
        });
        let recording = Recording::open(&file).unwrap();
        let told = diagnose(&recording, &analysis.index).unwrap();
        let found = told
            .iter()
            .find(|one| one.id == "compaction_won_nothing")
            .map(|one| one.text.clone());
        (analysis.experiments.all[0].text(), found)
    };
    let (text, told) = story(SCATTERED);
    assert!(
        text.contains("won no free block of 2 MiB (order 9)"),
        "{text}"
    );
    // 9,000 + 2*9,000 + 4*5,000 + 8*2,000 + 16*100 pages and 224 of zone DMA are
    // 253.2 MiB.
    let told = told.unwrap();
    assert!(
        told.contains("253.2 MiB are free in smaller ones"),
        "{told}"
    );
    assert!(told.contains("60 % of a zone's pageblocks"), "{told}");
    let (text, told) = story([600, 300, 100, 0, 0, 0, 0, 0, 0, 20, 50]);
    // 20 blocks of 2 MiB and 50 of 4 MiB.
    assert!(
        text.contains("won 240 MiB of free memory in blocks of at least 2 MiB (order 9)"),
        "{text}"
    );
    assert_eq!(told, None);
}

#[test]
fn the_report_tells_experiments_and_bounds_a_storm_of_events() {
    let (_folder, file) = scratch();
    story::write(&file, &Plot::default(), |tick, machine| {
        if tick < PROBED {
            machine.set("meminfo", "Cached", 228_440);
        } else {
            machine.set("meminfo", "Cached", 28_440);
        }
        if tick == PROBED {
            machine.probed = Some(("drop-caches", Some("1")));
        }
        if tick >= 90 {
            let text = format!("INFO: task a:{tick} blocked for more than 120 seconds.");
            machine.events.push(("hung_task", text));
        }
        if tick == 5 {
            machine.events.push(("mark", "load begins".to_owned()));
        }
    });
    let out = file.with_extension("report");
    report::write(&file, None, &out, |_| {}).unwrap();
    let markdown = std::fs::read_to_string(out.join("report.md")).unwrap();
    let json: Value =
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let one = &json["experiments"][0];
    assert_eq!(
        (&one["kind"], &one["argument"]),
        (&"drop-caches".into(), &"1".into())
    );
    // 200,000 KiB of the 216,400 KiB that are no shared memory, and the buffers.
    assert_eq!(one["caches"]["page_cache_bytes"], 204_800_000.0);
    assert!(
        markdown.contains("## Experiments\n\n### drop-caches 1 at "),
        "{markdown}"
    );
    let listed: Vec<&str> = markdown
        .lines()
        .skip_while(|line| *line != "## Events")
        .take_while(|line| *line != "## What was recorded")
        .filter(|line| line.starts_with("- "))
        .collect();
    // The mark, the probe, eight of the thirty and how many more.
    assert_eq!(listed.len(), 11, "{listed:#?}");
    assert!(
        listed[0].ends_with("(+0:50) **mark**: load begins"),
        "{}",
        listed[0]
    );
    assert!(
        listed[1].ends_with("(+11:38) **probe**: drop-caches 1: done"),
        "{}",
        listed[1]
    );
    assert!(listed[10].starts_with("- and 22 more of **hung\\_task**, the last at "));
}
