//! Puts a chart model onto the canvas: where title, legend, axes and texts go, and the data.
//!
//! Lines are drawn here, column by column, from the reduced series: the drawing library turns a
//! thick path into one polygon, whose overlaps leave holes in a saw-tooth.

use super::downsample::{Run, downsample, downsample_layers, usable};
use super::draw::{Canvas, ChartError, Done, Rgb, SCALE, Size, on_canvas, px};
use super::ink::{
    GAP_FILL, GAP_INK, GRID, INK, LABEL, LINES, LONG_TITLE, SMALL, SOFT_INK, SUBTITLE, TITLE,
    VERMILLION, WHITE, layer_colors,
};
use super::layout::{Placed, place_marks, shorten, wrap};
use super::legend::{NO_SAMPLES, Swatch, draw_legend, draw_stack_legend, stack_legend};
use super::model::{
    FitPoint, Gap, MAX_LABEL, MAX_MARK, MAX_SENTENCE, MAX_TITLE, Mark, SeriesChart, StackChart,
    ValueRange,
};
use super::quantity::{Quantity, Tick};
use super::text::safe_text;
use super::time_axis::TimeAxis;

/// Most upright lines that are drawn with a text.
const MAX_TEXTS: usize = 64;

/// Draws one or a few series with their trend.
///
/// # Errors
/// If the size is out of range, or the font, the drawing or the encoding fails; never because of
/// the data.
pub fn draw_series(chart: &SeriesChart, size: Size) -> Result<Vec<u8>, ChartError> {
    on_canvas(size, |canvas| {
        let range = chart.value_range();
        let mut head = Head {
            title: &chart.title,
            subtitle: &chart.subtitle,
            notes: &chart.notes,
            ..Head::default()
        };
        head.caption = chart.quantity.caption().to_owned();
        if !range.shows_zero() {
            head.caption.push_str(" (axis does not start at 0)");
        }
        for (line, color) in chart.lines.iter().zip(LINES.into_iter().cycle()) {
            head.legend
                .push((Swatch::Line(color), safe_text(&line.label, MAX_LABEL)));
        }
        if chart.fit.as_ref().is_some_and(|f| !f.is_empty()) {
            head.legend
                .push((Swatch::Fit, "fitted trend and its interval".to_owned()));
        }
        if !chart.gaps.is_empty() {
            head.legend
                .push((Swatch::Area(GAP_FILL), NO_SAMPLES.to_owned()));
        }
        let uprights = uprights(&chart.axis, &chart.marks, &chart.boots, chart.onset);
        let plot = Plot::lay_out(
            canvas,
            &head,
            &uprights,
            &chart.axis,
            chart.quantity,
            range,
            0.0,
        )?;
        plot.draw_ground(canvas, &chart.gaps)?;

        let breaks = chart.breaks();
        let colored: Vec<_> = chart.lines.iter().zip(LINES.into_iter().cycle()).collect();
        // The first line is the one that the chart is about, so it lies on top.
        for (line, color) in colored.into_iter().rev() {
            let runs = downsample(&line.points, plot.time, plot.columns(), &breaks);
            plot.draw_runs(canvas, &runs, color, 2.1)?;
            plot.draw_dots(canvas, &line.points, color)?;
        }
        if let Some(fit) = &chart.fit {
            plot.draw_fit(canvas, fit)?;
        }
        plot.draw_over(canvas, &chart.gaps, &uprights)
    })
}

/// Draws how a whole is divided over time.
///
/// # Errors
/// As [`draw_series`].
pub fn draw_stack(chart: &StackChart, size: Size) -> Result<Vec<u8>, ChartError> {
    on_canvas(size, |canvas| {
        let range = chart.value_range();
        let head = Head {
            title: &chart.title,
            subtitle: &chart.subtitle,
            caption: chart.quantity.caption().to_owned(),
            ..Head::default()
        };
        let uprights = uprights(&chart.axis, &chart.marks, &chart.boots, None);
        let (legend, legend_width) = stack_legend(canvas, chart);
        let plot = Plot::lay_out(
            canvas,
            &head,
            &uprights,
            &chart.axis,
            chart.quantity,
            range,
            legend_width,
        )?;
        plot.draw_ground(canvas, &chart.gaps)?;

        let cells = downsample_layers(
            &chart.t_s,
            &chart.rows(),
            plot.time,
            plot.columns(),
            &chart.breaks(),
        );
        let colors = layer_colors(&chart.drawn());
        for (x, cell) in (plot.left..).zip(&cells) {
            let mut sum = 0.0;
            let mut bottom = plot.y(0.0).round();
            for (value, color) in cell.iter().flatten().zip(&colors) {
                sum += value;
                let top = plot.y(sum).round();
                canvas.column(x, top, bottom, *color, 1.0)?;
                bottom = top;
            }
        }
        plot.draw_edges(canvas, &cells)?;
        if let Some(total) = chart.total.and_then(usable) {
            let y = plot.y(total);
            canvas.rect(
                f64::from(plot.left),
                y - 2.0,
                f64::from(plot.right),
                y + 2.0,
                INK,
                1.0,
            )?;
        }
        draw_stack_legend(canvas, [plot.right, plot.top, plot.bottom], &legend)?;
        plot.draw_over(canvas, &chart.gaps, &uprights)
    })
}

