//! Every process: its memory, threads and descriptors.
//!
//! Reading is in two tiers, because over nine tenths of the cost is the kernel's. `statm` of every
//! process at every tick, on held descriptors where the budget for them allows; `status`, `stat` and
//! the number of descriptors only of processes whose `statm` changed, and of the others in turn.
//! /proc is listed again only when a pid was given out or a process vanished.
//!
//! None of these files takes the process's mmap lock, which a process that hangs in the kernel can
//! hold for ever (`smaps`, `maps` and `cmdline` do). Three of them can block nevertheless, each for
//! one process only: `stat`, `exe` and the links in `fd` wait for an exec that hangs in the middle
//! (`exec_update_lock`, Linux 5.10; fs/proc/array.c and base.c), and who reads `statm` or `status`
//! just when the process ends tears its address space down, waiting for asynchronous I/O that a dead
//! device does not finish (`exit_aio` in kernel/fork.c). Such a process is left out until it lets go.

use std::collections::HashMap;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use memsoak_schema::{Label, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};
use rustix::fs::RawDir;
use rustix::io::Errno;

use super::captured::{Captured, Kept};
use super::process_fds::Newest;
use super::process_text::{self, Statm};
use super::{Moment, Outcome, Sampler, Setup, files};
use crate::root::{Root, read_whole};

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "process",
    paths: &[
        "proc/PID/statm",
        "proc/PID/status",
        "proc/PID/stat",
        "proc/PID/fd",
    ],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("rss_anon_kib", Unit::Kib)
                .judged(Trend::Memory)
                .part_of("meminfo/AnonPages"),
            MetricSpec::gauge("rss_file_kib", Unit::Kib),
            MetricSpec::gauge("rss_shmem_kib", Unit::Kib)
                .judged(Trend::Memory)
                .part_of("meminfo/Shmem"),
            MetricSpec::gauge("vm_swap_kib", Unit::Kib)
                .judged(Trend::Memory)
                .part_of("meminfo/SwapTotal"),
            MetricSpec::gauge("vm_size_kib", Unit::Kib).judged(Trend::Clue),
            MetricSpec::gauge("vm_pte_kib", Unit::Kib)
                .judged(Trend::Memory)
                .part_of("meminfo/PageTables"),
            MetricSpec::gauge("threads", Unit::Count)
                .judged(Trend::Count)
                .part_of("loadavg/tasks"),
            MetricSpec::gauge("fds", Unit::Count)
                .judged(Trend::Count)
                .part_of("fs/file-nr.allocated"),
            MetricSpec::counter("minor_faults", Unit::Count),
            MetricSpec::counter("major_faults", Unit::Count),
            MetricSpec::counter("cpu_ticks", Unit::ClockTicks),
            MetricSpec::gauge("state", Unit::Count),
            MetricSpec::gauge("rss_kib", Unit::Kib).generated(),
        ],
    },
    interval_s: 0,
    needs: "CAP_SYS_PTRACE for exe of other users' processes, CAP_DAC_READ_SEARCH for their fds before Linux 6.2; hidepid hides processes",
    caveats: "a process whose statm stays the same is read in full only in turn (all within 30 ticks or 60 s), so its threads, fds, faults and CPU time can be that old; kernel threads have no memory of their own: NULL",
    overhead: "statm 2.3 us a process on a held descriptor, 6.5 us else; status, stat and fds 27 us for each that changed, and 3 us for each of the 16 newest descriptors when there are half more than at the last look; each held descriptor keeps 5 kB of kernel memory, all together at most 0.05 % of MemTotal",
};

/// What a capture keeps.
pub const CAPTURED: Captured = Captured::Kept(&[
    Kept::Text("proc/PID/statm"),
    Kept::Text("proc/PID/status"),
    Kept::Text("proc/PID/stat"),
    Kept::Names("proc/PID/fd"),
    Kept::Link("proc/PID/exe"),
]);

