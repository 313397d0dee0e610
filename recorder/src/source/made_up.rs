//! A made-up machine for the tests of samplers.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::path::Path;

use memsoak_schema::Rows;

use super::recorder::Figures;
use super::{Moment, Outcome, Sampler, Setup};
use crate::root::Root;

/// What a sampler is made with at ticks of a second, when nothing was recorded before.
pub(super) const SETUP: Setup = Setup {
    interval_us: 1_000_000,
    held_processes: 0,
    recorded_until_us: None,
};

/// One sample of a machine.
pub(super) fn sampled(sampler: &mut dyn Sampler, root: &Root, full: bool) -> (Rows, Outcome) {
    let mut rows = Rows::default();
    let moment = Moment {
        root,
        full,
        db: Path::new("soak.db"),
        own: &Figures::default(),
    };
    let outcome = sampler.sample(&moment, &mut rows);
    (rows, outcome)
}

/// A machine whose files can be changed.
pub(super) struct MadeUp(tempfile::TempDir);

impl MadeUp {
    /// Nothing is in it yet.
    pub(super) fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.file("proc/version", "made up\n");
        made
    }

    /// It, as samplers see it.
    pub(super) fn root(&self) -> Root {
        Root::open(self.path()).unwrap()
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// One sample of it.
    pub(super) fn sample(&self, sampler: &mut dyn Sampler, full: bool) -> (Rows, Outcome) {
        sampled(sampler, &self.root(), full)
    }

    /// Makes a folder, and those above it.
    pub(super) fn folder(&self, path: &str) {
        std::fs::create_dir_all(self.path().join(path)).unwrap();
    }

    /// Writes a file, and the folders above it.
    pub(super) fn file(&self, path: &str, text: impl AsRef<[u8]>) {
        self.folder_of(path);
        std::fs::write(self.path().join(path), text).unwrap();
    }

    /// Makes a link that leads to a place which need not be there.
    pub(super) fn link(&self, path: &str, to: &str) {
        self.folder_of(path);
        std::os::unix::fs::symlink(to, self.path().join(path)).unwrap();
    }

    fn folder_of(&self, path: &str) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
    }

    /// A process with so many resident pages.
    pub(super) fn process(&self, pid: u32, start: u64, comm: &str, pages: u64) {
        let size = pages + 100;
        let folder = format!("proc/{pid}");
        self.file(
            &format!("{folder}/statm"),
            format!("{size} {pages} 20 1 0 40 0\n"),
        );
        self.file(
            &format!("{folder}/stat"),
            format!("{pid} ({comm}) S 1 1 1 0 -1 4 7 0 3 0 5 6 0 0 20 0 2 0 {start} 2048000 9\n"),
        );
    }

    /// A process without memory of its own.
    pub(super) fn kernel_thread(&self, pid: u32) {
        self.file(&format!("proc/{pid}/statm"), "0 0 0 0 0 0 0\n");
    }

    /// Ends a process.
    pub(super) fn end(&self, pid: u32) {
        std::fs::remove_dir_all(self.path().join(format!("proc/{pid}"))).unwrap();
    }
}
