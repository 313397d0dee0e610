//! Growth between marks: which step of a test it belongs to.

use memsoak_schema::{Error, Recording};

use crate::findings::Judged;
use crate::load::{Index, Points, Quantity, SeriesKey, SeriesName, points};
use crate::verdict::Verdict;

/// The name of the time before the first mark.
const BEFORE_FIRST: &str = "start";

/// Series that are taken apart at the most: a reader looks at the first dozen.
const MOST_SERIES: usize = 60;

/// Growth outside of a phase at under this share of the rate inside is what its edges let through:
/// a mark falls between two ticks, and memory that was asked for is touched a little later.
const OUTSIDE: f64 = 0.10;

/// Totals of meminfo that are told beside what was judged.
const TOTALS: &[&str] = &[
    "AnonPages",
    "Slab",
    "SUnreclaim",
    "Shmem",
    "VmallocUsed",
    "PageTables",
    "KernelStack",
];

/// The stretches of time that begin with marks of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// The text of the marks, or `start`.
    pub name: String,
    /// From and to, in seconds from the start of the boot's recording.
    pub pieces: Vec<(f64, f64)>,
}

impl Phase {
    /// How long it lasted in all.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.pieces.iter().map(|(from, to)| to - from).sum()
    }
}

/// What a series did in each phase.
#[derive(Clone, Debug)]
pub struct PhasedSeries {
    /// What it is called.
    pub name: SeriesName,
    /// Its verdict; `None` where it was not judged or did not vary.
    pub verdict: Option<Verdict>,
    /// Growth over all phases.
    pub growth: f64,
    /// Growth in each of [`BootPhases::phases`]; `None` where it was not there.
    pub by_phase: Vec<Option<f64>>,
    /// The place of the phase in which alone it grows.
    pub only_in: Option<usize>,
}

/// The phases of a boot, and what the series did in them.
#[derive(Clone, Debug)]
pub struct BootPhases {
    /// Place of the boot in [`Index::boots`].
    pub boot: usize,
    /// The phases, in order of their first mark.
    pub phases: Vec<Phase>,
    /// The series: what leaks, the totals, and what grew and stopped; the largest growth first.
    pub series: Vec<PhasedSeries>,
}

/// Takes the growth of what grew apart by marks; the boots that have any.
///
/// # Errors
/// When the file is damaged.
pub fn phases(
    recording: &Recording,
    index: &Index,
    judged: &[Judged],
) -> Result<Vec<BootPhases>, Error> {
    let mut all = Vec::new();
    for boot in 0..index.boots.len() {
        let phases = phases_of(index, boot);
        if phases.len() < 2 {
            continue;
        }
        let mut chosen: Vec<(SeriesKey, SeriesName, Option<Verdict>)> = judged
            .iter()
            .filter(|one| one.key.boot == boot && is_told(one.judgement.verdict))
            .map(|one| (one.key, one.name.clone(), Some(one.judgement.verdict)))
            .collect();
        // The called ones first, then by growth; those beyond the limit are the smallest.
        let growth = |key: SeriesKey| {
            judged
                .iter()
                .find(|one| one.key == key)
                .map_or(0.0, |one| one.judgement.growth.abs())
        };
        chosen.sort_by(|a, b| {
            rank(&a.1, a.2)
                .cmp(&rank(&b.1, b.2))
                .then_with(|| growth(b.0).total_cmp(&growth(a.0)))
        });
        chosen.truncate(MOST_SERIES);
        for (key, name) in totals(recording, index, boot)? {
            if chosen.iter().all(|(other, ..)| *other != key) {
                let verdict = judged.iter().find(|one| one.key == key);
                chosen.push((key, name, verdict.map(|one| one.judgement.verdict)));
            }
        }
        let keys: Vec<SeriesKey> = chosen.iter().map(|(key, ..)| *key).collect();
        let found = points(recording, index, &keys)?;
        let mut series: Vec<PhasedSeries> = chosen
            .into_iter()
            .filter_map(|(key, name, verdict)| {
                let points = found.get(&key).filter(|points| points.has_values())?;
                Some(take_apart(&phases, points, name, verdict))
            })
            // A total that stays as it was tells nothing of any phase.
            .filter(|series| {
                series
                    .by_phase
                    .iter()
                    .flatten()
                    .any(|growth| growth.abs() > 0.0)
            })
            .collect();
        series.sort_by(|a, b| {
            rank(&a.name, a.verdict)
                .cmp(&rank(&b.name, b.verdict))
                .then_with(|| b.growth.abs().total_cmp(&a.growth.abs()))
        });
        all.push(BootPhases {
            boot,
            phases,
            series,
        });
    }
    Ok(all)
}

