//! What is written comes back: only changes are stored, gaps stay gaps, and a file survives what
//! happens to files.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::Path;

use memsoak_schema::{
    BootInfo, Error, Happening, Label, Recording, Rows, RunInfo, SampleState, Status, TickCost,
    TickTime, Value, Writer,
};
use support::{MEMINFO, SWAPS, at, host, sampled};

fn begin(path: &Path, boot_id: &str) -> Writer {
    support::begin(Writer::open(path).unwrap(), boot_id, &[&MEMINFO, &SWAPS])
}

/// A tick with one scalar and swap areas (name, used).
fn tick(writer: &mut Writer, second: i64, anon: i64, swaps: Option<&[(&str, i64)]>) {
    writer
        .begin_tick(TickTime {
            wall_offset_us: 1_700_000_000_000_000,
            ..at(second)
        })
        .unwrap();
    let mut rows = Rows::default();
    rows.scalar(b"AnonPages", anon);
    writer
        .write_sample(0, &sampled(Status::Ok), Some(&rows))
        .unwrap();
    rows.clear();
    match swaps {
        Some(swaps) => {
            for (name, used) in swaps {
                rows.entity(
                    name.as_bytes(),
                    name.as_bytes(),
                    &[Value::Int(1000), Value::Int(*used), Value::Null],
                );
                rows.label("kind", Label::Bytes(b"partition"));
            }
            writer
                .write_sample(1, &sampled(Status::Ok), Some(&rows))
                .unwrap();
        }
        None => writer
            .write_sample(1, &sampled(Status::Failed), None)
            .unwrap(),
    }
    writer.commit_tick(TickCost::default()).unwrap();
}

fn scalars(recording: &Recording) -> Vec<(i64, f64)> {
    let sources = recording.sources().unwrap();
    let metrics: Vec<i64> = sources
        .iter()
        .flat_map(|source| &source.metrics)
        .map(|metric| metric.metric)
        .collect();
    let mut found = Vec::new();
    recording
        .scan_scalars(&metrics, &(0..=i64::MAX), |tick, _, value| {
            found.push((tick, value));
        })
        .unwrap();
    found
}

fn used(recording: &Recording) -> Vec<(i64, i64, Option<f64>)> {
    let sources = recording.sources().unwrap();
    let swaps = sources.iter().find(|s| s.name == "swaps").unwrap();
    let metric = swaps.metrics.iter().find(|m| m.name == "used_kib").unwrap();
    let mut found = Vec::new();
    recording
        .scan_entities(
            swaps,
            &[metric],
            None,
            &(0..=i64::MAX),
            |tick, entity, values| {
                found.push((tick, entity, Some(values[0]).filter(|v| !v.is_nan())));
            },
        )
        .unwrap();
    found
}

#[test]
fn only_what_changed_is_stored_and_what_is_gone_becomes_null() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    tick(&mut writer, 1, 10, Some(&[("/dev/a", 1), ("/dev/b", 2)]));
    tick(&mut writer, 2, 10, Some(&[("/dev/a", 1), ("/dev/b", 3)]));
    tick(&mut writer, 3, 11, None);
    tick(&mut writer, 4, 11, Some(&[("/dev/b", 3)]));
    tick(&mut writer, 5, 11, Some(&[("/dev/a", 9), ("/dev/b", 3)]));
    writer.end_run(6_000_000, "stopped").unwrap();

    let recording = Recording::open(&path).unwrap();
    assert_eq!(scalars(&recording), vec![(1, 10.0), (3, 11.0)]);
    assert_eq!(
        used(&recording),
        vec![
            (1, 1, Some(1.0)),
            (1, 2, Some(2.0)),
            (2, 2, Some(3.0)),
            (4, 1, None),
            (5, 1, Some(9.0)),
        ]
    );
    let mut failed = Vec::new();
    recording
        .scan_samples(|s| {
            if !s.status.has_values() {
                failed.push((s.tick, s.status, s.reason.is_some()));
            }
        })
        .unwrap();
    assert_eq!(failed, vec![(3, Status::Failed, true)]);
    let entity = recording.entity(1).unwrap().unwrap();
    assert_eq!(entity.name, b"/dev/a");
    assert_eq!(entity.labels["kind"], "partition");
    assert!(recording.entity(99).unwrap().is_none());
}

