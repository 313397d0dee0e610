//! Each condition is told from its nearest healthy neighbour, in made-up recordings.

use std::path::Path;

use memsoak_analyze::diagnose::{CONDITIONS, Diagnosis, Severity, diagnose};
use memsoak_analyze::load::Index;
use memsoak_schema::Recording;

use crate::made_up_soak;
use crate::story::{self, Machine, Plot, scratch};

/// The capture with three zones that have memory: DMA, DMA32 and Normal.
const THREE_ZONES: &str = "6.18-x86_64-microvm/t0";

fn diagnose_file(path: &Path) -> Vec<Diagnosis> {
    let recording = Recording::open(path).unwrap();
    let index = Index::read(&recording).unwrap();
    let told = diagnose(&recording, &index).unwrap();
    for one in &told {
        assert!(
            CONDITIONS.iter().any(|condition| condition.id == one.id),
            "{}",
            one.id
        );
        assert!(
            one.text.ends_with('.') || one.text.ends_with(')'),
            "{}",
            one.text
        );
    }
    told
}

fn tell(plot: &Plot, each: impl FnMut(u32, &mut Machine)) -> Vec<Diagnosis> {
    let (_folder, file) = scratch();
    story::write(&file, plot, each);
    diagnose_file(&file)
}

fn ids(told: &[Diagnosis]) -> Vec<(&'static str, Severity)> {
    told.iter().map(|one| (one.id, one.severity)).collect()
}

fn only(told: &[Diagnosis]) -> &Diagnosis {
    assert_eq!(told.len(), 1, "{told:#?}");
    &told[0]
}

fn number(one: &Diagnosis, name: &str) -> f64 {
    one.evidence[name].as_f64().unwrap()
}

const NOTHING: [(&str, Severity); 0] = [];

#[test]
fn a_machine_at_rest_has_no_diagnosis_on_any_kernel() {
    for capture in [
        "6.1-x86_64-debian/t0",
        "6.1-arm64-debian/t0",
        "6.12-arm64-16k/t0",
        "6.12-x86_64-debian/t0",
        "6.18-x86_64-microvm/t0",
    ] {
        let plot = Plot {
            capture,
            ..Plot::default()
        };
        assert_eq!(ids(&tell(&plot, |_, _| {})), NOTHING, "{capture}");
    }
}

#[test]
fn a_healthy_week_under_load_has_no_diagnosis() {
    let (_folder, file) = scratch();
    let soak = made_up_soak::Soak {
        ticks: 672,
        processes: 112,
        interval_s: 900,
        leak_kib_per_hour: 1440,
        seed: 1,
        most_bytes: None,
    };
    made_up_soak::write(&file, &soak).unwrap();
    assert_eq!(ids(&diagnose_file(&file)), NOTHING);
}

// MemTotal of the capture is 407,600 KiB.
#[test]
fn little_available_memory_is_told_with_its_worst_moment_and_who_held_it() {
    let told = tell(&Plot::default(), |tick, machine| {
        let low = (30..50).contains(&tick);
        let available = match tick {
            40 => 8_152,
            _ if low => 30_000,
            _ => 300_000,
        };
        machine.set("meminfo", "MemAvailable", available);
        machine
            .processes
            .insert(77, ("eater", if low { 310_000 } else { 5_000 }));
    });
    let one = only(&told);
    assert_eq!(
        (one.id, one.severity),
        ("low_available", Severity::Critical)
    );
    assert!((one.from_s - 300.0).abs() < 1e-6);
    assert!((one.until_s.unwrap() - 490.0).abs() < 1e-6);
    assert!((one.held_s - 190.0).abs() < 1e-6);
    assert!((number(one, "least_available_share") - 0.02).abs() < 1e-9);
    assert!((number(one, "worst_at_s") - 400.0).abs() < 1e-6);
    assert_eq!(one.evidence["processes"][0]["name"], "eater");
    assert_eq!(one.evidence["processes"][0]["bytes"], 310_000.0 * 1024.0);
    assert!(one.text.contains("eater[77]"), "{}", one.text);
}

#[test]
fn just_over_a_tenth_available_is_enough_and_just_under_is_a_warning() {
    let at = |kib: i64| {
        tell(&Plot::default(), |_, machine| {
            machine.set("meminfo", "MemAvailable", kib);
        })
    };
    assert_eq!(ids(&at(40_761)), NOTHING);
    let under = at(40_759);
    assert_eq!(ids(&under), [("low_available", Severity::Warning)]);
    // It held up to the end.
    assert_eq!(only(&under).until_s, None);
}

