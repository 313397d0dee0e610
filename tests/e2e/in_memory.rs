//! A recording on tmpfs takes the memory of the machine that it watches, and says so.

use crate::support::*;

#[test]
fn a_recording_on_tmpfs_says_that_it_takes_memory() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        return skip("there is no /dev/shm to write to");
    };
    let db = text(&folder.path().join("soak.db"));
    let said = record_for(&db, "3s", &[]).err();
    assert!(
        said.contains("the recording lies in memory") && said.contains("--max-size"),
        "{said}"
    );
    let place = Place::new();
    let (json, markdown, _) = report(&place, &db);
    let diagnoses = json["diagnoses"].as_array().unwrap();
    let told = diagnoses
        .iter()
        .find(|one| one["id"] == "recording_in_memory")
        .unwrap();
    assert_eq!(told["severity"], "info");
    let bytes = told["evidence"]["last_bytes"].as_f64().unwrap();
    assert!(bytes >= 65_536.0, "{told}");
    assert!(
        markdown.contains("The recording lies in memory"),
        "{markdown}"
    );
}
