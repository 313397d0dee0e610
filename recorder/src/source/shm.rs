//! Shared memory that processes hold by descriptors: memfds, deleted and other files on tmpfs, and
//! DMA buffers.
//!
//! What is written into such a file and never mapped is in no process' resident memory: only the
//! descriptors say whose it is.

#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CStr;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use memsoak_schema::{Label, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};
use rustix::io::Errno;

use super::process_text::parse_stat;
use super::{Moment, Outcome, Sampler, Setup, files, tmpfs};
use crate::root::{Root, read_whole};

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "shm",
    paths: &["proc/PID/fd"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("files", Unit::Count).judged(Trend::Count),
            MetricSpec::gauge("bytes", Unit::Bytes)
                .judged(Trend::Memory)
                .part_of("meminfo/Shmem"),
            MetricSpec::gauge("held_bytes", Unit::Bytes),
            MetricSpec::gauge("dmabuf_bytes", Unit::Bytes).judged(Trend::Memory),
        ],
    },
    interval_s: 60,
    needs: "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE for other users' processes",
    caveats: "A row is a process and a name of file, numbers in the name folded to `#`, at most 16 \
        names a process and the rest as `others`. bytes is what is allocated, not the size, and \
        includes what is swapped out; a file that several processes hold counts with the one that \
        started first. What is mapped too stands in rss_shmem_kib of the process as well, and files \
        that are not memfds in tmpfs. DMA buffers have dmabuf_bytes in the place of bytes, since \
        Linux 5.3: what they are made of stands in Shmem or in no class of meminfo, as the driver \
        has it. A file that is mapped and no longer open, shared anonymous \
        memory, graphics objects without a descriptor and memfds of huge pages are not here. Looking at \
        a descriptor leaves an entry and an inode of procfs in the kernel's caches, about 0.9 kB \
        that it takes back when it needs memory.",
    overhead: "about 6 us a process and 3.5 us an open file, 8 us for each that is on tmpfs; at most \
        10,000 descriptors a sample, the next one goes on. Where Shmem of meminfo has moved by less \
        than 256 KiB only every fifth sample looks, the others cost a listing of /proc. The kernel \
        remembers each descriptor that was looked at in about 1 kB of reclaimable slab.",
};

/// Descriptors that one sample looks at: about 35 ms on a slow machine.
const MOST_LINKS: usize = 10_000;
/// Descriptors of one process that are looked at, so that one with a million leaves room for others.
const MOST_LINKS_EACH: usize = 8_192;
/// Names that one process' files are told apart by: some make up a new name for each file.
const MOST_NAMES: usize = 16;
/// While Shmem stays the descriptors are looked at in every so many samples.
const WALK_EVERY: u32 = 5;
/// Shmem that moves less than this since the last walk stays; so much is in no row at the most.
const STILL_KIB: u64 = 256;
/// Bytes of a name that are kept.
const LONGEST_NAME: usize = 128;

/// What a file is to those who look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `memfd_create(2)`: on no mount.
    Memfd,
    /// It has no name any more; it goes when the last descriptor is closed.
    Deleted,
    /// It has a name on a mounted tmpfs.
    Named,
    /// A buffer that devices share (Documentation/driver-api/dma-buf.rst).
    Dmabuf,
}

impl Kind {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Memfd => b"memfd",
            Self::Deleted => b"deleted",
            Self::Named => b"named",
            Self::Dmabuf => b"dmabuf",
        }
    }
}

/// A kind and a folded name.
type Group = (Kind, Vec<u8>);

/// One file that a process holds.
#[derive(Debug)]
struct Held {
    file: (u64, u64),
    bytes: u64,
    group: Group,
}

/// A process that holds some.
#[derive(Debug)]
struct Holder {
    start_ticks: u64,
    comm: Vec<u8>,
    names: Vec<Group>,
    files: Vec<Held>,
}

#[derive(Default)]
struct Shm {
    holders: BTreeMap<u32, Holder>,
    /// The pid at which the next sample goes on, after one that had too much to look at.
    next: u32,
    /// What was wrong with the last walk.
    reason: Option<&'static str>,
    /// Shmem of meminfo at the last walk, and the samples since.
    shmem_kib: Option<u64>,
    samples: u32,
    buffer: Vec<u8>,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Shm::default())
}

/// How far one sample got.
#[derive(Default)]
struct Pass {
    links: usize,
    denied: bool,
    cut: bool,
    on_tmpfs: HashMap<u64, bool>,
}

impl Sampler for Shm {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let pids = match pids(moment.root) {
            Ok(pids) => pids,
            Err(error) => return files::no_processes(error),
        };
        self.holders
            .retain(|pid, _| pids.binary_search(pid).is_ok());
        let shmem_kib = shmem_kib(moment.root);
        self.samples += 1;
        if moment.full || self.is_worth_a_walk(shmem_kib) {
            self.shmem_kib = shmem_kib;
            self.samples = 0;
            self.walk(moment.root, &pids);
        }
        put(&self.holders, rows);
        Outcome::obtained(self.reason.map(str::to_owned), 0)
    }
}

