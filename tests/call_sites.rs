//! Code that the kernel counts allocations of is named with the leak that it makes, and is no leak
//! beside it; and objects that nothing points to are told by stack.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "support/story.rs"]
mod story;

use memsoak_analyze::diagnose::{Severity, diagnose};
use memsoak_analyze::findings::analyse;
use memsoak_analyze::load::Index;
use memsoak_analyze::report;
use memsoak_schema::Recording;
use story::{Machine, Plot, scratch};

/// A kernel that counts allocations, with what kmemleak found in its report.
const COUNTS: Plot = Plot {
    capture: "6.12-x86_64-pageowner/t0",
    ticks: 120,
    interval_s: 10,
    overcommit_memory: None,
    boot: 1,
};

const LEAKS: &str = "drivers/tty/tty_io.c:3281 tty_register_device_attr";

/// Adds so many objects to a cache, whose pages and totals go with it.
fn add_objects(machine: &mut Machine, objects: i64) {
    let of = |machine: &mut Machine, column: &str, by: i64| {
        let key = "kmalloc-1k:1024:0";
        let value = machine.get("slabinfo", key, column);
        machine.set_of("slabinfo", key, column, value + by);
    };
    of(machine, "active_objs", objects);
    of(machine, "num_objs", objects);
    of(machine, "active_slabs", objects / 16);
    of(machine, "num_slabs", objects / 16);
    for key in ["Slab", "SUnreclaim"] {
        let value = machine.get("meminfo", key, "");
        machine.set("meminfo", key, value + objects);
    }
    let free = machine.get("meminfo", "MemFree", "");
    machine.set("meminfo", "MemFree", free - objects);
}

fn add_calls(machine: &mut Machine, site: &str, calls: i64, bytes: i64) {
    for (column, by) in [("calls", calls), ("bytes", bytes)] {
        let value = machine.get("allocinfo", site, column);
        machine.set_of("allocinfo", site, column, value + by);
    }
}

#[test]
fn the_code_that_leaks_stands_with_its_cache_and_is_no_finding_of_its_own() {
    let (folder, file) = scratch();
    story::write(&file, &COUNTS, |tick, machine| {
        let objects = 16 * (1 + i64::from(tick * 7 % 5));
        add_objects(machine, objects);
        add_calls(machine, LEAKS, objects, objects * 1024);
        // Each slab counts with the allocator too, and the page cache fills.
        add_calls(
            machine,
            "mm/slub.c:2478 alloc_slab_page",
            objects / 16,
            objects * 1024,
        );
        add_calls(
            machine,
            "mm/filemap.c:1944 __filemap_get_folio",
            900,
            900 * 4096,
        );
    });
    let recording = Recording::open(&file).unwrap();
    let analysis = analyse(&recording, |_| {}).unwrap();
    let heads: Vec<_> = analysis
        .findings
        .iter()
        .map(|finding| analysis.judged[finding.head].name.id.as_str())
        .collect();
    assert_eq!(heads, ["slabinfo/kmalloc-1k/slab_bytes"]);
    let sites = &analysis.findings[0].allocated_by;
    let functions: Vec<_> = sites.iter().map(|site| site.function.as_str()).collect();
    assert_eq!(functions, ["tty_register_device_attr"]);
    assert_eq!(sites[0].place.as_deref(), Some("drivers/tty/tty_io.c:3281"));
    assert!((sites[0].share - 1.0).abs() < 0.05, "{}", sites[0].share);

    let out = folder.path().join("out");
    report::write(&file, None, &out, |_| {}).unwrap();
    let json = std::fs::read_to_string(out.join("report.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let finding = &json["findings"][0];
    assert_eq!(
        finding["allocated_by"][0]["series"],
        "allocinfo/tty_register_device_attr drivers/tty/tty_io.c:3281/bytes"
    );
    let markdown = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(
        markdown.contains("allocated by tty\\_register\\_device\\_attr")
            || markdown.contains("allocated by tty_register_device_attr"),
        "{markdown}"
    );
}

#[test]
fn objects_that_nothing_points_to_are_told_by_stack_the_largest_first() {
    let (_folder, file) = scratch();
    story::write(&file, &COUNTS, |tick, machine| {
        if tick == 30 {
            let said = "kmemleak: 23 new suspected memory leaks (see /sys/kernel/debug/kmemleak)";
            machine.events.push(("kmemleak", said.to_owned()));
        }
    });
    let recording = Recording::open(&file).unwrap();
    let index = Index::read(&recording).unwrap();
    let told = diagnose(&recording, &index).unwrap();
    let told: Vec<_> = told.iter().filter(|one| one.id == "kmemleak").collect();
    let [one] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(one.severity, Severity::Warning);
    // Counted in the captured report with grep and awk.
    assert!(one.text.contains("23 objects"), "{}", one.text);
    assert!(one.text.contains("23 new suspected"), "{}", one.text);
    let stacks = one.evidence["stacks"].as_array().unwrap();
    let bytes: f64 = stacks
        .iter()
        .map(|stack| stack["bytes"].as_f64().unwrap())
        .sum();
    assert!((bytes - 194_688.0).abs() < 1e-6, "{bytes}");
    // Two areas of 64 KiB.
    assert_eq!(stacks[0]["bytes"], 131_072.0);
    assert_eq!(stacks[0]["objects"], 2.0);
    assert!(stacks[0]["stack"].as_str().unwrap().contains("vmalloc"));
}
