//! Every parser over every capture, over files that are broken in a known way, and over garbage.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memsoak_record::source::cgroup::{amount, value_of};
use memsoak_record::source::drm::parse_fdinfo;
use memsoak_record::source::kmsg_text::{Fold, Record, parse_record};
use memsoak_record::source::process_text::{parse_stat, parse_statm, parse_status};
use memsoak_record::source::smaps_text::{Folder, parse_rollup};
use memsoak_record::source::tmpfs::parse_mounts;
use memsoak_record::source::{Parse, SOURCES};
use memsoak_schema::{Issue, Label, Rows, Shape, Spec, Value};
use proptest::prelude::*;

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One machine at one time, whose files lie under `root`.
struct Capture {
    name: String,
    root: PathBuf,
    page_bytes: i64,
}

impl Capture {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.join(path)).ok()
    }

    /// The rows of a source; `None` when the capture has none of its files.
    fn rows(&self, source: &str) -> Option<Rows> {
        let (spec, parse) = text_source(source);
        let mut rows = Rows::default();
        let mut any = false;
        for (file, path) in spec.paths.iter().enumerate() {
            if let Some(text) = self.read(path) {
                any = true;
                let issues = parse(&text, file, &mut rows);
                assert_eq!(issues, vec![], "{} {path}", self.name);
            }
        }
        any.then_some(rows)
    }

    fn int(&self, source: &str, key: &str) -> i64 {
        match self.rows(source).unwrap().value_of(key.as_bytes()) {
            Some(Value::Int(value)) => value,
            other => panic!("{} {source}/{key} is {other:?}", self.name),
        }
    }

    /// Folders of processes.
    fn pids(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join("proc")).unwrap();
        let mut pids: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .collect();
        pids.sort();
        pids
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(of)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

fn captures() -> Vec<Capture> {
    let mut all = Vec::new();
    for machine in folders(&repo().join("tests/fixtures/captures")) {
        let manifest = std::fs::read_to_string(machine.join("MANIFEST.toml")).unwrap();
        let page_bytes = manifest
            .lines()
            .find_map(|line| line.strip_prefix("page_bytes = "))
            .unwrap()
            .parse()
            .unwrap();
        for root in folders(&machine) {
            let name = format!(
                "{}/{}",
                machine.file_name().unwrap().to_str().unwrap(),
                root.file_name().unwrap().to_str().unwrap()
            );
            all.push(Capture {
                name,
                root,
                page_bytes,
            });
        }
    }
    assert!(all.len() >= 14, "captures that are not found prove nothing");
    all
}

fn capture(name: &str) -> Capture {
    captures().into_iter().find(|c| c.name == name).unwrap()
}

/// The sources that are text files.
fn text_sources() -> impl Iterator<Item = (&'static Spec, Parse)> {
    SOURCES
        .iter()
        .filter_map(|source| Some((source.spec, source.parse()?)))
}

fn text_source(name: &str) -> (&'static Spec, Parse) {
    text_sources().find(|(spec, _)| spec.name == name).unwrap()
}

fn int(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(value)) => *value,
        _ => 0,
    }
}

/// The pages in free blocks of order 0 and up.
fn free_pages<'a>(orders: impl IntoIterator<Item = &'a Value>) -> i64 {
    (0..)
        .zip(orders)
        .map(|(order, value)| int(Some(value)) << order)
        .sum()
}

fn near(what: &str, one: i64, other: i64, tolerance: i64) {
    let off = (one - other).abs();
    assert!(
        off <= tolerance,
        "{what}: {one} and {other} differ by {off}, more than {tolerance}"
    );
}

#[test]
fn every_capture_is_understood_to_the_last_line() {
    for capture in captures() {
        for (spec, _) in text_sources() {
            let Some(rows) = capture.rows(spec.name) else {
                let seldom = ["sockstat", "fs", "sysvshm", "modules"].contains(&spec.name)
                    || ["allocinfo", "page_owner", "kmemleak"].contains(&spec.name);
                assert!(seldom, "{} has no {}", capture.name, spec.name);
                continue;
            };
            let what = format!("{} {}", capture.name, spec.name);
            assert!(!rows.is_empty() || spec.name == "swaps", "{what}");
            check_rows(spec, &rows);
        }
    }
}

