//! Control groups: what each is charged, v1 and v2, also where both are mounted.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use memsoak_schema::{Label, MetricSpec, Rows, Shape, Spec, Status, Trend, Unit, Value};
use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::captured::{Captured, Kept};
use super::text::{first_word, parse_u64};
use super::{Moment, Outcome, Sampler, Setup};
use crate::root::{Root, read_whole};

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "cgroup",
    paths: &["sys/fs/cgroup"],
    shape: Shape::Entities {
        columns: &[
            bytes("current_bytes"),
            bytes("peak_bytes"),
            bytes("limit_bytes"),
            bytes("swap_bytes"),
            part("anon_bytes", "meminfo/AnonPages"),
            bytes("file_bytes"),
            part("shmem_bytes", "meminfo/Shmem"),
            bytes("kernel_bytes"),
            bytes("kernel_stack_bytes"),
            part("pagetables_bytes", "meminfo/PageTables"),
            bytes("percpu_bytes"),
            part("vmalloc_bytes", "meminfo/VmallocUsed"),
            bytes("sock_bytes"),
            bytes("slab_reclaimable_bytes"),
            part("slab_unreclaimable_bytes", "meminfo/Slab"),
            MetricSpec::counter("oom_kills", Unit::Count),
            bytes("high_bytes"),
            bytes("swap_limit_bytes"),
            MetricSpec::counter("limit_hits", Unit::Count),
            MetricSpec::counter("high_hits", Unit::Count),
            MetricSpec::counter("oom_events", Unit::Count),
        ],
    },
    interval_s: 10,
    needs: "CONFIG_MEMCG and the memory controller, mounted at /sys/fs/cgroup",
    caveats: "A group is its path and inode; its figures hold those of the groups below it. They \
        are another cut of memory that processes, caches and callers stand for too, so what grows \
        is a total to them. current_bytes, file_bytes and kernel_bytes hold what the kernel gives \
        back; file_bytes holds shmem_bytes. Memory is charged to the group that touched it first \
        and stays charged when that is removed. limit_bytes, high_bytes and swap_limit_bytes \
        are NULL where there is none; those of the groups above hold too. limit_hits, high_hits and \
        oom_events count since the group began, and in v2 with the groups below it. v1 has no \
        figures for stacks, page tables, vmalloc, per-CPU memory and slab, no high_bytes and no \
        limit of swap alone, and counts TCP alone as sock_bytes; kernel_bytes is v2 since Linux 5.18. Figures beside current_bytes are up to a \
        minute old where that stays the same. At most 500 groups, 12 levels deep, those near the \
        root first, and after 50 ms the rest as they were before; the root is the machine.",
    overhead: "15 us a group that stays the same, 45 us one that is read in full; memory.stat makes \
        the kernel add up its per-CPU counters.",
};

const fn bytes(name: &'static str) -> MetricSpec {
    MetricSpec::gauge(name, Unit::Bytes)
}

/// A sum over processes, caches or callers that are recorded themselves.
const fn part(name: &'static str, total: &'static str) -> MetricSpec {
    bytes(name).judged(Trend::Total).part_of(total)
}

/// How many groups are read: a sample of them all stays within some 50 ms.
const MOST_GROUPS: usize = 500;
/// How deep they lie; containers in containers reach about eight levels.
const DEEPEST: usize = 12;
/// How long a sample reads: as long as 500 groups take where each costs twice what was measured. A
/// machine of hundreds of CPUs adds up their counters for each group.
const LONGEST: Duration = Duration::from_millis(50);
/// Every group is read in full at every so many samples.
const FULL_EVERY: u32 = 6;

const COLUMNS: usize = 21;

/// Where each column of a version is found.
struct Version {
    number: i64,
    /// Files of one number; the first is what a group that changes changes.
    files: &'static [(&'static str, usize)],
    /// Files of keys and values.
    keyed: &'static [(&'static str, &'static [(&'static str, usize)])],
}

static V1: Version = Version {
    number: 1,
    files: &[
        ("memory.usage_in_bytes", 0),
        ("memory.max_usage_in_bytes", 1),
        ("memory.limit_in_bytes", 2),
        ("memory.kmem.usage_in_bytes", 7),
        ("memory.kmem.tcp.usage_in_bytes", 12),
        ("memory.failcnt", 18),
    ],
    keyed: &[
        (
            "memory.stat",
            &[
                ("total_swap", 3),
                ("total_rss", 4),
                ("total_cache", 5),
                ("total_shmem", 6),
            ],
        ),
        ("memory.oom_control", &[("oom_kill", 15)]),
    ],
};