fn is_told(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Leak | Verdict::Suspect | Verdict::Step | Verdict::Plateau
    )
}

/// What a reader looks for first: leaks, then the totals, then what grew and stopped; memory before
/// numbers of things.
fn rank(name: &SeriesName, verdict: Option<Verdict>) -> (u8, bool) {
    let class = match verdict {
        Some(Verdict::Leak) => 0,
        Some(Verdict::Suspect) => 1,
        _ if name.source == "meminfo" && TOTALS.contains(&name.name.as_str()) => 2,
        _ => 3,
    };
    (class, name.quantity == Quantity::Count)
}

fn totals(
    recording: &Recording,
    index: &Index,
    boot: usize,
) -> Result<Vec<(SeriesKey, SeriesName)>, Error> {
    let mut found = Vec::new();
    for source in index
        .sources
        .iter()
        .filter(|source| source.name == "meminfo")
    {
        for metric in &source.metrics {
            if TOTALS.contains(&metric.name.as_str()) {
                let key = SeriesKey {
                    boot,
                    source: source.source,
                    entity: 0,
                    metric: metric.metric,
                };
                found.push((key, SeriesName::of(recording, index, key)?));
            }
        }
    }
    Ok(found)
}

/// The time of a boot cut at its marks; marks of the same text begin the same phase.
fn phases_of(index: &Index, boot: usize) -> Vec<Phase> {
    let of_boot = &index.boots[boot];
    let span = of_boot.span_s();
    let marks = index
        .events
        .iter()
        .filter(|event| event.kind == "mark" && event.boot == of_boot.boot.boot)
        .map(|event| (of_boot.at(event.boottime_us), event.text.as_str()))
        .filter(|(t, _)| *t < span);
    let mut edges: Vec<(f64, &str)> = vec![(0.0, BEFORE_FIRST)];
    // A mark from before the first tick names the time from there on.
    edges.extend(marks.map(|(t, text)| (t.max(0.0), text)));
    edges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ends = edges.iter().skip(1).map(|(t, _)| *t).chain([span]);
    let mut phases: Vec<Phase> = Vec::new();
    for ((from, name), to) in edges.iter().zip(ends) {
        if to - from <= 0.0 {
            continue;
        }
        match phases.iter_mut().find(|phase| phase.name == *name) {
            Some(phase) => phase.pieces.push((*from, to)),
            None => phases.push(Phase {
                name: (*name).to_owned(),
                pieces: vec![(*from, to)],
            }),
        }
    }
    phases
}

/// Growth from one instant to another: where there is no value at an end, from the nearest one
/// between them.
fn growth(points: &Points, from: f64, to: f64) -> Option<f64> {
    let within = |(t, value): &(f64, Option<f64>)| value.filter(|_| *t >= from && *t <= to);
    let first = points
        .at(from)
        .or_else(|| points.points.iter().find_map(within))?;
    let last = points
        .at(to)
        .or_else(|| points.points.iter().rev().find_map(within))?;
    Some(last - first)
}

