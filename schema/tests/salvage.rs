//! What is lost of a damaged file is told and left out; what is left is a recording like any other.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use memsoak_schema::{
    Error, Label, MetricSpec, Recording, Rows, RunInfo, Shape, Spec, Status, TickCost, TickTime,
    Trend, Unit, Value, Writer, salvage,
};
use support::{SWAPS, at, boot, host, sampled};

static MEMINFO: Spec = Spec {
    name: "meminfo",
    paths: &["proc/meminfo"],
    shape: Shape::Scalars {
        known: &[],
        other: |_| MetricSpec::gauge("", Unit::Kib).judged(Trend::Total),
    },
    interval_s: 0,
    needs: "",
    caveats: "",
    overhead: "",
};

const TICKS: i64 = 400;

/// A recording of keys and things of which some change at each tick and some never.
fn record(path: &Path) {
    let mut writer = Writer::open_for_import(path).unwrap();
    let run = RunInfo {
        settings: r#"{"db":"soak.db"}"#.to_owned(),
        uid: 1000,
        ..support::run()
    };
    writer
        .begin_run(&host("m1"), &boot("b1"), &run, &[&MEMINFO, &SWAPS])
        .unwrap();
    let state = sampled(Status::Ok);
    for tick in 1..=TICKS {
        let time = TickTime {
            wall_offset_us: 1_700_000_000_000_000,
            ..at(tick)
        };
        writer.begin_tick(time).unwrap();
        let mut rows = Rows::default();
        for key in 0..10 {
            let value = if key < 5 { 1000 * key + tick } else { key };
            rows.scalar(format!("key{key}").as_bytes(), value);
        }
        writer.write_sample(0, &state, Some(&rows)).unwrap();
        rows.clear();
        for area in 0..12 {
            let name = format!("/dev/zram{area}");
            let used = if area < 6 { tick * area } else { area };
            rows.entity(
                name.as_bytes(),
                name.as_bytes(),
                &[Value::Int(1000), Value::Int(used), Value::Null],
            );
            rows.label("exe", Label::Bytes(b"/opt/board-1/x"));
        }
        writer.write_sample(1, &state, Some(&rows)).unwrap();
        if tick == 100 {
            writer
                .write_event("note", None, "board-1: task=x,uid=1000")
                .unwrap();
        }
        writer.commit_tick(TickCost::default()).unwrap();
    }
    writer.end_run(TICKS * 1_000_000, "stopped").unwrap();
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        record(&dir.path().join("soak.db"));
        Self { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.file("soak.db")).unwrap()
    }

    fn damaged(&self, bytes: &[u8]) -> PathBuf {
        let path = self.file("damaged.db");
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Where a leaf page holds a row of `swaps` of this tick, by its bytes: the key of the first area.
fn page_with(bytes: &[u8], tick: i64) -> usize {
    let mut found = None;
    for (at, page) in bytes.chunks_exact(1024).enumerate() {
        if page[0] != 0x0d {
            continue;
        }
        let count = usize::from(u16::from_be_bytes([page[3], page[4]]));
        for cell in 0..count {
            let pointer = 8 + 2 * cell;
            let at_cell = usize::from(u16::from_be_bytes([page[pointer], page[pointer + 1]]));
            let mut key: i64 = 0;
            for byte in &page[at_cell + 1..] {
                key = (key << 7) | i64::from(byte & 0x7f);
                if *byte < 0x80 {
                    break;
                }
            }
            // A record of swaps has four columns: a header of five bytes.
            let header = page[at_cell + 1..].iter().position(|b| *b < 0x80).unwrap() + 2;
            if key >> 24 == tick && page[at_cell + header] == 5 {
                found = Some(at);
            }
        }
    }
    found.unwrap()
}

fn values_at(path: &Path, source: &str) -> Vec<(i64, Status)> {
    let recording = Recording::open(path).unwrap();
    recording.verify().unwrap();
    let sources = recording.sources().unwrap();
    let source = sources.iter().find(|s| s.name == source).unwrap().source;
    let mut samples = Vec::new();
    recording
        .scan_samples(|sample| {
            if sample.source == source {
                samples.push((sample.tick, sample.status));
            }
        })
        .unwrap();
    samples
}

#[test]
fn a_whole_file_is_salvaged_whole() {
    let place = Place::new();
    let out = place.file("out.db");
    let told = salvage(&place.file("soak.db"), &out, false).unwrap();
    assert_eq!((told.ticks, told.ticks_lost), (400, 0));
    assert_eq!((told.rows_unreadable, told.made_up), (0, 0));
    assert!(told.checked && told.stretches.is_empty(), "{told:?}");
    for source in &told.sources {
        assert_eq!(
            (source.samples, source.samples_lost),
            (400, 0),
            "{source:?}"
        );
    }
    let recording = Recording::open(&out).unwrap();
    assert_eq!(recording.verify().unwrap().samples(), 0);
    assert_eq!(recording.verify().unwrap().checked(), 800);
}

#[test]
fn a_page_that_is_lost_is_a_gap_of_its_source_and_of_no_other() {
    let place = Place::new();
    let mut bytes = place.bytes();
    let page = page_with(&bytes, 200) * 1024;
    bytes[page..page + 1024].fill(0);
    let damaged = place.damaged(&bytes);
    let out = place.file("out.db");
    let told = salvage(&damaged, &out, false).unwrap();
    let of = |name: &str| told.sources.iter().find(|s| s.name == name).unwrap();
    assert_eq!(of("meminfo").samples, 400);
    let swaps = of("swaps");
    assert_eq!(swaps.samples + swaps.samples_lost, 400);
    assert!(swaps.samples >= 150 && swaps.samples < 200, "{swaps:?}");
    assert!(swaps.rows_lost > 10, "{swaps:?}");
    assert_eq!(told.stretches.len(), 1);
    assert_eq!(told.stretches[0].source.as_deref(), Some("swaps"));
    // Half of the areas never change: until the next full picture nobody knows what they hold.
    let samples = values_at(&out, "swaps");
    assert_eq!(samples.last().unwrap().1, Status::Failed);
    // Without salvage the file is refused, with a word on what helps.
    let refused = Recording::open(&damaged).and_then(|file| file.verify().map(drop));
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("memsoak-analyze salvage FILE OUT"),
        "{refused}"
    );
}

