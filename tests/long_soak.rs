//! A week of the made-up soak, at a tick a quarter of an hour: its leak is found, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "support/made_up_soak.rs"]
mod made_up_soak;

use made_up_soak::{LEAKER, Soak};
use memsoak_analyze::findings::{Analysis, analyse};
use memsoak_schema::Recording;

fn a_week(leak_kib_per_hour: u32) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("week.db");
    let soak = Soak {
        ticks: 672,
        processes: 112,
        interval_s: 900,
        leak_kib_per_hour,
        seed: 2,
    };
    made_up_soak::write(&file, &soak).unwrap();
    analyse(&Recording::open(&file).unwrap(), |_| {}).unwrap()
}

fn called(analysis: &Analysis) -> Vec<&str> {
    analysis
        .findings
        .iter()
        .map(|finding| analysis.judged[finding.head].name.name.as_str())
        .collect()
}

#[test]
fn the_one_leak_of_a_made_up_week_is_the_only_finding() {
    let analysis = a_week(1440);
    assert_eq!(called(&analysis), [LEAKER]);
    assert_eq!(analysis.verdict(), "leak");
    let per_hour = analysis.judged[analysis.findings[0].head].slope_per_hour() / 1024.0;
    assert!((1200.0..1700.0).contains(&per_hour), "{per_hour} KiB/h");
}

#[test]
fn a_made_up_week_without_a_leak_is_clean() {
    let analysis = a_week(0);
    assert_eq!(called(&analysis), [""; 0]);
    assert_eq!(analysis.verdict(), "clean");
}