/// What stands around a plot.
#[derive(Default)]
struct Head<'a> {
    title: &'a str,
    subtitle: &'a str,
    caption: String,
    legend: Vec<(Swatch, String)>,
    notes: &'a [String],
}

/// An upright line with a text above the plot.
#[derive(Debug, Clone)]
struct Upright {
    t_s: f64,
    text: String,
    color: Rgb,
    dashed: bool,
}

fn uprights(axis: &TimeAxis, marks: &[Mark], boots: &[f64], onset: Option<f64>) -> Vec<Upright> {
    let (start, end) = axis.bounds();
    let marks = marks.iter().map(|m| Upright {
        t_s: m.t_s,
        text: safe_text(&m.text, MAX_MARK),
        color: SOFT_INK,
        dashed: true,
    });
    let boots = boots.iter().map(|t| Upright {
        t_s: *t,
        text: "reboot".to_owned(),
        color: INK,
        dashed: false,
    });
    let onset = onset.map(|t| Upright {
        t_s: t,
        text: format!("grows since {}", axis.elapsed(t)),
        color: VERMILLION,
        dashed: true,
    });
    let mut all: Vec<Upright> = marks
        .chain(boots)
        .chain(onset)
        .filter(|u| u.t_s >= start && u.t_s <= end)
        .collect();
    all.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    all
}

/// The rectangle of the data and how it maps to time and value.
struct Plot {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    time: (f64, f64),
    range: ValueRange,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    mark_rows: usize,
}

impl Plot {
    /// Finds room for everything around the data, and draws what stands outside of it.
    fn lay_out(
        canvas: &mut Canvas,
        head: &Head,
        uprights: &[Upright],
        axis: &TimeAxis,
        quantity: Quantity,
        range: ValueRange,
        right_strip: f64,
    ) -> Result<Self, ChartError> {
        let edge = 14.0 * SCALE;
        let small = canvas.height < 320.0 * SCALE;
        let mut y = draw_title(canvas, head, edge, small)?;
        y = draw_legend(canvas, &head.legend, edge, y, if small { 1 } else { 2 })?;

        let notes = footer_notes(canvas, head.notes, edge, if small { 0 } else { 3 });
        let below = LABEL.line() * 2.0 + SMALL.line() * notes.len() as f64 + 12.0 * SCALE;
        let bottom = canvas.height - below;

        // The caption's row and those of the marks; how many is known when the width is.
        let caption_row = LABEL.line();
        let rough = Self {
            left: 0,
            right: 0,
            top: px(y + caption_row),
            bottom: px(bottom),
            time: axis.bounds(),
            range,
            x_ticks: Vec::new(),
            y_ticks: Vec::new(),
            mark_rows: 0,
        };
        let y_ticks = quantity.ticks(range.low, range.high, rough.row_count());
        let widest = y_ticks
            .iter()
            .map(|t| LABEL.width(&t.label))
            .fold(40.0 * SCALE, f64::max);
        let left = px((widest + edge + 10.0 * SCALE).min(canvas.width / 2.0));
        let right = px(canvas.width - right_strip - 22.0 * SCALE).max(left + 2);

        let mut plot = Self {
            left,
            right,
            ..rough
        };
        let max_rows = if small { 1 } else { 5 };
        let placed = plot.place(uprights, max_rows);
        plot.mark_rows = placed
            .iter()
            .flatten()
            .map(|p| p.row + 1)
            .max()
            .unwrap_or(0);
        let silent = placed.iter().filter(|p| p.is_none()).count();
        let mut caption = head.caption.clone();
        if silent > 0 {
            let more = format!("; {silent} of {} marks without their text", placed.len());
            caption.push_str(&more);
        }

        let top = y + caption_row + plot.mark_rows as f64 * SMALL.line() + 4.0 * SCALE;
        plot.bottom = px(bottom);
        plot.top = px(top).min(plot.bottom - 2);
        plot.y_ticks = quantity.ticks(range.low, range.high, plot.row_count());
        plot.x_ticks = axis.ticks(
            px(f64::from(plot.right - plot.left) / (105.0 * SCALE))
                .clamp(1, 40)
                .unsigned_abs() as usize,
        );

        canvas.text(
            &caption,
            edge,
            y + caption_row - 7.0 * SCALE,
            SMALL,
            SOFT_INK,
        )?;
        plot.draw_axis_texts(canvas, axis)?;
        let mut baseline = bottom + LABEL.line() * 2.0 + SMALL.line();
        for note in &notes {
            canvas.text(note, edge, baseline, SMALL, SOFT_INK)?;
            baseline += SMALL.line();
        }
        Ok(plot)
    }