#[test]
fn rows_that_are_not_there_make_the_samples_failed_ones_for_a_reader_too() {
    let place = Place::new();
    let path = place.file("soak.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    // As a copy of two moments has it: a table that is well formed and ends too early.
    db.execute("DELETE FROM swaps WHERE id >> 24 > 300", [])
        .unwrap();
    // And a number that has been altered.
    db.execute(
        "UPDATE scalar SET value = value + 1 WHERE id >> 24 = 350",
        [],
    )
    .unwrap();
    db.close().unwrap();
    let good = |source| {
        let samples = values_at(&path, source);
        let good = samples.iter().filter(|(_, status)| *status == Status::Ok);
        good.map(|(tick, _)| *tick).max()
    };
    assert_eq!(good("swaps"), Some(300));
    assert_eq!(good("meminfo"), Some(349));
    let recording = Recording::open(&path).unwrap();
    let damage = recording.verify().unwrap();
    assert_eq!(damage.samples(), 100 + 51);
    let reasons = recording.reasons().unwrap();
    assert!(
        reasons
            .iter()
            .any(|(_, text)| text.contains("memsoak-analyze salvage"))
    );
    drop(recording);
    // The keys whose numbers were altered are told again at the next tick; salvage goes on there.
    let out = place.file("out.db");
    let told = salvage(&path, &out, false).unwrap();
    let meminfo = told.sources.iter().find(|s| s.name == "meminfo").unwrap();
    assert_eq!((meminfo.samples, meminfo.samples_lost), (399, 1));
    assert_eq!(
        Recording::open(&out).unwrap().verify().unwrap().samples(),
        0
    );
}

#[test]
fn a_sample_whose_digest_is_gone_is_damage_and_the_ones_after_it_are_checked() {
    let place = Place::new();
    let path = place.file("soak.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute(
        "UPDATE sample SET digest = NULL WHERE tick IN (200, 399) AND source = 1",
        [],
    )
    .unwrap();
    db.execute(
        "UPDATE scalar SET value = value + 1 WHERE id >> 24 = 350",
        [],
    )
    .unwrap();
    db.close().unwrap();
    let read = values_at(&path, "meminfo");
    assert_eq!(read[198].1, Status::Ok);
    assert_eq!(read[199].1, Status::Failed);
    assert_eq!(read[200].1, Status::Ok);
    assert!(
        read[349..]
            .iter()
            .all(|(_, status)| *status == Status::Failed)
    );
    let out = place.file("out.db");
    salvage(&path, &out, false).unwrap();
    let kept = values_at(&out, "meminfo");
    let failed: Vec<i64> = kept
        .iter()
        .filter(|(_, status)| *status == Status::Failed)
        .map(|(tick, _)| *tick)
        .collect();
    // Behind the altered numbers no sum fits, so that nobody can tell what followed tick 399.
    assert_eq!(failed, [200, 350, 399, 400]);
}

#[test]
fn a_number_that_two_names_claim_is_shown_under_neither() {
    let place = Place::new();
    let mut bytes = place.bytes();
    // Behind the number of key3 stand 8 bytes of header, its own length first; the source, 1, takes
    // none of its own.
    let row = b"key3kibgaugetotal";
    let at = bytes.windows(row.len()).position(|window| window == row);
    let number = at.unwrap() - 9;
    assert_eq!(bytes[number + 1], 8);
    bytes[number] += 1;
    let out = place.file("out.db");
    salvage(&place.damaged(&bytes), &out, false).unwrap();
    let db = rusqlite::Connection::open(&out).unwrap();
    let names: Vec<String> = db
        .prepare("SELECT name FROM metric WHERE source = 1 ORDER BY metric")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let others = [0, 1, 2, 5, 6, 7, 8, 9].map(|key| format!("key{key}"));
    assert_eq!(names, others);
}

#[test]
fn what_a_log_holds_is_salvaged_with_the_file() {
    let place = Place::new();
    let path = place.file("live.db");
    fs::copy(place.file("soak.db"), &path).unwrap();
    let live = rusqlite::Connection::open(&path).unwrap();
    live.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE reason SET text = text;")
        .unwrap();
    live.execute_batch(
        "INSERT INTO event (boot, boottime_us, kind, text) VALUES (1, 5, 'mark', 'in the log')",
    )
    .unwrap();
    assert!(fs::metadata(place.file("live.db-wal")).unwrap().len() > 0);
    let out = place.file("out.db");
    let told = salvage(&path, &out, false).unwrap();
    assert_eq!(told.ticks, 400);
    let events = Recording::open(&out).unwrap().events().unwrap();
    assert!(
        events.iter().any(|event| event.text == "in the log"),
        "{events:?}"
    );
}

#[test]
fn without_its_first_page_a_file_is_no_database_and_still_salvaged() {
    let place = Place::new();
    let mut bytes = place.bytes();
    bytes[..1024].fill(0);
    let damaged = place.damaged(&bytes);
    let refused = Recording::open(&damaged).map(drop).unwrap_err().to_string();
    assert!(
        refused.contains("memsoak-analyze salvage FILE OUT"),
        "{refused}"
    );
    let told = salvage(&damaged, &place.file("out.db"), false).unwrap();
    assert_eq!((told.ticks, told.sources[0].samples), (400, 400));
}

#[test]
fn scrubbing_leaves_no_host_name_and_no_user() {
    let place = Place::new();
    let out = place.file("out.db");
    salvage(&place.file("soak.db"), &out, true).unwrap();
    let bytes = fs::read(&out).unwrap();
    let holds = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(!holds(b"board-1") && !holds(b"uid=1000") && !holds(b"/opt/"));
    let recording = Recording::open(&out).unwrap();
    assert_eq!(recording.hosts().unwrap()[0].name, "host");
    assert_eq!(recording.runs().unwrap()[0].uid, -1);
    let events = recording.events().unwrap();
    assert!(
        events
            .iter()
            .any(|event| event.text == "host: task=x,uid=0"),
        "{events:?}"
    );
}

#[test]
fn what_holds_no_recording_is_refused_and_nothing_is_left_behind() {
    let place = Place::new();
    let (file, out) = (place.file("noise.db"), place.file("out.db"));
    for bytes in [
        vec![],
        vec![0; 5000],
        vec![0x0d; 100_000],
        b"SQLite format 3\0".repeat(300),
    ] {
        fs::write(&file, bytes).unwrap();
        let refused = salvage(&file, &out, false).unwrap_err();
        assert!(matches!(refused, Error::NotARecording { .. }), "{refused}");
        assert!(!out.exists());
    }
    // And nothing that is there is overwritten.
    fs::write(&out, b"mine").unwrap();
    let refused = salvage(&place.file("soak.db"), &out, false).unwrap_err();
    assert!(matches!(refused, Error::Open { .. }), "{refused}");
    assert_eq!(fs::read(&out).unwrap(), b"mine");
}
