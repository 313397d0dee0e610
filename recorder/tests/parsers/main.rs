//! Every parser over every capture, over files that are broken in a known way, and over garbage.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

mod broken;
mod captures;
mod described;
mod properties;

use std::path::{Path, PathBuf};

use memsoak_record::root::Root;
use memsoak_record::source::matching::{ParseTexts, read_texts};
use memsoak_record::source::{Parse, SOURCES};
use memsoak_schema::{Rows, Spec, Value};

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn fixtures() -> PathBuf {
    repo().join("tests/fixtures")
}

/// How the text of a source becomes rows.
#[derive(Clone, Copy)]
enum Reading {
    /// File by file.
    Files(Parse),
    /// All files that match its patterns together.
    Matching(ParseTexts),
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
        let mut rows = Rows::default();
        let mut any = false;
        match readings().find(|(spec, _)| spec.name == source).unwrap() {
            (spec, Reading::Files(parse)) => {
                for (file, path) in spec.paths.iter().enumerate() {
                    if let Some(text) = self.read(path) {
                        any = true;
                        let issues = parse(&text, file, &mut rows);
                        assert_eq!(issues, vec![], "{} {path}", self.name);
                    }
                }
            }
            (spec, Reading::Matching(parse)) => {
                let read = read_texts(&Root::open(&self.root).unwrap(), spec);
                any = !read.texts.is_empty();
                let issues = parse(&read.texts, &mut rows);
                assert_eq!(issues, vec![], "{} {source}", self.name);
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
    for machine in folders(&fixtures().join("captures")) {
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

/// The sources that are text.
fn readings() -> impl Iterator<Item = (&'static Spec, Reading)> {
    SOURCES.iter().filter_map(|source| {
        let files = source.parse().map(Reading::Files);
        let reading = files.or(source.parse_texts().map(Reading::Matching))?;
        Some((source.spec, reading))
    })
}

fn spec_of(source: &str) -> &'static Spec {
    let source = SOURCES.iter().find(|one| one.spec.name == source);
    source.unwrap().spec
}

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
