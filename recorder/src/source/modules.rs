//! `/proc/modules`: the loaded modules; one that comes or goes is an event.

#![deny(clippy::indexing_slicing)]

use std::collections::BTreeMap;

use memsoak_schema::{Happening, Issue, Label, MetricSpec, Rows, Shape, Spec, Unit, Value};

use super::files::HeldFile;
use super::text::{DUPLICATE, Issues, MALFORMED, Seen, lines, parse_u64, words};
use super::{Moment, Outcome, Sampler, Setup};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "modules",
    paths: &["proc/modules"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("size_bytes", Unit::Bytes),
            MetricSpec::gauge("refs", Unit::Count),
        ],
    },
    interval_s: 10,
    needs: "CONFIG_MODULES",
    caveats: "size_bytes is of the module's code and data, not of what it allocates. A module that \
        came or went since the sample before is an event `module` at the time of the sample; one \
        that came and went in between is seen in the kernel's log only. refs is NULL on a \
        kernel that cannot unload.",
    overhead: "less than 1 us a module on a held descriptor; holds module_mutex meanwhile.",
};

#[derive(Default)]
struct Modules {
    file: HeldFile,
    /// Name and size of those that were there at the last whole sample.
    known: Option<BTreeMap<Vec<u8>, Value>>,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Modules::default())
}

impl Sampler for Modules {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let path = "proc/modules";
        if let Err(outcome) = self.file.read(moment, path, SPEC.needs) {
            return outcome;
        }
        // Without modules the file is empty.
        let issues = if self.file.text.is_empty() {
            Vec::new()
        } else {
            parse(&self.file.text, 0, rows)
        };
        let reason = issues.first().map(|first| format!("{path}: {first}"));
        if reason.is_none() {
            self.tell_changes(rows);
        }
        Outcome::obtained(reason, self.file.text.len() as u64)
    }
}

impl Modules {
    /// Makes events of what came and went.
    fn tell_changes(&mut self, rows: &mut Rows) {
        let now: BTreeMap<Vec<u8>, Value> = rows
            .iter()
            .map(|row| {
                let size = row.values().first().copied().unwrap_or_default();
                (row.name().to_vec(), size)
            })
            .collect();
        if let Some(before) = &self.known {
            let missing_in =
                |other: &BTreeMap<Vec<u8>, Value>, name: &[u8]| !other.contains_key(name);
            for (name, size) in now.iter().filter(|(name, _)| missing_in(before, name)) {
                rows.happened(change(name, *size, "loaded"));
            }
            for (name, size) in before.iter().filter(|(name, _)| missing_in(&now, name)) {
                rows.happened(change(name, *size, "unloaded"));
            }
        }
        self.known = Some(now);
    }
}

fn change(name: &[u8], size: Value, what: &'static str) -> Happening {
    let text = [name, b" ", what.as_bytes()].concat();
    let happening = Happening::new("module", &text)
        .with("module", Label::Bytes(name))
        .with("change", Label::Bytes(what.as_bytes()));
    match size {
        Value::Int(bytes) => happening.with("size_bytes", Label::Int(bytes)),
        _ => happening,
    }
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(128);
    for (number, line) in lines(text, &mut issues) {
        let Some((name, values, taint)) = parse_line(line) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        if !seen.take(name) {
            issues.add(number, DUPLICATE, line);
            continue;
        }
        rows.entity(name, name, &values);
        if !taint.is_empty() {
            rows.label("taint", Label::Bytes(taint));
        }
    }
    issues.finish()
}

/// `ext4 1142784 1 - Live 0xffffffffc047b000 (OE)`; the taint may be missing, and a kernel that
/// cannot unload writes `-` for the references.
fn parse_line(line: &[u8]) -> Option<(&[u8], [Value; 2], &[u8])> {
    let mut words = words(line);
    let name = words.next()?;
    let size = parse_u64(words.next()?)?;
    let references = match words.next()? {
        b"-" => None,
        word => Some(parse_u64(word)?),
    };
    let (_used_by, _state, _address) = (words.next()?, words.next()?, words.next()?);
    let taint = match words.next() {
        Some(word) => word.strip_prefix(b"(")?.strip_suffix(b")")?,
        None => b"",
    };
    let values = [size.into(), references.into()];
    words.next().is_none().then_some((name, values, taint))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use memsoak_schema::Status;

    use super::super::fixtures::{capture, clean, values};
    use super::super::made_up::MadeUp;
    use super::*;

    #[test]
    fn modules_are_read_with_their_taint() {
        let rows = clean(parse, &capture("6.12-x86_64-debian/t1", "proc/modules"));
        assert_eq!(values(&rows, "ext4"), [1_142_784, 1].map(Value::Int));
        let tainted = |name: &[u8]| {
            let row = rows.iter().find(|row| row.name() == name).unwrap();
            row.labels()
                .any(|label| label == ("taint", Label::Bytes(b"OE")))
        };
        assert!(tainted(b"leak_kmalloc"));
        assert!(!tainted(b"ext4"));
    }

    #[test]
    fn a_kernel_that_cannot_unload_counts_no_references() {
        let rows = clean(parse, b"a 8192 - - Live 0x0000000000000000\n");
        assert_eq!(values(&rows, "a"), [Value::Int(8192), Value::Null]);
    }

    #[test]
    fn what_comes_and_goes_between_samples_is_told_and_the_first_sample_tells_nothing() {
        let machine = MadeUp::new();
        let mut sampler = Modules::default();
        let mut seen = |text: &str| {
            machine.file("proc/modules", text);
            let (rows, outcome) = machine.sample(&mut sampler, false);
            let texts: Vec<_> = rows
                .happenings()
                .0
                .iter()
                .map(|one| String::from_utf8_lossy(&one.text).into_owned())
                .collect();
            (outcome.status, rows.len(), texts)
        };
        let line = |name: &str| format!("{name} 8192 0 - Live 0x0\n");
        let none: Vec<String> = Vec::new();
        assert_eq!(seen(&line("a")), (Status::Ok, 1, none.clone()));
        assert_eq!(
            seen(&line("b")),
            (
                Status::Ok,
                1,
                vec!["b loaded".to_owned(), "a unloaded".to_owned()]
            )
        );
        // A line that is cut off is no module that went.
        assert_eq!(seen("b 81"), (Status::Partial, 0, none));
        assert_eq!(seen(""), (Status::Ok, 0, vec!["b unloaded".to_owned()]));
    }
}
