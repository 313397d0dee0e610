//! The sources: one file each, and one line in [`SOURCES`].
//!
//! A parser is pure and never fails: what it cannot make sense of becomes an [`Issue`], and one bad
//! line loses one line. It sees only the types of `memsoak_schema`.

pub mod allocinfo;
pub mod buddyinfo;
pub mod captured;
pub mod cgroup;
pub mod cma;
pub mod drm;
pub mod extfrag;
pub mod files;
pub mod fs;
pub mod hugepages;
pub mod kmemleak;
pub mod kmsg;
pub mod kmsg_copy;
pub mod kmsg_text;
pub mod ksm;
pub mod loadavg;
pub mod matching;
pub mod meminfo;
pub mod modules;
pub mod nodestat;
pub mod numa;
pub mod page_owner;
pub mod pagetypeinfo;
pub mod pressure;
pub mod process;
pub mod process_fds;
pub mod process_text;
pub mod recorder;
pub mod shm;
pub mod slab_aliases;
pub mod slabinfo;
pub mod smaps;
pub mod smaps_rollup;
pub mod smaps_text;
pub mod sockstat;
pub mod stat;
pub mod swaps;
pub mod sysvshm;
pub mod tmpfs;
pub mod vmalloc_names;
pub mod vmallocinfo;
pub mod vmstat;
pub mod zoneinfo;
pub mod zram;
pub mod zswap;

#[cfg(test)]
mod fixtures;
mod follow;
mod kmsg_details;
mod kmsg_phrases;
#[cfg(test)]
mod made_up;
mod process_row;
mod stack;
mod text;
mod turn;

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
    /// Text files whose paths are patterns, understood together.
    Matching(matching::ParseTexts),
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
    /// With which capabilities a user other than root is given all that root is (capabilities(7)).
    pub capabilities: &'static [&'static str],
    /// What a capture keeps of it.
    pub captured: captured::Captured,
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

impl Outcome {
    /// Values were obtained: all, or only part of them where there is a reason why.
    pub fn obtained(reason: Option<String>, bytes: u64) -> Self {
        Self {
            status: match reason {
                Some(_) => Status::Partial,
                None => Status::Ok,
            },
            reason,
            bytes,
        }
    }

    /// Nothing was obtained: what that makes of the sample, and why, as [`files::explain`] gives them.
    pub fn nothing((status, reason): (Status, String)) -> Self {
        Self {
            status,
            reason: Some(reason),
            bytes: 0,
        }
    }

    /// The rows show what was obtained: where something was wrong and there are none, nothing was.
    pub fn of_rows(reason: Option<String>, rows: &Rows, bytes: u64) -> Self {
        match reason {
            Some(reason) if rows.is_empty() => {
                Self::nothing((Status::Failed, reason)).having_read(bytes)
            }
            reason => Self::obtained(reason, bytes),
        }
    }

    /// Though nothing came of it, so many bytes were read.
    pub fn having_read(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }
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
    /// Says which capabilities stand in for root.
    const fn needing(mut self, capabilities: &'static [&'static str]) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Says what a capture keeps of it, where that is not the texts named by its paths.
    const fn captured(mut self, captured: captured::Captured) -> Self {
        self.captured = captured;
        self
    }

    /// Says why a capture keeps nothing of it.
    const fn not_captured(self, why: &'static str) -> Self {
        self.captured(captured::Captured::Nothing(why))
    }

    /// What a capture keeps of it.
    pub fn kept(&self) -> Vec<captured::Kept> {
        match self.captured {
            captured::Captured::Paths => self
                .spec
                .paths
                .iter()
                .map(|path| captured::Kept::Text(path))
                .collect(),
            captured::Captured::Kept(kept) | captured::Captured::Copied(kept, _) => kept.to_vec(),
            captured::Captured::Nothing(_) => Vec::new(),
        }
    }

    /// Makes what reads it.
    pub fn sampler(&self, setup: &Setup) -> Box<dyn Sampler> {
        match self.reader {
            Reader::Files(parse) => Box::new(files::Files::new(self.spec, parse)),
            Reader::Matching(parse) => Box::new(matching::Matching::new(self.spec, parse)),
            Reader::Around(_, make) | Reader::Own(make) => make(setup),
        }
    }

    /// Makes what reads it in captures.
    pub fn sampler_of_captures(&self, setup: &Setup) -> Box<dyn Sampler> {
        match self.captured {
            captured::Captured::Copied(_, make) => make(setup),
            _ => self.sampler(setup),
        }
    }

    /// The parser of its text; `None` where it has readers of its own or files by patterns.
    pub fn parse(&self) -> Option<Parse> {
        match self.reader {
            Reader::Files(parse) | Reader::Around(parse, _) => Some(parse),
            Reader::Matching(_) | Reader::Own(_) => None,
        }
    }

    /// The parser of its files by patterns; `None` where it has none.
    pub fn parse_texts(&self) -> Option<matching::ParseTexts> {
        match self.reader {
            Reader::Matching(parse) => Some(parse),
            _ => None,
        }
    }
}