static V2: Version = Version {
    number: 2,
    files: &[
        ("memory.current", 0),
        ("memory.peak", 1),
        ("memory.max", 2),
        ("memory.swap.current", 3),
        ("memory.high", 16),
        ("memory.swap.max", 17),
    ],
    keyed: &[
        (
            "memory.stat",
            &[
                ("anon", 4),
                ("file", 5),
                ("shmem", 6),
                ("kernel", 7),
                ("kernel_stack", 8),
                ("pagetables", 9),
                ("percpu", 10),
                ("vmalloc", 11),
                ("sock", 12),
                ("slab_reclaimable", 13),
                ("slab_unreclaimable", 14),
            ],
        ),
        (
            "memory.events",
            &[("oom_kill", 15), ("max", 18), ("high", 19), ("oom", 20)],
        ),
    ],
};

/// What a capture keeps, of both versions. The root has no files of v2 that are read, but it tells
/// that there is the controller.
pub const CAPTURED: Captured = Captured::Copied(KEPT, sampler_of_captures);

const KEPT: &[Kept] = &[
    Kept::Text("sys/fs/cgroup/cgroup.controllers"),
    Kept::Text("sys/fs/cgroup/unified/cgroup.controllers"),
    Kept::Text("sys/fs/cgroup/**/memory.current"),
    Kept::Text("sys/fs/cgroup/**/memory.peak"),
    Kept::Text("sys/fs/cgroup/**/memory.max"),
    Kept::Text("sys/fs/cgroup/**/memory.high"),
    Kept::Text("sys/fs/cgroup/**/memory.swap.current"),
    Kept::Text("sys/fs/cgroup/**/memory.swap.max"),
    Kept::Text("sys/fs/cgroup/**/memory.stat"),
    Kept::Text("sys/fs/cgroup/**/memory.events"),
    Kept::Text("sys/fs/cgroup/memory/**/memory.usage_in_bytes"),
    Kept::Text("sys/fs/cgroup/memory/**/memory.max_usage_in_bytes"),
    Kept::Text("sys/fs/cgroup/memory/**/memory.limit_in_bytes"),
    Kept::Text("sys/fs/cgroup/memory/**/memory.kmem.usage_in_bytes"),
    Kept::Text("sys/fs/cgroup/memory/**/memory.kmem.tcp.usage_in_bytes"),
    Kept::Text("sys/fs/cgroup/memory/**/memory.oom_control"),
    Kept::Text("sys/fs/cgroup/memory/**/memory.failcnt"),
];

/// The memory controller is in one hierarchy only: v2, or v1 beside it (hybrid), or v1.
fn hierarchy(root: &Root) -> Option<(&'static str, &'static Version)> {
    for top in ["sys/fs/cgroup", "sys/fs/cgroup/unified"] {
        let controllers = root.text(&format!("{top}/cgroup.controllers"));
        let words = controllers.as_deref().unwrap_or_default();
        if words.split_ascii_whitespace().any(|word| word == "memory") {
            return Some((top, &V2));
        }
    }
    let top = "sys/fs/cgroup/memory";
    root.stat(&format!("{top}/memory.stat")).map(|_| (top, &V1))
}

struct Cgroups {
    known: HashMap<Vec<u8>, [Value; COLUMNS]>,
    samples: u32,
    longest: Duration,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Default for Cgroups {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            samples: 0,
            longest: LONGEST,
            buffer: Vec::new(),
            bytes: 0,
        }
    }
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Cgroups::default())
}

/// The files of a capture come from a disk, and no machine waits for its next tick meanwhile.
fn sampler_of_captures(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Cgroups {
        longest: Duration::MAX,
        ..Cgroups::default()
    })
}

