//! The recorder as a service: what it tells its manager, and the unit in examples/.

use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::support::*;

const UNIT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/memsoak-record.service"
);

/// The words of the unit's ExecStart, with its folder filled in.
fn exec_start(state: &str) -> Vec<String> {
    let unit = fs::read_to_string(UNIT).unwrap();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    line.replace("${STATE_DIRECTORY}", state)
        .split(' ')
        .map(str::to_owned)
        .collect()
}

fn heard(manager: &UnixDatagram) -> HashMap<String, String> {
    let mut buffer = [0; 512];
    let length = manager.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length])
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_units_command_is_ready_with_a_tick_on_disk_beats_with_each_and_says_that_it_stops() {
    let place = Place::new();
    let socket = place.file("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let words = exec_start(place.path().to_str().unwrap());
    assert_eq!(words[0], "/usr/local/bin/memsoak-record");
    let mut args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let db = words[words.iter().position(|word| word == "--db").unwrap() + 1].clone();
    // As the unit has it, but for a shorter interval.
    let interval = args.iter().position(|word| *word == "--interval").unwrap() + 1;
    args[interval] = "100ms";
    let mut command = record(&args);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000");
    let running = Running::start(command, &place.path().join("said"));

    let first = heard(&manager);
    assert_eq!(first["WATCHDOG"], "1");
    // 200 ms would end it when one tick is late.
    assert_eq!(first["WATCHDOG_USEC"], "300000");
    // A thread of its own writes the ticks.
    let mut ready = first;
    while !ready.contains_key("READY") {
        ready = heard(&manager);
    }
    assert!(ticks(&db) >= 1, "a tick is on disk when it is ready");
    for _ in 0..3 {
        let next = heard(&manager);
        assert_eq!(next["WATCHDOG"], "1");
        assert!(!next.contains_key("READY"));
    }
    assert_eq!(running.terminate(), Some(0));
    let last = loop {
        let next = heard(&manager);
        if !next.contains_key("WATCHDOG") {
            break next;
        }
    };
    assert_eq!(last["STOPPING"], "1");
    assert_eq!(last["STATUS"], "stopped by a signal");
}

#[test]
fn a_run_says_how_it_stands_with_the_oom_killer() {
    let place = Place::new();
    let db = place.file("soak.db");
    let recorder = start_recording(&place, &db, &[]);
    let proc = format!("/proc/{}", recorder.pid());
    let score = fs::read_to_string(format!("{proc}/oom_score_adj")).unwrap();
    let said: String = ask(
        &db,
        "SELECT CAST(settings ->> '$.oom_score_adj' AS TEXT) FROM run",
    );
    assert_eq!(said, score.trim());
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let is_locked = !status.contains("VmLck:\t       0 kB");
    let said: bool = ask(&db, "SELECT settings ->> '$.memory_locked' FROM run");
    assert_eq!(said, is_locked);
    assert_eq!(recorder.terminate(), Some(0));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let place = Place::new();
    let words = exec_start("");
    let unit = fs::read_to_string(UNIT).unwrap();
    // Whether the program is installed here is no matter.
    let unit = unit.replace(&words[0], "/bin/sh");
    let copy = place.file("memsoak-record.service");
    fs::write(Path::new(&copy), unit).unwrap();
    let Ok(done) = Command::new("systemd-analyze")
        .args(["verify", "--man=no", &copy])
        .output()
    else {
        skip("this machine has no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&done.stderr);
    let about_it: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("memsoak-record"))
        .collect();
    assert_eq!(about_it, [""; 0]);
}
