//! The machine that is read: the root of a file system, `/` or a folder of captured files.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::path::Arg;

/// `f_type` of procfs (include/uapi/linux/magic.h).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// A directory that stands for `/`.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
    /// Whether the running kernel answers below its `proc`.
    has_procfs: bool,
    /// The path that was opened last: where a read hangs, one can tell which.
    opened: Mutex<Vec<u8>>,
    /// Of a process that is read on a descriptor that was held, else 0.
    held_pid: AtomicU32,
    /// Counts what is opened and read: where it goes on, nothing hangs.
    steps: AtomicU64,
}

impl Root {
    /// Opens it.
    ///
    /// # Errors
    /// When the folder is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let place = OFlags::PATH | OFlags::CLOEXEC;
        let has_procfs = rustix::fs::openat(&dir, "proc", place, Mode::empty())
            .and_then(rustix::fs::fstatfs)
            .is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(PROC_SUPER_MAGIC));
        Ok(Self {
            dir,
            path: path.to_owned(),
            has_procfs,
            opened: Mutex::default(),
            held_pid: AtomicU32::new(0),
            steps: AtomicU64::new(0),
        })
    }

    /// The same machine once more, for another thread.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn beside(&self) -> io::Result<Self> {
        Ok(Self {
            dir: self.dir.try_clone()?,
            path: self.path.clone(),
            has_procfs: self.has_procfs,
            opened: Mutex::default(),
            held_pid: AtomicU32::new(0),
            steps: AtomicU64::new(0),
        })
    }

    /// What was opened last since [`opened_nothing`](Root::opened_nothing), made safe to print.
    pub fn opened_last(&self) -> Option<String> {
        let pid = self.held_pid.load(Ordering::Relaxed);
        if pid != 0 {
            return Some(format!("proc/{pid}/statm"));
        }
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        (!opened.is_empty()).then(|| memsoak_schema::printable(&opened))
    }

    /// Takes note that a process's statm is read on a held descriptor; there are too many of them to
    /// write a path down for each.
    pub fn reads_held_statm(&self, pid: u32) {
        self.held_pid.store(pid, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that changes with each file that is opened or read.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Forgets what was opened.
    pub fn opened_nothing(&self) {
        self.held_pid.store(0, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Takes note of a path before it is opened: an open can hang as well.
    fn opens(&self, path: &[u8]) {
        self.held_pid.store(0, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Relaxed);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.clear();
        opened.extend_from_slice(path);
    }

    /// Whether it is the running machine itself.
    pub fn is_live(&self) -> bool {
        self.path == Path::new("/")
    }

    /// Whether it holds files that were copied, and no kernel answers behind them: what is read from
    /// a descriptor that is held stays the same for ever.
    pub fn is_captured(&self) -> bool {
        !self.has_procfs
    }

    /// Opens a file below it, by its path without a leading slash.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_file(&self, path: &str) -> Result<OwnedFd, Errno> {
        self.open_found(path.as_bytes())
    }

    /// Opens a file below it that was [found](Self::matching).
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_found(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.opens(path);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(&self.dir, path, flags, Mode::empty())
    }

    /// Opens a file below it to write to it; one that is not there is not made.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_to_write(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        rustix::fs::openat(&self.dir, path, flags, Mode::empty())
    }

    /// Opens a folder below it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_dir(&self, path: impl Arg) -> Result<OwnedFd, Errno> {
        self.opens(path.to_string_lossy().as_bytes());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, path, flags, Mode::empty())
    }

    /// The paths below it that match a pattern, in which a `*` stands for any text within one name, in
    /// order. What follows the last `*` is taken to be there.
    ///
    /// # Errors
    /// The kernel's, where no folder can be listed.
    pub fn matching(&self, pattern: &str) -> Result<Vec<Vec<u8>>, Errno> {
        let mut found = vec![Vec::new()];
        for part in pattern.split('/') {
            if !part.contains('*') {
                for path in &mut found {
                    push_part(path, part.as_bytes());
                }
                continue;
            }
            let mut next = Vec::new();
            let mut refusal = None;
            for folder in &found {
                match self.names_in(folder) {
                    Ok(names) => {
                        let fitting = names.iter().filter(|name| name_fits(name, part.as_bytes()));
                        next.extend(fitting.map(|name| {
                            let mut path = folder.clone();
                            push_part(&mut path, name);
                            path
                        }));
                    }
                    Err(error) => refusal = refusal.or(Some(error)),
                }
            }
            if let (true, Some(error)) = (next.is_empty(), refusal) {
                return Err(error);
            }
            found = next;
        }
        Ok(found)
    }

    /// The names in a folder, in order, without those that begin with a dot.
    fn names_in(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let folder = self.open_dir(path)?;
        let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
        let mut entries = RawDir::new(&folder, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let name = entry?.file_name().to_bytes().to_vec();
            if !name.starts_with(b".") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Takes hold of a place below it, without reading what is there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_place(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.opens(path);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, path, flags, Mode::empty())
    }

    /// What stands in a link, as bytes.
    pub fn read_link(&self, path: &str) -> Option<Vec<u8>> {
        self.opens(path.as_bytes());
        let target = rustix::fs::readlinkat(&self.dir, path, Vec::new()).ok()?;
        Some(target.into_bytes())
    }

    /// The attributes of a file.
    pub fn stat(&self, path: &str) -> Option<rustix::fs::Stat> {
        self.opens(path.as_bytes());
        rustix::fs::statat(&self.dir, path, rustix::fs::AtFlags::empty()).ok()
    }

    /// A whole small file.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let file = self.open_file(path).ok()?;
        let mut bytes = Vec::with_capacity(4096);
        read_whole(&file, &mut bytes).ok()?;
        Some(bytes)
    }

    /// A whole small file as trimmed text, for facts about the machine.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

