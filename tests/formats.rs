//! Recordings of every file format there has been: what can be read is read, what is too old or too
//! new is refused with a sentence.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use memsoak_analyze::findings::analyse;
use memsoak_analyze::info;
use memsoak_schema::{Error, Recording, Writer, newest_version, salvage};

/// The oldest format that is read as it is.
const OLDEST_READ: u32 = 2;

fn fixtures() -> BTreeMap<u32, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "db"))
        .map(|path| {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            (stem.parse().expect("named by its format"), path)
        })
        .collect()
}

/// The tables, views and indices with their text, as they stand in a file.
fn schema_of(path: &Path) -> Vec<(String, String)> {
    let db = rusqlite::Connection::open(path).unwrap();
    let mut statement = db
        .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn there_is_a_recording_of_every_format() {
    let found: Vec<u32> = fixtures().into_keys().collect();
    let wanted: Vec<u32> = (1..=newest_version()).collect();
    assert_eq!(
        found, wanted,
        "sh tests/fixtures/formats/make.sh makes the newest; see the README beside it"
    );
    for (version, path) in fixtures() {
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes[60..64], version.to_be_bytes(), "{}", path.display());
        assert!(bytes.len() < 150 << 10, "{} is small", path.display());
    }
}

#[test]
fn older_recordings_are_read_and_too_old_ones_refused_with_a_sentence() {
    for (version, path) in fixtures() {
        let opened = Recording::open(&path);
        if version < OLDEST_READ {
            let refused = opened.map(drop).unwrap_err();
            assert!(matches!(refused, Error::Older { found, .. } if found == version));
            let said = refused.to_string();
            assert!(
                said.contains("continue it with memsoak-record once"),
                "{said}"
            );
            continue;
        }
        let recording = opened.unwrap();
        assert_eq!(recording.ticks().unwrap().len(), 10, "format {version}");
        assert_eq!(recording.verify().unwrap().samples(), 0);
        let told = info::describe(&path).unwrap();
        assert!(told.contains("10 of 10"), "format {version}: {told}");
        let analysis = analyse(&recording, |_| {}).unwrap();
        assert_eq!(analysis.verdict(), "inconclusive", "ten ticks are too few");
    }
}

#[test]
fn a_newer_recording_is_refused_by_every_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.db");
    let mut bytes = fs::read(&fixtures()[&newest_version()]).unwrap();
    bytes[60..64].copy_from_slice(&(newest_version() + 1).to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let out = folder.path().join("out.db");
    for refused in [
        Recording::open(&path).map(drop),
        Writer::open(&path).map(drop),
        salvage(&path, &out, false).map(drop),
    ] {
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("use a newer memsoak"), "{said}");
    }
    assert!(fs::read(&path).unwrap() == bytes, "it is left as it is");
}

#[test]
fn a_recording_that_was_migrated_and_a_fresh_one_have_the_same_schema() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = folder.path().join("fresh.db");
    drop(Writer::open(&fresh).unwrap());
    let wanted = schema_of(&fresh);
    for (version, fixture) in fixtures() {
        let path = folder.path().join(format!("{version}.db"));
        fs::copy(fixture, &path).unwrap();
        drop(Writer::open(&path).unwrap());
        assert_eq!(schema_of(&path), wanted, "format {version}");
        Recording::open(&path).unwrap();
    }
}

#[test]
fn older_recordings_are_salvaged_into_the_newest_format() {
    let folder = tempfile::tempdir().unwrap();
    for (version, path) in fixtures().split_off(&OLDEST_READ) {
        let out = folder.path().join(format!("{version}.db"));
        let told = salvage(&path, &out, false).unwrap();
        assert_eq!(
            (told.ticks, told.rows_unreadable),
            (10, 0),
            "format {version}"
        );
        let kept: u64 = told.sources.iter().map(|source| source.samples).sum();
        assert!(kept >= 31, "format {version}: {told:?}");
        let salvaged = Recording::open(&out).unwrap();
        assert_eq!(salvaged.ticks().unwrap().len(), 10);
        assert_eq!(salvaged.verify().unwrap().samples(), 0);
    }
}
