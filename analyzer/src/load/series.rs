//! Streams the tables of a recording into series that are small enough to judge.

use std::collections::BTreeMap;

use memsoak_schema::{Error, IdMap, Kind, Metric, Recording, Source, Trend};

use super::condense::{Builder, Grid};
use super::cursor::Cursor;
use super::index::Index;
use super::index::SourceTicks;
use super::kin::MEMBERS_METRIC;
use super::name::{SeriesKey, conversion};
use super::sums::Sums;
use crate::verdict::Cells;

/// A life of fewer samples is not judged; an entity that is gone after fewer is forgotten at once,
/// so that a million short-lived processes take no memory.
const SHORTEST_LIFE: u64 = 36;

fn is_judged(metric: &Metric) -> bool {
    metric.trend != Trend::None && metric.kind == Kind::Gauge
}

/// One entity (or scalar) whose metrics are being read.
struct Life {
    seen: i64,
    metrics: Vec<Builder>,
}

/// The entities of one source, or the keys of one scalar source.
struct Stream<'a> {
    cursor: Cursor<'a>,
    grid: Grid,
    factors: Vec<f64>,
    lives: IdMap<i64, Life>,
    /// A name may be without members for a while and go on.
    keeps_short: bool,
}

impl<'a> Stream<'a> {
    fn new(ticks: &'a SourceTicks, factors: Vec<f64>) -> Self {
        Self {
            cursor: Cursor::new(ticks),
            grid: Grid::new(&ticks.t_s),
            factors,
            lives: IdMap::default(),
            keeps_short: false,
        }
    }

    fn row(&mut self, tick: i64, what: i64, values: &[f64]) {
        self.expire(tick);
        let Some(sample) = self.cursor.locate(tick) else {
            return;
        };
        let life = self.lives.entry(what).or_insert_with(|| Life {
            seen: tick,
            metrics: vec![Builder::new(); self.factors.len()],
        });
        life.seen = tick;
        for ((builder, value), factor) in life.metrics.iter_mut().zip(values).zip(&self.factors) {
            builder.set(&self.grid, sample, value * factor);
        }
        let gone = values.iter().all(|value| value.is_nan());
        if gone
            && !self.keeps_short
            && life
                .metrics
                .iter()
                .all(|builder| builder.samples() < SHORTEST_LIFE)
        {
            self.lives.remove(&what);
        }
    }

    /// What does not stand in a keyframe is gone from there on.
    fn expire(&mut self, tick: i64) {
        while let Some(keyframe) = self.cursor.passed_keyframe(tick) {
            let Some(sample) = self.cursor.locate(keyframe) else {
                continue;
            };
            for life in self.lives.values_mut().filter(|life| life.seen < keyframe) {
                for builder in &mut life.metrics {
                    builder.set(&self.grid, sample, f64::NAN);
                }
            }
        }
    }

    fn finish(mut self, mut each: impl FnMut(i64, usize, Cells)) {
        self.expire(i64::MAX);
        let mut lives: Vec<_> = self.lives.into_iter().collect();
        lives.sort_unstable_by_key(|(what, _)| *what);
        for (what, life) in lives {
            for (place, builder) in life.metrics.into_iter().enumerate() {
                if let Some(cells) = builder.finish(&self.grid) {
                    each(what, place, cells);
                }
            }
        }
    }
}

/// Streams every judged series of a recording, boot by boot and source by source, those of one
/// source in the order of their keys.
///
/// A series comes as its lives: one, but for a name whose bearers follow one another (a service that
/// is restarted), which has one for each. The sums over things of one name ([`super::Kin`]) come after the
/// things themselves. Memory is bounded by the number of series that vary, not by their length.
/// `progress` is told the source that is being read.
///
/// # Errors
/// When the file is damaged.
pub fn judged_series(
    recording: &Recording,
    index: &Index,
    mut progress: impl FnMut(&str),
    mut each: impl FnMut(SeriesKey, &[Cells]),
) -> Result<(), Error> {
    for boot in 0..index.boots.len() {
        progress("scalars");
        scalars(recording, index, boot, &mut each)?;
        for source in index.sources.iter().filter(|source| source.has_entities) {
            let judged: Vec<&Metric> = source.metrics.iter().filter(|m| is_judged(m)).collect();
            if !judged.is_empty() {
                progress(&source.name);
                entities(recording, index, boot, source, &judged, &mut each)?;
            }
        }
    }
    Ok(())
}

