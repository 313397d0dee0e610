//! The text of `/proc/PID/smaps` and `smaps_rollup`: figures of mappings in KiB.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;

use super::text::{first_word, parse_u64, split_once, words};

/// The figures of a mapping, or of several: each the sum of those that the kernel gives, `None`
/// where it gives none of that name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Address space (not in `smaps_rollup`).
    pub size: Option<u64>,
    /// Resident.
    pub rss: Option<u64>,
    /// Resident, what is shared by n counted as a part of n.
    pub pss: Option<u64>,
    /// The anonymous part of pss (since Linux 5.3, commit ee2ad71b0756).
    pub pss_anon: Option<u64>,
    /// The part of pss that is of files.
    pub pss_file: Option<u64>,
    /// The part of pss that is shared memory.
    pub pss_shmem: Option<u64>,
    /// Resident in this process alone and unchanged.
    pub private_clean: Option<u64>,
    /// Resident in this process alone and written to.
    pub private_dirty: Option<u64>,
    /// Resident and of no file.
    pub anonymous: Option<u64>,
    /// To be freed when memory is short (`MADV_FREE`).
    pub lazy_free: Option<u64>,
    /// In huge pages, anonymous.
    pub anon_huge: Option<u64>,
    /// In hugetlbfs, which is in none of the others.
    pub hugetlb: Option<u64>,
    /// Swapped out.
    pub swap: Option<u64>,
    /// Swapped out, what is shared by n counted as a part of n.
    pub swap_pss: Option<u64>,
    /// Locked into memory.
    pub locked: Option<u64>,
}

impl Figures {
    /// What goes when this process ends: private clean and private dirty.
    pub fn uss(&self) -> Option<u64> {
        sum(self.private_clean, self.private_dirty)
    }

    /// Takes a line (`Private_Dirty:      7736 kB`); false when it is none of a figure.
    fn take(&mut self, line: &[u8]) -> bool {
        let Some((key, value)) = split_once(line, b':') else {
            return false;
        };
        let slot = match key {
            b"Size" => &mut self.size,
            b"Rss" => &mut self.rss,
            b"Pss" => &mut self.pss,
            b"Pss_Anon" => &mut self.pss_anon,
            b"Pss_File" => &mut self.pss_file,
            b"Pss_Shmem" => &mut self.pss_shmem,
            b"Private_Clean" => &mut self.private_clean,
            b"Private_Dirty" => &mut self.private_dirty,
            b"Anonymous" => &mut self.anonymous,
            b"LazyFree" => &mut self.lazy_free,
            b"AnonHugePages" => &mut self.anon_huge,
            b"Shared_Hugetlb" | b"Private_Hugetlb" => &mut self.hugetlb,
            b"Swap" => &mut self.swap,
            b"SwapPss" => &mut self.swap_pss,
            b"Locked" => &mut self.locked,
            // Others, and those of later kernels.
            _ => return key.first().is_some_and(u8::is_ascii_uppercase),
        };
        let mut words = words(value);
        let Some(kib) = words.next().and_then(parse_u64) else {
            return false;
        };
        *slot = sum(*slot, Some(kib));
        words.next() == Some(b"kB")
    }

    /// Adds those of another mapping.
    fn add(&mut self, other: &Self) {
        for (slot, more) in [
            (&mut self.size, other.size),
            (&mut self.rss, other.rss),
            (&mut self.pss, other.pss),
            (&mut self.pss_anon, other.pss_anon),
            (&mut self.pss_file, other.pss_file),
            (&mut self.pss_shmem, other.pss_shmem),
            (&mut self.private_clean, other.private_clean),
            (&mut self.private_dirty, other.private_dirty),
            (&mut self.anonymous, other.anonymous),
            (&mut self.lazy_free, other.lazy_free),
            (&mut self.anon_huge, other.anon_huge),
            (&mut self.hugetlb, other.hugetlb),
            (&mut self.swap, other.swap),
            (&mut self.swap_pss, other.swap_pss),
            (&mut self.locked, other.locked),
        ] {
            *slot = sum(*slot, more);
        }
    }
}

/// The sum of what there is; `None` when there is nothing.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (one, other) => one.or(other),
    }
}

