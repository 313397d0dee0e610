//! What the writer promises when things go wrong or become too large: a transaction that fails leaves
//! no trace, and a thinned recording says the same as the whole one wherever it still says something.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::Path;

use memsoak_schema::{Label, Recording, Rows, Status, TickCost, TickTime, Value, Writer, salvage};
use rusqlite::Connection;
use support::{MEMINFO, SWAPS, at, sampled};

fn begin(path: &Path) -> Writer {
    let writer = Writer::open_for_import(path).unwrap();
    support::begin(writer, "b1", &[&MEMINFO, &SWAPS])
}

/// Swap areas of which only some are named; those that stay away are unchanged.
fn changes(areas: &[(&str, i64)], gone: &[&str]) -> Rows {
    let mut rows = Rows::default();
    rows.set_incremental();
    fill(&mut rows, areas);
    for name in gone {
        rows.gone(name.as_bytes());
    }
    rows
}

fn whole(areas: &[(&str, i64)]) -> Rows {
    let mut rows = Rows::default();
    fill(&mut rows, areas);
    rows
}

fn fill(rows: &mut Rows, areas: &[(&str, i64)]) {
    for (name, used) in areas {
        let values = [Value::Int(1000), Value::Int(*used), Value::Null];
        rows.entity(name.as_bytes(), name.as_bytes(), &values);
        rows.label("used", Label::Int(*used));
    }
}

fn list(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn number(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

const STORED: &str = "SELECT tick || ' ' || name || ' ' || coalesce(used_kib, 'gone') \
                      FROM swaps JOIN entity USING (entity) ORDER BY id";

#[test]
fn ticks_that_failed_can_be_written_again_though_they_hold_only_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path);
    let ok = sampled(Status::Ok);
    writer.begin_tick(at(1)).unwrap();
    let all = whole(&[("a", 1), ("b", 1), ("c", 1)]);
    writer.write_sample(1, &ok, Some(&all)).unwrap();
    writer.commit_tick(TickCost::default()).unwrap();

    let second = changes(&[("b", 2), ("d", 2)], &["a"]);
    let third = changes(&[("d", 3)], &["b"]);
    for fails in [true, true, false] {
        writer.begin_tick(at(2)).unwrap();
        writer.write_sample(1, &ok, Some(&second)).unwrap();
        writer.finish_tick(TickCost::default()).unwrap();
        writer.begin_tick_after(2, at(5)).unwrap();
        writer.write_sample(1, &ok, Some(&third)).unwrap();
        writer.finish_tick(TickCost::default()).unwrap();
        if fails {
            writer.rollback_tick();
        } else {
            writer.commit().unwrap();
        }
    }
    writer.end_run(9, "over").unwrap();
    let db = Connection::open(&path).unwrap();
    // Two were left out before the last one: their numbers are not given to it.
    let expected = [
        "1 a 1", "1 b 1", "1 c 1", "2 a gone", "2 b 2", "2 d 2", "5 b gone", "5 d 3",
    ];
    assert_eq!(list(&db, STORED), expected);
    assert_eq!(number(&db, "SELECT count(*) FROM entity"), 4);
    let labels = list(&db, "SELECT name || labels FROM entity WHERE name = 'd'");
    assert_eq!(labels, ["d{\"used\":3}"]);
}

#[test]
fn changes_without_the_picture_that_they_change_are_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path);
    let ok = sampled(Status::Ok);
    for (second, rows) in [(1, changes(&[("a", 1)], &[])), (2, whole(&[("a", 2)]))] {
        writer.begin_tick(at(second)).unwrap();
        writer.write_sample(1, &ok, Some(&rows)).unwrap();
        writer.commit_tick(TickCost::default()).unwrap();
    }
    writer.end_run(9, "over").unwrap();
    let db = Connection::open(&path).unwrap();
    assert_eq!(list(&db, STORED), ["2 a 2"]);
    let states = list(
        &db,
        "SELECT tick || ' ' || status FROM sample_at ORDER BY tick",
    );
    assert_eq!(states, ["1 skipped", "2 ok"]);
}

