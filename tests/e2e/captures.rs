//! Captured machines as the root that is recorded.

use std::fs;
use std::path::PathBuf;

use crate::support::*;

pub(crate) fn captures() -> Vec<(String, PathBuf, String)> {
    let folder = repo().join("tests/fixtures/captures");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("t0").is_dir())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let manifest = fs::read_to_string(path.join("MANIFEST.toml")).unwrap();
            (name, path.join("t0"), manifest)
        })
        .collect();
    found.sort();
    assert!(found.len() >= 8, "{found:?}");
    found
}

fn manifest_number(manifest: &str, key: &str) -> i64 {
    let line = manifest.lines().find(|line| line.starts_with(key)).unwrap();
    line.rsplit('=').next().unwrap().trim().parse().unwrap()
}

fn number_in(text: &str, key: &str) -> i64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The classes and the rest are MemTotal to the byte, and the rest is what a kernel at rest takes for
/// itself: not below zero, which would be something counted twice, and not a large part: 6.6 % under
/// KASAN, whose shadow pages no counter has.
fn the_ledger_adds_up(name: &str, ledger: &serde_json::Value) {
    let total = ledger["total"].as_f64().unwrap();
    let rest = ledger["unaccounted"]["last"].as_f64().unwrap();
    let classes = ledger["classes"].as_array().unwrap();
    let used: f64 = classes
        .iter()
        .map(|class| class["last"].as_f64().unwrap())
        .sum();
    assert!(
        (used + rest - total).abs() < 1.0,
        "{name}: {used} + {rest} is not {total}"
    );
    assert!(
        rest >= 0.0 && rest < 0.07 * total,
        "{name}: {rest} of {total}"
    );
}

#[test]
fn a_captured_machine_is_recorded_as_it_was() {
    let place = Place::new();
    for (name, root, manifest) in captures() {
        let db = place.file(&format!("{name}.db"));
        record_for(&db, "1s", &["--root", &text(&root)]);

        let page_bytes: i64 = ask(&db, "SELECT page_bytes FROM boot");
        assert_eq!(
            page_bytes,
            manifest_number(&manifest, "page_bytes"),
            "{name}"
        );
        let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap();
        for key in ["MemTotal", "MemFree", "Slab"] {
            let recorded: i64 = ask(
                &db,
                &format!(
                    "SELECT value FROM scalar_at
                     WHERE tick = 1 AND source = 'meminfo' AND name = '{key}'"
                ),
            );
            assert_eq!(
                recorded,
                number_in(&meminfo, &format!("{key}:")),
                "{name} {key}"
            );
        }
        for (source, path) in [
            ("slabinfo", "proc/slabinfo"),
            ("buddyinfo", "proc/buddyinfo"),
            ("zoneinfo", "proc/zoneinfo"),
            ("pagetypeinfo", "proc/pagetypeinfo"),
            ("vmallocinfo", "proc/vmallocinfo"),
        ] {
            let rows: i64 = ask(
                &db,
                &format!("SELECT count(*) FROM {source}_at WHERE tick = 1"),
            );
            assert_eq!(rows > 0, root.join(path).exists(), "{name} {source}");
        }
        let processes: i64 = ask(&db, "SELECT count(*) FROM process_at WHERE tick = 1");
        assert!(processes > 0, "{name}: no process of the capture");
        let pid: i64 = ask(&db, "SELECT pid FROM run");
        let own: i64 = ask(
            &db,
            &format!("SELECT count(*) FROM process_at WHERE tick = 1 AND pid = {pid}"),
        );
        assert_eq!(own, 0, "{name}: the recorder is not of that machine");

        // A standing picture has no trend, and what is missing is a state.
        let info = finish(analyze(&["info", &db])).expect(0).out();
        assert!(
            info.contains(&format!("pages of {page_bytes} bytes")),
            "{info}"
        );
        let (json, _, _) = report(&place, &db);
        assert_eq!(json["findings"], serde_json::json!([]), "{name}");
        the_ledger_adds_up(&name, &json["ledger"]);
    }
}

#[test]
fn two_machines_do_not_get_into_one_file() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "300ms", &[]);
    let capture = text(&repo().join("tests/fixtures/captures/6.12-arm64-16k/t0"));
    let done = finish(record(&[
        "run",
        "--db",
        &db,
        "--duration",
        "1s",
        "--root",
        &capture,
    ]));
    let done = done.expect(2);
    assert!(done.err().contains("another machine"), "{}", done.err());
}
