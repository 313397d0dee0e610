//! What the report tells of a story: its diagnoses, when memory is used up, growth between marks, where
//! growth begins, and what each chart shows.

use memsoak_analyze::report;
use serde_json::Value;

use crate::story::{self, Machine, Plot, scratch};

/// The report of a story, as JSON and as text.
fn report_of(plot: &Plot, each: impl FnMut(u32, &mut Machine)) -> (Value, String) {
    let (folder, file) = scratch();
    story::write(&file, plot, each);
    let out = folder.path().join("out");
    report::write(&file, None, &out, |_| {}).unwrap();
    let json = std::fs::read_to_string(out.join("report.json")).unwrap();
    let text = std::fs::read_to_string(out.join("report.md")).unwrap();
    (serde_json::from_str(&json).unwrap(), text)
}

#[test]
fn the_report_tells_diagnoses_exhaustion_and_growth_between_marks() {
    let plot = Plot {
        ticks: 600,
        ..Plot::default()
    };
    // The load runs in every second hundred of ticks and takes 100 KiB a tick, for good.
    let mut anon = 0;
    let (json, text) = report_of(&plot, |tick, machine| {
        let on = (tick / 100) % 2 == 1;
        if tick > 0 && tick.is_multiple_of(100) {
            let mark = if on { "load on" } else { "load off" };
            machine.events.push(("mark", mark.to_owned()));
        }
        if on {
            anon += 100;
        }
        let wobble = i64::from(tick * 37 % 11);
        machine
            .processes
            .insert(50, ("loaded", 10_000 + anon + wobble));
        machine.set("meminfo", "AnonPages", 15_000 + anon);
        machine.set("meminfo", "MemAvailable", 65_000 - anon - wobble);
    });
    let diagnosis = &json["diagnoses"][0];
    assert_eq!(diagnosis["id"], "low_available");
    assert_eq!(diagnosis["severity"], "warning");
    assert!(diagnosis["at"].as_str().unwrap().starts_with("2025-10-09T"));
    assert!(diagnosis["until"].is_null() && diagnosis["seconds"].as_f64().unwrap() > 100.0);
    assert!(
        text.contains("## Diagnoses\n\n- **warning** `low_available`, since 2025-"),
        "{text}"
    );

    let phases = &json["phases"][0];
    let names: Vec<&str> = phases["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["start", "load on", "load off"]);
    assert_eq!(phases["phases"][1]["times"], 3);
    assert_eq!(phases["phases"][1]["seconds"], 2990.0);
    let total = phases["series"]
        .as_array()
        .unwrap()
        .iter()
        .find(|series| series["series"] == "meminfo/AnonPages")
        .unwrap();
    // A tick at which a mark is set belongs to the phase before: 99, 100 and 100 of 300 are inside.
    assert_eq!(total["growth"], 30_000.0 * 1024.0);
    assert!(total["by_phase"][1].as_f64().unwrap() >= 29_600.0 * 1024.0);
    assert_eq!(total["grows_only_in"], "load on");
    assert!(
        text.contains("`meminfo/AnonPages` grows only in the phase `load on`."),
        "{text}"
    );

    let left = &json["exhaustion"][0];
    assert_eq!(left["of"], "MemAvailable");
    // 30,000 KiB in 5,990 s are 18,030 KiB an hour, and 35,000 KiB are left: 1.94 h.
    let hours = left["hours"].as_f64().unwrap();
    assert!((1.7..2.2).contains(&hours), "{hours}");
    assert!(left["hours_soonest"].as_f64().unwrap() <= hours);
    assert!(text.contains("and is used up in "), "{text}");
}

/// Who reads nothing but the first line is to know it, also where no series leaks.
#[test]
fn the_headline_names_what_is_critical() {
    let (_, quiet) = report_of(&Plot::default(), |_, _| {});
    assert!(quiet.starts_with("# memsoak: no leak found\n"), "{quiet}");
    let (json, text) = report_of(&Plot::default(), |tick, machine| {
        machine.set("vmstat", "oom_kill", i64::from(tick >= 80) + 2);
    });
    assert_eq!(json["verdict"], "clean");
    let first = text.lines().next().unwrap();
    assert_eq!(first, "# memsoak: no leak found; critical: `oom_kill`");
}

#[test]
fn a_group_that_grows_towards_its_limit_has_an_end_of_its_own() {
    let plot = Plot {
        ticks: 600,
        ..Plot::default()
    };
    let (json, text) = report_of(&plot, |tick, machine| {
        let wobble = i64::from(tick * 37 % 11) * 1024;
        let leaked = i64::from(tick) * 4096 + wobble;
        // One leaks, one fills its page cache, one has no limit, one has more than the machine.
        machine.groups.insert(
            "/leaky",
            vec![
                ("current_bytes", (10 << 20) + leaked),
                ("limit_bytes", 20 << 20),
                ("file_bytes", 3 << 20),
                ("shmem_bytes", 1 << 20),
                ("anon_bytes", (5 << 20) + leaked),
            ],
        );
        machine.groups.insert(
            "/reader",
            vec![
                ("current_bytes", (10 << 20) + leaked),
                ("limit_bytes", 20 << 20),
                ("file_bytes", (3 << 20) + leaked),
            ],
        );
        let grows = ("current_bytes", (10 << 20) + leaked);
        machine.groups.insert("/free", vec![grows]);
        machine
            .groups
            .insert("/roomy", vec![grows, ("limit_bytes", 1 << 40)]);
    });
    let entries = json["exhaustion"].as_array().unwrap();
    let groups: Vec<_> = entries
        .iter()
        .filter(|entry| entry["of"] != "MemAvailable")
        .collect();
    let [leaky] = groups.as_slice() else {
        panic!("{groups:?}");
    };
    assert_eq!(leaky["of"], "cgroup//leaky/limit_bytes");
    assert_eq!(leaky["verdict"], "leak");
    // 10 MiB are left and 2 MiB of cache can go, less the 2.34 MiB that were leaked in 5,990 s at
    // 409.6 bytes a second: 6.87 h.
    let hours = leaky["hours"].as_f64().unwrap();
    assert!((6.7..7.0).contains(&hours), "{hours}");
    assert!(
        text.contains("What the control group /leaky may still take under its limit"),
        "{text}"
    );
    // The finding that is the group itself ends with the group's limit.
    let own = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["series"] == "cgroup//leaky/anon_bytes")
        .unwrap();
    assert_eq!(own["eta_hours"], leaky["hours"]);
}

