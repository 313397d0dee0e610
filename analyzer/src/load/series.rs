//! Streams the tables of a recording into series.

use std::collections::HashMap;

use memsoak_schema::{
    Entity, Error, Kind, Labels, Metric, Recording, Source, Trend, Unit, printable,
};

use super::condense::{Builder, Grid};
use super::ids::IdMap;
use super::index::{BootTicks, Index, SourceTicks};
use crate::verdict::Cells;

/// A life of fewer samples is not judged; an entity that is gone after fewer is forgotten at once,
/// so that a million short-lived processes take no memory.
const SHORTEST_LIFE: u64 = 36;

/// What the numbers of a series are, after conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Memory in bytes.
    Bytes,
    /// Things.
    Count,
}

impl Quantity {
    /// The unit in report.json.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Count => "count",
        }
    }
}

/// A series of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Place of its boot in [`Index::boots`].
    pub boot: usize,
    /// The source.
    pub source: i64,
    /// The entity; 0 for a scalar.
    pub entity: i64,
    /// The metric.
    pub metric: i64,
}

/// What a series is called.
#[derive(Clone, Debug)]
pub struct SeriesName {
    /// `source/entity/metric`, or `source/key`.
    pub id: String,
    /// The source.
    pub source: String,
    /// The entity as it stands in `id`; empty for a scalar.
    pub entity: String,
    /// The bare kernel word: the cache, the caller, the process, the key.
    pub name: String,
    /// The metric, with the unit that the series has after conversion.
    pub metric: String,
    /// Unit after conversion.
    pub quantity: Quantity,
    /// The entity's labels.
    pub labels: Labels,
    /// As what it is judged.
    pub trend: Trend,
    /// The total that it is a part of, as `source/key`; empty when none.
    pub part_of: String,
    /// The kernel gives it back under pressure.
    pub reclaimable: bool,
}

/// Factor from the stored unit to bytes or a count.
#[expect(clippy::cast_precision_loss, reason = "page sizes and 1024")]
fn conversion(unit: Unit, boot: &BootTicks) -> (f64, Quantity) {
    match unit.bytes(u64::from(boot.boot.page_bytes)) {
        Some(bytes) => (bytes as f64, Quantity::Bytes),
        None => (1.0, Quantity::Count),
    }
}

/// `slab_pages` is shown in bytes, so it is named `slab_bytes`; a kernel's key stays as it is.
fn shown_name(metric: &Metric, source: &Source) -> String {
    if source.has_entities {
        for suffix in ["_pages", "_kib"] {
            if let Some(stem) = metric.name.strip_suffix(suffix) {
                return format!("{stem}_bytes");
            }
        }
    }
    printable(metric.name.as_bytes())
}

impl SeriesName {
    /// Finds out what a series is called.
    ///
    /// # Errors
    /// When the file is damaged, or the series is not of this recording.
    pub fn of(recording: &Recording, index: &Index, key: SeriesKey) -> Result<Self, Error> {
        let missing = || Error::Missing {
            path: recording.path().to_owned(),
            what: "series of that name".to_owned(),
        };
        let boot = index.boots.get(key.boot).ok_or_else(missing)?;
        let source = index
            .sources
            .iter()
            .find(|source| source.source == key.source)
            .ok_or_else(missing)?;
        let metric = source
            .metrics
            .iter()
            .find(|metric| metric.metric == key.metric)
            .ok_or_else(missing)?;
        let entity = if source.has_entities {
            Some(recording.entity(key.entity)?.ok_or_else(missing)?)
        } else {
            None
        };
        Ok(Self::build(boot, source, metric, entity.as_ref()))
    }

