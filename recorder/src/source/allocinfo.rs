//! `/proc/allocinfo`: what each call site in the kernel's source has allocated and not freed.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};
use rustix::io::Errno;

use super::files::{self, HeldFile, outcome_of};
use super::follow::{Follow, Held, MUCH_BYTES};
use super::text::{Issues, MALFORMED, fnv, lines, parse_u64, words};
use super::{Moment, Outcome, Sampler, Setup};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "allocinfo",
    paths: &["proc/allocinfo"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("bytes", Unit::Bytes).judged(Trend::Clue),
            MetricSpec::gauge("calls", Unit::Count),
        ],
    },
    interval_s: 60,
    needs: "root; Linux 6.10 with CONFIG_MEM_ALLOC_PROFILING, and sysctl.vm.mem_profiling=1",
    caveats: "A row is a function and the line of source in it; those of one line are added up. The 64 \
        largest have a row from the start, others from when they have changed by 64 KiB, 256 at the \
        most; all others are added up in the row `rest`. A page of a slab counts with the site that \
        made the slab (alloc_slab_page) and each object in it with its own, so sites do not add up \
        to used memory. Page cache and anonymous memory stand here too, with the function in mm/ \
        that took the page. Not judged: what leaks is judged where it is held (slabinfo, \
        vmallocinfo, unaccounted), and the sites that grow alike are named with it.",
    overhead: "about 2 ms for 1,560 sites (in an emulated machine 7 times what slabinfo costs there), \
        as much again for each 1,500; sums up a counter of each CPU for each site; holds the lock that \
        loading a module waits for.",
};

/// The name of the row for all that have none of their own.
const REST: &[u8] = b"rest";

/// A call site.
#[derive(Debug)]
struct Site<'a> {
    bytes: u64,
    calls: u64,
    place: &'a [u8],
    module: &'a [u8],
    function: &'a [u8],
}

impl Site<'_> {
    fn id(&self) -> u64 {
        fnv(&[self.place, b" ", self.module, b" ", self.function])
    }

    fn put(&self, key: &mut Vec<u8>, rows: &mut Rows) {
        key.clear();
        for part in [self.place, b" ", self.function] {
            key.extend_from_slice(part);
        }
        if !self.module.is_empty() {
            for part in [b" [", self.module, b"]"] {
                key.extend_from_slice(part);
            }
        }
        rows.entity(
            key,
            self.function,
            &[self.bytes, self.calls].map(Value::from),
        );
        rows.label("file", Label::Bytes(self.place));
        if !self.module.is_empty() {
            rows.label("module", Label::Bytes(self.module));
        }
    }
}

/// The distinct sites of the text.
fn sites<'a>(text: &'a [u8], issues: &mut Issues) -> Vec<Site<'a>> {
    let mut sites: Vec<Site<'a>> = Vec::with_capacity(4096);
    let mut places: HashMap<u64, usize> = HashMap::with_capacity(4096);
    for (number, line) in lines(text, issues) {
        let is_head = line.starts_with(b"allocinfo - version:") || line.starts_with(b"#");
        if is_head {
            continue;
        }
        let Some(site) = parse_line(line) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        let place = *places.entry(site.id()).or_insert(sites.len());
        match sites.get_mut(place) {
            // A line of a header stands once for each file that includes it.
            Some(known) => {
                known.bytes = known.bytes.saturating_add(site.bytes);
                known.calls = known.calls.saturating_add(site.calls);
            }
            None => sites.push(site),
        }
    }
    sites
}

/// `    18026496     3732 mm/slub.c:2478 [module] func:alloc_slab_page `
fn parse_line(line: &[u8]) -> Option<Site<'_>> {
    let mut words = words(line);
    let bytes = parse_u64(words.next()?)?;
    let calls = parse_u64(words.next()?)?;
    let place = words.next()?;
    let mut site = Site {
        bytes,
        calls,
        place,
        module: b"",
        function: b"",
    };
    for word in words {
        if let Some(function) = word.strip_prefix(b"func:") {
            site.function = function;
            break;
        }
        site.module = word.strip_prefix(b"[")?.strip_suffix(b"]")?;
    }
    (!site.function.is_empty()).then_some(site)
}

