//! The N-th call on the file fails, for every N until none does: what was recorded stays, the file is
//! sound, and what had to wait is told.
//!
//! A library of calls that fail is built with the C compiler that SQLite needs anyway, and preloaded
//! into the real recorder, so that what fails is what a sick disk makes fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

/// Linux's numbers (errno.h); the same on all architectures.
const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;

/// Every N with every error takes minutes: `MEMSOAK_FAULTS=all cargo test --test e2e faults`.
/// Otherwise the errors take turns, and later calls are tried at some distance.
fn all() -> bool {
    std::env::var_os("MEMSOAK_FAULTS").is_some()
}

/// A recording of three ticks, and the library.
struct Lab {
    place: Place,
    library: PathBuf,
    base: String,
}

impl Lab {
    fn new() -> Option<Self> {
        let place = Place::new();
        let library = build(&place)?;
        let base = place.file("base.db");
        finish(run(&base, "250ms")).expect(0);
        Some(Self {
            place,
            library,
            base,
        })
    }

    /// Continues a copy of the recording while calls fail. Returns whether one did.
    fn fail(&self, kind: &str, errno: i32, at: u32, times: u32) -> bool {
        let folder = self.place.path().join(format!("{kind}-{errno}-{at}"));
        fs::create_dir(&folder).unwrap();
        let db = text(&folder.join("case.db"));
        let mark = folder.join("mark");
        fs::copy(&self.base, &db).unwrap();
        let mut command = run(&db, "450ms");
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAIL_KIND", kind)
            .env("FAIL_ERRNO", errno.to_string())
            .env("FAIL_AT", at.to_string())
            .env("FAIL_TIMES", times.to_string())
            .env("FAIL_MARK", &mark);
        let done = finish(command);
        let what = format!("{kind} {at} with {errno}: {}", done.err());
        assert!(matches!(done.code, Some(0 | 2)), "{what}");

        let found = self.look(&folder, &db, &what);
        let waited = done.err().contains("a tick could not be written");
        if waited && done.code == Some(0) {
            let told: i64 = ask(
                &db,
                "SELECT count(*) FROM event WHERE kind IN ('held', 'set_aside')",
            );
            assert!(told > 0, "what waited is told: {what}");
        }
        // Without faults it goes on.
        finish(run(&db, "150ms")).expect(0);
        assert!(self.look(&folder, &db, &what) > found, "{what}");
        let failed = mark.exists();
        fs::remove_dir_all(folder).unwrap();
        failed
    }

    /// Looks at what is there, and returns how many ticks the file holds.
    fn look(&self, folder: &Path, db: &str, what: &str) -> i64 {
        let names = fs::read_dir(folder).unwrap();
        let aside = names
            .map(|entry| text(&entry.unwrap().path()))
            .find(|name| name.contains("damaged") && name.ends_with(".db"));
        let first = aside.as_deref().unwrap_or(db);
        assert_eq!(self.missing(first), 0, "rows are gone: {what}");
        for file in [first, db] {
            if !Path::new(file).exists() {
                continue; // it could not even be begun anew
            }
            assert_eq!(
                ask::<String>(file, "PRAGMA integrity_check"),
                "ok",
                "{what}"
            );
            if ticks(file) > 0 {
                let holes = "SELECT max(tick) - count(*) FROM tick";
                assert_eq!(ask::<i64>(file, holes), 0, "{what}");
            }
        }
        ticks(first) + aside.map_or(0, |_| ticks(db))
    }