#[test]
fn each_boot_has_diagnoses_of_its_own() {
    let (_folder, file) = scratch();
    for boot in [1, 2, 3] {
        let plot = Plot {
            boot,
            ..Plot::default()
        };
        story::write(&file, &plot, |tick, machine| {
            // The counter starts anew with each boot: 7, then 0, then 3.
            machine.set("vmstat", "oom_kill", [7, 0, 3][boot as usize - 1]);
            if boot == 2 && tick > 100 {
                machine.set("meminfo", "MemAvailable", 20_000);
            }
        });
    }
    let told = diagnose_file(&file);
    let one = only(&told);
    assert_eq!((one.id, one.boot), ("low_available", 1));
}

#[test]
fn what_is_promised_matters_by_the_mode_of_overcommit() {
    // CommitLimit of the capture is 252,948 KiB.
    let told = |mode: Option<i64>, committed: i64| {
        let plot = Plot {
            overcommit_memory: mode,
            ..Plot::default()
        };
        tell(&plot, |_, machine| {
            machine.set("meminfo", "Committed_AS", committed);
        })
    };
    assert_eq!(ids(&told(None, 252_000)), NOTHING);
    // MemTotal and SwapTotal are 456,748 KiB: in modes 0 and 1 more than that counts.
    assert_eq!(ids(&told(Some(0), 456_000)), NOTHING);
    for (mode, committed, word) in [
        (None, 253_000, "is not in this recording"),
        (Some(0), 457_000, "is 0"),
        (Some(1), 457_000, "is 1"),
    ] {
        let told = told(mode, committed);
        assert_eq!(ids(&told), [("overcommit", Severity::Info)]);
        assert!(only(&told).text.contains(word), "{}", only(&told).text);
    }
    assert_eq!(ids(&told(Some(2), 220_000)), NOTHING);
    assert_eq!(
        ids(&told(Some(2), 240_000)),
        [("overcommit", Severity::Warning)]
    );
}

#[test]
fn swap_that_fills_is_told_and_swap_that_settles_is_not() {
    // SwapTotal of the capture is 49,148 KiB.
    let plot = Plot {
        ticks: 400,
        ..Plot::default()
    };
    let told = tell(&plot, |tick, machine| {
        let used = 2_000 + 60 * i64::from(tick) + i64::from(tick * 37 % 50);
        machine.set("meminfo", "SwapFree", 49_148 - used);
    });
    assert_eq!(ids(&told), [("swap_growing", Severity::Warning)]);
    // 60 KiB each 10 s are 21,600 KiB an hour; 23,166 KiB are left.
    let slope = number(only(&told), "slope_per_hour") / 1024.0;
    assert!((slope - 21_600.0).abs() < 600.0, "{slope}");
    let hours = number(only(&told), "hours_until_full");
    assert!((hours - 1.07).abs() < 0.05, "{hours}");
    let settled = tell(&plot, |tick, machine| {
        let used = 20_000.0 * (1.0 - (-f64::from(tick) / 40.0).exp());
        #[expect(clippy::cast_possible_truncation, reason = "some thousand KiB")]
        machine.set("meminfo", "SwapFree", 49_148 - used as i64);
    });
    assert_eq!(ids(&settled), NOTHING);
}

/// Moves a counter on by a number of its unit each second.
fn run_on(machine: &mut Machine, source: &str, key: &str, per_s: i64) {
    let now = machine.get(source, key, "");
    machine.set(source, key, now + per_s * 10);
}

#[test]
fn pages_that_go_in_and_out_for_minutes_are_thrashing_where_somebody_waits() {
    let told = |read: i64, written: i64, waiting_us: i64, every: u32| {
        tell(&Plot::default(), |tick, machine| {
            if tick.is_multiple_of(every) {
                run_on(machine, "vmstat", "pswpin", read);
                run_on(machine, "vmstat", "pswpout", written);
            }
            run_on(machine, "pressure", "some.total", waiting_us);
            run_on(machine, "pressure", "full.total", waiting_us / 2);
        })
    };
    // 300 pages a second each way, with 8 % of the time waiting.
    let thrashing = told(300, 400, 80_000, 1);
    assert_eq!(ids(&thrashing), [("swap_thrashing", Severity::Warning)]);
    assert!((number(only(&thrashing), "some_share") - 0.08).abs() < 1e-6);
    assert!((number(only(&thrashing), "worst_in_bytes_per_s") - 300.0 * 4096.0).abs() < 1.0);
    // Swapping out alone is what swap is for, bursts pass, and where nobody waits nothing is lost.
    assert_eq!(ids(&told(0, 4000, 80_000, 1)), NOTHING);
    assert_eq!(ids(&told(3000, 4000, 80_000, 4)), NOTHING);
    assert_eq!(ids(&told(300, 400, 5_000, 1)), NOTHING);
}

