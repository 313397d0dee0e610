//! Any text: garbage, words in any order, mutilated files, and files that lost a line.

use std::collections::BTreeMap;

use memsoak_record::root::Root;
use memsoak_record::source::Parse;
use memsoak_record::source::cgroup::{amount, value_of};
use memsoak_record::source::drm::parse_fdinfo;
use memsoak_record::source::kmsg_text::{Fold, Record, parse_record};
use memsoak_record::source::matching::{ParseTexts, Text, read_texts};
use memsoak_record::source::process_text::{parse_stat, parse_statm, parse_status};
use memsoak_record::source::smaps_text::{Folder, parse_rollup};
use memsoak_record::source::tmpfs::parse_mounts;
use memsoak_schema::{Rows, Shape, Value};
use proptest::prelude::*;

use super::{Reading, capture, captures, check_rows, readings};

fn parse_everything(text: &[u8]) {
    for (spec, reading) in readings() {
        match reading {
            Reading::Files(parse) => {
                for file in 0..=spec.paths.len() {
                    let mut rows = Rows::default();
                    let issues = parse(text, file, &mut rows);
                    assert!(issues.len() <= 24, "issues are bounded");
                    check_rows(spec, &rows);
                }
            }
            // In the place of every file, in folders of two names.
            Reading::Matching(parse) => {
                let texts: Vec<Text> = ["0", "-7kB"]
                    .iter()
                    .flat_map(|name| {
                        spec.paths.iter().enumerate().map(|(pattern, path)| Text {
                            pattern,
                            path: path.replace('*', name).into_bytes(),
                            bytes: text.to_vec(),
                        })
                    })
                    .collect();
                let mut rows = Rows::default();
                let issues = parse(&texts, &mut rows);
                assert!(issues.len() <= 24 * texts.len(), "issues are bounded");
                if spec.paths.iter().all(|path| path.contains('*')) {
                    check_rows(spec, &rows);
                }
            }
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
        let mut texts = Vec::new();
        for capture in [
            capture("6.12-x86_64-debian/t0"),
            capture("6.18-x86_64-microvm/t0"),
        ] {
            let root = Root::open(&capture.root).unwrap();
            for (spec, _) in readings() {
                let found = read_texts(&root, spec).texts.into_iter();
                texts.extend(found.map(|text| {
                    let lines = text.bytes.split_inclusive(|byte| *byte == b'\n');
                    lines.take(70).flatten().copied().collect::<Vec<u8>>()
                }));
            }
        }
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
        for (spec, reading) in readings() {
            let Reading::Files(parse) = reading else {
                continue;
            };
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

fn by_key_of_texts(parse: ParseTexts, texts: &[Text]) -> BTreeMap<Vec<u8>, Vec<Value>> {
    let mut rows = Rows::default();
    parse(texts, &mut rows);
    rows.iter()
        .map(|row| (row.key().to_vec(), row.values().to_vec()))
        .collect()
}

#[test]
fn a_line_lost_in_one_of_many_files_changes_one_entity_or_key() {
    for capture in captures() {
        let root = Root::open(&capture.root).unwrap();
        for (spec, reading) in readings() {
            let Reading::Matching(parse) = reading else {
                continue;
            };
            let texts = read_texts(&root, spec).texts;
            let whole = by_key_of_texts(parse, &texts);
            for place in 0..texts.len() {
                let bytes = &texts[place].bytes;
                let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                for lost in 0..lines.len() {
                    let mut less = texts.clone();
                    less[place].bytes = [&lines[..lost], &lines[lost + 1..]].concat().concat();
                    let left = by_key_of_texts(parse, &less);
                    let path = texts[place].path.escape_ascii();
                    let what = format!("{} {path}: line {}", capture.name, lost + 1);
                    assert!(left.keys().all(|key| whole.contains_key(key)), "{what}");
                    let gone = whole.len() - left.len();
                    let differs = |(key, values): &(&Vec<u8>, &Vec<Value>)| whole[*key] != **values;
                    let other = left.iter().filter(differs).count();
                    assert!(gone + other <= 1, "{what}");
                }
            }
        }
    }
}
