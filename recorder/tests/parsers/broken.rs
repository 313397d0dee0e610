//! Files that are broken in a known way: each is a real one with a documented edit.

use std::path::PathBuf;

use memsoak_record::root::Root;
use memsoak_record::source::cgroup::value_of;
use memsoak_record::source::kmsg_text::parse_record;
use memsoak_record::source::matching::read_texts;
use memsoak_record::source::process_text::parse_stat;
use memsoak_record::source::smaps_text::{Folder, parse_rollup};
use memsoak_record::source::tmpfs::parse_mounts;
use memsoak_schema::{Rows, Value};

use super::{Reading, fixtures, readings, spec_of};

/// How a broken file differs from the real one.
pub(crate) enum Edit {
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
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Cut => "truncated_mid_line",
            Self::Text(_, with) if with.contains(&0xff) => "not_utf8",
            Self::Text(..) => "name_with_space",
            Self::Max(_) => "u64_max",
            Self::Twice(_) => "duplicate_name",
        }
    }

    pub(crate) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let find = |what: &[u8]| {
            text.windows(what.len().max(1))
                .position(|window| window.starts_with(what))
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
pub(crate) struct Broken {
    pub(crate) source: &'static str,
    /// The machine and the file, below the fixtures.
    root: &'static str,
    path: &'static str,
    most_lines: usize,
    pub(crate) edits: Vec<(Edit, usize, isize)>,
}

const MICROVM: &str = "captures/6.18-x86_64-microvm/t0";

#[rustfmt::skip] // A table.
pub(crate) fn broken() -> Vec<Broken> {
    use Edit::{Cut, Empty, Max, Text, Twice};
    let in_file = |source, root, path, most_lines, edits| Broken {
        source, root, path, most_lines, edits,
    };
    let of = |source: &'static str, most_lines, edits| {
        let root = match source {
            "sockstat" | "sysvshm" => MICROVM,
            "allocinfo" | "page_owner" | "kmemleak" => "captures/6.12-x86_64-pageowner/t0",
            _ => "captures/6.12-x86_64-debian/t0",
        };
        in_file(source, root, spec_of(source).paths[0], most_lines, edits)
    };
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
        in_file("smaps_rollup", "captures/6.12-x86_64-debian/t0", "proc/1/smaps_rollup", 99, vec![
            (Empty, 1, -1),
            (Cut, 0, 0),
            (Text(b"Rss:", b"R\xffs:"), 1, -1),
            (Max(b"Rss:"), 0, 0),
            (Twice(b"Rss:"), 0, 0),
        ]),
        in_file("smaps", "captures/6.12-x86_64-debian/t0", "proc/1/smaps", 60, vec![
            (Empty, 0, -1),
            (Cut, 0, 0),
            (Text(b"Rss:", b"R\xffs:"), 0, 0),
            (Max(b"Rss:"), 0, 0),
            (Twice(b"Rss:"), 0, 0),
        ]),
        of("pagetypeinfo", 99, vec![
            (Empty, 1, -10),
            (Cut, 1, 0),
            (Text(b"Reclaimable", b"Recl\xffaimable"), 0, 0),
            (Text(b"Unmovable", b"Un movable"), 1, -1),
            (Max(b"type    Unmovable"), 0, 0),
            (Twice(b"Node    0, zone      DMA, type      Movable"), 1, 0),
        ]),
        in_file("zram", MICROVM, "sys/block/zram0/mm_stat", 9, vec![
            (Empty, 1, -1),
            (Cut, 1, -1),
            (Text(b"3034273", b"303\xff273"), 1, -1),
            (Max(b" "), 0, 0),
            (Twice(b" 5070848"), 1, -1),
        ]),
        in_file("zswap", MICROVM, "sys/kernel/debug/zswap/pool_total_size", 9, vec![
            (Empty, 1, -1),
            (Cut, 1, -1),
            (Text(b"19", b"1\xff"), 1, -1),
            (Max(b""), 0, 0),
            (Twice(b"19"), 1, -1),
        ]),
        in_file("ksm", MICROVM, "sys/kernel/mm/ksm/pages_sharing", 9, vec![
            (Empty, 1, -1),
            (Cut, 1, -1),
            (Text(b"59", b"5\xff"), 1, -1),
            (Max(b""), 0, 0),
            (Twice(b"59"), 1, -1),
        ]),
        in_file("hugepages", MICROVM, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", 9, vec![
            (Empty, 1, -1),
            (Cut, 1, -1),
            (Text(b"6", b"\xff"), 1, -1),
            (Max(b""), 0, 0),
            (Twice(b"6"), 1, -1),
        ]),
        in_file("cma", "captures/6.12-x86_64-pageowner/t0", "sys/kernel/mm/cma/reserved/alloc_pages_success", 9, vec![
            // Other files tell of the area.
            (Empty, 1, 0),
            (Cut, 1, 0),
            (Text(b"0", b"\xff"), 1, 0),
            (Max(b""), 0, 0),
            (Twice(b"0"), 1, 0),
        ]),
        in_file("numa", MICROVM, "sys/devices/system/node/node0/meminfo", 99, vec![
            (Empty, 1, -36),
            (Cut, 1, -1),
            (Text(b"Mapped", b"Ma\xffped"), 0, 0),
            (Text(b"Mapped", b"Ma pped"), 0, 0),
            (Max(b"Mapped:"), 0, 0),
            (Twice(b"Node 0 Mapped"), 1, 0),
        ]),
        in_file("extfrag", MICROVM, "sys/kernel/debug/extfrag/unusable_index", 9, vec![
            // The other file tells of the zones.
            (Empty, 1, 0),
            (Cut, 1, 0),
            (Text(b"DMA32", b"DMA\xff2"), 0, 1),
            (Text(b"DMA32", b"DMA 32"), 1, 0),
            (Max(b"DMA32"), 0, 0),
            (Twice(b"Node 0, zone    DMA32"), 1, 0),
        ]),
        in_file("process", "captures/6.12-x86_64-debian/t0", "proc/1/stat", 9, vec![
            (Empty, 1, -1),
            (Cut, 1, -1),
            (Text(b"(init)", b"(in\xfft)"), 0, 0),
            (Text(b"(init)", b"(in ) t)"), 0, 0),
            (Max(b"(init) S "), 1, -1),
            (Twice(b"1 "), 0, 0),
        ]),
        in_file("cgroup", "cgroups/v2-6.12-x86_64", "sys/fs/cgroup/lab-hog/memory.stat", 12, vec![
            (Empty, 0, -3),
            (Cut, 0, 0),
            (Text(b"kernel ", b"ker\xffel "), 0, -1),
            (Text(b"kernel ", b"ker nel "), 0, -1),
            (Max(b"anon "), 0, 0),
            (Twice(b"anon "), 0, 0),
        ]),
        in_file("tmpfs", MICROVM, "proc/self/mountinfo", 99, vec![
            (Empty, 1, -4),
            (Cut, 1, 0),
            (Text(b" / /dev/shm ", b" / /dev/\xffshm "), 0, 0),
            (Text(b" / /dev/shm ", b" / /dev/my\\040shm "), 0, 0),
            (Max(b""), 0, 0),
            (Twice(b"2"), 0, 0),
        ]),
        in_file("kmsg", "logs", "6.12-x86_64-debian.kmsg", 12, vec![
            (Empty, 1, -12),
            (Cut, 0, 0),
            (Text(b"Comm: sh", b"Comm: \xff"), 0, 0),
            (Text(b"4,1892", b"4,18 2"), 1, -1),
            (Max(b"4,1892,"), 0, 0),
            (Twice(b"4,1893"), 0, 1),
        ]),
    ]
}

