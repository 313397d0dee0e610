//! Processes taken in turn, some at each sample: what is known of each without asking it, and what a
//! look at it costs.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::mem::MaybeUninit;

use rustix::fs::RawDir;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::process_text::{Statm, parse_stat, parse_statm};
use crate::root::{Root, read_whole};

/// All have had their turn within this many samples ...
const SAMPLES: usize = 10;
/// ... and so many are taken at least: with few processes all have it at each sample.
const LEAST: usize = 64;

/// What reading the mappings of a process costs for each MiB of it until that is known here
/// (measured: 14 to 17 us on a cloud machine; a slow board takes several times as long).
const US_PER_MIB: f64 = 15.0;
/// A read may take this long: a process waits for it where it maps or unmaps, and a sixtieth of a
/// second is what nobody notices.
const LONGEST_US: f64 = 16_000.0;
/// Why a process is not read whose read would take longer.
pub(super) const TAKES_TOO_LONG: &str = "a process is left out whose read would take over 16 ms";
/// From this size on a read tells what a MiB costs, and not what a process costs.
const TELLING_MIB: f64 = 16.0;

/// A process in the turn.
#[derive(Debug)]
pub(super) struct Known {
    /// Of its folder: another one is another process, or the same after the kernel forgot it.
    inode: u64,
    listed: u64,
    /// As it was read last; `None` before.
    pub(super) statm: Option<Statm>,
    /// Resident pages when it was first read.
    pub(super) first_pages: u64,
}

impl Known {
    /// Whether it is known to have no memory of its own: a kernel thread, or a zombie.
    fn has_none(&self) -> bool {
        self.statm.is_some_and(|statm| statm.size_pages == 0)
    }
}

/// How a look at a process went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It has no memory of its own.
    Nothing,
    /// As at the last look.
    Same(Statm),
    /// Its memory differs, or it was not known.
    Changed(Statm),
    /// It ended.
    Gone,
}

/// Goes round the processes.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) known: HashMap<u32, Known>,
    waiting: Vec<u32>,
    listing: u64,
    buffer: Vec<u8>,
}

impl Turn {
    /// Lists /proc; names those that are no longer there. A pid that was given to another process
    /// counts as not looked at.
    pub(super) fn list(&mut self, root: &Root) -> Result<Vec<u32>, Errno> {
        self.listing += 1;
        let listing = self.listing;
        let directory = root.open_dir("proc")?;
        let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = std::str::from_utf8(entry.file_name().to_bytes()).ok();
            let Some(pid) = name.and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let known = self.known.entry(pid).or_insert_with(|| Known {
                inode: entry.ino(),
                listed: listing,
                statm: None,
                first_pages: 0,
            });
            known.listed = listing;
            if known.inode != entry.ino() {
                known.inode = entry.ino();
                known.statm = None;
            }
        }
        let gone: Vec<u32> = self
            .known
            .iter()
            .filter(|(_, known)| known.listed != listing)
            .map(|(pid, _)| *pid)
            .collect();
        for pid in &gone {
            self.known.remove(pid);
        }
        Ok(gone)
    }

    /// The next processes, at most as many as one sample takes, none of them twice.
    pub(super) fn take(&mut self) -> Vec<u32> {
        let count = (self.known.len() / SAMPLES)
            .max(LEAST)
            .min(self.known.len());
        let mut taken = Vec::with_capacity(count);
        let mut seen = HashSet::with_capacity(count);
        let mut has_begun_anew = false;
        while taken.len() < count {
            if self.waiting.is_empty() {
                if has_begun_anew {
                    break;
                }
                has_begun_anew = true;
                self.waiting.extend(self.known.keys());
                self.waiting.sort_unstable_by(|a, b| b.cmp(a));
            }
            let next = self.waiting.pop();
            taken.extend(next.filter(|pid| self.known.contains_key(pid) && seen.insert(*pid)));
        }
        taken
    }

    /// Puts back those that could not be looked at any more: they are the next ones.
    pub(super) fn put_back(&mut self, pids: &[u32]) {
        self.waiting.extend(pids.iter().rev());
    }

    /// Reads the size of a process.
    pub(super) fn look(&mut self, root: &Root, pid: u32) -> Look {
        let Some(known) = self.known.get_mut(&pid) else {
            return Look::Gone;
        };
        if known.has_none() {
            return Look::Nothing;
        }
        let read = root
            .open_file(&format!("proc/{pid}/statm"))
            .and_then(|file| read_whole(&file, &mut self.buffer));
        let Some(statm) = read.ok().and_then(|()| parse_statm(&self.buffer)) else {
            return Look::Gone;
        };
        let before = known.statm.replace(statm);
        if before.is_none() {
            known.first_pages = statm.resident_pages;
        }
        if statm.size_pages == 0 {
            Look::Nothing
        } else if before == Some(statm) {
            Look::Same(statm)
        } else {
            Look::Changed(statm)
        }
    }

    /// Who a process is: the start of its keys (`pid.start`), and its name.
    pub(super) fn identity(&mut self, root: &Root, pid: u32) -> Option<(Vec<u8>, Vec<u8>)> {
        let file = root.open_file(&format!("proc/{pid}/stat")).ok()?;
        read_whole(&file, &mut self.buffer).ok()?;
        let stat = parse_stat(&self.buffer)?;
        let mut key = Vec::with_capacity(16);
        let _ = write!(key, "{pid}.{}", stat.start_ticks);
        Some((key, stat.comm.to_vec()))
    }
}

