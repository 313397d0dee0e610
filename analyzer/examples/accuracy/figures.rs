//! The tables of scores.

use crate::case::Truth;
use crate::families::FAMILIES;
use crate::floors::{FLOORS, Figure};
use crate::methods::{BASELINES, Judged, MEMSOAK, NAMELESS, NAMES};
use crate::score::{Score, ratio, recall_at};
use crate::table::{Table, number, percent};
use std::collections::BTreeSet;

/// Every method on the same series, part by part.
pub(crate) fn by_method(judged: &[Judged]) -> String {
    let mut table = Table::new(
        2,
        &[
            "part: leaks / healthy",
            "method",
            "precision",
            "recall",
            "F1",
            "false alarms per 1,000",
            "recall at memsoak\'s false alarms",
            "slope off by, median",
            "true slope in the 95 % interval",
        ],
    );
    for (name, of_part) in parts(judged) {
        for (method, method_name) in NAMES.iter().enumerate() {
            let score = Score::of(of_part.iter().copied(), method);
            let first = if method == 0 {
                format!("{name}: {} / {}", score.leaks(), score.healthy())
            } else {
                String::new()
            };
            let (coverage, among) = score.coverage();
            let coverage = if among == 0 {
                "-".to_owned()
            } else {
                format!("{} of {among}", percent(coverage, 0))
            };
            table.row([
                first,
                (*method_name).to_owned(),
                number(score.precision(), 3),
                number(score.recall(), 3),
                number(score.f1(), 3),
                number(score.per_1000(), 1),
                number(at_same_price(&of_part, method), 3),
                percent(score.slope_error(), 1),
                coverage,
            ]);
        }
    }
    table.render()
}

/// What a baseline finds where it costs as many false alarms as memsoak does.
fn at_same_price(judged: &[&Judged], method: usize) -> Option<f64> {
    let memsoak = Score::of(judged.iter().copied(), MEMSOAK);
    if method < BASELINES {
        return None;
    }
    recall_at(judged, method, memsoak.false_alarms)
}

/// How many series of each kind are called a leak.
pub(crate) fn by_kind(judged: &[Judged]) -> String {
    let mut header = vec![
        "part, kind",
        "truth",
        "series",
        "called by memsoak",
        "suspected",
        "nameless",
    ];
    header.extend(&NAMES[BASELINES..]);
    let mut table = Table::new(2, &header);
    let kinds: BTreeSet<(&str, Truth, &str)> = judged
        .iter()
        .map(|one| (one.part.as_str(), one.truth, one.kind.as_str()))
        .collect();
    for (part, truth, kind) in kinds {
        let these: Vec<&Judged> = judged
            .iter()
            .filter(|one| (one.part.as_str(), one.truth, one.kind.as_str()) == (part, truth, kind))
            .collect();
        let of = |wanted: &dyn Fn(&Judged) -> bool| {
            these.iter().filter(|one| wanted(one)).count().to_string()
        };
        let mut cells = vec![
            format!("{part}, {kind}"),
            word(truth).to_owned(),
            these.len().to_string(),
            of(&|one| one.calls[MEMSOAK].leak),
            of(&|one| one.calls[MEMSOAK].suspect),
            of(&|one| one.calls[NAMELESS].leak),
        ];
        cells.extend((BASELINES..NAMES.len()).map(|method| of(&|one| one.calls[method].leak)));
        table.row(cells);
    }
    table.render()
}

fn word(truth: Truth) -> &'static str {
    match truth {
        Truth::Leak => "leak",
        Truth::Healthy => "healthy",
        Truth::Unscored => "unknown",
    }
}

/// What the weaker word adds, and what is said of series without a known truth.
pub(crate) fn by_word(judged: &[Judged]) -> String {
    let mut table = Table::new(
        1,
        &[
            "part",
            "leaks called",
            "leaks called or suspected",
            "healthy called per 1,000",
            "healthy called or suspected per 1,000",
            "of unknown truth: called",
        ],
    );
    for (name, of_part) in parts(judged) {
        let s = Score::of(of_part.iter().copied(), MEMSOAK);
        let either = ratio(s.false_alarms + s.healthy_suspected, s.healthy());
        table.row([
            name,
            percent(s.recall(), 0),
            percent(ratio(s.hits + s.suspected, s.leaks()), 0),
            number(s.per_1000(), 1),
            number(either.map(|share| 1000.0 * share), 1),
            format!("{} of {}", s.unscored_called, s.unscored),
        ]);
    }
    table.render()
}

