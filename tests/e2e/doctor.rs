//! What `doctor` tells, against what a recording gets.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::support::*;

fn examined(command: Command) -> Value {
    let done = finish(command).expect(0);
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["format"], "memsoak-doctor/1");
    json
}

fn states(json: &Value) -> BTreeMap<String, String> {
    let sources = json["sources"].as_array().unwrap();
    let word = |source: &Value, key: &str| source[key].as_str().unwrap().to_owned();
    sources
        .iter()
        .map(|source| (word(source, "source"), word(source, "state")))
        .collect()
}

/// Whether a read is costly depends on the moment.
fn plain(state: &str) -> String {
    state.replace("costly", "ok")
}

/// What a recording of two seconds has of each source: whether there are values, and the reason.
fn recorded(mut run: Command, db: &str) -> BTreeMap<String, (bool, String)> {
    run.args(["--interval", "100ms", "--duration", "2s"]);
    finish(run).expect(0);
    let text = |sql: &str| list(db, sql);
    text("SELECT DISTINCT source FROM sample_at")
        .into_iter()
        .map(|source| {
            let of = format!("FROM sample_at WHERE source = '{source}' AND tick = 1");
            let status: String = ask(db, &format!("SELECT status {of}"));
            let reason: String = ask(db, &format!("SELECT coalesce(reason, '') {of}"));
            (source, (status == "ok" || status == "partial", reason))
        })
        .collect()
}

fn agree(json: &Value, recorded: &BTreeMap<String, (bool, String)>) {
    for source in json["sources"].as_array().unwrap() {
        let name = source["source"].as_str().unwrap();
        let state = source["state"].as_str().unwrap();
        let (has_values, reason) = &recorded[name];
        // Which of a user's processes there are changes from one moment to the next, and on a busy
        // machine a look does not reach those of others, which are denied.
        let is_denied = |why: &str| why.contains("permission denied");
        if ["smaps", "smaps_rollup"].contains(&name) && is_denied(reason) {
            assert!(source["reason"].as_str().is_none_or(is_denied), "{source}");
            continue;
        }
        let is_available = matches!(state, "ok" | "costly" | "partial");
        assert_eq!(is_available, *has_values, "{source} {reason}");
        if !is_available {
            assert_eq!(source["reason"], reason.as_str(), "{source}");
        }
        let is_denied = reason.contains("permission denied");
        assert_eq!(state == "denied", is_denied && !has_values, "{source}");
    }
    assert_eq!(states(json).len(), recorded.len());
}

#[test]
fn what_doctor_calls_available_is_recorded_and_nothing_else() {
    let place = Place::new();
    let db = place.file("soak.db");
    let json = examined(record(&["doctor", "--json", "--db", &db]));
    agree(&json, &recorded(record(&["run", "--db", &db]), &db));
    assert_eq!(json["probes"].as_array().unwrap().len(), 4);
    assert!(json["free_bytes"].as_u64() > Some(0), "{json}");

    // The same as a table.
    let table = finish(record(&["doctor"])).expect(0).out();
    for (source, state) in states(&json) {
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("{source} ")));
        let words: Vec<_> = line.unwrap().split_whitespace().collect();
        assert_eq!(plain(words[1]), plain(&state), "{table}");
    }
}

#[test]
fn a_source_that_costs_more_than_its_share_is_called_costly_and_spaced_out() {
    let with_budget = |budget: &str| {
        let json = examined(record(&["doctor", "--json", "--cpu-budget", budget]));
        let sources = json["sources"].as_array().unwrap().clone();
        let of = |state: &str| -> Vec<Value> {
            let is_it = |source: &&Value| source["state"] == state;
            sources.iter().filter(is_it).cloned().collect()
        };
        (of("costly"), of("ok"))
    };
    let (costly, _) = with_budget("100%");
    assert_eq!(costly, Vec::<Value>::new());
    // Nothing but a read of some microseconds in an hour is within a millionth of a CPU.
    let (costly, ok) = with_budget("0.0001%");
    assert!(
        costly.iter().any(|source| source["source"] == "process"),
        "{ok:?}"
    );
    for source in costly {
        assert!(
            source["interval_us"].as_i64() > Some(10_000_000),
            "{source}"
        );
        assert!(
            source["reason"].as_str().unwrap().contains("of CPU"),
            "{source}"
        );
        assert!(
            source["advice"].as_str().unwrap().contains("--cpu-budget"),
            "{source}"
        );
    }
}

#[test]
fn what_doctor_tells_a_user_without_rights_is_what_such_a_user_records() {
    if !is_root() {
        return skip("only root becomes another user");
    }
    let place = Place::new();
    let folder = place.path().join("open");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let db = text(&folder.join("soak.db"));
    let Some(doctor) = as_nobody(&place, &["doctor", "--json"]) else {
        return skip("setpriv is not here to become another user");
    };
    let json = examined(doctor);
    let run = as_nobody(&place, &["run", "--db", &db]).unwrap();
    agree(&json, &recorded(run, &db));
    for source in ["slabinfo", "vmallocinfo", "pagetypeinfo"] {
        assert_eq!(states(&json)[source], "denied");
    }
    for probe in json["probes"].as_array().unwrap() {
        assert_eq!(probe["possible"], false, "{probe}");
    }
}

#[test]
fn the_capabilities_that_doctor_names_suffice_instead_of_root() {
    if !is_root() {
        return skip("only root becomes another user");
    }
    let place = Place::new();
    if as_nobody(&place, &[]).is_none() {
        return skip("setpriv is not here to become another user");
    }
    let with = |capabilities: &[&str]| {
        let list: Vec<String> = capabilities
            .iter()
            .map(|name| name.to_lowercase().replace("cap_", "+"))
            .collect();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        for flag in ["--inh-caps", "--ambient-caps"] {
            if !list.is_empty() {
                command.args([flag, &list.join(",")]);
            }
        }
        command
            .arg(place.path().join("memsoak-record"))
            .args(["doctor", "--json"]);
        command
    };
    let root = examined(record(&["doctor", "--json"]));
    let of_root = states(&root);
    let of_nobody = states(&examined(with(&[])));
    let named: Vec<&str> = root["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|capability| capability["name"].as_str().unwrap())
        .collect();
    let all = finish(with(&named));
    if all.code != Some(0) {
        return skip("root lacks capabilities here, as in a container");
    }
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    for (source, state) in &states(&all) {
        assert_eq!(plain(state), plain(&of_root[source]), "{source}");
    }
    // Each source with its own ones alone, and not without them where it is denied.
    for source in root["sources"].as_array().unwrap() {
        let name = source["source"].as_str().unwrap();
        let needed = source["capabilities"].as_array().unwrap();
        let needed: Vec<&str> = needed.iter().map(|one| one.as_str().unwrap()).collect();
        if of_nobody[name] == "denied" {
            assert!(
                !needed.is_empty(),
                "{name} is denied and names no capability"
            );
            let alone = states(&examined(with(&needed)));
            assert_eq!(plain(&alone[name]), plain(&of_root[name]), "{name}");
        }
    }
    assert_eq!(of_nobody["slabinfo"], "denied");
}
