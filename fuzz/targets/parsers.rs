//! Every parser on any bytes. The first byte says which: the sources that have one, in their order,
//! then the kernel's log, then the files of a process; the second which file of a source.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memsoak_record::source::kmsg_text::{Fold, parse_record};
use memsoak_record::source::process_text::{parse_stat, parse_statm, parse_status};
use memsoak_record::source::{Parse, SOURCES};
use memsoak_schema::{Rows, printable};

fuzz_target!(|data: &[u8]| {
    let [which, file, text @ ..] = data else {
        return;
    };
    let parsers: Vec<(Parse, usize)> = SOURCES
        .iter()
        .filter_map(|source| Some((source.parse()?, source.spec.paths.len())))
        .collect();
    match parsers.get(usize::from(*which) % (parsers.len() + 2)) {
        Some((parse, files)) => {
            let mut rows = Rows::default();
            for issue in parse(text, usize::from(*file) % files.max(&1), &mut rows) {
                let _ = issue.to_string();
            }
            for row in rows.iter() {
                let _ = printable(row.name());
            }
        }
        None if usize::from(*which) % (parsers.len() + 2) == parsers.len() => {
            let mut fold = Fold::default();
            for line in text.split(|byte| *byte == b'\n') {
                if let Some(record) = parse_record(line) {
                    fold.take(&record);
                }
            }
            fold.close();
            for report in fold.drain() {
                drop(report);
            }
        }
        None => {
            let _ = parse_statm(text);
            let _ = parse_status(text);
            let _ = parse_stat(text);
        }
    }
});
