//! The sign of life of a recorder: a lock on the recording that it holds as long as it lives.
//!
//! A process id says nothing across pid namespaces, and two recorders that create one file at the
//! same instant see no id yet. The lock is flock's, which SQLite does not use (it locks ranges of
//! bytes with fcntl), and which goes with its holder however it ends.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use memsoak_schema::{Error, Recording};
use rustix::fs::{FlockOperation, flock, fstatfs};
use rustix::io::Errno;

/// File systems that make a lock of ranges of bytes out of flock's, which SQLite would then run
/// into: NFS, CIFS and SMB2 (linux/magic.h; flock(2), "NFS details" and "CIFS details").
const LOCK_THEIR_OWN_WAY: [i64; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];

/// The lock. It must outlive SQLite's connection: closing any descriptor of a file gives up the
/// fcntl locks that the process has on it.
#[derive(Debug)]
pub(super) struct Claim {
    _file: File,
}

impl Claim {
    /// Claims a recording, which is created (mode 0600) when it is not there. `None` where the file
    /// system has no such locks.
    ///
    /// # Errors
    /// When another recorder has it, or it cannot be opened.
    pub(super) fn take(db: &Path) -> Result<Option<Self>, Error> {
        let open_error = |source| Error::Open {
            path: db.to_owned(),
            source,
        };
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(db)
                .map_err(open_error)?;
            let kind = fstatfs(&file).map_err(|error| open_error(error.into()))?;
            #[allow(
                clippy::unnecessary_cast,
                clippy::useless_conversion,
                reason = "the width of f_type depends on the architecture"
            )]
            let kind = i64::from(kind.f_type) & 0xffff_ffff;
            if LOCK_THEIR_OWN_WAY.contains(&kind) {
                return Ok(None);
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::InUse {
                        path: db.to_owned(),
                        pid: pid_in(db),
                    });
                }
                Err(Errno::NOSYS | Errno::NOLCK | Errno::OPNOTSUPP | Errno::INVAL) => {
                    return Ok(None);
                }
                Err(error) => return Err(open_error(io::Error::from(error))),
            }
            // It may have been set aside between opening and locking.
            let held = file.metadata().map_err(open_error)?;
            let is_it = fs::metadata(db)
                .is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()));
            if is_it {
                return Ok(Some(Self { _file: file }));
            }
        }
    }
}

/// Who records, if the file says so already.
fn pid_in(db: &Path) -> Option<i64> {
    let runs = Recording::open(db).ok()?.runs().ok()?;
    let last = runs.last()?;
    last.ended_us.is_none().then_some(last.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_recorder_has_a_file_and_the_next_gets_it_when_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        let db = dir.path().join("soak.db");
        let first = Claim::take(&db).expect("a free file");
        assert!(first.is_some(), "a local file system has locks");
        let second = Claim::take(&db).expect_err("it is taken");
        assert!(matches!(second, Error::InUse { pid: None, .. }), "{second}");
        drop(first);
        assert!(Claim::take(&db).expect("free again").is_some());
        let mode = fs::metadata(&db).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