/// Parses `smaps_rollup`; `None` when it has no sum of resident memory, as when it was cut off.
pub fn parse_rollup(text: &[u8]) -> Option<Figures> {
    let mut figures = Figures::default();
    let whole = text.split_inclusive(|byte| *byte == b'\n');
    for line in whole.filter_map(|line| line.strip_suffix(b"\n")) {
        if !is_head(line) {
            figures.take(line);
        }
    }
    (figures.rss.is_some() && figures.private_dirty.is_some()).then_some(figures)
}

/// Mappings of one name in a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    /// How many.
    pub count: u64,
    /// Their sums.
    pub sums: Figures,
}

impl Mappings {
    /// Adds those of another name.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sums.add(&other.sums);
    }
}

/// Folds `smaps` by the names of mappings, line by line: a process can have more mappings than its
/// text should be kept of.
#[derive(Debug, Default)]
pub struct Folder {
    /// By name, in the order in which they came.
    pub folded: Vec<(Vec<u8>, Mappings)>,
    places: HashMap<Vec<u8>, usize>,
    open: Option<(Vec<u8>, Figures)>,
    tail: Vec<u8>,
    /// Mappings seen.
    pub count: usize,
    /// Lines that were not understood.
    pub odd: usize,
}

impl Folder {
    /// Takes the next piece of the text.
    pub fn take(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            if self.tail.is_empty() {
                self.line(line);
            } else {
                let mut tail = std::mem::take(&mut self.tail);
                tail.extend_from_slice(line);
                self.line(&tail);
                tail.clear();
                self.tail = tail;
            }
        }
        self.tail.extend_from_slice(rest);
    }

    /// Takes note that the text has ended. What was cut off in the middle is left out.
    pub fn finish(&mut self) {
        let is_whole = self.tail.is_empty();
        if let Some((name, figures)) = self.open.take()
            && is_whole
        {
            self.put(name, &figures);
        }
    }

    fn line(&mut self, line: &[u8]) {
        if is_head(line) {
            if let Some((name, figures)) = self.open.take() {
                self.put(name, &figures);
            }
            self.count += 1;
            self.open = Some((name_of(line), Figures::default()));
            return;
        }
        let understood = match &mut self.open {
            Some((_, figures)) => figures.take(line),
            None => false,
        };
        self.odd += usize::from(!understood);
    }

    fn put(&mut self, name: Vec<u8>, figures: &Figures) {
        let place = *self.places.entry(name).or_insert_with_key(|name| {
            self.folded.push((name.clone(), Mappings::default()));
            self.folded.len() - 1
        });
        if let Some((_, mappings)) = self.folded.get_mut(place) {
            mappings.count += 1;
            mappings.sums.add(figures);
        }
    }
}

/// Whether a line begins a mapping: `00400000-00401000 r--p ...`. Keys of figures begin with a
/// capital letter, addresses with a digit or a small one.
fn is_head(line: &[u8]) -> bool {
    let Some((range, _)) = first_word(line) else {
        return false;
    };
    split_once(range, b'-').is_some_and(|(from, to)| {
        let is_address = |part: &[u8]| {
            let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
            !part.is_empty() && part.iter().all(is_hex)
        };
        is_address(from) && is_address(to)
    })
}

/// The name of a mapping: its path, `[heap]`, `[anon:NAME]`, or `[anon]` where the kernel gives none.
/// A stack of a thread is a `[stack]` (Linux 3.4 to 4.4 wrote `[stack:TID]`, commit 65376df58217).
fn name_of(line: &[u8]) -> Vec<u8> {
    let mut rest = line;
    // Range, rights, offset, device, inode.
    for _ in 0..5 {
        rest = first_word(rest).map_or(b"".as_slice(), |(_, rest)| rest);
    }
    let name = rest.trim_ascii_start();
    if name.is_empty() {
        return b"[anon]".to_vec();
    }
    if name.starts_with(b"[stack:") {
        return b"[stack]".to_vec();
    }
    unescaped(name)
}