const COLUMNS: usize = 12;

/// A full turn over the processes that do not change is done within this many ticks ...
const TURN_TICKS: u64 = 30;
/// ... and within this time, whichever comes first.
const TURN_US: u64 = 60_000_000;
/// A turn takes at least this many processes a tick: with few processes all are fresh.
const TURN_LEAST: usize = 32;

struct Process {
    key: Vec<u8>,
    inode: u64,
    statm: Option<Statm>,
    held: Option<OwnedFd>,
    /// Kernel threads have no address space: their statm is zeros for ever.
    has_memory: bool,
    values: [Value; COLUMNS],
    comm: Vec<u8>,
    exe: Option<Vec<u8>>,
    ppid: Option<u32>,
    uid: Option<u32>,
    newest_fds: Newest,
    listed: u64,
}

struct Processes {
    turn_ticks: u64,
    held_limit: usize,
    held: usize,
    known: HashMap<u32, Process>,
    turn: Vec<u32>,
    last_pid: Option<u64>,
    listing: u64,
    /// Processes whose files block.
    left_out: Vec<u32>,
    counts_fds_by_stat: Option<bool>,
    buffer: Vec<u8>,
    bytes: u64,
}

/// Makes the sampler.
pub fn sampler(setup: &Setup) -> Box<dyn Sampler> {
    Box::new(Processes {
        turn_ticks: (TURN_US / setup.interval_us.max(1)).clamp(1, TURN_TICKS),
        held_limit: setup.held_processes,
        held: 0,
        known: HashMap::new(),
        turn: Vec::new(),
        last_pid: None,
        listing: 0,
        left_out: Vec::new(),
        counts_fds_by_stat: None,
        buffer: Vec::new(),
        bytes: 0,
    })
}

enum Seen {
    Same,
    Changed,
    Gone,
}

impl Sampler for Processes {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        self.bytes = 0;
        let root = moment.root;
        let mut gone = Vec::new();
        let mut changed = Vec::new();
        let last_pid = self.last_pid(root);
        let mut list = last_pid.is_none() || last_pid != self.last_pid || moment.full;
        self.last_pid = last_pid;

        let known: Vec<u32> = self.known.keys().copied().collect();
        for &pid in &known {
            match self.look(root, pid) {
                Seen::Same => {}
                Seen::Changed => changed.push(pid),
                Seen::Gone => {
                    list = true;
                    self.forget(pid, &mut gone);
                }
            }
        }
        if list && let Err(error) = self.list(root, &mut changed, &mut gone) {
            return files::no_processes(error).having_read(self.bytes);
        }
        changed.sort_unstable();
        self.take_turn(&mut changed);
        for pid in &changed {
            if !self.read_in_full(root, *pid) {
                self.forget(*pid, &mut gone);
            }
        }

        if moment.full {
            // In order of pids, so that what was captured gives the same rows each time.
            let mut all: Vec<_> = self.known.iter().collect();
            all.sort_unstable_by_key(|(pid, _)| **pid);
            for (_, process) in all {
                process.put(rows);
            }
        } else {
            rows.set_incremental();
            for process in changed.iter().filter_map(|pid| self.known.get(pid)) {
                process.put(rows);
            }
        }
        for key in &gone {
            rows.gone(key);
        }
        let reason = (!self.left_out.is_empty()).then(|| {
            let pids: Vec<_> = self.left_out.iter().map(u32::to_string).collect();
            format!("the files of {} block: left out", pids.join(", "))
        });
        Outcome::obtained(reason, self.bytes)
    }

    fn leave_out(&mut self, blocking: &[&str]) -> bool {
        let pids: Option<Vec<u32>> = blocking.iter().map(|path| pid_in(path)).collect();
        let Some(pids) = pids else {
            return false;
        };
        for pid in &pids {
            self.forget(*pid, &mut Vec::new());
        }
        self.left_out = pids;
        self.last_pid = None; // list again: who was left out is there
        true
    }

    fn held_descriptors(&self) -> usize {
        self.held
    }
}

