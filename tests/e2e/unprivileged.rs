//! Recording as a user who may read little.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::*;

#[test]
fn what_a_user_may_not_read_is_a_state_with_a_reason() {
    let place = Place::new();
    let folder = place.path().join("open");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let db = text(&folder.join("soak.db"));
    let args = [
        "run",
        "--db",
        &db,
        "--interval",
        "100ms",
        "--duration",
        "2s",
        "--cpu-budget",
        "100%",
    ];
    let command = if is_root() {
        match as_nobody(&place, &args) {
            Some(command) => command,
            None => return skip("setpriv is not here to become another user"),
        }
    } else {
        record(&args)
    };
    finish(command).expect(0);

    let (json, markdown, _) = report(&place, &db);
    for source in ["slabinfo", "vmallocinfo", "pagetypeinfo"] {
        let states = list(
            &db,
            &format!("SELECT DISTINCT status FROM sample_at WHERE source = '{source}'"),
        );
        assert_eq!(states, ["unavailable"], "{source}");
        let entry = coverage(&json, source);
        assert_eq!(entry["status"], "unavailable", "{entry}");
        assert_eq!(entry["ticks_ok"], 0, "{entry}");
        let reason = entry["reason"].as_str().unwrap();
        assert!(reason.contains("permission denied"), "{reason}");
        assert!(reason.contains("needs"), "{reason}");
        assert!(
            markdown.contains(&format!("proc/{source}: permission denied")),
            "{markdown}"
        );
    }
    for source in ["meminfo", "vmstat", "zoneinfo", "process", "recorder"] {
        let entry = coverage(&json, source);
        assert_eq!(entry["status"], "ok", "{entry}");
    }
    let own: i64 = ask(
        &db,
        "SELECT count(*) FROM process_at WHERE tick = 1 AND pid = (SELECT pid FROM run) AND fds > 3",
    );
    assert_eq!(own, 1, "its own descriptors are counted");
    let others: i64 = ask(
        &db,
        "SELECT count(*) FROM process_at WHERE tick = 1 AND pid = 1",
    );
    assert_eq!(others, 1, "other users' processes are recorded");
    let wrong: i64 = ask(
        &db,
        "SELECT count(*) FROM process_at WHERE tick = 1 AND fds = 0 AND pid = 1",
    );
    assert_eq!(wrong, 0, "what may not be counted is no zero");
}
