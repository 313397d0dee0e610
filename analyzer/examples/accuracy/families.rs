//! The project's own labelled series: seeded families of what memory does, leaking and healthy.
//!
//! Each family is one cause, drawn many times with another length, level, growth, noise, grain and
//! tick. Growth is .05 to 50 % of the level; a family says what else is in the series relative to it.
//! The families were written down before a figure was looked at, and none was left out after.

use crate::case::{Case, Truth};
use crate::random::Random;
use memsoak_analyze::series_csv::Series;
use std::f64::consts::TAU;

const PAGE: f64 = 4096.0;
const HOUR: f64 = 3600.0;
const MIB: f64 = 1024.0 * 1024.0;

/// What stands in for a family's name in the collection's `part`.
pub(crate) const PART: &str = "own";

/// How a series of a family is drawn before its family shapes it.
struct Draft {
    /// Times in seconds.
    t_s: Vec<f64>,
    /// The same from 0 to 1.
    u: Vec<f64>,
    span_s: f64,
    /// Where it stands at first, in bytes.
    level: f64,
    /// How much a leak adds in the whole time, or a healthy series moves, in bytes.
    size: f64,
    /// Standard deviation of the measuring noise, in bytes.
    sigma: f64,
    /// Values are whole multiples of this.
    grain: f64,
    random: Random,
}

/// What a family adds to the level.
struct Drawn {
    offset: Vec<f64>,
    /// True growth in bytes over the time of recording, where the leak is one line.
    growth: Option<f64>,
    restarts: Vec<usize>,
}

impl Drawn {
    fn of(offset: Vec<f64>) -> Self {
        Self {
            offset,
            growth: None,
            restarts: Vec::new(),
        }
    }

    fn line(offset: Vec<f64>, growth: f64) -> Self {
        Self {
            growth: Some(growth),
            ..Self::of(offset)
        }
    }
}

/// One cause.
pub(crate) struct Family {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether its series leak.
    pub(crate) truth: Truth,
    /// A leak that nothing larger hides: each is to be called.
    pub(crate) clear: bool,
    draw: fn(&mut Draft) -> Drawn,
}

const fn healthy(name: &'static str, draw: fn(&mut Draft) -> Drawn) -> Family {
    Family {
        name,
        truth: Truth::Healthy,
        clear: false,
        draw,
    }
}

const fn leak(name: &'static str, clear: bool, draw: fn(&mut Draft) -> Drawn) -> Family {
    Family {
        name,
        truth: Truth::Leak,
        clear,
        draw,
    }
}

