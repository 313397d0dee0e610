//! A recording that is damaged when a recorder starts, and one that somebody else has.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use crate::support::*;

/// Records after the file was damaged, and looks at what became of it.
fn is_set_aside(damage: impl Fn(&fs::File)) {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    wait_for_ticks(&db, 5);
    recorder.kill();
    let kept = ticks(&db);
    // The log is what a crash leaves; brought in, all of it is in one file.
    rusqlite::Connection::open(&db)
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&db).unwrap();
    damage(&file);
    let spoilt = fs::read(&db).unwrap();

    let done = record_for(&db, "500ms", &[]);
    assert!(done.err().contains("was set aside"), "{}", done.err());
    let aside: Vec<String> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| text(&entry.unwrap().path()))
        .filter(|name| name.contains("soak.db.damaged-") && name.ends_with("-1.db"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::read(&aside[0]).unwrap(), spoilt, "it is as it was");
    assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
    assert!(kept > 0 && ask::<i64>(&db, "SELECT min(tick) FROM tick") == 1);
    let told = list(&db, "SELECT text FROM event WHERE kind = 'set_aside'");
    assert!(told[0].starts_with("soak.db.damaged-"), "{told:?}");
    // And the new one is continued as any other.
    record_for(&db, "300ms", &[]);
    assert_eq!(ask::<i64>(&db, "SELECT count(*) FROM run"), 2);
}

#[test]
fn a_recording_without_its_first_page_is_set_aside_and_a_new_one_begun() {
    is_set_aside(|file| file.write_all_at(&[0; 1024], 0).unwrap());
}

#[test]
fn a_recording_that_was_cut_off_is_set_aside_and_a_new_one_begun() {
    is_set_aside(|file| file.set_len(file.metadata().unwrap().len() / 2).unwrap());
}

#[test]
fn a_recording_with_a_spoilt_page_in_its_middle_is_set_aside_after_a_crash() {
    is_set_aside(|file| {
        let pages = file.metadata().unwrap().len() / 1024;
        for page in pages / 2..pages / 2 + 16 {
            file.write_all_at(&[0xa5; 1024], page * 1024).unwrap();
        }
    });
}

#[test]
fn of_recorders_that_create_one_file_at_the_same_instant_one_records() {
    let place = Place::new();
    for round in 0..5 {
        let db = place.file(&format!("soak{round}.db"));
        let start = |_| {
            record(&[
                "run",
                "--db",
                &db,
                "--interval",
                "100ms",
                "--duration",
                "800ms",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
        };
        let all: Vec<_> = (0..4).map(start).collect();
        let ends: Vec<_> = all
            .into_iter()
            .map(|recorder| recorder.wait_with_output().unwrap())
            .collect();
        let mut good = 0;
        for end in &ends {
            let said = String::from_utf8_lossy(&end.stderr);
            match end.status.code() {
                Some(0) => good += 1,
                Some(2) => assert!(said.contains("is being recorded by"), "{said}"),
                code => panic!("{code:?} {said}"),
            }
        }
        assert_eq!(good, 1, "{ends:?}");
        assert_eq!(ask::<i64>(&db, "SELECT count(*) FROM run"), 1);
        assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn a_recorder_in_another_pid_namespace_is_seen_to_be_alive() {
    if !is_root() {
        return skip("only root can make a pid namespace");
    }
    let place = Place::new();
    let db = place.file("soak.db");
    let inner = record(&["run", "--db", &db, "--interval", "100ms"]);
    let mut outer = Command::new("unshare");
    outer
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(inner.get_program())
        .args(inner.get_args());
    let possible = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .output();
    if !possible.is_ok_and(|done| done.status.success()) {
        return skip("no pid namespace can be made here");
    }
    let mut recorder = Running::start(outer, &place.path().join("recorder.log"));
    recorder.wait_to_say("event=recording");
    wait_for_ticks(&db, 3);
    let second = finish(record(&["run", "--db", &db, "--duration", "1s"])).expect(2);
    assert!(
        second.err().contains("is being recorded by process"),
        "{}",
        second.err()
    );
    wait_for_ticks(&db, 3);
    recorder.kill();
}
