//! `/proc/stat`: what the CPUs did since boot.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, MetricSpec, Rows, Shape, Spec, Unit};

use super::text::{DUPLICATE, Issues, MALFORMED, Seen, first_word, lines, parse_u64, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "stat",
    paths: &["proc/stat"],
    shape: Shape::Scalars {
        known: &[
            ticks("cpu.user"),
            ticks("cpu.nice"),
            ticks("cpu.system"),
            ticks("cpu.idle"),
            ticks("cpu.iowait"),
            ticks("cpu.irq"),
            ticks("cpu.softirq"),
            ticks("cpu.steal"),
            ticks("cpu.guest"),
            ticks("cpu.guest_nice"),
            MetricSpec::counter("intr", Unit::Count),
            MetricSpec::counter("ctxt", Unit::Count),
            MetricSpec::gauge("btime", Unit::Count),
            MetricSpec::counter("processes", Unit::Count),
            MetricSpec::gauge("procs_running", Unit::Count),
            MetricSpec::gauge("procs_blocked", Unit::Count),
            MetricSpec::counter("softirq", Unit::Count),
        ],
        other: |_| MetricSpec::counter("", Unit::Count),
    },
    interval_s: 10,
    needs: "",
    caveats: "Sums over all CPUs; single CPUs and single interrupts are left out. guest is in user \
        and guest_nice in nice as well. idle and iowait can fall a little. btime is the wall time \
        of boot in seconds and moves when the clock is set.",
    overhead: "grows with CPUs times interrupts, as the kernel adds each up: tens of us on a small \
        machine, milliseconds on a large one; takes no lock.",
};

const fn ticks(name: &'static str) -> MetricSpec {
    MetricSpec::counter(name, Unit::ClockTicks)
}

/// The columns of the line `cpu`.
const STATES: [&str; 10] = [
    "user",
    "nice",
    "system",
    "idle",
    "iowait",
    "irq",
    "softirq",
    "steal",
    "guest",
    "guest_nice",
];

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(16);
    for (number, line) in lines(text, &mut issues) {
        let Some((key, rest)) = first_word(line) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        if let Some(cpu) = key.strip_prefix(b"cpu")
            && parse_u64(cpu).is_some()
        {
            continue;
        }
        // The lines intr and softirq begin with their sum; hundreds of numbers may follow.
        let sum_line = key == b"intr" || key == b"softirq";
        let numbers = words(rest).map(parse_u64);
        let fits = match (key, sum_line) {
            (b"cpu", _) => {
                (1..=STATES.len()).contains(&numbers.clone().count())
                    && numbers.clone().all(|number| number.is_some())
            }
            (_, true) => matches!(numbers.clone().next(), Some(Some(_))),
            (_, false) => numbers.clone().count() == 1 && numbers.clone().all(|n| n.is_some()),
        };
        if !fits {
            issues.add(number, MALFORMED, line);
        } else if !seen.take(key) {
            issues.add(number, DUPLICATE, line);
        } else if key == b"cpu" {
            for (state, value) in STATES.iter().zip(numbers) {
                rows.scalar_parts(&[b"cpu.", state.as_bytes()], value);
            }
        } else if let Some(value) = numbers.clone().next() {
            rows.scalar(key, value);
        }
    }
    issues.finish()
}

#[cfg(test)]
mod tests {
    use memsoak_schema::Value;

    use super::super::fixtures::{capture, clean};
    use super::*;

    #[test]
    fn sums_are_kept_and_single_cpus_and_interrupts_left_out() {
        let rows = clean(parse, &capture("6.18-x86_64-microvm/t0", "proc/stat"));
        assert_eq!(rows.len(), 17);
        for (key, value) in [
            ("cpu.user", 232_479),
            ("cpu.steal", 744),
            ("intr", 6_044_027),
            ("ctxt", 45_513_959),
            ("btime", 1_795_351_922),
            ("procs_running", 10),
            ("softirq", 3_466_293),
        ] {
            assert_eq!(
                rows.value_of(key.as_bytes()),
                Some(Value::Int(value)),
                "{key}"
            );
        }
    }
}
