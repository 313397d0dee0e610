//! The sources: one file each, and one line in [`SOURCES`].
//!
//! A parser is pure and never fails: what it cannot make sense of becomes an [`Issue`], and one bad
//! line loses one line. It sees only the types of `memsoak_schema`.

use memsoak_schema::{Issue, Rows, Spec};

/// Parses one file of a source into rows.
///
/// `file` is the file's place in [`Spec::paths`]; a source of several files is parsed file by file
/// into the same rows.
pub type Parse = fn(text: &[u8], file: usize, rows: &mut Rows) -> Vec<Issue>;

/// How a source is read.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// Whole text files on held descriptors.
    Files(Parse),
}

/// A source: what it is and how it is read.
#[derive(Debug)]
pub struct Source {
    /// Its description.
    pub spec: &'static Spec,
    /// How its text is obtained and understood.
    pub reader: Reader,
}

/// Every source, in the order in which a tick reads them: what must fit together (the totals, the
/// zones, the free lists) first and close together, the processes after them.
pub static SOURCES: &[Source] = &[];
