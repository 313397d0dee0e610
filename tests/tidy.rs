//! Holds the directions of the house true: who may depend on whom, and where a thing may be named.
//!
//! Each rule lists what is found and compares it with what belongs there: a search for what must
//! not be found would also pass on a typo.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repo() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that is kept, relative to the top, without what kernels wrote: what git knows, or all
/// there is in an unpacked archive.
fn files() -> Vec<PathBuf> {
    let git = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repo())
        .output();
    let mut found: Vec<PathBuf> = match git {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(PathBuf::from)
            .filter(|path| repo().join(path).is_file())
            .collect(),
        _ => {
            let mut found = Vec::new();
            walk(repo(), &mut found);
            found
        }
    };
    found.retain(|path| !path.starts_with("tests/fixtures") && path != Path::new("Cargo.lock"));
    found.sort();
    assert!(found.len() > 50, "{found:?}");
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(repo()).unwrap();
        if path.is_file() {
            found.push(relative.to_owned());
        } else if relative != Path::new(".git") && relative != Path::new("target") {
            walk(&path, found);
        }
    }
}

fn rust_files() -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    files
}

/// The lines of a file that are not wholly comment, with their numbers.
fn code_lines(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(repo().join(path)).unwrap();
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line.to_owned()))
        .collect()
}

/// Which Rust files hold a word in their code, leaving this one out.
fn files_with(is_it: impl Fn(&str) -> bool) -> Vec<String> {
    rust_files()
        .into_iter()
        .filter(|path| path != Path::new("tests/tidy.rs"))
        .filter(|path| code_lines(path).iter().any(|(_, line)| is_it(line)))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

fn names_crate(line: &str, name: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| word == name)
}

#[test]
fn each_crate_depends_on_what_it_is_meant_to() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO")));
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(repo())
        .output()
        .unwrap();
    assert!(output.status.success());
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: Vec<String> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let of_kind = |kind: &str| {
                let names: BTreeSet<&str> = package["dependencies"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|dependency| dependency["kind"].as_str().unwrap_or("normal") == kind)
                    .map(|dependency| dependency["name"].as_str().unwrap())
                    .collect();
                names.into_iter().collect::<Vec<_>>().join(" ")
            };
            assert_eq!(of_kind("build"), "");
            format!(
                "{}: {}; tests: {}",
                package["name"].as_str().unwrap(),
                of_kind("normal"),
                of_kind("dev")
            )
        })
        .collect();
    found.sort();
    // The recorder and the analyzer meet in the schema only; the recorder is the leaner of the two.
    assert_eq!(
        found,
        [
            "memsoak-analyze: anyhow chrono clap csv dejavu flate2 humantime image indicatif memsoak-schema \
             plotters serde serde_json statrs thiserror; tests: insta proptest rustix tempfile",
            "memsoak-record: anyhow chrono clap humantime memsoak-schema rustix serde_json \
             signal-hook thiserror; tests: divan proptest tempfile",
            "memsoak-schema: rusqlite serde_json thiserror; tests: rusqlite tempfile",
            "memsoak: anyhow memsoak-analyze memsoak-record memsoak-schema; \
             tests: clap libc rusqlite rustix serde_json tempfile",
        ]
    );
}

/// A child would inherit the recorder's place with the OOM killer.
#[test]
fn the_recorder_starts_no_program_but_itself() {
    let mut starting = files_with(|line| names_crate(line, "Command"));
    assert!(starting.contains(&"tests/support/mod.rs".to_owned()));
    // There it is one of clap's words.
    starting.retain(|path| path.starts_with("recorder/src") && !path.ends_with("/cli.rs"));
    assert_eq!(starting, ["recorder/src/run/probe.rs"]);
}