#[test]
fn rows_are_as_many_as_counted_by_hand() {
    // Capture, then zones, populated zones, zones x types, swap areas.
    for (name, expected) in [
        ("6.1-x86_64-debian/t0", [5, 2, 10, 1]),
        ("6.1-x86_64-pageowner/t1", [4, 2, 12, 1]),
        ("6.1-arm64-debian/t0", [4, 1, 6, 0]),
        ("6.12-arm64-16k/t1", [5, 1, 6, 0]),
        ("6.18-x86_64-microvm/t0", [5, 3, 15, 0]),
    ] {
        let capture = capture(name);
        let count = |source| capture.rows(source).unwrap().len();
        let counts = ["zoneinfo", "buddyinfo", "pagetypeinfo", "swaps"].map(count);
        assert_eq!(counts, expected, "{name}");
        let lines = |path: &str| {
            let text = capture.read(path).unwrap();
            text.iter().filter(|byte| **byte == b'\n').count()
        };
        // Two lines of headers.
        assert_eq!(count("slabinfo"), lines("proc/slabinfo") - 2, "{name}");
        assert_eq!(count("meminfo"), lines("proc/meminfo"), "{name}");
        assert_eq!(count("vmstat"), lines("proc/vmstat"), "{name}");
    }
}

#[test]
fn every_key_of_meminfo_in_the_captures_is_known() {
    let (spec, _) = text_source("meminfo");
    for capture in captures() {
        for row in capture.rows("meminfo").unwrap().iter() {
            let known = |key: &[u8]| spec.metrics().iter().any(|m| m.name.as_bytes() == key);
            assert!(known(row.key()), "{}", row.key().escape_ascii());
        }
    }
}

/// `Slab` also counts kmalloc beyond two pages, which is in no cache (measured: up to 1.5 MiB), and
/// is folded from per-CPU counters that may lag; the machine allocates between the two reads.
#[test]
fn the_caches_add_up_to_the_slab_total() {
    for capture in captures() {
        let pages: i64 = capture
            .rows("slabinfo")
            .unwrap()
            .iter()
            .map(|row| int(row.values().get(4)) * int(row.values().get(6)))
            .sum();
        let caches_kib = pages * capture.page_bytes / 1024;
        let total_kib = capture.int("meminfo", "Slab");
        let tolerance = 2 * 1024 + total_kib / 50;
        near(&capture.name, caches_kib, total_kib, tolerance);
    }
}

/// Free pages move by some MiB while the files are copied one after the other: 2 % of the free
/// memory, and 1 MiB on small machines.
#[test]
fn free_blocks_add_up_to_the_free_pages_of_their_zone() {
    for capture in captures() {
        let zones = capture.rows("zoneinfo").unwrap();
        let lists = capture.rows("buddyinfo").unwrap();
        assert!(!lists.is_empty());
        for row in lists.iter() {
            let free = int(zones.value_of(row.key()).as_ref());
            near(
                &capture.name,
                free_pages(row.values()),
                free,
                256 + free / 50,
            );
        }
    }
}

/// As above: one walks the lists, the other reads their lengths, at different moments.
#[test]
fn the_types_of_a_zone_add_up_to_its_free_blocks() {
    for capture in captures() {
        let zones = capture.rows("buddyinfo").unwrap();
        let mut sums: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for row in capture.rows("pagetypeinfo").unwrap().iter() {
            let kind = row.name().iter().rposition(|byte| *byte == b' ').unwrap();
            let pages = free_pages(row.values().iter().skip(1));
            *sums.entry(row.name()[..kind].to_vec()).or_default() += pages;
        }
        assert_eq!(sums.len(), zones.len());
        for row in zones.iter() {
            let free = free_pages(row.values());
            near(&capture.name, sums[row.key()], free, 256 + free / 50);
        }
    }
}

/// Exact: neither moves after boot. But a host that takes memory back from its guest can leave the
/// zones with less than the total, as in the micro-VM.
#[test]
fn managed_pages_add_up_to_the_total() {
    for capture in captures() {
        let zones = capture.rows("zoneinfo").unwrap();
        let managed: i64 = zones.iter().map(|row| int(row.values().get(8))).sum();
        let kib = managed * capture.page_bytes / 1024;
        let total = capture.int("meminfo", "MemTotal");
        if capture.name.starts_with("6.18-x86_64-microvm") {
            assert!(kib < total);
        } else {
            assert_eq!(kib, total, "{}", capture.name);
        }
    }
}

