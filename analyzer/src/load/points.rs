//! Chosen series, point by point, at the resolution of a chart.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use memsoak_schema::{Error, IdMap, Metric, Recording, Source};

use super::cursor::Cursor;
use super::index::{Index, SourceTicks};
use super::kin::MEMBERS_METRIC;
use super::name::{SeriesKey, conversion};
use super::sums::Sums;

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

    /// Whether no value is other than 0.
    pub fn are_zero(&self) -> bool {
        self.points
            .iter()
            .all(|(_, value)| value.is_none_or(|value| value.abs() < f64::MIN_POSITIVE))
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
        // Nine of ten are shorter: a young run reads costly sources more often than later.
        let usual = steps
            .get(steps.len() * 9 / 10)
            .copied()
            .unwrap_or(f64::INFINITY);
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
            if of_source.is_empty() {
                continue;
            }
            let ticks = boot.sources.get(&source.source).unwrap_or(&none);
            let mut traces = Traces(
                of_source
                    .iter()
                    .map(|key| {
                        let metric = source.metrics.iter().find(|m| m.metric == key.metric);
                        let factor = metric.map_or(1.0, |metric| conversion(metric.unit, boot).0);
                        let trace = Trace::new(ticks, boot.span_s());
                        ((key.entity, key.metric), (trace, factor))
                    })
                    .collect(),
            );
            traces.read(recording, index, source, &boot.range, ticks)?;
            for ((entity, metric), (trace, _)) in traces.0 {
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

/// The chosen series of one source, by entity and metric, each with the factor to its shown unit.
struct Traces<'a>(IdMap<(i64, i64), (Trace<'a>, f64)>);

impl Traces<'_> {
    fn row(&mut self, tick: i64, entity: i64, metric: i64, value: f64) {
        if let Some((trace, factor)) = self.0.get_mut(&(entity, metric)) {
            trace.row(tick, value * *factor);
        }
    }

    fn read(
        &mut self,
        recording: &Recording,
        index: &Index,
        source: &Source,
        range: &RangeInclusive<i64>,
        ticks: &SourceTicks,
    ) -> Result<(), Error> {
        let mut metrics: Vec<&Metric> = source
            .metrics
            .iter()
            .filter(|metric| self.0.keys().any(|(_, wanted)| *wanted == metric.metric))
            .collect();
        metrics.sort_by_key(|metric| metric.metric);
        if !source.has_entities {
            let wanted: Vec<i64> = metrics.iter().map(|metric| metric.metric).collect();
            return recording.scan_scalars(&wanted, range, |tick, metric, value| {
                self.row(tick, 0, metric, value);
            });
        }
        if metrics.is_empty() {
            // How many bear a name: any column tells whether one is there.
            metrics.extend(source.metrics.first());
        }
        let mut wanted: Vec<i64> = self.0.keys().map(|(entity, _)| *entity).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let groups: Vec<i64> = wanted.iter().copied().filter(|of| *of < 0).collect();
        wanted.extend(groups.iter().flat_map(|group| index.kin.members(*group)));
        let mut sums = Sums::new(&index.kin, ticks, metrics.len());
        recording.scan_entities(
            source,
            &metrics,
            Some(&wanted),
            range,
            |tick, entity, values| {
                for (metric, value) in metrics.iter().zip(values) {
                    self.row(tick, entity, metric.metric, *value);
                }
                if !groups.is_empty() {
                    sums.row(tick, entity, values, &mut |tick, group, values| {
                        self.sum(&metrics, tick, group, values);
                    });
                }
            },
        )?;
        sums.finish(&mut |tick, group, values| self.sum(&metrics, tick, group, values));
        Ok(())
    }

    fn sum(&mut self, metrics: &[&Metric], tick: i64, group: i64, values: &[f64]) {
        for (metric, value) in metrics.iter().zip(values) {
            self.row(tick, group, metric.metric, *value);
        }
        if let Some(members) = values.last() {
            self.row(tick, group, MEMBERS_METRIC, *members);
        }
    }
}
