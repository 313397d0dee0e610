//! The verdicts on made series.

use super::*;
use crate::stats;

const MIB: f64 = 1_048_576.0;

/// Ten samples a minute for `hours`, of a made series with some churn.
fn made(hours: f64, f: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
    let n = stats::index_of(hours * 60.0, 100_000);
    let t: Vec<f64> = (0..n).map(|i| 60.0 * i as f64).collect();
    let churn = |i: usize| ((i * 7919) % 61) as f64 * 4096.0;
    let v = t
        .iter()
        .enumerate()
        .map(|(i, t)| f(t / 3600.0).round() + churn(i))
        .collect();
    (t, v)
}

fn judged(hours: f64, f: impl Fn(f64) -> f64) -> Judgement {
    let (t, v) = made(hours, f);
    judge_blocks(&Blocks::from_samples(&t, &v), &Traits::default())
}

#[test]
fn one_large_step_is_no_leak_whatever_creeps_beside_it() {
    let hours = |i: u32| f64::from(i) / 360.0;
    let t: Vec<f64> = (0..20_000).map(|i| 10.0 * f64::from(i)).collect();
    let v: Vec<f64> = (0..20_000_u32)
        .map(|i| {
            let step = if i > 13_000 { 8.0 * 1_048_576.0 } else { 0.0 };
            let creep = (1_800.0 * hours(i) / 4_096.0).floor() * 4_096.0;
            5e8 + step + creep
        })
        .collect();
    let judgement = judge(&Cells::from_samples(&t, &v), &Traits::default());
    let called = matches!(judgement.verdict, Verdict::Leak | Verdict::Suspect);
    assert!(!called, "{:?}", judgement.evidence);
}

#[test]
fn a_steady_leak_is_called_with_its_rate_inside_the_interval() {
    let j = judged(12.0, |h| 100.0 * MIB + 2.0 * MIB * h);
    assert_eq!(j.verdict, Verdict::Leak);
    let rate = 2.0 * MIB / 3600.0;
    assert!((j.slope_per_s / rate - 1.0).abs() < 0.02);
    assert!(j.slope_low_per_s < rate && rate < j.slope_high_per_s);
    assert_eq!((j.since_s, j.method), (Some(0.0), "theil_sen"));
    assert!((j.growth / (24.0 * MIB) - 1.0).abs() < 0.03);
    assert!(j.evidence.iter().all(|e| e.passed));
}

/// Verdict, slope per hour and p of an independent implementation of the same rules in Python
/// (numpy 2, scipy 1) on the same made series.
#[test]
fn the_reference_implementation_agrees() {
    let cases = [
        (
            "line",
            judged(12.0, |h| 100.0 * MIB + 2.0 * MIB * h),
            Verdict::Leak,
            2_098_115.764_705_882_4,
            0.0,
        ),
        (
            "late",
            judged(12.0, |h| 100.0 * MIB + 3.0 * MIB * (h - 5.0).max(0.0)),
            Verdict::Leak,
            3_146_691.764_705_882_4,
            8.232_683_685_563_595e-6,
        ),
        (
            "wave",
            judged(12.0, |h| {
                100.0 * MIB + 3.0 * MIB * h + 6.0 * MIB * (4.0 * h).sin()
            }),
            Verdict::Leak,
            3_172_072.619_295_353,
            0.0,
        ),
        (
            "fall",
            judged(12.0, |h| 100.0 * MIB - MIB * h),
            Verdict::Shrinking,
            -1_048_721.599_999_998_2,
            1.0,
        ),
    ];
    for (name, j, verdict, slope, p) in cases {
        assert_eq!(j.verdict, verdict, "{name}");
        assert!(
            (j.slope_per_s * 3600.0 / slope - 1.0).abs() < 1e-6,
            "{name} {}",
            j.slope_per_s
        );
        assert!((j.p_drift - p).abs() < 1e-9, "{name} {}", j.p_drift);
    }
}

