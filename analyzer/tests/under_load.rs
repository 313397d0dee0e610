//! Made series under a made load, by the hundred: what follows the load is excused, and leaks are not.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[allow(dead_code, reason = "shared with the example, which uses all of it")]
#[path = "../examples/accuracy/random.rs"]
mod random;

use memsoak_analyze::verdict::{
    Cells, Judgement, Part, Traits, Verdict, Work, judge, judge_beside_load,
};
use random::Random;

const MIB: f64 = 1_048_576.0;
const PAGE: f64 = 4096.0;
/// Twelve hours at a minute's tick.
const SAMPLES: usize = 720;
const TICK_S: f64 = 60.0;
const HOURS: f64 = 12.0;

/// How the load goes, in CPUs in use.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    /// From one to three CPUs in a line, with ups and downs of a quarter of a CPU.
    Ramp,
    /// In eleven stairs from one to three CPUs, each third one down.
    Stairs,
    /// Six times up and down by one CPU.
    Waves,
    /// Ups and downs that last for twenty minutes.
    Gusts,
    /// A random walk.
    Walk,
    /// Two CPUs all the time.
    Even,
}

const LOADS: [Load; 6] = [
    Load::Ramp,
    Load::Stairs,
    Load::Waves,
    Load::Gusts,
    Load::Walk,
    Load::Even,
];

fn load(kind: Load, random: &mut Random) -> Vec<f64> {
    let gusts = random.autoregression(SAMPLES, 0.95);
    let walk = random.autoregression(SAMPLES, 1.0);
    let phase = random.between(0.0, std::f64::consts::TAU);
    (0..SAMPLES)
        .map(|i| {
            let u = i as f64 / SAMPLES as f64;
            let at = match kind {
                Load::Ramp => 1.0 + 2.0 * u + 0.25 * gusts[i],
                Load::Stairs => {
                    let stair = (11.0 * u).floor();
                    1.0 + 0.2 * stair - 0.5 * f64::from(stair % 3.0 > 1.5)
                }
                Load::Waves => 2.0 + (std::f64::consts::TAU * 6.0 * u + phase).sin(),
                Load::Gusts => 2.0 + 0.5 * gusts[i],
                Load::Walk => 2.0 + 0.06 * walk[i],
                Load::Even => 2.0,
            };
            at.max(0.05) + 0.02 * random.normal().abs()
        })
        .collect()
}

fn total(rate: &[f64]) -> Vec<f64> {
    let mut done = 0.0;
    let next = |rate: &f64| {
        done += rate * TICK_S;
        done
    };
    rate.iter().map(next).collect()
}

fn times() -> Vec<f64> {
    (0..SAMPLES).map(|i| TICK_S * i as f64).collect()
}

/// The works of a machine with that load: its CPU time, context switches that go with it but for a
/// tenth, and disk traffic of something else.
fn works(load: &[f64], random: &mut Random) -> Vec<Work> {
    let switches: Vec<f64> = load
        .iter()
        .map(|x| 1000.0 * x * (1.0 + 0.1 * random.normal()).max(0.1))
        .collect();
    let disk: Vec<f64> = random
        .autoregression(SAMPLES, 0.9)
        .iter()
        .map(|x| (3.0 + x).max(0.0))
        .collect();
    [
        ("CPU time", ["CPU second", "CPU in use"], load.to_vec()),
        ("context switches", ["switch", "switch a second"], switches),
        ("disk transfers", ["byte", "byte a second"], disk),
    ]
    .into_iter()
    .filter_map(|(what, unit, rate)| Work::new(what, unit, false, times(), total(&rate)))
    .collect()
}

/// A series in whole pages over 200 MiB, with noise of half a MiB that lasts for some minutes.
fn series(random: &mut Random, value: impl Fn(usize) -> f64) -> Cells {
    let noise = random.autoregression(SAMPLES, 0.7);
    let v: Vec<f64> = (0..SAMPLES)
        .map(|i| ((200.0 * MIB + value(i) + 0.5 * MIB * noise[i]) / PAGE).round() * PAGE)
        .collect();
    Cells::from_samples(&times(), &v)
}