/// The parts that are scored, each alone, then the two that are recordings of real programs and
/// kernels together, then all.
pub(crate) fn parts(judged: &[Judged]) -> Vec<(String, Vec<&Judged>)> {
    let names: BTreeSet<&str> = judged.iter().map(|one| one.part.as_str()).collect();
    let of = |wanted: &[&str]| -> Vec<&Judged> {
        judged
            .iter()
            .filter(|one| wanted.contains(&one.part.as_str()))
            .collect()
    };
    let mut parts: Vec<(String, Vec<&Judged>)> = names
        .iter()
        .map(|name| ((*name).to_owned(), of(&[name])))
        .collect();
    if names.contains("kernel") && names.contains("host") {
        parts.push(("kernel+host".to_owned(), of(&["kernel", "host"])));
    }
    if names.len() > 1 {
        parts.push(("all".to_owned(), judged.iter().collect()));
    }
    parts
}

/// The leaks of the own collection that nothing larger hides.
pub(crate) fn is_clear(one: &Judged) -> bool {
    FAMILIES
        .iter()
        .any(|family| family.clear && family.name == one.kind)
}

/// The own collection by method: all leaks, and those that nothing larger hides.
pub(crate) fn own_by_method(judged: &[Judged]) -> String {
    let mut table = Table::new(
        1,
        &[
            "method",
            "precision",
            "recall, clear leaks",
            "recall, all",
            "F1",
            "false alarms per 1,000",
            "recall at memsoak\'s false alarms",
            "slope off by, median",
            "true slope in the 95 % interval",
        ],
    );
    for (method, name) in NAMES.iter().enumerate() {
        let score = Score::of(judged, method);
        let clear = Score::of(judged.iter().filter(|one| is_clear(one)), method);
        let (coverage, among) = score.coverage();
        table.row([
            (*name).to_owned(),
            number(score.precision(), 3),
            number(clear.recall(), 3),
            number(score.recall(), 3),
            number(score.f1(), 3),
            number(score.per_1000(), 1),
            number(at_same_price(&judged.iter().collect::<Vec<_>>(), method), 3),
            percent(score.slope_error(), 1),
            format!("{} of {among}", percent(coverage, 0)),
        ]);
    }
    table.render()
}

/// The figures below their floor, in words. Floors of parts that were not measured do not count.
pub(crate) fn below_floors(own: &[Judged], labelled: Option<&[Judged]>) -> Vec<String> {
    let mut measured = parts(own);
    measured.extend(labelled.map(parts).unwrap_or_default());
    let mut below = Vec::new();
    for floor in FLOORS {
        let Some((_, judged)) = measured.iter().find(|(name, _)| name == floor.part) else {
            continue;
        };
        let method = if floor.named { MEMSOAK } else { NAMELESS };
        let score = Score::of(judged.iter().copied(), method);
        let (value, least) = match floor.figure {
            Figure::Recall => (score.recall(), true),
            Figure::ClearRecall => {
                let clear = judged.iter().copied().filter(|one| is_clear(one));
                (Score::of(clear, method).recall(), true)
            }
            Figure::FalseAlarms => (score.per_1000(), false),
            Figure::SlopeError => (score.slope_error(), false),
            Figure::Coverage => (score.coverage().0, true),
        };
        let held = value.is_some_and(|value| {
            if least {
                value >= floor.at
            } else {
                value <= floor.at
            }
        });
        if !held {
            let named = if floor.named { "named" } else { "nameless" };
            below.push(format!(
                "{}, {named}, {:?}: {} where {} is the {}. {}",
                floor.part,
                floor.figure,
                number(value, 3),
                floor.at,
                if least { "least" } else { "most" },
                floor.why
            ));
        }
    }
    below
}