/// A leaking module allocates 256 KiB each 200 ms between the two reads of the Debian captures'
/// t1, which lie up to two seconds apart.
#[test]
fn callers_add_up_to_the_vmalloc_total() {
    for capture in captures() {
        let callers = capture.rows("vmallocinfo").unwrap();
        let pages: i64 = callers.iter().map(|row| int(row.values().get(2))).sum();
        let kib = pages * capture.page_bytes / 1024;
        let total = capture.int("meminfo", "VmallocUsed");
        near(&capture.name, kib, total, 2560);
    }
}

/// vmstat sums the nodes, and each of these machines has one. The machine goes on between the
/// reads: 5 % and 8 MiB.
#[test]
fn on_one_node_nodestat_equals_vmstat() {
    for capture in captures() {
        for key in ["nr_anon_pages", "nr_slab_unreclaimable", "nr_kernel_stack"] {
            let node = capture.int("nodestat", &format!("node0.{key}"));
            let all = capture.int("vmstat", key);
            near(&capture.name, node, all, 2048 + all / 20);
        }
    }
}

/// A process' counters of resident pages are kept by threads or CPUs in portions of 64 pages or so,
/// and it goes on between the reads: 1 MiB.
#[test]
fn statm_and_status_tell_the_same_resident_memory() {
    let mut users = 0;
    for capture in captures() {
        for pid in capture.pids() {
            let read = |file: &str| capture.read(&format!("proc/{pid}/{file}")).unwrap();
            let statm = parse_statm(&read("statm")).unwrap();
            let (status, stat) = (read("status"), read("stat"));
            let status = parse_status(&status);
            let stat = parse_stat(&stat).unwrap();
            assert_eq!(stat.comm, status.name);
            assert_eq!(Some(stat.ppid), status.ppid);
            assert_eq!(Some(stat.threads), status.threads);
            let parts = [
                status.rss_anon_kib,
                status.rss_file_kib,
                status.rss_shmem_kib,
            ];
            if pid == "2" {
                assert_eq!(parts, [None; 3], "a kernel thread");
                assert_eq!(statm.resident_pages, 0);
                continue;
            }
            users += 1;
            let [anon, file, shmem] = parts.map(|part| i64::try_from(part.unwrap()).unwrap());
            let kib = |pages: u64| i64::try_from(pages).unwrap() * capture.page_bytes / 1024;
            let what = format!("{} {pid}", capture.name);
            near(&what, kib(statm.resident_pages), anon + file + shmem, 1024);
            near(&what, kib(statm.shared_pages), file + shmem, 1024);
        }
    }
    assert!(users >= 15);
}

#[test]
fn what_the_kernel_gives_back_is_labelled() {
    let capture = capture("6.18-x86_64-microvm/t0");
    let labelled = |source: &str, name: &[u8]| {
        let rows = capture.rows(source).unwrap();
        let row = rows.iter().find(|row| row.name() == name).unwrap();
        row.labels()
            .any(|label| label == ("reclaimable", Label::Bool(true)))
    };
    assert!(labelled("slabinfo", b"dentry"));
    assert!(!labelled("slabinfo", b"sock_inode_cache"));
    assert!(labelled("vmallocinfo", b"unpurged vm_area"));
    assert!(!labelled("vmallocinfo", b"kernel_clone"));
}

// Broken files.

/// How a broken file differs from the real one.
enum Edit {
    /// Nothing is left.
    Empty,
    /// The last line is cut off in its middle.
    Cut,
    /// The first of one text is replaced by another.
    Text(&'static [u8], &'static [u8]),
    /// The first number behind a text is replaced by the largest of 64 bits.
    Max(&'static [u8]),
    /// The first line that starts with a text stands twice.
    Twice(&'static [u8]),
}

impl Edit {
    fn name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Cut => "truncated_mid_line",
            Self::Text(_, with) if with.contains(&0xff) => "not_utf8",
            Self::Text(..) => "name_with_space",
            Self::Max(_) => "u64_max",
            Self::Twice(_) => "duplicate_name",
        }
    }