/// A made-up machine: things come, change, go, are not obtained, and a run ends in the middle.
fn record(path: &Path, ticks: i64, most_bytes: Option<u64>) -> Connection {
    let mut random = 7_u64;
    let mut next = |below: i64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33).cast_signed() % below
    };
    let names: Vec<String> = (0..40).map(|name| format!("area{name}")).collect();
    let mut used: Vec<Option<i64>> = vec![Some(0); names.len()];
    let mut writer = begin(path);
    for second in 1..=ticks {
        if second == ticks / 3 {
            writer.end_run(second, "over").unwrap();
            writer = begin(path);
            used.truncate(30);
            used.resize(names.len(), None);
        }
        for _ in 0..4 {
            let at = usize::try_from(next(40)).unwrap();
            used[at] = (next(5) > 0).then(|| next(1000));
        }
        let missed = i64::from(next(50) == 0);
        let time = TickTime {
            missed,
            ..at(second)
        };
        writer.begin_tick(time).unwrap();
        let mut rows = Rows::default();
        for key in 0..20 {
            if next(30) > 0 {
                rows.scalar(format!("Key{key}").as_bytes(), second / (key + 1));
            }
        }
        let status = if next(7) == 0 {
            Status::Failed
        } else {
            Status::Ok
        };
        let rows = status.has_values().then_some(&rows);
        writer.write_sample(0, &sampled(status), rows).unwrap();
        // The costly source is read at every third tick.
        if second % 3 == 0 {
            let there: Vec<(&str, i64)> = names
                .iter()
                .zip(&used)
                .filter_map(|(name, used)| Some((name.as_str(), (*used)?)))
                .collect();
            let rows = whole(&there);
            writer
                .write_sample(1, &sampled(Status::Ok), Some(&rows))
                .unwrap();
        }
        let cost = TickCost {
            took_us: 1,
            cpu_us: 10,
        };
        writer.commit_tick(cost).unwrap();
        if let Some(most) = most_bytes {
            writer.keep_within(most).unwrap();
            assert!(writer.used_bytes().unwrap() <= most, "tick {second}");
        }
    }
    writer.end_run(ticks, "over").unwrap();
    Connection::open(path).unwrap()
}

#[test]
fn a_thinned_recording_says_at_each_tick_that_is_left_what_the_whole_one_says_there() {
    const MOST: u64 = 400 << 10;
    let ticks = 6000;
    let dir = tempfile::tempdir().unwrap();
    let whole = record(&dir.path().join("whole.db"), ticks, None);
    let thin = record(&dir.path().join("thin.db"), ticks, Some(MOST));
    assert_eq!(list(&thin, "PRAGMA integrity_check"), ["ok"]);
    let size = std::fs::metadata(dir.path().join("thin.db")).unwrap().len();
    let full = std::fs::metadata(dir.path().join("whole.db"))
        .unwrap()
        .len();
    assert!(size <= MOST && full > 2 * MOST, "{size} of {full}");

    // What is left out is told by the holes, and nothing that is summed up is lost.
    let left: Vec<i64> = list(&thin, "SELECT tick || '' FROM tick ORDER BY tick")
        .iter()
        .map(|tick| tick.parse().unwrap())
        .collect();
    assert!(left.len() > 300, "{} ticks are left", left.len());
    for sum in ["sum(missed)", "sum(cpu_us)", "min(tick)", "max(tick)"] {
        let sql = format!("SELECT {sum} FROM tick");
        assert_eq!(number(&thin, &sql), number(&whole, &sql), "{sum}");
    }
    let firsts =
        "SELECT group_concat(first) FROM (SELECT min(tick) AS first FROM tick GROUP BY run)";
    assert_eq!(list(&thin, firsts), list(&whole, firsts));
    // The newest quarter is whole, and of the rest the oldest is the thinnest.
    let steps: Vec<i64> = left.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let newest = &steps[steps.len() - left.len() / 5..];
    assert!(newest.iter().all(|step| *step == 1));
    assert!(steps[20] >= steps[left.len() / 2], "{:?}", &steps[..40]);
    assert!(steps.iter().all(|step| *step <= 4 * steps[20]));

    for tick in left.iter().step_by(61) {
        for (view, columns) in [
            ("scalar_at", "name || ' ' || value"),
            ("swaps_at", "name || ' ' || size_kib || ' ' || used_kib"),
        ] {
            let sql = format!(
                "SELECT {columns} FROM {view} WHERE tick = {tick} AND {columns} IS NOT NULL ORDER BY name"
            );
            assert_eq!(
                list(&thin, &sql),
                list(&whole, &sql),
                "{view} at tick {tick}"
            );
        }
    }
    assert!(number(&thin, "SELECT count(*) FROM event WHERE kind = 'thinned'") > 0);
    assert_eq!(
        number(&whole, "SELECT count(*) FROM event WHERE kind = 'thinned'"),
        0
    );
}

