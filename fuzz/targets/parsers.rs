//! Every parser on any bytes. The first byte says which: the sources that have one, in their order,
//! then those of the other samplers; the second which file of a source.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memsoak_record::source::SOURCES;
use memsoak_record::source::cgroup::{amount, value_of};
use memsoak_record::source::drm::parse_fdinfo;
use memsoak_record::source::kmsg_text::{Fold, parse_record};
use memsoak_record::source::matching::Text;
use memsoak_record::source::process_text::{parse_stat, parse_statm, parse_status};
use memsoak_record::source::smaps_text::{Folder, parse_rollup};
use memsoak_record::source::tmpfs::parse_mounts;
use memsoak_schema::{Rows, printable};

type Parser = Box<dyn Fn(&[u8], usize)>;

fn print(rows: &Rows) {
    for row in rows.iter() {
        let _ = printable(row.name());
    }
}

fn parsers() -> Vec<Parser> {
    let mut parsers: Vec<Parser> = Vec::new();
    for source in SOURCES {
        let paths = source.spec.paths;
        if let Some(parse) = source.parse() {
            parsers.push(Box::new(move |text, file| {
                let mut rows = Rows::default();
                for issue in parse(text, file % paths.len().max(1), &mut rows) {
                    let _ = issue.to_string();
                }
                print(&rows);
            }));
        } else if let Some(parse) = source.parse_texts() {
            parsers.push(Box::new(move |text, file| {
                let pattern = file % paths.len().max(1);
                let text = Text {
                    pattern,
                    path: paths[pattern].replace('*', "0").into_bytes(),
                    bytes: text.to_vec(),
                };
                let mut rows = Rows::default();
                for (_, issue) in parse(&[text], &mut rows) {
                    let _ = issue.to_string();
                }
                print(&rows);
            }));
        }
    }
    parsers.push(Box::new(|text, _| {
        let mut fold = Fold::default();
        for line in text.split(|byte| *byte == b'\n') {
            if let Some(record) = parse_record(line) {
                fold.take(&record);
            }
        }
        fold.close();
        fold.drain().for_each(drop);
    }));
    parsers.push(Box::new(|text, _| {
        let _ = (parse_statm(text), parse_status(text), parse_stat(text));
    }));
    parsers.push(Box::new(|text, _| {
        let _ = (parse_rollup(text), parse_fdinfo(text));
        let mut folder = Folder::default();
        text.chunks(7).for_each(|piece| folder.take(piece));
        folder.finish();
    }));
    parsers.push(Box::new(|text, _| {
        let _ = (parse_mounts(text), amount(text), value_of(text, b"anon"));
    }));
    parsers
}

fuzz_target!(|data: &[u8]| {
    if let [which, file, text @ ..] = data {
        let parsers = parsers();
        parsers[usize::from(*which) % parsers.len()](text, usize::from(*file));
    }
});
