//! Stacks as the kernel prints them: what tells two apart, and the frame that says whose it is.

#![deny(clippy::indexing_slicing)]

use std::io::Write;

use super::text::{fnv, rsplit_once, words};

/// Text of a stack that is kept.
const LONGEST: usize = 1_024;

/// Functions that allocate for others, by the start of their names: the first frame beyond them says
/// for whom. `_noprof` is put behind their names by allocation profiling.
const ALLOCATORS: &[&str] = &[
    // Pages.
    "post_alloc_hook",
    "prep_new_page",
    "get_page_from_freelist",
    "__alloc_pages",
    "alloc_pages",
    "alloc_page_",
    "__alloc_frozen_pages",
    "alloc_frozen_pages",
    "__alloc_bulk",
    "__folio_alloc",
    "folio_alloc",
    "vma_alloc_folio",
    "__get_free_page",
    "get_free_page",
    "get_zeroed_page",
    // Slabs.
    "allocate_slab",
    "new_slab",
    "alloc_slab_page",
    "___slab_alloc",
    "__slab_alloc",
    "slab_alloc",
    "slab_post_alloc_hook",
    "__kmem_cache_alloc",
    "kmem_cache_alloc",
    "___kmalloc",
    "__do_kmalloc",
    "__kmalloc",
    "kmalloc",
    "__do_krealloc",
    "krealloc",
    "kmem_cache_zalloc",
    "kzalloc",
    "kcalloc",
    "kmemdup",
    "kstrdup",
    "kstrndup",
    "kasprintf",
    "kvasprintf",
    "mempool_alloc",
    "mempool_kmalloc",
    // Areas and what is kept for each CPU.
    "kvmalloc",
    "__kvmalloc",
    "__vmalloc",
    "vmalloc",
    "vzalloc",
    "vcalloc",
    "alloc_vmap_area",
    "__get_vm_area_node",
    "__vmap_pages_range",
    "vmap_pages_range",
    "__pte_alloc_kernel",
    "pcpu_alloc",
    "__alloc_percpu",
    // Those that watch the allocators.
    "kmemleak_alloc",
    "kmemleak_vmalloc",
    "kmemleak_scan_area",
    "__create_object",
    "create_object",
    "__alloc_object",
    "set_page_owner",
    "__set_page_owner",
    "save_stack",
    "stack_trace_save",
    "kasan_save_stack",
    "alloc_slab_obj_exts",
    "alloc_tagging_slab_alloc_hook",
];

/// A stack, put together frame by frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    frames: Vec<u8>,
    name: Option<(Vec<u8>, Vec<u8>)>,
    first: Option<(Vec<u8>, Vec<u8>)>,
}

impl Stack {
    /// Takes the next frame: `func+0x51/0x1a0 [module]`, or a bare address where the code is gone.
    pub(super) fn push(&mut self, line: &[u8]) {
        let mut words = words(without_address(line));
        let Some(place) = words.next() else { return };
        let symbol = rsplit_once(place, b"+0x").map_or(place, |(symbol, _)| symbol);
        let module = words
            .find_map(|word| word.strip_prefix(b"[")?.strip_suffix(b"]"))
            .unwrap_or_default();
        self.frames.extend_from_slice(place);
        if !module.is_empty() {
            for part in [b" [", module, b"]"] {
                self.frames.extend_from_slice(part);
            }
        }
        self.frames.push(b'\n');
        let frame = || (symbol.to_vec(), module.to_vec());
        if self.first.is_none() {
            self.first = Some(frame());
        }
        if self.name.is_none() && !is_allocator(symbol) {
            self.name = Some(frame());
        }
    }

    /// Whether it has no frame.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// A number that stands for it.
    pub(super) fn id(&self) -> u64 {
        fnv(&[&self.frames])
    }

    /// What identifies it within a source: the function, and its number.
    pub(super) fn key(&self) -> Vec<u8> {
        let mut key = self.name().to_vec();
        let _ = write!(key, " {:016x}", self.id());
        key
    }

    /// The function that asked for the memory.
    pub(super) fn name(&self) -> &[u8] {
        let named = self.name.as_ref().or(self.first.as_ref());
        named.map_or(b"no stack", |(name, _)| name.as_slice())
    }

    /// The module of that function; empty for the kernel itself.
    pub(super) fn module(&self) -> &[u8] {
        let named = self.name.as_ref().or(self.first.as_ref());
        named.map_or(b"", |(_, module)| module.as_slice())
    }

    /// Its frames, one a line, as far as they are kept: whole lines.
    pub(super) fn text(&self) -> &[u8] {
        if self.frames.len() <= LONGEST {
            return self.frames.trim_ascii_end();
        }
        let kept = self.frames.get(..LONGEST).unwrap_or_default();
        let end = kept.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        kept.get(..end).unwrap_or_default()
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.name = None;
        self.first = None;
    }
}

/// A frame without the address that kernels before 6.1 or so put before it (`[<000000001a2b3c4d>]`).
fn without_address(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    match line.strip_prefix(b"[<") {
        Some(rest) => rsplit_once(rest, b">]").map_or(line, |(_, frame)| frame.trim_ascii()),
        None => line,
    }
}

fn is_allocator(symbol: &[u8]) -> bool {
    ALLOCATORS
        .iter()
        .any(|start| symbol.starts_with(start.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(lines: &[&str]) -> Stack {
        let mut stack = Stack::default();
        lines.iter().for_each(|line| stack.push(line.as_bytes()));
        stack
    }

    #[test]
    fn the_first_function_beyond_the_allocators_names_it() {
        let new = stack(&[
            "    kmemleak_alloc+0x50/0x80",
            "    __kmalloc_cache_noprof+0x17b/0x2b0",
            "    kmemleak_test_init+0x4d/0x450 [kmemleak_test]",
            "    do_one_initcall+0x7a/0x1c0",
        ]);
        assert_eq!(new.name(), b"kmemleak_test_init");
        assert_eq!(new.module(), b"kmemleak_test");
        assert!(
            new.text()
                .ends_with(b"[kmemleak_test]\ndo_one_initcall+0x7a/0x1c0")
        );
        let old = stack(&[
            "    [<(____ptrval____)>] __kmem_cache_alloc_node+0x290/0x3e0",
            "    [<(____ptrval____)>] kmalloc_trace+0x15/0x20",
            "    [<(____ptrval____)>] 0xffffffffa0005033",
            "    [<(____ptrval____)>] do_one_initcall+0x51/0x1a0",
        ]);
        assert_eq!(old.name(), b"0xffffffffa0005033");
        assert_eq!(old.module(), b"");
        // Nothing but allocators, and nothing at all.
        assert_eq!(stack(&["vmalloc+0x1/0x2"]).name(), b"vmalloc");
        assert_eq!(stack(&[]).name(), b"no stack");
    }

    #[test]
    fn an_address_does_not_tell_stacks_apart_and_an_offset_does() {
        let of = |line: &str| stack(&[line]).key();
        assert_eq!(of("[<0000000012345678>] f+0x1/0x2"), of("  f+0x1/0x2"));
        assert_ne!(of("f+0x1/0x2"), of("f+0x3/0x2"));
        assert_ne!(of("f+0x1/0x2 [a]"), of("f+0x1/0x2 [b]"));
    }

    #[test]
    fn a_long_stack_is_kept_in_whole_lines() {
        let lines = vec!["a_function_with_a_name_of_some_length+0x100/0x200"; 64];
        let stack = stack(&lines);
        assert!(stack.text().len() <= LONGEST && stack.text().len() > LONGEST - 60);
        assert!(stack.text().ends_with(b"/0x200"));
    }
}
