//! Made series under a made load, by the hundred: what follows the load is excused, and leaks are not.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[allow(dead_code, reason = "shared with the example, which uses all of it")]
#[path = "../examples/accuracy/random.rs"]
mod random;

use memsoak_analyze::stats;
use memsoak_analyze::verdict::{
    Cells, Judgement, Part, Traits, Verdict, Work, judge, judge_beside_load,
};
use random::Random;

const MIB: f64 = 1_048_576.0;
const PAGE: f64 = 4096.0;
/// Twelve hours at a minute's tick.
const SAMPLES: usize = 720;
const TICK_S: f64 = 60.0;

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

/// Many series under a load of one kind, by what `of` makes of it: judged without and with it.
fn under(
    kind: Load,
    path: u64,
    of: impl Fn(&mut Random, &[f64]) -> Vec<f64>,
) -> Vec<(Judgement, Judgement)> {
    called(EACH, path, |random| {
        let x = load(kind, random);
        let works = works(&x, random);
        let value = of(random, &x);
        (series(random, |i| value[i]), works)
    })
}

const EACH: u64 = 60;
const MIB_PER_HOUR: f64 = MIB / 3600.0;

fn leak(mib_per_hour: f64) -> impl Fn(usize) -> f64 {
    move |i| mib_per_hour * MIB_PER_HOUR * TICK_S * i as f64
}

fn parts(of: &[(Judgement, Judgement)], part: Part) -> usize {
    let found = of.iter().filter_map(|pair| pair.1.load);
    found.filter(|load| load.part == part).count()
}

fn suspects(of: &[(Judgement, Judgement)]) -> usize {
    of.iter()
        .filter(|pair| pair.1.verdict == Verdict::Suspect)
        .count()
}

/// The median error of the slopes of those that are called, as a share of the true one, and the share
/// of the intervals that hold it.
fn slopes(of: &[(Judgement, Judgement)], mib_per_hour: f64) -> (f64, f64) {
    let truth = mib_per_hour * MIB_PER_HOUR;
    let leaks: Vec<&Judgement> = of
        .iter()
        .map(|pair| &pair.1)
        .filter(|one| one.verdict == Verdict::Leak)
        .collect();
    let errors: Vec<f64> = leaks
        .iter()
        .map(|one| (one.slope_per_s / truth - 1.0).abs())
        .collect();
    let held = leaks
        .iter()
        .filter(|one| one.slope_low_per_s <= truth && truth <= one.slope_high_per_s)
        .count();
    (stats::median(&errors), held as f64 / leaks.len() as f64)
}

#[test]
fn what_follows_a_ramped_load_is_excused_at_once_or_ten_minutes_later() {
    for (kind, late, least) in [
        (Load::Ramp, 0, 25),
        (Load::Ramp, 10, 25),
        (Load::Stairs, 0, 10),
        (Load::Stairs, 10, 50),
    ] {
        let of = under(kind, 1 + late as u64, |_, x| {
            (0..SAMPLES)
                .map(|i| 20.0 * MIB * x[i.saturating_sub(late)])
                .collect()
        });
        let (without, with) = leaks(&of);
        assert!(without >= least, "{kind:?} {late}: {without}");
        assert_eq!(with, 0, "{kind:?} {late}");
        assert!(parts(&of, Part::Growth) >= without, "{kind:?} {late}");
        assert!(suspects(&of) <= 6, "{kind:?} {late}: {}", suspects(&of));
    }
}

#[test]
fn a_leak_for_each_piece_of_work_stays_one_however_the_load_goes() {
    for kind in LOADS {
        let of = under(kind, 3, |_, x| {
            total(x)
                .iter()
                .map(|done| 20.0 * MIB * done / 86_400.0)
                .collect()
        });
        let (without, with) = leaks(&of);
        assert!(
            with == without && 4 * without >= 3 * of.len(),
            "{kind:?}: {without} {with}"
        );
        assert_eq!(parts(&of, Part::Growth), 0, "{kind:?}");
    }
    // A large one shows the curve of the work done.
    let of = under(Load::Ramp, 4, |_, x| {
        total(x)
            .iter()
            .map(|done| 100.0 * MIB * done / 86_400.0)
            .collect()
    });
    assert!(
        leaks(&of).1 == 60 && parts(&of, Part::Rate) >= 55,
        "{}",
        parts(&of, Part::Rate)
    );
    for (_, one) in of.iter().filter(|pair| pair.1.load.is_some()) {
        let load = one.load.expect("filtered");
        let per_second = load.per_unit * if load.work == "CPU time" { 1.0 } else { 1000.0 };
        assert!(
            (per_second / (100.0 * MIB / 86_400.0) - 1.0).abs() < 0.2,
            "{load:?}"
        );
    }
}

