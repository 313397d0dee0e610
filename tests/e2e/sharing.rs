//! What no process' resident memory shows, and what the kernel's log says.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::support::*;

#[test]
fn a_deleted_file_on_tmpfs_is_recorded_with_who_holds_it() {
    let path = Path::new("/dev/shm").join(format!("memsoak-held-{}", std::process::id()));
    let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(&path) else {
        return skip("there is no /dev/shm to write to");
    };
    fs::remove_file(&path).unwrap();
    file.write_all(&vec![7; 3 << 20]).unwrap();
    let place = Place::new();
    let db = place.file("soak.db");
    // A machine with very many descriptors is looked at in several samples.
    record_for(&db, "2s", &["--every", "shm=100ms"]);
    let sql = format!(
        "SELECT DISTINCT files || ' ' || kind || ' ' || bytes FROM shm_at
         WHERE pid = {} AND file = '/dev/shm/memsoak-held-#'",
        std::process::id()
    );
    assert_eq!(list(&db, &sql), ["1 deleted 3145728"]);
}

#[test]
fn a_report_in_the_kernels_log_is_an_event_with_its_details() {
    let place = Place::new();
    let root = place.path().join("machine");
    fs::create_dir_all(root.join("dev")).unwrap();
    fs::create_dir_all(root.join("proc")).unwrap();
    let capture = repo().join("tests/fixtures/captures/6.12-x86_64-debian/t0/proc");
    fs::copy(capture.join("meminfo"), root.join("proc/meminfo")).unwrap();
    let log = root.join("dev/kmsg");
    let logs = repo().join("tests/fixtures/logs");
    fs::copy(logs.join("6.1-x86_64-pageowner-kmemleak.kmsg"), &log).unwrap();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &["--root", &text(&root)]);
    wait_for_ticks(&db, 2);
    let more = fs::read(logs.join("6.1-x86_64-pageowner-oom.kmsg")).unwrap();
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(&more).unwrap();
    wait_for_ticks(&db, 5);
    assert_eq!(recorder.terminate(), Some(0));

    // What was logged before is not of this recording.
    let kinds = list(
        &db,
        "SELECT kind FROM event WHERE source = 'kmsg' ORDER BY event",
    );
    let expected = ["alloc_failure"; 3].into_iter().chain(["oom_kill"; 2]);
    assert_eq!(kinds, expected.collect::<Vec<_>>());
    let victim = list(
        &db,
        "SELECT data ->> '$.victim_comm' || ' ' || (data ->> '$.victim_pid') || ' ' ||
                (data ->> '$.anon_rss_kib') || ' ' || (text LIKE '%Mem-Info:%')
         FROM event WHERE data ->> '$.constraint' = 'CONSTRAINT_NONE'",
    );
    assert_eq!(victim, ["hog 162 414912 1"]);
    let outside: i64 = ask(
        &db,
        "SELECT count(*) FROM event WHERE source = 'kmsg' AND boottime_us NOT BETWEEN
             (SELECT min(boottime_us) FROM tick) AND (SELECT max(boottime_us) FROM tick)",
    );
    assert_eq!(outside, 0, "events lie on the axis of the ticks");
}
