//! The rule is right on the own collection of series, family by family, as often as stated.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(dead_code, reason = "the collection is shared with an example")]

#[path = "../examples/accuracy/case.rs"]
mod case;
#[path = "../examples/accuracy/families.rs"]
mod families;
#[path = "../examples/accuracy/floors.rs"]
mod floors;
#[path = "../examples/accuracy/random.rs"]
mod random;

use case::Truth;
use families::FAMILIES;
use floors::{FLOORS, Figure};
use memsoak_analyze::verdict::{Judgement, Verdict};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// As in docs/ACCURACY.md, so that its figures and these are the same.
const PER_FAMILY: usize = 40;
const SEED: u64 = 1;

/// The judgements of each family, with the true slope per second.
type Judged = BTreeMap<String, Vec<(Option<f64>, Judgement)>>;

fn judged() -> &'static Judged {
    static JUDGED: OnceLock<Judged> = OnceLock::new();
    JUDGED.get_or_init(|| {
        let mut judged = Judged::new();
        for case in families::collection(PER_FAMILY, SEED) {
            let rate = case.rate_per_hour.map(|rate| rate / 3600.0);
            let judgement = case.series.judge();
            judged.entry(case.kind).or_default().push((rate, judgement));
        }
        judged
    })
}

fn floor(figure: Figure) -> f64 {
    let of_own = |floor: &&floors::Floor| floor.part == families::PART && floor.figure == figure;
    FLOORS.iter().find(of_own).unwrap().at
}

fn called(family: &str) -> usize {
    let leaks = |(_, j): &&(_, Judgement)| j.verdict == Verdict::Leak;
    judged()[family].iter().filter(leaks).count()
}

fn of_truth(truth: Truth) -> impl Iterator<Item = &'static families::Family> {
    FAMILIES.iter().filter(move |family| family.truth == truth)
}

#[test]
fn clear_leaks_are_called() {
    let clear: Vec<_> = of_truth(Truth::Leak)
        .filter(|family| family.clear)
        .collect();
    let hits: usize = clear.iter().map(|family| called(family.name)).sum();
    let recall = hits as f64 / (clear.len() * PER_FAMILY) as f64;
    assert!(recall >= floor(Figure::ClearRecall), "{recall}");
    for family in clear {
        // No kind of leak is lost for the sake of the others.
        let hits = called(family.name);
        assert!(3 * hits >= 2 * PER_FAMILY, "{}: {hits}", family.name);
    }
}

#[test]
fn healthy_series_are_not_called_leaks() {
    let healthy: Vec<_> = of_truth(Truth::Healthy).collect();
    let alarms: usize = healthy.iter().map(|family| called(family.name)).sum();
    let per_1000 = 1000.0 * alarms as f64 / (healthy.len() * PER_FAMILY) as f64;
    assert!(per_1000 <= floor(Figure::FalseAlarms), "{per_1000}");
    for family in healthy {
        // A walk that only ever rose cannot be told from a leak; any other cause can.
        let most = if family.name == "random walk" { 8 } else { 2 };
        let alarms = called(family.name);
        assert!(alarms <= most, "{}: {alarms}", family.name);
    }
}

#[test]
fn slopes_of_called_leaks_are_close_and_inside_their_intervals() {
    let mut off = Vec::new();
    let mut held = 0;
    for family in of_truth(Truth::Leak) {
        for (rate, judgement) in &judged()[family.name] {
            if let (Some(rate), Verdict::Leak) = (rate, judgement.verdict) {
                off.push((judgement.slope_per_s / rate - 1.0).abs());
                let ends = judgement.slope_low_per_s..=judgement.slope_high_per_s;
                held += usize::from(ends.contains(rate));
            }
        }
    }
    off.sort_by(f64::total_cmp);
    let median = off[off.len() / 2];
    assert!(median <= floor(Figure::SlopeError), "{median}");
    let coverage = held as f64 / off.len() as f64;
    assert!(coverage >= floor(Figure::Coverage), "{coverage}");
}

#[test]
fn a_series_is_the_same_whatever_is_drawn_beside_it() {
    let few: Vec<_> = families::collection(2, SEED).collect();
    let more: Vec<_> = families::collection(3, SEED).collect();
    assert_eq!(few.len(), 2 * FAMILIES.len());
    for case in &few {
        let same = more.iter().find(|other| other.series.id == case.series.id);
        assert_eq!(same.unwrap().series, case.series);
    }
    let other = families::collection(1, SEED + 1).next().unwrap();
    assert_ne!(other.series, few[0].series);
}

#[test]
fn every_series_is_long_enough_to_judge_and_restarts_lie_inside() {
    for case in families::collection(5, SEED) {
        let series = &case.series;
        assert!(series.t_s.len() >= 36 && series.t_s.len() == series.value.len());
        assert!(series.t_s.windows(2).all(|w| w[0] < w[1]), "{}", series.id);
        assert!(series.restarts.windows(2).all(|w| w[0] < w[1]));
        let inside = 1..series.t_s.len();
        assert!(series.restarts.iter().all(|at| inside.contains(at)));
        assert!(series.value.iter().all(|v| v.is_finite() && *v >= 0.0));
    }
}
