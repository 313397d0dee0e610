//! Verdicts on seeded noise, with and without a leak.

use super::*;

/// Seeded normal noise: the same series in every run (Marsaglia's xorshift, Box-Muller).
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A first-order autoregression of unit variance, or a random walk for `phi` = 1.
    pub(super) fn series(&mut self, n: usize, phi: f64) -> Vec<f64> {
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