/// Shared memory of the whole machine.
fn shmem_kib(root: &Root) -> Option<u64> {
    let meminfo = root.text("proc/meminfo")?;
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("Shmem:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

impl Shm {
    /// While Shmem stays nobody's share of it grows, and the walk can wait.
    fn is_worth_a_walk(&self, shmem_kib: Option<u64>) -> bool {
        let (Some(now), Some(then)) = (shmem_kib, self.shmem_kib) else {
            return true;
        };
        self.next != 0 || self.samples >= WALK_EVERY || now.abs_diff(then) >= STILL_KIB
    }

    /// Looks at the descriptors of the processes, or of as many as one sample may.
    fn walk(&mut self, root: &Root, pids: &[u32]) {
        let from = pids.partition_point(|pid| *pid < self.next);
        let (before, after) = pids.split_at(from);
        let mut pass = Pass {
            on_tmpfs: mounted(root),
            ..Pass::default()
        };
        self.next = 0;
        for &pid in after.iter().chain(before) {
            if pass.links >= MOST_LINKS {
                self.next = pid;
                break;
            }
            self.visit(root, pid, &mut pass);
        }
        self.reason = if pass.denied {
            Some(
                "proc/PID/fd of some processes: permission denied (needs CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE)",
            )
        } else if self.next != 0 {
            Some("too many descriptors for one sample; the next one goes on")
        } else if pass.cut {
            Some("a process has more descriptors than are looked at")
        } else {
            None
        };
    }

    /// Looks at the descriptors of one process.
    fn visit(&mut self, root: &Root, pid: u32, pass: &mut Pass) {
        let before = self.holders.remove(&pid);
        let folder = match root.open_dir(format!("proc/{pid}/fd")) {
            Ok(folder) => folder,
            Err(error) => {
                pass.denied |= matches!(error, Errno::ACCESS | Errno::PERM);
                return;
            }
        };
        let mut found = Vec::new();
        if read_files(&folder, pass, &mut found).is_err() || found.is_empty() {
            return;
        }
        let read = root
            .open_file(&format!("proc/{pid}/stat"))
            .and_then(|file| read_whole(&file, &mut self.buffer));
        let Some(stat) = read.ok().and_then(|()| parse_stat(&self.buffer)) else {
            return; // it has ended meanwhile
        };
        let mut holder = Holder {
            start_ticks: stat.start_ticks,
            comm: stat.comm.to_vec(),
            names: before
                .filter(|before| before.start_ticks == stat.start_ticks)
                .map_or_else(Vec::new, |before| before.names),
            files: Vec::new(),
        };
        for held in &mut found {
            holder.put_in_group(&mut held.group);
        }
        holder.files = found;
        self.holders.insert(pid, holder);
    }
}

impl Holder {
    /// Settles the name under which a file is counted. The first names that a process shows stay, so
    /// that a row does not change its meaning.
    fn put_in_group(&mut self, group: &mut Group) {
        if self.names.contains(group) {
            return;
        }
        if self.names.len() < MOST_NAMES {
            self.names.push(group.clone());
        } else {
            group.1 = b"others".to_vec();
        }
    }
}

/// The processes in order of their pids.
fn pids(root: &Root) -> Result<Vec<u32>, Errno> {
    let directory = root.open_dir("proc")?;
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(&directory, &mut buffer);
    let mut pids = Vec::with_capacity(1024);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = std::str::from_utf8(entry.file_name().to_bytes()).ok();
        pids.extend(name.and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The devices that are mounted, and whether each is a tmpfs; memfds and mounts of other namespaces
/// are asked for when they are met.
fn mounted(root: &Root) -> HashMap<u64, bool> {
    let mounts = root.bytes("proc/self/mountinfo").unwrap_or_default();
    tmpfs::devices(&mounts)
        .map(|((major, minor), is_tmpfs)| (rustix::fs::makedev(major, minor), is_tmpfs))
        .collect()
}

/// What a descriptor is open on.
struct File {
    device: u64,
    inode: u64,
    kind: FileType,
    blocks: u64,
}

/// Asks the machine alone: a network file system says what it knows already, so that neither its
/// server is troubled nor a read waits for one that hangs. 9p asks all the same.
fn stat(folder: &OwnedFd, name: &CStr) -> Result<File, Errno> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::BLOCKS;
    match rustix::fs::statx(folder, name, AtFlags::STATX_DONT_SYNC, wanted) {
        Ok(stat) => Ok(File {
            device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            blocks: stat.stx_blocks,
        }),
        // Before Linux 4.11.
        Err(Errno::NOSYS) => {
            let stat = rustix::fs::statat(folder, name, AtFlags::empty())?;
            Ok(File {
                device: stat.st_dev,
                inode: stat.st_ino,
                kind: FileType::from_raw_mode(stat.st_mode),
                blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            })
        }
        Err(error) => Err(error),
    }
}

/// The distinct files on tmpfs among the descriptors in a folder.
fn read_files(folder: &OwnedFd, pass: &mut Pass, found: &mut Vec<Held>) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
    let mut target = [MaybeUninit::uninit(); 512];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut seen = HashSet::new();
    let mut links = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        if links == MOST_LINKS_EACH {
            pass.cut = true;
            break;
        }
        links += 1;
        pass.links += 1;
        let link = match rustix::fs::readlinkat_raw(folder, name, &mut target) {
            Ok((link, _)) => &*link,
            Err(Errno::ACCESS | Errno::PERM) => {
                pass.denied = true;
                return Ok(());
            }
            Err(_) => continue, // closed meanwhile
        };
        let Some(group) = classify(link) else {
            continue;
        };
        let Ok(file) = stat(folder, name) else {
            continue;
        };
        let is_dmabuf = group.0 == Kind::Dmabuf;
        if !is_dmabuf && file.kind != FileType::RegularFile {
            continue;
        }
        let is_memory = is_dmabuf
            || *pass.on_tmpfs.entry(file.device).or_insert_with(|| {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                rustix::fs::openat(folder, name, flags, Mode::empty())
                    .is_ok_and(|file| is_on_tmpfs(&file))
            });
        let id = (file.device, file.inode);
        if is_memory && seen.insert(id) {
            // Of 512 bytes, whatever the block size (stat(2)); a DMA buffer sets its size as blocks
            // too (commit ed63bb1d1f84, Linux 5.3).
            let bytes = file.blocks * 512;
            found.push(Held {
                file: id,
                bytes,
                group,
            });
        }
    }
    Ok(())
}

fn is_on_tmpfs(file: impl AsFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(tmpfs::MAGIC))
}

