//! `memsoak-record probe`, by itself and beside a recorder, and what it refuses.

use crate::support::{
    Place, ask, finish, is_root, list, record, report, skip, start_recording, ticks, wait_for_ticks,
};

const COMPACT: &str = "/proc/sys/vm/compact_memory";

/// Whether memory can be compacted here: what is cheapest to try.
fn can_compact() -> bool {
    let can = is_root()
        && std::fs::OpenOptions::new()
            .write(true)
            .open(COMPACT)
            .is_ok();
    if !can {
        skip("not root, or a kernel without compaction");
    }
    can
}

fn number(db: &str, name: &str) -> i64 {
    ask(
        db,
        &format!("SELECT data ->> '{name}' FROM event WHERE kind = 'probe'"),
    )
}

fn tick_of(db: &str, boottime_us: i64) -> i64 {
    ask(
        db,
        &format!("SELECT tick FROM tick WHERE boottime_us = {boottime_us}"),
    )
}

#[test]
fn a_probe_by_itself_is_a_run_of_two_full_ticks() {
    if !can_compact() {
        return;
    }
    let place = Place::new();
    let db = place.file("soak.db");
    let done = finish(record(&["probe", "--db", &db, "compact"])).expect(0);
    assert!(
        done.out().starts_with("compact: done in "),
        "{}",
        done.out()
    );
    let around = ["before_us", "after_us"].map(|end| tick_of(&db, number(&db, end)));
    assert_eq!(around, [1, 2]);
    assert_eq!(
        list(&db, "SELECT end_reason FROM run"),
        ["the probe is over"]
    );
    let apart: i64 = ask(&db, "SELECT max(boottime_us) - min(boottime_us) FROM tick");
    assert!(apart >= number(&db, "took_us") + 1_000_000, "{apart}");
    // Every source that was read before it was read after it, but for what is read of processes in
    // turn as the CPU budget allows.
    let lacking = list(
        &db,
        "SELECT source FROM sample_at WHERE tick = 1 AND status = 'ok' \
         AND source NOT IN ('smaps', 'smaps_rollup', 'shm') EXCEPT \
         SELECT source FROM sample_at WHERE tick = 2 AND status = 'ok'",
    );
    assert_eq!(lacking, Vec::<String>::new());
}

#[test]
fn a_live_recorder_does_what_it_is_asked_and_goes_on() {
    if !can_compact() {
        return;
    }
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    let done = finish(record(&["probe", "--db", &db, "compact"])).expect(0);
    assert!(done.err().contains("asked the recorder"), "{}", done.err());
    assert!(done.out().starts_with("compact: done"), "{}", done.out());
    let (before, after) = (number(&db, "before_us"), number(&db, "after_us"));
    let began: i64 = ask(&db, "SELECT boottime_us FROM event WHERE kind = 'probe'");
    assert!(before < began && began < after);
    let (before, after) = (tick_of(&db, before), tick_of(&db, after));
    // A second and more at ten ticks a second: they went on meanwhile.
    assert!(after > before + 3, "{before} {after}");
    // Slow sources too were read at both.
    for tick in [before, after] {
        let read: i64 = ask(
            &db,
            &format!(
                "SELECT count(*) FROM sample_at WHERE tick = {tick} AND source IN ('meminfo', 'buddyinfo', 'pagetypeinfo')"
            ),
        );
        assert_eq!(read, 3, "{tick}");
    }
    wait_for_ticks(&db, 2);
    assert_eq!(recorder.terminate(), Some(0));
    assert_eq!(
        list(&db, "SELECT DISTINCT CAST(run AS TEXT) FROM tick"),
        ["1"]
    );
    let (json, markdown, _) = report(&place, &db);
    assert_eq!(json["experiments"][0]["kind"], "compact");
    assert!(markdown.contains("## Experiments"), "{markdown}");
}

#[test]
fn the_page_cache_that_is_dropped_is_seen() {
    if !can_compact() {
        return;
    }
    // Something to drop: a file that was written and synced is clean page cache.
    let place = Place::new();
    std::fs::write(place.file("cache"), vec![1_u8; 64 << 20]).unwrap();
    let db = place.file("soak.db");
    finish(record(&["probe", "--db", &db, "drop-caches", "1"])).expect(0);
    let cached = |tick: i64| -> i64 {
        ask(
            &db,
            &format!(
                "SELECT value FROM scalar_at WHERE tick = {tick} AND source = 'meminfo' AND name = 'Cached'"
            ),
        )
    };
    assert!(
        cached(1) - cached(2) > 32 << 10,
        "{} {}",
        cached(1),
        cached(2)
    );
    assert_eq!(
        list(
            &db,
            "SELECT s.value ->> 'did' FROM event e, json_each(e.data, '$.steps') s WHERE e.kind = 'probe'"
        ),
        ["sync", "1 to /proc/sys/vm/drop_caches"]
    );
    let (json, _, _) = report(&place, &db);
    let gave_back = json["experiments"][0]["caches"]["page_cache_bytes"]
        .as_f64()
        .unwrap();
    assert!(gave_back > f64::from(32 << 20), "{gave_back}");
}

#[test]
fn what_cannot_be_done_is_refused_before_a_file_is_made() {
    let place = Place::new();
    let db = place.file("soak.db");
    let refused = |args: &[&str], why: &str| {
        let done = finish(record(args)).expect(2);
        assert!(done.err().contains(why), "{}", done.err());
        assert!(!std::path::Path::new(&db).exists());
    };
    refused(
        &["probe", "--db", &db, "drop-caches", "9"],
        "1 (page cache)",
    );
    refused(&["probe", "--db", &db, "compact", "1"], "takes no number");
    refused(&["probe", "--db", &db, "reboot"], "drop-caches, compact");
    let elsewhere = place.path().to_str().unwrap();
    refused(
        &[
            "run",
            "--db",
            &db,
            "--root",
            elsewhere,
            "--probe",
            "compact=6h",
        ],
        "--root reads another",
    );
    refused(
        &["run", "--db", &db, "--probe", "compact=10s"],
        "shorter than 1min",
    );
    if let Some(command) = crate::support::as_nobody(&place, &["probe", "--db", &db, "compact"])
        && std::path::Path::new(COMPACT).exists()
    {
        let done = finish(command).expect(2);
        assert!(done.err().contains("run it as root"), "{}", done.err());
    }
    if !std::path::Path::new("/proc/sysrq-trigger").exists() {
        refused(&["probe", "--db", &db, "sysrq-m"], "CONFIG_MAGIC_SYSRQ");
        refused(
            &["run", "--db", &db, "--probe", "sysrq-m=1h"],
            "sysrq-m cannot be done",
        );
    }
}

#[test]
fn a_recorder_that_lacks_what_it_is_asked_for_says_so_and_goes_on() {
    if std::path::Path::new("/proc/sysrq-trigger").exists() {
        skip("sysrq can be used here");
        return;
    }
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    let done = finish(record(&["probe", "--db", &db, "sysrq-m"])).expect(2);
    assert!(
        done.err().contains("sysrq-m: refused: there is no"),
        "{}",
        done.err()
    );
    let before = ticks(&db);
    wait_for_ticks(&db, 2);
    assert!(ticks(&db) > before);
    assert_eq!(recorder.terminate(), Some(0));
}