    fn row_count(&self) -> usize {
        px(f64::from(self.bottom - self.top) / (46.0 * SCALE))
            .clamp(2, 12)
            .unsigned_abs() as usize
    }

    fn columns(&self) -> usize {
        usize::try_from(self.right - self.left).unwrap_or(0)
    }

    fn x(&self, t_s: f64) -> f64 {
        let part = (t_s - self.time.0) / (self.time.1 - self.time.0);
        f64::from(self.left) + part * f64::from(self.right - self.left)
    }

    /// Clamped to a little outside of the plot, so that a line leaves it visibly.
    fn y(&self, value: f64) -> f64 {
        let part = (value - self.range.low) / (self.range.high - self.range.low);
        f64::from(self.bottom) - part.clamp(-0.5, 1.5) * f64::from(self.bottom - self.top)
    }

    fn inside(&self, y: f64) -> f64 {
        y.clamp(f64::from(self.top), f64::from(self.bottom))
    }

    fn place(&self, uprights: &[Upright], max_rows: usize) -> Vec<Option<Placed>> {
        let pad = 6.0 * SCALE;
        let (left, right) = (f64::from(self.left), f64::from(self.right) + 18.0 * SCALE);
        let mut placed = vec![None; uprights.len()];
        let mut chosen: Vec<(usize, (f64, f64))> = Vec::new();
        let mut free_from = f64::NEG_INFINITY;
        for (i, upright) in uprights.iter().enumerate() {
            let x = self.x(upright.t_s);
            // Of a fence of marks, those get a text that are a text apart from each other.
            if uprights.len() <= MAX_TEXTS || x >= free_from {
                let width = SMALL.width(&upright.text) + 2.0 * pad;
                chosen.push((i, (x, width)));
                free_from = x + width;
            }
        }
        let texts: Vec<(f64, f64)> = chosen.iter().map(|c| c.1).collect();
        for ((i, _), spot) in chosen
            .iter()
            .zip(place_marks(&texts, (left, right), max_rows))
        {
            placed[*i] = spot;
        }
        placed
    }

    fn draw_axis_texts(&self, canvas: &mut Canvas, axis: &TimeAxis) -> Done {
        let (left, right, bottom) = (
            f64::from(self.left),
            f64::from(self.right),
            f64::from(self.bottom),
        );
        for tick in &self.y_ticks {
            let x = left - 8.0 * SCALE - LABEL.width(&tick.label);
            canvas.text(
                &tick.label,
                x,
                self.y(tick.value) + LABEL.em * 0.36 * SCALE,
                LABEL,
                INK,
            )?;
        }
        let baseline = bottom + LABEL.line();
        let mut free_from = f64::NEG_INFINITY;
        for tick in &self.x_ticks {
            let width = LABEL.width(&tick.label);
            let x = (self.x(tick.value) - width / 2.0).min(canvas.width - width - 2.0);
            if x >= free_from {
                canvas.text(&tick.label, x, baseline, LABEL, INK)?;
                free_from = x + width + 8.0 * SCALE;
            }
        }
        let baseline = bottom + LABEL.line() * 2.0 - 2.0 * SCALE;
        let about = "time since the start";
        let (mut from, mut to) = (left, right);
        if let Some((start, end)) = axis.wall_ends() {
            let width = SMALL.width(&start);
            let begin = (left - 30.0 * SCALE).max(0.0);
            canvas.text(&start, begin, baseline, SMALL, SOFT_INK)?;
            from = begin + width;
            let x = right - SMALL.width(&end);
            if x > from + 10.0 * SCALE {
                canvas.text(&end, x, baseline, SMALL, SOFT_INK)?;
                to = x;
            }
        }
        if to - from > SMALL.width(about) + 20.0 * SCALE {
            canvas.text_centred(about, f64::midpoint(from, to), baseline, SMALL, SOFT_INK)?;
        }
        Ok(())
    }