/// The scalars of all sources share a table: one scan serves them all.
fn scalars(
    recording: &Recording,
    index: &Index,
    boot_at: usize,
    each: &mut impl FnMut(SeriesKey, &[Cells]),
) -> Result<(), Error> {
    let none = SourceTicks::default();
    let boot = &index.boots[boot_at];
    let mut owner: IdMap<i64, (usize, f64)> = IdMap::default();
    let mut streams = Vec::new();
    for source in index.sources.iter().filter(|source| !source.has_entities) {
        let ticks = boot.sources.get(&source.source).unwrap_or(&none);
        for metric in source.metrics.iter().filter(|metric| is_judged(metric)) {
            let (factor, _) = conversion(metric.unit, boot);
            owner.insert(metric.metric, (streams.len(), factor));
        }
        streams.push((source.source, Stream::new(ticks, vec![1.0])));
    }
    let mut metrics: Vec<i64> = owner.keys().copied().collect();
    metrics.sort_unstable();
    recording.scan_scalars(&metrics, &boot.range, |tick, metric, value| {
        if let Some((stream, factor)) = owner.get(&metric)
            && let Some((_, stream)) = streams.get_mut(*stream)
        {
            stream.row(tick, metric, &[value * factor]);
        }
    })?;
    for (source, stream) in streams {
        stream.finish(|metric, _, cells| {
            let key = SeriesKey {
                boot: boot_at,
                source,
                entity: 0,
                metric,
            };
            each(key, &[cells]);
        });
    }
    Ok(())
}

/// The entities of a source, and the sums over those of one name.
fn entities(
    recording: &Recording,
    index: &Index,
    boot_at: usize,
    source: &Source,
    judged: &[&Metric],
    each: &mut impl FnMut(SeriesKey, &[Cells]),
) -> Result<(), Error> {
    let none = SourceTicks::default();
    let boot = &index.boots[boot_at];
    let ticks = boot.sources.get(&source.source).unwrap_or(&none);
    let mut factors: Vec<f64> = judged.iter().map(|m| conversion(m.unit, boot).0).collect();
    let mut stream = Stream::new(ticks, factors.clone());
    factors.push(1.0);
    let mut of_names = Stream::new(ticks, factors);
    of_names.keeps_short = true;
    let mut sums = Sums::new(&index.kin, ticks, judged.len());
    recording.scan_entities(source, judged, None, &boot.range, |tick, entity, values| {
        stream.row(tick, entity, values);
        sums.row(tick, entity, values, &mut |tick, group, sums| {
            of_names.row(tick, group, sums);
        });
    })?;
    sums.finish(&mut |tick, group, sums| of_names.row(tick, group, sums));
    let key = |entity, place: usize| SeriesKey {
        boot: boot_at,
        source: source.source,
        entity,
        metric: judged
            .get(place)
            .map_or(MEMBERS_METRIC, |metric| metric.metric),
    };
    let mut successive: BTreeMap<(i64, usize), Vec<Cells>> = BTreeMap::new();
    stream.finish(|entity, place, cells| {
        each(key(entity, place), std::slice::from_ref(&cells));
        if let Some(group) = index.kin.of(entity)
            && sums.most(group) == 1
        {
            successive.entry((group, place)).or_default().push(cells);
        }
    });
    // Of a name that two bear at once the sum says most, otherwise each life by itself.
    of_names.finish(|group, place, cells| {
        if sums.most(group) > 1 {
            each(key(group, place), &[cells]);
        }
    });
    for ((group, place), mut lives) in successive {
        if lives.len() > 1 {
            lives.sort_by(|a, b| a.t_s[0].total_cmp(&b.t_s[0]));
            each(key(group, place), &lives);
        }
    }
    Ok(())
}
