//! A recorder that is killed at random instants, again and again, on the same file.

use std::time::{Duration, Instant};

use crate::support::*;

/// How often; `MEMSOAK_KILLS=1000 cargo test --release --test e2e kills` is the long form.
fn kills() -> u64 {
    let asked = std::env::var("MEMSOAK_KILLS").ok();
    asked.map_or(20, |count| count.parse().unwrap())
}

/// After so many kills the next file begins: each run adds a whole picture, and the check takes
/// longer with each.
const KILLS_A_FILE: u64 = 25;

#[test]
fn killed_at_any_instant_it_loses_no_committed_tick_and_the_file_is_sound() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let started = Instant::now();
    let (mut all, mut inside, mut place) = (0, 0, Place::new());
    let mut kept = 0;
    for kill in 0..kills() {
        if kill > 0 && kill % KILLS_A_FILE == 0 {
            all += kept;
            kept = 0;
            place = Place::new();
        }
        let db = place.file("soak.db");
        let mut command = record(&["run", "--db", &db, "--interval", "100ms"]);
        command.args(["--cpu-budget", "100%", "--min-free", "0"]);
        let recorder = Running::start(command, &place.path().join("recorder.log"));
        // One of four is killed while it starts, the others some ticks later.
        if next(4) > 0 {
            wait_until("a tick", || ticks(&db) > kept);
        }
        std::thread::sleep(Duration::from_micros(next(400_000)));
        let committed = ticks(&db);
        let is_writing = std::fs::metadata(format!("{db}-wal")).is_ok();
        recorder.kill();
        inside += u64::from(is_writing);

        let aside = std::fs::read_dir(place.path()).unwrap().any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().contains("damaged")
        });
        assert!(!aside, "kill {kill}: a sound file was set aside");
        let now = ticks(&db);
        assert!(
            now >= committed,
            "kill {kill}: {now} of {committed} ticks are there"
        );
        kept = now;
        if now > 0 {
            assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
            assert_eq!(ask::<i64>(&db, "SELECT max(tick) - count(*) FROM tick"), 0);
        }
    }
    all += kept;
    say(&format!(
        "{} kills, {inside} of them with a log open, {all} ticks, {} s: none lost",
        kills(),
        started.elapsed().as_secs()
    ));
    assert!(all > 0);
}
