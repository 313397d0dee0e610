//! The machine that is read: the root of a file system, `/` or a folder of captured files.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// A directory that stands for `/`.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens it.
    ///
    /// # Errors
    /// When the folder is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            dir: rustix::fs::openat(CWD, path, flags, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    /// Whether it is the running machine itself.
    pub fn is_live(&self) -> bool {
        self.path == Path::new("/")
    }

    /// Opens a file below it, by its path without a leading slash.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_file(&self, path: &str) -> Result<OwnedFd, Errno> {
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
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, path, flags, Mode::empty())
    }

    /// Takes hold of a place below it, without reading what is there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_place(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, path, flags, Mode::empty())
    }

    /// What stands in a link, as bytes.
    pub fn read_link(&self, path: &str) -> Option<Vec<u8>> {
        let target = rustix::fs::readlinkat(&self.dir, path, Vec::new()).ok()?;
        Some(target.into_bytes())
    }

    /// The attributes of a file.
    pub fn stat(&self, path: &str) -> Option<rustix::fs::Stat> {
        rustix::fs::statat(&self.dir, path, rustix::fs::AtFlags::empty()).ok()
    }

    /// A whole small file as trimmed text, for facts about the machine.
    pub fn text(&self, path: &str) -> Option<String> {
        let file = self.open_file(path).ok()?;
        let mut bytes = Vec::with_capacity(4096);
        read_whole(&file, &mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
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
    buffer.clear();
    loop {
        if buffer.capacity() - buffer.len() < 4096 {
            buffer.reserve(buffer.capacity().max(4096));
        }
        let offset = buffer.len() as u64;
        match rustix::io::pread(&file, rustix::buffer::spare_capacity(buffer), offset) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}
