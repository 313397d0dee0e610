//! Things that are kept and never given back, each owned by another part of the kernel.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{ErrorKind, Write};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Sender};

use anyhow::Context;

use super::system::{self, Mapping, Protection, Segment};
use super::{Kind, PAGE_BYTES, Step, Thing, filled};

/// The address range of one page of page table entries: 512 entries of 4 KiB pages.
const TABLE_REACH_BYTES: usize = 512 * PAGE_BYTES;
/// The value of one eBPF map: far beyond what kmalloc is asked for, so it is mapped by vmalloc.
const MAP_VALUE_BYTES: u32 = 64 << 10;

const PAGE: Thing = Thing {
    name: "pages",
    bytes: Some(PAGE_BYTES),
};

const fn thing(name: &'static str) -> Option<Thing> {
    Some(Thing { name, bytes: None })
}

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "anon",
        leaks: Some(PAGE),
        does: "keeps COUNT more pages of 4 KiB",
        begin: anon,
    },
    Kind {
        name: "mmap",
        leaks: thing("mappings"),
        does: "keeps COUNT more mappings that nothing is in",
        begin: mmap,
    },
    Kind {
        name: "page-tables",
        leaks: Some(Thing {
            name: "tables",
            bytes: Some(PAGE_BYTES),
        }),
        does: "reads one byte in COUNT more stretches of 2 MiB: page tables and no pages",
        begin: page_tables,
    },
    Kind {
        name: "memfd",
        leaks: Some(PAGE),
        does: "writes COUNT more pages to a memfd that is never mapped",
        begin: memfd,
    },
    Kind {
        name: "shm-file",
        leaks: Some(PAGE),
        does: "writes COUNT more pages to a file in /dev/shm, and closes it",
        begin: shm_file,
    },
    Kind {
        name: "sysv-shm",
        leaks: Some(PAGE),
        does: "fills one more System V segment of COUNT pages, and detaches it",
        begin: sysv_shm,
    },
    Kind {
        name: "pipes",
        leaks: Some(Thing {
            name: "pipes",
            bytes: Some(16 * PAGE_BYTES),
        }),
        does: "fills COUNT more pipes of 64 KiB, which nobody reads",
        begin: pipes,
    },
    Kind {
        name: "fds",
        leaks: thing("eventfds"),
        does: "keeps COUNT more eventfds",
        begin: fds,
    },
    Kind {
        name: "udp",
        leaks: thing("sockets"),
        does: "keeps COUNT more UDP sockets",
        begin: udp,
    },
    Kind {
        name: "threads",
        leaks: thing("threads"),
        does: "keeps COUNT more threads that wait",
        begin: threads,
    },
    Kind {
        name: "zombies",
        leaks: thing("zombies"),
        does: "keeps COUNT more ended children that it never waits for",
        begin: zombies,
    },
    Kind {
        name: "children",
        leaks: Some(PAGE),
        does: "ends its child and starts one that holds COUNT more pages",
        begin: children,
    },
    Kind {
        name: "bpf-maps",
        leaks: thing("maps"),
        does: "keeps COUNT more eBPF arrays of 64 KiB",
        begin: bpf_maps,
    },
];

fn anon(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        kept.push(filled(count));
        black_box(&kept);
        Ok(())
    }))
}

fn mmap(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        for _ in 0..count {
            // Neighbours with the same protection become one mapping.
            let protection = match kept.len() % 2 {
                0 => Protection::Read,
                _ => Protection::None,
            };
            kept.push(Mapping::anonymous(PAGE_BYTES, protection)?);
        }
        Ok(())
    }))
}

fn page_tables(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        let mapping = Mapping::anonymous(count * TABLE_REACH_BYTES, Protection::Read)?;
        // A read of what was never written maps the one page of zeros that all share.
        for at in (0..count).map(|table| table * TABLE_REACH_BYTES) {
            mapping.read(at);
        }
        kept.push(mapping);
        Ok(())
    }))
}

fn memfd(count: usize) -> anyhow::Result<Step> {
    let memfd = rustix::fs::memfd_create("leak-lab", rustix::fs::MemfdFlags::CLOEXEC)
        .context("cannot make a memfd")?;
    let mut memfd = File::from(memfd);
    Ok(Box::new(move || Ok(memfd.write_all(&filled(count))?)))
}

/// A file that is removed with the process.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn shm_file(count: usize) -> anyhow::Result<Step> {
    let scratch = Scratch(format!("/dev/shm/leak_lab-{}", std::process::id()).into());
    Ok(Box::new(move || {
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(&scratch.0)?;
        Ok(file.write_all(&filled(count))?)
    }))
}

fn sysv_shm(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        kept.push(Segment::filled(count * PAGE_BYTES)?);
        Ok(())
    }))
}

fn pipes(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        for _ in 0..count {
            kept.push(full_pipe()?);
        }
        Ok(())
    }))
}

fn full_pipe() -> anyhow::Result<(File, File)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (out, mut into) = (File::from(out), File::from(into));
    let page = [0x5a; PAGE_BYTES];
    loop {
        match into.write(&page) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((out, into)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn fds(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        for _ in 0..count {
            let flags = rustix::event::EventfdFlags::CLOEXEC;
            kept.push(rustix::event::eventfd(0, flags)?);
        }
        Ok(())
    }))
}

fn udp(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        for _ in 0..count {
            kept.push(UdpSocket::bind("127.0.0.1:0")?);
        }
        Ok(())
    }))
}

/// A thread that waits until this is dropped.
pub(super) struct Waiting {
    _until_dropped: Sender<()>,
}

impl Waiting {
    pub(super) fn start() -> anyhow::Result<Self> {
        let (until_dropped, end) = mpsc::channel();
        std::thread::Builder::new()
            .stack_size(16 * PAGE_BYTES)
            .spawn(move || {
                let _ = end.recv();
            })?;
        Ok(Self {
            _until_dropped: until_dropped,
        })
    }
}

fn threads(count: usize) -> anyhow::Result<Step> {
    let mut kept = Vec::new();
    Ok(Box::new(move || {
        for _ in 0..count {
            kept.push(Waiting::start()?);
        }
        Ok(())
    }))
}

/// This program as a child that ends when this is dropped.
pub(super) struct Own {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Own {
    pub(super) fn start(kind: &str, count: usize, interval_ms: u64) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([kind, &count.to_string(), &interval_ms.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

fn zombies(count: usize) -> anyhow::Result<Step> {
    let exe = std::env::current_exe()?;
    Ok(Box::new(move || {
        for _ in 0..count {
            // Its standard input has ended, so it ends at once; a dropped `Child` is not waited for.
            let mut command = Command::new(&exe);
            command.args(["idle", "1", "1"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        }
        Ok(())
    }))
}

fn children(count: usize) -> anyhow::Result<Step> {
    let mut pages = 0;
    let mut child: Option<Own> = None;
    Ok(Box::new(move || {
        drop(child.take());
        pages += count;
        child = Some(Own::start("hold", pages, 1000)?);
        Ok(())
    }))
}

fn bpf_maps(count: usize) -> anyhow::Result<Step> {
    let mut kept = vec![
        system::bpf_array(MAP_VALUE_BYTES)
            .context("cannot make an eBPF map (needs CAP_BPF, and CONFIG_BPF_SYSCALL)")?,
    ];
    Ok(Box::new(move || {
        for _ in 0..count {
            kept.push(system::bpf_array(MAP_VALUE_BYTES)?);
        }
        Ok(())
    }))
}