fn push_part(path: &mut Vec<u8>, part: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(part);
}

/// Whether a name fits a pattern with `*` for any part of it.
pub fn name_fits(name: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| name_fits(&name[at..], rest)),
        Some((byte, rest)) => name
            .split_first()
            .is_some_and(|(first, after)| first == byte && name_fits(after, rest)),
    }
}

/// Reads a file from its beginning to its end into `buffer`, which keeps its memory.
///
/// A read of a /proc table returns a part, and `st_size` is 0: it goes on until the kernel says 0.
/// With `pread` a descriptor can be held and read again, which is cheaper than opening it anew: the
/// kernel keeps the buffer that it has grown for it.
///
/// # Errors
/// The kernel's; `buffer` then holds what came before.
pub fn read_whole(file: impl AsFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    read_to_end(buffer, |buffer| {
        let offset = buffer.len() as u64;
        rustix::io::pread(&file, rustix::buffer::spare_capacity(buffer), offset)
    })
}

/// Reads a file that was just opened into `buffer`, which keeps its memory. Files of debugfs that hold
/// one number know no place to read from, and refuse `pread`.
///
/// # Errors
/// The kernel's; `buffer` then holds what came before.
pub fn read_opened(file: impl AsFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    read_to_end(buffer, |buffer| {
        rustix::io::read(&file, rustix::buffer::spare_capacity(buffer))
    })
}

fn read_to_end(
    buffer: &mut Vec<u8>,
    mut read: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    buffer.clear();
    loop {
        if buffer.capacity() - buffer.len() < 4096 {
            buffer.reserve(buffer.capacity().max(4096));
        }
        match read(buffer) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (name, pattern, is_fitting) in [
            ("zram0", "zram*", true),
            ("zram", "zram*", true),
            ("sda", "zram*", false),
            ("hugepages-2048kB", "hugepages-*kB", true),
            ("hugepages-2048", "hugepages-*kB", false),
        ] {
            assert_eq!(
                name_fits(name.as_bytes(), pattern.as_bytes()),
                is_fitting,
                "{name}"
            );
        }
    }
}