#[test]
fn the_onset_of_a_growth_is_told_with_the_mark_or_process_beside_it() {
    let plot = Plot {
        ticks: 480,
        ..Plot::default()
    };
    let leak = |mark: Option<&'static str>, starts: u32| {
        let (json, text) = report_of(&plot, |tick, machine| {
            if tick == 160 {
                machine
                    .events
                    .extend(mark.map(|mark| ("mark", mark.to_owned())));
                for pid in 0..starts {
                    machine.processes.insert(100 + pid, ("late", 500));
                }
            }
            let grown = i64::from(tick.saturating_sub(160)) * 80;
            machine.set(
                "meminfo",
                "Shmem",
                2_000 + grown + i64::from(tick * 37 % 11),
            );
        });
        (json["findings"][0]["onset"].clone(), text)
    };
    let (onset, text) = leak(Some("driver reloaded"), 0);
    assert_eq!(onset["kind"], "mark");
    assert_eq!(onset["text"], "driver reloaded");
    assert!(onset["distance_s"].as_f64().unwrap().abs() <= 100.0);
    assert!(text.contains("mark: driver reloaded"), "{text}");
    let (onset, _) = leak(None, 1);
    assert_eq!(onset["kind"], "process_start");
    assert_eq!(onset["text"], "late[100] started");
    // Of many that start none is worth a name.
    assert_eq!(leak(None, 6).0, Value::Null);
}

#[test]
fn each_chart_of_the_report_is_told_in_its_own_words() {
    let plot = Plot {
        ticks: 480,
        ..Plot::default()
    };
    let (json, text) = report_of(&plot, |tick, machine| {
        let grown = i64::from(tick) * 80 + i64::from(tick * 37 % 11);
        machine.set("meminfo", "Shmem", 2_000 + grown);
    });
    let charts: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("![")?.strip_suffix(')')?.split_once("]("))
        .collect();
    // MemTotal of the capture is 407,600 KiB.
    assert_eq!(
        charts[1..],
        [
            ("How 398 MiB of memory is used", "charts/overview.png"),
            (
                "How what the kernel cannot take back has grown since the start",
                "charts/growth.png"
            ),
        ]
    );
    // 80 KiB each 10 s are 28.125 MiB an hour.
    let (shows, path) = charts[0];
    assert!(shows.starts_with("Shmem grows 28.12 MiB/h ("), "{shows}");
    assert_eq!(path, json["findings"][0]["chart"]);
    assert_eq!(json["overview"][0], "charts/overview.png");
}
