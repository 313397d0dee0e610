//! A recording of this machine from its beginning to its end.

use std::os::unix::fs::PermissionsExt;

use memsoak_record::source::SOURCES;

use crate::support::*;

#[test]
fn every_source_is_sampled_and_told_of() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "3s", &["--label", "board=eva2"]);

    let mode = std::fs::metadata(&db).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let companions = [format!("{db}-wal"), format!("{db}-shm")];
    for companion in companions {
        assert!(!std::path::Path::new(&companion).exists(), "{companion}");
    }
    let names: Vec<&str> = SOURCES.iter().map(|source| source.spec.name).collect();
    let mut sampled = list(&db, "SELECT DISTINCT source FROM sample_at");
    let mut expected = names.clone();
    sampled.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sampled, expected);

    let status = finish(record(&["status", "--db", &db])).expect(0).out();
    let info = finish(analyze(&["info", &db])).expect(0).out();
    for name in names {
        assert!(status.contains(&format!("\n{name} ")), "{name}: {status}");
        assert!(info.contains(&format!("\n{name} ")), "{name}: {info}");
    }
    assert!(info.contains("eva2"), "{info}");

    // The planned moments are 0.0, 0.1 ... 2.9. A machine that is too busy misses some, and more
    // when it wakes up after the end, but each is accounted for.
    let planned: i64 = ask(&db, "SELECT count(*) + sum(missed) FROM tick");
    assert!(planned >= 30, "{planned} moments");
    let ended: String = ask(&db, "SELECT end_reason FROM run WHERE ended_us IS NOT NULL");
    assert_eq!(ended, "the duration is over");
    assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
}

#[test]
fn the_file_says_what_the_kernel_says() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "1s", &[]);
    let last = |source: &str, key: &str| -> i64 {
        ask(
            &db,
            &format!(
                "SELECT value FROM scalar_at WHERE source = '{source}' AND name = '{key}'
                 AND tick = (SELECT max(tick) FROM tick)"
            ),
        )
    };
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total: i64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .unwrap();
    assert_eq!(last("meminfo", "MemTotal"), total);

    // Two sources of one tick against each other: what the zones call free is on their free lists.
    let page_kib: i64 = ask(&db, "SELECT page_bytes / 1024 FROM boot");
    let free_of_zones: i64 = ask(
        &db,
        "SELECT sum(free_pages) FROM zoneinfo_at WHERE tick = 1",
    );
    let free_lists: i64 = ask(
        &db,
        "SELECT sum(free_order0 + 2 * free_order1 + 4 * free_order2 + 8 * free_order3
             + 16 * free_order4 + 32 * free_order5 + 64 * free_order6 + 128 * free_order7
             + 256 * free_order8 + 512 * free_order9 + 1024 * free_order10)
         FROM buddyinfo_at WHERE tick = 1",
    );
    let off = (free_of_zones - free_lists).abs() * page_kib;
    assert!(
        off < total / 20,
        "zones {free_of_zones}, free lists {free_lists}"
    );
    if list(
        &db,
        "SELECT status FROM sample_at WHERE source = 'slabinfo'",
    )
    .iter()
    .any(|status| status != "ok")
    {
        return skip("slabinfo cannot be read here, so it is not compared with Slab:");
    }
    let slab = last("meminfo", "Slab");
    let caches: i64 = ask(
        &db,
        "SELECT sum(slab_pages) FROM slabinfo_at WHERE tick = (SELECT max(tick) FROM slabinfo)",
    );
    let off = (caches * page_kib - slab).abs();
    assert!(
        off < slab / 10,
        "caches {} KiB, Slab: {slab} KiB",
        caches * page_kib
    );
}

#[test]
fn a_process_is_recorded_with_what_it_holds() {
    let place = Place::new();
    let db = place.file("soak.db");
    let udp = start_leak_lab(&place, b"holder", &["udp", "31", "600000"]);
    wait_until("31 sockets", || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", udp.pid()));
        fds.map_or(0, Iterator::count) >= 34
    });
    record_for(&db, "500ms", &[]);
    let fds: i64 = ask(
        &db,
        &format!(
            "SELECT fds FROM process_at WHERE tick = 1 AND name = 'holder' AND pid = {}",
            udp.pid()
        ),
    );
    // Three standard descriptors; what the test's runner hands down may come on top.
    assert!((34..44).contains(&fds), "{fds}");
}