    fn apply(&self, text: &[u8]) -> Vec<u8> {
        let find = |what: &[u8]| {
            text.windows(what.len())
                .position(|window| window == what)
                .unwrap_or_else(|| panic!("no \"{}\" to edit", what.escape_ascii()))
        };
        match self {
            Self::Empty => Vec::new(),
            Self::Cut => {
                let body = &text[..text.len() - 1];
                let start = body
                    .iter()
                    .rposition(|b| *b == b'\n')
                    .map_or(0, |at| at + 1);
                body[..start + (body.len() - start) / 2].to_vec()
            }
            Self::Text(what, with) => {
                let at = find(what);
                [&text[..at], with, &text[at + what.len()..]].concat()
            }
            Self::Max(before) => {
                let behind = find(before) + before.len();
                let start = text[behind..].iter().position(u8::is_ascii_digit).unwrap() + behind;
                let digits = text[start..].iter().take_while(|b| b.is_ascii_digit());
                let end = start + digits.count();
                let max = u64::MAX.to_string();
                [&text[..start], max.as_bytes(), &text[end..]].concat()
            }
            Self::Twice(start) => {
                let line = text
                    .split_inclusive(|byte| *byte == b'\n')
                    .find(|line| line.starts_with(start))
                    .unwrap();
                let at = find(line);
                [&text[..at], line, &text[at..]].concat()
            }
        }
    }
}

/// Broken files of one source, made from the first lines of a real one: the edit, how many issues
/// it gives, and how many rows it takes or brings.
struct Broken {
    source: &'static str,
    most_lines: usize,
    edits: Vec<(Edit, usize, isize)>,
}

