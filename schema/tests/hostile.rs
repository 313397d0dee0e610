//! A recording from a stranger: what its tables, numbers and texts say is bounded or refused, and
//! reading it ends.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use memsoak_schema::{Recording, Rows, Status, TickCost, Value, Writer};
use support::{SWAPS, at, begin, sampled};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A small recording, and what a stranger did to it.
    fn with(sql: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        record(&place.file());
        let db = rusqlite::Connection::open(place.file()).unwrap();
        db.execute_batch(&format!("PRAGMA writable_schema = 1; {sql}"))
            .unwrap();
        db.close().unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("soak.db")
    }

    /// What reading everything of it says.
    fn read(&self) -> String {
        let read = Recording::open(&self.file()).and_then(|file| {
            file.verify()?;
            file.hosts()?;
            file.boots()?;
            file.ticks()?;
            file.wall_clock()?;
            file.events()?;
            file.plans()?;
            file.reasons()?;
            file.scan_samples(|_| {})?;
            for source in file.sources()? {
                let metrics: Vec<_> = source.metrics.iter().collect();
                file.scan_names(source.source, |_, _, _, _| {})?;
                file.scan_entities(&source, &metrics, None, &(0..=i64::MAX), |_, _, values| {
                    assert!(values.iter().all(|value| !value.is_infinite()));
                })?;
            }
            Ok(())
        });
        read.map_or_else(|error| error.to_string(), |()| "read".to_owned())
    }
}

fn record(path: &Path) {
    let writer = Writer::open_for_import(path).unwrap();
    let mut writer = begin(writer, "b1", &[&SWAPS]);
    for tick in 1..=60 {
        writer.begin_tick(at(tick)).unwrap();
        let mut rows = Rows::default();
        for area in 0..40 {
            let name = format!("/dev/zram{area}");
            let values = [Value::Int(1000), Value::Int(tick * area), Value::Null];
            rows.entity(name.as_bytes(), name.as_bytes(), &values);
        }
        let state = sampled(Status::Ok);
        writer.write_sample(0, &state, Some(&rows)).unwrap();
        writer.commit_tick(TickCost::default()).unwrap();
    }
    writer.end_run(60_000_000, "stopped").unwrap();
}

#[test]
fn what_a_recorder_wrote_is_read() {
    assert_eq!(Place::with("").read(), "read");
    // An index or a view of his own is anybody's right.
    let own = "CREATE INDEX mine ON event (kind); CREATE VIEW my_ticks AS SELECT * FROM tick;";
    assert_eq!(Place::with(own).read(), "read");
}

#[test]
fn tables_that_are_not_ours_are_not_read() {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    for (what, sql) in [
        (
            "a view in the place of a table",
            format!(
                "DROP TABLE reason; CREATE VIEW reason AS {endless} SELECT i AS reason, i AS text FROM n;"
            ),
        ),
        (
            "a column that computes",
            "DROP TABLE tick; CREATE TABLE tick (tick INTEGER PRIMARY KEY, run, \
             boottime_us AS (length(hex(zeroblob(100000000)))), late_us, missed, took_us, cpu_us);"
                .to_owned(),
        ),
        (
            "a source that is a view",
            format!(
                "CREATE VIEW evil AS {endless} SELECT i AS id FROM n; UPDATE source SET name = 'evil';"
            ),
        ),
        (
            "a source that is a statement",
            "UPDATE source SET name = 'swaps; DROP TABLE tick';".to_owned(),
        ),
        (
            "a metric that is one",
            "UPDATE metric SET name = 'id FROM swaps; --' WHERE metric = 1;".to_owned(),
        ),
        ("no such table", "DROP TABLE event;".to_owned()),
    ] {
        let said = Place::with(&sql).read();
        assert!(
            said.contains("memsoak-analyze salvage FILE OUT"),
            "{what}: {said}"
        );
    }
}

