//! A recording while it is made: stopped, killed, continued, marked and copied.

use std::path::Path;

use crate::support::*;

fn ticks_are_contiguous(db: &str) {
    let (count, last): (i64, i64) = database(db)
        .query_row("SELECT count(*), max(tick) FROM tick", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(count, last);
}

#[test]
fn sigterm_ends_the_run_cleanly() {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    assert_eq!(recorder.terminate(), Some(0));
    assert!(
        !Path::new(&format!("{db}-wal")).exists(),
        "the log is folded in"
    );
    let reason: String = ask(&db, "SELECT end_reason FROM run");
    assert_eq!(reason, "stopped by a signal");
    ticks_are_contiguous(&db);
}

#[test]
fn after_sigkill_nothing_committed_is_lost_and_the_next_run_goes_on() {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    wait_for_ticks(&db, 5);
    let committed = ticks(&db);
    recorder.kill();
    let kept = ticks(&db);
    assert!(kept >= committed, "{kept} of {committed}");
    finish(analyze(&["info", &db])).expect(0);

    let said = record_for(&db, "1s", &[]).err();
    assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
    let runs = list(
        &db,
        "SELECT run || ': ' || end_reason FROM run ORDER BY run",
    );
    assert_eq!(runs.len(), 2, "{said}");
    assert!(runs[0].contains("killed"), "{runs:?}");
    assert_eq!(runs[1], "2: the duration is over");
    let first_of_2: i64 = ask(&db, "SELECT min(tick) FROM tick WHERE run = 2");
    assert_eq!(first_of_2, kept + 1);
    ticks_are_contiguous(&db);

    // The processes that lived through both runs are one each, not two.
    let twice: i64 = ask(
        &db,
        "SELECT count(*) FROM (SELECT source, boot, key FROM entity
                               GROUP BY source, boot, key HAVING count(*) > 1)",
    );
    assert_eq!(twice, 0);
    let info = finish(analyze(&["info", &db])).expect(0).out();
    assert!(info.contains("in 2 runs and 1 boots"), "{info}");
}

#[test]
fn a_second_recorder_is_refused_by_name_and_the_first_goes_on() {
    let place = Place::new();
    let db = place.file("soak.db");
    let first = start_recording(&place, &db, &[]);
    let second = finish(record(&["run", "--db", &db, "--duration", "1s"])).expect(2);
    let pid = format!("process {};", first.pid());
    assert!(second.err().contains(&pid), "{}", second.err());
    wait_for_ticks(&db, 3);
    assert_eq!(first.terminate(), Some(0));
    assert_eq!(ask::<i64>(&db, "SELECT count(*) FROM run"), 1);
}

#[test]
fn a_mark_stands_in_the_recording_and_in_the_report() {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    finish(record(&["mark", "--db", &db, "step 3: driver | reloaded"])).expect(0);
    wait_for_ticks(&db, 3);
    assert_eq!(recorder.terminate(), Some(0));
    let between: i64 = ask(
        &db,
        "SELECT count(*) FROM event WHERE kind = 'mark' AND text = 'step 3: driver | reloaded'
         AND boottime_us BETWEEN (SELECT min(boottime_us) FROM tick)
                             AND (SELECT max(boottime_us) FROM tick)",
    );
    assert_eq!(between, 1);
    let (json, markdown, _) = report(&place, &db);
    let event = &json["events"][0];
    assert_eq!(event["kind"], "mark");
    assert_eq!(event["text"], "step 3: driver | reloaded");
    assert!(
        markdown.contains("step 3: driver \\| reloaded"),
        "{markdown}"
    );
    let info = finish(analyze(&["info", &db])).expect(0).out();
    assert!(info.contains("step 3: driver"), "{info}");
}

#[test]
fn a_mark_after_the_end_says_that_nobody_records() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "300ms", &[]);
    let mark = finish(record(&["mark", "--db", &db, "too late"])).expect(0);
    assert!(mark.err().contains("nobody records"), "{}", mark.err());
}

#[test]
fn a_mark_creates_no_recording() {
    let place = Place::new();
    let db = place.file("missing.db");
    finish(record(&["mark", "--db", &db, "hello"])).expect(2);
    assert!(!Path::new(&db).exists());
}

#[test]
fn a_copy_of_a_live_recording_stands_alone() {
    let place = Place::new();
    let db = place.file("soak.db");
    let copied = place.file("copy.db");
    let recorder = start_recording(&place, &db, &[]);
    let before = ticks(&db);
    finish(record(&["copy", "--db", &db, &copied])).expect(0);
    assert!(ticks(&copied) >= before);
    assert_eq!(ask::<String>(&copied, "PRAGMA integrity_check"), "ok");
    finish(analyze(&["info", &copied])).expect(0);
    let again = finish(record(&["copy", "--db", &db, &copied])).expect(2);
    assert!(again.err().contains("exists"), "{}", again.err());
    wait_for_ticks(&db, 2);
    assert_eq!(recorder.terminate(), Some(0));
}

#[test]
fn a_plain_copy_of_the_main_file_alone_is_a_recording_from_the_first_tick_on() {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    let young = place.file("young.db");
    std::fs::copy(&db, &young).unwrap();
    finish(analyze(&["info", &young])).expect(0);
    finish(record(&["status", "--db", &young])).expect(0);
    let first: i64 = ask(&young, "SELECT min(tick) FROM tick");
    assert_eq!(first, 1);
    assert_eq!(recorder.terminate(), Some(0));

    // At the end the main file is all there is.
    let whole = place.file("whole.db");
    std::fs::copy(&db, &whole).unwrap();
    assert_eq!(ticks(&whole), ticks(&db));
}

#[test]
fn a_gap_between_two_runs_is_told_with_its_reason() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "500ms", &[]);
    std::thread::sleep(std::time::Duration::from_millis(600));
    record_for(&db, "500ms", &[]);
    let (json, _, _) = report(&place, &db);
    let gaps = json["recordings"][0]["gaps"].as_array().unwrap();
    assert!(
        gaps.iter()
            .any(|gap| gap["reason"] == "recorder: the duration is over"),
        "{gaps:?}"
    );
}
