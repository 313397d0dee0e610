//! Raw files of this machine, and what becomes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use memsoak_record::source::SOURCES;
use memsoak_record::source::captured::Captured;

use crate::small_disk::SmallDisk;
use crate::support::*;

fn files_below(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn a_capture_of_this_machine_gives_the_sources_that_a_recording_has() {
    let place = Place::new();
    let dir = place.file("now");
    let (live, db) = (place.file("live.db"), place.file("captured.db"));
    record_for(&live, "300ms", &[]);
    finish(record(&["capture", &dir])).expect(0);
    finish(record(&["import", "--db", &db, &dir])).expect(0);
    let has_values = |status: &str| matches!(status, "ok" | "partial");
    for source in SOURCES {
        let name = source.spec.name;
        let sql = format!("SELECT status FROM sample_at WHERE source = '{name}' AND tick = 1");
        let (recorded, imported): (String, String) = (ask(&live, &sql), ask(&db, &sql));
        match source.captured {
            Captured::Nothing(_) => assert_eq!(imported, "unavailable", "{name}"),
            // That a part cannot be read here is in a capture a part that is not there.
            _ => assert_eq!(has_values(&imported), has_values(&recorded), "{name}"),
        }
    }
    let facts = "SELECT boot_id || kernel || version || page_bytes || user_hz || cpus || machine
                 FROM boot JOIN host USING (host)";
    assert_eq!(ask::<String>(&db, facts), ask::<String>(&live, facts));
    let columns = "SELECT count(vm_size_kib) > 0 AND count(fds) > 0 FROM process_at WHERE tick = 1";
    assert_eq!(
        ask::<i64>(&db, columns),
        1,
        "processes have memory and descriptors"
    );
}

#[test]
fn a_capture_is_private_and_never_written_over() {
    let place = Place::new();
    let dir = place.file("now");
    finish(record(&["capture", &dir])).expect(0);
    let mut files = Vec::new();
    files_below(Path::new(&dir), &mut files);
    assert!(files.len() > 20, "{files:?}");
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(Path::new(&dir)), 0o700);
    for path in files.iter().filter(|path| !path.is_symlink()) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
        let name = path.file_name().unwrap();
        assert!(name != "cmdline" && name != "environ" && name != "hostname");
    }
    let before = fs::read(Path::new(&dir).join("MANIFEST.toml")).unwrap();
    let again = finish(record(&["capture", &dir])).expect(2);
    assert!(again.err().contains("name a new folder"), "{}", again.err());
    assert_eq!(
        fs::read(Path::new(&dir).join("MANIFEST.toml")).unwrap(),
        before
    );
    let nowhere = finish(record(&["capture", "/nowhere/at/all"])).expect(2);
    assert!(nowhere.err().contains("cannot make"), "{}", nowhere.err());
}

#[test]
fn what_the_user_who_captured_could_not_read_is_told_as_denied() {
    if !is_root() {
        return skip("only root becomes another user");
    }
    let place = Place::new();
    let open = place.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let dir = text(&open.join("now"));
    let Some(command) = as_nobody(&place, &["capture", &dir]) else {
        return skip("setpriv is not here to become another user");
    };
    finish(command).expect(0);
    let db = place.file("soak.db");
    finish(record(&["import", "--db", &db, &dir])).expect(0);
    for source in ["slabinfo", "vmallocinfo", "pagetypeinfo"] {
        let sql =
            format!("SELECT status || ' ' || reason FROM sample_at WHERE source = '{source}'");
        let told: String = ask(&db, &sql);
        let expected = format!("unavailable proc/{source}: permission denied (needs ");
        assert!(told.starts_with(&expected), "{told}");
    }
    assert_eq!(ask::<i64>(&db, "SELECT uid FROM run"), 65_534);
}

#[test]
fn a_full_disk_leaves_no_half_capture() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place, "64k") else {
        return;
    };
    let now = text(&disk.path().join("now"));
    let done = finish(record(&["capture", &now])).expect(2);
    assert!(done.err().contains("cannot write"), "{}", done.err());
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}