#[test]
fn a_thinned_recording_can_be_checked_and_salvaged_as_any_other() {
    let ticks = 3000;
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("thin.db"), dir.path().join("out.db"));
    let thin = record(&path, ticks, Some(300 << 10));
    assert!(number(&thin, "SELECT count(*) FROM tick") < ticks / 2);
    let with_rows = number(&thin, "SELECT count(*) FROM sample WHERE status IN (0, 1)");
    {
        let damage = Recording::open(&path).unwrap();
        let damage = damage.verify().unwrap();
        assert_eq!(
            (damage.samples(), damage.checked()),
            (0, with_rows.cast_unsigned())
        );
    }
    let told = salvage(&path, &out, false).unwrap();
    assert!(told.sources.iter().all(|s| s.samples_lost == 0), "{told:?}");

    // A number that is altered where ticks were merged.
    let merged = "(SELECT max(tick) FROM swaps WHERE used_kib > 0 AND tick < \
                  (SELECT tick FROM tick ORDER BY tick LIMIT 1 OFFSET 40))";
    let tick = number(&thin, &format!("SELECT {merged}"));
    let sql = format!("UPDATE swaps SET used_kib = used_kib + 1 WHERE tick = {merged}");
    assert!(thin.execute(&sql, []).unwrap() > 0);
    drop(thin);
    let recording = Recording::open(&path).unwrap();
    assert!(recording.verify().unwrap().samples() > 0);
    let mut at_tick = None;
    recording
        .scan_samples(|sample| {
            if sample.tick == tick && sample.source == 2 {
                at_tick = Some(sample.status);
            }
        })
        .unwrap();
    assert_eq!(at_tick, Some(Status::Failed));
    std::fs::remove_file(&out).unwrap();
    let told = salvage(&path, &out, false).unwrap();
    let swaps = &told.sources[1];
    assert!(swaps.samples_lost > 0, "{swaps:?}");
    assert!(swaps.samples > swaps.samples_lost, "{swaps:?}");
}

#[test]
fn a_recording_that_cannot_be_made_smaller_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = begin(&path);
    for second in 1..=3 {
        writer.begin_tick(at(second)).unwrap();
        let rows = whole(&[("a", second)]);
        writer
            .write_sample(1, &sampled(Status::Ok), Some(&rows))
            .unwrap();
        writer.commit_tick(TickCost::default()).unwrap();
        assert_eq!(writer.keep_within(1).unwrap(), 0);
    }
    writer.end_run(9, "over").unwrap();
    let db = Connection::open(&path).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM tick"), 3);
    assert_eq!(number(&db, "SELECT count(*) FROM event"), 0);
}

#[test]
fn a_first_page_that_is_whole_in_the_log_alone_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut writer = support::begin(Writer::open(&path).unwrap(), "b1", &[&MEMINFO, &SWAPS]);
    // The first page changes when the file grows.
    let names: Vec<String> = (0..500).map(|name| format!("area{name}")).collect();
    let areas: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    writer.begin_tick(at(1)).unwrap();
    writer
        .write_sample(1, &sampled(Status::Ok), Some(&whole(&areas)))
        .unwrap();
    writer.commit_tick(TickCost::default()).unwrap();
    // As a checkpoint leaves it that a reader holds back, and a kill before the next.
    let copy = |name: &str, with_log: bool| {
        let copy = dir.path().join(name);
        let mut main = std::fs::read(&path).unwrap();
        main[68..72].fill(0);
        std::fs::write(&copy, main).unwrap();
        if with_log {
            let log = |path: &Path| format!("{}-wal", path.display());
            std::fs::copy(log(&path), log(&copy)).unwrap();
        }
        copy
    };
    let killed = copy("killed.db", true);
    let mut open = Writer::open(&killed).unwrap();
    assert!(open.open_run().unwrap().is_some());
    drop(open);
    let db = Connection::open(&killed).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM tick"), 1);
    let alone = copy("alone.db", false);
    assert!(Writer::open(&alone).unwrap_err().is_damage());
    // A log that does not have it either.
    std::fs::write(dir.path().join("alone.db-wal"), [0; 64]).unwrap();
    assert!(Writer::open(&alone).unwrap_err().is_damage());
}

#[test]
fn the_main_file_says_what_it_is_before_the_first_tick() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let _writer = Writer::open(&path).unwrap();
    assert_eq!(&std::fs::read(&path).unwrap()[68..72], b"msok");
}
