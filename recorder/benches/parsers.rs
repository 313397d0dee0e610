//! What parsing costs, source by source, on the files of a busy machine (`cargo bench -p memsoak-record`).
//!
//! Over nine tenths of a tick are the kernel's; this watches the rest.

use std::path::{Path, PathBuf};

use divan::Bencher;
use divan::counter::BytesCount;
use memsoak_record::root::Root;
use memsoak_record::source::matching::read_texts;
use memsoak_record::source::{Parse, SOURCES, Source};
use memsoak_schema::Rows;

fn main() {
    divan::main();
}

/// The sources of text files, by name.
fn names() -> Vec<&'static str> {
    names_of(|source| source.parse().is_some())
}

/// The sources whose files are found by patterns, by name.
fn names_by_patterns() -> Vec<&'static str> {
    names_of(|source| source.parse_texts().is_some())
}

fn names_of(is_one: impl Fn(&Source) -> bool) -> Vec<&'static str> {
    let meant = SOURCES.iter().filter(|source| is_one(source));
    meant.map(|source| source.spec.name).collect()
}

/// A file of the busy machine, or of one with modules or of a debugging kernel where it has none.
fn captured(path: &str) -> PathBuf {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/captures");
    let machines = [
        "6.18-x86_64-microvm/t0",
        "6.12-x86_64-debian/t1",
        "6.12-x86_64-pageowner/t1",
    ];
    let mut files = machines
        .map(|machine| captures.join(machine).join(path))
        .into_iter();
    files.find(|file| file.exists()).unwrap_or_default()
}

/// A source's parser and those of its files that were captured, with their places.
struct Texts {
    parse: Parse,
    files: Vec<(usize, Vec<u8>)>,
}

fn texts_of(name: &str) -> Option<Texts> {
    let source = SOURCES.iter().find(|source| source.spec.name == name)?;
    let parse = source.parse()?;
    let paths = source.spec.paths.iter().enumerate();
    let files: Vec<_> = paths
        .filter_map(|(file, path)| Some((file, std::fs::read(captured(path)).ok()?)))
        .collect();
    assert!(
        !files.is_empty(),
        "no capture of {name}: nothing would be measured"
    );
    Some(Texts { parse, files })
}

#[divan::bench(args = names())]
fn parse(bencher: Bencher<'_, '_>, name: &str) {
    let Some(texts) = texts_of(name) else {
        return;
    };
    let bytes: usize = texts.files.iter().map(|(_, text)| text.len()).sum();
    let mut rows = Rows::default();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        rows.clear();
        for (file, text) in &texts.files {
            divan::black_box((texts.parse)(divan::black_box(text), *file, &mut rows));
        }
        rows.len()
    });
}

#[divan::bench(args = names_by_patterns())]
fn parse_by_patterns(bencher: Bencher<'_, '_>, name: &str) {
    let Some(source) = SOURCES.iter().find(|source| source.spec.name == name) else {
        return;
    };
    let Some(parse) = source.parse_texts() else {
        return;
    };
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/captures");
    // The busy machine, or the one that has what it lacks.
    let texts = ["6.18-x86_64-microvm/t0", "6.12-x86_64-pageowner/t0"]
        .iter()
        .filter_map(|root| Root::open(&captures.join(root)).ok())
        .map(|root| read_texts(&root, source.spec).texts)
        .find(|texts| !texts.is_empty());
    let Some(texts) = texts else {
        panic!("no capture of {name}: nothing would be measured");
    };
    let bytes: usize = texts.iter().map(|text| text.bytes.len()).sum();
    let mut rows = Rows::default();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        rows.clear();
        divan::black_box(parse(divan::black_box(&texts), &mut rows));
        rows.len()
    });
}