/// What reading the mappings of processes costs on this machine.
#[derive(Debug)]
pub(super) struct Cost {
    us_per_mib: f64,
    page_mib: f64,
}

impl Default for Cost {
    fn default() -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a page size")]
        let page = rustix::param::page_size() as f64;
        Self {
            us_per_mib: US_PER_MIB,
            page_mib: page / 1_048_576.0,
        }
    }
}

impl Cost {
    /// Whether a read of so many resident pages would keep a process waiting for too long.
    pub(super) fn is_too_much(&self, resident_pages: u64) -> bool {
        self.mib(resident_pages) * self.us_per_mib > LONGEST_US
    }

    /// Takes note of what a read took.
    pub(super) fn note(&mut self, resident_pages: u64, took_us: f64) {
        let mib = self.mib(resident_pages);
        if mib >= TELLING_MIB {
            self.us_per_mib += (took_us / mib - self.us_per_mib) / 4.0;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a size")]
    fn mib(&self, pages: u64) -> f64 {
        pages as f64 * self.page_mib
    }
}

/// CPU time that may be spent: each sample earns some, and one that takes more is paid for by the next
/// ones, so that large processes cost no more in the long run than small ones.
#[derive(Debug, Default)]
pub(super) struct Credit {
    left_us: f64,
    since_us: f64,
}

impl Credit {
    /// One that has to pay for what was read before.
    #[cfg(test)]
    pub(super) fn owing(us: f64) -> Self {
        Self {
            left_us: -us,
            since_us: thread_us(),
        }
    }

    /// Begins a sample, which earns so much. What was not spent is not saved.
    pub(super) fn earn(&mut self, us: f64) {
        self.left_us = (self.left_us + us).min(us);
        self.since_us = thread_us();
    }

    /// Whether there is any left.
    pub(super) fn is_left(&mut self) -> bool {
        self.spend();
        self.left_us > 0.0
    }

    /// Ends a sample.
    pub(super) fn spend(&mut self) {
        let now = thread_us();
        self.left_us -= now - self.since_us;
        self.since_us = now;
    }
}

/// CPU time of this thread in us: what a read costs, whatever else the machine does meanwhile.
pub(super) fn thread_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "the CPU time of a thread")]
    let (seconds, nanoseconds) = (time.tv_sec as f64, time.tv_nsec as f64);
    seconds * 1e6 + nanoseconds / 1e3
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::super::made_up::MadeUp;
    use super::*;

    #[test]
    fn all_have_their_turn_within_ten_samples_and_none_twice_in_one() {
        let machine = MadeUp::new();
        for pid in 1..=800 {
            machine.folder(&format!("proc/{pid}"));
        }
        let root = machine.root();
        let mut turn = Turn::default();
        let mut seen = HashSet::new();
        for _ in 0..10 {
            turn.list(&root).unwrap();
            let taken = turn.take();
            assert_eq!(taken.len(), 80);
            seen.extend(taken);
        }
        assert_eq!(seen.len(), 800);
        machine.end(7);
        assert_eq!(turn.list(&root).unwrap(), vec![7]);
        // What was put back comes first.
        let taken = turn.take();
        turn.put_back(taken.get(10..).unwrap());
        assert_eq!(turn.take().first(), taken.get(10));
    }

    #[test]
    fn with_few_processes_all_are_taken_at_each_sample() {
        let machine = MadeUp::new();
        for pid in [1, 9, 300] {
            machine.folder(&format!("proc/{pid}"));
        }
        let root = machine.root();
        let mut turn = Turn::default();
        for _ in 0..3 {
            turn.list(&root).unwrap();
            assert_eq!(turn.take(), vec![1, 9, 300]);
        }
    }

    #[test]
    fn a_sample_that_took_too_much_is_paid_for_by_the_next_ones() {
        let mut credit = Credit::default();
        credit.earn(1e9);
        assert!(credit.is_left());
        credit = Credit::owing(2.5e9);
        for _ in 0..2 {
            credit.earn(1e9);
            assert!(!credit.is_left());
        }
        credit.earn(1e9);
        assert!(credit.is_left());
        // Nothing is saved.
        credit.earn(1e9);
        credit.earn(1e9);
        assert!(credit.left_us <= 1e9);
    }

    #[test]
    fn what_is_too_large_depends_on_what_a_mib_costs_here() {
        let mut cost = Cost {
            us_per_mib: US_PER_MIB,
            page_mib: 4096.0 / 1_048_576.0,
        };
        let gib = 262_144;
        assert!(!cost.is_too_much(gib), "15.4 ms");
        assert!(cost.is_too_much(gib + gib / 10));
        // A slow board: 60 us a MiB.
        for _ in 0..40 {
            cost.note(gib / 8, 128.0 * 60.0);
        }
        assert!(cost.is_too_much(gib / 3));
        assert!(!cost.is_too_much(gib / 4));
        // A small process says nothing of it.
        cost.note(100, 1e6);
        assert!(!cost.is_too_much(gib / 4));
    }
}