impl Processes {
    /// The pid that was given out last: while it stays, no process was born.
    fn last_pid(&mut self, root: &Root) -> Option<u64> {
        let file = root.open_file("proc/loadavg").ok()?;
        read_whole(&file, &mut self.buffer).ok()?;
        let text = self.buffer.trim_ascii_end();
        let last = text.rsplit(|&byte| byte == b' ').next()?;
        std::str::from_utf8(last).ok()?.parse().ok()
    }

    /// Reads statm and tells whether the process changed.
    fn look(&mut self, root: &Root, pid: u32) -> Seen {
        let Some(process) = self.known.get_mut(&pid) else {
            return Seen::Gone;
        };
        if !process.has_memory {
            return Seen::Same; // seen to be gone by the listing
        }
        let read = match &process.held {
            // A held descriptor gives ESRCH after the process's end, never the pid's next owner.
            Some(fd) => {
                root.reads_held_statm(pid);
                read_whole(fd, &mut self.buffer)
            }
            None => root.open_file(&format!("proc/{pid}/statm")).and_then(|fd| {
                read_whole(&fd, &mut self.buffer)?;
                if self.held < self.held_limit {
                    self.held += 1;
                    process.held = Some(fd);
                }
                Ok(())
            }),
        };
        self.bytes += self.buffer.len() as u64;
        match read {
            Ok(()) => {
                let statm = process_text::parse_statm(&self.buffer);
                if statm == process.statm {
                    Seen::Same
                } else {
                    process.statm = statm;
                    Seen::Changed
                }
            }
            Err(_) => Seen::Gone,
        }
    }

