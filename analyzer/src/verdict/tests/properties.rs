//! What holds for every series.

use super::*;

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
