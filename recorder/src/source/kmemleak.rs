//! `/sys/kernel/debug/kmemleak`: objects of the kernel that nothing points to, folded by the stack that
//! allocated them.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};

use memsoak_schema::{Happening, Issue, Label, MetricSpec, Rows, Shape, Spec, Unit, Value};
use rustix::io::Errno;

use super::stack::Stack;
use super::text::{Issues, MALFORMED, fnv, lines, parse_u64, rsplit_once, split_once};
use super::{Moment, Outcome, Sampler, Setup, files};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "kmemleak",
    paths: &["sys/kernel/debug/kmemleak"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("objects", Unit::Count),
            MetricSpec::gauge("bytes", Unit::Bytes),
            MetricSpec::gauge("first_jiffies", Unit::Count),
            MetricSpec::gauge("last_jiffies", Unit::Count),
            MetricSpec::gauge("least_age_ms", Unit::Count),
            MetricSpec::gauge("most_age_ms", Unit::Count),
        ],
    },
    interval_s: 600,
    needs: "root, debugfs, CONFIG_DEBUG_KMEMLEAK, and not kmemleak=off",
    caveats: "A row is a stack; its name is the first function that is no allocator. Never asks for a \
        scan: the kernel scans each 10 minutes by itself (unless that is switched off) and reports an \
        object from its second scan on and not before it is 5 s old. A new stack is an event \
        `kmemleak_stack`. Ages as of the read, where the kernel prints them (older ones do); \
        jiffies of the first and the last allocation always. After `clear` what was reported is no \
        longer; a report can be wrong where a pointer is hidden. Frames of code that is gone are bare \
        addresses. The contents of objects are not kept. Of a report over 1 MiB the beginning.",
    overhead: "of an empty report about 1 ms for 44,000 objects that the kernel watches (in an emulated \
        machine twice what slabinfo costs there), and about as much for each 4 KiB of a report: the \
        kernel goes through all of them each time. A scan waits meanwhile, and a read waits for a scan.",
};

const COLUMNS: usize = 6;
/// What is read of a report, some 1,700 objects: for each 4 KiB the kernel goes through all objects that
/// it watches.
const MOST_BYTES: usize = 1 << 20;
/// Stacks that have a row; of a machine with more the first ones tell enough.
const MOST_STACKS: usize = 512;

/// Objects of one stack.
#[derive(Debug)]
struct Group {
    stack: Stack,
    comm: Vec<u8>,
    pid: Option<u64>,
    objects: u64,
    bytes: u64,
    jiffies: Option<(u64, u64)>,
    ages_ms: Option<(u64, u64)>,
}

/// One object of the report.
#[derive(Debug, Default)]
struct Object {
    size: u64,
    comm: Vec<u8>,
    pid: Option<u64>,
    jiffies: Option<u64>,
    age_ms: Option<u64>,
    stack: Stack,
    in_stack: bool,
}

/// The report's objects by stack, in the order in which they stand there.
fn groups(text: &[u8], issues: &mut Issues) -> Vec<Group> {
    let mut folding = Folding::default();
    let mut open: Option<Object> = None;
    for (number, line) in lines(text, issues) {
        if let Some(rest) = line.strip_prefix(b"unreferenced ") {
            folding.take(open.take());
            open = parse_head(rest);
            if open.is_none() {
                issues.add(number, MALFORMED, line);
            }
            continue;
        }
        // The lines of an object whose head was not understood.
        let Some(object) = &mut open else { continue };
        let line = line.trim_ascii();
        if line.starts_with(b"comm ") {
            if object.in_stack {
                // The head of another object is missing: these lines are not this one's.
                issues.add(number, MALFORMED, line);
                folding.take(open.take());
            } else if !object.take_origin(line) {
                issues.add(number, MALFORMED, line);
            }
        } else if line.starts_with(b"backtrace") {
            object.in_stack = true;
        } else if object.in_stack && !line.is_empty() {
            object.stack.push(line);
        }
    }
    folding.take(open);
    folding.groups
}

#[derive(Default)]
struct Folding {
    groups: Vec<Group>,
    places: HashMap<u64, usize>,
}

