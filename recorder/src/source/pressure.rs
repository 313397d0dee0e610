//! `/proc/pressure/memory`: how much time was lost to waiting for memory.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Unit, Value};

use super::text::{
    DUPLICATE, Issues, MALFORMED, Seen, first_word, lines, parse_decimal, parse_u64, split_once,
    words,
};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "pressure",
    paths: &["proc/pressure/memory"],
    shape: Shape::Scalars {
        known: &[
            MetricSpec::gauge("some.avg10", Unit::Percent),
            MetricSpec::gauge("some.avg60", Unit::Percent),
            MetricSpec::gauge("some.avg300", Unit::Percent),
            MetricSpec::counter("some.total", Unit::Us),
            MetricSpec::gauge("full.avg10", Unit::Percent),
            MetricSpec::gauge("full.avg60", Unit::Percent),
            MetricSpec::gauge("full.avg300", Unit::Percent),
            MetricSpec::counter("full.total", Unit::Us),
        ],
        other: metric_of,
    },
    interval_s: 0,
    needs: "CONFIG_PSI, and psi=1 where it is off by default",
    caveats: "some: at least one task waited; full: all that could run did. The averages are the \
        kernel's own, decaying over 10, 60 and 300 s and updated every 2 s; total is exact.",
    overhead: "2 us a read on a held descriptor (6 us when opened).",
};

fn metric_of(key: &[u8]) -> MetricSpec {
    if key.ends_with(b".total") {
        MetricSpec::counter("", Unit::Us)
    } else {
        MetricSpec::gauge("", Unit::Percent)
    }
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(8);
    for (number, line) in lines(text, &mut issues) {
        // All of a line or nothing: it is one observation.
        let Some(pairs) = first_word(line).filter(|(_, pairs)| {
            words(pairs).next().is_some() && words(pairs).all(|word| parse_pair(word).is_some())
        }) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        let (which, pairs) = pairs;
        let mut twice = false;
        for (key, value) in words(pairs).filter_map(parse_pair) {
            if seen.take((which, key)) {
                rows.scalar_parts(&[which, b".", key], value);
            } else {
                twice = true;
            }
        }
        if twice {
            issues.add(number, DUPLICATE, line);
        }
    }
    issues.finish()
}

/// `avg10=0.25` or `total=1234`
fn parse_pair(word: &[u8]) -> Option<(&[u8], Value)> {
    let (key, value) = split_once(word, b'=')?;
    let value = if key == b"total" {
        Value::from(parse_u64(value)?)
    } else {
        Value::from(parse_decimal(value)?)
    };
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::clean;
    use super::*;

    #[test]
    fn averages_are_fractions_and_totals_whole_numbers() {
        let text = b"some avg10=1.25 avg60=0.50 avg300=0.00 total=123456789\n\
            full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let rows = clean(parse, text);
        assert_eq!(rows.len(), 8);
        assert_eq!(rows.value_of(b"some.avg10"), Some(Value::Real(1.25)));
        assert_eq!(rows.value_of(b"some.total"), Some(Value::Int(123_456_789)));
        assert_eq!(rows.value_of(b"full.total"), Some(Value::Int(7)));
    }
}
