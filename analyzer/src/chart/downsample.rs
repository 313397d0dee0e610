//! Reduces a series to one span per pixel column, so that 60,000 points draw fast and keep every
//! spike.

/// A connected stretch of a line: for each pixel column from `first` on, the lowest and highest
/// value that the line takes within it. Neighbouring spans share a value, so the stretch has no holes.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Column of the first span.
    pub first: usize,
    /// Lowest and highest value, column by column.
    pub spans: Vec<(f64, f64)>,
}

/// Values beyond this are taken for damage, so that sums and differences stay finite.
const SANE_VALUE: f64 = 1e30;

/// `value` if a chart can show it.
pub(crate) fn usable(value: f64) -> Option<f64> {
    (value.abs() <= SANE_VALUE).then_some(value)
}

/// Reduces `points` to runs over `columns` pixel columns that cover `start_s..end_s`.
///
/// A line breaks at `None`, at a value or time that is not finite, where time goes backwards, and
/// between two points with one of `breaks_s` (sorted) between them. What lies outside the axis is cut off
/// at its edge, not moved to it. Columns without a point in them are interpolated.
#[must_use]
pub fn downsample(
    points: &[(f64, Option<f64>)],
    (start_s, end_s): (f64, f64),
    columns: usize,
    breaks_s: &[f64],
) -> Vec<Run> {
    let mut runs = Vec::new();
    let scale = columns as f64 / (end_s - start_s);
    if columns == 0 || !scale.is_finite() || scale <= 0.0 {
        return runs;
    }
    let mut open: Option<Run> = None;
    let mut before: Option<(f64, f64)> = None;
    for &(t_s, value) in points {
        let Some(value) = value.and_then(usable).filter(|_| t_s.is_finite()) else {
            runs.extend(open.take());
            before = None;
            continue;
        };
        match before {
            Some((t0, v0)) if t_s >= t0 && !is_broken(breaks_s, t0, t_s) => {
                add_segment(
                    &mut open,
                    ((t0 - start_s) * scale, v0),
                    ((t_s - start_s) * scale, value),
                    columns,
                );
            }
            _ => {
                runs.extend(open.take());
                let x = (t_s - start_s) * scale;
                add_segment(&mut open, (x, value), (x, value), columns);
            }
        }
        before = Some((t_s, value));
    }
    runs.extend(open);
    runs
}

fn is_broken(breaks_s: &[f64], from_s: f64, to_s: f64) -> bool {
    // A boot belongs to the sample after it: a point that stands on a break is joined to the next.
    let next = breaks_s.partition_point(|b| *b <= from_s);
    breaks_s.get(next).is_some_and(|b| *b <= to_s)
}