impl Folding {
    fn take(&mut self, object: Option<Object>) {
        let Some(object) = object else { return };
        let both = |value: Option<u64>| value.map(|value| (value, value));
        let new = Group {
            comm: object.comm,
            pid: object.pid,
            objects: 1,
            bytes: object.size,
            jiffies: both(object.jiffies),
            ages_ms: both(object.age_ms),
            stack: object.stack,
        };
        let place = *self
            .places
            .entry(new.stack.id())
            .or_insert(self.groups.len());
        match self.groups.get_mut(place) {
            Some(group) => {
                group.objects += 1;
                group.bytes = group.bytes.saturating_add(new.bytes);
                group.jiffies = span(group.jiffies, new.jiffies);
                group.ages_ms = span(group.ages_ms, new.ages_ms);
            }
            None => self.groups.push(new),
        }
    }
}

fn span(a: Option<(u64, u64)>, b: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, other) => one.or(other),
    }
}

/// `object 0xff11000002865120 (size 32):`, of objects of each CPU `percpu object` (Linux 6.14).
fn parse_head(rest: &[u8]) -> Option<Object> {
    let (_, size) = rsplit_once(rest, b" (size ")?;
    Some(Object {
        size: parse_u64(size.strip_suffix(b"):")?)?,
        ..Object::default()
    })
}

impl Object {
    /// `comm "insmod", pid 63, jiffies 4294937568 (age 12.340s)`; the name can hold anything.
    fn take_origin(&mut self, line: &[u8]) -> bool {
        let found = line
            .strip_prefix(b"comm \"")
            .and_then(|rest| rsplit_once(rest, b"\", pid "));
        let Some((comm, rest)) = found else {
            return false;
        };
        let Some((pid, rest)) = split_once(rest, b',') else {
            return false;
        };
        self.comm = comm.to_vec();
        self.pid = parse_u64(pid);
        let rest = rest.trim_ascii();
        let (jiffies, age) = match rsplit_once(rest, b" (age ") {
            Some((jiffies, age)) => (jiffies, age.strip_suffix(b"s)")),
            None => (rest, None),
        };
        self.jiffies = jiffies.strip_prefix(b"jiffies ").and_then(parse_u64);
        self.age_ms = age.and_then(|age| {
            let (seconds, thousandths) = split_once(age, b'.')?;
            parse_u64(seconds)?
                .checked_mul(1000)?
                .checked_add(parse_u64(thousandths)?)
        });
        self.pid.is_some() && self.jiffies.is_some()
    }
}

impl Group {
    fn put(&self, rows: &mut Rows) {
        let of = |both: Option<(u64, u64)>| (both.map(|b| b.0), both.map(|b| b.1));
        let (first, last) = of(self.jiffies);
        let (least, most) = of(self.ages_ms);
        let values: [Value; COLUMNS] = [
            Some(self.objects),
            Some(self.bytes),
            first,
            last,
            least,
            most,
        ]
        .map(Value::from);
        rows.entity(&self.stack.key(), self.stack.name(), &values);
        rows.label("stack", Label::Bytes(self.stack.text()));
        if !self.stack.module().is_empty() {
            rows.label("module", Label::Bytes(self.stack.module()));
        }
        // Who allocated the first of them: not an owner, it may have ended long ago.
        rows.label("by_comm", Label::Bytes(&self.comm));
        if let Some(pid) = self.pid.and_then(|pid| i64::try_from(pid).ok()) {
            rows.label("by_pid", Label::Int(pid));
        }
    }

    fn as_event(&self) -> Happening {
        let number = |n: u64| Label::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let mut text = format!(
            "{} unreferenced, {} bytes in all, allocated by ",
            objects(self.objects),
            self.bytes
        )
        .into_bytes();
        text.extend_from_slice(self.stack.name());
        if !self.stack.module().is_empty() {
            for part in [b" [", self.stack.module(), b"]"] {
                text.extend_from_slice(part);
            }
        }
        text.push(b'\n');
        text.extend_from_slice(self.stack.text());
        Happening::new("kmemleak_stack", &text)
            .with("function", Label::Bytes(self.stack.name()))
            .with("module", Label::Bytes(self.stack.module()))
            .with("objects", number(self.objects))
            .with("bytes", number(self.bytes))
            .with("comm", Label::Bytes(&self.comm))
    }
}

fn objects(n: u64) -> String {
    if n == 1 {
        "an object".to_owned()
    } else {
        format!("{n} objects")
    }
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    for group in groups(text, &mut issues) {
        group.put(rows);
    }
    issues.finish()
}