#[rustfmt::skip] // A table.
fn broken() -> Vec<Broken> {
    use Edit::{Cut, Empty, Max, Text, Twice};
    let of = |source, most_lines, edits| Broken { source, most_lines, edits };
    vec![
        of("meminfo", 99, vec![
            (Empty, 1, -55),
            (Cut, 1, -1),
            (Text(b"Buffers", b"Buff\xffers"), 0, 0),
            (Text(b"Buffers", b"Buff ers"), 0, 0),
            (Max(b"Buffers:"), 0, 0),
            (Twice(b"Buffers"), 1, 0),
        ]),
        of("zoneinfo", 999, vec![
            (Empty, 1, -5),
            (Cut, 1, 0),
            (Text(b"        min  ", b"        min \xff"), 1, 0),
            (Text(b"zone    DMA32", b"zone    DMA 32"), 1, -1),
            (Max(b"        min"), 0, 0),
            (Twice(b"        min"), 1, 0),
        ]),
        of("buddyinfo", 99, vec![
            (Empty, 1, -2),
            (Cut, 1, -1),
            (Text(b"DMA32", b"DMA\xff2"), 0, 0),
            // Reads as more orders of the zone before, which is there already.
            (Text(b"DMA32", b"DMA 32"), 1, -1),
            (Max(b"DMA32"), 0, 0),
            (Twice(b"Node 0, zone    DMA32"), 1, 0),
        ]),
        of("vmstat", 16, vec![
            (Empty, 1, -16),
            (Cut, 1, -1),
            (Text(b"nr_free_pages", b"nr_fr\xffee_pages"), 0, 0),
            (Text(b"nr_free_pages", b"nr free_pages"), 1, -1),
            (Max(b"nr_free_pages "), 0, 0),
            (Twice(b"nr_free_pages "), 1, 0),
        ]),
        of("slabinfo", 12, vec![
            (Empty, 1, -10),
            (Cut, 1, -1),
            (Text(b"ext4_inode_cache", b"ext4\xffinode_cache"), 0, 0),
            (Text(b"ext4_inode_cache", b"ext4 inode cache"), 0, 0),
            (Max(b"ext4_inode_cache"), 0, 0),
            (Twice(b"ext4_inode_cache"), 0, 1),
        ]),
        of("pressure", 99, vec![
            (Empty, 1, -8),
            (Cut, 1, -4),
            (Text(b"avg10=0", b"avg10=\xff"), 1, -4),
            (Text(b"some", b"so me"), 1, -4),
            (Max(b"total="), 0, 0),
            (Twice(b"some"), 1, 0),
        ]),
        of("sockstat", 99, vec![
            (Empty, 1, -12),
            (Cut, 1, -2),
            (Text(b"TCP", b"TC\xff"), 0, 0),
            (Text(b"TCP", b"TC P"), 0, 0),
            (Max(b"mem "), 0, 0),
            (Twice(b"UDP:"), 1, 0),
        ]),
        of("fs", 99, vec![
            (Empty, 1, -2),
            (Cut, 1, -2),
            (Text(b"\t0", b"\t\xff"), 1, -2),
            (Max(b"\t0\t"), 0, 0),
            (Twice(b"0"), 1, 0),
        ]),
        of("swaps", 99, vec![
            (Empty, 1, -1),
            (Cut, 1, -1),
            (Text(b"/dev/vdb", b"/dev/\xffvdb"), 0, 0),
            (Text(b"/dev/vdb", b"/dev/my\\040vdb"), 0, 0),
            (Max(b"partition\t"), 0, 0),
            (Twice(b"/dev/vdb"), 1, 0),
        ]),
        of("loadavg", 99, vec![
            (Empty, 1, -6),
            (Cut, 1, -6),
            (Text(b"0.2", b"\xff.2"), 1, -6),
            (Max(b"/"), 0, 0),
            (Twice(b"0"), 1, 0),
        ]),
        of("stat", 99, vec![
            (Empty, 1, -17),
            (Cut, 1, -1),
            (Text(b"ctxt", b"ct\xfft"), 0, 0),
            (Text(b"ctxt", b"ct xt"), 1, -1),
            (Max(b"ctxt "), 0, 0),
            (Twice(b"ctxt "), 1, 0),
        ]),
        of("nodestat", 60, vec![
            (Empty, 1, -47),
            (Cut, 1, 0),
            (Text(b"      nr_shmem ", b"      nr_sh\xffmem "), 0, 0),
            (Text(b"      nr_shmem ", b"      nr_sh mem "), 1, -1),
            (Max(b"      nr_shmem "), 0, 0),
            (Twice(b"      nr_shmem "), 1, 0),
        ]),
        of("vmallocinfo", 12, vec![
            (Empty, 1, -6),
            (Cut, 1, 0),
            (Text(b"hpet_enable+", b"hpet\xffenable+"), 0, 0),
            (Text(b"hpet_enable+", b"hpet enable+"), 0, 0),
            (Max(b"pages="), 0, 0),
            (Twice(b"0x"), 0, 0),
        ]),
        of("sysvshm", 99, vec![
            (Empty, 1, -3),
            (Cut, 1, -1),
            (Text(b"   5432001", b"   543200\xff"), 1, -1),
            (Text(b"   5432001", b"   543 001"), 1, -1),
            (Max(b"          1   600"), 0, 0),
            (Twice(b"   5432001"), 1, 0),
        ]),
        of("modules", 99, vec![
            (Empty, 1, -11),
            (Cut, 1, -1),
            (Text(b"crc16", b"crc\xff6"), 0, 0),
            (Text(b"crc16", b"crc 16"), 1, -1),
            (Max(b"crc16 "), 0, 0),
            (Twice(b"crc16 "), 1, 0),
        ]),
        of("allocinfo", 24, vec![
            (Empty, 1, -22),
            (Cut, 1, -1),
            (Text(b".c:", b"\xff.c:"), 0, 0),
            (Text(b"func:", b"func :"), 1, -1),
            (Max(b"tag info>"), 0, 0),
            (Twice(b" "), 0, 0),
        ]),
        of("page_owner", 70, vec![
            (Empty, 1, -4),
            (Cut, 2, -1),
            (Text(b"allocate_slab", b"allocate\xffslab"), 0, 0),
            (Text(b"nr_base_pages:", b"nr base_pages:"), 1, -1),
            (Max(b"nr_base_pages:"), 0, 0),
            (Twice(b"nr_base_pages:"), 1, 0),
        ]),
        of("kmemleak", 51, vec![
            (Empty, 1, -3),
            (Cut, 1, 0),
            (Text(b"comm \"insmod", b"comm \"ins\xffmod"), 0, 0),
            (Text(b"object 0x", b"object of 0x"), 0, 0),
            (Max(b" (size"), 0, 0),
            (Twice(b"unreferenced object"), 0, 1),
        ]),
        of("pagetypeinfo", 99, vec![
            (Empty, 1, -10),
            (Cut, 1, 0),
            (Text(b"Reclaimable", b"Recl\xffaimable"), 0, 0),
            (Text(b"Unmovable", b"Un movable"), 1, -1),
            (Max(b"type    Unmovable"), 0, 0),
            (Twice(b"Node    0, zone      DMA, type      Movable"), 1, 0),
        ]),
    ]
}

