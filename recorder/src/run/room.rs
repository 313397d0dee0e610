//! How much room a recording may take, and how much it leaves.

use std::path::{Path, PathBuf};

use crate::source::tmpfs;

/// What is left free when nothing else was said: this, or of a small disk the share that ext4 sets
/// aside for root as well (mke2fs(8), -m).
const MIN_FREE_BYTES: u64 = 200 << 20;
const MIN_FREE_SHARE: u64 = 20;

/// What one tick may add to the log: the first one of the reference load, catalogue and whole pictures,
/// takes 0.22 MiB.
const TICK_BYTES: u64 = 512 << 10;

/// Of `--max-size` the log beside the file may take this share.
const LOG_SHARE: u64 = 8;

/// `f_type` of ramfs (include/uapi/linux/magic.h).
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// Whether a recording takes the machine's memory instead of its disk.
pub(super) fn is_in_memory(db: &Path) -> bool {
    rustix::fs::statfs(folder_of(db)).is_ok_and(|fs| {
        u64::try_from(fs.f_type).is_ok_and(|kind| [tmpfs::MAGIC, RAMFS_MAGIC].contains(&kind))
    })
}

fn folder_of(db: &Path) -> &Path {
    db.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The bounds of a recording.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) db: PathBuf,
    pub(super) min_free: Option<u64>,
    pub(super) max_size: Option<u64>,
}

impl Room {
    /// Whether a tick may be written; the reason when not.
    pub(super) fn check(&self) -> Result<(), String> {
        let Ok(disk) = rustix::fs::statvfs(folder_of(&self.db)) else {
            return Ok(()); // what is wrong shows when it is written
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let all = disk.f_blocks.saturating_mul(disk.f_frsize);
        let keep = self
            .min_free
            .unwrap_or(MIN_FREE_BYTES.min(all / MIN_FREE_SHARE));
        // The main file may grow by all that stands in the log.
        if keep == 0 || free >= keep + self.log_bytes() + TICK_BYTES {
            return Ok(());
        }
        Err(format!(
            "{:.1} MiB are free on the disk of {}, and {:.1} MiB are to be left (--min-free; free some room)",
            mib(free),
            self.db.display(),
            mib(keep)
        ))
    }

    /// Bytes that the main file may have.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.max_size.map(|size| size - size / LOG_SHARE)
    }

    /// Whether the log has half of its share and is to be brought into the main file.
    pub(super) fn is_log_long(&self) -> bool {
        self.max_size
            .is_some_and(|size| self.log_bytes() > size / LOG_SHARE / 2)
    }

    fn log_bytes(&self) -> u64 {
        let mut log = self.db.as_os_str().to_owned();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |meta| meta.len())
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_less_than_is_to_be_left_takes_no_tick_and_the_reason_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let room = |min_free| Room {
            db: dir.path().join("soak.db"),
            min_free,
            max_size: None,
        };
        assert_eq!(room(Some(0)).check(), Ok(()));
        let why = room(Some(1 << 60)).check().expect_err("nobody has an EiB");
        assert!(why.contains("--min-free"), "{why}");
    }
}