    /// Lists /proc: who is new (or a new owner of a pid), who is gone.
    fn list(
        &mut self,
        root: &Root,
        changed: &mut Vec<u32>,
        gone: &mut Vec<Vec<u8>>,
    ) -> Result<(), Errno> {
        self.listing += 1;
        let directory = root.open_dir("proc")?;
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&directory, &mut buffer);
        let mut reused = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let Some(pid) = std::str::from_utf8(entry.file_name().to_bytes())
                .ok()
                .and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            if self.left_out.contains(&pid) {
                continue;
            }
            match self.known.get_mut(&pid) {
                Some(process) => {
                    process.listed = self.listing;
                    // The inode is of the process, not of the pid; it also changes when the kernel
                    // drops it under memory pressure, so the start time has the last word.
                    if process.inode != entry.ino() {
                        process.inode = entry.ino();
                        reused.push(pid);
                    }
                }
                None => {
                    self.known
                        .insert(pid, Process::new(entry.ino(), self.listing));
                    self.look(root, pid);
                    changed.push(pid);
                }
            }
        }
        for pid in reused {
            let before = self
                .known
                .get(&pid)
                .map(|p| p.key.clone())
                .unwrap_or_default();
            if self.start_key(root, pid).is_some_and(|key| key == before) {
                continue;
            }
            let inode = self.known.get(&pid).map_or(0, |p| p.inode);
            self.forget(pid, gone);
            self.known.insert(pid, Process::new(inode, self.listing));
            self.look(root, pid);
            changed.push(pid);
        }
        let vanished: Vec<u32> = self
            .known
            .iter()
            .filter(|(_, process)| process.listed != self.listing)
            .map(|(pid, _)| *pid)
            .collect();
        for pid in vanished {
            self.forget(pid, gone);
        }
        Ok(())
    }

    fn start_key(&mut self, root: &Root, pid: u32) -> Option<Vec<u8>> {
        let file = root.open_file(&format!("proc/{pid}/stat")).ok()?;
        read_whole(&file, &mut self.buffer).ok()?;
        let stat = process_text::parse_stat(&self.buffer)?;
        Some(key_of(pid, stat.start_ticks))
    }

    fn forget(&mut self, pid: u32, gone: &mut Vec<Vec<u8>>) {
        if let Some(process) = self.known.remove(&pid) {
            self.held -= usize::from(process.held.is_some());
            if !process.key.is_empty() {
                gone.push(process.key);
            }
        }
    }

    /// Adds those whose turn it is to be read in full though their statm is the same.
    fn take_turn(&mut self, changed: &mut Vec<u32>) {
        let share = self.known.len() as u64 / self.turn_ticks;
        let count = usize::try_from(share).map_or(TURN_LEAST, |share| share.max(TURN_LEAST));
        for _ in 0..count.min(self.known.len()) {
            if self.turn.is_empty() {
                self.turn.extend(self.known.keys());
                self.turn.sort_unstable_by(|a, b| b.cmp(a));
            }
            if let Some(pid) = self.turn.pop()
                && self.known.contains_key(&pid)
                && changed.binary_search(&pid).is_err()
            {
                changed.push(pid);
            }
        }
    }

    /// Reads status, stat and the number of descriptors. Says false when the process is gone.
    fn read_in_full(&mut self, root: &Root, pid: u32) -> bool {
        let fds = self.count_fds(root, pid);
        let Some(process) = self.known.get_mut(&pid) else {
            return true;
        };
        let Ok(file) = root.open_file(&format!("proc/{pid}/stat")) else {
            return false;
        };
        if read_whole(&file, &mut self.buffer).is_err() {
            return false;
        }
        self.bytes += self.buffer.len() as u64;
        let Some(stat) = process_text::parse_stat(&self.buffer) else {
            return false;
        };
        let key = key_of(pid, stat.start_ticks);
        if process.key.is_empty() {
            process.key = key;
        } else if process.key != key {
            return false; // the pid's next owner; the next listing finds it
        }
        let comm = steady_name(stat.comm);
        let renamed = process.comm != comm;
        if renamed {
            process.comm.clear();
            process.comm.extend_from_slice(comm);
        }
        let values = &mut process.values;
        values[8] = stat.minor_faults.into();
        values[9] = stat.major_faults.into();
        values[10] = (stat.utime_ticks + stat.stime_ticks).into();
        values[11] = Value::Int(i64::from(stat.state));
        process.ppid = Some(stat.ppid);
        values[6] = stat.threads.into();
        values[7] = fds.into();
        process.newest_fds.update(root, pid, fds);

        let Ok(file) = root.open_file(&format!("proc/{pid}/status")) else {
            return false;
        };
        if read_whole(&file, &mut self.buffer).is_err() {
            return false;
        }
        self.bytes += self.buffer.len() as u64;
        let status = process_text::parse_status(&self.buffer);
        values[0] = status.rss_anon_kib.into();
        values[1] = status.rss_file_kib.into();
        values[2] = status.rss_shmem_kib.into();
        values[3] = status.vm_swap_kib.into();
        values[4] = status.vm_size_kib.into();
        values[5] = status.vm_pte_kib.into();
        process.uid = status.uid;
        process.has_memory = status.vm_size_kib.is_some();
        if !process.has_memory && process.held.take().is_some() {
            self.held -= 1;
        }
        if renamed {
            process.exe = if process.has_memory {
                exe_name(root, pid)
            } else {
                None
            };
        }
        true
    }

    /// Open descriptors. Since Linux 6.2 (commit f1f1f2569901) the size of the folder is their
    /// number; before, the folder must be listed.
    fn count_fds(&mut self, root: &Root, pid: u32) -> Option<u64> {
        let folder = format!("proc/{pid}/fd");
        // A capture keeps the names in the folder, one on a line.
        if root.is_captured()
            && let Some(names) = root.bytes(&folder)
        {
            return Some(names.split_inclusive(|byte| *byte == b'\n').count() as u64);
        }
        let by_stat = match self.counts_fds_by_stat {
            Some(by_stat) => by_stat,
            None => {
                let own = root
                    .stat("proc/self/fd")
                    .is_some_and(|stat| stat.st_size > 0);
                self.counts_fds_by_stat = Some(own);
                own
            }
        };
        if by_stat {
            return u64::try_from(root.stat(&folder)?.st_size).ok();
        }
        let directory = root.open_dir(&folder).ok()?;
        let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
        let mut entries = RawDir::new(&directory, &mut buffer);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            count += u64::from(!entry.ok()?.file_name().to_bytes().starts_with(b"."));
        }
        Some(count)
    }
}

