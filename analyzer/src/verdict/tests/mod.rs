//! The verdicts on made series.

mod noise;
mod properties;

use super::*;
use crate::stats;
use noise::Noise;

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
            2_096_995.961_904_764_2,
            0.0,
        ),
        (
            "late",
            judged(12.0, |h| 100.0 * MIB + 3.0 * MIB * (h - 5.0).max(0.0)),
            Verdict::Leak,
            3_145_571.961_904_764,
            3.441_464_722_628_204e-6,
        ),
        (
            "wave",
            judged(12.0, |h| {
                100.0 * MIB + 3.0 * MIB * h + 6.0 * MIB * (4.0 * h).sin()
            }),
            Verdict::Leak,
            3_169_334.703_479_788_3,
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
fn a_leak_of_a_hundredth_of_the_warm_up_before_it_is_called() {
    let warm_up = |h: f64| 100.0 * MIB + 400.0 * MIB * (1.0 - (-2.0 * h).exp());
    let j = judged(12.0, |h| warm_up(h) + 0.33 * MIB * h);
    assert_eq!(j.verdict, Verdict::Leak, "{:?}", j.evidence);
    assert!((j.slope_per_s * 3600.0 / (0.33 * MIB) - 1.0).abs() < 0.1);
    assert_eq!(judged(12.0, warm_up).verdict, Verdict::Plateau);
}

#[test]
fn a_warm_up_with_a_long_tail_is_no_leak() {
    // Its rate at the end is a hundredth of that at the start, and no exponential has such a tail.
    let j = judged(12.0, |h| 100.0 * MIB + 60.0 * MIB * h / (h + 1.2));
    assert_eq!(j.verdict, Verdict::Plateau, "{:?}", j.evidence);
}

#[test]
fn a_leak_under_teeth_shorter_than_two_blocks_is_called() {
    // 29 teeth in 48 blocks, each five times as high as what leaks in all.
    let j = judged(12.0, |h| {
        100.0 * MIB + 2.0 * MIB * h / 12.0 + 10.0 * MIB * (h * 29.0 / 12.0).fract()
    });
    assert_eq!(j.verdict, Verdict::Leak, "{:?}", j.evidence);
    let flat = judged(12.0, |h| {
        100.0 * MIB + 10.0 * MIB * (h * 29.0 / 12.0).fract()
    });
    assert_eq!(flat.verdict, Verdict::Steady);
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

#[test]
fn few_equal_steps_at_even_intervals_are_a_leak_and_uneven_ones_are_not() {
    let steps = |at: &[f64]| {
        let t: Vec<f64> = (0..480).map(|i| 10.0 * f64::from(i)).collect();
        let level = |t: f64| at.iter().filter(|a| **a * 4800.0 <= t).count() as f64;
        let v: Vec<f64> = t.iter().map(|t| 1e6 + 4096.0 * level(*t)).collect();
        judge_blocks(&Blocks::from_samples(&t, &v), &Traits::default()).verdict
    };
    assert_eq!(steps(&[0.17, 0.37, 0.57, 0.77, 0.97]), Verdict::Leak);
    assert_ne!(steps(&[0.17, 0.22, 0.30, 0.77, 0.80]), Verdict::Leak);
}

#[test]
fn a_leak_hidden_by_a_fill_is_called_on_the_later_part() {
    let mut noise = Noise(521_288_629_546_311);
    let e = noise.series(720, 0.0);
    let made = judged(12.0, |h| {
        let i = stats::index_of(60.0 * h, 719);
        100.0 * MIB + 2.0 * MIB * h + 20.0 * MIB * h.min(3.0) + 0.3 * MIB * e[i]
    });
    assert_eq!(made.verdict, Verdict::Leak, "{:?}", made.evidence);
    assert_eq!(made.evidence[0].rule, "later_part");
    let rate = 2.0 * MIB / 3600.0;
    assert!((made.slope_per_s / rate - 1.0).abs() < 0.3);
    assert!(made.slope_low_per_s < rate && rate < made.slope_high_per_s);
}

#[test]
fn what_is_no_leak_says_what_would_change_that() {
    let cases = [
        judged(12.0, |h| 100.0 * MIB + 20.0 * MIB * f64::from(h > 7.0)),
        judged(12.0, |h| 100.0 * MIB + 50.0 * MIB * (1.0 - (-h).exp())),
        judged(12.0, |_| 100.0 * MIB),
        judged(12.0, |h| 100.0 * MIB - MIB * h),
        judged(0.5, |h| h),
    ];
    for j in cases {
        let change = j.would_change.expect("no leak");
        assert!(change.len() > 10, "{change}");
    }
    assert!(judged(12.0, |h| 2.0 * MIB * h).would_change.is_none());
}

#[test]
fn before_half_the_plan_growth_is_too_early_to_say() {
    let (t, v) = made(12.0, |h| 100.0 * MIB + 2.0 * MIB * h);
    let traits = Traits {
        planned_span_s: Some(48.0 * 3600.0),
        ..Traits::default()
    };
    let j = judge(&Cells::from_samples(&t, &v), &traits);
    let early = j.too_early.expect("a quarter of the plan");
    assert!((early.done - 0.25).abs() < 0.01 && (early.needed - 0.5).abs() < 1e-12);
    let text = &j.evidence.last().expect("the rule").text;
    assert!(
        text.starts_with("growing, too early to say: 25 %"),
        "{text}"
    );
    assert!(text.contains("50 % are needed"), "{text}");
    let whole = judge(&Cells::from_samples(&t, &v), &Traits::default());
    assert!(whole.too_early.is_none());
}