/// The real file that a source's broken ones were made from.
fn real(source: &str, most_lines: usize) -> Vec<u8> {
    let root = match source {
        "sockstat" | "sysvshm" => "6.18-x86_64-microvm/t0",
        "allocinfo" | "page_owner" | "kmemleak" => "6.12-x86_64-pageowner/t0",
        _ => "6.12-x86_64-debian/t0",
    };
    let text = capture(root).read(text_source(source).0.paths[0]).unwrap();
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.take(most_lines).flatten().copied().collect()
}

fn parse_one(source: &str, text: &[u8]) -> (Rows, Vec<Issue>) {
    let mut rows = Rows::default();
    let issues = text_source(source).1(text, 0, &mut rows);
    (rows, issues)
}

fn broken_file(source: &str, what: &str) -> PathBuf {
    repo().join("tests/fixtures/broken").join(source).join(what)
}

/// `MEMSOAK_BLESS=1` writes the files anew after an edit in the table above has changed.
#[test]
fn broken_files_are_the_documented_edits_of_real_ones() {
    let bless = std::env::var_os("MEMSOAK_BLESS").is_some();
    for broken in broken() {
        let real = real(broken.source, broken.most_lines);
        for (edit, ..) in broken.edits {
            let file = broken_file(broken.source, edit.name());
            let text = edit.apply(&real);
            assert_ne!(text, real, "{}", file.display());
            if bless {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, &text).unwrap();
            }
            let same = std::fs::read(&file).is_ok_and(|stored| stored == text);
            assert!(same, "{} is not what the table says", file.display());
        }
    }
}

#[test]
fn a_broken_line_costs_itself_and_is_told() {
    let signed = |number: usize| isize::try_from(number).unwrap();
    for broken in broken() {
        let source = broken.source;
        let (whole, issues) = parse_one(source, &real(source, broken.most_lines));
        assert_eq!(issues, vec![], "{source}");
        for (edit, expected_issues, expected_rows) in broken.edits {
            let what = edit.name();
            let text = std::fs::read(broken_file(source, what)).unwrap();
            let (rows, issues) = parse_one(source, &text);
            assert_eq!(issues.len(), expected_issues, "{source} {what}: {issues:?}");
            let more = signed(rows.len()) - signed(whole.len());
            assert_eq!(more, expected_rows, "{source} {what}");
        }
    }
}

#[test]
fn a_number_beyond_sqlites_is_kept_as_a_float() {
    for broken in broken() {
        let text = std::fs::read(broken_file(broken.source, "u64_max")).unwrap();
        let (rows, _) = parse_one(broken.source, &text);
        let huge = rows
            .iter()
            .flat_map(|row| row.values())
            .filter(|value| matches!(value, Value::Real(real) if *real > 1e19));
        assert_eq!(huge.count(), 1, "{}", broken.source);
    }
}

// Any text.

/// What must hold of any rows: as wide as the table, and no key twice.
fn check_rows(spec: &Spec, rows: &Rows) {
    let mut keys: Vec<_> = rows.iter().map(|row| row.key()).collect();
    for row in rows.iter() {
        assert_eq!(row.values().len(), spec.width(), "{}", spec.name);
    }
    keys.sort_unstable();
    let before = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), before, "{}: a key stands twice", spec.name);
}

fn parse_everything(text: &[u8]) {
    for (spec, parse) in text_sources() {
        for file in 0..=spec.paths.len() {
            let mut rows = Rows::default();
            let issues = parse(text, file, &mut rows);
            assert!(issues.len() <= 24, "issues are bounded");
            check_rows(spec, &rows);
        }
    }
    let mut fold = Fold::default();
    for line in text.split(|byte| *byte == b'\n') {
        parse_record(line)
            .iter()
            .for_each(|record| fold.take(record));
        let record = parse_record(b"4,1,2,-;").unwrap();
        let text = line.to_vec();
        fold.take(&Record { text, ..record });
    }
    fold.close();
    assert!(
        fold.drain()
            .all(|report| report.happening.text.len() < 1 << 16)
    );
    let _ = parse_mounts(text);
    let _ = (amount(text), value_of(text, b"anon"));
    let _ = (parse_fdinfo(text), parse_rollup(text));
    let mut folder = Folder::default();
    text.chunks(7).for_each(|piece| folder.take(piece));
    folder.finish();
    assert!(folder.folded.len() <= folder.count);
    let _ = parse_statm(text);
    let _ = parse_status(text);
    let _ = parse_stat(text);
}