/// What the link of a descriptor says of a file that may be on tmpfs: its kind, and its name with
/// numbers folded.
fn classify(link: &[u8]) -> Option<Group> {
    if !link.starts_with(b"/") {
        return None; // a pipe, a socket, an eventfd
    }
    let (path, deleted) = match link.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (link, false),
    };
    if path.starts_with(b"/memfd:") {
        return Some((Kind::Memfd, folded(path.strip_prefix(b"/")?)));
    }
    if let Some(name) = path.strip_prefix(b"/dmabuf:") {
        return Some((Kind::Dmabuf, folded(&[b"dmabuf:", name].concat())));
    }
    let elsewhere = path.starts_with(b"/proc/")
        || path.starts_with(b"/sys/")
        || (path.starts_with(b"/dev/") && !path.starts_with(b"/dev/shm/"));
    if elsewhere {
        return None;
    }
    let kind = if deleted { Kind::Deleted } else { Kind::Named };
    Some((kind, folded(path)))
}

/// A name with its numbers replaced by `#`: files of one use differ in them.
fn folded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len().min(LONGEST_NAME));
    let mut in_number = false;
    for byte in name {
        let digit = byte.is_ascii_digit();
        if !(digit && in_number) {
            out.push(if digit { b'#' } else { *byte });
        }
        in_number = digit;
        if out.len() == LONGEST_NAME {
            break;
        }
    }
    out
}

/// The rows of all holders.
fn put(holders: &BTreeMap<u32, Holder>, rows: &mut Rows) {
    // Each file counts once: with the process that started first, a parent before its children.
    let mut owners: HashMap<(u64, u64), (u64, u32)> = HashMap::new();
    for (pid, holder) in holders {
        let age = (holder.start_ticks, *pid);
        for held in &holder.files {
            let owner = owners.entry(held.file).or_insert(age);
            *owner = age.min(*owner);
        }
    }
    let mut key = Vec::new();
    for (pid, holder) in holders {
        let age = (holder.start_ticks, *pid);
        let mut sums: BTreeMap<&Group, (u64, [u64; 3])> = BTreeMap::new();
        for held in &holder.files {
            let device = held.file.0;
            let (_, sums) = sums.entry(&held.group).or_insert((device, [0; 3]));
            let [files, bytes, held_bytes] = sums;
            *files += 1;
            *held_bytes += held.bytes;
            if owners.get(&held.file) == Some(&age) {
                *bytes += held.bytes;
            }
        }
        for ((kind, name), (device, sums)) in sums {
            key.clear();
            let _ = write!(key, "{pid}.{}.", holder.start_ticks);
            key.extend_from_slice(kind.word());
            key.push(b'.');
            key.extend_from_slice(name);
            let [files, bytes, held_bytes] = sums.map(Value::from);
            let values = match kind {
                Kind::Dmabuf => [files, Value::Null, held_bytes, bytes],
                _ => [files, bytes, held_bytes, Value::Null],
            };
            rows.entity(&key, &holder.comm, &values);
            rows.label("pid", Label::Int(i64::from(*pid)));
            rows.label("kind", Label::Bytes(kind.word()));
            rows.label("file", Label::Bytes(name));
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            rows.label("dev", Label::Bytes(format!("{major}:{minor}").as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests;
