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
    /// What nobody uses: drawn pale, so that the eye goes to the others.
    pub unused: bool,
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
        let least = match self.quantity {
            Quantity::Bytes => 16.0 * 1024.0,
            Quantity::Count => 4.0,
            Quantity::Percent => 1.0,
            Quantity::BytesPerSecond | Quantity::PerSecond | Quantity::Seconds => 1e-3,
        };
        let Some((mut low, mut high)) = data.or(fit) else {
            return ValueRange {
                low: 0.0,
                high: least,
            };
        };
        if let Some((fit_low, fit_high)) = fit {
            let room = (high - low) / 2.0;
            (low, high) = (
                low.min(fit_low.max(low - room)),
                high.max(fit_high.min(high + room)),
            );
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    const MIB: f64 = 1024.0 * 1024.0;

    fn series() -> SeriesChart {
        SeriesChart {
            title: "stress-leak (pid 123) RssAnon leaks 12 MiB/h".to_owned(),
            subtitle: "board-7\u{202e}".to_owned(),
            quantity: Quantity::Bytes,
            axis: TimeAxis {
                start_s: 100.0,
                end_s: 100.0 + 7200.0,
                wall_start: DateTime::from_timestamp(1_700_000_000, 0),
            },
            lines: vec![Line {
                label: "rss_anon_bytes".to_owned(),
                points: (0..=72)
                    .map(|i| {
                        let t_s = f64::from(i) * 100.0;
                        (
                            100.0 + t_s,
                            (i != 20).then_some(100.0 * MIB + 12.0 * MIB * t_s / 3600.0),
                        )
                    })
                    .collect(),
            }],
            fit: Some(vec![
                FitPoint {
                    t_s: 100.0,
                    value: 100.0 * MIB,
                    low: 99.0 * MIB,
                    high: 101.0 * MIB,
                },
                FitPoint {
                    t_s: 7300.0,
                    value: 124.0 * MIB,
                    low: 123.0 * MIB,
                    high: 125.5 * MIB,
                },
            ]),
            marks: vec![Mark {
                t_s: 1900.0,
                text: "load driver\n and a text that is much too long".to_owned(),
            }],
            gaps: vec![Gap {
                from_s: 4000.0,
                to_s: 4100.0,
                reason: "recorder stopped".to_owned(),
            }],
            boots: vec![5000.0],
            onset: Some(700.0),
            notes: vec!["Theil-Sen slope".to_owned()],
        }
    }

    #[test]
    fn a_series_chart_says_what_it_shows() {
        insta::assert_snapshot!(series().describe(), @r#"
        series chart: stress-leak (pid 123) RssAnon leaks 12 MiB/h
        subtitle: board-7\u{202e}
        x: to +2h | +0s +15m +30m +45m +1h +1h15m +1h30m +1h45m +2h
        wall: 2023-11-14 22:13:20 UTC .. 2023-11-15 00:13:20 UTC
        y: bytes, does not start at 0 | 100 MiB | 104 MiB | 108 MiB | 112 MiB | 116 MiB | 120 MiB | 124 MiB
        line "rss_anon_bytes": points 72, stretches 4, first 100 MiB, last 124 MiB, lowest 100 MiB, highest 124 MiB
        fit: +0s 100 MiB (99 MiB to 101 MiB) .. +2h 124 MiB (123 MiB to 125.5 MiB)
        mark +30m: load driver\u{a} and a text…
        gap +1h5m to +1h6m40s: recorder stopped
        reboot +1h21m40s
        onset +10m
        note: Theil-Sen slope
        "#);
    }

    #[test]
    fn an_empty_series_chart_says_so() {
        let mut chart = series();
        chart.lines[0].points.clear();
        (chart.fit, chart.subtitle) = (Some(Vec::new()), String::new());
        chart.marks.clear();
        insta::assert_snapshot!(chart.describe(), @r#"
        series chart: stress-leak (pid 123) RssAnon leaks 12 MiB/h
        x: to +2h | +0s +15m +30m +45m +1h +1h15m +1h30m +1h45m +2h
        wall: 2023-11-14 22:13:20 UTC .. 2023-11-15 00:13:20 UTC
        y: bytes | 0 KiB | 2 KiB | 4 KiB | 6 KiB | 8 KiB | 10 KiB | 12 KiB | 14 KiB | 16 KiB
        line "rss_anon_bytes": no points
        fit: no points
        gap +1h5m to +1h6m40s: recorder stopped
        reboot +1h21m40s
        onset +10m
        note: Theil-Sen slope
        "#);
    }

    #[test]
    fn a_stack_chart_says_what_it_shows() {
        let layer = |label: &str, values: [Option<f64>; 4]| Layer {
            unused: false,
            label: label.to_owned(),
            values: values.map(|v| v.map(|v| v * MIB)).to_vec(),
        };
        let chart = StackChart {
            title: "64 MiB over time".to_owned(),
            subtitle: String::new(),
            quantity: Quantity::Bytes,
            axis: TimeAxis {
                start_s: 0.0,
                end_s: 30.0,
                wall_start: None,
            },
            t_s: vec![0.0, 10.0, 20.0, 30.0],
            layers: vec![
                layer("anon", [Some(10.0), Some(11.0), None, Some(13.0)]),
                layer("free", [Some(50.0), Some(49.0), Some(48.0), Some(47.0)]),
                layer("cma", [None; 4]),
            ],
            total: Some(64.0 * MIB),
            marks: Vec::new(),
            gaps: vec![Gap {
                from_s: 10.0,
                to_s: 30.0,
                reason: "late".to_owned(),
            }],
            boots: Vec::new(),
        };
        insta::assert_snapshot!(chart.describe(), @r#"
        stack chart: 64 MiB over time
        x: to +30s | +0s +5s +10s +15s +20s +25s +30s
        y: bytes | 0 MiB | 16 MiB | 32 MiB | 48 MiB | 64 MiB
        total: 64 MiB
        layer "anon": points 3, first 10 MiB, last 13 MiB, lowest 10 MiB, highest 13 MiB
        layer "free": points 4, first 50 MiB, last 47 MiB, lowest 47 MiB, highest 50 MiB
        layer "cma": no points
        times 4, of which without a full picture 1
        gap +10s to +30s: late
        "#);
    }

    #[test]
    fn the_value_axis_zooms_but_starts_at_zero_where_that_is_cheap() {
        let range = |values: &[f64]| {
            let mut chart = series();
            chart.fit = None;
            chart.lines[0].points = values.iter().map(|v| (200.0, Some(v * MIB))).collect();
            let ValueRange { low, high } = chart.value_range();
            format!(
                "{} .. {}",
                Quantity::Bytes.format(low),
                Quantity::Bytes.format(high)
            )
        };
        insta::assert_snapshot!(
            [range(&[100.0, 110.0]), range(&[10.0, 110.0]), range(&[24_000.0, 24_000.1]), range(&[0.0]), range(&[-5.0, 5.0]), range(&[])].join("\n"),
            @r"
        99.4 MiB .. 110.6 MiB
        0 B .. 116 MiB
        23.42 GiB .. 23.45 GiB
        0 B .. 8.96 KiB
        -5.6 MiB .. 5.6 MiB
        0 B .. 16 KiB
        "
        );
    }

    #[test]
    fn a_wild_fit_does_not_flatten_the_data() {
        let mut chart = series();
        chart.fit = Some(vec![FitPoint {
            t_s: 200.0,
            value: 1e15,
            low: -1e15,
            high: 1e16,
        }]);
        assert!(chart.value_range().high < 150.0 * MIB);
    }
}
