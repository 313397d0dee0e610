//! Seeded pseudo-random numbers, the same on every machine and with every version.
//!
//! Own code, as a generator's stream may change between versions of a crate, and the figures in
//! docs/ACCURACY.md and the floors of the tests belong to one stream.

/// `SplitMix64` (Steele, Lea & Flood, OOPSLA 2014): 64 bits of state, passes `BigCrush`.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// A stream of its own for each path, so that another family or one series more moves no other.
    pub(crate) fn new(path: &[u64]) -> Self {
        let mut random = Self(GOLDEN_GAMMA);
        for part in path {
            random.0 ^= part.wrapping_mul(GOLDEN_GAMMA);
            random.0 = random.bits();
        }
        random
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even over 0 to 1, 1 left out.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Even over `low` to `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Even over the logarithms of `low` to `high`: as many near 1 MiB as near 1 GiB.
    pub(crate) fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// One of `low..=high`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number between two small ones"
    )]
    pub(crate) fn whole(&mut self, low: usize, high: usize) -> usize {
        (self.between(low as f64, high as f64 + 1.0) as usize).min(high)
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box & Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// `n` values of a first-order autoregression with variance 1, from its long-run state on; with
    /// `phi` 1 a random walk from 0 with steps of variance 1.
    pub(crate) fn autoregression(&mut self, n: usize, phi: f64) -> Vec<f64> {
        let stationary = phi < 1.0;
        let step = if stationary {
            (1.0 - phi * phi).sqrt()
        } else {
            1.0
        };
        let mut now = if stationary { self.normal() } else { 0.0 };
        (0..n)
            .map(|_| {
                let value = now;
                now = phi * now + step * self.normal();
                value
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_of_the_published_generator() {
        // The first outputs for the seed 1234567, as the reference implementation in C prints them
        // (Vigna, splitmix64.c) and as other ports of it check.
        let mut random = Random(1_234_567);
        let bits: Vec<u64> = (0..5).map(|_| random.bits()).collect();
        assert_eq!(
            bits,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn an_autoregression_has_its_variance_and_its_memory() {
        for phi in [0.0, 0.5, 0.9] {
            let values = Random::new(&[1, 2]).autoregression(200_000, phi);
            let n = values.len() as f64;
            let variance = values.iter().map(|x| x * x).sum::<f64>() / n;
            let lagged = values.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n;
            // Four standard errors of the variance at phi = .9 are .06.
            assert!((variance - 1.0).abs() < 0.06, "{phi}: {variance}");
            assert!((lagged / variance - phi).abs() < 0.01, "{phi}: {lagged}");
        }
    }
}
