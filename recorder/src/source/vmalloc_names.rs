//! The first names of vmalloc areas: `/proc/vmallocinfo` resolves a caller when it is read, so after a
//! module is unloaded what it left behind bears a bare address, or the name of a module that was
//! loaded at the same place later.

#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap, HashSet};

use memsoak_schema::{Happening, Label, Rows};

use super::files::{HeldFile, outcome_of};
use super::text::split_once;
use super::vmallocinfo::{Caller, SPEC, fold};
use super::{Moment, Outcome, Sampler, Setup};
use crate::root::Root;

/// Areas that are remembered, at about 40 bytes each: one of a module that makes more is known by
/// the others.
const MOST: usize = 16_384;

/// Symbol and module.
pub(super) type Name = (Vec<u8>, Vec<u8>);

/// What areas of modules were called at first, if only by a bare address.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Place and size of an area, and the place of its name in `names`.
    areas: HashMap<(u64, u64), usize>,
    names: Vec<Name>,
    /// Those that stand in the text that is being read.
    here: HashMap<(u64, u64), usize>,
    /// Modules that are loaded, once they were asked for.
    loaded: Option<HashSet<Vec<u8>>>,
    /// How many areas go by their first name, by that and by what the kernel calls them now.
    kept: BTreeMap<(usize, Name), u64>,
    /// Changes of names that were told.
    told: HashSet<(usize, Name)>,
}

impl Names {
    /// Begins a new text.
    fn begin(&mut self) {
        self.here.clear();
        self.kept.clear();
        self.loaded = None;
    }

    /// The first name of an area, where the kernel calls it something else now because the module that
    /// made it is gone. A module that is still loaded has freed its area, and another one got the place.
    pub(super) fn first_name(
        &mut self,
        range: &[u8],
        now: &Caller<'_>,
        root: &Root,
    ) -> Option<usize> {
        let is_bare = now.symbol.starts_with(b"0x");
        if now.module.is_empty() && !is_bare {
            return None;
        }
        let area = (start_of(range)?, now.size);
        let differs = |place: &usize| {
            let known = self.names.get(*place);
            known.is_some_and(|(symbol, module)| symbol != now.symbol || module != now.module)
        };
        if let Some(first) = self.areas.get(&area).copied() {
            if !differs(&first) {
                self.remember(area, first);
                return None;
            }
            if self.is_gone(first, root) {
                self.remember(area, first);
                let shown = (now.symbol.to_vec(), now.module.to_vec());
                *self.kept.entry((first, shown)).or_default() += 1;
                return Some(first);
            }
        }
        let place = self.place_of(now);
        self.remember(area, place);
        None
    }

    /// The name at a place.
    pub(super) fn name(&self, place: usize) -> Option<&Name> {
        self.names.get(place)
    }

    fn remember(&mut self, area: (u64, u64), name: usize) {
        if self.here.len() < MOST {
            self.here.insert(area, name);
        }
    }

    fn place_of(&mut self, caller: &Caller<'_>) -> usize {
        let is_it = |name: &Name| name.0 == caller.symbol && name.1 == caller.module;
        self.names.iter().position(is_it).unwrap_or_else(|| {
            self.names
                .push((caller.symbol.to_vec(), caller.module.to_vec()));
            self.names.len() - 1
        })
    }

    fn is_gone(&mut self, name: usize, root: &Root) -> bool {
        let loaded = self.loaded.get_or_insert_with(|| {
            let text = root.bytes("proc/modules").unwrap_or_default();
            let lines = text.split(|byte| *byte == b'\n');
            let name = |line: &[u8]| split_once(line, b' ').map(|(name, _)| name.to_vec());
            lines.filter_map(name).collect()
        });
        self.names
            .get(name)
            .is_some_and(|(_, module)| !loaded.contains(module))
    }

    /// Ends a text: what does not stand in it is forgotten, and new changes are told.
    fn end(&mut self, rows: &mut Rows) {
        std::mem::swap(&mut self.areas, &mut self.here);
        for ((first, shown), areas) in &self.kept {
            let Some(name) = self.names.get(*first) else {
                continue;
            };
            if self.told.insert((*first, shown.clone())) {
                rows.happened(event(name, shown, *areas));
            }
        }
        if self.areas.is_empty() {
            self.names.clear();
            self.told.clear();
        }
    }
}

