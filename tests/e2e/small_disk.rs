//! A small file system of its own for tests to fill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

/// Unmounted when the test is over.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of a size as tmpfs knows it. `None` says why the test is skipped.
    pub(crate) fn mount(place: &Place, size: &str) -> Option<Self> {
        if !is_root() {
            skip("only root can mount a small disk to fill");
            return None;
        }
        let path = place.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            skip("no file system can be mounted here");
            return None;
        }
        Some(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
