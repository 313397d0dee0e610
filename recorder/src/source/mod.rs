//! The sources: one file each, and one line in [`SOURCES`].
//!
//! A parser is pure and never fails: what it cannot make sense of becomes an [`Issue`], and one bad
//! line loses one line. It sees only the types of `memsoak_schema`.

pub mod buddyinfo;
pub mod cgroup;
pub mod files;
pub mod fs;
pub mod kmsg;
pub mod kmsg_text;
pub mod loadavg;
pub mod meminfo;
pub mod modules;
pub mod nodestat;
pub mod pagetypeinfo;
pub mod pressure;
pub mod process;
pub mod process_fds;
pub mod process_text;
pub mod recorder;
pub mod shm;
pub mod slab_aliases;
pub mod slabinfo;
pub mod sockstat;
pub mod stat;
pub mod swaps;
pub mod sysvshm;
pub mod tmpfs;
pub mod vmallocinfo;
pub mod vmstat;
pub mod zoneinfo;

#[cfg(test)]
mod fixtures;
mod text;

use std::path::Path;

use memsoak_schema::{Issue, Rows, Spec, Status};

use crate::root::Root;

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
    /// Text files, with something of its own around the reading.
    Around(Parse, fn(&Setup) -> Box<dyn Sampler>),
    /// Something of its own.
    Own(fn(&Setup) -> Box<dyn Sampler>),
}

/// A source: what it is and how it is read.
#[derive(Debug)]
pub struct Source {
    /// Its description.
    pub spec: &'static Spec,
    /// How its text is obtained and understood.
    pub reader: Reader,
}

/// What a sampler is made with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Interval of the ticks in us.
    pub interval_us: u64,
    /// How many descriptors may be held open on processes.
    pub held_processes: usize,
    /// The last tick of this boot in a recording that is continued, in us of CLOCK_BOOTTIME.
    pub recorded_until_us: Option<i64>,
}

/// What a sampler is told at each tick.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The machine.
    pub root: &'a Root,
    /// Every row is wanted, not only what changed.
    pub full: bool,
    /// The recording.
    pub db: &'a Path,
    /// What the run knows of itself.
    pub own: &'a recorder::Figures,
}

/// How a read went.
#[derive(Debug)]
pub struct Outcome {
    /// Whether there are values.
    pub status: Status,
    /// Why not, or why not all.
    pub reason: Option<String>,
    /// Bytes read.
    pub bytes: u64,
}

/// Reads a source again and again.
///
/// It is read on a thread of its own and can hang there; see [`crate::run`].
pub trait Sampler: Send {
    /// Fills `rows`, which are empty.
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome;

    /// Leaves out from now on what lies at these paths and blocks whoever reads it, and nothing else;
    /// an empty list is none. Returns whether it can: else nothing of the source is read until the
    /// read that hangs comes back.
    fn leave_out(&mut self, _blocking: &[&str]) -> bool {
        false
    }

    /// Descriptors that it holds on processes.
    fn held_descriptors(&self) -> usize {
        0
    }
}

impl Source {
    /// Makes what reads it.
    pub fn sampler(&self, setup: &Setup) -> Box<dyn Sampler> {
        match self.reader {
            Reader::Files(parse) => Box::new(files::Files::new(self.spec, parse)),
            Reader::Around(_, make) | Reader::Own(make) => make(setup),
        }
    }

    /// The parser of its text; `None` where it has readers of its own.
    pub fn parse(&self) -> Option<Parse> {
        match self.reader {
            Reader::Files(parse) | Reader::Around(parse, _) => Some(parse),
            Reader::Own(_) => None,
        }
    }
}

/// Every source, in the order in which a tick reads them: what must fit together (the totals, the
/// zones, the free lists) first and close together, the processes after them.
pub static SOURCES: &[Source] = &[
    files(&meminfo::SPEC, meminfo::parse),
    files(&zoneinfo::SPEC, zoneinfo::parse),
    files(&buddyinfo::SPEC, buddyinfo::parse),
    files(&vmstat::SPEC, vmstat::parse),
    around(&slabinfo::SPEC, slabinfo::parse, slab_aliases::sampler),
    files(&pressure::SPEC, pressure::parse),
    files(&sockstat::SPEC, sockstat::parse),
    files(&fs::SPEC, fs::parse),
    files(&swaps::SPEC, swaps::parse),
    files(&loadavg::SPEC, loadavg::parse),
    files(&stat::SPEC, stat::parse),
    files(&nodestat::SPEC, nodestat::parse),
    own(&process::SPEC, process::sampler),
    own(&cgroup::SPEC, cgroup::sampler),
    own(&shm::SPEC, shm::sampler),
    files(&sysvshm::SPEC, sysvshm::parse),
    own(&tmpfs::SPEC, tmpfs::sampler),
    around(&modules::SPEC, modules::parse, modules::sampler),
    files(&vmallocinfo::SPEC, vmallocinfo::parse),
    files(&pagetypeinfo::SPEC, pagetypeinfo::parse),
    own(&kmsg::SPEC, kmsg::sampler),
    own(&recorder::SPEC, recorder::sampler),
];

const fn files(spec: &'static Spec, parse: Parse) -> Source {
    Source {
        spec,
        reader: Reader::Files(parse),
    }
}

const fn around(spec: &'static Spec, parse: Parse, make: fn(&Setup) -> Box<dyn Sampler>) -> Source {
    Source {
        spec,
        reader: Reader::Around(parse, make),
    }
}

const fn own(spec: &'static Spec, make: fn(&Setup) -> Box<dyn Sampler>) -> Source {
    Source {
        spec,
        reader: Reader::Own(make),
    }
}