/// Real files of every kind, small ones, to be mutilated.
fn real_texts() -> &'static [Vec<u8>] {
    static TEXTS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    TEXTS.get_or_init(|| {
        let mut texts: Vec<_> = text_sources()
            .map(|(spec, _)| real(spec.name, 70))
            .collect();
        let capture = capture("6.12-x86_64-debian/t0");
        for path in [
            "proc/1/stat",
            "proc/1/statm",
            "proc/1/status",
            "proc/1/smaps",
            "proc/1/smaps_rollup",
        ] {
            texts.extend(capture.read(path));
        }
        texts
    })
}

/// Words of all the files, and what is at their edges.
const WORDS: &[&str] = &[
    "\n",
    "\n",
    " ",
    "\t",
    "Node 0, zone Normal",
    "Node    1, zone",
    "DMA, type Movable",
    "  pages free ",
    "  pagesets",
    "count: 7",
    "cpu: 0",
    "  per-node stats",
    "      nr_shmem 1",
    " : tunables ",
    " : slabdata ",
    "1 2 3 4 5 6",
    "0x1-0x2",
    "f+0x1/0x2 [m]",
    "pages=7",
    "+0x",
    "[]",
    "some avg10=1.5",
    "total=7",
    "TCP: inuse 1",
    "Number of blocks type A B",
    "Free pages count per migrate type",
    ">100000",
    "18446744073709551616",
    "-1",
    "kB",
    ":",
    "\u{e9}",
    "1/2",
    "1.5",
    "cpu",
    "(",
    ")",
    "\\04",
    "start_pfn: 1",
    "anon ",
    "max",
    " - tmpfs ",
    "0:23",
    "4,1,2,-;",
    " invoked oom-killer: ",
    "gfp_mask=",
    "order=",
    "Killed process ",
    " total-vm:",
    "BUG: KASAN: ",
    " in ",
    "Mem-Info:",
    " pages reserved",
    "kmemleak: ",
    "unreferenced object 0x1 (size 8):\n",
    "comm \"a\", pid 1, jiffies 7",
    " (age 1.5s)",
    "backtrace:\n",
    "[<0>] f+0x1/0x2\n",
    "nr_base_pages: 3\n",
    " func:f ",
    "10-20 rw-p 0 00:00 0 [heap]\n",
    "Rss: 4 kB\n",
    "drm-driver: a\n",
    "drm-client-id: 1\n",
    "drm-total-vram: 1 MiB\n",
    " new suspected memory leaks",
    " taints kernel",
    "\0",
];

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(192)
    })]

    #[test]
    fn no_parser_panics_on_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse_everything(&text);
    }

    #[test]
    fn no_parser_panics_on_words_in_any_order(
        words in proptest::collection::vec(prop::sample::select(WORDS), 0..60),
    ) {
        parse_everything(words.concat().as_bytes());
    }

    #[test]
    fn no_parser_panics_on_mutilated_files(
        which in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..40, any::<Option<u8>>()),
            1..6,
        ),
        end in any::<Option<prop::sample::Index>>(),
    ) {
        let mut text = which.get(real_texts()).clone();
        for (at, length, byte) in cuts {
            let at = at.index(text.len() + 1);
            let until = (at + length).min(text.len());
            text.splice(at..until, byte);
        }
        if let Some(end) = end {
            text.truncate(end.index(text.len() + 1));
        }
        parse_everything(&text);
    }
}

fn by_key(parse: Parse, file: usize, text: &[u8]) -> BTreeMap<Vec<u8>, Vec<Value>> {
    let mut rows = Rows::default();
    parse(text, file, &mut rows);
    rows.iter()
        .map(|row| (row.key().to_vec(), row.values().to_vec()))
        .collect()
}

