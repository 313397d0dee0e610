//! The legends: beside a stack, above a series.

use super::downsample::usable;
use super::draw::{Canvas, ChartError, Done, Rgb, SCALE, px};
use super::ink::{GAP_FILL, INK, LABEL, SMALL, SOFT_INK, VERMILLION, layer_colors};
use super::layout::shorten;
use super::model::{MAX_LABEL, StackChart};
use super::text::safe_text;

/// What the legend calls a gap.
pub(super) const NO_SAMPLES: &str = "no samples";

/// Most entries that a legend names; the rest is counted.
const MAX_ENTRIES: usize = 24;
/// What stands beside a word of the legend.
#[derive(Debug, Clone, Copy)]
pub(super) enum Swatch {
    Line(Rgb),
    Area(Rgb),
    Fit,
    Total,
    None,
}

impl Swatch {
    pub(super) const WIDTH: f64 = 28.0 * SCALE;

    pub(super) fn draw(self, canvas: &mut Canvas, x: f64, baseline: f64) -> Done {
        let (right, middle) = (x + 22.0 * SCALE, baseline - 12.0);
        match self {
            Self::Line(color) => canvas.rect(x, middle - 3.0, right, middle + 3.0, color, 1.0),
            Self::Total => canvas.rect(x, middle - 2.0, right, middle + 2.0, INK, 1.0),
            Self::Area(color) => canvas.rect(x, middle - 13.0, right, middle + 13.0, color, 1.0),
            Self::Fit => {
                canvas.rect(x, middle - 13.0, right, middle + 13.0, VERMILLION, 0.22)?;
                canvas.rect(x, middle - 3.0, right, middle + 3.0, VERMILLION, 1.0)
            }
            Self::None => Ok(()),
        }
    }
}

/// Draws the legend in rows; returns where it ends. What finds no room is counted.
pub(super) fn draw_legend(
    canvas: &mut Canvas,
    legend: &[(Swatch, String)],
    edge: f64,
    top: f64,
    max_rows: usize,
) -> Result<f64, ChartError> {
    if legend.is_empty() {
        return Ok(top);
    }
    let room = canvas.width - 2.0 * edge;
    let space = 22.0 * SCALE;
    let more_width = LABEL.width("and 9999 more") + space;
    let (mut x, mut row) = (edge, 0);
    for (i, (swatch, label)) in legend.iter().enumerate() {
        let label = shorten(label, room - Swatch::WIDTH - more_width, &|t| {
            LABEL.width(t)
        });
        let width = Swatch::WIDTH + LABEL.width(&label) + space;
        let is_last = i + 1 == legend.len();
        let reserve = if row + 1 == max_rows && !is_last {
            more_width
        } else {
            0.0
        };
        if x > edge && x + width + reserve > edge + room + space {
            if row + 1 == max_rows {
                let rest = format!("and {} more", legend.len() - i);
                canvas.text(
                    &rest,
                    x,
                    top + LABEL.line() * (row + 1) as f64 - 5.0 * SCALE,
                    LABEL,
                    SOFT_INK,
                )?;
                break;
            }
            row += 1;
            x = edge;
        }
        let baseline = top + LABEL.line() * (row + 1) as f64 - 5.0 * SCALE;
        swatch.draw(canvas, x, baseline)?;
        canvas.text(&label, x + Swatch::WIDTH, baseline, LABEL, INK)?;
        x += width;
    }
    Ok(top + LABEL.line() * (row + 1) as f64)
}

/// The entries of a stack's legend from the top down, and the width of the strip that they need.
pub(super) fn stack_legend(
    canvas: &Canvas,
    chart: &StackChart,
) -> (Vec<(Swatch, String, String)>, f64) {
    let value = |v: Option<f64>| v.map_or_else(String::new, |v| chart.quantity.format(v));
    let drawn = chart.drawn();
    let mut entries: Vec<(Swatch, String, String)> = drawn
        .iter()
        .zip(layer_colors(&drawn))
        .map(|(layer, color)| {
            let last = layer
                .values
                .iter()
                .rev()
                .copied()
                .flatten()
                .find_map(usable);
            (
                Swatch::Area(color),
                safe_text(&layer.label, MAX_LABEL),
                value(last),
            )
        })
        .collect();
    entries.reverse();
    if let Some(total) = chart.total.and_then(usable) {
        entries.insert(0, (Swatch::Total, "total".to_owned(), value(Some(total))));
    }
    if !chart.gaps.is_empty() {
        entries.push((Swatch::Area(GAP_FILL), NO_SAMPLES.to_owned(), String::new()));
    }
    let absent = chart.layers.len() - drawn.len();
    if absent > 0 {
        entries.push((
            Swatch::None,
            format!("not recorded: {absent}"),
            String::new(),
        ));
    }
    let widest = entries
        .iter()
        .map(|(_, l, v)| LABEL.width(l) + LABEL.width(v))
        .fold(0.0, f64::max);
    let width = widest + Swatch::WIDTH + 30.0 * SCALE;
    (entries, width.clamp(0.0, canvas.width * 0.32))
}

/// Draws it to the right of the plot, whose right edge, top and bottom these are.
pub(super) fn draw_stack_legend(
    canvas: &mut Canvas,
    [edge, top, bottom]: [i32; 3],
    entries: &[(Swatch, String, String)],
) -> Done {
    let left = f64::from(edge) + 16.0 * SCALE;
    let right = canvas.width - 12.0 * SCALE;
    let heading = "at the end";
    let mut baseline = f64::from(top) - 8.0 * SCALE;
    canvas.text(
        heading,
        right - SMALL.width(heading),
        baseline,
        SMALL,
        SOFT_INK,
    )?;
    let room = f64::from(bottom) - baseline;
    let fitting = px(room / LABEL.line()).clamp(1, 100).unsigned_abs() as usize;
    let shown = if entries.len() > fitting.min(MAX_ENTRIES) {
        fitting.min(MAX_ENTRIES).saturating_sub(1)
    } else {
        entries.len()
    };
    for (swatch, label, value) in entries.iter().take(shown) {
        baseline += LABEL.line();
        swatch.draw(canvas, left, baseline)?;
        let x = right - LABEL.width(value);
        let label = shorten(label, x - left - Swatch::WIDTH - 6.0 * SCALE, &|t| {
            LABEL.width(t)
        });
        canvas.text(&label, left + Swatch::WIDTH, baseline, LABEL, INK)?;
        canvas.text(value, x, baseline, LABEL, INK)?;
    }
    if shown < entries.len() {
        canvas.text(
            &format!("and {} more", entries.len() - shown),
            left + Swatch::WIDTH,
            baseline + LABEL.line(),
            LABEL,
            SOFT_INK,
        )?;
    }
    Ok(())
}
