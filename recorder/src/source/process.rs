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
use std::mem::MaybeUninit;

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Trend, Unit};
use rustix::fs::RawDir;
use rustix::io::Errno;

use super::captured::{Captured, Kept};
use super::process_row::{Process, Reading, key_of};
use super::process_text;
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

/// A full turn over the processes that do not change is done within this many ticks ...
const TURN_TICKS: u64 = 30;
/// ... and within this time, whichever comes first.
const TURN_US: u64 = 60_000_000;
/// A turn takes at least this many processes a tick: with few processes all are fresh.
const TURN_LEAST: usize = 32;

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
    reading: Reading,
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
        reading: Reading::default(),
    })
}

enum Seen {
    Same,
    Changed,
    Gone,
}

impl Sampler for Processes {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        self.reading.bytes = 0;
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
            return files::no_processes(error).having_read(self.reading.bytes);
        }
        changed.sort_unstable();
        self.take_turn(&mut changed);
        for pid in &changed {
            let Some(process) = self.known.get_mut(pid) else {
                continue;
            };
            // Of one without memory statm is not read again, and let go.
            let was_held = process.held.is_some();
            let is_there = process.read_in_full(root, *pid, &mut self.reading);
            self.held -= usize::from(was_held && process.held.is_none());
            if !is_there {
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
        Outcome::obtained(reason, self.reading.bytes)
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
        read_whole(&file, &mut self.reading.buffer).ok()?;
        let text = self.reading.buffer.trim_ascii_end();
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
                read_whole(fd, &mut self.reading.buffer)
            }
            None => root.open_file(&format!("proc/{pid}/statm")).and_then(|fd| {
                read_whole(&fd, &mut self.reading.buffer)?;
                if self.held < self.held_limit {
                    self.held += 1;
                    process.held = Some(fd);
                }
                Ok(())
            }),
        };
        self.reading.bytes += self.reading.buffer.len() as u64;
        match read {
            Ok(()) => {
                let statm = process_text::parse_statm(&self.reading.buffer);
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
        read_whole(&file, &mut self.reading.buffer).ok()?;
        let stat = process_text::parse_stat(&self.reading.buffer)?;
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
}

/// The process that a path in /proc belongs to.
fn pid_in(path: &str) -> Option<u32> {
    path.strip_prefix("proc/")?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