/// What each of many series was called without and with the load.
fn called(
    count: u64,
    path: u64,
    make: impl Fn(&mut Random) -> (Cells, Vec<Work>),
) -> Vec<(Judgement, Judgement)> {
    (0..count)
        .map(|i| {
            let (life, works) = make(&mut Random::new(&[77, path, i]));
            let traits = Traits::default();
            (
                judge(&life, &traits),
                judge_beside_load(&life, &traits, &works),
            )
        })
        .collect()
}

fn leaks(of: &[(Judgement, Judgement)]) -> (usize, usize) {
    let count = |verdict: &dyn Fn(&(Judgement, Judgement)) -> Verdict| {
        of.iter()
            .filter(|pair| verdict(pair) == Verdict::Leak)
            .count()
    };
    (count(&|p| p.0.verdict), count(&|p| p.1.verdict))
}

#[test]
fn dbg1() {
    for (name, kind, lag, fill) in [
        ("ramp", Load::Ramp, 0, 0.0),
        ("ramp late", Load::Ramp, 10, 0.0),
        ("stairs", Load::Stairs, 0, 0.0),
        ("stairs late", Load::Stairs, 10, 0.0),
        ("walk fill", Load::Walk, 0, 50.0),
        ("ramp fill", Load::Ramp, 0, 50.0),
        ("even fill", Load::Even, 0, 50.0),
    ] {
        let of = called(60, 21, |r| {
            let x = load(kind, r);
            let w = works(&x, r);
            (
                series(r, |i: usize| {
                    20.0 * MIB * x[i.saturating_sub(lag)]
                        + fill * MIB * (1.0 - (-(i as f64) / 240.0).exp())
                }),
                w,
            )
        });
        println!("{name} {:?}", leaks(&of));
        for (a, b) in of.iter().filter(|p| p.1.verdict == Verdict::Leak).take(8) {
            let l = b.load;
            println!(
                "   was {} {:.2} now {:.2} MiB/h: {:?}",
                a.verdict,
                a.slope_per_s * 3600.0 / MIB,
                b.slope_per_s * 3600.0 / MIB,
                l.map(|l| (
                    l.part,
                    l.work,
                    (l.r * 1000.0).round(),
                    (l.share * 1000.0).round(),
                    (l.rest_per_s * 3600.0 / MIB * 1000.0).round(),
                    (l.per_unit / MIB * 100.0).round()
                ))
            );
        }
    }
}
#[test]
fn explore() {
    let n = 60;
    let tell = |name: &str, of: Vec<(Judgement, Judgement)>, rate: Option<f64>| {
        let (a, b) = leaks(&of);
        let sus = |w: usize| {
            of.iter()
                .filter(|p| (if w == 0 { p.0.verdict } else { p.1.verdict }) == Verdict::Suspect)
                .count()
        };
        let part = |q: Part| {
            of.iter()
                .filter(|p| p.1.load.is_some_and(|l| l.part == q))
                .count()
        };
        let err = |w: usize| {
            let Some(rate) = rate else { return f64::NAN };
            let mut e: Vec<f64> = of
                .iter()
                .map(|p| if w == 0 { &p.0 } else { &p.1 })
                .filter(|j| j.verdict == Verdict::Leak)
                .map(|j| (j.slope_per_s / rate - 1.0).abs())
                .collect();
            e.sort_by(f64::total_cmp);
            e.get(e.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let cover = |w: usize| {
            let Some(rate) = rate else { return f64::NAN };
            let e: Vec<bool> = of
                .iter()
                .map(|p| if w == 0 { &p.0 } else { &p.1 })
                .filter(|j| j.verdict == Verdict::Leak)
                .map(|j| j.slope_low_per_s <= rate && rate <= j.slope_high_per_s)
                .collect();
            e.iter().filter(|x| **x).count() as f64 / e.len() as f64
        };
        println!(
            "{name:<40} leak {a:>3} -> {b:>3} suspect {:>3} -> {:>3}  growth {} level {} rate {}  err {:.3} -> {:.3} cover {:.2} -> {:.2}",
            sus(0),
            sus(1),
            part(Part::Growth),
            part(Part::Level),
            part(Part::Rate),
            err(0),
            err(1),
            cover(0),
            cover(1)
        );
    };
    for kind in LOADS {
        tell(
            &format!("follows {kind:?}"),
            called(n, 1, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (series(r, |i| 20.0 * MIB * x[i]), w)
            }),
            None,
        );
        tell(
            &format!("follows late {kind:?}"),
            called(n, 2, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (series(r, |i| 20.0 * MIB * x[i.saturating_sub(10)]), w)
            }),
            None,
        );
        tell(
            &format!("per work {kind:?}"),
            called(n, 3, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                let d = total(&x);
                (series(r, |i| 20.0 * MIB * d[i] / 86400.0), w)
            }),
            None,
        );
        let rate = MIB / 3600.0;
        tell(
            &format!("follows + leak 1 MiB/h {kind:?}"),
            called(n, 4, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (
                    series(r, |i| 20.0 * MIB * x[i] + rate * TICK_S * i as f64),
                    w,
                )
            }),
            Some(rate),
        );
        tell(
            &format!("follows + leak 5 MiB/h {kind:?}"),
            called(n, 5, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (
                    series(r, |i| 20.0 * MIB * x[i] + 5.0 * rate * TICK_S * i as f64),
                    w,
                )
            }),
            Some(5.0 * rate),
        );
        tell(
            &format!("leak beside {kind:?}"),
            called(n, 6, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (series(r, |i| rate * TICK_S * i as f64), w)
            }),
            Some(rate),
        );
        tell(
            &format!("noise {kind:?}"),
            called(n, 7, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (series(r, |_| 0.0), w)
            }),
            None,
        );
        tell(
            &format!("walk {kind:?}"),
            called(n, 8, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                let k = r.autoregression(SAMPLES, 1.0);
                (series(r, |i| MIB * k[i]), w)
            }),
            None,
        );
        tell(
            &format!("leak slows program {kind:?}"),
            called(n, 9, |r| {
                let mut x = load(kind, r);
                for (i, x) in x.iter_mut().enumerate() {
                    *x += 3.0 * i as f64 / SAMPLES as f64;
                }
                let w = works(&x, r);
                (series(r, |i| 3.0 * rate * TICK_S * i as f64), w)
            }),
            Some(3.0 * rate),
        );
        tell(
            &format!("keeps for an hour {kind:?}"),
            called(n, 10, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (
                    series(r, |i| {
                        20.0 * MIB
                            * x[i.saturating_sub(60)..=i]
                                .iter()
                                .copied()
                                .fold(0.0, f64::max)
                    }),
                    w,
                )
            }),
            None,
        );
        tell(
            &format!("fills + follows {kind:?}"),
            called(n, 11, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (
                    series(r, |i| {
                        20.0 * MIB * x[i] + 50.0 * MIB * (1.0 - (-(i as f64) / 240.0).exp())
                    }),
                    w,
                )
            }),
            None,
        );
        tell(
            &format!("keeps for ever {kind:?}"),
            called(n, 12, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                (
                    series(r, |i| {
                        20.0 * MIB * x[..=i].iter().copied().fold(0.0, f64::max)
                    }),
                    w,
                )
            }),
            None,
        );
        tell(
            &format!("gives back 70 % {kind:?}"),
            called(n, 13, |r| {
                let x = load(kind, r);
                let w = works(&x, r);
                let mut y = vec![0.0];
                for i in 1..SAMPLES {
                    let d = x[i] - x[i - 1];
                    y.push(y[i - 1] + if d > 0.0 { d } else { 0.7 * d });
                }
                (series(r, |i| 20.0 * MIB * y[i]), w)
            }),
            None,
        );
    }
    println!("{HOURS}");
}
