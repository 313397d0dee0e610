//! Numbers as a person reads them: units, at most four significant digits, and axis ticks.

use std::fmt::Write as _;

/// Digits from here on are grouped in threes.
const GROUP_FROM: usize = 5;
/// Groups digits without looking like a decimal mark in any country.
const GROUP_MARK: char = '\u{2009}';
const BYTE_UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// What a chart's y axis measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// Bytes, shown in binary units.
    Bytes,
    /// Bytes per second, shown in binary units.
    BytesPerSecond,
    /// Things that are counted: objects, pages, file descriptors, threads.
    Count,
    /// Events per second.
    PerSecond,
    /// A share of a whole, where 100 is the whole.
    Percent,
    /// Seconds of time.
    Seconds,
}

/// One mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Where it stands.
    pub value: f64,
    /// What is written there, unit included.
    pub label: String,
}

impl Quantity {
    /// The words that stand above a y axis.
    #[must_use]
    pub fn caption(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes per second",
            Self::Count => "count",
            Self::PerSecond => "events per second",
            Self::Percent => "percent",
            Self::Seconds => "seconds",
        }
    }

    /// `value` with its unit and at most four significant digits; whole counts keep all digits.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        if !value.is_finite() {
            return "?".to_owned();
        }
        match self {
            Self::Bytes => format_bytes(value),
            Self::BytesPerSecond => format!("{}/s", format_bytes(value)),
            Self::Count => format_count(value),
            Self::PerSecond => format!("{}/s", format_count(value)),
            Self::Percent => format!("{} %", format_count(value)),
            Self::Seconds => format!("{} s", format_count(value)),
        }
    }

    /// At most `at_most` ticks within `low..=high`, at round values, all labelled in one unit so
    /// that they can be compared at a glance. Bytes step by powers of two, the rest by 1, 2 and 5.
    #[must_use]
    pub fn ticks(self, low: f64, high: f64, at_most: usize) -> Vec<Tick> {
        let span = high - low;
        if !span.is_finite() || span <= 0.0 || at_most == 0 {
            return Vec::new();
        }
        let step = self.step(span / at_most as f64);
        if !step.is_normal() {
            return Vec::new();
        }
        let first = (low / step).ceil();
        let largest = low.abs().max(high.abs());
        let mut ticks = Vec::new();
        for i in 0..=at_most {
            // Adding zero turns -0.0 into 0.0.
            let value = (first + i as f64) * step + 0.0;
            if value > high {
                break;
            }
            let label = self.tick_label(value, step, largest);
            ticks.push(Tick { value, label });
        }
        ticks
    }

    fn step(self, at_least: f64) -> f64 {
        match self {
            // There is no part of a byte or of a thing, but there may be less than one a second.
            Self::Bytes => at_least.log2().ceil().exp2().max(1.0),
            Self::BytesPerSecond => at_least.log2().ceil().exp2(),
            Self::Count => step_1_2_5(at_least).max(1.0),
            Self::PerSecond | Self::Percent | Self::Seconds => step_1_2_5(at_least),
        }
    }

    fn tick_label(self, value: f64, step: f64, largest: f64) -> String {
        match self {
            Self::Bytes => tick_bytes(value, step, largest),
            Self::BytesPerSecond => format!("{}/s", tick_bytes(value, step, largest)),
            Self::Count => tick_decimal(value, step, largest),
            Self::PerSecond => format!("{}/s", tick_decimal(value, step, largest)),
            Self::Percent => format!("{} %", tick_decimal(value, step, largest)),
            Self::Seconds => format!("{} s", tick_decimal(value, step, largest)),
        }
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `at_least`.
pub(crate) fn step_1_2_5(at_least: f64) -> f64 {
    let power = 10_f64.powf(at_least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        // The tolerance keeps 0.3 / 3 from being more than 0.1.
        .find(|step| *step >= at_least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

fn format_bytes(value: f64) -> String {
    let mut scaled = value;
    let mut unit = 0;
    // 1023.96 KiB would be rounded to 1024 KiB, which is 1 MiB.
    while scaled.abs() >= 1023.5 && unit + 1 < BYTE_UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{} {}", four_digits(scaled), BYTE_UNITS[unit])
}

fn format_count(value: f64) -> String {
    let whole = (value - value.round()).abs() < f64::EPSILON;
    if whole && value.abs() < 1e13 {
        grouped(value, 0)
    } else {
        four_digits(value)
    }
}

/// At most four significant digits, but never fewer than the whole part has.
fn four_digits(value: f64) -> String {
    let size = value.abs();
    if size >= 1e13 || (size > 0.0 && size < 1e-4) {
        let text = format!("{value:.3e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", without_trailing_zeros(mantissa));
    }
    let mut places = 3;
    let mut bound = 10.0;
    while places > 0 && size >= bound {
        places -= 1;
        bound *= 10.0;
    }
    // Below one, leading zeros are no significant digits.
    bound = 1.0;
    while size > 0.0 && size < bound && places < 8 {
        places += 1;
        bound /= 10.0;
    }
    without_trailing_zeros(&grouped(value, places)).to_owned()
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

fn grouped(value: f64, places: usize) -> String {
    let plain = format!("{:.places$}", value.abs());
    let (whole, fraction) = match plain.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (plain.as_str(), None),
    };
    let mut out = String::new();
    // A value that is rounded to zero has no sign.
    if value < 0.0 && plain.contains(|c: char| matches!(c, '1'..='9')) {
        out.push('-');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && whole.len() >= GROUP_FROM && (whole.len() - i) % 3 == 0 {
            out.push(GROUP_MARK);
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        // Writing to a string cannot fail.
        let _ = write!(out, ".{fraction}");
    }
    out
}

fn tick_bytes(value: f64, step: f64, largest: f64) -> String {
    let mut unit = 0;
    let mut size = 1.0;
    // The largest unit in which the axis' end is at least one and a step needs two decimals.
    while unit + 1 < BYTE_UNITS.len() && largest >= size * 1024.0 && step >= size * 1024.0 / 4.0 {
        unit += 1;
        size *= 1024.0;
    }
    let places = if step >= size { 0 } else { 2 };
    // Steps below a byte occur only for rates, and keep as many digits as they need.
    let places = if step < 0.25 { 4 } else { places };
    let number = grouped(value / size, places);
    format!("{} {}", without_trailing_zeros(&number), BYTE_UNITS[unit])
}

fn tick_decimal(value: f64, step: f64, largest: f64) -> String {
    let mut power = 0;
    let mut size = 1.0;
    if !(1e-3..1e10).contains(&largest) {
        // An own power of ten for the whole axis, in steps of three as engineers count.
        while largest / size >= 1e3 {
            size *= 1e3;
            power += 3;
        }
        while largest / size < 1.0 && power > -300 {
            size /= 1e3;
            power -= 3;
        }
    }
    let mut places = 0;
    let mut unit = 1.0;
    while step / size < unit * (1.0 - 1e-9) && places < 12 {
        unit /= 10.0;
        places += 1;
    }
    let number = grouped(value / size, places);
    let number = without_trailing_zeros(&number);
    if power == 0 || value.abs() < f64::MIN_POSITIVE {
        number.to_owned()
    } else {
        format!("{number}e{power}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIB: f64 = 1024.0;
    const MIB: f64 = 1024.0 * KIB;
    const GIB: f64 = 1024.0 * MIB;

    fn labels(quantity: Quantity, low: f64, high: f64) -> String {
        let ticks = quantity.ticks(low, high, 6);
        let labels: Vec<String> = ticks.into_iter().map(|t| t.label).collect();
        labels.join(" | ").replace(GROUP_MARK, "_")
    }

    #[test]
    fn bytes_have_four_digits_and_the_right_unit() {
        let format = |v| Quantity::Bytes.format(v);
        assert_eq!(format(0.0), "0 B");
        assert_eq!(format(1000.0), "1000 B");
        assert_eq!(format(1024.0), "1 KiB");
        assert_eq!(format(-1.5 * MIB), "-1.5 MiB");
        assert_eq!(format(12.345_678 * MIB), "12.35 MiB");
        assert_eq!(format(1023.96 * KIB), "1 MiB");
        assert_eq!(format(1.234_567 * GIB), "1.235 GiB");
        assert_eq!(format(24.0 * GIB), "24 GiB");
        assert_eq!(format(1e18), "888.2 PiB");
        assert_eq!(format(1e30), "867\u{2009}361\u{2009}737\u{2009}988 EiB");
        assert_eq!(format(f64::NAN), "?");
        assert_eq!(Quantity::BytesPerSecond.format(0.25), "0.25 B/s");
    }

    #[test]
    fn counts_are_grouped_and_whole_counts_are_exact() {
        let format = |v| Quantity::Count.format(v);
        assert_eq!(format(9999.0), "9999");
        assert_eq!(format(1_234_567.0), "1\u{2009}234\u{2009}567");
        assert_eq!(format(-12_345.6), "-12\u{2009}346");
        assert_eq!(format(0.123_456), "0.1235");
        assert_eq!(format(-1e-9), "-1e-9");
        assert_eq!(format(1.5e18), "1.5e18");
        assert_eq!(Quantity::Percent.format(99.95), "99.95 %");
        assert_eq!(Quantity::PerSecond.format(3.0), "3/s");
        assert_eq!(Quantity::Seconds.format(2.5), "2.5 s");
    }

    #[test]
    fn ticks_stand_at_round_values_in_one_unit() {
        use Quantity::{Bytes, Count, PerSecond, Percent};
        insta::assert_snapshot!(
            [
                labels(Bytes, 0.0, 24.0 * GIB),
                labels(Bytes, 1.2 * GIB, 1.25 * GIB),
                labels(Bytes, 900.0 * KIB, 1.6 * MIB),
                labels(Bytes, -3.0 * KIB, 3.0 * KIB),
                labels(Bytes, 0.0, 1e18),
                labels(Quantity::BytesPerSecond, 0.0, 0.3),
                labels(Count, 0.0, 3.0),
                labels(Count, 1_234_000.0, 1_250_000.0),
                labels(Count, 0.0, 1e18),
                labels(PerSecond, 0.0, 0.3),
                labels(PerSecond, 0.0, 0.000_07),
                labels(Percent, 0.0, 100.0),
                labels(Percent, 5.0, 5.0),
            ]
            .join("\n"),
            @r"
        0 GiB | 4 GiB | 8 GiB | 12 GiB | 16 GiB | 20 GiB | 24 GiB
        1232 MiB | 1248 MiB | 1264 MiB | 1280 MiB
        1024 KiB | 1152 KiB | 1280 KiB | 1408 KiB | 1536 KiB
        -3 KiB | -2 KiB | -1 KiB | 0 KiB | 1 KiB | 2 KiB | 3 KiB
        0 PiB | 256 PiB | 512 PiB | 768 PiB
        0 B/s | 0.0625 B/s | 0.125 B/s | 0.1875 B/s | 0.25 B/s
        0 | 1 | 2 | 3
        1_235_000 | 1_240_000 | 1_245_000 | 1_250_000
        0 | 0.2e18 | 0.4e18 | 0.6e18 | 0.8e18 | 1e18
        0/s | 0.05/s | 0.1/s | 0.15/s | 0.2/s | 0.25/s
        0/s | 20e-6/s | 40e-6/s | 60e-6/s
        0 % | 20 % | 40 % | 60 % | 80 % | 100 %
        "
        );
    }

    proptest! {
        #[test]
        fn ticks_are_few_inside_and_differ(low in -1e18..1e18_f64, span in 1e-6..1e18_f64, n in 1_usize..12) {
            let high = low + span.max(low.abs() * 1e-6);
            for q in [Quantity::Bytes, Quantity::Count, Quantity::Percent] {
                let ticks = q.ticks(low, high, n);
                prop_assert!(ticks.len() <= n + 1);
                prop_assert!(ticks.iter().all(|t| (low..=high).contains(&t.value)));
                prop_assert!(ticks.windows(2).all(|w| w[0].label != w[1].label), "{ticks:?}");
            }
        }

        #[test]
        fn any_value_has_a_short_text(v in proptest::num::f64::ANY) {
            prop_assert!(Quantity::Bytes.format(v).chars().count() < 20 || v.abs() > 1e24);
            prop_assert!(Quantity::Count.format(v).chars().count() < 24);
        }
    }
}
