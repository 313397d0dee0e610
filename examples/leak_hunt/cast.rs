//! Who takes part, what each is to be found as, and what each really did.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::lab::{self, Kind};

/// A known leak.
pub(crate) struct Leaker {
    /// Its kind in the leak lab.
    pub(crate) kind: &'static str,
    /// A prime number of things a step, another one for each: all grow in straight lines, so only
    /// the numbers tell what belongs together.
    pub(crate) count: usize,
    /// What of the kernel may be named instead of the process, which then has to be its suspect.
    pub(crate) owners: &'static [&'static str],
}

/// What no process holds, so that its name is all that can be said.
pub(crate) const HELD_BY_NOBODY: &str = "/dev/shm";

const fn leaker(kind: &'static str, count: usize, owners: &'static [&'static str]) -> Leaker {
    Leaker {
        kind,
        count,
        owners,
    }
}

pub(crate) const LEAKERS: &[Leaker] = &[
    leaker("anon", 17, &[]),
    leaker("mmap", 29, &["vm_area_struct"]),
    leaker("page-tables", 13, &[]),
    leaker("memfd", 11, &["Shmem"]),
    leaker("shm-file", 19, &["Shmem", "/dev/shm"]),
    leaker("sysv-shm", 43, &["Shmem", "segments"]),
    // The pages of a pipe are in no counter of the kernel.
    leaker("pipes", 5, &["unaccounted", "pipe_inode_cache"]),
    leaker(
        "fds",
        31,
        &["eventfd", "filp", "kmalloc-cg-64", "kmalloc-64"],
    ),
    // Some kernels merge UDP with signal_cache, whose objects are as large, and show that name.
    leaker(
        "udp",
        23,
        &["UDP", "signal_cache", "sock_inode_cache", "filp"],
    ),
    // Its cache, and the stack that fork maps (or what an older kernel calls the function).
    leaker(
        "threads",
        3,
        &[
            "task_struct",
            "kernel_clone",
            "copy_process",
            "dup_task_struct",
            "KernelStack",
            "tasks",
        ],
    ),
    // The stack goes when a task exits; what its parent has to read of it stays.
    leaker(
        "zombies",
        2,
        &["task_struct", "sighand_cache", "signal_cache", "taskstats"],
    ),
    leaker("children", 41, &[]),
    leaker(
        "bpf-maps",
        7,
        &[
            "array_map_alloc",
            "bpf_map_area_alloc",
            "__bpf_map_area_alloc",
        ],
    ),
];

/// One that does not leak.
pub(crate) struct Innocent {
    pub(crate) kind: &'static str,
    pub(crate) count: usize,
}

const fn innocent(kind: &'static str, count: usize) -> Innocent {
    Innocent { kind, count }
}

pub(crate) const INNOCENTS: &[Innocent] = &[
    innocent("idle", 1),
    innocent("hold", 4096),
    innocent("steady", 512),
    innocent("sawtooth", 41),
    innocent("periodic", 4096),
    innocent("burst", 4096),
    innocent("step-up", 2048),
    innocent("cache", 16),
    innocent("warm-up", 64),
    innocent("fd-churn", 400),
    innocent("thread-pool", 64),
    innocent("page-cache", 256),
    innocent("file-mapper", 12),
    innocent("restarts", 32),
];

/// The leaker of a kind.
pub(crate) fn leaker_of(kind: &str) -> Option<&'static Leaker> {
    LEAKERS.iter().find(|leaker| leaker.kind == kind)
}

/// The name of a leaking process: at most 15 bytes, which is all that the kernel keeps.
pub(crate) fn leaker_comm(kind: &str) -> String {
    format!("lk-{kind}")
}

/// The name of an innocent process.
pub(crate) fn innocent_comm(kind: &str) -> String {
    format!("ok-{kind}")
}

/// Whether this is the name of an innocent process.
pub(crate) fn is_innocent(comm: &str) -> bool {
    INNOCENTS
        .iter()
        .any(|innocent| innocent_comm(innocent.kind) == comm)
}