    fn build(boot: &BootTicks, source: &Source, metric: &Metric, entity: Option<&Entity>) -> Self {
        let (_, quantity) = conversion(metric.unit, boot);
        let shown = shown_name(metric, source);
        let labels = entity
            .map(|entity| entity.labels.clone())
            .unwrap_or_default();
        let text = |label: &str| {
            labels.get(label).map(|value| match value.as_str() {
                Some(text) => printable(text.as_bytes()),
                None => value.to_string(),
            })
        };
        let (name, entity) = match entity {
            Some(entity) => {
                let name = printable(&entity.name);
                // What tells two of the same name apart stands behind it.
                let full = match (text("pid"), text("module")) {
                    (Some(pid), _) => format!("{name}[{pid}]"),
                    (None, Some(module)) => format!("{name} [{module}]"),
                    (None, None) => name.clone(),
                };
                (name, full)
            }
            None => (shown.clone(), String::new()),
        };
        let id = if entity.is_empty() {
            format!("{}/{shown}", source.name)
        } else {
            format!("{}/{entity}/{shown}", source.name)
        };
        let marked = labels
            .get("reclaimable")
            .and_then(serde_json::Value::as_bool);
        Self {
            id,
            source: source.name.clone(),
            entity,
            name,
            metric: shown,
            quantity,
            trend: metric.trend,
            part_of: metric.part_of.clone(),
            reclaimable: marked == Some(true) || metric.trend == Trend::Reclaimable,
            labels,
        }
    }
}

fn is_judged(metric: &Metric) -> bool {
    metric.trend != Trend::None && metric.kind == Kind::Gauge
}

/// What a row is that stands at a tick: its place among the source's samples, and what is gone since.
struct Cursor<'a> {
    ticks: &'a SourceTicks,
    at: usize,
    keyframe: usize,
}

impl<'a> Cursor<'a> {
    fn new(ticks: &'a SourceTicks) -> Self {
        Self {
            ticks,
            at: 0,
            keyframe: 0,
        }
    }

    /// The sample of a tick; ticks come in ascending order.
    fn locate(&mut self, tick: i64) -> Option<usize> {
        let rest = self.ticks.ticks.get(self.at..)?;
        self.at += rest.partition_point(|&t| t < tick);
        (self.ticks.ticks.get(self.at) == Some(&tick)).then_some(self.at)
    }

    /// The next keyframe before `tick`, once.
    fn passed_keyframe(&mut self, tick: i64) -> Option<i64> {
        let keyframe = *self.ticks.keyframes.get(self.keyframe)?;
        if keyframe >= tick {
            return None;
        }
        self.keyframe += 1;
        Some(keyframe)
    }
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
}

impl<'a> Stream<'a> {
    fn new(ticks: &'a SourceTicks, factors: Vec<f64>) -> Self {
        Self {
            cursor: Cursor::new(ticks),
            grid: Grid::new(&ticks.t_s),
            factors,
            lives: IdMap::default(),
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

/// Streams every judged series of a recording, boot by boot and source by source.
///
/// Memory is bounded by the number of series that vary, not by their length. `progress` is told
/// the source that is being read.
///
/// # Errors
/// When the file is damaged.
pub fn judged_series(
    recording: &Recording,
    index: &Index,
    mut progress: impl FnMut(&str),
    mut each: impl FnMut(SeriesKey, Cells),
) -> Result<(), Error> {
    let none = SourceTicks::default();
    for (boot_at, boot) in index.boots.iter().enumerate() {
        let key = |source, entity, metric| SeriesKey {
            boot: boot_at,
            source,
            entity,
            metric,
        };
        progress("scalars");
        // The scalars of all sources share a table: one scan serves them all.
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
            stream.finish(|metric, _, cells| each(key(source, 0, metric), cells));
        }

        for source in index.sources.iter().filter(|source| source.has_entities) {
            let judged: Vec<&Metric> = source.metrics.iter().filter(|m| is_judged(m)).collect();
            if judged.is_empty() {
                continue;
            }
            progress(&source.name);
            let ticks = boot.sources.get(&source.source).unwrap_or(&none);
            let factors = judged.iter().map(|m| conversion(m.unit, boot).0).collect();
            let mut stream = Stream::new(ticks, factors);
            recording.scan_entities(
                source,
                &judged,
                None,
                &boot.range,
                |tick, entity, values| stream.row(tick, entity, values),
            )?;
            stream.finish(|entity, place, cells| {
                each(key(source.source, entity, judged[place].metric), cells);
            });
        }
    }
    Ok(())
}

/// A series point by point, at a bounded resolution.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// Time in seconds and value; `None` is a gap.
    pub points: Vec<(f64, Option<f64>)>,
}

impl Points {
    /// Whether there is any value.
    pub fn has_values(&self) -> bool {
        self.points.iter().any(|(_, value)| value.is_some())
    }