/// Of a path the kernel escapes the line end alone (fs/proc/task_mmu.c show_vma_header_prefix).
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            out.push(b'\n');
            rest = after;
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::capture;
    use super::*;

    fn folded(text: &[u8], piece: usize) -> Folder {
        let mut folder = Folder::default();
        text.chunks(piece).for_each(|piece| folder.take(piece));
        folder.finish();
        folder
    }

    fn of<'a>(folder: &'a Folder, name: &[u8]) -> Option<&'a Mappings> {
        let found = folder.folded.iter().find(|(known, _)| known == name);
        found.map(|(_, mappings)| mappings)
    }

    #[test]
    fn the_rollup_is_the_sum_of_the_mappings_in_every_capture() {
        for (root, pid) in [
            ("6.1-x86_64-debian/t0", 139),
            ("6.12-x86_64-debian/t0", 182),
            ("6.12-arm64-16k/t0", 154),
            ("6.18-x86_64-microvm/t0", 16263),
        ] {
            let rollup = capture(root, &format!("proc/{pid}/smaps_rollup"));
            let rollup = parse_rollup(&rollup).unwrap_or_default();
            let folder = folded(&capture(root, &format!("proc/{pid}/smaps")), 1000);
            assert_eq!(folder.odd, 0, "{root}");
            let total = |of: fn(&Figures) -> Option<u64>| -> Option<u64> {
                folder
                    .folded
                    .iter()
                    .map(|(_, mappings)| of(&mappings.sums))
                    .fold(None, sum)
            };
            assert!(rollup.rss > Some(1000), "{root}");
            assert_eq!(rollup.rss, total(|sums| sums.rss), "{root}");
            assert_eq!(rollup.anonymous, total(|sums| sums.anonymous), "{root}");
            assert_eq!(rollup.uss(), total(Figures::uss), "{root}");
            assert_eq!(rollup.swap, total(|sums| sums.swap), "{root}");
        }
    }

    #[test]
    fn a_heap_is_found_wherever_the_text_is_cut_into_pieces() {
        let text = capture("6.18-x86_64-microvm/t0", "proc/16263/smaps");
        let whole = folded(&text, text.len());
        for piece in [1, 7, 4096] {
            assert_eq!(folded(&text, piece).folded, whole.folded);
        }
        let heads = text
            .split(|byte| *byte == b'\n')
            .filter(|line| line.windows(2).any(|two| two == b"p ") && !line.contains(&b':'))
            .count();
        assert!(whole.count >= heads);
        let program = of(&whole, b"/lab/bin/hog").map(|mappings| mappings.count);
        assert!(program > Some(2), "text, data and what is read only");
        assert!(of(&whole, b"[heap]").is_some_and(|heap| heap.sums.anonymous > Some(0)));
    }

    #[test]
    fn names_are_paths_what_the_kernel_says_or_anon() {
        for (line, name) in [
            (
                "00400000-00401000 r--p 00000000 fe:00 1   /lab/my file",
                "/lab/my file",
            ),
            ("7f00-7f10 rw-p 00000000 00:00 0 ", "[anon]"),
            ("7f00-7f10 rw-p 00000000 00:00 0", "[anon]"),
            ("7f00-7f10 rw-p 00000000 00:00 0   [stack:77]", "[stack]"),
            (
                "7f00-7f10 rw-p 00000000 00:00 0   [anon:scudo:primary]",
                "[anon:scudo:primary]",
            ),
            (
                "7f00-7f10 rw-s 00000000 00:01 9   /memfd:a (deleted)",
                "/memfd:a (deleted)",
            ),
            (
                "7f00-7f10 r--p 00000000 fe:00 2   /a\\012b\\040",
                "/a\nb\\040",
            ),
        ] {
            assert!(is_head(line.as_bytes()), "{line}");
            assert_eq!(name_of(line.as_bytes()), name.as_bytes(), "{line}");
        }
        assert!(!is_head(b"VmFlags: rd ex mr mw me "));
        assert!(!is_head(b"Size:                488 kB"));
    }

    #[test]
    fn a_mapping_that_is_cut_off_is_left_out() {
        let text = b"10-20 rw-p 0 00:00 0 [heap]\nRss: 4 kB\n20-30 rw-p 0 00:00 0\nRss: 8";
        let folder = folded(text, 99);
        assert_eq!(folder.folded.len(), 1);
        assert_eq!(
            of(&folder, b"[heap]").and_then(|heap| heap.sums.rss),
            Some(4)
        );
        assert_eq!(
            parse_rollup(b"10-20 ---p 0 00:00 0 [rollup]\nRss: 8 kB\n"),
            None
        );
    }
}