#[test]
fn only_the_schema_and_the_tests_of_the_whole_name_sqlite() {
    let mut naming = files_with(|line| names_crate(line, "rusqlite"));
    naming.retain(|path| !path.starts_with("schema/"));
    assert_eq!(
        naming,
        [
            // It puts numbers into a recording that no writer takes.
            "fuzz/targets/values.rs",
            "tests/e2e/aside.rs",
            "tests/e2e/exit_codes.rs",
            "tests/e2e/queries.rs",
            "tests/formats.rs",
            "tests/support/mod.rs"
        ]
    );
}

#[test]
fn sql_stands_in_the_schema() {
    let is_sql = |line: &str| {
        [
            "SELECT ",
            "INSERT ",
            "PRAGMA ",
            "DELETE FROM",
            "CREATE TABLE",
            "CREATE VIEW",
        ]
        .iter()
        .any(|word| line.contains(word))
    };
    let mut with = files_with(is_sql);
    assert!(with.iter().any(|path| path == "schema/src/writer.rs"));
    with.retain(|path| !path.starts_with("schema/") && !path.starts_with("tests/e2e/"));
    // The parsers' test compares the columns of each source with the migration's text.
    assert_eq!(
        with,
        [
            "fuzz/targets/values.rs",
            "recorder/tests/parsers/described.rs",
            "tests/formats.rs",
            "tests/support/mod.rs"
        ]
    );
}

#[test]
fn unsafe_code_stands_in_one_file_of_an_example() {
    let with = files_with(|line| names_crate(line, "unsafe"));
    assert_eq!(with, ["examples/leak_lab/lab/system.rs"]);
}

#[test]
fn one_file_draws() {
    let with = files_with(|line| names_crate(line, "plotters"));
    assert_eq!(with, ["analyzer/src/chart/draw.rs"]);
}

#[test]
fn the_command_lines_know_the_parser_of_arguments() {
    let with = files_with(|line| names_crate(line, "clap"));
    assert_eq!(
        with,
        [
            "analyzer/src/cli.rs",
            "examples/leak_hunt/main.rs",
            "recorder/src/cli.rs"
        ]
    );
}

#[test]
fn programs_print_through_their_command_lines() {
    let prints = |line: &str| {
        let line = line.replace("eprint", "");
        line.contains("println!") || line.contains("print!(") || line.contains("stdout()")
    };
    let mut with = files_with(prints);
    with.retain(|path| !path.starts_with("examples/") && !path.contains("/examples/"));
    assert_eq!(
        with,
        [
            "analyzer/src/cli.rs",
            "recorder/src/cli.rs",
            "tests/support/mod.rs"
        ]
    );
}

#[test]
fn statistics_see_only_numbers_and_sources_only_the_schema_and_the_root() {
    let crates = |folder: &str| -> BTreeSet<String> {
        let found = rust_files();
        let of_folder = found.iter().filter(|path| path.starts_with(folder));
        of_folder
            .flat_map(|path| code_lines(path))
            .filter_map(|(_, line)| {
                let used = line.trim().strip_prefix("use ")?;
                let parts: Vec<&str> = used.split("::").collect();
                let keep = if parts[0] == "crate" { 2 } else { 1 };
                let used = parts.get(..keep)?.join("::");
                Some(used.trim_end_matches(';').to_owned())
            })
            .collect()
    };
    let list = |folder| crates(folder).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(list("analyzer/src/stats"), "statrs std super");
    assert_eq!(
        list("recorder/src/source"),
        "crate::root memsoak_schema rustix std super"
    );
}

#[test]
fn nothing_is_left_for_later_and_no_path_of_a_persons_machine_stands_anywhere() {
    // Put together here, so that this file does not hold them itself.
    let words: Vec<String> = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["/ho", "me/"],
        ["/ro", "ot/"],
        ["/wo", "rk/"],
        ["/Us", "ers/"],
    ]
    .iter()
    .map(|parts| parts.concat())
    .collect();
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(repo().join(&path)) else {
            continue; // a file that is no text
        };
        for (at, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {line}", path.display(), at + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_rust_file_says_first_what_it_is_for() {
    for path in rust_files() {
        let text = fs::read_to_string(repo().join(&path)).unwrap();
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}
