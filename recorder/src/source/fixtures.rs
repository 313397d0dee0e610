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
