//! `/proc/loadavg`: how busy the machine is, and how many tasks it has.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Trend, Unit};

use super::text::{Issues, MALFORMED, lines, parse_decimal, parse_u64, split_once, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "loadavg",
    paths: &["proc/loadavg"],
    shape: Shape::Scalars {
        known: &[
            MetricSpec::gauge("load1", Unit::Count),
            MetricSpec::gauge("load5", Unit::Count),
            MetricSpec::gauge("load15", Unit::Count),
            MetricSpec::gauge("runnable", Unit::Count),
            MetricSpec::gauge("tasks", Unit::Count).judged(Trend::Total),
            MetricSpec::gauge("last_pid", Unit::Count),
        ],
        other: |_| MetricSpec::gauge("", Unit::Count),
    },
    interval_s: 0,
    needs: "",
    caveats: "tasks counts threads, those of the kernel too, zombies included. Load averages count \
        tasks that run or wait for a disk, decaying over 1, 5 and 15 minutes. last_pid wraps, \
        and is that of the reader's pid namespace.",
    overhead: "a few us a read on a held descriptor; takes no lock.",
};

/// Parses the file: one line, which is understood as a whole or not at all.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    for (number, line) in lines(text, &mut issues) {
        match parse_line(line).filter(|_| number == 1) {
            Some((loads, tasks)) => {
                for (key, load) in ["load1", "load5", "load15"].iter().zip(loads) {
                    rows.scalar(key.as_bytes(), load);
                }
                for (key, count) in ["runnable", "tasks", "last_pid"].iter().zip(tasks) {
                    rows.scalar(key.as_bytes(), count);
                }
            }
            None => issues.add(number, MALFORMED, line),
        }
    }
    issues.finish()
}

/// `12.75 12.41 12.55 10/219 16392`
fn parse_line(line: &[u8]) -> Option<([f64; 3], [u64; 3])> {
    let mut words = words(line);
    let loads = [
        parse_decimal(words.next()?)?,
        parse_decimal(words.next()?)?,
        parse_decimal(words.next()?)?,
    ];
    let (runnable, tasks) = split_once(words.next()?, b'/')?;
    let counts = [
        parse_u64(runnable)?,
        parse_u64(tasks)?,
        parse_u64(words.next()?)?,
    ];
    words.next().is_none().then_some((loads, counts))
}

#[cfg(test)]
mod tests {
    use memsoak_schema::Value;

    use super::super::fixtures::{capture, clean};
    use super::*;

    #[test]
    fn loads_are_fractions_and_tasks_whole_numbers() {
        let rows = clean(parse, &capture("6.18-x86_64-microvm/t0", "proc/loadavg"));
        let all: Vec<_> = rows
            .iter()
            .filter_map(|row| row.values().first().copied())
            .collect();
        let mut expected = [12.75, 12.41, 12.55].map(Value::Real).to_vec();
        expected.extend([10, 219, 16_392].map(Value::Int));
        assert_eq!(all, expected);
    }
}
