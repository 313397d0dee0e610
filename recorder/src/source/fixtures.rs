//! Files of `tests/fixtures` for the tests of parsers.

use std::path::Path;

use memsoak_schema::{Issue, Rows, Spec, Value};

use super::Parse;
use super::matching::{ParseTexts, read_texts};
use crate::root::Root;

/// A file of a capture: `capture("6.12-x86_64-debian/t0", "proc/meminfo")`.
pub(super) fn capture(root: &str, path: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/captures")
        .join(root)
        .join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The rows of a text and what was wrong with it.
pub(super) fn parsed(parse: Parse, text: &[u8]) -> (Rows, Vec<Issue>) {
    let mut rows = Rows::default();
    let issues = parse(text, 0, &mut rows);
    (rows, issues)
}

/// The rows of a text with which nothing may be wrong.
pub(super) fn clean(parse: Parse, text: &[u8]) -> Rows {
    let (rows, issues) = parsed(parse, text);
    assert_eq!(issues, vec![]);
    rows
}

/// The values of the entity with this key.
pub(super) fn values(rows: &Rows, key: &str) -> Vec<Value> {
    rows.iter()
        .find(|row| row.key() == key.as_bytes())
        .unwrap_or_else(|| panic!("no row {key}"))
        .values()
        .to_vec()
}

/// The rows of a capture's files that match a description's patterns, with which nothing may be wrong.
pub(super) fn clean_texts(spec: &Spec, parse: ParseTexts, root: &str) -> Rows {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/captures")
        .join(root);
    let root = Root::open(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut rows = Rows::default();
    let issues = parse(&read_texts(&root, spec).texts, &mut rows);
    assert_eq!(issues, vec![]);
    rows
}

/// A made-up machine whose processes can be changed.
pub(super) struct MadeUp(tempfile::TempDir);

impl MadeUp {
    pub(super) fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap_or_else(|error| panic!("{error}")));
        made.file("proc/version", "made up\n");
        made
    }

    pub(super) fn root(&self) -> Root {
        Root::open(self.0.path()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Writes a file, and the folders above it.
    pub(super) fn file(&self, path: &str, text: &str) {
        let file = self.0.path().join(path);
        let folder = file.parent().unwrap_or(self.0.path());
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Makes a link that leads to a place which need not be there.
    pub(super) fn link(&self, path: &str, to: &str) {
        let link = self.0.path().join(path);
        let folder = link.parent().unwrap_or(self.0.path());
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{error}"));
        std::os::unix::fs::symlink(to, link).unwrap_or_else(|error| panic!("{error}"));
    }

    /// A process with so many resident pages.
    pub(super) fn process(&self, pid: u32, start: u64, comm: &str, pages: u64) {
        let size = pages + 100;
        let folder = format!("proc/{pid}");
        self.file(
            &format!("{folder}/statm"),
            &format!("{size} {pages} 20 1 0 40 0\n"),
        );
        self.file(
            &format!("{folder}/stat"),
            &format!("{pid} ({comm}) S 1 1 1 0 -1 4 7 0 3 0 5 6 0 0 20 0 2 0 {start} 2048000 9\n"),
        );
    }

    pub(super) fn kernel_thread(&self, pid: u32) {
        self.file(&format!("proc/{pid}/statm"), "0 0 0 0 0 0 0\n");
    }

    pub(super) fn end(&self, pid: u32) {
        let folder = self.0.path().join(format!("proc/{pid}"));
        std::fs::remove_dir_all(folder).unwrap_or_else(|error| panic!("{error}"));
    }
}