fn take_apart(
    phases: &[Phase],
    points: &Points,
    name: SeriesName,
    verdict: Option<Verdict>,
) -> PhasedSeries {
    let pieces: Vec<Vec<Option<f64>>> = phases
        .iter()
        .map(|phase| {
            let pieces = phase.pieces.iter();
            pieces
                .map(|(from, to)| growth(points, *from, *to))
                .collect()
        })
        .collect();
    let by_phase: Vec<Option<f64>> = pieces
        .iter()
        .map(|pieces| {
            let known: Vec<f64> = pieces.iter().copied().flatten().collect();
            (!known.is_empty()).then(|| known.iter().sum())
        })
        .collect();
    let only_in = verdict
        .filter(|verdict| is_told(*verdict))
        .and_then(|_| grows_only_in(phases, &pieces, &by_phase));
    PhasedSeries {
        growth: by_phase.iter().flatten().sum(),
        name,
        verdict,
        by_phase,
        only_in,
    }
}

/// The phase in each piece of which a series grows, while it hardly does in all others.
fn grows_only_in(
    phases: &[Phase],
    pieces: &[Vec<Option<f64>>],
    by_phase: &[Option<f64>],
) -> Option<usize> {
    let rate = |at: usize| by_phase[at].map(|growth| growth / phases[at].seconds());
    let best = (0..phases.len()).max_by(|a, b| {
        let of = |at: usize| rate(at).unwrap_or(f64::NEG_INFINITY);
        of(*a).total_cmp(&of(*b))
    })?;
    let inside = rate(best).filter(|rate| *rate > 0.0)?;
    let always = pieces[best].iter().flatten().all(|growth| *growth > 0.0);
    let others: Vec<usize> = (0..phases.len()).filter(|at| *at != best).collect();
    let hardly = others
        .iter()
        .all(|at| rate(*at).is_some_and(|rate| rate <= inside * OUTSIDE));
    let outside: f64 = others
        .iter()
        .filter_map(|at| by_phase[*at])
        .map(|growth| growth.max(0.0))
        .sum();
    let most = outside <= by_phase[best]? * OUTSIDE / (1.0 - OUTSIDE);
    (always && hardly && most).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, pieces: &[(f64, f64)]) -> Phase {
        Phase {
            name: name.to_owned(),
            pieces: pieces.to_vec(),
        }
    }

    /// Load on for 100 s, off for 100 s, twice, with a growth in each.
    fn only(on: [f64; 2], off: [f64; 2]) -> Option<usize> {
        let phases = [
            phase("on", &[(0.0, 100.0), (200.0, 300.0)]),
            phase("off", &[(100.0, 200.0), (300.0, 400.0)]),
        ];
        let pieces: Vec<Vec<Option<f64>>> = [on, off]
            .iter()
            .map(|pieces| pieces.iter().copied().map(Some).collect())
            .collect();
        let by_phase = vec![Some(on[0] + on[1]), Some(off[0] + off[1])];
        grows_only_in(&phases, &pieces, &by_phase)
    }

    #[test]
    fn what_grows_in_each_piece_of_one_phase_alone_is_said() {
        assert_eq!(only([50.0, 60.0], [1.0, 2.0]), Some(0));
        assert_eq!(only([1.0, -2.0], [50.0, 60.0]), Some(1));
        assert_eq!(only([50.0, 60.0], [20.0, 2.0]), None);
        assert_eq!(only([110.0, -5.0], [0.0, 0.0]), None);
        assert_eq!(only([0.0, 0.0], [0.0, 0.0]), None);
    }

    #[test]
    fn growth_is_taken_between_what_is_known() {
        let points = Points {
            points: vec![
                (0.0, Some(1.0)),
                (10.0, Some(4.0)),
                (20.0, None),
                (30.0, Some(9.0)),
            ],
        };
        assert_eq!(growth(&points, 0.0, 15.0), Some(3.0));
        assert_eq!(growth(&points, 25.0, 40.0), Some(0.0));
        assert_eq!(growth(&points, 0.0, 25.0), Some(3.0));
        assert_eq!(growth(&points, 21.0, 25.0), None);
    }
}