/// Where an area begins; `None` where the kernel hides that (`kptr_restrict=2`).
fn start_of(range: &[u8]) -> Option<u64> {
    let (start, _) = split_once(range, b'-')?;
    let digits = std::str::from_utf8(start.strip_prefix(b"0x")?).ok()?;
    u64::from_str_radix(digits, 16)
        .ok()
        .filter(|start| *start > 0)
}

fn in_full(name: &Name) -> Vec<u8> {
    if name.1.is_empty() {
        name.0.clone()
    } else {
        [name.0.as_slice(), b" [", &name.1, b"]"].concat()
    }
}

fn event(name: &Name, shown: &Name, areas: u64) -> Happening {
    let count = match areas {
        1 => "an area".to_owned(),
        n => format!("{n} areas"),
    };
    let text = [
        count.as_bytes(),
        b" of ",
        &in_full(name),
        b" outlived the module; the kernel calls the caller ",
        &in_full(shown),
        b" now",
    ]
    .concat();
    Happening::new("vmalloc_caller", &text)
        .with("caller", Label::Bytes(&name.0))
        .with("module", Label::Bytes(&name.1))
        .with("shown", Label::Bytes(&in_full(shown)))
        .with(
            "areas",
            Label::Int(i64::try_from(areas).unwrap_or(i64::MAX)),
        )
}

#[derive(Default)]
struct Vmallocinfo {
    file: HeldFile,
    names: Names,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Vmallocinfo::default())
}