/// All families.
pub(crate) const FAMILIES: &[Family] = &[
    healthy("steady", |d| Drawn::of(d.noise(0.0))),
    healthy("flicker of a few pages", flicker),
    healthy("autocorrelated noise", |d| {
        let phi = d.random.between(0.5, 0.95);
        Drawn::of(d.noise(phi))
    }),
    healthy("nearly a random walk", |d| {
        let phi = d.random.between(0.95, 0.995);
        Drawn::of(d.noise(phi))
    }),
    healthy("random walk", random_walk),
    healthy("walk between bounds", bounded_walk),
    healthy("saw-tooth", |d| {
        let teeth = d.random.between(4.0, 40.0);
        let tooth = d.saw_tooth(teeth, 0.0);
        Drawn::of(d.with_noise(&tooth))
    }),
    healthy("irregular saw-tooth", |d| {
        let teeth = d.random.between(4.0, 40.0);
        let tooth = d.saw_tooth(teeth, 0.6);
        Drawn::of(d.with_noise(&tooth))
    }),
    healthy("periodic load", |d| {
        let wave = d.wave();
        Drawn::of(d.with_noise(&wave))
    }),
    healthy("load levels", load_levels),
    healthy("warm-up, exponential", |d| {
        let tau = d.random.log_between(0.01, 0.15);
        let size = d.size;
        Drawn::of(d.shaped(|u| size * (1.0 - (-u / tau).exp())))
    }),
    healthy("warm-up, logarithmic", |d| {
        let tau = d.random.log_between(0.001, 0.05);
        let size = d.size;
        Drawn::of(d.shaped(|u| size * (u / tau).ln_1p() / (1.0 / tau).ln_1p()))
    }),
    healthy("warm-up, hyperbolic", |d| {
        let half = d.random.log_between(0.01, 0.15);
        let size = d.size;
        Drawn::of(d.shaped(|u| size * (1.0 + half) * u / (u + half)))
    }),
    healthy("warm-up, stretched exponential", |d| {
        let (tau, power) = (d.random.log_between(0.01, 0.1), d.random.between(0.4, 0.9));
        let size = d.size;
        Drawn::of(d.shaped(|u| size * (1.0 - (-(u / tau).powf(power)).exp())))
    }),
    healthy("ramp, then flat", |d| {
        let (end, size) = (d.random.between(0.1, 0.7), d.size);
        Drawn::of(d.shaped(|u| size * (u / end).min(1.0)))
    }),
    healthy("ramp, then freed", |d| {
        let (start, top) = (d.random.between(0.05, 0.3), d.random.between(0.5, 0.85));
        let size = d.size;
        Drawn::of(d.shaped(|u| {
            if u < top {
                size * ((u - start) / (top - start)).max(0.0)
            } else {
                0.0
            }
        }))
    }),
    healthy("step up", |d| {
        let (at, size) = (d.random.between(0.15, 0.85), d.size);
        Drawn::of(d.shaped(|u| if u >= at { size } else { 0.0 }))
    }),
    healthy("step down", |d| {
        let (at, size) = (d.random.between(0.15, 0.85), d.size);
        Drawn::of(d.shaped(|u| if u >= at { 0.0 } else { size }))
    }),
    healthy("two steps up", |d| {
        let (one, two) = (d.random.between(0.15, 0.45), d.random.between(0.5, 0.85));
        let (share, size) = (d.random.between(0.3, 0.7), d.size);
        Drawn::of(d.shaped(|u| {
            let first = if u >= one { share } else { 0.0 };
            let second = if u >= two { 1.0 - share } else { 0.0 };
            size * (first + second)
        }))
    }),
    healthy("cache that fills", cache_fills),
    healthy("restarts, each with its warm-up", restarts_with_warm_up),
    healthy("spikes", spikes),
    healthy("cache dropped and filled again", dropped_cache),
    healthy("declining", |d| {
        let size = d.size;
        Drawn::of(d.shaped(|u| size * (1.0 - u)))
    }),
    leak("leak: linear", true, |d| {
        let size = d.size;
        Drawn::line(d.shaped(|u| size * u), size)
    }),
    leak("leak: a few pages an hour", true, slow_quantised),
    leak("leak: with gaps", true, |d| {
        d.punch_gaps();
        let size = d.size;
        Drawn::line(d.shaped(|u| size * u), size)
    }),
    leak("leak: with restarts", true, leak_with_restarts),
    leak("leak: staircase", true, staircase),
    leak("leak: bursts", true, bursts),
    leak("leak: starts late", true, |d| {
        let (start, size) = (d.random.between(0.2, 0.6), d.size);
        Drawn::line(
            d.shaped(|u| size * ((u - start) / (1.0 - start)).max(0.0)),
            size / (1.0 - start),
        )
    }),
    leak("leak: in autocorrelated noise", true, |d| {
        let phi = d.random.between(0.5, 0.9);
        d.sigma = d.size / d.random.between(5.0, 15.0);
        let (size, noise) = (d.size, d.noise(phi));
        let offset = d.u.iter().zip(noise).map(|(u, e)| size * u + e).collect();
        Drawn::line(offset, size)
    }),
    leak("leak: under a saw-tooth", true, |d| {
        let teeth = d.random.between(6.0, 40.0);
        let height = d.random.log_between(0.2, 2.0);
        let tooth = d.saw_tooth(teeth, 0.3);
        let size = d.size;
        let clean: Vec<f64> =
            d.u.iter()
                .zip(tooth)
                .map(|(u, tooth)| size * u + height * tooth)
                .collect();
        Drawn::line(d.with_noise(&clean), size)
    }),
    leak("leak: under periodic load", false, |d| {
        let height = d.random.log_between(0.2, 2.0);
        let (size, wave) = (d.size, d.wave());
        let clean: Vec<f64> =
            d.u.iter()
                .zip(wave)
                .map(|(u, wave)| size * u + height * wave)
                .collect();
        Drawn::line(d.with_noise(&clean), size)
    }),
    leak("leak: after a warm-up", false, |d| {
        let (tau, height) = (
            d.random.log_between(0.01, 0.08),
            d.random.log_between(0.5, 5.0),
        );
        let size = d.size;
        Drawn::line(
            d.shaped(|u| size * (u + height * (1.0 - (-u / tau).exp()))),
            size,
        )
    }),
    leak("leak: beside a step", false, |d| {
        let (at, height) = (d.random.between(0.15, 0.85), d.random.log_between(0.3, 2.0));
        let size = d.size;
        Drawn::line(
            d.shaped(|u| size * (u + if u >= at { height } else { 0.0 })),
            size,
        )
    }),
    leak("leak: accelerating", false, |d| {
        let (power, size) = (d.random.between(1.3, 2.5), d.size);
        Drawn::of(d.shaped(|u| size * u.powf(power)))
    }),
    leak("leak: smaller than the noise", false, |d| {
        d.sigma = d.size / d.random.between(0.5, 2.0);
        let size = d.size;
        Drawn::line(d.shaped(|u| size * u), size)
    }),
];

