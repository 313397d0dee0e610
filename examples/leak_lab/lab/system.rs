//! The system calls that no safe interface covers: mappings, System V segments and eBPF maps.

#![expect(unsafe_code, reason = "raw system calls; each says why it is sound")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// `BPF_MAP_CREATE` and `BPF_MAP_TYPE_ARRAY` of include/uapi/linux/bpf.h.
const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_TYPE_ARRAY: u32 = 2;

/// Lets this process open as many files as it may; where it may not, the leak ends earlier.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// What may be done with a mapping.
#[derive(Clone, Copy)]
pub(super) enum Protection {
    None,
    Read,
}

/// A private mapping, unmapped when it is dropped.
pub(super) struct Mapping {
    start: *mut c_void,
    bytes: usize,
}

impl Mapping {
    /// Address space that no memory is set aside for.
    pub(super) fn anonymous(bytes: usize, protection: Protection) -> io::Result<Self> {
        Self::new(
            bytes,
            protection,
            libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
        )
    }

    /// The beginning of a file, to be read.
    pub(super) fn of_file(file: &File, bytes: usize) -> io::Result<Self> {
        Self::new(bytes, Protection::Read, 0, file.as_raw_fd())
    }

    fn new(bytes: usize, protection: Protection, flags: i32, fd: i32) -> io::Result<Self> {
        let protection = match protection {
            Protection::None => libc::PROT_NONE,
            Protection::Read => libc::PROT_READ,
        };
        let flags = flags | libc::MAP_PRIVATE;
        // SAFETY: the kernel chooses an address where nothing is, so no memory in use changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is this mapping's. Huge pages would take fewer tables, and memory.
        unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
        Ok(Self { start, bytes })
    }

    /// Reads the byte at an offset, of a mapping that may be read.
    pub(super) fn read(&self, at: usize) -> u8 {
        assert!(at < self.bytes, "{at} is in the mapping");
        // SAFETY: inside the mapping, which lives as long as `self`; volatile, so that it is done.
        unsafe { self.start.cast::<u8>().add(at).read_volatile() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's, and nobody borrows from it.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

/// A System V segment that no process has attached, removed when this is dropped.
///
/// One of a process that was killed stays: `ipcs -m` shows it, `ipcrm` removes it.
pub(super) struct Segment(libc::c_int);

impl Segment {
    /// Makes one and writes to each byte.
    pub(super) fn filled(bytes: usize) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, bytes, libc::IPC_CREAT | 0o600) };
        if id < 0 {
            return Err(io::Error::last_os_error());
        }
        let segment = Self(id);
        // SAFETY: the kernel chooses an address where nothing is.
        let start = unsafe { libc::shmat(id, ptr::null(), 0) };
        if start.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `bytes` bytes were attached at `start`, and nobody else knows of them.
        unsafe {
            start.cast::<u8>().write_bytes(0x5a, bytes);
            libc::shmdt(start);
        }
        Ok(segment)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID reads no buffer.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, ptr::null_mut()) };
    }
}

/// An eBPF array of one value (bpf(2)).
pub(super) fn bpf_array(value_bytes: u32) -> io::Result<OwnedFd> {
    // The fields of `union bpf_attr` that creating an array needs; the kernel takes shorter ones.
    #[repr(C)]
    struct MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
    }
    let create = MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: value_bytes,
        max_entries: 1,
        map_flags: 0,
    };
    // SAFETY: the kernel reads that many bytes of `create`, which outlives the call.
    let fd = unsafe {
        let size = size_of::<MapCreate>();
        libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const create, size)
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just opened it for this process alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