impl Sampler for Vmallocinfo {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let path = "proc/vmallocinfo";
        if let Err(outcome) = self.file.read(moment, path, SPEC.needs) {
            return outcome;
        }
        self.names.begin();
        let issues = fold(&self.file.text, rows, Some((&mut self.names, moment.root)));
        self.names.end(rows);
        outcome_of(path, &issues, rows, self.file.text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that fails may panic"
    )]

    use memsoak_schema::{Status, Value};

    use super::super::fixtures::{capture, values};
    use super::super::made_up::MadeUp;
    use super::*;

    struct Seen {
        rows: Rows,
        texts: Vec<String>,
    }

    fn sample(sampler: &mut Vmallocinfo, machine: &MadeUp) -> Seen {
        let (rows, outcome) = machine.sample(sampler, false);
        assert_eq!((outcome.status, outcome.reason), (Status::Ok, None));
        let texts = rows
            .happenings()
            .0
            .iter()
            .map(|one| String::from_utf8_lossy(&one.text).into_owned())
            .collect();
        Seen { rows, texts }
    }

    const LEAK: &str = "lab_work_fn+0xad/0x170 [leak_vmalloc]";

    fn areas(caller: &str, from: u32, count: u32) -> String {
        let line = |n: u32| {
            let start = 0xffc9_0000 + (from + n) * 0x4_1000;
            let end = start + 0x4_1000;
            format!("0x{start:016x}-0x{end:016x}  266240 {caller} pages=64 vmalloc\n")
        };
        (0..count).map(line).collect()
    }

    const MODULE: &str = "leak_vmalloc 12288 0 - Live 0xffffffffa0006000 (O)\n";

    #[test]
    fn what_a_module_leaves_behind_keeps_its_name() {
        let machine = MadeUp::new();
        let mut sampler = Vmallocinfo::default();
        let key = "lab_work_fn [leak_vmalloc]";
        machine.file("proc/modules", MODULE);
        machine.file("proc/vmallocinfo", areas(LEAK, 0, 3));
        assert_eq!(sample(&mut sampler, &machine).texts, Vec::<String>::new());

        // Unloaded, and 57 more since the last sample: those bear the bare address alone.
        machine.file("proc/modules", "");
        machine.file("proc/vmallocinfo", areas("0xffffffffa0006020", 0, 5));
        let seen = sample(&mut sampler, &machine);
        assert_eq!(values(&seen.rows, key)[0], Value::Int(3));
        assert_eq!(values(&seen.rows, "0xffffffffa0006020")[0], Value::Int(2));
        assert_eq!(
            seen.texts,
            [
                "3 areas of lab_work_fn [leak_vmalloc] outlived the module; \
              the kernel calls the caller 0xffffffffa0006020 now"
            ]
        );
        let labels = |rows: &Rows| {
            let row = rows.iter().find(|row| row.key() == key.as_bytes());
            row.unwrap()
                .labels()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(&seen.rows), ["module", "unloaded"]);

        // Another module at the same place, with an area of its own.
        machine.file("proc/modules", "other 8192 0 - Live 0xffffffffa0006000\n");
        let other = "other_init+0x20/0x40 [other]";
        let text = areas(other, 0, 5) + &areas(other, 9, 1);
        machine.file("proc/vmallocinfo", &text);
        let seen = sample(&mut sampler, &machine);
        assert_eq!(values(&seen.rows, key)[0], Value::Int(3));
        assert_eq!(values(&seen.rows, "0xffffffffa0006020")[0], Value::Int(2));
        assert_eq!(values(&seen.rows, "other_init [other]")[0], Value::Int(1));
        assert_eq!(seen.texts.len(), 2);
        assert_eq!(sample(&mut sampler, &machine).texts.len(), 0, "once");
    }

    #[test]
    fn the_place_of_a_module_that_is_still_there_went_to_another() {
        let machine = MadeUp::new();
        let mut sampler = Vmallocinfo::default();
        let other = "other 8192 0 - Live 0xffffffffa0009000\n";
        machine.file("proc/modules", format!("{MODULE}{other}"));
        machine.file("proc/vmallocinfo", areas(LEAK, 0, 3));
        sample(&mut sampler, &machine);
        machine.file("proc/vmallocinfo", areas("f+0x1/0x2 [other]", 0, 3));
        let seen = sample(&mut sampler, &machine);
        assert_eq!(values(&seen.rows, "f [other]")[0], Value::Int(3));
        assert_eq!((seen.rows.len(), seen.texts.len()), (1, 0));
        // A place that was free in between is nobody's any more.
        machine.file("proc/vmallocinfo", areas("vmap+0x1/0x2", 9, 1));
        sample(&mut sampler, &machine);
        machine.file("proc/modules", other);
        machine.file("proc/vmallocinfo", areas("f+0x1/0x2 [other]", 0, 3));
        assert_eq!(sample(&mut sampler, &machine).texts.len(), 0);
    }

    /// The kernel's own text: two modules were unloaded between the captures, and 57 areas are left
    /// without a name.
    #[test]
    fn the_kernels_own_text_after_an_unload_is_understood() {
        let left = capture("6.12-x86_64-pageowner/t1", "proc/vmallocinfo");
        let left = String::from_utf8(left).unwrap();
        let bare = "0xffffffffa0006020";
        assert_eq!(left.matches(bare).count(), 57);
        let machine = MadeUp::new();
        let mut sampler = Vmallocinfo::default();
        machine.file("proc/modules", MODULE);
        machine.file("proc/vmallocinfo", left.replace(bare, LEAK));
        sample(&mut sampler, &machine);
        machine.file("proc/vmallocinfo", left);
        machine.file(
            "proc/modules",
            "healthy 12288 0 - Live 0xffffffffa0010000 (O)\n",
        );
        let seen = sample(&mut sampler, &machine);
        let key = "lab_work_fn [leak_vmalloc]";
        let expected = [57, 57 * 266_240, 57 * 64].map(Value::Int);
        assert_eq!(values(&seen.rows, key), expected);
        assert_eq!(seen.texts.len(), 1);
    }

    #[test]
    fn addresses_that_are_hidden_are_no_places() {
        assert_eq!(start_of(b"0x0000000000000000-0x0000000000000000"), None);
        assert_eq!(start_of(b"0x00000000deadbeef-0x1"), Some(0xdead_beef));
        assert_eq!(start_of(b"(null)-(null)"), None);
    }
}