impl Sampler for Cgroups {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        self.bytes = 0;
        let Some((top, version)) = hierarchy(moment.root) else {
            let needs = SPEC.needs;
            let reason = format!("sys/fs/cgroup: no memory controller (needs {needs})");
            return Outcome::nothing((Status::Unavailable, reason));
        };
        let in_full = moment.full || self.samples.is_multiple_of(FULL_EVERY);
        self.samples = self.samples.wrapping_add(1);
        let mut before = std::mem::take(&mut self.known);
        let mut reason = None;
        let mut denied = false;
        let started = Instant::now();
        let mut groups = VecDeque::new();
        match moment.root.open_dir(top) {
            Ok(folder) => push_children(&folder, b"", &mut groups),
            Err(error) => denied = is_denial(error),
        }
        while let Some(path) = groups.pop_front() {
            if self.known.len() == MOST_GROUPS {
                reason = Some(format!(
                    "more than {MOST_GROUPS} groups: the deepest are left out"
                ));
                break;
            }
            let full_path = [top.as_bytes(), &path].concat();
            let folder = match moment.root.open_dir(&full_path) {
                Ok(folder) => folder,
                Err(error) => {
                    denied |= is_denial(error);
                    continue; // else it was removed meanwhile
                }
            };
            let Ok(stat) = rustix::fs::fstat(&folder) else {
                continue;
            };
            let mut key = path.clone();
            // The inode of a copy says nothing: in a capture a path is all there is.
            let inode = if moment.root.is_captured() {
                0
            } else {
                stat.st_ino
            };
            let _ = write!(key, " {inode}");
            let known = before.remove(&key);
            let late = started.elapsed() > self.longest;
            if late {
                let longest = self.longest.as_millis();
                reason.get_or_insert_with(|| {
                    format!("after {longest} ms the other groups are as they were before")
                });
            }
            let values = match known {
                Some(known) if late => Some(known),
                None if late => None,
                // Without the controller a group has none of its files, nor have those below it.
                known => self.read_group(&folder, version, known.filter(|_| !in_full)),
            };
            let Some(values) = values else {
                continue;
            };
            rows.entity(&key, &path, &values);
            rows.label("version", Label::Int(version.number));
            self.known.insert(key, values);
            let depth = path.iter().filter(|byte| **byte == b'/').count();
            // A folder of the kernel's counts the folders in it as links, and its own two.
            if stat.st_nlink != 2 && depth < DEEPEST {
                push_children(&folder, &path, &mut groups);
            }
        }
        if denied {
            reason.get_or_insert_with(|| "some groups: permission denied".to_owned());
        }
        Outcome::obtained(reason, self.bytes)
    }
}

fn is_denial(error: Errno) -> bool {
    matches!(error, Errno::ACCESS | Errno::PERM)
}

/// Adds the groups in a folder, in order of their names, so that the same ones are read each time.
fn push_children(folder: &OwnedFd, path: &[u8], groups: &mut VecDeque<Vec<u8>>) {
    let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut found = Vec::new();
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        if entry.file_type() == FileType::Directory && name != b"." && name != b".." {
            found.push([path, b"/", name].concat());
        }
    }
    found.sort_unstable();
    groups.extend(found);
}

impl Cgroups {
    /// The columns of one group; `known` is returned where what it uses is the same as then.
    fn read_group(
        &mut self,
        folder: &OwnedFd,
        version: &Version,
        known: Option<[Value; COLUMNS]>,
    ) -> Option<[Value; COLUMNS]> {
        let mut values = [Value::Null; COLUMNS];
        for (at, (file, column)) in version.files.iter().enumerate() {
            let is_there = self.read(folder, file);
            if at == 0 && !is_there {
                return None;
            }
            let value = is_there.then(|| amount(&self.buffer)).flatten();
            put(&mut values, *column, value);
            if at == 0
                && let Some(known) = known
                && known.first() == values.first()
            {
                return Some(known);
            }
        }
        for (file, keys) in version.keyed {
            if self.read(folder, file) {
                for (key, column) in *keys {
                    put(&mut values, *column, value_of(&self.buffer, key.as_bytes()));
                }
            }
        }
        Some(values)
    }

    /// Reads a file of a group into the buffer; false when it is not there.
    fn read(&mut self, folder: &OwnedFd, file: &str) -> bool {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let read = rustix::fs::openat(folder, file, flags, Mode::empty())
            .and_then(|fd| read_whole(&fd, &mut self.buffer));
        self.bytes += self.buffer.len() as u64;
        read.is_ok()
    }
}

fn put(values: &mut [Value; COLUMNS], column: usize, value: Option<u64>) {
    if let Some(slot) = values.get_mut(column) {
        *slot = value.into();
    }
}

/// The number in a file of one; `None` for `max`, and for the largest number of pages, which is v1's
/// word for no limit (PAGE_COUNTER_MAX, in pages of up to 64 KiB).
pub fn amount(text: &[u8]) -> Option<u64> {
    const NO_LIMIT: u64 = i64::MAX as u64 - (64 << 10) + 1;
    parse_u64(text.trim_ascii()).filter(|amount| *amount < NO_LIMIT)
}

/// The number that stands behind a key in a file of keys and values.
pub fn value_of(text: &[u8], key: &[u8]) -> Option<u64> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let (word, rest) = first_word(line)?;
        (word == key).then(|| parse_u64(rest.trim_ascii()))?
    })
}

#[cfg(test)]
mod tests;