#[derive(Default)]
struct Kmemleak {
    text: Vec<u8>,
    /// The report that was parsed last.
    parsed: Option<u64>,
    groups: Vec<Group>,
    issue: Option<String>,
    is_cut: bool,
    /// Stacks that were told; `None` before the first report.
    told: Option<HashSet<u64>>,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Kmemleak::default())
}

impl Sampler for Kmemleak {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let [path] = SPEC.paths else {
            unreachable!("it has one file")
        };
        // Opened anew each time: reading goes through all objects and holds the scan up meanwhile.
        let read = moment
            .root
            .open_file(path)
            .and_then(|file| read_beginning(&file, &mut self.text));
        match read {
            Ok(is_cut) => self.is_cut = is_cut,
            Err(error) => return Outcome::nothing(files::explain(error, path, SPEC.needs)),
        }
        let report = fnv(&[&self.text]);
        if self.parsed != Some(report) {
            self.parsed = Some(report);
            self.take_report(path);
        }
        self.tell_new(rows);
        for group in self.groups.iter().take(MOST_STACKS) {
            group.put(rows);
        }
        let reason = if self.is_cut {
            Some("the report is over 1 MiB; its beginning is recorded".to_owned())
        } else if self.groups.len() > MOST_STACKS {
            Some("more than 512 stacks; the first are recorded".to_owned())
        } else {
            self.issue.clone()
        };
        Outcome::obtained(reason, self.text.len() as u64)
    }
}

impl Kmemleak {
    fn take_report(&mut self, path: &str) {
        self.issue = None;
        // Nothing was found, or nothing yet.
        if self.text.is_empty() {
            self.groups.clear();
            return;
        }
        if self.is_cut {
            // Back to the last object that is there as a whole.
            let mark = b"\nunreferenced ";
            let whole = rsplit_once(&self.text, mark).map_or(0, |(before, _)| before.len() + 1);
            self.text.truncate(whole);
        }
        let mut issues = Issues::default();
        self.groups = groups(&self.text, &mut issues);
        self.issue = issues
            .finish()
            .first()
            .map(|first| format!("{path}: {first}"));
    }

    /// Makes events of stacks that were not there before. What stood in the report when the recorder
    /// was started is told too: the kernel's log says only how many there are.
    fn tell_new(&mut self, rows: &mut Rows) {
        let told = self.told.get_or_insert_default();
        for group in self.groups.iter().take(MOST_STACKS) {
            if told.insert(group.stack.id()) {
                rows.happened(group.as_event());
            }
        }
    }
}

