//! Every parser on any bytes. The first line says which, by the name of its source and the number of
//! the file among the source's paths; what names none gets one all the same.
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

fn parsers() -> Vec<(&'static str, Parser)> {
    let mut parsers: Vec<(&str, Parser)> = Vec::new();
    let mut add = |name, parser: Parser| parsers.push((name, parser));
    for source in SOURCES {
        let (name, paths) = (source.spec.name, source.spec.paths);
        if let Some(parse) = source.parse() {
            add(
                name,
                Box::new(move |text, file| {
                    let mut rows = Rows::default();
                    for issue in parse(text, file % paths.len().max(1), &mut rows) {
                        let _ = issue.to_string();
                    }
                    print(&rows);
                }),
            );
        } else if let Some(parse) = source.parse_texts() {
            add(
                name,
                Box::new(move |text, file| {
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
                }),
            );
        }
    }
    add(
        "kmsg",
        Box::new(|text, _| {
            let mut fold = Fold::default();
            for line in text.split(|byte| *byte == b'\n') {
                if let Some(record) = parse_record(line) {
                    fold.take(&record);
                }
            }
            fold.close();
            fold.drain().for_each(drop);
        }),
    );
    add(
        "process",
        Box::new(|text, _| {
            let _ = (parse_statm(text), parse_status(text), parse_stat(text));
        }),
    );
    add(
        "smaps",
        Box::new(|text, _| {
            let _ = (parse_rollup(text), parse_fdinfo(text));
            let mut folder = Folder::default();
            text.chunks(7).for_each(|piece| folder.take(piece));
            folder.finish();
        }),
    );
    add(
        "mounts",
        Box::new(|text, _| {
            let _ = (parse_mounts(text), amount(text), value_of(text, b"anon"));
        }),
    );
    parsers
}

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n');
    let Some((head, text)) = end.map(|end| (&data[..end], &data[end + 1..])) else {
        return;
    };
    let mut words = head.split(|byte| *byte == b' ');
    let name = words.next().unwrap_or_default();
    let file = words.next().and_then(|file| file.first()).copied();
    let parsers = parsers();
    let any = head.iter().map(|byte| usize::from(*byte)).sum::<usize>() % parsers.len();
    let named = parsers
        .iter()
        .position(|(known, _)| known.as_bytes() == name);
    let (_, parse) = &parsers[named.unwrap_or(any)];
    parse(text, usize::from(file.unwrap_or(b'0').wrapping_sub(b'0')));
});