/// What came of a text.
struct Understood {
    /// Empty for the sources that are read by means of their own.
    rows: Rows,
    things: usize,
    issues: Vec<String>,
}

impl Broken {
    /// The real file that the broken ones were made from.
    fn real(&self) -> Vec<u8> {
        let text = std::fs::read(fixtures().join(self.root).join(self.path)).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines.take(self.most_lines).flatten().copied().collect()
    }

    /// Understands a text in the place of the real file.
    fn understand(&self, text: &[u8]) -> Understood {
        let mut rows = Rows::default();
        let reading = readings().find(|(spec, _)| spec.name == self.source);
        let issues: Vec<String> = match reading {
            Some((_, Reading::Files(parse))) => {
                let issues = parse(text, 0, &mut rows);
                issues.iter().map(ToString::to_string).collect()
            }
            Some((spec, Reading::Matching(parse))) => {
                let root = Root::open(&fixtures().join(self.root)).unwrap();
                let mut texts = read_texts(&root, spec).texts;
                let place = texts.iter_mut().find(|t| t.path == self.path.as_bytes());
                place.unwrap().bytes = text.to_vec();
                let issues = parse(&texts, &mut rows);
                issues.iter().map(|(_, issue)| issue.to_string()).collect()
            }
            None => return self.understand_by_own_means(text),
        };
        Understood {
            things: rows.len(),
            rows,
            issues,
        }
    }