/// A player that runs; it ends with this program.
pub(crate) struct Player {
    comm: String,
    kind: &'static Kind,
    program: PathBuf,
    child: Child,
}

/// What a player did.
pub(crate) struct Truth {
    /// Its name.
    pub(crate) comm: String,
    kind: &'static Kind,
    /// Its process.
    pub(crate) pid: u32,
    /// Things an hour; `None` where it leaks nothing, or could not.
    pub(crate) things_per_hour: Option<f64>,
}

impl Truth {
    /// The rate in a unit of report.json; `None` where it depends on the kernel.
    #[expect(clippy::cast_precision_loss, reason = "the size of one thing")]
    pub(crate) fn per_hour(&self, unit: &str) -> Option<f64> {
        match (unit, self.kind.leaks?.bytes) {
            ("bytes", Some(bytes)) => Some(self.things_per_hour? * bytes as f64),
            ("count", None) => self.things_per_hour,
            _ => None,
        }
    }
}

/// Keeps the truth beside the recording, so that this can be scored again.
pub(crate) fn write_truths(path: &Path, truths: &[Truth]) -> anyhow::Result<()> {
    let mut text = "comm\tkind\tpid\tthings_per_hour\n".to_owned();
    for truth in truths {
        let things = truth.things_per_hour.map(|things| things.to_string());
        let (comm, kind, pid) = (&truth.comm, truth.kind.name, truth.pid);
        text += &format!("{comm}\t{kind}\t{pid}\t{}\n", things.unwrap_or_default());
    }
    Ok(std::fs::write(path, text)?)
}

/// Reads what `write_truths` wrote.
pub(crate) fn read_truths(path: &Path) -> anyhow::Result<Vec<Truth>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [comm, kind, pid, things] = columns[..] else {
                bail!("{}: {line:?} has not four columns", path.display());
            };
            Ok(Truth {
                comm: comm.to_owned(),
                kind: kind_of(kind)?,
                pid: pid.parse()?,
                things_per_hour: things.parse().ok(),
            })
        })
        .collect()
}

fn kind_of(name: &str) -> anyhow::Result<&'static Kind> {
    lab::kinds()
        .find(|kind| kind.name == name)
        .with_context(|| format!("the leak lab has no {name}"))
}

impl Player {
    /// Starts this program under another name: the kernel takes a process's name, and others its
    /// executable, from the file.
    pub(crate) fn start(
        folder: &Path,
        comm: String,
        kind: &str,
        count: usize,
        step: Duration,
    ) -> anyhow::Result<Self> {
        let kind = kind_of(kind)?;
        let exe = std::env::current_exe()?;
        let program = std::path::absolute(folder)?.join(&comm);
        if std::fs::hard_link(&exe, &program).is_err() {
            std::fs::copy(&exe, &program)?;
        }
        let child = Command::new(&program)
            .args([kind.name, &count.to_string(), &step.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            comm,
            kind,
            program,
            child,
        })
    }

    /// Ends it, removes its program and asks what it kept.
    pub(crate) fn end(mut self) -> anyhow::Result<Truth> {
        let pid = self.child.id();
        drop(self.child.stdin.take());
        let mut said = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut said)?;
        }
        self.child.wait()?;
        std::fs::remove_file(&self.program)?;
        Ok(Truth {
            comm: self.comm,
            kind: self.kind,
            pid,
            things_per_hour: things_per_hour(&said),
        })
    }
}

/// The rate in "kept 600 pages, 2457600 bytes, in 600.3 s".
fn things_per_hour(said: &str) -> Option<f64> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let ["kept", kept, .., seconds, "s"] = words.as_slice() else {
        return None;
    };
    let (kept, seconds): (f64, f64) = (kept.parse().ok()?, seconds.parse().ok()?);
    Some(kept / seconds * 3600.0)
}