/// The collection: `per_family` series of each family.
pub(crate) fn collection(per_family: usize, seed: u64) -> impl Iterator<Item = Case> {
    FAMILIES
        .iter()
        .flat_map(move |family| (0..per_family).map(move |at| draw(family, at, seed)))
}

/// One series of a family. Its stream hangs on the family's name, so that a new one moves no other.
fn draw(family: &Family, at: usize, seed: u64) -> Case {
    // FNV-1a of the name.
    let named = family.name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut draft = Draft::new(Random::new(&[seed, named, at as u64]));
    let drawn = (family.draw)(&mut draft);
    let value = drawn
        .offset
        .iter()
        .map(|offset| ((draft.level + offset) / draft.grain).round() * draft.grain)
        .map(|value| value.max(0.0))
        .collect();
    Case {
        part: PART.to_owned(),
        kind: family.name.to_owned(),
        truth: family.truth,
        rate_per_hour: drawn.growth.map(|growth| growth / draft.span_s * HOUR),
        series: Series {
            id: format!("{} {at}", family.name),
            source: None,
            t_s: draft.t_s,
            value,
            restarts: drawn.restarts,
        },
    }
}

impl Draft {
    fn new(mut random: Random) -> Self {
        let n = random.whole(150, 1500);
        let span_s = random.log_between(HOUR, 72.0 * HOUR);
        let tick = span_s / (n - 1) as f64;
        // A busy machine samples late now and then.
        let late = if random.chance(0.3) { 0.4 } else { 0.0 };
        let t_s: Vec<f64> = (0..n)
            .map(|i| tick * (i as f64 + late * random.unit()))
            .collect();
        let span_s = t_s[n - 1] - t_s[0];
        let level = random.log_between(2.0 * MIB, 2048.0 * MIB);
        // Two dozen pages, so that the growth shows in the numbers at all.
        let size = (level * random.log_between(0.0005, 0.5)).max(24.0 * PAGE);
        let sigma = size / random.log_between(5.0, 50.0);
        let grain = [1.0, PAGE, PAGE, PAGE][random.whole(0, 3)];
        Self {
            u: t_s.iter().map(|t| (t - t_s[0]) / span_s).collect(),
            t_s,
            span_s,
            level,
            size,
            sigma,
            grain,
            random,
        }
    }

    fn noise(&mut self, phi: f64) -> Vec<f64> {
        let values = self.random.autoregression(self.u.len(), phi);
        values.into_iter().map(|e| self.sigma * e).collect()
    }

    fn with_noise(&mut self, clean: &[f64]) -> Vec<f64> {
        let noise = self.noise(0.0);
        clean.iter().zip(noise).map(|(y, e)| y + e).collect()
    }

    /// A shape over 0 to 1 with noise.
    fn shaped(&mut self, shape: impl Fn(f64) -> f64) -> Vec<f64> {
        let clean: Vec<f64> = self.u.iter().map(|u| shape(*u)).collect();
        self.with_noise(&clean)
    }