    /// Rows of the recording as it was that are not in a file.
    fn missing(&self, file: &str) -> i64 {
        let db = database(file);
        db.execute("ATTACH ? AS base", [&self.base]).unwrap();
        let mut names = db
            .prepare("SELECT name FROM base.sqlite_schema WHERE type = 'table'")
            .unwrap();
        let names: Vec<String> = names
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(names.len() > 20, "{names:?}");
        let missing = |name: &String| -> i64 {
            let sql = format!(
                "SELECT count(*) FROM (SELECT * FROM base.{name} EXCEPT SELECT * FROM main.{name})"
            );
            db.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        names.iter().map(missing).sum()
    }
}

/// Builds the library of calls that fail.
fn build(place: &Place) -> Option<PathBuf> {
    let library = place.path().join("failing_calls.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(repo().join("tests/support/failing_calls.c"))
        .status();
    built.is_ok_and(|done| done.success()).then_some(library)
}

/// Records a captured machine: the same calls each time.
fn run(db: &str, duration: &str) -> Command {
    let root = text(&repo().join("tests/fixtures/captures/6.12-x86_64-debian/t0"));
    let mut command = record(&["run", "--db", db, "--interval", "100ms", "--root", &root]);
    command.args([
        "--duration",
        duration,
        "--cpu-budget",
        "100%",
        "--min-free",
        "0",
    ]);
    command
}

/// Which N are tried after one.
fn next(at: u32) -> u32 {
    if all() || at < 8 {
        at + 1
    } else {
        at + 1 + at / 4
    }
}

/// Every N until the N-th call is never made; returns the number of calls that failed.
fn until_success(lab: &Lab, kind: &str, errors: &[i32], times: u32) -> u32 {
    let (mut at, mut failed) = (1, 0);
    loop {
        let turn = usize::try_from(failed).unwrap() % errors.len();
        let errors = if all() { errors } else { &errors[turn..=turn] };
        let mut any = false;
        for errno in errors {
            any |= lab.fail(kind, *errno, at, times);
        }
        if !any {
            say(&format!("{kind}: {failed} calls, the last one before {at}"));
            return failed;
        }
        failed += 1;
        at = next(at);
    }
}

#[test]
fn whichever_write_or_sync_fails_nothing_recorded_is_lost() {
    let Some(lab) = Lab::new() else {
        return skip("there is no C compiler");
    };
    assert!(until_success(&lab, "write", &[ENOSPC, EIO, EROFS], 1) > 10);
}

#[test]
fn whichever_lock_is_held_by_somebody_nothing_recorded_is_lost() {
    let Some(lab) = Lab::new() else {
        return skip("there is no C compiler");
    };
    assert!(until_success(&lab, "lock", &[0], 1) > 10);
    // Longer than SQLite waits: its own word for it comes out.
    for at in [1, 20, 60] {
        lab.fail("lock", 1, at, 90);
    }
}

#[test]
fn whichever_page_is_read_as_garbage_nothing_recorded_is_lost() {
    let Some(lab) = Lab::new() else {
        return skip("there is no C compiler");
    };
    assert!(until_success(&lab, "read", &[0], 1) > 10);
}

#[test]
fn a_slow_disk_costs_no_tick_and_a_mark_gets_in() {
    let place = Place::new();
    let Some(library) = build(&place) else {
        return skip("there is no C compiler");
    };
    let db = place.file("case.db");
    // A new file is made before disks become slow.
    record_for(&db, "150ms", &[]);
    let before = ticks(&db);
    let mut command = record(&["run", "--db", &db, "--interval", "100ms"]);
    command
        .args(["--duration", "7s", "--cpu-budget", "100%"])
        .env("LD_PRELOAD", &library)
        .env("FAIL_KIND", "slow")
        .env("FAIL_MS", "1500");
    let mut recorder = Running::start(command, &place.path().join("recorder.log"));
    recorder.wait_to_say("event=recording");
    finish(record(&["mark", "--db", &db, "meanwhile"])).expect(0);
    wait_until("the end", || !recorder.is_alive());
    assert_eq!(recorder.close_input(), Some(0));
    // Seven seconds have room for five such commits; ticks share them.
    assert!(ticks(&db) - before > 20, "{} ticks", ticks(&db) - before);
    assert_eq!(ask::<i64>(&db, "SELECT max(tick) - count(*) FROM tick"), 0);
    assert_eq!(ask::<String>(&db, "PRAGMA integrity_check"), "ok");
}
