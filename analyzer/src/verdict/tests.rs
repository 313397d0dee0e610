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

/// Seeded normal noise: the same series in every run (Marsaglia's xorshift, Box-Muller).
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A first-order autoregression of unit variance, or a random walk for `phi` = 1.
    fn series(&mut self, n: usize, phi: f64) -> Vec<f64> {
        let step = if phi < 1.0 {
            (1.0 - phi * phi).sqrt()
        } else {
            1.0
        };
        let mut x = self.normal();
        (0..n)
            .map(|_| {
                x = phi * x + step * self.normal();
                x
            })
            .collect()
    }
}

/// A level of 1 GB with noise of 1 MB and a growth over the run, in pages.
fn noisy(noise: &[f64], growth: f64) -> Judgement {
    let n = noise.len() as f64;
    let t: Vec<f64> = (0..noise.len()).map(|i| 10.0 * i as f64).collect();
    let pages = |(i, e): (usize, &f64)| ((1e9 + 1e6 * e + growth * i as f64 / n) / 4096.0).round();
    let v: Vec<f64> = noise
        .iter()
        .enumerate()
        .map(|x| 4096.0 * pages(x))
        .collect();
    judge_blocks(&Blocks::from_samples(&t, &v), &Traits::default())
}

fn share_of_leaks(count: u32, mut judged: impl FnMut() -> Judgement) -> f64 {
    let leaks = (0..count)
        .filter(|_| judged().verdict == Verdict::Leak)
        .count();
    leaks as f64 / f64::from(count)
}

#[test]
fn noise_is_seldom_called_and_a_random_walk_rarely() {
    let mut noise = Noise(88_172_645_463_325_252);
    for (phi, most) in [(0.0, 0.01), (0.9, 0.01), (0.99, 0.015), (1.0, 0.03)] {
        let share = share_of_leaks(300, || noisy(&noise.series(720, phi), 0.0));
        assert!(share <= most, "{phi}: {share}");
    }
}

/// The model of the smallest growth against injected leaks: the growth at which 95 % are called
/// lies within a factor of 1.5 of it.
#[test]
fn the_smallest_growth_is_where_injected_leaks_are_called() {
    let mut noise = Noise(362_436_069_362_436_069);
    for phi in [0.0, 0.5, 0.8] {
        let mut found: Vec<f64> = (0..60)
            .map(|_| noisy(&noise.series(480, phi), 0.0).smallest_growth)
            .collect();
        found.sort_by(f64::total_cmp);
        let growth = found[30];
        let mut called =
            |factor: f64| share_of_leaks(200, || noisy(&noise.series(480, phi), factor * growth));
        let (over, under) = (called(1.5), called(1.0 / 1.5));
        assert!(over >= 0.95 && under < 0.95, "{phi}: {over} {under}");
    }
}