#[test]
fn a_run_that_was_killed_is_continued_and_the_next_run_begins_with_a_full_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    tick(&mut writer, 1, 10, Some(&[("/dev/a", 1)]));
    drop(writer); // no end_run
    let mut writer = begin(&path, "b1");
    tick(&mut writer, 9, 10, Some(&[("/dev/a", 1)]));
    drop(writer);
    let mut writer = begin(&path, "b2");
    tick(&mut writer, 2, 10, Some(&[("/dev/a", 1)]));
    writer.end_run(3_000_000, "stopped").unwrap();

    let recording = Recording::open(&path).unwrap();
    let runs = recording.runs().unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[0].ended_us, Some(1_000_000));
    assert!(runs[0].end_reason.as_deref().unwrap().contains("killed"));
    assert_eq!(runs[2].end_reason.as_deref(), Some("stopped"));
    assert_eq!(recording.boots().unwrap().len(), 2);
    // The same thing in the same boot keeps its number, in another boot it is another thing.
    assert_eq!(
        used(&recording),
        vec![(1, 1, Some(1.0)), (2, 1, Some(1.0)), (3, 2, Some(1.0))]
    );
}

#[test]
fn a_tick_that_was_rolled_back_leaves_nothing_and_the_next_one_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    tick(&mut writer, 1, 10, Some(&[("/dev/a", 1)]));
    writer.begin_tick(TickTime::default()).unwrap();
    let mut rows = Rows::default();
    rows.scalar(b"AnonPages", 99_i64);
    rows.scalar(b"NewKey", 1_i64);
    writer
        .write_sample(0, &sampled(Status::Ok), Some(&rows))
        .unwrap();
    writer.rollback_tick();
    tick(&mut writer, 3, 10, Some(&[("/dev/a", 1)]));
    writer.end_run(4_000_000, "stopped").unwrap();
    let recording = Recording::open(&path).unwrap();
    assert_eq!(scalars(&recording), vec![(1, 10.0)], "nothing has changed");
    assert_eq!(recording.ticks().unwrap().len(), 2);
}

#[test]
fn a_copy_of_the_main_file_alone_opens_up_to_the_checkpoint_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    tick(&mut writer, 1, 10, Some(&[]));
    writer.checkpoint().unwrap();
    tick(&mut writer, 2, 11, Some(&[]));
    let alone = dir.path().join("with ? and #.db");
    std::fs::copy(&path, &alone).unwrap();
    assert_eq!(scalars(&Recording::open(&alone).unwrap()), vec![(1, 10.0)]);
    // The live one is read with its log.
    assert_eq!(
        scalars(&Recording::open(&path).unwrap()),
        vec![(1, 10.0), (2, 11.0)]
    );
    let copy = dir.path().join("copy.db");
    memsoak_schema::copy(&path, &copy).unwrap();
    assert_eq!(
        scalars(&Recording::open(&copy).unwrap()),
        vec![(1, 10.0), (2, 11.0)]
    );
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["a.db", "a.db-shm", "a.db-wal", "copy.db", "with ? and #.db"]
    );
    use std::os::unix::fs::PermissionsExt;
    for file in [&path, &copy] {
        assert_eq!(
            std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn what_is_no_recording_or_not_of_this_machine_or_newer_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "x".repeat(5000)).unwrap();
    assert!(matches!(
        Recording::open(&text),
        Err(Error::NotARecording { .. })
    ));
    assert!(matches!(
        Writer::open(&text),
        Err(Error::NotARecording { .. })
    ));
    assert_eq!(
        std::fs::read(&text).unwrap().len(),
        5000,
        "the file is left alone"
    );
    assert!(matches!(
        Recording::open(&dir.path().join("none.db")),
        Err(Error::Open { .. })
    ));

    let path = dir.path().join("a.db");
    begin(&path, "b1").end_run(1, "stopped").unwrap();
    let mut writer = Writer::open(&path).unwrap();
    let refused = writer.begin_run(&host("m2"), &BootInfo::default(), &RunInfo::default(), &[]);
    assert!(matches!(refused, Err(Error::OtherMachine { host, .. }) if host == "board-1"));
    drop(writer);

    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 999).unwrap();
    drop(db);
    for refused in [
        Recording::open(&path).map(drop),
        Writer::open(&path).map(drop),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("file format 999") && text.contains("newer memsoak"),
            "{text}"
        );
    }
}