    /// Rises to `size` and falls back, this often; `uneven` is the spread of the heights.
    fn saw_tooth(&mut self, teeth: f64, uneven: f64) -> Vec<f64> {
        let (mut from, mut height) = (-self.random.unit() / teeth, 1.0);
        let mut lasts = 1.0 / teeth;
        (0..self.u.len())
            .map(|i| {
                while self.u[i] >= from + lasts {
                    from += lasts;
                    height = 1.0 + uneven * (self.random.unit() - 0.5);
                    lasts = (1.0 + uneven * (self.random.unit() - 0.5)) / teeth;
                }
                self.size * height * (self.u[i] - from) / lasts
            })
            .collect()
    }

    /// Three to twelve whole and broken cycles of `size` from trough to crest.
    fn wave(&mut self) -> Vec<f64> {
        let (cycles, phase) = (self.random.between(3.0, 12.0), self.random.unit());
        let of = |u: &f64| 0.5 * self.size * (TAU * (cycles * u + phase)).sin();
        self.u.iter().map(of).collect()
    }

    /// Takes out one to three stretches of up to a sixth of the time each, the ends apart.
    fn punch_gaps(&mut self) {
        for _ in 0..self.random.whole(1, 3) {
            let from = self.random.between(0.1, 0.75);
            let to = from + self.random.between(0.03, 0.16);
            let keep: Vec<bool> = self.u.iter().map(|u| *u < from || *u > to).collect();
            let mut kept = keep.iter();
            self.t_s.retain(|_| *kept.next().unwrap_or(&true));
            let mut kept = keep.iter();
            self.u.retain(|_| *kept.next().unwrap_or(&true));
        }
    }

    /// Index of the first sample of each life but the first.
    fn restarts(&mut self) -> Vec<usize> {
        let lives = self.random.whole(2, 4);
        let n = self.u.len();
        (1..lives)
            .map(|life| {
                let at = (life as f64 + self.random.between(-0.2, 0.2)) / lives as f64;
                self.u.partition_point(|u| *u < at).clamp(1, n - 1)
            })
            .collect()
    }

    /// How far each sample lies behind the restart before it, of the whole time.
    fn since_restart(&self, restarts: &[usize]) -> Vec<f64> {
        (0..self.u.len())
            .map(|i| {
                let lives = restarts.partition_point(|at| *at <= i);
                let start = lives
                    .checked_sub(1)
                    .map_or(0.0, |last| self.u[restarts[last]]);
                self.u[i] - start
            })
            .collect()
    }
}

fn flicker(d: &mut Draft) -> Drawn {
    // One to five pages are there or not, each on and off for a while.
    d.grain = PAGE;
    let pages = d.random.whole(1, 5);
    let mut there = vec![false; pages];
    let rate = d.random.log_between(0.01, 0.5);
    let offset = (0..d.u.len())
        .map(|_| {
            for page in &mut there {
                *page ^= d.random.chance(rate);
            }
            PAGE * there.iter().filter(|page| **page).count() as f64
        })
        .collect();
    Drawn::of(offset)
}

fn random_walk(d: &mut Draft) -> Drawn {
    let walk = d.random.autoregression(d.u.len(), 1.0);
    // A walk of n steps ends about sqrt n from its start.
    let step = d.size / (d.u.len() as f64).sqrt();
    Drawn::of(walk.into_iter().map(|w| step * w).collect())
}

fn bounded_walk(d: &mut Draft) -> Drawn {
    let step = d.size * d.random.log_between(0.02, 0.2);
    let mut at = d.size * d.random.unit();
    let offset = (0..d.u.len())
        .map(|_| {
            at = (at + step * d.random.normal()).abs();
            if at > d.size {
                at = (2.0 * d.size - at).max(0.0);
            }
            at
        })
        .collect();
    Drawn::of(offset)
}

fn load_levels(d: &mut Draft) -> Drawn {
    // Jobs come and go: levels that hold for a while, in no order.
    let changes = d.random.between(6.0, 30.0) / d.u.len() as f64;
    let mut level = d.random.unit();
    let clean: Vec<f64> = (0..d.u.len())
        .map(|_| {
            if d.random.chance(changes) {
                level = d.random.unit();
            }
            d.size * level
        })
        .collect();
    Drawn::of(d.with_noise(&clean))
}