    /// The value in force at a time: of the last point before it.
    pub fn at(&self, t_s: f64) -> Option<f64> {
        // The points of a moment on the edge between two stretches are those of the earlier one.
        let edge = t_s * (1.0 + 1e-12);
        let before = self.points.partition_point(|(t, _)| *t <= edge);
        self.points.get(before.checked_sub(1)?)?.1
    }
}

/// How many stretches of equal time keep their own points. A chart has about half as many columns.
const STRETCHES: f64 = 2400.0;

/// Keeps of each stretch of time the first, least, greatest and last point.
#[derive(Debug, Default)]
struct Thinner {
    done: Vec<(f64, Option<f64>)>,
    stretch: Option<i64>,
    open: Vec<(f64, f64)>,
}

impl Thinner {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a stretch number below a few thousand"
    )]
    fn push(&mut self, span_s: f64, t_s: f64, value: f64) {
        let stretch = (t_s / span_s.max(1e-9) * STRETCHES) as i64;
        if self.stretch != Some(stretch) {
            self.flush();
            self.stretch = Some(stretch);
        }
        self.open.push((t_s, value));
        if self.open.len() == 6 {
            // Of six the four that show: first, last, and the extremes between.
            let inner = &self.open[1..5];
            let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            let (Some(low), Some(high)) = (
                inner.iter().min_by(by).copied(),
                inner.iter().max_by(by).copied(),
            ) else {
                return;
            };
            let (a, b) = if low.0 <= high.0 {
                (low, high)
            } else {
                (high, low)
            };
            let (first, last) = (self.open[0], self.open[5]);
            self.open.clear();
            self.open.extend([first, a, b, last]);
        }
    }

    fn gap(&mut self, t_s: f64) {
        self.flush();
        self.stretch = None;
        if self.done.last().is_some_and(|(_, value)| value.is_some()) {
            self.done.push((t_s, None));
        }
    }

    fn flush(&mut self) {
        self.done
            .extend(self.open.drain(..).map(|(t, v)| (t, Some(v))));
    }
}

/// A chosen series that is being read point by point.
struct Trace<'a> {
    cursor: Cursor<'a>,
    value: f64,
    since: usize,
    seen: i64,
    longest_s: f64,
    span_s: f64,
    out: Thinner,
}

impl<'a> Trace<'a> {
    fn new(ticks: &'a SourceTicks, span_s: f64) -> Self {
        let mut steps: Vec<f64> = ticks.t_s.windows(2).map(|w| w[1] - w[0]).collect();
        steps.sort_unstable_by(f64::total_cmp);
        let usual = steps.get(steps.len() / 2).copied().unwrap_or(f64::INFINITY);
        Self {
            cursor: Cursor::new(ticks),
            value: f64::NAN,
            since: 0,
            seen: 0,
            // One sample that came late is no gap.
            longest_s: usual * 2.5,
            span_s,
            out: Thinner::default(),
        }
    }

