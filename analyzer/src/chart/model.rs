//! What a chart shows, as plain data: no fonts, no pixels, no drawing library.

use super::downsample::{downsample, usable};
use super::quantity::Quantity;
use super::text::safe_text;
use super::time_axis::TimeAxis;
use std::fmt::Write as _;

/// Longest title, in characters; the drawing wraps it.
pub(crate) const MAX_TITLE: usize = 240;
/// Longest subtitle or note.
pub(crate) const MAX_SENTENCE: usize = 300;
/// Longest label of a line, a layer or a gap.
pub(crate) const MAX_LABEL: usize = 48;
/// Longest text of a mark: it shares a narrow strip with others.
pub(crate) const MAX_MARK: usize = 28;

/// A named line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What the legend says.
    pub label: String,
    /// Time and value; `None` where nothing was obtained, which breaks the line.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A point of the fitted line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitPoint {
    /// Time in the seconds of the axis.
    pub t_s: f64,
    /// The fit itself.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// A named instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When.
    pub t_s: f64,
    /// What happened there.
    pub text: String,
}

/// A stretch in which nothing was obtained.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// The last sample before it.
    pub from_s: f64,
    /// The first sample after it.
    pub to_s: f64,
    /// Why, in a word or two.
    pub reason: String,
}

/// One or a few series over time, with the fitted trend.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesChart {
    /// The finding in words: the chart answers it.
    pub title: String,
    /// Host, kernel, span; may be empty.
    pub subtitle: String,
    /// What the y axis measures.
    pub quantity: Quantity,
    /// The time shown.
    pub axis: TimeAxis,
    /// The measured lines.
    pub lines: Vec<Line>,
    /// The fitted trend with its interval.
    pub fit: Option<Vec<FitPoint>>,
    /// Named instants.
    pub marks: Vec<Mark>,
    /// Stretches without samples.
    pub gaps: Vec<Gap>,
    /// Instants at which the machine booted.
    pub boots: Vec<f64>,
    /// Where the growth began.
    pub onset: Option<f64>,
    /// Sentences under the chart.
    pub notes: Vec<String>,
}

/// A layer of a stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What the legend says.
    pub label: String,
    /// A value for each time of the chart; `None` where nothing was obtained.
    pub values: Vec<Option<f64>>,
}

/// How a whole is divided over time.
#[derive(Debug, Clone, PartialEq)]
pub struct StackChart {
    /// What is divided, in words.
    pub title: String,
    /// Host, kernel, span; may be empty.
    pub subtitle: String,
    /// What the y axis measures.
    pub quantity: Quantity,
    /// The time shown.
    pub axis: TimeAxis,
    /// The times of the samples.
    pub t_s: Vec<f64>,
    /// The parts, from the bottom up.
    pub layers: Vec<Layer>,
    /// The whole, drawn as a line.
    pub total: Option<f64>,
    /// Named instants.
    pub marks: Vec<Mark>,
    /// Stretches without samples.
    pub gaps: Vec<Gap>,
    /// Instants at which the machine booted.
    pub boots: Vec<f64>,
}

/// The ends of a y axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueRange {
    /// Bottom.
    pub low: f64,
    /// Top.
    pub high: f64,
}