#[test]
fn time_lost_to_memory_is_told_when_it_lasts() {
    let told = |some_us: i64, full_us: i64, ticks: u32| {
        tell(&Plot::default(), |tick, machine| {
            if tick < ticks {
                run_on(machine, "pressure", "some.total", some_us);
                run_on(machine, "pressure", "full.total", full_us);
            }
        })
    };
    assert_eq!(
        ids(&told(120_000, 20_000, 60)),
        [("memory_pressure", Severity::Warning)]
    );
    assert_eq!(
        ids(&told(400_000, 200_000, 60)),
        [("memory_pressure", Severity::Critical)]
    );
    assert_eq!(ids(&told(90_000, 20_000, 120)), NOTHING);
    assert_eq!(ids(&told(900_000, 900_000, 4)), NOTHING);
}

#[test]
fn reclaim_by_those_who_allocate_is_as_bad_as_it_is_in_vain() {
    let told = |stalls: i64, scanned: i64, stolen: i64| {
        tell(&Plot::default(), |_, machine| {
            run_on(machine, "vmstat", "allocstall_normal", stalls);
            run_on(machine, "vmstat", "pgscan_direct", scanned);
            run_on(machine, "vmstat", "pgsteal_direct", stolen);
        })
    };
    assert_eq!(
        ids(&told(5, 1000, 900)),
        [("direct_reclaim", Severity::Info)]
    );
    assert_eq!(
        ids(&told(5, 1000, 300)),
        [("direct_reclaim", Severity::Warning)]
    );
    assert_eq!(
        ids(&told(5, 1000, 20)),
        [("direct_reclaim", Severity::Critical)]
    );
    assert_eq!(ids(&told(0, 0, 0)), NOTHING);
}

/// Normal of the capture: min 12,111, low 15,138, high 18,165 pages, batches of 63 for two CPUs.
fn normal(told: impl Fn(u32) -> (i64, i64)) -> Vec<Diagnosis> {
    let plot = Plot {
        capture: THREE_ZONES,
        ..Plot::default()
    };
    tell(&plot, |tick, machine| {
        let (normal, dma32) = told(tick);
        machine.set_of("zoneinfo", "Node 0 Normal", "free_pages", normal);
        machine.set_of("zoneinfo", "Node 0 DMA32", "free_pages", dma32);
    })
}

/// DMA32 above its high mark and what it keeps from requests for Normal, 7,141 + 7,680 pages; and
/// below that.
const ROOM: i64 = 700_000;
const NO_ROOM: i64 = 9_000;

#[test]
fn a_zone_under_its_min_watermark_for_minutes_is_told() {
    let told = normal(|tick| {
        (
            if (20..40).contains(&tick) {
                9_000
            } else {
                500_000
            },
            NO_ROOM,
        )
    });
    let one = only(&told);
    assert_eq!(
        (one.id, one.severity),
        ("zone_under_min", Severity::Warning)
    );
    assert_eq!(one.evidence["zone"], "Normal");
    assert!((one.from_s - 200.0).abs() < 1e-6 && (one.held_s - 190.0).abs() < 1e-6);
    assert!((number(one, "least_free_bytes") - 9_000.0 * 4096.0).abs() < 1.0);
}

#[test]
fn a_dip_under_min_counts_where_somebody_had_to_wait_in_it() {
    let dip = |stalls: i64| {
        let plot = Plot {
            capture: THREE_ZONES,
            ..Plot::default()
        };
        tell(&plot, |tick, machine| {
            let free = if tick == 50 { 9_000 } else { 500_000 };
            machine.set_of("zoneinfo", "Node 0 Normal", "free_pages", free);
            machine.set_of("zoneinfo", "Node 0 DMA32", "free_pages", NO_ROOM);
            if tick == 50 {
                machine.set("vmstat", "allocstall_normal", stalls);
            }
        })
    };
    assert_eq!(ids(&dip(0)), NOTHING);
    let told = dip(3);
    assert_eq!(ids(&told), [("zone_under_min", Severity::Critical)]);
    assert!((number(only(&told), "allocstall") - 3.0).abs() < 1e-9);
}

