//! One process: what is read of it in full, and its row.

#![deny(clippy::indexing_slicing)]

use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use memsoak_schema::{Label, Rows, Value};
use rustix::fs::RawDir;

use super::process_fds::Newest;
use super::process_text::{self, Statm};
use crate::root::{Root, read_whole};

const COLUMNS: usize = 12;

/// A process.
pub(super) struct Process {
    /// Empty until it was read in full.
    pub(super) key: Vec<u8>,
    /// Of its folder.
    pub(super) inode: u64,
    /// As it was read last.
    pub(super) statm: Option<Statm>,
    /// Its statm, where the budget for descriptors allows.
    pub(super) held: Option<OwnedFd>,
    /// Kernel threads have no address space: their statm is zeros for ever.
    pub(super) has_memory: bool,
    values: [Value; COLUMNS],
    comm: Vec<u8>,
    exe: Option<Vec<u8>>,
    ppid: Option<u32>,
    uid: Option<u32>,
    newest_fds: Newest,
    /// The last listing that had it.
    pub(super) listed: u64,
}

/// What reading processes shares.
#[derive(Default)]
pub(super) struct Reading {
    /// What was read last.
    pub(super) buffer: Vec<u8>,
    /// Bytes read in this sample.
    pub(super) bytes: u64,
    counts_fds_by_stat: Option<bool>,
}

impl Reading {
    /// Reads a whole file into the buffer; `None` where that fails.
    fn read(&mut self, root: &Root, path: &str) -> Option<()> {
        let file = root.open_file(path).ok()?;
        read_whole(&file, &mut self.buffer).ok()?;
        self.bytes += self.buffer.len() as u64;
        Some(())
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
    /// One that was listed and not read yet.
    pub(super) fn new(inode: u64, listed: u64) -> Self {
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

    /// Its row, once it was read in full.
    pub(super) fn put(&self, rows: &mut Rows) {
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

    /// Reads status, stat and the number of descriptors. Says false when the process is gone.
    pub(super) fn read_in_full(&mut self, root: &Root, pid: u32, reading: &mut Reading) -> bool {
        let fds = reading.count_fds(root, pid);
        if reading.read(root, &format!("proc/{pid}/stat")).is_none() {
            return false;
        }
        let Some(stat) = process_text::parse_stat(&reading.buffer) else {
            return false;
        };
        let key = key_of(pid, stat.start_ticks);
        if self.key.is_empty() {
            self.key = key;
        } else if self.key != key {
            return false; // the pid's next owner; the next listing finds it
        }
        let comm = steady_name(stat.comm);
        let renamed = self.comm != comm;
        if renamed {
            self.comm.clear();
            self.comm.extend_from_slice(comm);
        }
        let values = &mut self.values;
        values[8] = stat.minor_faults.into();
        values[9] = stat.major_faults.into();
        values[10] = (stat.utime_ticks + stat.stime_ticks).into();
        values[11] = Value::Int(i64::from(stat.state));
        self.ppid = Some(stat.ppid);
        values[6] = stat.threads.into();
        values[7] = fds.into();
        self.newest_fds.update(root, pid, fds);

        if reading.read(root, &format!("proc/{pid}/status")).is_none() {
            return false;
        }
        let status = process_text::parse_status(&reading.buffer);
        values[0] = status.rss_anon_kib.into();
        values[1] = status.rss_file_kib.into();
        values[2] = status.rss_shmem_kib.into();
        values[3] = status.vm_swap_kib.into();
        values[4] = status.vm_size_kib.into();
        values[5] = status.vm_pte_kib.into();
        self.uid = status.uid;
        self.has_memory = status.vm_size_kib.is_some();
        if !self.has_memory {
            self.held = None;
        }
        if renamed {
            self.exe = if self.has_memory {
                exe_name(root, pid)
            } else {
                None
            };
        }
        true
    }
}

/// Identity of a process within a boot: pid and start time in clock ticks.
pub(super) fn key_of(pid: u32, start_ticks: u64) -> Vec<u8> {
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
    use super::*;

    #[test]
    fn a_kernel_workers_name_stays_while_its_work_changes() {
        assert_eq!(steady_name(b"kworker/0:1-events"), b"kworker/0:1");
        assert_eq!(steady_name(b"kworker/u8:2+flush-8:0"), b"kworker/u8:2");
        assert_eq!(steady_name(b"my-server"), b"my-server");
    }
}
