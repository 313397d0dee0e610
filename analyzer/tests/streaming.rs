//! What a stream of changes says about when a thing was there: gone by a row of NULLs, gone because
//! a full set of rows lacks it, or of another boot.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::ops::Range;
use std::path::{Path, PathBuf};

use memsoak_analyze::load::{Index, SeriesKey, SeriesName, View, judged_series, pictures, points};
use memsoak_analyze::verdict::Cells;
use memsoak_schema::{Recording, Value};
use support::{SWAPS, TICK_US, begin, write_tick};

/// Names of the things that are there, and in which of the run's ticks.
type Lives<'a> = &'a [(&'a str, Range<i64>)];

/// One run of a recorder, which is killed at its end.
fn record(path: &Path, boot: &str, start_s: i64, ticks: i64, lives: Lives<'_>) {
    let mut writer = begin(path, boot, &[&SWAPS]);
    for tick in 0..ticks {
        write_tick(
            &mut writer,
            start_s * 1_000_000 + tick * TICK_US,
            1,
            |_, rows| {
                for (name, _) in lives.iter().filter(|(_, there)| there.contains(&tick)) {
                    let values = [Value::Int(9000), Value::Int(100 + tick), Value::Null];
                    rows.entity(name.as_bytes(), name.as_bytes(), &values);
                }
            },
        );
    }
}

struct Read {
    recording: Recording,
    index: Index,
    series: Vec<(String, SeriesKey, Cells)>,
}

impl Read {
    fn of(path: &Path) -> Self {
        let recording = Recording::open(path).unwrap();
        let index = Index::read(&recording).unwrap();
        let mut series = Vec::new();
        judged_series(
            &recording,
            &index,
            |_| {},
            |key, cells| {
                let name = SeriesName::of(&recording, &index, key).unwrap().name;
                series.push((name, key, cells[0].clone()));
            },
        )
        .unwrap();
        Self {
            recording,
            index,
            series,
        }
    }

    /// Name, boot, number of samples, and first and last value in KiB.
    fn lives(&self) -> Vec<(&str, usize, u64, f64, f64)> {
        self.series
            .iter()
            .map(|(name, key, cells)| {
                let (first, last) = (cells.first / 1024.0, cells.last / 1024.0);
                (name.as_str(), key.boot, cells.n, first, last)
            })
            .collect()
    }

    /// How many points a chart of each series has before it ends or breaks.
    fn unbroken_points(&self) -> Vec<usize> {
        let keys: Vec<_> = self.series.iter().map(|(_, key, _)| *key).collect();
        let found = points(&self.recording, &self.index, &keys).unwrap();
        keys.iter()
            .map(|key| {
                let points = &found[key].points;
                points
                    .iter()
                    .take_while(|(_, value)| value.is_some())
                    .count()
            })
            .collect()
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("soak.db");
    (folder, path)
}

#[test]
fn a_thing_that_is_gone_has_the_samples_until_then() {
    let (_folder, path) = scratch();
    record(&path, "a", 0, 100, &[("stays", 0..100), ("goes", 20..60)]);
    let read = Read::of(&path);
    assert_eq!(
        read.lives(),
        [
            ("stays", 0, 100, 100.0, 199.0),
            ("goes", 0, 40, 120.0, 159.0)
        ]
    );
    assert_eq!(read.unbroken_points(), [100, 40]);
}

#[test]
fn a_life_of_a_few_samples_is_forgotten() {
    let (_folder, path) = scratch();
    record(&path, "a", 0, 100, &[("stays", 0..100), ("brief", 20..30)]);
    assert_eq!(Read::of(&path).lives().len(), 1);
}

#[test]
fn what_a_full_set_of_rows_lacks_is_gone_from_there_on() {
    let (_folder, path) = scratch();
    // The killed recorder could not say that the area went while nobody looked.
    record(&path, "a", 0, 50, &[("stays", 0..50), ("goes", 0..50)]);
    record(&path, "a", 500, 50, &[("stays", 0..50)]);
    let read = Read::of(&path);
    assert_eq!(
        read.lives(),
        [
            ("stays", 0, 100, 100.0, 149.0),
            ("goes", 0, 50, 100.0, 149.0)
        ]
    );
    assert_eq!(read.unbroken_points(), [100, 50]);
}

#[test]
fn full_sets_of_rows_within_a_run_change_nothing() {
    let (_folder, path) = scratch();
    record(&path, "a", 0, 1500, &[("stays", 0..1500), ("goes", 0..700)]);
    assert_eq!(
        Read::of(&path).lives(),
        [
            ("stays", 0, 1500, 100.0, 1599.0),
            ("goes", 0, 700, 100.0, 799.0)
        ]
    );
}

#[test]
fn each_boot_has_series_of_its_own_that_begin_at_its_start() {
    let (_folder, path) = scratch();
    record(&path, "a", 5000, 60, &[("area", 0..60)]);
    record(&path, "b", 20, 80, &[("area", 0..80)]);
    let read = Read::of(&path);
    assert_eq!(
        read.lives(),
        [("area", 0, 60, 100.0, 159.0), ("area", 1, 80, 100.0, 179.0)]
    );
    for (_, _, cells) in &read.series {
        assert!(cells.t_s[0].abs() < 1e-9);
    }
    assert_eq!(read.unbroken_points(), [60, 80]);
}

/// At each sample of a boot, what the areas that are there use, in KiB.
fn used_at_each_sample(read: &Read, boot: usize) -> Vec<(f64, Vec<f64>)> {
    let view = View {
        source: "swaps",
        metrics: &["used_kib", "no_such_metric"],
    };
    let mut seen = Vec::new();
    let of_boot = &read.index.boots[boot];
    pictures(
        &read.recording,
        &read.index,
        of_boot,
        &[view],
        |place, picture| {
            assert_eq!(place, 0);
            let used = picture.entities().map(|(_, values)| {
                assert!(values[1].is_nan());
                values[0] / 1024.0
            });
            seen.push((picture.t_s, used.collect()));
        },
    )
    .unwrap();
    seen
}

#[test]
fn pictures_hold_what_is_there_at_each_sample_and_nothing_that_is_gone() {
    let (_folder, path) = scratch();
    // Longer than from one full set of rows to the next.
    record(&path, "a", 0, 700, &[("stays", 0..700), ("goes", 20..650)]);
    let seen = used_at_each_sample(&Read::of(&path), 0);
    assert_eq!(seen.len(), 700);
    for (tick, (t_s, used)) in (0_u32..).zip(&seen) {
        let tick = f64::from(tick);
        assert!((t_s - tick * 10.0).abs() < 1e-9);
        let areas = if (20.0..650.0).contains(&tick) { 2 } else { 1 };
        assert_eq!(used, &vec![100.0 + tick; areas], "at {tick}");
    }
}

#[test]
fn pictures_know_what_went_while_nobody_looked_and_nothing_of_other_boots() {
    let (_folder, path) = scratch();
    record(&path, "a", 0, 50, &[("stays", 0..50), ("goes", 0..50)]);
    record(&path, "a", 500, 50, &[("stays", 0..50)]);
    record(&path, "b", 20, 30, &[("other", 5..30)]);
    let read = Read::of(&path);
    let first = used_at_each_sample(&read, 0);
    let areas: Vec<usize> = first.iter().map(|(_, used)| used.len()).collect();
    assert_eq!(areas, [vec![2; 50], vec![1; 50]].concat());
    let second = used_at_each_sample(&read, 1);
    assert_eq!(second.len(), 30);
    assert_eq!(second.iter().filter(|(_, used)| used.is_empty()).count(), 5);
    assert_eq!(second[29].1, [129.0]);
}
