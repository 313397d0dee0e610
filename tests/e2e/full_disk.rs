//! A disk that fills up under a recording.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::support::*;

/// A small file system of its own, unmounted when the test is over.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(place: &Place, size: &str) -> Option<Self> {
        let path = place.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .output();
        mounted
            .is_ok_and(|done| done.status.success())
            .then_some(Self { path })
    }

    /// Writes until there is no room.
    fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut filler = fs::File::create(&path).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[test]
fn a_full_disk_makes_a_gap_and_recording_goes_on_when_room_comes_back() {
    if !is_root() {
        return skip("only root can mount a small disk to fill");
    }
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place, "6m") else {
        return skip("no file system can be mounted here");
    };
    let db = text(&disk.path.join("soak.db"));
    let mut recorder = start_recording(&place, &db, &[]);
    wait_for_ticks(&db, 5);
    let filler = disk.fill();
    recorder.wait_to_say("a tick could not be written");
    let kept = ticks(&db);
    assert!(kept > 0);
    // Full for some more ticks: each is lost, not each is told.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(recorder.is_alive());
    let said = recorder.said();
    assert_eq!(said.matches("level=warn").count(), 1, "{said}");
    assert!(said.contains("free some room"), "{said}");
    assert!(ticks(&db) >= kept, "nothing is lost");

    fs::remove_file(filler).unwrap();
    recorder.wait_to_say("recording again");
    wait_for_ticks(&db, 3);
    assert_eq!(recorder.terminate(), Some(0));

    assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
    assert!(ticks(&db) >= kept + 3);
    assert_eq!(ask::<i64>(&db, "SELECT max(tick) - count(*) FROM tick"), 0);
    let gaps = list(&db, "SELECT text FROM event WHERE kind = 'gap'");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].contains("full"), "{gaps:?}");
    let told: i64 = gaps[0].split(' ').next().unwrap().parse().unwrap();
    let missed: i64 = ask(
        &db,
        "SELECT missed FROM tick JOIN event USING (boottime_us) WHERE kind = 'gap'",
    );
    assert!(told >= 1 && missed >= told, "{told} lost, {missed} missed");
    let (json, _, _) = report(&place, &db);
    let events = json["events"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["kind"] == "gap"),
        "{events:?}"
    );
    let reported = json["recordings"][0]["gaps"].as_array().unwrap();
    assert!(!reported.is_empty());
}
