//! `/sys/kernel/debug/page_owner_stacks/show_stacks`: how many pages each stack has allocated and not
//! freed.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Status, Trend, Unit, Value};

use super::files::{HeldFile, outcome_of};
use super::follow::{Follow, Held};
use super::stack::Stack;
use super::text::{Issues, MALFORMED, lines, parse_u64, split_once};
use super::{Moment, Outcome, Sampler, Setup};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "page_owner",
    paths: &["sys/kernel/debug/page_owner_stacks/show_stacks"],
    shape: Shape::Entities {
        columns: &[MetricSpec::gauge("alloc_pages", Unit::Pages).judged(Trend::Clue)],
    },
    interval_s: 300,
    needs: "root, debugfs, Linux 6.9 with CONFIG_PAGE_OWNER and page_owner=on",
    caveats: "A row is a stack; its name is the first function that is no allocator, its label `stack` \
        holds the first 1,024 bytes of it. The 64 largest have a row from the start, others from when \
        they have changed by 16 pages, 256 at the most; all others are added up in the row `rest`. \
        Linux 6.9 counted allocations and not pages. Pages of slabs and of processes stand here too. \
        Not judged: what leaks is judged where it is held, and the stacks that grow alike are named \
        with it. The dump of every page (page_owner), all that older kernels have, is never read: it \
        has a stack for each page, and once made a kernel oops.",
    overhead: "about 10 ms for 870 stacks, 430 kB (in an emulated machine 40 times what slabinfo costs \
        there); takes no lock.",
};

const REST: &[u8] = b"rest";
/// What is worth a row: 64 KiB in small pages.
const MUCH_PAGES: u64 = 16;

/// The distinct stacks of the text, with their pages.
fn stacks(text: &[u8], issues: &mut Issues) -> Vec<(Stack, u64)> {
    let mut found: Vec<(Stack, u64)> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut open = Stack::default();
    for (number, line) in lines(text, issues) {
        if line.trim_ascii().is_empty() {
            // A stack whose count was cut off is not counted with the next one.
            if !open.is_empty() {
                issues.add(number, "a stack without a count", open.text());
                open.clear();
            }
            continue;
        }
        if line.starts_with(b" ") {
            open.push(line);
            continue;
        }
        let count = split_once(line, b':')
            .filter(|(key, _)| [b"nr_base_pages".as_slice(), b"stack_count"].contains(key))
            .and_then(|(_, value)| parse_u64(value.trim_ascii()));
        let stack = std::mem::take(&mut open);
        let Some(pages) = count.filter(|_| !stack.is_empty()) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        let place = *places.entry(stack.id()).or_insert(found.len());
        match found.get_mut(place) {
            Some((_, sum)) => *sum = sum.saturating_add(pages),
            None => found.push((stack, pages)),
        }
    }
    if !open.is_empty() {
        issues.add(0, "a stack without a count", open.text());
    }
    found
}

fn put(stack: &Stack, pages: u64, rows: &mut Rows) {
    rows.entity(&stack.key(), stack.name(), &[Value::from(pages)]);
    rows.label("stack", Label::Bytes(stack.text()));
    if !stack.module().is_empty() {
        rows.label("module", Label::Bytes(stack.module()));
    }
}

/// Parses the file: all stacks.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    for (stack, pages) in stacks(text, &mut issues) {
        put(&stack, pages, rows);
    }
    issues.finish()
}

struct PageOwner {
    file: HeldFile,
    follow: Follow,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(PageOwner {
        file: HeldFile::default(),
        follow: Follow::new(MUCH_PAGES),
    })
}

impl Sampler for PageOwner {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let [path] = SPEC.paths else {
            unreachable!("it has one file")
        };
        if let Err(mut outcome) = self.file.read(moment, path, SPEC.needs) {
            let dump = "sys/kernel/debug/page_owner";
            if outcome.status == Status::Unavailable && moment.root.stat(dump).is_some() {
                outcome.reason = Some(format!(
                    "{path}: this kernel only has the dump of every page, which is not read (needs Linux 6.9)"
                ));
            }
            return outcome;
        }
        let bytes = self.file.text.len() as u64;
        let mut issues = Issues::default();
        let stacks = stacks(&self.file.text, &mut issues);
        let held: Vec<Held> = stacks
            .iter()
            .map(|(stack, pages)| (stack.id(), *pages))
            .collect();
        self.follow.see(&held);
        let mut rest = 0_u64;
        for ((stack, pages), (id, _)) in stacks.iter().zip(&held) {
            if self.follow.has_row(*id) {
                put(stack, *pages, rows);
            } else {
                rest = rest.saturating_add(*pages);
            }
        }
        rows.entity(REST, REST, &[Value::from(rest)]);
        outcome_of(path, &issues.finish(), rows, bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::super::fixtures::{capture, clean, parsed};
    use super::super::made_up::{MadeUp, SETUP};
    use super::*;

    const FILE: &str = "sys/kernel/debug/page_owner_stacks/show_stacks";

    #[test]
    fn a_stack_is_named_by_who_asked_and_not_by_the_allocator() {
        let rows = clean(parse, &capture("6.12-x86_64-pageowner/t1", FILE));
        let row = rows
            .iter()
            .find(|row| row.name() == b"bundle_fill")
            .unwrap();
        let labels: Vec<_> = row.labels().collect();
        assert!(labels.contains(&("module", Label::Bytes(b"healthy"))));
        for row in rows.iter() {
            assert!(!row.name().starts_with(b"get_page"), "{row:?}");
        }
    }

    #[test]
    fn both_counts_are_understood_and_equal_stacks_are_added_up() {
        let text = b" f+0x1/0x2\n g+0x1/0x2\nnr_base_pages: 3\n\n f+0x1/0x2\n g+0x1/0x2\n\
            stack_count: 4\n\n f+0x1/0x2\nnr_base_pages: 9\n\n";
        let rows = clean(parse, text);
        let pages: Vec<_> = rows.iter().map(|row| row.values().to_vec()).collect();
        assert_eq!(pages, [[Value::Int(7)], [Value::Int(9)]]);
    }

    #[test]
    fn a_stack_without_a_count_is_told_and_does_not_run_into_the_next() {
        let (rows, issues) = parsed(parse, b" f+0x1/0x2\n\n g+0x1/0x2\nnr_base_pages: 3\n\n");
        assert_eq!((rows.len(), issues.len()), (1, 1));
        assert_eq!(rows.iter().next().unwrap().name(), b"g");
    }

    #[test]
    fn an_older_kernel_says_why_it_has_none() {
        let machine = MadeUp::new();
        let sample = |machine: &MadeUp| {
            let (_, outcome) = machine.sample(sampler(&SETUP).as_mut(), true);
            assert_eq!(outcome.status, Status::Unavailable);
            outcome.reason.unwrap()
        };
        assert!(sample(&machine).contains("not on this machine (needs root, debugfs"));
        machine.file(
            "sys/kernel/debug/page_owner",
            "Page allocated via order 0\n",
        );
        assert!(sample(&machine).contains("only has the dump of every page"));
    }
}