#[test]
fn kswapd_that_does_not_keep_up_is_told_from_a_zone_that_hovers_at_its_mark() {
    let told = normal(|_| (13_000, NO_ROOM));
    assert_eq!(ids(&told), [("zone_under_low", Severity::Warning)]);
    // The node has room in DMA32, where requests for Normal go: no more than a word.
    let told = normal(|_| (13_000, ROOM));
    assert_eq!(ids(&told), [("zone_under_low", Severity::Info)]);
    // Within the batches of the per-CPU lists, and back over the mark now and then.
    assert_eq!(ids(&normal(|_| (15_050, NO_ROOM))), NOTHING);
    let back = |tick: u32| {
        if tick.is_multiple_of(5) {
            15_200
        } else {
            13_000
        }
    };
    assert_eq!(ids(&normal(|tick| (back(tick), NO_ROOM))), NOTHING);
}

#[test]
fn a_boosted_watermark_is_no_shortage() {
    let plot = Plot {
        capture: THREE_ZONES,
        ..Plot::default()
    };
    let told = tell(&plot, |_, machine| {
        machine.set_of("zoneinfo", "Node 0 DMA32", "free_pages", NO_ROOM);
        for (column, pages) in [
            ("free_pages", 25_000),
            ("boost_pages", 20_000),
            ("min_pages", 32_111),
            ("low_pages", 35_138),
            ("high_pages", 38_165),
        ] {
            machine.set_of("zoneinfo", "Node 0 Normal", column, pages);
        }
    });
    assert_eq!(ids(&told), NOTHING);
}

/// DMA32 of the capture manages 98,060 pages; blocks of each order from 0 on.
fn scattered(blocks: [i64; 11], each: impl Fn(&mut Machine)) -> Vec<Diagnosis> {
    tell(&Plot::default(), |_, machine| {
        for (order, n) in blocks.iter().enumerate() {
            let column = format!("free_order{order}");
            machine.set_of("buddyinfo", "Node 0 DMA32", &column, *n);
        }
        each(machine);
    })
}

#[test]
fn free_memory_without_high_orders_is_told_and_little_free_memory_is_not() {
    // 30,000 pages in blocks of up to 16 KiB, none of order 3.
    let small = [10_000, 6_000, 2_000, 0, 0, 0, 0, 0, 0, 0, 0];
    let told = scattered(small, |_| {});
    let one = only(&told);
    assert_eq!((one.id, one.severity), ("fragmentation", Severity::Warning));
    assert_eq!(one.evidence["order"], 3);
    assert!((number(one, "unusable_free_index") - 1.0).abs() < 1e-12);
    // 1 - (1 + 30,000 / 8) / 18,000.
    assert!((number(one, "fragmentation_index") - 0.791_611).abs() < 1e-6);
    assert_eq!(one.evidence["largest_free_order"], 2);
    // The same shape with 3,000 pages: memory is short, not scattered.
    assert_eq!(ids(&scattered(small.map(|n| n / 10), |_| {})), NOTHING);
}

#[test]
fn a_lack_of_huge_pages_is_a_word_until_compaction_fails() {
    // 32,000 pages in blocks of up to 128 KiB.
    let middling = [0, 0, 0, 0, 1_000, 500, 0, 0, 0, 0, 0];
    let told = scattered(middling, |_| {});
    assert_eq!(ids(&told), [("fragmentation", Severity::Info)]);
    assert_eq!(only(&told).evidence["order"], 9);
    let told = scattered(middling, |machine| {
        run_on(machine, "vmstat", "compact_fail", 9);
        run_on(machine, "vmstat", "compact_success", 1);
    });
    assert_eq!(ids(&told), [("fragmentation", Severity::Warning)]);
    // A tenth of the free pages in huge blocks is enough.
    let with_some = [0, 0, 0, 0, 1_000, 500, 0, 0, 0, 8, 0];
    assert_eq!(ids(&scattered(with_some, |_| {})), NOTHING);
}