/// Files that only their owner may read.
const READ: &[&str] = &["CAP_DAC_READ_SEARCH"];
/// Folders of other users' processes, and the links in them.
const READ_AND_TRACE: &[&str] = &["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"];

/// Why a capture leaves out what is read of each process in turn.
const TOO_MUCH: &str = "costs too much to read of every process at once";

/// Every source, in the order in which a tick reads them: what must fit together (the totals, the
/// zones, the free lists) first and close together, the processes after them.
pub static SOURCES: &[Source] = &[
    files(&meminfo::SPEC, meminfo::parse),
    files(&zoneinfo::SPEC, zoneinfo::parse),
    files(&buddyinfo::SPEC, buddyinfo::parse),
    files(&vmstat::SPEC, vmstat::parse),
    around(&slabinfo::SPEC, slabinfo::parse, slab_aliases::sampler)
        .needing(READ)
        .captured(slab_aliases::CAPTURED),
    files(&pressure::SPEC, pressure::parse),
    files(&sockstat::SPEC, sockstat::parse),
    files(&fs::SPEC, fs::parse),
    files(&swaps::SPEC, swaps::parse),
    files(&loadavg::SPEC, loadavg::parse),
    files(&stat::SPEC, stat::parse),
    files(&nodestat::SPEC, nodestat::parse),
    matching(&zram::SPEC, zram::parse),
    matching(&zswap::SPEC, zswap::parse).needing(READ),
    matching(&hugepages::SPEC, hugepages::parse),
    matching(&cma::SPEC, cma::parse).needing(READ),
    own(&process::SPEC, process::sampler)
        .needing(READ_AND_TRACE)
        .captured(process::CAPTURED),
    own(&cgroup::SPEC, cgroup::sampler).captured(cgroup::CAPTURED),
    own(&shm::SPEC, shm::sampler)
        .needing(READ_AND_TRACE)
        .not_captured("the sizes of files behind descriptors are in no file"),
    files(&sysvshm::SPEC, sysvshm::parse),
    own(&tmpfs::SPEC, tmpfs::sampler)
        .not_captured("what a mount uses is told by statvfs(3), not by a file"),
    around(&modules::SPEC, modules::parse, modules::sampler),
    around(
        &vmallocinfo::SPEC,
        vmallocinfo::parse,
        vmalloc_names::sampler,
    )
    .needing(READ),
    files(&pagetypeinfo::SPEC, pagetypeinfo::parse).needing(READ),
    matching(&extfrag::SPEC, extfrag::parse).needing(READ),
    matching(&numa::SPEC, numa::parse),
    matching(&ksm::SPEC, ksm::parse),
    around(&allocinfo::SPEC, allocinfo::parse, allocinfo::sampler).needing(READ),
    around(&page_owner::SPEC, page_owner::parse, page_owner::sampler).needing(READ),
    around(&kmemleak::SPEC, kmemleak::parse, kmemleak::sampler).needing(READ),
    own(&smaps_rollup::SPEC, smaps_rollup::sampler)
        .needing(READ_AND_TRACE)
        .not_captured(TOO_MUCH),
    own(&smaps::SPEC, smaps::sampler)
        .needing(READ_AND_TRACE)
        .not_captured(TOO_MUCH),
    own(&drm::SPEC, drm::sampler)
        .needing(READ_AND_TRACE)
        .not_captured(TOO_MUCH),
    own(&kmsg::SPEC, kmsg::sampler)
        .needing(&["CAP_SYSLOG"])
        .captured(kmsg_copy::CAPTURED),
    own(&recorder::SPEC, recorder::sampler).not_captured("nobody recorded here"),
];

const fn files(spec: &'static Spec, parse: Parse) -> Source {
    source(spec, Reader::Files(parse))
}

const fn matching(spec: &'static Spec, parse: matching::ParseTexts) -> Source {
    source(spec, Reader::Matching(parse))
}

const fn around(spec: &'static Spec, parse: Parse, make: fn(&Setup) -> Box<dyn Sampler>) -> Source {
    source(spec, Reader::Around(parse, make))
}

const fn own(spec: &'static Spec, make: fn(&Setup) -> Box<dyn Sampler>) -> Source {
    source(spec, Reader::Own(make))
}

const fn source(spec: &'static Spec, reader: Reader) -> Source {
    Source {
        spec,
        reader,
        capabilities: &[],
        captured: captured::Captured::Paths,
    }
}
