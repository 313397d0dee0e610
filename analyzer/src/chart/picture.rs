//! Puts a chart model onto the canvas.

use super::downsample::{downsample, downsample_layers, usable};
use super::draw::{ChartError, Size, on_canvas};
use super::ink::{GAP_FILL, INK, LINES, layer_colors};
use super::legend::{NO_SAMPLES, Swatch, draw_stack_legend, stack_legend};
use super::model::{MAX_LABEL, SeriesChart, StackChart};
use super::plot::{Head, Plot, uprights};
use super::text::safe_text;

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

#[cfg(test)]
mod tests {
    use super::super::draw::Rgb;
    use super::super::ink::{BLUE, ORANGE, VERMILLION};
    use super::super::model::{FitPoint, Gap, Layer, Line, Mark};
    use super::super::quantity::Quantity;
    use super::super::time_axis::TimeAxis;
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