#[test]
fn the_view_of_a_tick_is_the_whole_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    tick(&mut writer, 1, 10, Some(&[("/dev/a", 1), ("/dev/b", 2)]));
    tick(&mut writer, 2, 10, Some(&[("/dev/a", 5), ("/dev/b", 2)]));
    tick(&mut writer, 3, 12, Some(&[("/dev/b", 2)]));
    writer.end_run(4_000_000, "stopped").unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    let picture = |tick: i64| -> Vec<(String, i64)> {
        db.prepare("SELECT name, used_kib FROM swaps_at WHERE tick = ? ORDER BY name")
            .unwrap()
            .query_map([tick], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let owned = |rows: &[(&str, i64)]| {
        rows.iter()
            .map(|(n, u)| ((*n).to_owned(), *u))
            .collect::<Vec<_>>()
    };
    assert_eq!(picture(2), owned(&[("/dev/a", 5), ("/dev/b", 2)]));
    assert_eq!(picture(3), owned(&[("/dev/b", 2)]));
    let anon: i64 = db
        .query_row(
            "SELECT value FROM scalar_at WHERE tick = 2 AND source = 'meminfo' AND name = 'AnonPages'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(anon, 10);
    // The tick is found first, and only its range of rows is read.
    let plan: Vec<String> = db
        .prepare("EXPLAIN QUERY PLAN SELECT * FROM swaps_at WHERE tick = 2")
        .unwrap()
        .query_map([], |row| row.get(3))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let text = plan.join("\n");
    assert!(
        text.contains("SEARCH t USING INTEGER PRIMARY KEY (rowid=?)"),
        "{text}"
    );
    assert!(
        text.contains("SEARCH x USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        "{text}"
    );
    let wall: String = db
        .query_row("SELECT wall FROM tick_wall WHERE tick = 1", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(wall, "2023-11-14T22:13:21.000Z");
}

#[test]
fn what_happened_comes_back_with_its_details_and_its_own_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    assert_eq!(writer.recorded_until_us().unwrap(), None);
    tick(&mut writer, 5, 10, Some(&[]));
    assert_eq!(writer.recorded_until_us().unwrap(), Some(5_000_000));
    let mut rows = Rows::default();
    let mut earlier = Happening::new("oom_kill", b"Killed process 7 (a\xff)\nline")
        .with("victim_pid", Label::Int(7))
        .with("victim_comm", Label::Bytes(b"a\xff"));
    earlier.boottime_us = Some(4_000_000);
    rows.happened(Happening::new("module", b"x loaded"));
    rows.happened(earlier);
    writer
        .begin_tick(TickTime {
            boottime_us: 6_000_000,
            ..TickTime::default()
        })
        .unwrap();
    writer.write_happenings(1, &rows).unwrap();
    writer.commit_tick(TickCost::default()).unwrap();
    writer.end_run(7, "stopped").unwrap();

    let events = Recording::open(&path).unwrap().events().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let detail = serde_json::Value::Object(event.detail.clone()).to_string();
            (
                event.boottime_us,
                event.kind.as_str(),
                event.text.as_str(),
                detail,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                4_000_000,
                "oom_kill",
                "Killed process 7 (a\\xff)\\nline",
                r#"{"victim_comm":"a\\xff","victim_pid":7}"#.to_owned()
            ),
            (6_000_000, "module", "x loaded", "{}".to_owned()),
        ]
    );
    assert_eq!(events[0].source.as_deref(), Some("swaps"));
}

/// The views and tables that the migrations after the second add, views first.
fn added_since_format_2() -> Vec<(&'static str, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let text: String = files
        .iter()
        .skip(2)
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let mut added = Vec::new();
    for kind in ["VIEW", "TABLE"] {
        let start = format!("CREATE {kind} ");
        added.extend(text.lines().filter_map(|line| {
            let name = line.strip_prefix(&start)?.split_whitespace().next()?;
            Some((kind, name.to_owned()))
        }));
    }
    assert!(added.len() >= 10, "{added:?}");
    added
}

/// The migrations after the second only add tables and columns.
#[test]
fn a_file_of_the_format_before_is_read_as_it_is_and_migrated_by_a_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    tick(&mut writer, 1, 10, Some(&[("/dev/a", 1)]));
    writer.end_run(2, "stopped").unwrap();
    let set_version = |sql: &str| {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
    };
    let sql: String = added_since_format_2()
        .iter()
        .map(|(kind, name)| format!("DROP {kind} IF EXISTS {name}; "))
        .collect();
    set_version(&format!(
        "{sql} ALTER TABLE sample DROP COLUMN stored; \
         ALTER TABLE sample DROP COLUMN digest; PRAGMA user_version = 2;"
    ));
    assert_eq!(scalars(&Recording::open(&path).unwrap()), [(1, 10.0)]);
    drop(Writer::open(&path).unwrap());
    let db = rusqlite::Connection::open(&path).unwrap();
    let groups: i64 = db
        .query_row(
            "SELECT count(limit_hits) FROM cgroup_at JOIN zram_at",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(groups, 0);
    drop(db);
    set_version("PRAGMA user_version = 1;");
    assert!(matches!(
        Recording::open(&path),
        Err(Error::Older { found: 1, .. })
    ));
}

#[test]
fn labels_that_steer_a_terminal_are_read_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    let mut rows = Rows::default();
    rows.entity(b"1.7", b"swap", &[Value::Null; 3]);
    rows.label("exe", Label::Bytes(b"a\n\x1b[2J"));
    writer.begin_tick(TickTime::default()).unwrap();
    let state = SampleState {
        status: Status::Ok,
        reason: None,
        read_us: None,
        bytes: None,
    };
    writer.write_sample(1, &state, Some(&rows)).unwrap();
    writer.commit_tick(TickCost::default()).unwrap();
    writer.end_run(1, "stopped").unwrap();
    let entity = Recording::open(&path).unwrap().entity(1).unwrap().unwrap();
    assert_eq!(entity.labels["exe"], "a\\n\\u{1b}[2J");
}