/// Reads a file up to a bound; says whether there is more.
fn read_beginning(file: impl std::os::fd::AsFd, text: &mut Vec<u8>) -> Result<bool, Errno> {
    text.clear();
    loop {
        if text.len() >= MOST_BYTES {
            return Ok(true);
        }
        text.reserve(16 << 10);
        let at = text.len() as u64;
        match rustix::io::pread(&file, rustix::buffer::spare_capacity(text), at) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use memsoak_schema::Status;

    use super::super::fixtures::{capture, clean};
    use super::super::made_up::MadeUp;
    use super::*;

    const FILE: &str = "sys/kernel/debug/kmemleak";

    fn by_name(rows: &Rows, name: &str) -> [i64; 2] {
        let mut sums = [0; 2];
        for row in rows.iter().filter(|row| row.name() == name.as_bytes()) {
            for (sum, value) in sums.iter_mut().zip(row.values()) {
                if let Value::Int(value) = value {
                    *sum += value;
                }
            }
        }
        sums
    }

    fn objects_in(text: &[u8]) -> i64 {
        let heads = text.split(|byte| *byte == b'\n');
        i64::try_from(heads.filter(|line| line.starts_with(b"unref")).count()).unwrap()
    }

    fn all(rows: &Rows) -> i64 {
        let first = |value: Option<&Value>| match value {
            Some(Value::Int(value)) => *value,
            _ => 0,
        };
        rows.iter().map(|row| first(row.values().first())).sum()
    }

    #[test]
    fn every_object_of_both_forms_is_in_one_stack() {
        for root in ["6.12-x86_64-pageowner", "6.1-x86_64-pageowner"] {
            for time in ["t0", "t1"] {
                let text = capture(&format!("{root}/{time}"), FILE);
                let rows = clean(parse, &text);
                assert!(objects_in(&text) >= 19);
                assert_eq!(all(&rows), objects_in(&text), "{root} {time}");
                for row in rows.iter() {
                    let values = row.values();
                    assert!(values.get(2).unwrap() != &Value::Null, "jiffies");
                    assert_eq!(values.get(4), Some(&Value::Null), "no age is printed");
                }
            }
        }
    }

    #[test]
    fn the_new_form_names_the_module_and_the_old_one_keeps_bare_numbers() {
        let rows = clean(parse, &capture("6.12-x86_64-pageowner/t0", FILE));
        // kmemleak-test.c: two of 32 bytes, two of 1,024, two of 2,048, two of 4,096, ...
        let [objects, bytes] = by_name(&rows, "kmemleak_test_init");
        assert!(
            objects >= 8 && bytes > 2 * (32 + 1024 + 2048 + 4096),
            "{bytes}"
        );
        let row = rows
            .iter()
            .find(|row| row.name() == b"kmemleak_test_init")
            .unwrap();
        let labels: Vec<_> = row.labels().collect();
        assert!(labels.contains(&("module", Label::Bytes(b"kmemleak_test"))));
        assert!(labels.contains(&("by_comm", Label::Bytes(b"insmod"))));
        let rows = clean(parse, &capture("6.1-x86_64-pageowner/t0", FILE));
        assert_eq!(by_name(&rows, "0xffffffffa0005033"), [1, 32]);
    }

    #[test]
    fn an_age_is_kept_in_milliseconds_and_a_name_can_hold_anything() {
        let text = b"unreferenced object 0x1 (size 8):\n  \
            comm \"a\", pid 1, jiffies 7\", pid 63, jiffies 1200 (age 12.040s)\n  \
            hex dump (first 8 bytes):\n    80 64 83 02 00 00 11 ff  .d......\n  \
            backtrace:\n    [<0000000012345678>] f+0x1/0x2\n\
            unreferenced object 0x2 (size 16):\n  comm \"b\", pid 2, jiffies 1000 (age 13.000s)\n  \
            backtrace:\n    [<00000000aaaabbbb>] f+0x1/0x2\n";
        let rows = clean(parse, text);
        assert_eq!(rows.len(), 1);
        let row = rows.iter().next().unwrap();
        let expected = [2, 24, 1000, 1200, 12_040, 13_000].map(Value::Int);
        assert_eq!(row.values(), expected);
        let labels: Vec<_> = row.labels().collect();
        assert!(labels.contains(&("by_comm", Label::Bytes(b"a\", pid 1, jiffies 7"))));
        assert!(labels.contains(&("by_pid", Label::Int(63))));
    }

    #[test]
    fn a_new_stack_is_told_once_and_an_empty_report_is_no_error() {
        let machine = MadeUp::new();
        let mut sampler = Kmemleak::default();
        let mut seen = |text: &[u8]| {
            machine.file(FILE, text);
            let (rows, outcome) = machine.sample(&mut sampler, false);
            assert_eq!((outcome.status, outcome.reason), (Status::Ok, None));
            (rows.len(), rows.happenings().0.len())
        };
        let [one, more, other] = [
            "6.12-x86_64-pageowner/t0",
            "6.12-x86_64-pageowner/t1",
            "6.1-x86_64-pageowner/t0",
        ]
        .map(|root| capture(root, FILE));
        assert_eq!(seen(b""), (0, 0));
        let (stacks, told) = seen(&one);
        assert!(stacks > 10 && stacks == told);
        assert_eq!(seen(&one), (stacks, 0));
        // The same places went on leaking.
        assert_eq!(seen(&more), (stacks, 0));
        let (stacks, told) = seen(&other);
        assert!(stacks > 10 && stacks == told);
        assert_eq!(seen(b""), (0, 0));
    }

    #[test]
    fn of_a_report_without_end_the_beginning_is_recorded() {
        let machine = MadeUp::new();
        let object = "unreferenced object 0x1 (size 8):\n  comm \"a\", pid 1, jiffies 1200\n  \
            backtrace:\n    f+0x1/0x2\n";
        machine.file(FILE, object.repeat((5 << 20) / object.len()));
        let (rows, outcome) = machine.sample(&mut Kmemleak::default(), false);
        assert_eq!((rows.len(), outcome.status), (1, Status::Partial));
        assert!(outcome.reason.unwrap().contains("over 1 MiB"));
        assert!(all(&rows) > 10_000);
    }
}