fn add_segment(open: &mut Option<Run>, (x0, v0): (f64, f64), (x1, v1): (f64, f64), columns: usize) {
    let right = columns as f64;
    if x1 < 0.0 || x0 > right {
        return;
    }
    let at = |x: f64| {
        if x1 - x0 > 0.0 {
            v0 + (v1 - v0) * ((x - x0) / (x1 - x0)).clamp(0.0, 1.0)
        } else {
            v1
        }
    };
    let (from, to) = (x0.max(0.0), x1.min(right));
    let last = column(to, columns);
    for c in column(from, columns)..=last {
        let a = if c as f64 <= from {
            at(from)
        } else {
            at(c as f64)
        };
        let b = if c == last {
            at(to)
        } else {
            at(c as f64 + 1.0)
        };
        widen(open, c, a.min(b), a.max(b));
        // A step within one column has both its values there.
        if x1 - x0 <= 0.0 {
            widen(open, c, v0.min(v1), v0.max(v1));
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the columns first"
)]
pub(crate) fn column(x: f64, columns: usize) -> usize {
    x.clamp(0.0, columns.saturating_sub(1) as f64) as usize
}

fn widen(open: &mut Option<Run>, column: usize, low: f64, high: f64) {
    let run = open.get_or_insert_with(|| Run {
        first: column,
        spans: Vec::new(),
    });
    // Segments come in the order of time, so a column is the last one or the next one.
    if let Some(span) = run.spans.get_mut(column - run.first) {
        *span = (span.0.min(low), span.1.max(high));
    } else {
        run.spans.push((low, high));
    }
}

/// For each of `columns`, the mean of the samples of each layer within it, or interpolated between
/// the two samples around it; `None` where a layer has a gap or no samples are near.
///
/// The mean and not the extremes: layers are stacked, and extremes of different moments do not add up.
pub(crate) fn downsample_layers(
    t_s: &[f64],
    rows: &[Option<Vec<f64>>],
    (start_s, end_s): (f64, f64),
    columns: usize,
    breaks_s: &[f64],
) -> Vec<Option<Vec<f64>>> {
    let mut sums: Vec<Option<(Vec<f64>, f64)>> = vec![None; columns];
    let mut filled: Vec<Option<Vec<f64>>> = vec![None; columns];
    let scale = columns as f64 / (end_s - start_s);
    if columns == 0 || !scale.is_finite() || scale <= 0.0 {
        return filled;
    }
    let mut before: Option<(f64, &Vec<f64>)> = None;
    for (&t, row) in t_s.iter().zip(rows) {
        let Some(row) = row.as_ref().filter(|_| t.is_finite()) else {
            before = None;
            continue;
        };
        let x = (t - start_s) * scale;
        if x >= 0.0 && x <= columns as f64 {
            let (sum, n) =
                sums[column(x, columns)].get_or_insert_with(|| (vec![0.0; row.len()], 0.0));
            for (s, v) in sum.iter_mut().zip(row) {
                *s += v;
            }
            *n += 1.0;
        }
        if let Some((t0, row0)) = before.filter(|(t0, _)| t > *t0 && !is_broken(breaks_s, *t0, t)) {
            let x0 = (t0 - start_s) * scale;
            if x >= 0.0 && x0 <= columns as f64 {
                let (from, to) = (column(x0, columns), column(x, columns));
                for (c, cell) in filled.iter_mut().enumerate().take(to + 1).skip(from) {
                    let part = ((c as f64 + 0.5 - x0) / (x - x0)).clamp(0.0, 1.0);
                    let joined = || {
                        row0.iter()
                            .zip(row)
                            .map(|(a, b)| a + (b - a) * part)
                            .collect()
                    };
                    cell.get_or_insert_with(joined);
                }
            }
        }
        before = Some((t, row));
    }
    for (cell, sum) in filled.iter_mut().zip(sums) {
        // A single sample in a column is left to the interpolation, which is smooth.
        if let Some((sum, n)) = sum
            && (n > 1.5 || cell.is_none())
        {
            *cell = Some(sum.into_iter().map(|s| s / n).collect());
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(values: &[f64]) -> Vec<(f64, Option<f64>)> {
        values
            .iter()
            .enumerate()
            .map(|(i, v)| (i as f64, v.is_finite().then_some(*v)))
            .collect()
    }

    #[test]
    fn a_spike_among_many_points_survives() {
        let mut values = vec![1.0; 60_480];
        values[33_333] = 50.0;
        let runs = downsample(&points(&values), (0.0, 60_480.0), 1200, &[]);
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].spans.len(), 1200);
        assert_eq!(runs[0].spans.iter().filter(|s| s.1 > 49.0).count(), 1);
    }

    #[test]
    fn few_points_are_joined_without_holes() {
        let runs = downsample(&points(&[0.0, 4.0]), (0.0, 1.0), 4, &[]);
        assert_eq!(
            runs,
            [Run {
                first: 0,
                spans: vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
            }]
        );
    }

    #[test]
    fn a_missing_value_and_a_reboot_break_the_line() {
        let data = points(&[1.0, 1.0, f64::NAN, 2.0, 2.0, 3.0, 3.0]);
        let runs = downsample(&data, (0.0, 6.0), 60, &[4.5]);
        let starts: Vec<usize> = runs.iter().map(|r| r.first).collect();
        assert_eq!(starts, [0, 30, 50]);
    }

    #[test]
    fn a_line_is_cut_at_the_edge_of_the_axis() {
        let runs = downsample(
            &[(-10.0, Some(0.0)), (10.0, Some(20.0)), (1e9, Some(20.0))],
            (0.0, 2.0),
            2,
            &[],
        );
        assert_eq!(
            runs,
            [Run {
                first: 0,
                spans: vec![(10.0, 11.0), (11.0, 12.0)]
            }]
        );
    }

    #[test]
    fn layers_are_averaged_where_dense_and_joined_where_sparse() {
        let rows: Vec<_> = [0.0, 2.0, 4.0, 8.0].map(|v| Some(vec![v, 1.0])).to_vec();
        let cells = downsample_layers(&[0.0, 0.1, 0.2, 3.5], &rows, (0.0, 4.0), 4, &[]);
        let first: Vec<Option<f64>> = cells
            .iter()
            .map(|c| c.as_ref().map(|v| v[0].round()))
            .collect();
        assert_eq!(first, [Some(2.0), Some(6.0), Some(7.0), Some(8.0)]);
        let broken = downsample_layers(&[0.0, 0.1, 0.2, 3.5], &rows, (0.0, 4.0), 4, &[1.0]);
        assert_eq!(
            broken.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, false, false, true]
        );
    }

    proptest! {
        #[test]
        fn runs_have_no_holes_and_stay_within_the_values(
            values in prop::collection::vec(-1e6..1e6_f64, 1..300),
            columns in 1_usize..100,
        ) {
            let end = values.len() as f64;
            let runs = downsample(&points(&values), (0.0, end), columns, &[]);
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(runs.len(), 1);
            let tolerance = 1e-6;
            let drawn_low = runs[0].spans.iter().map(|s| s.0).fold(f64::INFINITY, f64::min);
            let drawn_high = runs[0].spans.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
            prop_assert!((drawn_low - low).abs() < tolerance && (drawn_high - high).abs() < tolerance);
            for pair in runs[0].spans.windows(2) {
                prop_assert!(pair[0].0 <= pair[1].1 + tolerance && pair[1].0 <= pair[0].1 + tolerance);
            }
        }
    }
}
