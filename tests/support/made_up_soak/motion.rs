//! How a number of a machine moves over the days.

use memsoak_schema::Value;

pub(super) const HOUR: f64 = 3600.0;
pub(super) const DAY: f64 = 24.0 * HOUR;

/// A random number generator with good enough bits (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// Those of one source, so that what happens in it does not depend on which others there are.
    pub(super) fn of(seed: u32, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash.wrapping_add(seed.into()))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even between two numbers.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Roughly normal, with standard deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f64>() - 6.0
    }
}

/// How a number moves; what is zero takes no part.
#[derive(Clone, Debug, Default)]
pub(super) struct Motion {
    pub(super) level: f64,
    /// At which share of the ticks it is seen to move.
    pub(super) share: f64,
    /// Standard deviation about its level, to which it is drawn back within some minutes.
    pub(super) wander: f64,
    pub(super) drawn_s: f64,
    /// A garbage collector's saw-tooth.
    pub(super) saw: f64,
    pub(super) saw_s: f64,
    saw_from: f64,
    saw_to: f64,
    /// A cache that fills to this height with this time constant, and stays.
    pub(super) fill: f64,
    pub(super) fill_s: f64,
    /// The load of the day.
    pub(super) wave: f64,
    /// A single step and when it comes.
    pub(super) step: f64,
    pub(super) step_s: f64,
    /// Growth without end, by second: a running total, or a leak.
    pub(super) rise_per_s: f64,
    /// Rounds down to a multiple.
    pub(super) grain: f64,
    away: f64,
    last_s: f64,
    pub(super) shown: i64,
}

impl Motion {
    pub(super) fn around(level: f64, wander: f64, share: f64) -> Self {
        Self {
            level,
            wander,
            drawn_s: 900.0,
            share,
            grain: 1.0,
            ..Self::default()
        }
    }

    /// A cache that fills.
    pub(super) fn filling(mut self, by: f64, time_constant_s: f64) -> Self {
        self.fill = by;
        self.fill_s = time_constant_s;
        self
    }

    /// Moves on to a time; whether it is seen to.
    pub(super) fn step_to(&mut self, t_s: f64, dice: &mut Dice) -> bool {
        if self.wander > 0.0 {
            let keep = (-(t_s - self.last_s) / self.drawn_s).exp();
            self.away = self.away * keep + (1.0 - keep * keep).sqrt() * dice.normal();
        }
        self.last_s = t_s;
        if t_s > 0.0 && dice.between(0.0, 1.0) >= self.share {
            return false;
        }
        let mut value = self.level + self.wander * self.away + self.rise_per_s * t_s;
        if self.saw > 0.0 {
            while t_s >= self.saw_to {
                self.saw_from = self.saw_to;
                self.saw_to += self.saw_s * dice.between(0.7, 1.3);
            }
            value += self.saw * (t_s - self.saw_from) / (self.saw_to - self.saw_from);
        }
        if self.fill > 0.0 {
            value += self.fill * (1.0 - (-t_s / self.fill_s).exp());
        }
        if self.wave > 0.0 {
            value += self.wave * (1.0 - (t_s * std::f64::consts::TAU / DAY).cos()) / 2.0;
        }
        if t_s >= self.step_s {
            value += self.step;
        }
        let shown = whole((value.max(0.0) / self.grain).floor() * self.grain);
        let moved = shown != self.shown;
        self.shown = shown;
        moved
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "made-up amounts of memory, far below 2^53"
)]
pub(super) fn whole(value: f64) -> i64 {
    value as i64
}

pub(super) fn number(value: Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}
