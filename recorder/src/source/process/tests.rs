//! Processes of made-up machines that grow, end and come.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

use std::fs;
use std::path::Path;

use memsoak_schema::{Status, Value};

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
