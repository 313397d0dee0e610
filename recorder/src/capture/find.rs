//! Finds the files that a pattern of [`Kept`](crate::source::captured::Kept) names.
//!
//! [`Root::matching`](crate::root::Root::matching) finds the few files of a source at each sample. A copy
//! also wants those of every process and of folders at any depth, and bounds them.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::root::name_fits;
use crate::source::captured::Kept;

/// Processes whose files are kept: with six files each some 80 MiB of a disk with blocks of 4 KiB.
const MOST_PROCESSES: usize = 4096;

/// Files that another pattern names: the sources read no more than 500 groups.
const MOST_FILES: usize = 1024;

/// Folders that are looked into for `**`.
const MOST_FOLDERS: usize = 20_000;

/// What a pattern names.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Paths below the root, in order.
    pub(super) paths: Vec<PathBuf>,
    /// How many more there are.
    pub(super) more: usize,
}

/// Looks below a root.
pub(super) struct Finder<'a> {
    root: &'a Path,
    /// Listed once, so that the files of a process are all there or none.
    pids: Option<Vec<u32>>,
}

impl<'a> Finder<'a> {
    /// Of this root.
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, pids: None }
    }

    /// Where a path below the root is.
    pub(super) fn full(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// The names in a folder, in order; numbers in the order of numbers.
    pub(super) fn names(&self, path: &Path) -> Result<Vec<Vec<u8>>, Errno> {
        let entries = fs::read_dir(self.full(path)).map_err(|error| errno(&error))?;
        let mut names: Vec<Vec<u8>> = entries
            .flatten()
            .map(|entry| entry.file_name().into_vec())
            .collect();
        names.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        Ok(names)
    }

    /// All that a pattern names. Without a placeholder that is the path itself, there or not.
    pub(super) fn find(&mut self, pattern: &str) -> Result<Found, Errno> {
        let mut paths = vec![PathBuf::new()];
        let mut more = 0;
        for part in pattern.split('/') {
            let mut next = Vec::new();
            for path in paths {
                match part {
                    "PID" => {
                        let pids = self.pids()?;
                        more = pids.len().saturating_sub(MOST_PROCESSES);
                        let kept = pids.iter().take(MOST_PROCESSES);
                        next.extend(kept.map(|pid| path.join(pid.to_string())));
                    }
                    "**" => next.extend(self.folders(&path)),
                    part if part.contains('*') => {
                        let names = self.names(&path).unwrap_or_default();
                        let fitting = names.iter().filter(|name| name_fits(name, part.as_bytes()));
                        let os = |name: &Vec<u8>| std::ffi::OsStr::from_bytes(name).to_owned();
                        next.extend(fitting.map(|name| path.join(os(name))));
                    }
                    part => next.push(path.join(part)),
                }
            }
            paths = next;
        }
        if pattern.contains('*') {
            paths.retain(|path| fs::symlink_metadata(self.full(path)).is_ok());
            more += paths.len().saturating_sub(MOST_FILES);
            paths.truncate(MOST_FILES);
        }
        Ok(Found { paths, more })
    }

    fn pids(&mut self) -> Result<&[u32], Errno> {
        if self.pids.is_none() {
            let names = self.names(Path::new("proc"))?;
            let number = |name: &Vec<u8>| std::str::from_utf8(name).ok()?.parse().ok();
            self.pids = Some(names.iter().filter_map(number).collect());
        }
        Ok(self.pids.as_deref().unwrap_or_default())
    }

    /// A folder and those below it, those near it first.
    fn folders(&self, top: &Path) -> Vec<PathBuf> {
        let mut all = Vec::new();
        let mut waiting = VecDeque::from([top.to_owned()]);
        while let Some(path) = waiting.pop_front() {
            let Ok(entries) = fs::read_dir(self.full(&path)) else {
                continue;
            };
            let mut below: Vec<PathBuf> = entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| path.join(entry.file_name()))
                .collect();
            below.sort_unstable();
            all.push(path);
            if all.len() == MOST_FOLDERS {
                break;
            }
            waiting.extend(below);
        }
        all
    }
}

/// The first of the patterns, when none of them names anything in a capture.
pub(crate) fn first_if_none(capture: &Path, kept: &[Kept]) -> Option<&'static str> {
    let mut finder = Finder::new(capture);
    let mut is_there = |kept: &Kept| {
        let found = finder.find(kept.pattern()).unwrap_or_default();
        let mut paths = found.paths.iter();
        paths.any(|path| fs::symlink_metadata(capture.join(path)).is_ok())
    };
    if kept.iter().any(&mut is_there) {
        return None;
    }
    kept.first().map(|kept| kept.pattern())
}

/// The kernel's word for an error.
pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn patterns_name_processes_parts_of_names_and_folders_at_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "proc/2", "proc/10", "proc/net", "g/a/b", "g/c", "z/zram0", "z/zram10", "z/sda",
        ] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for file in ["g/use", "g/a/b/use", "z/zram10/mm_stat"] {
            fs::write(dir.path().join(file), "1\n").unwrap();
        }
        let mut finder = Finder::new(dir.path());
        let mut find = |pattern: &str| -> Vec<String> {
            let found = finder.find(pattern).unwrap();
            assert_eq!(found.more, 0);
            found
                .paths
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        assert_eq!(find("proc/PID/stat"), ["proc/2/stat", "proc/10/stat"]);
        assert_eq!(find("g/**/use"), ["g/use", "g/a/b/use"]);
        assert_eq!(find("z/zram*/mm_stat"), ["z/zram10/mm_stat"]);
        assert_eq!(find("proc/absent"), ["proc/absent"]);
    }
}
