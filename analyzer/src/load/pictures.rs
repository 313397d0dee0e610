//! What chosen sources hold at each of their samples: the dense form of the changes that are stored.

use std::collections::BTreeMap;

use memsoak_schema::{Error, Metric, Recording, Source};

use super::index::{BootTicks, Index, SourceTicks};
use super::name::conversion;

/// What is read of a source: its name, and metrics by the names of the catalogue. What a recording
/// lacks is NaN.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The source.
    pub source: &'static str,
    /// Its metrics, in the order in which [`Picture`] gives them.
    pub metrics: &'static [&'static str],
}

/// A source at one sample: memory in bytes, other things in their own unit, NaN where not obtained.
#[derive(Debug)]
pub struct Picture<'a> {
    /// Seconds from the start of the boot's recording.
    pub t_s: f64,
    held: &'a BTreeMap<i64, Held>,
}

impl Picture<'_> {
    /// The entities that are there, by number, with their values in the order of the view.
    pub fn entities(&self) -> impl Iterator<Item = (i64, &[f64])> {
        self.held
            .iter()
            .map(|(entity, held)| (*entity, held.values.as_slice()))
    }

    /// The values of a source of scalars.
    pub fn scalars(&self) -> &[f64] {
        self.held.get(&0).map_or(&[], |held| held.values.as_slice())
    }
}

/// The values of one entity, and the last tick at which each was stored.
#[derive(Debug)]
struct Held {
    values: Vec<f64>,
    seen: Vec<i64>,
}

/// One view that is being read.
struct Reel<'a> {
    place: usize,
    ticks: &'a SourceTicks,
    next: usize,
    next_keyframe: usize,
    is_scalar: bool,
    held: BTreeMap<i64, Held>,
}

impl<'a> Reel<'a> {
    fn new(place: usize, source: &Source, ticks: &'a SourceTicks, width: usize) -> Self {
        let mut held = BTreeMap::new();
        if !source.has_entities {
            let nothing = Held {
                values: vec![f64::NAN; width],
                seen: vec![i64::MIN; width],
            };
            held.insert(0, nothing);
        }
        Self {
            place,
            ticks,
            next: 0,
            next_keyframe: 0,
            is_scalar: !source.has_entities,
            held,
        }
    }

    /// Hands out the samples before a tick: what was stored last holds at each of them.
    fn advance(&mut self, tick: i64, each: &mut impl FnMut(usize, &Picture<'_>)) {
        while let (Some(at), Some(t_s)) = (
            self.ticks.ticks.get(self.next),
            self.ticks.t_s.get(self.next),
        ) {
            if *at >= tick {
                return;
            }
            if self.ticks.keyframes.get(self.next_keyframe) == Some(at) {
                self.next_keyframe += 1;
                self.forget_unseen(*at);
            }
            self.next += 1;
            each(
                self.place,
                &Picture {
                    t_s: *t_s,
                    held: &self.held,
                },
            );
        }
    }

    /// What does not stand in a keyframe is gone.
    fn forget_unseen(&mut self, keyframe: i64) {
        if self.is_scalar {
            for held in self.held.values_mut() {
                for (value, seen) in held.values.iter_mut().zip(&held.seen) {
                    if *seen < keyframe {
                        *value = f64::NAN;
                    }
                }
            }
        } else {
            self.held
                .retain(|_, held| held.seen.iter().any(|seen| *seen >= keyframe));
        }
    }

    fn row(
        &mut self,
        tick: i64,
        entity: i64,
        from: usize,
        values: impl Iterator<Item = f64>,
        width: usize,
    ) {
        // A row of a sample that gave no values changes nothing.
        if self.ticks.ticks.get(self.next) != Some(&tick) {
            return;
        }
        let held = self.held.entry(entity).or_insert_with(|| Held {
            values: vec![f64::NAN; width],
            seen: vec![tick; width],
        });
        for (at, value) in values.enumerate() {
            if let (Some(slot), Some(seen)) =
                (held.values.get_mut(from + at), held.seen.get_mut(from + at))
            {
                *slot = value;
                *seen = tick;
            }
        }
        if !self.is_scalar && held.values.iter().all(|value| value.is_nan()) {
            self.held.remove(&entity);
        }
    }
}

/// Streams what chosen sources hold at each of their samples in one boot: the place of the view, and
/// the picture. The pictures of one view come in order of time, those of scalars before those of
/// entities; memory is bounded by what is there at one time.
///
/// # Errors
/// When the file is damaged.
pub fn pictures(
    recording: &Recording,
    index: &Index,
    boot: &BootTicks,
    views: &[View],
    mut each: impl FnMut(usize, &Picture<'_>),
) -> Result<(), Error> {
    let none = SourceTicks::default();
    let found = |view: &View| {
        index
            .sources
            .iter()
            .find(|source| source.name == view.source)
    };
    let metric = |source: &'_ Source, name: &str| -> Option<Metric> {
        source
            .metrics
            .iter()
            .find(|metric| metric.name == name)
            .cloned()
    };

    // The scalars of all sources share a table: one scan serves them all.
    let mut reels: Vec<Reel<'_>> = Vec::new();
    let mut takers: BTreeMap<i64, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for (place, view) in views.iter().enumerate() {
        let Some(source) = found(view).filter(|source| !source.has_entities) else {
            continue;
        };
        for (column, name) in view.metrics.iter().enumerate() {
            if let Some(metric) = metric(source, name) {
                let (factor, _) = conversion(metric.unit, boot);
                takers
                    .entry(metric.metric)
                    .or_default()
                    .push((reels.len(), column, factor));
            }
        }
        let ticks = boot.sources.get(&source.source).unwrap_or(&none);
        reels.push(Reel::new(place, source, ticks, view.metrics.len()));
    }
    let wanted: Vec<i64> = takers.keys().copied().collect();
    if !wanted.is_empty() {
        recording.scan_scalars(&wanted, &boot.range, |tick, metric, value| {
            for (reel, column, factor) in takers.get(&metric).into_iter().flatten() {
                if let Some(reel) = reels.get_mut(*reel) {
                    reel.advance(tick, &mut each);
                    reel.row(tick, 0, *column, std::iter::once(value * factor), 0);
                }
            }
        })?;
    }
    for reel in &mut reels {
        reel.advance(i64::MAX, &mut each);
    }

    for (place, view) in views.iter().enumerate() {
        let Some(source) = found(view).filter(|source| source.has_entities) else {
            continue;
        };
        let known: Vec<(usize, Metric)> = view
            .metrics
            .iter()
            .enumerate()
            .filter_map(|(column, name)| Some((column, metric(source, name)?)))
            .collect();
        let factors: Vec<f64> = known
            .iter()
            .map(|(_, metric)| conversion(metric.unit, boot).0)
            .collect();
        let metrics: Vec<&Metric> = known.iter().map(|(_, metric)| metric).collect();
        let width = view.metrics.len();
        let ticks = boot.sources.get(&source.source).unwrap_or(&none);
        let mut reel = Reel::new(place, source, ticks, width);
        let mut row = vec![f64::NAN; width];
        recording.scan_entities(
            source,
            &metrics,
            None,
            &boot.range,
            |tick, entity, values| {
                for (((column, _), value), factor) in known.iter().zip(values).zip(&factors) {
                    row[*column] = value * factor;
                }
                reel.advance(tick, &mut each);
                reel.row(tick, entity, 0, row.iter().copied(), width);
            },
        )?;
        reel.advance(i64::MAX, &mut each);
    }
    Ok(())
}
