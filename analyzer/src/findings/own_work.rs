//! Processes that grow, judged again beside their own CPU time: it says more of what a process does
//! than the CPU time of a machine on which others work too.

use memsoak_schema::{Error, Recording};

use super::Judged;
use crate::load::{Index, Points, SeriesKey, points};
use crate::verdict::{Cells, Traits, Work, judge_beside_load};

/// A series of a process that is to be judged again.
pub(super) struct Again {
    /// Its place among the judged.
    pub(super) at: usize,
    /// Its life, on the time that the machine was awake.
    pub(super) life: Cells,
    pub(super) traits: Traits,
}

/// The counter of the CPU time of each process: its source and its metric.
fn cpu_ticks(index: &Index) -> Option<(i64, i64)> {
    let process = index.sources.iter().find(|of| of.name == "process")?;
    let ticks = process.metrics.iter().find(|of| of.name == "cpu_ticks")?;
    Some((process.source, ticks.metric))
}

/// Series that are read at a time: point by point each takes some hundred KiB.
const AT_ONCE: usize = 200;

/// Judges them again beside the work of the machine and their own.
///
/// # Errors
/// When the file is damaged.
pub(super) fn judge_again(
    recording: &Recording,
    index: &Index,
    works: &[Vec<Work>],
    again: &[Again],
    judged: &mut [Judged],
) -> Result<(), Error> {
    let Some((source, metric)) = cpu_ticks(index) else {
        return Ok(());
    };
    let of_process = |key: SeriesKey| SeriesKey { metric, ..key };
    for some in again.chunks(AT_ONCE) {
        let mut keys: Vec<SeriesKey> = some
            .iter()
            .map(|one| judged[one.at].key)
            .filter(|key| key.source == source)
            .map(of_process)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let found = points(recording, index, &keys)?;
        for one in some {
            let series = &mut judged[one.at];
            let boot = series.key.boot;
            let Some(own) = found
                .get(&of_process(series.key))
                .and_then(|points| own_work(index, boot, points))
            else {
                continue;
            };
            let mut all = works.get(boot).cloned().unwrap_or_default();
            all.push(own);
            series.judgement = judge_beside_load(&one.life, &one.traits, &all);
            if let Some(boot) = index.boots.get(boot) {
                boot.asleep.put_back(&mut series.judgement);
            }
        }
    }
    Ok(())
}

fn own_work(index: &Index, boot: usize, points: &Points) -> Option<Work> {
    let boot = index.boots.get(boot)?;
    let known = || points.points.iter().filter_map(|(t, v)| Some((*t, (*v)?)));
    Work::new(
        "its own CPU time",
        ["CPU second of its own", "CPU that it uses"],
        false,
        known().map(|(t, _)| boot.asleep.awake_at(t)).collect(),
        known()
            .map(|(_, ticks)| ticks / f64::from(boot.boot.user_hz.max(1)))
            .collect(),
    )
}