#[test]
fn of_two_that_begin_at_once_the_second_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut first = Writer::open(&path).unwrap();
    let mut second = Writer::open(&path).unwrap();
    assert!(first.open_run().unwrap().is_none());
    assert!(second.open_run().unwrap().is_none());
    let run = RunInfo {
        pid: 17,
        ..RunInfo::default()
    };
    let boot = BootInfo::default();
    first
        .begin_run(&host("m1"), &boot, &run, &[&MEMINFO])
        .unwrap();
    let refused = second.begin_run(&host("m1"), &boot, &run, &[&MEMINFO]);
    assert!(matches!(refused, Err(Error::InUse { pid: Some(17), .. })));
    first.begin_tick(TickTime::default()).unwrap();
    first.commit_tick(TickCost::default()).unwrap();
}

#[test]
fn a_file_that_was_left_blank_by_a_crash_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    // What a kill leaves between the switch to WAL and the first table.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        .unwrap();
    drop(db);
    assert!(std::fs::metadata(&path).unwrap().len() > 0);
    let refused = Recording::open(&path).map(drop).unwrap_err().to_string();
    assert!(
        refused.contains("nothing was written to it yet"),
        "{refused}"
    );
    begin(&path, "b1").end_run(1, "stopped").unwrap();
    assert_eq!(Recording::open(&path).unwrap().runs().unwrap().len(), 1);
}

/// What is gone for long is forgotten, or a recorder would keep each process that ever was.
#[test]
fn a_thing_that_comes_back_is_the_same_unless_hundreds_came_and_went_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path, "b1");
    let mut second = 0;
    let mut show = |names: &[&str]| {
        second += 1;
        let swaps: Vec<(&str, i64)> = names.iter().map(|name| (*name, 7)).collect();
        tick(&mut writer, second, 5, Some(&swaps));
    };
    show(&["stays", "returns"]);
    for churn in 0..20 {
        show(&["stays", &format!("soon{churn}")]);
    }
    show(&["stays", "returns"]);
    for churn in 0..600 {
        show(&["stays", &format!("late{churn}")]);
    }
    show(&["stays", "returns"]);
    // One sample finds nothing at all.
    let many: Vec<String> = (0..700).map(|number| format!("many{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    show(&many);
    show(&[]);
    show(&many);
    drop(writer);
    let db = rusqlite::Connection::open(&path).unwrap();
    let entities = |name: &str| -> i64 {
        let sql = "SELECT count(*) FROM entity WHERE name = ?";
        db.query_row(sql, [name], |row| row.get(0)).unwrap()
    };
    assert_eq!((entities("stays"), entities("returns")), (1, 2));
    assert!(many.iter().all(|name| entities(name) == 1));
    let seen: i64 = db
        .query_row(
            "SELECT count(*) FROM swaps JOIN entity USING (entity) WHERE name = 'returns' AND used_kib = 7",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(seen >= 3, "{seen}");
}