    /// The grid and the gaps, which lie under the data.
    fn draw_ground(&self, canvas: &mut Canvas, gaps: &[Gap]) -> Done {
        let (left, right) = (f64::from(self.left), f64::from(self.right));
        let (top, bottom) = (f64::from(self.top), f64::from(self.bottom));
        for gap in gaps {
            if let Some((from, to)) = self.gap_span(gap) {
                canvas.rect(from, top, to, bottom, GAP_FILL, 1.0)?;
            }
        }
        for tick in &self.y_ticks {
            let y = self.y(tick.value);
            canvas.rect(left, y - 1.0, right, y + 1.0, GRID, 0.9)?;
        }
        for tick in &self.x_ticks {
            let x = self.x(tick.value);
            canvas.rect(x - 1.0, top, x + 1.0, bottom, GRID, 0.9)?;
        }
        canvas.rect(left - 2.0, top, left, bottom + 2.0, SOFT_INK, 1.0)?;
        canvas.rect(left - 2.0, bottom, right, bottom + 2.0, SOFT_INK, 1.0)?;
        for tick in &self.y_ticks {
            let y = self.y(tick.value);
            canvas.rect(left - 10.0, y - 1.0, left, y + 1.0, SOFT_INK, 1.0)?;
        }
        for tick in &self.x_ticks {
            let x = self.x(tick.value);
            canvas.rect(x - 1.0, bottom, x + 1.0, bottom + 10.0, SOFT_INK, 1.0)?;
        }
        Ok(())
    }

    /// The pixels of a gap, at least two wide so that a short one does not vanish.
    fn gap_span(&self, gap: &Gap) -> Option<(f64, f64)> {
        let (start, end) = self.time;
        if !(gap.from_s <= end && gap.to_s >= start && gap.from_s <= gap.to_s) {
            return None;
        }
        let (from, to) = (self.x(gap.from_s.max(start)), self.x(gap.to_s.min(end)));
        Some((from, to.max(from + 2.0 * SCALE)))
    }

