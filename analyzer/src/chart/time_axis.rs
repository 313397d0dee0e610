//! The x axis: seconds since a start, written as people say them (`+2h30m`).

use super::quantity::{Quantity, Tick, step_1_2_5};
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt::Write as _;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// Steps at which a clock or calendar looks round, in seconds.
const STEPS: [f64; 20] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    10.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    7.0 * DAY,
];

/// Times further out than this (thirty thousand years) are taken for damage.
const SANE_S: f64 = 1e12;

/// The span of time that a chart shows.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeAxis {
    /// Left end, in the seconds that the points use (boottime, as a rule).
    pub start_s: f64,
    /// Right end.
    pub end_s: f64,
    /// Wall time at `start_s`, where it is known.
    pub wall_start: Option<DateTime<Utc>>,
}

impl TimeAxis {
    /// Both ends as finite numbers with the right order and some room between them, whatever the
    /// fields hold: a damaged recording still gets a chart.
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        let sane = |t: f64| {
            if t.is_finite() {
                t.clamp(-SANE_S, SANE_S)
            } else {
                0.0
            }
        };
        let (start, end) = (sane(self.start_s), sane(self.end_s));
        if end - start >= 1e-3 {
            (start, end)
        } else {
            (start, start + 1.0)
        }
    }

    /// At most about `at_most` ticks at round distances from the start.
    #[must_use]
    pub fn ticks(&self, at_most: usize) -> Vec<Tick> {
        let (start, end) = self.bounds();
        let span = end - start;
        let wanted = span / at_most.max(1) as f64;
        let step = if wanted < 1.0 {
            step_1_2_5(wanted)
        } else if let Some(step) = STEPS.into_iter().find(|s| *s >= wanted) {
            step
        } else {
            // Whole weeks, in a 1-2-5 row.
            step_1_2_5(wanted / (7.0 * DAY)) * 7.0 * DAY
        };
        let mut ticks = Vec::new();
        for i in 0..=at_most {
            let elapsed = i as f64 * step;
            if elapsed > span * (1.0 + 1e-9) {
                break;
            }
            let label = elapsed_text(elapsed);
            ticks.push(Tick {
                value: start + elapsed,
                label,
            });
        }
        ticks
    }

    /// How far `t_s` is from the start, in words.
    #[must_use]
    pub fn elapsed(&self, t_s: f64) -> String {
        elapsed_text(t_s - self.bounds().0)
    }

    /// Wall time at both ends, if it is known and within the calendar.
    #[must_use]
    pub fn wall_ends(&self) -> Option<(String, String)> {
        const FORMAT: &str = "%Y-%m-%d %H:%M:%S UTC";
        let (start, end) = self.bounds();
        let from = self.wall_start?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "bounded by SANE_S, so within i64"
        )]
        let length = TimeDelta::try_seconds((end - start).round() as i64)?;
        let to = from.checked_add_signed(length)?;
        Some((
            from.format(FORMAT).to_string(),
            to.format(FORMAT).to_string(),
        ))
    }
}

/// `+2h30m`, `-45s`, `+1d6h`, `+0.25s`.
pub(crate) fn elapsed_text(seconds: f64) -> String {
    if !seconds.is_finite() || seconds.abs() > 2.0 * SANE_S {
        return "?".to_owned();
    }
    let size = seconds.abs();
    let sign = if seconds < 0.0 && size >= 5e-4 {
        '-'
    } else {
        '+'
    };
    if size < MINUTE && (size - size.round()).abs() >= 5e-4 {
        return format!(
            "{sign}{} s",
            Quantity::Count.format((size * 1e3).round() / 1e3)
        )
        .replace(' ', "");
    }
    let mut rest = size.round();
    let mut out = String::from(sign);
    for (length, unit) in [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm'), (1.0, 's')] {
        let n = (rest / length).floor();
        rest -= n * length;
        if n >= 1.0 {
            // Writing to a string cannot fail.
            let _ = write!(out, "{n:.0}{unit}");
        }
    }
    if out.len() == 1 {
        out.push_str("0s");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(start_s: f64, end_s: f64) -> TimeAxis {
        TimeAxis {
            start_s,
            end_s,
            wall_start: None,
        }
    }

    fn labels(span_s: f64) -> String {
        let ticks = axis(1000.0, 1000.0 + span_s).ticks(8);
        let labels: Vec<String> = ticks.into_iter().map(|t| t.label).collect();
        labels.join(" ")
    }

    #[test]
    fn ticks_are_round_from_milliseconds_to_years() {
        insta::assert_snapshot!(
            [0.01, 0.5, 7.0, 60.0, 100.0, 900.0, HOUR, 5.0 * HOUR, DAY, 3.0 * DAY, 7.0 * DAY, 30.0 * DAY, 1000.0 * DAY]
                .map(labels)
                .join("\n"),
            @r"
        +0s +0.002s +0.004s +0.006s +0.008s +0.01s
        +0s +0.1s +0.2s +0.3s +0.4s +0.5s
        +0s +1s +2s +3s +4s +5s +6s +7s
        +0s +10s +20s +30s +40s +50s +1m
        +0s +15s +30s +45s +1m +1m15s +1m30s
        +0s +2m +4m +6m +8m +10m +12m +14m
        +0s +10m +20m +30m +40m +50m +1h
        +0s +1h +2h +3h +4h +5h
        +0s +3h +6h +9h +12h +15h +18h +21h +1d
        +0s +12h +1d +1d12h +2d +2d12h +3d
        +0s +1d +2d +3d +4d +5d +6d +7d
        +0s +7d +14d +21d +28d
        +0s +140d +280d +420d +560d +700d +840d +980d
        "
        );
    }

    #[test]
    fn a_damaged_axis_still_has_room() {
        for (start, end) in [
            (f64::NAN, f64::INFINITY),
            (5.0, 5.0),
            (9.0, 1.0),
            (1e300, -1e300),
        ] {
            let axis = axis(start, end);
            let (low, high) = axis.bounds();
            assert!(low.is_finite() && high.is_finite() && low < high);
            assert!(!axis.ticks(8).is_empty());
        }
    }

    #[test]
    fn wall_time_stands_at_both_ends() {
        let mut axis = axis(100.0, 100.0 + 26.0 * HOUR);
        assert_eq!(axis.wall_ends(), None);
        axis.wall_start = DateTime::from_timestamp(1_700_000_000, 0);
        let (from, to) = axis.wall_ends().expect("both ends are within the calendar");
        assert_eq!(
            (from.as_str(), to.as_str()),
            ("2023-11-14 22:13:20 UTC", "2023-11-16 00:13:20 UTC")
        );
        axis.wall_start = Some(DateTime::<Utc>::MAX_UTC);
        assert_eq!(axis.wall_ends(), None);
    }

    #[test]
    fn elapsed_time_is_said_as_people_say_it() {
        let texts = [
            0.0,
            -0.0,
            0.25,
            59.9996,
            90.0,
            -45.0,
            9000.0,
            93_784.0,
            f64::NAN,
        ]
        .map(elapsed_text);
        assert_eq!(
            texts,
            [
                "+0s",
                "+0s",
                "+0.25s",
                "+1m",
                "+1m30s",
                "-45s",
                "+2h30m",
                "+1d2h3m4s",
                "?"
            ]
        );
    }
}
