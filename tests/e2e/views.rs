//! `show` prints what the kernel printed, and `diff` what changed.

use std::fs;

use crate::captures::captures;
use crate::support::*;

fn show(db: &str, args: &[&str]) -> String {
    let args: Vec<&str> = ["show", db]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    finish(analyze(&args)).expect(0).out()
}

#[test]
fn a_view_of_a_file_is_the_file_as_the_kernel_printed_it() {
    let place = Place::new();
    for (name, root, _) in captures() {
        let db = place.file(&format!("{name}.db"));
        record_for(&db, "100ms", &["--root", &text(&root)]);
        for file in ["meminfo", "buddyinfo", "slabinfo", "pagetypeinfo"] {
            let Ok(printed) = fs::read_to_string(root.join("proc").join(file)) else {
                continue; // not given to whoever made this capture
            };
            // With page_owner the kernel counts mixed blocks too: seconds of work, not recorded.
            let recorded = printed.split("\nNumber of mixed blocks").next().unwrap();
            assert_eq!(show(&db, &[file]), recorded, "{name} {file}");
        }
        if let Ok(report) = fs::read_to_string(root.join("sys/kernel/debug/kmemleak")) {
            let shown = show(&db, &["kmemleak"]);
            let objects: usize = shown
                .lines()
                .skip(1)
                .take_while(|line| !line.is_empty())
                .map(|line| {
                    line.split_whitespace()
                        .nth(1)
                        .unwrap()
                        .parse::<usize>()
                        .unwrap()
                })
                .sum();
            let reported = report.matches("unreferenced object").count();
            assert_eq!(objects, reported, "{name}: {shown}");
        }
        let printed = fs::read_to_string(root.join("proc/zoneinfo")).unwrap();
        let shown = show(&db, &["zoneinfo"]);
        let (summed, lines): (Vec<_>, Vec<_>) = shown
            .lines()
            .partition(|line| line.contains("all CPUs") || line.starts_with(&" ".repeat(14)));
        assert_eq!(summed.len() % 4, 0, "{name}: {shown}");
        for line in lines {
            assert!(printed.contains(&format!("{line}\n")), "{name}: {line}");
        }
    }
}

#[test]
fn every_view_shows_a_running_machine_and_says_of_when_it_is() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "1s", &[]);
    let denied = if is_root() {
        &[][..]
    } else {
        &["slabinfo", "slabtop", "pagetypeinfo", "vmallocinfo"]
    };
    let help = finish(analyze(&["show", "--help"])).expect(0).out();
    for view in memsoak_analyze::show::VIEWS {
        assert!(help.contains(view.name), "{} is not in the help", view.name);
        // Kernels for daily use have no kmemleak, and of pmap a process must be named.
        if view.name == "kmemleak" || view.name == "pmap" {
            let done = finish(analyze(&["show", &db, view.name])).expect(2);
            let words = ["say pmap PID", "kmemleak was not obtained: "];
            assert!(
                words.iter().any(|word| done.err().contains(word)),
                "{}",
                done.err()
            );
            continue;
        }
        let code = if denied.contains(&view.name) { 2 } else { 0 };
        let done = finish(analyze(&["show", &db, view.name])).expect(code);
        if code == 0 {
            assert!(
                done.err().starts_with(&format!("{} at 20", view.name)),
                "{}",
                done.err()
            );
        } else {
            assert!(done.err().contains("permission denied"), "{}", done.err());
        }
    }
    // Any source can be asked for by its name.
    assert!(show(&db, &["loadavg"]).contains("tasks"));
}

#[test]
fn a_time_is_a_mark_or_so_long_from_an_end_and_what_changed_by_then_is_told() {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    wait_for_ticks(&db, 3);
    finish(record(&["mark", "--db", &db, "before the leak"])).expect(0);
    // A tick that had begun before the mark may still be reading.
    wait_for_ticks(&db, 2);
    let leaker = start_leak_lab(&place, b"views-leaker", &["anon", "37", "20"]);
    wait_for_ticks(&db, 12);
    assert_eq!(recorder.terminate(), Some(0));
    drop(leaker);

    assert!(!show(&db, &["top", "--at", "before the leak"]).contains("views-leaker"));
    assert!(show(&db, &["top", "--at", "-0s"]).contains("views-leaker"));
    let changes = finish(analyze(&["diff", &db, "top", "--from", "before the leak"]))
        .expect(0)
        .out();
    let line = changes
        .lines()
        .find(|line| line.contains("views-leaker"))
        .unwrap();
    assert!(line.ends_with("new"), "{line}");

    let done = finish(analyze(&["show", &db, "free", "--at", "+100h"])).expect(2);
    assert!(
        done.err()
            .contains("is not in the recording, which goes from 20"),
        "{}",
        done.err()
    );
    let done = finish(analyze(&["show", &db, "free", "--at", "soonish"])).expect(2);
    assert!(
        done.err().contains("or the text of a mark"),
        "{}",
        done.err()
    );
    let done = finish(analyze(&["show", &db, "teapot"])).expect(2);
    assert!(
        done.err().contains("there is no view \"teapot\""),
        "{}",
        done.err()
    );
    let done = finish(analyze(&["show", &db, "top", "--sort", "NICE"])).expect(2);
    assert!(done.err().contains("the keys are RES"), "{}", done.err());
}