#[test]
fn unmovable_blocks_that_rise_are_told_and_those_of_a_warm_up_are_not() {
    // The capture has 19 unmovable and 193 movable blocks in DMA32.
    let plot = Plot {
        ticks: 400,
        ..Plot::default()
    };
    let told = |unmovable: fn(u32) -> i64| {
        tell(&plot, |tick, machine| {
            let unmovable = unmovable(tick);
            machine.set_of(
                "pagetypeinfo",
                "Node 0 DMA32 Unmovable",
                "pageblocks",
                unmovable,
            );
            let movable = 212 - unmovable;
            machine.set_of(
                "pagetypeinfo",
                "Node 0 DMA32 Movable",
                "pageblocks",
                movable,
            );
        })
    };
    let rising = told(|tick| 19 + i64::from(tick / 5));
    assert_eq!(ids(&rising), [("unmovable_blocks", Severity::Warning)]);
    // A block each 50 s are 72 an hour.
    assert!((number(only(&rising), "slope_per_hour") - 72.0).abs() < 2.0);
    assert_eq!(ids(&told(|tick| 19 + i64::from(tick.min(60) / 5))), NOTHING);
}

#[test]
fn lists_far_over_their_high_mark_are_told() {
    // DMA32 of the capture: high marks of 6,010 pages together, batches of 31 for two CPUs.
    let told = |pages: i64| {
        tell(&Plot::default(), |_, machine| {
            machine.set_of("zoneinfo", "Node 0 DMA32", "pcp_count_pages", pages);
        })
    };
    assert_eq!(ids(&told(9_000)), [("pcp_over_high", Severity::Warning)]);
    // A huge page for each CPU counts at once.
    assert_eq!(ids(&told(7_000)), NOTHING);
}

#[test]
fn a_kill_is_told_with_who_had_grown_and_who_died() {
    let told = tell(&Plot::default(), |tick, machine| {
        machine.set("vmstat", "oom_kill", i64::from(tick >= 80) + 2);
        machine
            .processes
            .insert(50, ("grower", 1_000 + 2_000 * i64::from(tick)));
        machine.processes.insert(51, ("victim", 150_000));
        if tick >= 80 {
            machine.processes.remove(&51);
        }
        if tick == 80 {
            let text = "grower invoked oom-killer: gfp_mask=0x140cca\nMem-Info:\n\
                Out of memory: Killed process 51 (victim) total-vm:160000kB\n";
            machine.events.push(("oom_kill", text.to_owned()));
        }
    });
    let one = only(&told);
    assert_eq!((one.id, one.severity), ("oom_kill", Severity::Critical));
    assert!((one.from_s - 800.0).abs() < 1e-6);
    assert_eq!(one.evidence["kills"], 1);
    let kill = &one.evidence["each"][0];
    assert_eq!(kill["growers"][0]["name"], "grower");
    // From tick 0 to tick 79, the last before it.
    assert_eq!(kill["growers"][0]["bytes"], 79.0 * 2_000.0 * 1024.0);
    assert_eq!(kill["vanished"][0]["name"], "victim");
    assert_eq!(kill["vanished"].as_array().unwrap().len(), 1);
    // Of a report of many lines the one that names the victim.
    assert!(
        one.text
            .contains("It said: Out of memory: Killed process 51"),
        "{}",
        one.text
    );
    assert!(!one.text.contains("Mem-Info"), "{}", one.text);
    assert!(
        one.text.contains("grower[50] was not killed"),
        "{}",
        one.text
    );
}

#[test]
fn kills_from_before_the_recording_are_none_of_its_own() {
    let told = tell(&Plot::default(), |_, machine| {
        machine.set("vmstat", "oom_kill", 5);
    });
    assert_eq!(ids(&told), NOTHING);
}

#[test]
fn each_kind_of_the_kernels_reports_is_a_diagnosis() {
    let kinds = [
        ("kasan", Severity::Critical),
        ("kfence", Severity::Critical),
        ("soft_lockup", Severity::Critical),
        ("alloc_failure", Severity::Warning),
        ("ubsan", Severity::Warning),
        ("kmemleak", Severity::Warning),
        ("hung_task", Severity::Warning),
    ];
    for (kind, severity) in kinds {
        let told = tell(&Plot::default(), |tick, machine| {
            if tick == 10 || tick == 20 {
                machine
                    .events
                    .push((kind, format!("what was said at {tick}.")));
            }
            machine.events.push(("mark", "a mark is none".to_owned()));
        });
        let one = only(&told);
        assert_eq!((one.id, one.severity), (kind, severity));
        assert!(one.text.contains("what was said at 10.") && one.text.contains("2 reports"));
        assert!((one.from_s - 100.0).abs() < 1e-6 && one.until_s == Some(200.0));
    }
}