#[test]
fn a_leak_is_called_at_its_rate_beside_any_load_that_it_has_nothing_to_do_with() {
    for kind in LOADS {
        let of = under(kind, 5, |_, _| (0..SAMPLES).map(leak(1.0)).collect());
        assert_eq!(leaks(&of), (60, 60), "{kind:?}");
        let of_load = parts(&of, Part::Growth) + parts(&of, Part::Level);
        assert_eq!(of_load, 0, "{kind:?}");
    }
}

#[test]
fn a_leak_in_what_follows_the_load_is_called_more_often_and_within_five_per_cent() {
    // Without and with the load; under a ramp the slope without is off by three times the leak.
    for (kind, most_without, least_with) in [
        (Load::Ramp, 60, 58),
        (Load::Stairs, 60, 58),
        (Load::Waves, 60, 60),
        (Load::Gusts, 10, 45),
        (Load::Walk, 10, 30),
    ] {
        let of = under(kind, 6, |_, x| {
            let leak = leak(1.0);
            (0..SAMPLES).map(|i| 20.0 * MIB * x[i] + leak(i)).collect()
        });
        let (without, with) = leaks(&of);
        assert!(
            without <= most_without && with >= least_with,
            "{kind:?}: {without} {with}"
        );
        let (error, held) = slopes(&of, 1.0);
        assert!(error <= 0.05 && held >= 0.85, "{kind:?}: {error} {held}");
    }
}

#[test]
fn noise_walks_fills_and_what_is_never_given_back_are_called_no_more_often_with_a_load() {
    let most = |x: &[f64], hours: usize, i: usize| {
        let from = i.saturating_sub(60 * hours);
        x[from..=i].iter().copied().fold(0.0, f64::max)
    };
    for kind in LOADS {
        type Value = fn(&mut Random, &[f64]) -> Vec<f64>;
        let kinds: [(&str, Value); 3] = [
            ("noise", |_, _| vec![0.0; SAMPLES]),
            ("walk", |random, _| {
                random
                    .autoregression(SAMPLES, 1.0)
                    .iter()
                    .map(|x| MIB * x)
                    .collect()
            }),
            ("fills", |_, x| {
                let fill = |i: usize| 50.0 * (1.0 - (-(i as f64) / 240.0).exp());
                (0..SAMPLES)
                    .map(|i| MIB * (20.0 * x[i] + fill(i)))
                    .collect()
            }),
        ];
        for (path, (name, value)) in (7..).zip(kinds) {
            let (without, with) = leaks(&under(kind, path, value));
            assert!(with <= without, "{name} {kind:?}: {without} {with}");
        }
        for (path, hours) in [(10, 1), (11, 12)] {
            let of = under(kind, path, |_, x| {
                (0..SAMPLES)
                    .map(|i| 20.0 * MIB * most(x, hours, i))
                    .collect()
            });
            let (without, with) = leaks(&of);
            assert!(
                with <= without,
                "keeps {hours} h {kind:?}: {without} {with}"
            );
        }
    }
}

#[test]
fn a_leak_that_makes_its_program_slower_is_not_excused_by_the_time_that_it_takes() {
    for kind in LOADS {
        // A list that is searched at each request gets three CPUs longer in twelve hours.
        let of = called(EACH, 12, |random| {
            let mut x = load(kind, random);
            for (i, x) in x.iter_mut().enumerate() {
                *x += 3.0 * i as f64 / SAMPLES as f64;
            }
            let works = works(&x, random);
            (series(random, leak(3.0)), works)
        });
        assert_eq!(
            (leaks(&of), parts(&of, Part::Growth)),
            ((60, 60), 0),
            "{kind:?}"
        );
    }
}