    fn set(&mut self, sample: usize, value: f64) {
        let t_s = &self.cursor.ticks.t_s;
        if !self.value.is_nan() {
            for at in self.since..sample {
                if at > self.since && t_s[at] - t_s[at - 1] > self.longest_s {
                    self.out.gap(t_s[at - 1]);
                }
                self.out.push(self.span_s, t_s[at], self.value);
            }
            let late = t_s
                .get(sample)
                .is_some_and(|t| sample > 0 && t - t_s[sample - 1] > self.longest_s);
            if value.is_nan() || late {
                self.out.gap(t_s[sample.saturating_sub(1)]);
            }
        }
        self.value = value;
        self.since = sample;
    }

    fn expire(&mut self, tick: i64) {
        while let Some(keyframe) = self.cursor.passed_keyframe(tick) {
            if self.seen < keyframe
                && let Some(sample) = self.cursor.locate(keyframe)
            {
                self.set(sample, f64::NAN);
            }
        }
    }

    fn row(&mut self, tick: i64, value: f64) {
        self.expire(tick);
        self.seen = tick;
        if let Some(sample) = self.cursor.locate(tick) {
            self.set(sample, value);
        }
    }

    fn finish(mut self) -> Points {
        self.expire(i64::MAX);
        self.set(self.cursor.ticks.t_s.len(), f64::NAN);
        self.out.flush();
        if self
            .out
            .done
            .last()
            .is_some_and(|(_, value)| value.is_none())
        {
            self.out.done.pop();
        }
        Points {
            points: self.out.done,
        }
    }
}

/// Reads chosen series again, point by point, at the resolution of a chart.
///
/// # Errors
/// When the file is damaged.
pub fn points(
    recording: &Recording,
    index: &Index,
    keys: &[SeriesKey],
) -> Result<HashMap<SeriesKey, Points>, Error> {
    let none = SourceTicks::default();
    let mut found = HashMap::new();
    for (boot_at, boot) in index.boots.iter().enumerate() {
        for source in &index.sources {
            let of_source: Vec<SeriesKey> = keys
                .iter()
                .copied()
                .filter(|key| key.boot == boot_at && key.source == source.source)
                .collect();
            let mut metrics: Vec<&Metric> = source
                .metrics
                .iter()
                .filter(|metric| of_source.iter().any(|key| key.metric == metric.metric))
                .collect();
            metrics.sort_by_key(|metric| metric.metric);
            if metrics.is_empty() {
                continue;
            }
            let ticks = boot.sources.get(&source.source).unwrap_or(&none);
            let mut traces: IdMap<(i64, i64), (Trace<'_>, f64)> = of_source
                .iter()
                .filter_map(|key| {
                    let metric = metrics.iter().find(|metric| metric.metric == key.metric)?;
                    let (factor, _) = conversion(metric.unit, boot);
                    let trace = Trace::new(ticks, boot.span_s());
                    Some(((key.entity, key.metric), (trace, factor)))
                })
                .collect();
            if source.has_entities {
                let mut wanted: Vec<i64> = of_source.iter().map(|key| key.entity).collect();
                wanted.sort_unstable();
                wanted.dedup();
                recording.scan_entities(
                    source,
                    &metrics,
                    Some(&wanted),
                    &boot.range,
                    |tick, entity, values| {
                        for (metric, value) in metrics.iter().zip(values) {
                            if let Some((trace, factor)) = traces.get_mut(&(entity, metric.metric))
                            {
                                trace.row(tick, value * *factor);
                            }
                        }
                    },
                )?;
            } else {
                let wanted: Vec<i64> = metrics.iter().map(|metric| metric.metric).collect();
                recording.scan_scalars(&wanted, &boot.range, |tick, metric, value| {
                    if let Some((trace, factor)) = traces.get_mut(&(0, metric)) {
                        trace.row(tick, value * *factor);
                    }
                })?;
            }
            for ((entity, metric), (trace, _)) in traces {
                let key = SeriesKey {
                    boot: boot_at,
                    source: source.source,
                    entity,
                    metric,
                };
                found.insert(key, trace.finish());
            }
        }
    }
    Ok(found)
}