    fn understand_by_own_means(&self, text: &[u8]) -> Understood {
        let (things, issues) = match self.source {
            "process" => match parse_stat(text) {
                Some(_) => (1, Vec::new()),
                None => (0, vec!["stat".to_owned()]),
            },
            // A key that is not found is not known, which is no issue: kernels have others.
            "cgroup" => {
                let keys: [&[u8]; 3] = [b"anon", b"file", b"kernel"];
                let found = keys.iter().filter(|key| value_of(text, key).is_some());
                (found.count(), Vec::new())
            }
            "tmpfs" => {
                let (mounts, issues) = parse_mounts(text);
                let issues = issues.iter().map(ToString::to_string).collect();
                (mounts.len(), issues)
            }
            "smaps_rollup" => match parse_rollup(text) {
                Some(_) => (1, Vec::new()),
                None => (0, vec!["smaps_rollup".to_owned()]),
            },
            // What a line does not say is not known.
            "smaps" => {
                let mut folder = Folder::default();
                folder.take(text);
                folder.finish();
                (folder.folded.len(), Vec::new())
            }
            "kmsg" => {
                let text = text.strip_suffix(b"\n").unwrap_or(text);
                let records = text.split(|byte| *byte == b'\n').map(parse_record);
                let (found, none): (Vec<_>, Vec<_>) = records.partition(Option::is_some);
                (
                    found.len(),
                    none.iter().map(|_| "record".to_owned()).collect(),
                )
            }
            other => panic!("{other} has no text"),
        };
        Understood {
            rows: Rows::default(),
            things,
            issues,
        }
    }
}

fn broken_file(source: &str, what: &str) -> PathBuf {
    fixtures().join("broken").join(source).join(what)
}

/// `MEMSOAK_BLESS=1` writes the files anew after an edit in the table above has changed.
#[test]
fn broken_files_are_the_documented_edits_of_real_ones() {
    let bless = std::env::var_os("MEMSOAK_BLESS").is_some();
    for broken in broken() {
        let real = broken.real();
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
        let whole = broken.understand(&broken.real());
        assert_eq!(whole.issues, Vec::<String>::new(), "{source}");
        for (edit, expected_issues, expected_rows) in &broken.edits {
            let what = edit.name();
            let text = std::fs::read(broken_file(source, what)).unwrap();
            let got = broken.understand(&text);
            let told = got.issues.len();
            assert_eq!(told, *expected_issues, "{source} {what}: {:?}", got.issues);
            let more = signed(got.things) - signed(whole.things);
            assert_eq!(more, *expected_rows, "{source} {what}");
        }
    }
}

#[test]
fn a_number_beyond_sqlites_is_kept_as_a_float() {
    for broken in broken() {
        let text = std::fs::read(broken_file(broken.source, "u64_max")).unwrap();
        let rows = broken.understand(&text).rows;
        let huge = rows
            .iter()
            .flat_map(|row| row.values())
            .filter(|value| matches!(value, Value::Real(real) if *real > 1e19));
        let kept = usize::from(readings().any(|(spec, _)| spec.name == broken.source));
        assert_eq!(huge.count(), kept, "{}", broken.source);
    }
}