impl Process {
    fn new(inode: u64, listed: u64) -> Self {
        Self {
            key: Vec::new(),
            inode,
            statm: None,
            held: None,
            has_memory: true,
            values: [Value::Null; COLUMNS],
            comm: Vec::new(),
            exe: None,
            ppid: None,
            uid: None,
            newest_fds: Newest::default(),
            listed,
        }
    }

    fn put(&self, rows: &mut Rows) {
        if self.key.is_empty() {
            return;
        }
        rows.entity(&self.key, &self.comm, &self.values);
        let number = |n: u32| Label::Int(n.into());
        if let Some(pid) = self
            .key
            .split(|&b| b == b'.')
            .next()
            .and_then(|pid| std::str::from_utf8(pid).ok()?.parse::<u32>().ok())
        {
            rows.label("pid", number(pid));
        }
        if let Some(ppid) = self.ppid {
            rows.label("ppid", number(ppid));
        }
        if let Some(uid) = self.uid {
            rows.label("uid", number(uid));
        }
        if let Some(exe) = &self.exe {
            rows.label("exe", Label::Bytes(exe));
        }
        if let Some(kind) = &self.newest_fds.kind {
            rows.label("newest_fds", Label::Bytes(kind));
        }
    }
}

/// The process that a path in /proc belongs to.
fn pid_in(path: &str) -> Option<u32> {
    path.strip_prefix("proc/")?.split('/').next()?.parse().ok()
}

/// Identity of a process within a boot: pid and start time in clock ticks.
fn key_of(pid: u32, start_ticks: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    let _ = write!(key, "{pid}.{start_ticks}");
    key
}

/// A kernel worker's name without the work it does now, which changes from tick to tick
/// (`kworker/0:1-events`; Linux 4.18, commit 6b59808bfe48).
fn steady_name(comm: &[u8]) -> &[u8] {
    if comm.starts_with(b"kworker/") {
        let end = comm.iter().position(|byte| b"-+".contains(byte));
        comm.get(..end.unwrap_or(comm.len())).unwrap_or(comm)
    } else {
        comm
    }
}