/// Parses the file: all sites.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut key = Vec::new();
    for site in sites(text, &mut issues) {
        site.put(&mut key, rows);
    }
    issues.finish()
}

struct Allocinfo {
    file: HeldFile,
    follow: Follow,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Allocinfo {
        file: HeldFile::default(),
        follow: Follow::new(MUCH_BYTES),
    })
}

impl Sampler for Allocinfo {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let path = "proc/allocinfo";
        if let Err(outcome) = self.file.read(moment, path, SPEC.needs) {
            return outcome;
        }
        let text = &self.file.text;
        let bytes = text.len() as u64;
        let mut issues = Issues::default();
        let sites = sites(text, &mut issues);
        if sites.is_empty() {
            let off = files::explain(Errno::OPNOTSUPP, path, SPEC.needs);
            return Outcome::nothing(off).having_read(bytes);
        }
        let held: Vec<Held> = sites.iter().map(|site| (site.id(), site.bytes)).collect();
        self.follow.see(&held);
        let mut key = Vec::new();
        let mut rest = [0_u64; 2];
        for (site, (id, _)) in sites.iter().zip(&held) {
            if self.follow.has_row(*id) {
                site.put(&mut key, rows);
            } else {
                let [bytes, calls] = &mut rest;
                *bytes = bytes.saturating_add(site.bytes);
                *calls = calls.saturating_add(site.calls);
            }
        }
        rows.entity(REST, REST, &rest.map(Value::from));
        outcome_of(path, &issues.finish(), rows, bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use memsoak_schema::Status;

    use super::super::fixtures::{capture, clean, values};
    use super::super::made_up::{MadeUp, SETUP};
    use super::*;

    fn sum(rows: &Rows) -> [i64; 2] {
        let mut sums = [0; 2];
        for row in rows.iter() {
            for (sum, value) in sums.iter_mut().zip(row.values()) {
                if let Value::Int(value) = value {
                    *sum += value;
                }
            }
        }
        sums
    }

    #[test]
    fn sites_of_modules_bear_their_name_and_lines_of_headers_are_added_up() {
        let text = capture("6.12-x86_64-pageowner/t1", "proc/allocinfo");
        let rows = clean(parse, &text);
        assert_eq!(
            values(&rows, "lab/healthy.c:54 bundle_fill [healthy]"),
            [655_360, 320].map(Value::Int)
        );
        let labels = |key: &[u8]| {
            let row = rows.iter().find(|row| row.key() == key).unwrap();
            row.labels().collect::<Vec<_>>()
        };
        assert_eq!(
            labels(b"lab/healthy.c:54 bundle_fill [healthy]"),
            [
                ("file", Label::Bytes(b"lab/healthy.c:54")),
                ("module", Label::Bytes(b"healthy"))
            ]
        );
        assert_eq!(
            labels(b"mm/slub.c:2478 alloc_slab_page"),
            [("file", Label::Bytes(b"mm/slub.c:2478"))]
        );
        let doubled = b"  8 1 a.h:7 func:f \n 16 2 a.h:7 func:f \n 4 1 a.h:8 func:f \n";
        let rows = clean(parse, doubled);
        assert_eq!(values(&rows, "a.h:7 f"), [24, 3].map(Value::Int));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn rows_are_bounded_and_nothing_is_lost() {
        let machine = MadeUp::new();
        let mut sampler = sampler(&SETUP);
        let mut seen = |text: &[u8]| {
            machine.file("proc/allocinfo", text);
            let (rows, outcome) = machine.sample(sampler.as_mut(), false);
            assert_eq!(outcome.status, Status::Ok);
            assert_eq!(sum(&rows), sum(&clean(parse, text)));
            rows
        };
        let before = seen(&capture("6.12-x86_64-pageowner/t0", "proc/allocinfo"));
        assert_eq!(before.len(), 65);
        let after = seen(&capture("6.12-x86_64-pageowner/t1", "proc/allocinfo"));
        assert!((66..=257).contains(&after.len()), "{}", after.len());
        // A module that came between them holds more than 64 KiB at these lines ...
        let has = |key: &str| after.iter().any(|row| row.key() == key.as_bytes());
        assert!(has("lab/healthy.c:55 bundle_fill [healthy]"));
        // ... and less at this one.
        assert!(!has("lab/healthy.c:83 healthy_init [healthy]"));
    }
}
