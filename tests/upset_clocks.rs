//! What soak tests do to clocks: slopes stay what they were, and dates stay right.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "support/made_up_soak/mod.rs"]
mod made_up_soak;

use made_up_soak::{LEAKER, Soak, Upset, WALL_OFFSET_US, write_upset};
use memsoak_analyze::findings::{Analysis, Judged, analyse};
use memsoak_schema::Recording;

const S: i64 = 1_000_000;
const HOUR: i64 = 3_600 * S;
const YEAR: i64 = 365 * 24 * HOUR;

/// A tick a quarter of an hour.
const INTERVAL_S: u32 = 900;

/// Four days.
const TICKS: u32 = 384;

/// A soak of so many ticks, analysed.
fn soak(ticks: u32, offset_us: i64, upsets: &[(u32, Upset)]) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upset.db");
    let soak = Soak {
        ticks,
        processes: 112,
        interval_s: INTERVAL_S,
        leak_kib_per_hour: 8192,
        seed: 2,
        most_bytes: None,
    };
    write_upset(&file, &soak, offset_us, upsets).unwrap();
    analyse(&Recording::open(&file).unwrap(), |_| {}).unwrap()
}

fn upset(upsets: &[(u32, Upset)]) -> Analysis {
    soak(TICKS, WALL_OFFSET_US, upsets)
}

fn leaker(analysis: &Analysis, boot: usize) -> &Judged {
    let is_it = |one: &&Judged| {
        one.key.boot == boot && one.name.name == LEAKER && one.name.metric.starts_with("rss_anon")
    };
    analysis.judged.iter().find(is_it).unwrap()
}

/// Within 1 % of what it is in an undisturbed soak.
fn keeps_its_slope(of: &Judged, undisturbed: &Judged) {
    let ratio = of.slope_per_hour() / undisturbed.slope_per_hour();
    assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
    assert_eq!(of.judgement.verdict, undisturbed.judgement.verdict);
}

/// What is called a leak, by name.
fn called(analysis: &Analysis) -> Vec<&str> {
    let name = |head: usize| analysis.judged[head].name.name.as_str();
    analysis.findings.iter().map(|one| name(one.head)).collect()
}

/// Wall time of the first tick of a boot, to the second.
fn starts_at(analysis: &Analysis, boot: usize) -> i64 {
    let boot = &analysis.index.boots[boot];
    let at = analysis.index.wall_us(boot.boot.boot, boot.start_us);
    at.unwrap() / S
}

/// The machine's boot clock is at 90 s when a recording starts.
const START: i64 = WALL_OFFSET_US / S + 90;

#[test]
fn a_clock_that_is_set_by_a_year_and_back_changes_no_slope_and_no_date() {
    let undisturbed = upset(&[]);
    assert_eq!(called(&undisturbed)[0], LEAKER);
    assert_eq!(starts_at(&undisturbed, 0), START);
    for year in [YEAR, -YEAR] {
        let set = upset(&[(150, Upset::Clock(year)), (200, Upset::Clock(-year))]);
        keeps_its_slope(leaker(&set, 0), leaker(&undisturbed, 0));
        assert_eq!(called(&set), called(&undisturbed));
        assert_eq!(starts_at(&set, 0), START);
        assert_eq!(set.index.clock.len(), 3, "the steps stand in the recording");
        // Set for good it is a step as well; that the machine was right for longer decides.
        let set = upset(&[(300, Upset::Clock(year))]);
        keeps_its_slope(leaker(&set, 0), leaker(&undisturbed, 0));
        assert_eq!(starts_at(&set, 0), START);
    }
}

#[test]
fn a_board_that_gets_its_date_late_is_dated_backwards() {
    let late = soak(TICKS, 0, &[(350, Upset::Clock(WALL_OFFSET_US))]);
    keeps_its_slope(leaker(&late, 0), leaker(&upset(&[]), 0));
    assert_eq!(starts_at(&late, 0), START);
}

#[test]
fn a_machine_that_slept_leaks_as_fast_as_it_does_awake() {
    let undisturbed = upset(&[]);
    let slept = upset(&[
        (100, Upset::Suspend(8 * HOUR)),
        (200, Upset::Suspend(16 * HOUR)),
    ]);
    keeps_its_slope(leaker(&slept, 0), leaker(&undisturbed, 0));
    assert_eq!(called(&slept)[0], LEAKER);
    let gaps = &slept.index.boots[0].gaps;
    assert_eq!(gaps.len(), 2);
    for (from, to, why) in gaps {
        assert_eq!(why, "the machine was suspended");
        assert!(to - from >= 8.0 * 3600.0);
    }
    // The axis goes on in the sleep, and so do dates.
    let longer = slept.index.boots[0].span_s() - undisturbed.index.boots[0].span_s();
    assert!((longer - 24.0 * 3600.0).abs() < 1.0, "{longer}");
}

#[test]
fn a_reboot_parts_two_series_and_no_difference_is_taken_across_it() {
    let reboot = upset(&[(300, Upset::Reboot)]);
    assert_eq!(reboot.index.boots.len(), 2);
    let until_then = soak(300, WALL_OFFSET_US, &[]);
    keeps_its_slope(leaker(&reboot, 0), leaker(&until_then, 0));
    let (first, last) = (&reboot.index.boots[0], &reboot.index.boots[1]);
    assert_eq!((first.ticks, last.ticks), (300, 84));
    // The second boot is dated after the first one.
    let interval = i64::from(INTERVAL_S);
    assert_eq!(starts_at(&reboot, 1), START + 300 * interval);
    // The leak is found in the boot that is long enough for it.
    assert_eq!(called(&reboot)[0], LEAKER);
}
