//! `/proc/vmallocinfo`: who holds the kernel's mapped address space, folded by caller.

#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};

use super::text::{Issues, MALFORMED, first_word, lines, parse_u64, rsplit_once, words};
use super::vmalloc_names::{Name, Names};
use crate::root::Root;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "vmallocinfo",
    paths: &["proc/vmallocinfo"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("areas", Unit::Count).judged(Trend::Count),
            MetricSpec::gauge("size_bytes", Unit::Bytes),
            MetricSpec::gauge("alloc_pages", Unit::Pages)
                .judged(Trend::Memory)
                .part_of("meminfo/VmallocUsed"),
        ],
    },
    interval_s: 30,
    needs: "root or CAP_DAC_READ_SEARCH",
    caveats: "A caller is resolved when the file is read, not when it allocates: after a module is \
        unloaded its areas show bare addresses, or the names of a module loaded later at the same \
        place. An area that was seen before keeps its first name then (label `unloaded`, event \
        `vmalloc_caller`), as far as addresses are shown; what was not is kept under the bare \
        address, unfolded. size_bytes is address space with \
        guard pages; alloc_pages is what vmalloc allocated itself, 0 for ioremap and vmap of \
        other people's pages. Kernel stacks stand here, one area a task. Areas \
        that wait to be purged stand here as `unpurged vm_area`; the kernel gives them back.",
    overhead: "2.8-4 ms a read on a held descriptor with 1,100 tasks (4-18 ms when opened, as the \
        listing is built anew for each doubling of the buffer); grows with the number of tasks; \
        holds the locks of the vmap areas meanwhile.",
};

/// Stands for the caller of areas that have none.
const NO_CALLER: &[u8] = b"no caller";
/// Areas that are unmapped and wait to be purged with many others.
const UNPURGED: &[u8] = b"unpurged vm_area";

/// What the lines of one caller add up to.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    pub(super) symbol: &'a [u8],
    pub(super) module: &'a [u8],
    areas: u64,
    pub(super) size: u64,
    pages: u64,
}

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    fold(text, rows, None)
}

/// Folds the areas by caller, under the first names that are remembered of them.
pub(super) fn fold(
    text: &[u8],
    rows: &mut Rows,
    mut names: Option<(&mut Names, &Root)>,
) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut callers: Vec<Caller<'_>> = Vec::with_capacity(64);
    // Areas by the first name that they have lost.
    let mut lost: BTreeMap<usize, [u64; 3]> = BTreeMap::new();
    let mut places = HashMap::with_capacity(64);
    for (number, line) in lines(text, &mut issues) {
        let Some((range, area)) = parse_line(line) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        if let Some((names, root)) = &mut names
            && let Some(first) = names.first_name(range, &area, root)
        {
            let [areas, size, pages] = lost.entry(first).or_default();
            *areas += 1;
            *size = size.saturating_add(area.size);
            *pages = pages.saturating_add(area.pages);
            continue;
        }
        let place = *places
            .entry((area.symbol, area.module))
            .or_insert(callers.len());
        match callers.get_mut(place) {
            Some(caller) => {
                caller.areas += 1;
                caller.size = caller.size.saturating_add(area.size);
                caller.pages = caller.pages.saturating_add(area.pages);
            }
            None => callers.push(area),
        }
    }
    let lost: Vec<(&Name, [u64; 3])> = lost
        .iter()
        .filter_map(|(first, sums)| Some((names.as_ref()?.0.name(*first)?, *sums)))
        .collect();
    for (name, [areas, size, pages]) in &lost {
        // Loaded again since, it may have new ones of that name.
        let known = places.get(&(name.0.as_slice(), name.1.as_slice()));
        if let Some(caller) = known.and_then(|place| callers.get_mut(*place)) {
            caller.areas += areas;
            caller.size = caller.size.saturating_add(*size);
            caller.pages = caller.pages.saturating_add(*pages);
        } else {
            callers.push(Caller {
                symbol: &name.0,
                module: &name.1,
                areas: *areas,
                size: *size,
                pages: *pages,
            });
        }
    }
    let is_lost = |caller: &Caller<'_>| {
        lost.iter()
            .any(|(name, _)| name.0 == caller.symbol && name.1 == caller.module)
    };
    let mut key = Vec::new();
    for caller in &callers {
        key.clear();
        key.extend_from_slice(caller.symbol);
        if !caller.module.is_empty() {
            for part in [b" [", caller.module, b"]"] {
                key.extend_from_slice(part);
            }
        }
        let values = [caller.areas, caller.size, caller.pages].map(Value::from);
        rows.entity(&key, caller.symbol, &values);
        if !caller.module.is_empty() {
            rows.label("module", Label::Bytes(caller.module));
        }
        if is_lost(caller) {
            rows.label("unloaded", Label::Bool(true));
        }
        if caller.symbol == UNPURGED {
            rows.label("reclaimable", Label::Bool(true));
        }
    }
    issues.finish()
}