#[test]
fn the_interval_holds_the_slope_of_a_noisy_leak() {
    let mut noise = Noise(123_456_789_123_456_789);
    for (phi, least) in [(0.0, 0.90), (0.8, 0.88)] {
        let growth = 2e7;
        let rate = growth / (480.0 * 10.0);
        let judged: Vec<Judgement> = (0..200)
            .map(|_| noisy(&noise.series(480, phi), growth))
            .collect();
        let held = judged
            .iter()
            .filter(|j| j.slope_low_per_s <= rate && rate <= j.slope_high_per_s)
            .count();
        let share = held as f64 / 200.0;
        assert!(least <= share && share <= 0.99, "{phi}: {share}");
    }
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

#[test]
fn odd_series_are_judged_without_harm() {
    let judge_samples =
        |t: &[f64], v: &[f64]| judge(&Cells::from_samples(t, v), &Traits::default());
    assert_eq!(
        judge_samples(&[0.0, 1.0], &[1.0, 9e9]).verdict,
        Verdict::TooShort
    );
    let t: Vec<f64> = (0..400).map(|i| 10.0 * f64::from(i)).collect();
    let equal = judge_samples(&t, &[f64::from(u32::MAX); 400]);
    assert_eq!(
        (equal.verdict, equal.slope_per_s.to_bits()),
        (Verdict::Steady, 0)
    );
    // A counter that wrapped, and one that stays at the top.
    let top = u64::MAX as f64;
    let wrapped: Vec<f64> = (0..400)
        .map(|i| if i == 200 { top } else { f64::from(i % 5) })
        .collect();
    assert_ne!(judge_samples(&t, &wrapped).verdict, Verdict::Leak);
    let huge: Vec<f64> = (0..400).map(|i| top - 1e15 * f64::from(400 - i)).collect();
    let j = judge_samples(&t, &huge);
    assert!(j.slope_per_s.is_finite() && j.smallest_growth.is_finite());
}

/// A leak or not: a line, steps of a page, a wave and noise from seeds.
fn drawn(seed: u64, per_run: f64, wave: f64) -> (Vec<f64>, Vec<f64>) {
    let mut noise = Noise(seed | 1);
    let e = noise.series(480, 0.5);
    let t: Vec<f64> = (0..480).map(|i| 64.0 * f64::from(i)).collect();
    let v = (0..480)
        .map(|i| {
            let u = i as f64 / 480.0;
            let y = 1e8 + per_run * u + wave * (40.0 * u).sin() + 2e5 * e[i];
            (y / 4096.0).round() * 4096.0
        })
        .collect();
    (t, v)
}

fn verdict_and_slope(t: &[f64], v: &[f64]) -> (Verdict, f64) {
    let j = judge_blocks(&Blocks::from_samples(t, v), &Traits::default());
    (j.verdict, j.slope_per_s)
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

    #[test]
    fn units_of_value_and_time_change_the_slope_alone(
        seed in 1u64..1_000_000, growth in 0.0..2e7f64, wave in 0.0..5e6f64, scale in -20i32..20, clock in -6i32..12,
    ) {
        let (t, v) = drawn(seed, growth, wave);
        // Powers of two, so that no rounding differs.
        let (unit, second) = (2f64.powi(scale), 2f64.powi(clock));
        let scaled: Vec<f64> = v.iter().map(|v| v * unit).collect();
        let slower: Vec<f64> = t.iter().map(|t| t * second).collect();
        let (verdict, slope) = verdict_and_slope(&t, &v);
        let (as_scaled, scaled_slope) = verdict_and_slope(&t, &scaled);
        let (as_slower, slower_slope) = verdict_and_slope(&slower, &v);
        proptest::prop_assert_eq!(verdict, as_scaled);
        proptest::prop_assert_eq!(verdict, as_slower);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(1e-300);
        proptest::prop_assert!(near(slope * unit, scaled_slope));
        proptest::prop_assert!(near(slope / second, slower_slope));
    }

    #[test]
    fn a_higher_level_and_a_later_start_leave_the_verdict(
        seed in 1u64..1_000_000, growth in 0.0..2e7f64, pages in 0u32..2000, later in 0u32..1_000_000,
    ) {
        let (t, v) = drawn(seed, growth, 0.0);
        let shifted: Vec<f64> = v.iter().map(|v| v + 4096.0 * f64::from(pages)).collect();
        let moved: Vec<f64> = t.iter().map(|t| t + 64.0 * f64::from(later)).collect();
        let (verdict, slope) = verdict_and_slope(&t, &v);
        for (t, v) in [(&t, &shifted), (&moved, &v)] {
            let (as_moved, moved_slope) = verdict_and_slope(t, v);
            proptest::prop_assert_eq!(verdict, as_moved);
            proptest::prop_assert!((slope - moved_slope).abs() <= 1e-6 * slope.abs().max(1.0));
        }
    }

    #[test]
    fn a_leak_run_backwards_is_none(seed in 1u64..1_000_000, growth in 5e6..1e8f64, wave in 0.0..1e6f64) {
        let (t, mut v) = drawn(seed, growth, wave);
        v.reverse();
        let (verdict, slope) = verdict_and_slope(&t, &v);
        proptest::prop_assert!(!matches!(verdict, Verdict::Leak | Verdict::Suspect), "{}", verdict);
        proptest::prop_assert!(slope < 0.0);
    }

    #[test]
    fn a_clear_leak_outlives_lost_samples_gaps_and_nan(
        seed in 1u64..1_000_000, growth in 2e7..1e8f64, keep in 0.5..1.0f64, gap in 0.15..0.75f64, width in 0.0..0.12f64,
    ) {
        let (t, mut v) = drawn(seed, growth, 0.0);
        let mut chance = Noise(seed.wrapping_mul(2_654_435_761) | 1);
        for (i, v) in v.iter_mut().enumerate() {
            let u = i as f64 / 480.0;
            if chance.uniform() > keep || (gap..gap + width).contains(&u) {
                *v = f64::NAN;
            }
        }
        let (verdict, slope) = verdict_and_slope(&t, &v);
        proptest::prop_assert_eq!(verdict, Verdict::Leak);
        proptest::prop_assert!((slope * 480.0 * 64.0 / growth - 1.0).abs() < 0.1);
    }
}
