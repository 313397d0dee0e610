//! The rectangle of the data: where it lies among title, legend, axes and texts, and what stands around
//! and over the data.

use super::draw::{Canvas, ChartError, Done, Rgb, SCALE, px};
use super::ink::{
    GAP_FILL, GAP_INK, GRID, INK, LABEL, LONG_TITLE, SMALL, SOFT_INK, SUBTITLE, TITLE, VERMILLION,
    WHITE,
};
use super::layout::{Placed, place_marks, shorten, wrap};
use super::legend::{Swatch, draw_legend};
use super::model::{Gap, MAX_LABEL, MAX_MARK, MAX_SENTENCE, MAX_TITLE, Mark, ValueRange};
use super::quantity::{Quantity, Tick};
use super::text::safe_text;
use super::time_axis::TimeAxis;

/// Most upright lines that are drawn with a text.
const MAX_TEXTS: usize = 64;

/// What stands around a plot.
#[derive(Default)]
pub(super) struct Head<'a> {
    pub(super) title: &'a str,
    pub(super) subtitle: &'a str,
    pub(super) caption: String,
    pub(super) legend: Vec<(Swatch, String)>,
    pub(super) notes: &'a [String],
}

/// An upright line with a text above the plot.
#[derive(Debug, Clone)]
pub(super) struct Upright {
    t_s: f64,
    text: String,
    color: Rgb,
    dashed: bool,
}

pub(super) fn uprights(
    axis: &TimeAxis,
    marks: &[Mark],
    boots: &[f64],
    onset: Option<f64>,
) -> Vec<Upright> {
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
pub(super) struct Plot {
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) top: i32,
    pub(super) bottom: i32,
    pub(super) time: (f64, f64),
    range: ValueRange,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    mark_rows: usize,
}

impl Plot {
    /// Finds room for everything around the data, and draws what stands outside of it.
    pub(super) fn lay_out(
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

    pub(super) fn columns(&self) -> usize {
        usize::try_from(self.right - self.left).unwrap_or(0)
    }

    pub(super) fn x(&self, t_s: f64) -> f64 {
        let part = (t_s - self.time.0) / (self.time.1 - self.time.0);
        f64::from(self.left) + part * f64::from(self.right - self.left)
    }

    /// Clamped to a little outside of the plot, so that a line leaves it visibly.
    pub(super) fn y(&self, value: f64) -> f64 {
        let part = (value - self.range.low) / (self.range.high - self.range.low);
        f64::from(self.bottom) - part.clamp(-0.5, 1.5) * f64::from(self.bottom - self.top)
    }

    pub(super) fn inside(&self, y: f64) -> f64 {
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
    pub(super) fn draw_ground(&self, canvas: &mut Canvas, gaps: &[Gap]) -> Done {
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

    /// What lies over the data: the words of the gaps, and the upright lines with their texts.
    pub(super) fn draw_over(
        &self,
        canvas: &mut Canvas,
        gaps: &[Gap],
        uprights: &[Upright],
    ) -> Done {
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