/// `0x...-0x...  20480 kernel_clone+0xc2/0x430 [module] pages=4 vmalloc N0=4`
fn parse_line(line: &[u8]) -> Option<(&[u8], Caller<'_>)> {
    let (addresses, rest) = first_word(line)?;
    if !addresses.starts_with(b"0x") || !addresses.contains(&b'-') {
        return None;
    }
    let (size, rest) = first_word(rest)?;
    let mut area = Caller {
        symbol: NO_CALLER,
        module: b"",
        areas: 1,
        size: parse_u64(size)?,
        pages: 0,
    };
    if rest.trim_ascii() == UNPURGED {
        area.symbol = UNPURGED;
        return Some((addresses, area));
    }
    let mut words = words(rest).peekable();
    if let Some(caller) = words.next_if(|word| !is_attribute(word)) {
        // Without the offset: a function that is compiled anew is still the same caller.
        area.symbol = rsplit_once(caller, b"+0x").map_or(caller, |(symbol, _)| symbol);
        let bracketed = |word: &[u8]| word.starts_with(b"[") && word.ends_with(b"]");
        if let Some(module) = words.next_if(|word| bracketed(word)) {
            area.module = module.strip_prefix(b"[")?.strip_suffix(b"]")?;
        }
    }
    if area.symbol.is_empty() {
        return None;
    }
    for word in words {
        if let Some(pages) = word.strip_prefix(b"pages=") {
            area.pages = parse_u64(pages)?;
        }
    }
    Some((addresses, area))
}

/// Whether a word says what an area is, and so cannot be its caller.
fn is_attribute(word: &[u8]) -> bool {
    word.contains(&b'=')
        || matches!(
            word,
            b"ioremap" | b"vmalloc" | b"vmap" | b"user" | b"dma-coherent" | b"sparse" | b"vpages"
        )
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{capture, clean, parsed, values};
    use super::*;

    #[test]
    fn areas_fold_by_symbol_and_module() {
        let rows = clean(parse, &capture("6.12-x86_64-debian/t1", "proc/vmallocinfo"));
        let leak = rows
            .iter()
            .find(|row| {
                row.labels()
                    .any(|label| label == ("module", Label::Bytes(b"leak_vmalloc")))
            })
            .map(|row| (row.key().to_vec(), row.name().to_vec()));
        let (key, name) = leak.unwrap_or_default();
        assert!(key.ends_with(b" [leak_vmalloc]"));
        assert!(!name.contains(&b'+'));
        assert!(rows.len() < 60);
    }

    #[test]
    fn stacks_are_one_caller() {
        let text = capture("6.12-arm64-16k/t0", "proc/vmallocinfo");
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter(|line| line.windows(13).any(|w| w == b"kernel_clone+"))
            .count();
        let count = i64::try_from(lines).unwrap_or(0);
        let rows = clean(parse, &text);
        // 16 KiB of stack in one page of 16 KiB, and a guard page each.
        assert_eq!(
            values(&rows, "kernel_clone"),
            [count, count * 32_768, count].map(Value::Int)
        );
    }

    #[test]
    fn areas_that_wait_to_be_purged_are_one_reclaimable_entity_without_pages() {
        let rows = clean(
            parse,
            &capture("6.18-x86_64-microvm/t0", "proc/vmallocinfo"),
        );
        let row = rows.iter().find(|row| row.key() == UNPURGED);
        assert_eq!(
            row.map(|row| row.labels().collect()),
            Some(vec![("reclaimable", Label::Bool(true))])
        );
        assert_eq!(
            values(&rows, "unpurged vm_area").get(2),
            Some(&Value::Int(0))
        );
    }

    #[test]
    fn lines_without_a_caller_and_bare_addresses_are_kept() {
        let text = b"0x1-0x2 8192 pages=1 vmalloc N0=1\n\
            0x1-0x2 4096 ioremap\n\
            0x1-0x2 4096 vm_map_ram\n\
            0x1-0x2 266240 0xffffffffa0009009 pages=64 vmalloc\n\
            0x1-0x2 266240 0xffffffffa0009009 pages=64 vmalloc\n";
        let rows = clean(parse, text);
        assert_eq!(values(&rows, "no caller"), [2, 12_288, 1].map(Value::Int));
        assert_eq!(values(&rows, "vm_map_ram"), [1, 4096, 0].map(Value::Int));
        assert_eq!(
            values(&rows, "0xffffffffa0009009"),
            [2, 532_480, 128].map(Value::Int)
        );
    }

    #[test]
    fn a_bad_number_of_pages_loses_its_line_only() {
        let text = b"0x1-0x2 8192 f+0x1/0x2 pages=x vmalloc\n0x1-0x2 8192 f+0x1/0x2 pages=1\n";
        let (rows, issues) = parsed(parse, text);
        assert_eq!(values(&rows, "f"), [1, 8192, 1].map(Value::Int));
        assert_eq!(issues.len(), 1);
    }
}
