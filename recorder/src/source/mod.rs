//! The sources: one file each, and one line in [`SOURCES`].
//!
//! A parser is pure and never fails: what it cannot make sense of becomes an [`Issue`], and one bad
//! line loses one line. It sees only the types of `memsoak_schema`.

pub mod buddyinfo;
pub mod fs;
pub mod loadavg;
pub mod meminfo;
pub mod nodestat;
pub mod pagetypeinfo;
pub mod pressure;
pub mod process_text;
pub mod slabinfo;
pub mod sockstat;
pub mod stat;
pub mod swaps;
pub mod vmallocinfo;
pub mod vmstat;
pub mod zoneinfo;

#[cfg(test)]
mod fixtures;
mod text;

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
pub static SOURCES: &[Source] = &[
    Source {
        spec: &meminfo::SPEC,
        reader: Reader::Files(meminfo::parse),
    },
    Source {
        spec: &zoneinfo::SPEC,
        reader: Reader::Files(zoneinfo::parse),
    },
    Source {
        spec: &buddyinfo::SPEC,
        reader: Reader::Files(buddyinfo::parse),
    },
    Source {
        spec: &vmstat::SPEC,
        reader: Reader::Files(vmstat::parse),
    },
    Source {
        spec: &slabinfo::SPEC,
        reader: Reader::Files(slabinfo::parse),
    },
    Source {
        spec: &pressure::SPEC,
        reader: Reader::Files(pressure::parse),
    },
    Source {
        spec: &sockstat::SPEC,
        reader: Reader::Files(sockstat::parse),
    },
    Source {
        spec: &fs::SPEC,
        reader: Reader::Files(fs::parse),
    },
    Source {
        spec: &swaps::SPEC,
        reader: Reader::Files(swaps::parse),
    },
    Source {
        spec: &loadavg::SPEC,
        reader: Reader::Files(loadavg::parse),
    },
    Source {
        spec: &stat::SPEC,
        reader: Reader::Files(stat::parse),
    },
    Source {
        spec: &nodestat::SPEC,
        reader: Reader::Files(nodestat::parse),
    },
    Source {
        spec: &vmallocinfo::SPEC,
        reader: Reader::Files(vmallocinfo::parse),
    },
    Source {
        spec: &pagetypeinfo::SPEC,
        reader: Reader::Files(pagetypeinfo::parse),
    },
];
