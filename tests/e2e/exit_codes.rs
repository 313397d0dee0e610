//! What the programs end with, and what they say then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use memsoak_record::source::SOURCES;

use crate::support::*;

#[test]
fn help_and_version_are_no_failure() {
    for help in [
        record(&["--help"]),
        analyze(&["--help"]),
        record(&["run", "--help"]),
        analyze(&["report", "--help"]),
        record(&["--version"]),
        analyze(&["--version"]),
    ] {
        let done = finish(help).expect(0);
        for line in done.out().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_a_failure() {
    for wrong in [
        record(&["run"]),
        record(&["run", "--db", "x.db", "--interval", "50ms"]),
        record(&["fly"]),
        analyze(&["report"]),
        analyze(&["trends"]),
    ] {
        let done = finish(wrong).expect(2);
        assert!(!done.stderr.is_empty());
    }
}

#[test]
fn an_unknown_source_is_refused_with_the_names_of_all() {
    let place = Place::new();
    let db = place.file("soak.db");
    for option in [["--without", "slabs"], ["--every", "slabs=1s"]] {
        let mut command = record(&["run", "--db", &db, "--duration", "1s"]);
        command.args(option);
        let done = finish(command).expect(2);
        for source in SOURCES {
            assert!(done.err().contains(source.spec.name), "{}", done.err());
        }
    }
    assert!(
        !std::path::Path::new(&db).exists(),
        "nothing is left behind"
    );
}

#[test]
fn a_source_left_out_is_not_sampled() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "300ms", &["--without", "slabinfo"]);
    let sql = "SELECT count(*) FROM sample_at WHERE source = 'slabinfo'";
    assert_eq!(ask::<i64>(&db, sql), 0);
}

#[test]
fn too_short_a_recording_is_not_called_clean() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "500ms", &[]);
    let (json, _, done) = report(&place, &db);
    assert_eq!(done.code, Some(3), "{}", done.out());
    assert_eq!(json["verdict"], "inconclusive");
    assert_eq!(json["format"], "memsoak-report/1");
}

#[test]
fn what_is_no_recording_is_refused() {
    let place = Place::new();
    let out = place.file("out");
    let cases: [(&str, &[u8]); 3] = [
        ("empty.db", b""),
        (
            "text.db",
            b"this is no recording, it is a note of many bytes",
        ),
        ("torn.db", b"SQLite format 3\0"),
    ];
    for (name, content) in cases {
        let file = place.file(name);
        fs::write(&file, content).unwrap();
        for command in [
            analyze(&["report", &file, "--out", &out]),
            analyze(&["trends", &file]),
            analyze(&["info", &file]),
            record(&["status", "--db", &file]),
            record(&["mark", "--db", &file, "x"]),
        ] {
            let line = format!("{command:?}");
            let done = finish(command).expect(2);
            assert!(done.err().contains(name), "{line}: {}", done.err());
            assert!(!done.err().contains("panicked"), "{line}: {}", done.err());
        }
        assert_eq!(fs::read(&file).unwrap(), content, "{name} is as it was");
    }
    let text = place.file("text.db");
    let run = finish(record(&["run", "--db", &text, "--duration", "1s"])).expect(2);
    assert!(run.err().contains("no memsoak recording"), "{}", run.err());
}

#[test]
fn another_programs_database_is_not_written_to() {
    let place = Place::new();
    let file = place.file("other.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other
        .execute_batch("CREATE TABLE diary (day TEXT); INSERT INTO diary VALUES ('monday');")
        .unwrap();
    other.close().unwrap();
    let before = fs::read(&file).unwrap();
    let run = finish(record(&["run", "--db", &file, "--duration", "1s"])).expect(2);
    assert!(run.err().contains("no memsoak recording"), "{}", run.err());
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_missing_file_is_a_failure_that_names_it() {
    let place = Place::new();
    let file = place.file("missing.db");
    for command in [
        analyze(&["info", &file]),
        analyze(&["trends", &file]),
        record(&["status", "--db", &file]),
        record(&["copy", "--db", &file, &place.file("copy.db")]),
    ] {
        let done = finish(command).expect(2);
        assert!(done.err().contains("missing.db"), "{}", done.err());
    }
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_a_hint() {
    let place = Place::new();
    let folder = place.path().join("sealed");
    fs::create_dir(&folder).unwrap();
    let db = text(&folder.join("soak.db"));
    let mut run = record(&["run", "--db", &db, "--duration", "1s"]);
    if is_root() {
        // Root writes where it likes, so it is another user who tries.
        let Some(command) = as_nobody(&place, &["run", "--db", &db, "--duration", "1s"]) else {
            return skip("setpriv is not here, and root may write anywhere");
        };
        run = command;
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let done = finish(run).expect(2);
    assert!(done.err().contains("Permission denied"), "{}", done.err());
    assert!(done.err().contains(&db), "{}", done.err());
    assert!(
        done.err().contains("check the permissions"),
        "{}",
        done.err()
    );
}

#[test]
fn nobody_reading_the_rest_is_no_failure() {
    let place = Place::new();
    let db = place.file("soak.db");
    record_for(&db, "300ms", &[]);
    for command in [record(&["status", "--db", &db]), analyze(&["info", &db])] {
        let mut through = Command::new("sh");
        through
            .args(["-c", "{ \"$@\"; echo $? >&2; } | true", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        let done = finish(through).expect(0);
        assert_eq!(done.err(), "0\n");
    }
}
