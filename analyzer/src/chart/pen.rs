//! Draws data into a plot.
//!
//! Lines are drawn here, column by column, from the reduced series: the drawing library turns a
//! thick path into one polygon, whose overlaps leave holes in a saw-tooth.

use super::downsample::{Run, downsample, usable};
use super::draw::{Canvas, Done, Rgb, SCALE, px};
use super::ink::{VERMILLION, WHITE};
use super::model::FitPoint;
use super::plot::Plot;

impl Plot {
    /// Draws the stretches of a line with a round pen of `radius`.
    pub(super) fn draw_runs(
        &self,
        canvas: &mut Canvas,
        runs: &[Run],
        color: Rgb,
        radius: f64,
    ) -> Done {
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
    pub(super) fn draw_dots(
        &self,
        canvas: &mut Canvas,
        points: &[(f64, Option<f64>)],
        color: Rgb,
    ) -> Done {
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

    pub(super) fn draw_fit(&self, canvas: &mut Canvas, fit: &[FitPoint]) -> Done {
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
    pub(super) fn draw_edges(&self, canvas: &mut Canvas, cells: &[Option<Vec<f64>>]) -> Done {
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
}