#[test]
fn a_lost_line_changes_one_entity_and_no_value_of_another_key() {
    for capture in captures() {
        for (spec, parse) in text_sources() {
            for (file, path) in spec.paths.iter().enumerate() {
                let Some(text) = capture.read(path) else {
                    continue;
                };
                let whole = by_key(parse, file, &text);
                let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
                // All of them where that is quick, and a sample of the long files.
                for lost in (0..lines.len()).step_by(lines.len() / 100 + 1) {
                    // The second table of pagetypeinfo has a line for all types of a zone.
                    if spec.name == "pagetypeinfo" && !lines[lost].starts_with(b"Node    ") {
                        continue;
                    }
                    // A stack without one of its frames is another stack.
                    let of_stacks = ["page_owner", "kmemleak"].contains(&spec.name);
                    if of_stacks && lines[lost].starts_with(b" ") {
                        continue;
                    }
                    let rest = [&lines[..lost], &lines[lost + 1..]].concat().concat();
                    let left = by_key(parse, file, &rest);
                    let what = format!("{} {path}: line {}", capture.name, lost + 1);
                    assert!(left.keys().all(|key| whole.contains_key(key)), "{what}");
                    let gone = whole.len() - left.len();
                    let differs = |(key, values): &(&Vec<u8>, &Vec<Value>)| whole[*key] != **values;
                    let other = left.iter().filter(differs).count();
                    match spec.shape {
                        Shape::Scalars { .. } => assert_eq!(other, 0, "{what}"),
                        Shape::Entities { .. } => assert!(gone + other <= 1, "{what}"),
                    }
                }
            }
        }
    }
}

// The descriptions.

/// The columns of a table in a migration: name, and whether the database computes it.
fn columns_in(sql: &str, table: &str) -> Option<Vec<(String, bool)>> {
    let start = format!("CREATE TABLE {table} (");
    let (_, body) = sql.split_once(&start)?;
    let (body, _) = body.split_once(") STRICT;")?;
    let without_comments: String = body
        .lines()
        .filter_map(|line| line.split("--").next())
        .collect();
    let columns = without_comments.split(',').map(|column| {
        let name = column.split_whitespace().next().unwrap_or_default();
        (name.to_owned(), column.contains("GENERATED"))
    });
    let own = columns.filter(|(name, _)| !["id", "tick", "entity"].contains(&name.as_str()));
    Some(own.collect())
}

#[test]
fn every_entity_source_has_a_table_with_its_columns_in_order() {
    let sql = [
        "0002_sources",
        "0003_attribution",
        "0004_machine",
        "0005_mappings",
    ]
    .map(|name| repo().join(format!("schema/migrations/{name}.sql")))
    .map(|path| std::fs::read_to_string(path).unwrap())
    .concat();
    for spec in SOURCES.iter().map(|source| source.spec) {
        let table = columns_in(&sql, spec.name);
        match spec.shape {
            Shape::Scalars { .. } => assert_eq!(table, None, "{}", spec.name),
            Shape::Entities { columns } => {
                let described = columns.iter().map(|c| (c.name.to_owned(), c.generated));
                assert_eq!(table, Some(described.collect()), "{}", spec.name);
            }
        }
    }
}

fn assert_unique(what: &str, mut names: Vec<&str>) {
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "{what}: a name stands twice");
}

#[test]
fn every_source_is_described_in_full() {
    assert_unique("sources", SOURCES.iter().map(|s| s.spec.name).collect());
    for spec in SOURCES.iter().map(|source| source.spec) {
        let name = spec.name;
        assert!(!spec.paths.is_empty(), "{name}");
        let tree = |p: &&str| {
            ["proc/", "sys/", "dev/"]
                .iter()
                .any(|top| p.starts_with(top))
        };
        assert!(spec.paths.iter().all(tree), "{name}");
        for text in [spec.caveats, spec.overhead] {
            assert!(!text.is_empty(), "{name}");
            assert!(!text.contains("  "), "{name}: {text}");
        }
        assert_unique(name, spec.metrics().iter().map(|m| m.name).collect());
        for metric in spec.metrics() {
            if let Some((source, key)) = metric.part_of.split_once('/') {
                let total = text_source(source)
                    .0
                    .metrics()
                    .iter()
                    .find(|m| m.name == key);
                assert!(total.is_some(), "{name}: no {}", metric.part_of);
            }
        }
    }
}

#[test]
fn every_source_has_captures_and_broken_files() {
    let captures = captures();
    let table = broken();
    for (spec, _) in text_sources() {
        for path in spec.paths {
            let held = captures.iter().any(|capture| capture.read(path).is_some());
            assert!(held, "no capture has {path}");
        }
        let broken = table.iter().find(|b| b.source == spec.name).unwrap();
        for what in [
            "empty",
            "truncated_mid_line",
            "not_utf8",
            "u64_max",
            "duplicate_name",
        ] {
            let there = broken.edits.iter().any(|(edit, ..)| edit.name() == what);
            assert!(there, "{}: no {what}", spec.name);
        }
    }
}