    /// Draws the stretches of a line with a round pen of `radius`.
    fn draw_runs(&self, canvas: &mut Canvas, runs: &[Run], color: Rgb, radius: f64) -> Done {
        for run in runs {
            let spans: Vec<(f64, f64)> = run
                .spans
                .iter()
                .map(|(low, high)| (self.y(*high), self.y(*low)))
                .collect();
            // A single sample between two gaps is a dot, not a speck.
            let radius = if spans.len() == 1 {
                radius * 2.0
            } else {
                radius
            };
            let reach = px(radius.floor());
            let first = i32::try_from(run.first).unwrap_or(i32::MAX - reach);
            let n = i32::try_from(spans.len()).unwrap_or(0);
            for c in -reach..n + reach {
                let mut span: Option<(f64, f64)> = None;
                for d in -reach..=reach {
                    let Some((top, bottom)) =
                        usize::try_from(c + d).ok().and_then(|i| spans.get(i))
                    else {
                        continue;
                    };
                    let half = (radius * radius - f64::from(d * d)).max(0.0).sqrt();
                    let (a, b) = span.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
                    span = Some((a.min(top - half), b.max(bottom + half)));
                }
                let x = self.left + first + c;
                if let Some((top, bottom)) = span.filter(|_| x >= self.left && x < self.right) {
                    let (top, bottom) = (self.inside(top), self.inside(bottom));
                    if bottom > top {
                        canvas.column(x, top, bottom, color, 1.0)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Shows each sample where there are few enough to tell apart.
    fn draw_dots(&self, canvas: &mut Canvas, points: &[(f64, Option<f64>)], color: Rgb) -> Done {
        if points.len() > self.columns() / 24 {
            return Ok(());
        }
        for (t_s, value) in points {
            if let Some(v) = value
                .and_then(usable)
                .filter(|_| *t_s >= self.time.0 && *t_s <= self.time.1)
            {
                canvas.dot(self.x(*t_s), self.y(v), 6, color)?;
            }
        }
        Ok(())
    }

    fn draw_fit(&self, canvas: &mut Canvas, fit: &[FitPoint]) -> Done {
        let side = |pick: fn(&FitPoint) -> f64| -> Vec<Run> {
            let points: Vec<(f64, Option<f64>)> =
                fit.iter().map(|p| (p.t_s, Some(pick(p)))).collect();
            downsample(&points, self.time, self.columns(), &[])
        };
        for (low, high) in side(|p| p.low).iter().zip(&side(|p| p.high)) {
            // Both have the same times; they differ only if one has values that cannot be shown.
            if low.first != high.first || low.spans.len() != high.spans.len() {
                continue;
            }
            let first = i32::try_from(low.first).unwrap_or(0);
            for (c, (low, high)) in (first..).zip(low.spans.iter().zip(&high.spans)) {
                let (top, bottom) = (self.inside(self.y(high.1)), self.inside(self.y(low.0)));
                if bottom > top && self.left + c < self.right {
                    canvas.column(self.left + c, top, bottom, VERMILLION, 0.22)?;
                }
            }
        }
        self.draw_runs(canvas, &side(|p| p.value), VERMILLION, 2.6)
    }

    /// A thin light edge between layers, which tells neighbours of like colour apart.
    fn draw_edges(&self, canvas: &mut Canvas, cells: &[Option<Vec<f64>>]) -> Done {
        for (x, cell) in (self.left..).zip(cells) {
            let mut sum = 0.0;
            for value in cell.iter().flatten() {
                // A layer thinner than two pixels would be nothing but its edge.
                let thin = self.y(sum) - self.y(sum + value) < 2.0 * SCALE;
                sum += value;
                if !thin {
                    let y = self.y(sum);
                    canvas.column(x, self.inside(y), self.inside(y + 1.5), WHITE, 0.8)?;
                }
            }
        }
        Ok(())
    }

    /// What lies over the data: the words of the gaps, and the upright lines with their texts.
    fn draw_over(&self, canvas: &mut Canvas, gaps: &[Gap], uprights: &[Upright]) -> Done {
        for gap in gaps.iter().take(MAX_TEXTS) {
            if let Some((from, to)) = self.gap_span(gap) {
                self.draw_gap_word(canvas, &gap.reason, from, to)?;
            }
        }
        let placed = self.place(uprights, self.mark_rows);
        let base = f64::from(self.top) - 4.0 * SCALE;
        let mut last_x = None;
        for (i, upright) in uprights.iter().enumerate() {
            let x = self.x(upright.t_s);
            let spot = placed.get(i).copied().flatten();
            // Lines that fall on the same pixels are drawn once.
            if spot.is_none() && last_x.is_some_and(|last| px(x) - last < 4) {
                continue;
            }
            last_x = Some(px(x));
            let line_top = spot.map_or(f64::from(self.top), |p| {
                base - (p.row + 1) as f64 * SMALL.line() + 4.0 * SCALE
            });
            // A fence must not hide the data.
            let alpha = if spot.is_none() && uprights.len() > MAX_TEXTS {
                0.2
            } else {
                1.0
            };
            self.draw_upright(canvas, upright, x, line_top, alpha)?;
        }
        for (upright, spot) in uprights.iter().zip(&placed) {
            if let Some(spot) = spot {
                let baseline = base - spot.row as f64 * SMALL.line() - 5.0 * SCALE;
                let (left, width) = (spot.left + 6.0 * SCALE, SMALL.width(&upright.text));
                let top = baseline - SMALL.em * 0.9 * SCALE;
                canvas.rect(
                    left - 4.0,
                    top,
                    left + width + 4.0,
                    baseline + 8.0,
                    WHITE,
                    1.0,
                )?;
                canvas.text(&upright.text, left, baseline, SMALL, upright.color)?;
            }
        }
        Ok(())
    }

    fn draw_upright(
        &self,
        canvas: &mut Canvas,
        upright: &Upright,
        x: f64,
        top: f64,
        alpha: f64,
    ) -> Done {
        let bottom = f64::from(self.bottom);
        if !upright.dashed {
            return canvas.rect(x - 2.0, top, x + 2.0, bottom, upright.color, alpha);
        }
        let mut y = top;
        while y < bottom {
            canvas.rect(
                x - 1.5,
                y,
                x + 1.5,
                (y + 12.0).min(bottom),
                upright.color,
                alpha,
            )?;
            y += 20.0;
        }
        Ok(())
    }

    fn draw_gap_word(&self, canvas: &mut Canvas, reason: &str, from: f64, to: f64) -> Done {
        let reason = safe_text(reason, MAX_LABEL);
        let room = to - from - 8.0 * SCALE;
        let middle = f64::midpoint(from, to);
        let tall = f64::from(self.bottom - self.top) - 16.0 * SCALE;
        // Half-way up, where neither the line of a total nor an axis is near.
        let half_way = f64::midpoint(f64::from(self.top), f64::from(self.bottom));
        let down = SMALL.em * 0.36 * SCALE;
        if SMALL.width(&reason) <= room {
            return canvas.text_centred(&reason, middle, half_way + down, SMALL, GAP_INK);
        }
        if to - from < SMALL.em * 1.1 * SCALE || tall < SMALL.line() {
            return Ok(());
        }
        let word = shorten(&reason, tall, &|t| SMALL.width(t));
        canvas.text_upwards(
            &word,
            middle + down,
            half_way + SMALL.width(&word) / 2.0,
            SMALL,
            GAP_INK,
        )
    }
}

/// Draws title and subtitle; returns where they end.
fn draw_title(canvas: &mut Canvas, head: &Head, edge: f64, small: bool) -> Result<f64, ChartError> {
    let room = canvas.width - 2.0 * edge;
    let title = safe_text(head.title, MAX_TITLE);
    let (mut face, mut most) = (TITLE, if small { 1 } else { 2 });
    let mut lines = wrap(&title, room, usize::MAX, &|t| face.width(t));
    let fits_smaller = lines.len() == 2 && LONG_TITLE.width(&title) <= room;
    if lines.len() > most || fits_smaller {
        // Smaller first, then cut; and rather smaller than a single word on a second line.
        (face, most) = (LONG_TITLE, if small { 2 } else { 3 });
        lines = wrap(&title, room, most, &|t| face.width(t));
    }
    let mut y = 8.0 * SCALE;
    for line in &lines {
        y += face.line();
        canvas.text(line, edge, y - 5.0 * SCALE, face, INK)?;
    }
    let subtitle = safe_text(head.subtitle, MAX_SENTENCE);
    for line in wrap(&subtitle, room, if small { 1 } else { 2 }, &|t| {
        SUBTITLE.width(t)
    }) {
        y += SUBTITLE.line();
        canvas.text(&line, edge, y - 5.0 * SCALE, SUBTITLE, SOFT_INK)?;
    }
    Ok(y + 2.0 * SCALE)
}

fn footer_notes(canvas: &Canvas, notes: &[String], edge: f64, max_lines: usize) -> Vec<String> {
    let room = canvas.width - 2.0 * edge;
    let wrapped = notes
        .iter()
        .flat_map(|n| wrap(&safe_text(n, MAX_SENTENCE), room, 2, &|t| SMALL.width(t)));
    wrapped.take(max_lines).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ink::{BLUE, ORANGE};
    use super::super::model::{Layer, Line};
    use super::*;
    use proptest::prelude::*;

    const SMALL_SIZE: Size = Size {
        width: 240,
        height: 180,
    };

    fn axis(end_s: f64) -> TimeAxis {
        TimeAxis {
            start_s: 0.0,
            end_s,
            wall_start: chrono::DateTime::from_timestamp(1_700_000_000, 0),
        }
    }

    fn series(points: Vec<(f64, Option<f64>)>, end_s: f64) -> SeriesChart {
        SeriesChart {
            title: "a title".to_owned(),
            subtitle: "a subtitle".to_owned(),
            quantity: Quantity::Bytes,
            axis: axis(end_s),
            lines: vec![Line {
                label: "line".to_owned(),
                points,
            }],
            fit: None,
            marks: Vec::new(),
            gaps: Vec::new(),
            boots: Vec::new(),
            onset: None,
            notes: vec!["a note".to_owned()],
        }
    }

    fn stack(t_s: Vec<f64>, layers: Vec<Vec<Option<f64>>>, total: Option<f64>) -> StackChart {
        let layers = layers
            .into_iter()
            .map(|values| Layer {
                unused: false,
                label: "layer".to_owned(),
                values,
            })
            .collect();
        StackChart {
            title: "a title".to_owned(),
            subtitle: String::new(),
            quantity: Quantity::Bytes,
            axis: axis(10.0),
            t_s,
            layers,
            total,
            marks: Vec::new(),
            gaps: Vec::new(),
            boots: Vec::new(),
        }
    }

    fn decode(png: &[u8]) -> image::RgbImage {
        image::load_from_memory(png)
            .expect("what was encoded can be decoded")
            .to_rgb8()
    }

    /// How many pixels have nearly this colour.
    fn count(picture: &image::RgbImage, Rgb(r, g, b): Rgb) -> usize {
        let near = |p: &&image::Rgb<u8>| p.0.iter().zip([r, g, b]).all(|(a, b)| a.abs_diff(b) < 4);
        picture.pixels().filter(near).count()
    }

    #[test]
    fn a_series_chart_has_its_size_its_line_its_fit_its_gap_and_its_reboot() {
        let points = (0..100)
            .map(|i| {
                (
                    f64::from(i),
                    (!(40..=60).contains(&i)).then_some(f64::from(i) * 1e6),
                )
            })
            .collect();
        let mut chart = series(points, 100.0);
        let plain = decode(&draw_series(&chart, Size::default()).expect("the chart is drawn"));
        assert_eq!(plain.dimensions(), (1200, 600));
        assert!(count(&plain, BLUE) > 1000);
        // Grey edges of letters and of the grid come near.
        assert!(count(&plain, GAP_FILL) < 1000);
        assert_eq!(count(&plain, VERMILLION), 0);
        let point = |t_s: f64| FitPoint {
            t_s,
            value: t_s * 1e6,
            low: t_s * 0.9e6,
            high: t_s * 1.1e6,
        };
        chart.fit = Some(vec![point(0.0), point(100.0)]);
        chart.gaps = vec![Gap {
            from_s: 40.0,
            to_s: 60.0,
            reason: "stopped".to_owned(),
        }];
        chart.boots = vec![60.0];
        let full = decode(&draw_series(&chart, Size::default()).expect("the chart is drawn"));
        assert!(count(&full, VERMILLION) > 1000);
        assert!(count(&full, GAP_FILL) > 20_000);
        assert!(count(&full, INK) > count(&plain, INK) + 300);
    }

    #[test]
    fn a_stack_shows_each_layer_and_leaves_a_gap_white() {
        let t_s: Vec<f64> = (0..=10).map(f64::from).collect();
        let some = |v: f64| vec![Some(v); 11];
        let mut chart = stack(t_s, vec![some(1e9), some(2e9)], Some(4e9));
        let full = decode(&draw_stack(&chart, Size::default()).expect("the chart is drawn"));
        let (blue, orange) = (count(&full, BLUE), count(&full, ORANGE));
        assert!(blue > 30_000 && orange > 2 * blue - 5000, "{blue} {orange}");
        chart.layers[1].values[3..=7].fill(None);
        let broken = decode(&draw_stack(&chart, Size::default()).expect("the chart is drawn"));
        assert!(count(&broken, BLUE) < blue * 6 / 10);
    }

    #[test]
    fn a_layer_that_was_never_recorded_does_not_blank_the_chart() {
        let chart = stack(
            vec![0.0, 10.0],
            vec![vec![Some(1.0); 2], vec![None; 2]],
            None,
        );
        let picture = decode(&draw_stack(&chart, Size::default()).expect("the chart is drawn"));
        assert!(count(&picture, BLUE) > 100_000);
    }

    #[test]
    fn odd_data_is_drawn_without_a_panic() {
        let inf = f64::INFINITY;
        let cases: Vec<Vec<(f64, Option<f64>)>> = vec![
            vec![],
            vec![(5.0, None)],
            vec![(5.0, Some(3.0))],
            vec![(0.0, Some(7.0)), (9.0, Some(7.0))],
            vec![(0.0, Some(0.0)), (9.0, Some(0.0))],
            vec![
                (0.0, Some(f64::NAN)),
                (f64::NAN, Some(1.0)),
                (inf, Some(inf)),
                (1.0, Some(-inf)),
            ],
            vec![
                (0.0, Some(1e18)),
                (5.0, Some(-1e18)),
                (6.0, Some(f64::MAX)),
                (7.0, Some(f64::MIN_POSITIVE)),
            ],
            vec![(9.0, Some(1.0)), (1.0, Some(2.0)), (1.0, Some(3.0))],
        ];
        for points in cases {
            for quantity in [Quantity::Bytes, Quantity::Count, Quantity::Percent] {
                let mut chart = series(points.clone(), 10.0);
                chart.quantity = quantity;
                draw_series(&chart, SMALL_SIZE).expect("the chart is drawn");
                chart.axis.end_s = 0.0;
                draw_series(&chart, SMALL_SIZE).expect("the chart is drawn");
                assert!(!chart.describe().is_empty());
            }
        }
        draw_stack(&stack(vec![], vec![], None), SMALL_SIZE).expect("the chart is drawn");
        draw_stack(
            &stack(vec![1.0], vec![vec![], vec![Some(1.0)]], Some(inf)),
            SMALL_SIZE,
        )
        .expect("the chart is drawn");
        draw_stack(
            &stack(
                vec![1.0, 2.0],
                vec![vec![Some(-1.0), Some(1e18)]],
                Some(-5.0),
            ),
            SMALL_SIZE,
        )
        .expect("the chart is drawn");
    }

    #[test]
    fn thousands_of_marks_and_a_hostile_name_are_drawn() {
        let mut chart = series(vec![(0.0, Some(1.0)), (10.0, Some(2.0))], 10.0);
        let name = "\u{1b}[2J\u{202e}\n\0".repeat(500);
        chart.marks = (0..5000)
            .map(|i| Mark {
                t_s: f64::from(i) / 500.0,
                text: name.clone(),
            })
            .collect();
        chart.gaps = (0..2000)
            .map(|i| Gap {
                from_s: f64::from(i) / 200.0,
                to_s: f64::from(i) / 200.0,
                reason: name.clone(),
            })
            .collect();
        chart.boots = vec![f64::NAN, 3.0, -1.0];
        (chart.title, chart.subtitle, chart.notes) =
            (name.clone(), name.clone(), vec![name.clone(); 50]);
        chart.lines = vec![
            Line {
                label: name,
                points: vec![]
            };
            100
        ];
        draw_series(&chart, Size::default()).expect("the chart is drawn");
    }

    #[test]
    fn a_size_out_of_range_is_refused_in_words() {
        let error = draw_series(
            &series(vec![], 1.0),
            Size {
                width: 10,
                height: 99_999,
            },
        )
        .expect_err("the size is absurd");
        insta::assert_snapshot!(error, @"chart size 10x99999 is outside 200x150 to 4000x4000");
        insta::assert_snapshot!(ChartError::Font, @"the built-in font could not be read");
        insta::assert_snapshot!(ChartError::Draw("why".to_owned()), @"drawing failed: why");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_points_are_drawn(
            points in prop::collection::vec((prop::num::f64::ANY, prop::option::of(prop::num::f64::ANY)), 0..60),
            start_s in prop::num::f64::ANY,
            end_s in prop::num::f64::ANY,
            near in prop::collection::vec((0.0..100.0_f64, prop::option::of(-1e9..1e9_f64)), 0..60),
        ) {
            let mut chart = series(points.clone(), end_s);
            chart.axis.start_s = start_s;
            chart.onset = points.first().map(|p| p.0);
            chart.boots = points.iter().map(|p| p.0).take(5).collect();
            chart.marks = points.iter().map(|p| Mark { t_s: p.0, text: "m".to_owned() }).collect();
            chart.gaps = points.windows(2).map(|w| Gap { from_s: w[0].0, to_s: w[1].0, reason: "g".to_owned() }).collect();
            chart.fit = Some(points.iter().map(|(t_s, v)| { let v = v.unwrap_or(0.0); FitPoint { t_s: *t_s, value: v, low: -v, high: v } }).collect());
            prop_assert!(draw_series(&chart, SMALL_SIZE).is_ok());
            chart.axis = axis(100.0);
            chart.lines.push(Line { label: "near".to_owned(), points: near.clone() });
            prop_assert!(draw_series(&chart, SMALL_SIZE).is_ok());
            prop_assert!(!chart.describe().is_empty());
            let mut stack = stack(near.iter().map(|p| p.0).collect(), vec![near.iter().map(|p| p.1).collect(), points.iter().map(|p| p.1).collect()], end_s.into());
            prop_assert!(draw_stack(&stack, SMALL_SIZE).is_ok());
            stack.axis.start_s = start_s;
            prop_assert!(draw_stack(&stack, SMALL_SIZE).is_ok());
        }
    }
}