/// The file name of the executable, without its folders: they can hold secrets and seldom help.
fn exe_name(root: &Root, pid: u32) -> Option<Vec<u8>> {
    let target = root.read_link(&format!("proc/{pid}/exe"))?;
    let name = target.rsplit(|&byte| byte == b'/').next()?;
    Some(name.to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that fails may panic"
    )]

    use std::fs;
    use std::path::Path;

    use memsoak_schema::Status;

    use super::super::made_up::{MadeUp, SETUP};
    use super::*;

    /// A made-up machine with all files of its processes.
    struct Proc(MadeUp);

    impl Proc {
        fn new() -> Self {
            Self(MadeUp::new())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn put(&self, pid: u32, start: u64, comm: &str, anon_pages: u64) {
            self.0.process(pid, start, comm, anon_pages);
            self.0.file(&format!("proc/{pid}/fd/0"), "");
            let anon = anon_pages * 4;
            self.0.file(
                &format!("proc/{pid}/status"),
                format!(
                    "Name:\t{comm}\nState:\tS (sleeping)\nPPid:\t1\nUid:\t5\t5\t5\t5\nVmSize:\t2000 kB\n\
                     RssAnon:\t{anon} kB\nRssFile:\t0 kB\nRssShmem:\t0 kB\nVmPTE:\t44 kB\nVmSwap:\t0 kB\nThreads:\t2\n"
                ),
            );
        }

        fn end(&self, pid: u32) {
            self.0.end(pid);
        }

        fn last_pid(&self, pid: u32) {
            let text = format!("0.00 0.00 0.00 1/90 {pid}\n");
            self.0.file("proc/loadavg", text);
        }
    }

    /// Rows as (key, name, rss_anon_kib), and the keys that are gone.
    type Seen = (Vec<(String, String, Value)>, Vec<String>);

    fn sample(sampler: &mut dyn Sampler, proc: &Proc, full: bool) -> Seen {
        let (rows, outcome) = proc.0.sample(sampler, full);
        assert_eq!(outcome.status, Status::Ok);
        assert_eq!(rows.is_incremental(), !full);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut seen: Vec<_> = rows
            .iter()
            .map(|row| (text(row.key()), text(row.name()), row.values()[0]))
            .collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        (seen, rows.gone_keys().map(text).collect())
    }

    fn row(key: &str, name: &str, anon: i64) -> (String, String, Value) {
        (key.to_owned(), name.to_owned(), Value::Int(anon))
    }

    fn setup(held_processes: usize) -> Setup {
        Setup {
            held_processes,
            ..SETUP
        }
    }

    #[test]
    fn what_grows_is_seen_what_ends_is_gone_and_what_stays_is_in_the_full_picture() {
        for held in [0, 100] {
            let proc = Proc::new();
            proc.last_pid(8);
            proc.put(7, 100, "a b) (c", 10);
            proc.put(8, 100, "idle", 1);
            let mut sampler = sampler(&setup(held));
            let (seen, _) = sample(sampler.as_mut(), &proc, true);
            assert_eq!(
                seen,
                vec![row("7.100", "a b) (c", 40), row("8.100", "idle", 4)]
            );
            assert_eq!(sampler.held_descriptors(), held.min(2));

            proc.put(7, 100, "a b) (c", 12);
            let (seen, gone) = sample(sampler.as_mut(), &proc, false);
            assert!(seen.contains(&row("7.100", "a b) (c", 48)), "{seen:?}");
            assert!(gone.is_empty());

            proc.end(8);
            proc.last_pid(9);
            let (_, gone) = sample(sampler.as_mut(), &proc, false);
            assert_eq!(gone, vec!["8.100"]);
            let (seen, _) = sample(sampler.as_mut(), &proc, true);
            assert_eq!(seen, vec![row("7.100", "a b) (c", 48)]);
        }
    }

    #[test]
    fn the_next_owner_of_a_pid_is_another_process() {
        // Not held: a descriptor of the old process would say ESRCH on a real /proc.
        let proc = Proc::new();
        proc.last_pid(7);
        proc.put(7, 100, "old", 10);
        let mut sampler = sampler(&setup(0));
        sample(sampler.as_mut(), &proc, true);
        // The old folder is kept under another name, so that the new one does not get its inode.
        let folder = |name: &str| proc.path().join("proc").join(name);
        fs::rename(folder("7"), folder("ended")).unwrap();
        proc.put(7, 900, "new", 10);
        proc.last_pid(7_000);
        let (seen, gone) = sample(sampler.as_mut(), &proc, false);
        assert_eq!(gone, vec!["7.100"]);
        assert!(seen.contains(&row("7.900", "new", 40)), "{seen:?}");
    }

    #[test]
    fn what_vanishes_between_the_listing_and_the_read_was_never_there() {
        let proc = Proc::new();
        proc.last_pid(9);
        proc.put(7, 100, "stays", 10);
        // Of one only the folder is left, of the other only the first file that is read.
        fs::create_dir(proc.path().join("proc/8")).unwrap();
        proc.put(9, 100, "ends", 1);
        fs::remove_file(proc.path().join("proc/9/stat")).unwrap();
        let mut sampler = sampler(&setup(10));
        let (seen, gone) = sample(sampler.as_mut(), &proc, true);
        assert_eq!(seen, vec![row("7.100", "stays", 40)]);
        assert!(gone.is_empty());
        // One that is known and ends while it is read is gone.
        proc.put(7, 100, "stays", 11);
        fs::remove_file(proc.path().join("proc/7/status")).unwrap();
        let (seen, gone) = sample(sampler.as_mut(), &proc, false);
        assert_eq!((seen, gone), (vec![], vec!["7.100".to_owned()]));
    }

    #[test]
    fn a_zombie_is_there_without_memory_until_it_is_reaped() {
        let proc = Proc::new();
        proc.last_pid(7);
        proc.put(7, 100, "worker", 10);
        let mut sampler = sampler(&setup(10));
        sample(sampler.as_mut(), &proc, true);
        let dir = proc.path().join("proc/7");
        fs::write(dir.join("statm"), "0 0 0 0 0 0 0\n").unwrap();
        fs::write(
            dir.join("stat"),
            "7 (worker) Z 1 1 1 0 -1 4 7 0 3 0 5 6 0 0 20 0 0 0 100 0 0\n",
        )
        .unwrap();
        fs::write(
            dir.join("status"),
            "Name:\tworker\nState:\tZ (zombie)\nPPid:\t1\nUid:\t5\t5\t5\t5\nThreads:\t0\n",
        )
        .unwrap();
        let (seen, gone) = sample(sampler.as_mut(), &proc, false);
        let none = ("7.100".to_owned(), "worker".to_owned(), Value::Null);
        assert_eq!((seen, gone.len()), (vec![none], 0));
        assert_eq!(sampler.held_descriptors(), 0);
        proc.end(7);
        proc.last_pid(8);
        let (_, gone) = sample(sampler.as_mut(), &proc, false);
        assert_eq!(gone, vec!["7.100"]);
    }

    #[test]
    fn after_an_exec_the_process_is_the_same_under_its_new_name() {
        let proc = Proc::new();
        proc.last_pid(7);
        proc.put(7, 100, "sh", 10);
        let mut sampler = sampler(&setup(10));
        sample(sampler.as_mut(), &proc, true);
        proc.put(7, 100, "server", 20);
        let (seen, gone) = sample(sampler.as_mut(), &proc, false);
        assert_eq!(seen, vec![row("7.100", "server", 80)]);
        assert!(gone.is_empty());
    }

    #[test]
    fn a_process_whose_files_block_is_left_out_and_comes_back() {
        let proc = Proc::new();
        proc.last_pid(8);
        proc.put(7, 100, "hangs", 10);
        proc.put(8, 100, "idle", 1);
        let mut sampler = sampler(&setup(10));
        assert!(!sampler.leave_out(&["proc"]), "nothing is left then");
        assert!(sampler.leave_out(&["proc/7/stat"]));
        let (rows, outcome) = proc.0.sample(sampler.as_mut(), true);
        assert_eq!(outcome.status, Status::Partial);
        assert_eq!(
            outcome.reason.as_deref(),
            Some("the files of 7 block: left out")
        );
        let keys: Vec<_> = rows.iter().map(|row| row.key().to_vec()).collect();
        assert_eq!(keys, [b"8.100"]);

        assert!(sampler.leave_out(&[]));
        let (seen, _) = sample(sampler.as_mut(), &proc, false);
        assert!(seen.contains(&row("7.100", "hangs", 40)), "{seen:?}");
    }

    #[test]
    fn a_kernel_workers_name_stays_while_its_work_changes() {
        assert_eq!(steady_name(b"kworker/0:1-events"), b"kworker/0:1");
        assert_eq!(steady_name(b"kworker/u8:2+flush-8:0"), b"kworker/u8:2");
        assert_eq!(steady_name(b"my-server"), b"my-server");
    }
}
