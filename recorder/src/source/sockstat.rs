//! `/proc/net/sockstat` and `sockstat6`: sockets, and the memory in their buffers.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Trend, Unit};

use super::text::{DUPLICATE, Issues, MALFORMED, Seen, lines, parse_u64, split_once, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "sockstat",
    paths: &["proc/net/sockstat", "proc/net/sockstat6"],
    shape: Shape::Scalars {
        known: &[
            count("sockets.used").judged(Trend::Total),
            count("TCP.inuse"),
            count("TCP.orphan"),
            count("TCP.tw"),
            count("TCP.alloc").judged(Trend::Total),
            MetricSpec::gauge("TCP.mem", Unit::Pages).judged(Trend::Memory),
            count("UDP.inuse"),
            MetricSpec::gauge("UDP.mem", Unit::Pages).judged(Trend::Memory),
            count("UDPLITE.inuse"),
            count("RAW.inuse"),
            count("FRAG.inuse"),
            MetricSpec::gauge("FRAG.memory", Unit::Bytes).judged(Trend::Memory),
            count("TCP6.inuse"),
            count("UDP6.inuse"),
            count("UDPLITE6.inuse"),
            count("RAW6.inuse"),
            count("FRAG6.inuse"),
            MetricSpec::gauge("FRAG6.memory", Unit::Bytes).judged(Trend::Memory),
        ],
        other: metric_of,
    },
    interval_s: 0,
    needs: "",
    caveats: "inuse, tw and FRAG are those of the reader's network namespace; sockets.used is too; \
        TCP.alloc, TCP.orphan and mem are of the whole machine. mem is what was \
        promised to buffers, in pages, and is kept by each CPU in portions.",
    overhead: "a few us a read on a held descriptor; takes no lock.",
};

const fn count(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Count)
}

/// What a key is, by its last part.
fn metric_of(key: &[u8]) -> MetricSpec {
    if key.ends_with(b".mem") {
        MetricSpec::gauge("", Unit::Pages).judged(Trend::Memory)
    } else if key.ends_with(b".memory") {
        MetricSpec::gauge("", Unit::Bytes).judged(Trend::Memory)
    } else {
        count("")
    }
}

/// Parses one of the files.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(16);
    for (number, line) in lines(text, &mut issues) {
        let pairs = split_once(line, b':').filter(|(protocol, pairs)| {
            // All of a line or nothing: a word that is lost would move the rest.
            !protocol.is_empty()
                && words(pairs).next().is_some()
                && words(pairs).count().is_multiple_of(2)
                && words(pairs)
                    .skip(1)
                    .step_by(2)
                    .all(|w| parse_u64(w).is_some())
        });
        let Some((protocol, pairs)) = pairs else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        let keys = words(pairs).step_by(2);
        let numbers = words(pairs).skip(1).step_by(2).map(parse_u64);
        let mut twice = false;
        for (key, value) in keys.zip(numbers) {
            if seen.take((protocol, key)) {
                rows.scalar_parts(&[protocol, b".", key], value);
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

#[cfg(test)]
mod tests {
    use memsoak_schema::Value;

    use super::super::fixtures::{capture, clean, parsed};
    use super::*;

    #[test]
    fn protocols_and_their_memory_are_read() {
        let root = "6.18-x86_64-microvm/t0";
        let rows = clean(parse, &capture(root, "proc/net/sockstat"));
        assert_eq!(rows.len(), 12);
        assert_eq!(rows.value_of(b"sockets.used"), Some(Value::Int(11)));
        assert_eq!(rows.value_of(b"FRAG.memory"), Some(Value::Int(0)));
        let rows = clean(parse, &capture(root, "proc/net/sockstat6"));
        assert_eq!(rows.len(), 6);
        assert_eq!(rows.value_of(b"FRAG6.memory"), Some(Value::Int(0)));
    }

    #[test]
    fn a_line_that_lost_a_word_is_lost_as_a_whole() {
        let (rows, issues) = parsed(parse, b"TCP: inuse 5 orphan 0 tw\nUDP: inuse 2 mem 1\n");
        assert_eq!(rows.len(), 2);
        assert_eq!(issues.len(), 1);
    }
}
