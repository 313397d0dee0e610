//! A disk that fills up under a recording.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::small_disk::SmallDisk;
use crate::support::*;

/// Writes until there is no room.
fn fill(disk: &SmallDisk) -> PathBuf {
    let path = disk.path().join("filler");
    let mut filler = fs::File::create(&path).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    path
}

#[test]
fn while_a_disk_is_full_ticks_wait_in_memory_and_none_is_lost_when_room_comes_back() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place, "8m") else {
        return;
    };
    let db = text(&disk.path().join("soak.db"));
    let mut recorder = start_recording(&place, &db, &["--min-free", "0"]);
    wait_for_ticks(&db, 5);
    let filler = fill(&disk);
    recorder.wait_to_say("a tick could not be written");
    let kept = ticks(&db);
    assert!(kept > 0);
    // Full for some more ticks: each waits, not each is told.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(recorder.is_alive());
    let said = recorder.said();
    assert_eq!(said.matches("could not be written").count(), 1, "{said}");
    assert!(said.contains("free some room"), "{said}");
    assert!(ticks(&db) >= kept, "nothing is lost");

    fs::remove_file(filler).unwrap();
    recorder.wait_to_say("recording again");
    wait_for_ticks(&db, 3);
    assert_eq!(recorder.terminate(), Some(0));

    assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
    assert_eq!(ask::<i64>(&db, "SELECT max(tick) - count(*) FROM tick"), 0);
    let held = list(&db, "SELECT text FROM event WHERE kind = 'held'");
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].contains("full"), "{held:?}");
    let waited: i64 = held[0].split(' ').next().unwrap().parse().unwrap();
    // A busy machine may be late for some, but the disk has cost none.
    assert!(waited >= 5, "{held:?}");
    assert_eq!(
        ask::<i64>(&db, "SELECT count(*) FROM event WHERE kind = 'gap'"),
        0
    );
    let (json, _, _) = report(&place, &db);
    let events = json["events"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["kind"] == "held"),
        "{events:?}"
    );
}

#[test]
fn the_room_that_is_to_be_left_free_is_left_and_recording_goes_on_when_there_is_more() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place, "16m") else {
        return;
    };
    let db = text(&disk.path().join("soak.db"));
    let mut recorder = start_recording(&place, &db, &["--min-free", "4MiB"]);
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![0; 11 << 20]).unwrap();
    recorder.wait_to_say("a tick could not be written");
    let said = recorder.said();
    assert!(said.contains("--min-free; free some room"), "{said}");
    let free = || {
        let disk = rustix::fs::statvfs(disk.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    let before = free();
    std::thread::sleep(std::time::Duration::from_millis(1000));
    assert_eq!(free(), before, "nothing is written meanwhile");
    fs::remove_file(filler).unwrap();
    recorder.wait_to_say("recording again");
    assert_eq!(recorder.terminate(), Some(0));
    assert_eq!(ask::<i64>(&db, "SELECT max(tick) - count(*) FROM tick"), 0);
}