fn cache_fills(d: &mut Draft) -> Drawn {
    // Requests for random keys: those not seen yet take room, until a limit evicts.
    let (tau, limit) = (d.random.log_between(0.03, 0.25), d.random.between(0.6, 1.2));
    let (keys, mut held) = (d.random.log_between(200.0, 20_000.0), 0.0);
    let per_tick = keys / (tau * d.u.len() as f64);
    let clean: Vec<f64> = (0..d.u.len())
        .map(|_| {
            let wanted: f64 = per_tick * (1.0 - held / keys);
            let new = wanted + wanted.max(0.0).sqrt() * d.random.normal();
            held = (held + new.max(0.0)).min(limit * keys).min(keys);
            d.size * held / keys
        })
        .collect();
    Drawn::of(d.with_noise(&clean))
}

fn restarts_with_warm_up(d: &mut Draft) -> Drawn {
    let restarts = d.restarts();
    let tau = d.random.log_between(0.003, 0.03);
    let (size, since) = (d.size, d.since_restart(&restarts));
    let clean: Vec<f64> = since
        .iter()
        .map(|since| size * (1.0 - (-since / tau).exp()))
        .collect();
    Drawn {
        restarts,
        ..Drawn::of(d.with_noise(&clean))
    }
}

fn spikes(d: &mut Draft) -> Drawn {
    let rate = d.random.log_between(3.0, 40.0) / d.u.len() as f64;
    let mut now = 0.0;
    let clean: Vec<f64> = (0..d.u.len())
        .map(|_| {
            now = if d.random.chance(rate) {
                d.size * d.random.between(0.3, 3.0)
            } else {
                0.5 * now
            };
            now
        })
        .collect();
    Drawn::of(d.with_noise(&clean))
}

fn dropped_cache(d: &mut Draft) -> Drawn {
    let rate = d.random.between(2.0, 6.0) / d.u.len() as f64;
    let fill = d.random.log_between(20.0, 100.0) / d.u.len() as f64;
    let mut now = 0.0;
    let clean: Vec<f64> = (0..d.u.len())
        .map(|_| {
            now += fill * (1.0 - now);
            if d.random.chance(rate) {
                now *= d.random.between(0.0, 0.5);
            }
            d.size * now
        })
        .collect();
    Drawn::of(d.with_noise(&clean))
}

fn slow_quantised(d: &mut Draft) -> Drawn {
    // One page at a time, with a page of flicker.
    d.grain = PAGE;
    let pages = d.random.log_between(10.0, 60.0);
    let offset = (0..d.u.len())
        .map(|i| PAGE * (pages * d.u[i] + d.random.unit()).floor())
        .collect();
    Drawn::line(offset, pages * PAGE)
}

fn leak_with_restarts(d: &mut Draft) -> Drawn {
    let restarts = d.restarts();
    let (size, since) = (d.size, d.since_restart(&restarts));
    let lives = restarts.len() as f64 + 1.0;
    // Each life alone has to show it.
    d.sigma /= lives;
    let clean: Vec<f64> = since.iter().map(|since| size * since).collect();
    Drawn {
        restarts,
        ..Drawn::line(d.with_noise(&clean), size)
    }
}

fn staircase(d: &mut Draft) -> Drawn {
    let (stairs, phase) = (d.random.between(8.0, 60.0), d.random.unit());
    let (size, sigma) = (d.size, d.sigma);
    d.sigma = sigma.min(0.3 * size / stairs);
    let offset = d.shaped(|u| size * (stairs * u + phase).floor() / stairs);
    Drawn::line(offset, size)
}

fn bursts(d: &mut Draft) -> Drawn {
    // Some dozen to some hundred requests that leak, whenever they come (a Poisson process).
    let count = d.random.log_between(30.0, 500.0);
    let (mut came, mut next) = (0.0, 0.0);
    let clean: Vec<f64> = (0..d.u.len())
        .map(|i| {
            while next <= d.u[i] {
                came += 1.0;
                next -= (1.0 - d.random.unit()).ln() / count;
            }
            d.size * came / count
        })
        .collect();
    let size = d.size;
    Drawn::line(d.with_noise(&clean), size)
}
