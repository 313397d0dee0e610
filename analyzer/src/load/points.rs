//! Chosen series, point by point, at the resolution of a chart.

use std::collections::HashMap;

use memsoak_schema::{Error, Metric, Recording};

use super::cursor::Cursor;
use super::ids::IdMap;
use super::index::{Index, SourceTicks};
use super::name::{SeriesKey, conversion};

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