impl ValueRange {
    /// Whether zero is within the axis; a reader has to be told when it is not.
    #[must_use]
    pub fn shows_zero(self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

impl SeriesChart {
    /// The y axis: zoomed to the data, or from zero where that costs little room.
    ///
    /// The fit takes part within limits, so that a wild extrapolation does not flatten the data, and
    /// its interval does not. A steady series is shown with at least a thousandth of its level as span,
    /// so that jitter does not look like drama.
    #[must_use]
    pub fn value_range(&self) -> ValueRange {
        let (start, end) = self.axis.bounds();
        let inside = |t: f64| t >= start && t <= end;
        let measured = self
            .lines
            .iter()
            .flat_map(|l| &l.points)
            .filter(|p| inside(p.0))
            .filter_map(|p| p.1);
        let data = extent(measured);
        let fit = extent(
            self.fit
                .iter()
                .flatten()
                .filter(|p| inside(p.t_s))
                .map(|p| p.value),
        );
        let Some((mut low, mut high)) = data.or(fit) else {
            return ValueRange {
                low: 0.0,
                high: 1.0,
            };
        };
        if let Some((fit_low, fit_high)) = fit {
            let room = (high - low) / 2.0;
            (low, high) = (
                low.min(fit_low.max(low - room)),
                high.max(fit_high.min(high + room)),
            );
        }
        let least = match self.quantity {
            Quantity::Bytes => 16.0 * 1024.0,
            Quantity::Count => 4.0,
            _ => 1e-9,
        };
        let span = (high - low)
            .max(low.abs().max(high.abs()) * 1e-3)
            .max(least);
        let middle = f64::midpoint(low, high);
        let was_not_negative = low >= 0.0;
        low = low.min(middle - span / 2.0) - 0.06 * span;
        high = high.max(middle + span / 2.0) + 0.06 * span;
        if was_not_negative && low <= 0.4 * high {
            low = 0.0;
        }
        ValueRange { low, high }
    }

    /// Where lines are broken even if no missing value says so.
    pub(crate) fn breaks(&self) -> Vec<f64> {
        breaks(&self.gaps, &self.boots)
    }

    /// The whole chart as text, for tests: what a reader would read off the picture.
    #[must_use]
    pub fn describe(&self) -> String {
        let range = self.value_range();
        let mut out = Description::default();
        out.head("series chart", &self.title, &self.subtitle, &self.axis);
        out.value_axis(self.quantity, range);
        let (start, end) = self.axis.bounds();
        for line in &self.lines {
            let values = || {
                line.points
                    .iter()
                    .filter(|p| p.0 >= start && p.0 <= end)
                    .filter_map(|p| p.1.and_then(usable))
            };
            let stretches = downsample(&line.points, (start, end), 1200, &self.breaks()).len();
            out.values(
                &format!("line \"{}\"", safe_text(&line.label, MAX_LABEL)),
                self.quantity,
                values(),
                &format!(", stretches {stretches}"),
            );
        }
        if let Some(fit) = &self.fit {
            let point = |p: &FitPoint| {
                let f = |v| self.quantity.format(v);
                format!(
                    "{} {} ({} to {})",
                    self.axis.elapsed(p.t_s),
                    f(p.value),
                    f(p.low),
                    f(p.high)
                )
            };
            match (fit.first(), fit.last()) {
                (Some(first), Some(last)) => {
                    out.line(&format!("fit: {} .. {}", point(first), point(last)))
                }
                _ => out.line("fit: no points"),
            }
        }
        out.events(&self.axis, &self.marks, &self.gaps, &self.boots);
        if let Some(onset) = self.onset {
            out.line(&format!("onset {}", self.axis.elapsed(onset)));
        }
        for note in &self.notes {
            out.line(&format!("note: {}", safe_text(note, MAX_SENTENCE)));
        }
        out.text
    }
}

impl StackChart {
    /// The y axis: from zero to the whole, or to the highest sum of the layers.
    #[must_use]
    pub fn value_range(&self) -> ValueRange {
        let sums = self
            .rows()
            .into_iter()
            .flatten()
            .map(|row| row.iter().sum::<f64>());
        let highest = extent(sums.chain(self.total)).map_or(0.0, |e| e.1);
        ValueRange {
            low: 0.0,
            high: if highest > 0.0 { highest * 1.04 } else { 1.0 },
        }
    }

    /// The layers that have any value at all: their labels and whether they are drawn.
    ///
    /// A layer without a single value (its source is absent on this kernel) is left out; it would
    /// otherwise turn the whole chart into a gap.
    pub(crate) fn drawn(&self) -> Vec<&Layer> {
        self.layers
            .iter()
            .filter(|l| {
                l.values
                    .iter()
                    .copied()
                    .flatten()
                    .any(|v| usable(v).is_some())
            })
            .collect()
    }

    /// For each time the values of the drawn layers, or `None` if one is missing: what stands above
    /// a missing layer would be at the wrong height. Below zero there is nothing to stack.
    pub(crate) fn rows(&self) -> Vec<Option<Vec<f64>>> {
        let drawn = self.drawn();
        let row = |i: usize| -> Option<Vec<f64>> {
            drawn
                .iter()
                .map(|l| {
                    l.values
                        .get(i)
                        .copied()
                        .flatten()
                        .and_then(usable)
                        .map(|v| v.max(0.0))
                })
                .collect()
        };
        (0..self.t_s.len())
            .map(|i| row(i).filter(|r| !r.is_empty()))
            .collect()
    }

    pub(crate) fn breaks(&self) -> Vec<f64> {
        breaks(&self.gaps, &self.boots)
    }

    /// The whole chart as text, for tests: what a reader would read off the picture.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = Description::default();
        out.head("stack chart", &self.title, &self.subtitle, &self.axis);
        out.value_axis(self.quantity, self.value_range());
        if let Some(total) = self.total {
            out.line(&format!("total: {}", self.quantity.format(total)));
        }
        for layer in &self.layers {
            let values = layer.values.iter().copied().flatten().filter_map(usable);
            out.values(
                &format!("layer \"{}\"", safe_text(&layer.label, MAX_LABEL)),
                self.quantity,
                values,
                "",
            );
        }
        let missing = self.rows().iter().filter(|r| r.is_none()).count();
        out.line(&format!(
            "times {}, of which without a full picture {missing}",
            self.t_s.len()
        ));
        out.events(&self.axis, &self.marks, &self.gaps, &self.boots);
        out.text
    }
}

/// Lowest and highest of the values that can be shown.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter_map(usable).fold(None, |e, v| match e {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

fn breaks(gaps: &[Gap], boots: &[f64]) -> Vec<f64> {
    // The middle of a gap: its ends are samples, and belong to the lines on either side.
    let middles = gaps.iter().map(|g| f64::midpoint(g.from_s, g.to_s));
    let mut all: Vec<f64> = middles
        .chain(boots.iter().copied())
        .filter(|t| t.is_finite())
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

#[derive(Default)]
struct Description {
    text: String,
}

impl Description {
    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn head(&mut self, kind: &str, title: &str, subtitle: &str, axis: &TimeAxis) {
        self.line(&format!("{kind}: {}", safe_text(title, MAX_TITLE)));
        if !subtitle.is_empty() {
            self.line(&format!("subtitle: {}", safe_text(subtitle, MAX_SENTENCE)));
        }
        let ticks: Vec<String> = axis.ticks(8).into_iter().map(|t| t.label).collect();
        self.line(&format!(
            "x: to {} | {}",
            axis.elapsed(axis.bounds().1),
            ticks.join(" ")
        ));
        if let Some((from, to)) = axis.wall_ends() {
            self.line(&format!("wall: {from} .. {to}"));
        }
    }

    fn value_axis(&mut self, quantity: Quantity, range: ValueRange) {
        let ticks: Vec<String> = quantity
            .ticks(range.low, range.high, 8)
            .into_iter()
            .map(|t| t.label)
            .collect();
        let zero = if range.shows_zero() {
            ""
        } else {
            ", does not start at 0"
        };
        self.line(&format!(
            "y: {}{zero} | {}",
            quantity.caption(),
            ticks.join(" | ")
        ));
    }

    fn values(
        &mut self,
        what: &str,
        quantity: Quantity,
        values: impl Iterator<Item = f64>,
        more: &str,
    ) {
        let values: Vec<f64> = values.collect();
        let f = |v| quantity.format(v);
        match (
            values.first(),
            values.last(),
            extent(values.iter().copied()),
        ) {
            (Some(&first), Some(&last), Some((low, high))) => self.line(&format!(
                "{what}: points {}{more}, first {}, last {}, lowest {}, highest {}",
                values.len(),
                f(first),
                f(last),
                f(low),
                f(high)
            )),
            _ => self.line(&format!("{what}: no points")),
        }
    }

    fn events(&mut self, axis: &TimeAxis, marks: &[Mark], gaps: &[Gap], boots: &[f64]) {
        for mark in marks {
            self.line(&format!(
                "mark {}: {}",
                axis.elapsed(mark.t_s),
                safe_text(&mark.text, MAX_MARK)
            ));
        }
        for gap in gaps {
            self.line(&format!(
                "gap {} to {}: {}",
                axis.elapsed(gap.from_s),
                axis.elapsed(gap.to_s),
                safe_text(&gap.reason, MAX_LABEL)
            ));
        }
        for boot in boots {
            self.line(&format!("reboot {}", axis.elapsed(*boot)));
        }
    }
}
