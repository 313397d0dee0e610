//! A damaged copy in the hands of a person: what is said, and what is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::*;

#[test]
fn a_cut_copy_is_refused_with_the_command_that_helps_and_that_command_helps() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "3s", &["--label", "rig=7"]);
    let whole = ticks(&db);
    let bytes = fs::read(&db).unwrap();
    let cut = place.file("cut.db");
    fs::write(&cut, &bytes[..bytes.len() * 9 / 10]).unwrap();
    let report = place.file("report");
    for command in [
        analyze(&["info", &cut]),
        analyze(&["trends", &cut]),
        analyze(&["report", &cut, "--out", &report]),
    ] {
        let done = finish(command).expect(2);
        assert!(
            done.err().contains("memsoak-analyze salvage FILE OUT"),
            "{}",
            done.err()
        );
    }
    let out = place.file("salvaged.db");
    let told = finish(analyze(&["salvage", &cut, &out])).expect(0).out();
    assert!(
        told.contains("samples") && told.contains("missing"),
        "{told}"
    );
    let mode = fs::metadata(&out).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!((1..=whole).contains(&ticks(&out)));
    assert_eq!(ask::<String>(&out, "PRAGMA integrity_check"), "ok");
    let info = finish(analyze(&["info", &out])).expect(0).out();
    assert!(
        info.contains("damaged in the file that this one was salvaged from"),
        "{info}"
    );
    // What is there is not written over.
    finish(analyze(&["salvage", &cut, &out])).expect(2);
}

#[test]
fn what_is_scrubbed_names_neither_the_machine_nor_its_users() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "1s", &[]);
    let host: String = ask(&db, "SELECT name FROM host");
    let out = place.file("clean.db");
    finish(analyze(&["salvage", &db, &out, "--scrub"])).expect(0);
    let bytes = fs::read(&out).unwrap();
    let named = bytes
        .windows(host.len())
        .any(|window| window == host.as_bytes());
    assert!(!named || host.len() < 3, "{host} stands in it");
    let labels = "SELECT count(*) FROM entity WHERE labels ->> '$.uid' IS NOT NULL \
                  OR labels ->> '$.exe' IS NOT NULL";
    assert_eq!(ask::<i64>(&out, labels), 0);
    assert_eq!(ticks(&out), ticks(&db));
}
