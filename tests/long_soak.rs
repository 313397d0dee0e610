//! A week of the made-up soak, at a tick a quarter of an hour: its leak is found, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "support/made_up_soak/mod.rs"]
mod made_up_soak;

use made_up_soak::{LEAKER, Soak};
use memsoak_analyze::findings::{Analysis, analyse};
use memsoak_analyze::verdict::Verdict;
use memsoak_schema::Recording;

fn a_week(leak_kib_per_hour: u32) -> Analysis {
    a_week_within(leak_kib_per_hour, 672, None).0
}

/// The week in so many ticks and bytes, and how many ticks the recording has at the end.
fn a_week_within(leak_kib_per_hour: u32, ticks: u32, most_bytes: Option<u64>) -> (Analysis, u64) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("week.db");
    let soak = Soak {
        ticks,
        processes: 112,
        interval_s: 7 * 86_400 / ticks,
        leak_kib_per_hour,
        seed: 2,
        most_bytes,
    };
    made_up_soak::write(&file, &soak).unwrap();
    if let Some(most) = most_bytes {
        assert!(std::fs::metadata(&file).unwrap().len() <= most);
    }
    let analysis = analyse(&Recording::open(&file).unwrap(), |_| {}).unwrap();
    let kept = analysis.index.ticks;
    (analysis, kept)
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

#[test]
fn a_week_that_is_thinned_to_a_bound_names_the_same_leak_with_the_same_slope() {
    const TICKS: u32 = 2016;
    let (whole, _) = a_week_within(1440, TICKS, None);
    let (thin, kept) = a_week_within(1440, TICKS, Some(4 << 20));
    assert!(kept * 2 < u64::from(TICKS) * 3 / 2, "{kept} ticks are kept");
    assert_eq!(thin.verdict(), whole.verdict());
    assert_eq!(called(&whole), [LEAKER]);
    assert_eq!(called(&thin)[0], LEAKER);
    let of = |analysis: &Analysis, verdict| analysis.by_verdict.get(&verdict).copied();
    assert_eq!(of(&thin, Verdict::Leak), of(&whole, Verdict::Leak));
    let slope = |analysis: &Analysis| analysis.judged[analysis.findings[0].head].slope_per_hour();
    let ratio = slope(&thin) / slope(&whole);
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
    // Wider steps are no gaps.
    assert_eq!(thin.index.boots[0].gaps, vec![]);
    assert_eq!(thin.index.missed, whole.index.missed);
}