#[test]
fn a_leak_beside_a_large_warm_up_is_called_at_its_rate() {
    let j = judged(12.0, |h| {
        100.0 * MIB + 2.0 * MIB * h + 40.0 * MIB * (1.0 - (-2.0 * h).exp())
    });
    assert_eq!(j.verdict, Verdict::Leak);
    let rate = 2.0 * MIB / 3600.0;
    assert!((j.slope_per_s / rate - 1.0).abs() < 0.03);
    assert!(j.slope_low_per_s < rate && rate < j.slope_high_per_s);
}

#[test]
fn a_late_leak_is_dated() {
    let j = judged(20.0, |h| 100.0 * MIB + 3.0 * MIB * (h - 9.0).max(0.0));
    assert_eq!(j.verdict, Verdict::Leak);
    assert!((j.since_s.expect("a leak has an onset") / 3600.0 - 9.0).abs() < 1.0);
}

#[test]
fn growth_that_ends_is_no_leak() {
    let fill = judged(12.0, |h| 100.0 * MIB + 50.0 * MIB * (1.0 - (-h).exp()));
    assert_eq!(fill.verdict, Verdict::Plateau);
    let step = judged(12.0, |h| 100.0 * MIB + 20.0 * MIB * f64::from(h > 7.0));
    assert_eq!(step.verdict, Verdict::Step);
    assert!((step.since_s.expect("a step has an instant") / 3600.0 - 7.0).abs() < 0.5);
    assert!((step.growth / (20.0 * MIB) - 1.0).abs() < 0.05);
    let wave = judged(12.0, |h| 100.0 * MIB + 9.0 * MIB * (h * 2.0).sin());
    assert_eq!(wave.verdict, Verdict::Steady);
    assert_eq!(
        judged(12.0, |h| 100.0 * MIB - MIB * h).verdict,
        Verdict::Shrinking
    );
    assert_eq!(judged(12.0, |_| 100.0 * MIB).verdict, Verdict::Steady);
}

#[test]
fn traits_turn_a_leak_into_what_it_is() {
    let (t, v) = made(12.0, |h| 100.0 * MIB + 2.0 * MIB * h);
    let cells = Cells::from_samples(&t, &v);
    let with = |traits| judge(&cells, &traits).verdict;
    let none = Traits::default();
    assert_eq!(
        with(Traits {
            reclaimable: true,
            ..none
        }),
        Verdict::Reclaimable
    );
    assert_eq!(
        with(Traits {
            floor: 30.0 * MIB,
            ..none
        }),
        Verdict::Steady
    );
    assert_eq!(
        with(Traits {
            planned_span_s: Some(90_000.0),
            ..none
        }),
        Verdict::Suspect
    );
    assert_eq!(
        with(Traits {
            planned_span_s: Some(50_000.0),
            ..none
        }),
        Verdict::Leak
    );
}

#[test]
fn lives_that_leak_make_a_leak_and_their_jumps_do_not() {
    let life = |from: f64, per_hour: f64| {
        let (t, v) = made(4.0, |h| 100.0 * MIB + per_hour * MIB * h);
        let t: Vec<f64> = t.iter().map(|t| t + 3600.0 * from).collect();
        Cells::from_samples(&t, &v)
    };
    let traits = Traits::default();
    let leaks = judge_lives(&[life(0.0, 4.0), life(4.0, 6.0), life(8.0, 5.0)], &traits);
    assert_eq!(leaks.verdict, Verdict::Leak);
    assert!((leaks.slope_per_s * 3600.0 / MIB - 5.0).abs() < 0.2);
    let healthy = judge_lives(&[life(0.0, 0.0), life(4.0, 0.0)], &traits);
    assert_eq!(healthy.verdict, Verdict::Steady);
}