#[test]
fn numbers_that_no_recorder_writes_are_refused() {
    for sql in [
        "UPDATE tick SET boottime_us = 9223372036854775807 WHERE tick = 30;",
        "UPDATE tick SET boottime_us = -9223372036854775808;",
        "UPDATE tick SET tick = 9223372036854775807 WHERE tick = 60;",
        "UPDATE tick SET missed = 9223372036854775807;",
        "UPDATE tick SET boottime_us = 1 WHERE tick = 30;",
        "UPDATE boot SET page_bytes = 4294967295;",
        "UPDATE run SET interval_us = 9223372036854775807;",
        "UPDATE wall_clock SET offset_us = 9223372036854775807;",
        "UPDATE entity SET entity = -5 WHERE entity = 5;",
        "UPDATE entity SET entity = 1 << 40 WHERE entity = 5;",
        "UPDATE metric SET metric = 1 << 40 WHERE metric = 1;",
        "UPDATE sample SET read_us = -9223372036854775808;",
    ] {
        let said = Place::with(sql).read();
        assert!(
            said.contains("memsoak-analyze salvage FILE OUT"),
            "{sql} {said}"
        );
    }
}

#[test]
fn a_text_longer_than_any_that_is_written_is_refused() {
    let sql = "INSERT INTO event (boot, boottime_us, kind, text) \
               VALUES (1, 1, 'mark', CAST(zeroblob(20000000) AS TEXT));";
    let said = Place::with(sql).read();
    assert!(said.contains("memsoak-analyze salvage FILE OUT"), "{said}");
}

#[test]
fn pages_that_name_one_another_in_a_ring_do_not_go_on_for_ever() {
    let place = Place::with("");
    let bytes = fs::read(place.file()).unwrap();
    let mut refused = 0;
    // Each inner page of a table in turn: all of its children become the first of them.
    for page in 1..bytes.len() / 1024 {
        let at = page * 1024;
        if bytes[at] != 0x05 {
            continue;
        }
        let mut ring = bytes.clone();
        let count = usize::from(u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]));
        let child = |cell: usize| {
            let pointer = at + 12 + 2 * cell;
            at + usize::from(u16::from_be_bytes([bytes[pointer], bytes[pointer + 1]]))
        };
        let first = bytes[child(0)..child(0) + 4].to_vec();
        for cell in 1..count {
            ring[child(cell)..child(cell) + 4].copy_from_slice(&first);
        }
        ring[at + 8..at + 12].copy_from_slice(&first);
        fs::write(place.file(), &ring).unwrap();
        refused += usize::from(place.read() != "read");
    }
    assert!(refused > 0, "no table of the recording has inner pages");
}

#[test]
fn text_from_a_file_steers_no_terminal() {
    let place = Place::with(
        "UPDATE boot SET kernel = char(27) || '[2J', boot_id = char(27) || ']0;x';
         UPDATE run SET program = char(155) || '5m', end_reason = 'a' || char(13, 10) || 'b';
         UPDATE host SET arch = char(8238) || 'x', name = x'1b5b41ff';
         UPDATE source SET needs = char(7), paths = char(27);
         UPDATE metric SET part_of = char(27);
         INSERT INTO event (boot, boottime_us, kind, source, text) VALUES (1, 1, char(27), char(27), char(27));
         INSERT INTO reason (text) VALUES (char(27));",
    );
    let file = Recording::open(&place.file()).unwrap();
    let all = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        file.hosts().unwrap()[0].name,
        file.hosts().unwrap()[0].arch,
        file.boots().unwrap(),
        file.runs().unwrap(),
        file.events().unwrap(),
        (file.sources().unwrap(), file.reasons().unwrap()),
    );
    // Escaped once when read, and by the debug form once more: an escape of its own has one backslash.
    assert!(!all.replace("\\\\", "").contains('\\'), "{all}");
    assert!(all.contains("u{1b}"), "{all}");
}