#[test]
fn too_little_is_said_to_be_so() {
    let few: Vec<f64> = (0..35).map(f64::from).collect();
    let j = judge(&Cells::from_samples(&few, &few), &Traits::default());
    assert_eq!((j.verdict, j.evidence.len()), (Verdict::TooShort, 1));
    let nothing = Cells::from_samples(&[0.0, 1.0], &[f64::NAN, f64::NAN]);
    assert_eq!(
        judge(&nothing, &Traits::default()).verdict,
        Verdict::Unjudgeable
    );
    assert_eq!(
        judge_lives(&[], &Traits::default()).verdict,
        Verdict::Unjudgeable
    );
    // Two bursts of samples with nothing between fill two blocks.
    let t: Vec<f64> = (0..40)
        .map(|i| f64::from(i) + if i < 20 { 0.0 } else { 1e6 })
        .collect();
    let v: Vec<f64> = (0..40).map(f64::from).collect();
    assert_eq!(
        judge(&Cells::from_samples(&t, &v), &Traits::default()).verdict,
        Verdict::TooShort
    );
}

#[test]
fn a_constant_series_is_steady_without_a_fit() {
    let t: Vec<f64> = (0..100).map(f64::from).collect();
    let j = judge(&Cells::from_samples(&t, &[5.0; 100]), &Traits::default());
    assert_eq!(j.verdict, Verdict::Steady);
    assert!(j.fit.is_none() && j.evidence.is_empty());
}

#[test]
fn evidence_names_rules_of_the_table() {
    for f in [
        |h: f64| 9.0 * MIB * h,
        |h: f64| MIB * (h * 2.0).sin(),
        |h: f64| MIB * h.min(5.0),
    ] {
        for e in judged(12.0, |h| 100.0 * MIB + f(h)).evidence {
            assert!(
                e.rule == "floor" || RULES.iter().any(|r| r.name == e.rule),
                "{}",
                e.rule
            );
        }
    }
}

#[test]
fn unit_and_clock_do_not_matter() {
    let (t, v) = made(12.0, |h| {
        100.0 * MIB + 2.0 * MIB * h + MIB * (h * 3.0).sin()
    });
    let base = judge_blocks(&Blocks::from_samples(&t, &v), &Traits::default());
    let later: Vec<f64> = t.iter().map(|t| t + 1e6).collect();
    let pages: Vec<f64> = v.iter().map(|v| v / 4096.0).collect();
    let other = judge_blocks(&Blocks::from_samples(&later, &pages), &Traits::default());
    assert_eq!(base.verdict, other.verdict);
    assert!((base.slope_per_s / other.slope_per_s / 4096.0 - 1.0).abs() < 1e-6);
}

proptest::proptest! {
    #[test]
    fn no_numbers_make_it_panic(
        rows in proptest::collection::vec((proptest::num::f64::ANY, proptest::num::f64::ANY), 0..300),
    ) {
        let (t, v): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
        let coarse = judge(&Cells::from_samples(&t, &v), &Traits::default());
        let exact = judge_blocks(&Blocks::from_samples(&t, &v), &Traits::default());
        proptest::prop_assert_eq!(coarse.verdict == Verdict::TooShort, exact.verdict == Verdict::TooShort);
    }

    #[test]
    fn cells_and_exact_blocks_agree_in_the_slope(
        jumps in proptest::collection::vec(0u32..9, 40..700),
    ) {
        let mut level = 0.0;
        let v: Vec<f64> = jumps.iter().map(|j| { level += f64::from(*j); level }).collect();
        let t: Vec<f64> = (0..v.len()).map(|i| 10.0 * i as f64).collect();
        let exact = judge_blocks(&Blocks::from_samples(&t, &v), &Traits::default());
        let coarse = judge(&Cells::from_samples(&t, &v), &Traits::default());
        // Where two shapes fit about as well, cells and exact blocks may choose differently.
        if exact.method == "theil_sen" && coarse.method == "theil_sen" {
            proptest::prop_assert!((exact.slope_per_s / coarse.slope_per_s - 1.0).abs() < 0.1);
        }
        for j in [&exact, &coarse] {
            proptest::prop_assert!(j.slope_low_per_s <= j.slope_per_s);
            proptest::prop_assert!(j.slope_per_s <= j.slope_high_per_s);
        }
    }
}
