//! Reads the text files of a source on held descriptors.

use std::fmt::Display;
use std::os::fd::OwnedFd;

use memsoak_schema::{Issue, Rows, Spec, Status};
use rustix::io::Errno;

use super::{Moment, Outcome, Parse, Sampler};
use crate::root::read_whole;

/// One text file that a sampler of its own keeps open from read to read.
#[derive(Debug, Default)]
pub(super) struct HeldFile {
    fd: Option<OwnedFd>,
    /// What was read last.
    pub(super) text: Vec<u8>,
}

impl HeldFile {
    /// Reads it whole. Where that fails, the error is how the sample went.
    pub(super) fn read(
        &mut self,
        moment: &Moment<'_>,
        path: &str,
        needs: &str,
    ) -> Result<(), Outcome> {
        let read = match self.fd.take() {
            Some(fd) => Ok(fd),
            None => moment.root.open_file(path),
        }
        .and_then(|fd| read_whole(&fd, &mut self.text).map(|()| fd));
        match read {
            Ok(fd) => {
                self.fd = (!moment.root.is_captured()).then_some(fd);
                Ok(())
            }
            Err(error) => Err(Outcome::nothing(explain(error, path, needs))),
        }
    }
}

/// The files of one source.
#[derive(Debug)]
pub struct Files {
    spec: &'static Spec,
    parse: Parse,
    held: Vec<Option<OwnedFd>>,
    buffer: Vec<u8>,
}

impl Files {
    /// Opens nothing yet: what is not there now may come.
    pub fn new(spec: &'static Spec, parse: Parse) -> Self {
        Self {
            spec,
            parse,
            held: spec.paths.iter().map(|_| None).collect(),
            buffer: Vec::new(),
        }
    }
}

impl Sampler for Files {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let mut bytes = 0;
        let mut issues: Vec<(usize, Issue)> = Vec::new();
        let mut failed: Option<(Status, String)> = None;
        let mut obtained = 0;
        for (index, (path, held)) in self.spec.paths.iter().zip(&mut self.held).enumerate() {
            let read = match held.take() {
                Some(fd) => Ok(fd),
                None => moment.root.open_file(path),
            }
            .and_then(|fd| read_whole(&fd, &mut self.buffer).map(|()| fd));
            match read {
                Ok(fd) => {
                    *held = (!moment.root.is_captured()).then_some(fd);
                    bytes += self.buffer.len() as u64;
                    obtained += 1;
                    if self.buffer.is_empty() {
                        issues.push((index, Issue::new(0, "the kernel gave nothing", b"")));
                        continue;
                    }
                    let found = (self.parse)(&self.buffer, index, rows);
                    issues.extend(found.into_iter().map(|issue| (index, issue)));
                    if self.buffer.last() != Some(&b'\n') {
                        issues.push((index, Issue::new(0, "ends in the middle of a line", b"")));
                    }
                }
                Err(error) => {
                    failed.get_or_insert_with(|| explain(error, path, self.spec.needs));
                }
            }
        }
        match failed {
            Some((_, reason)) if obtained > 0 => Outcome::obtained(Some(reason), bytes),
            Some(why) => Outcome::nothing(why),
            None => {
                let reason = issues
                    .first()
                    .map(|(index, first)| reason_of(&self.spec.paths[*index], first, issues.len()));
                Outcome::of_rows(reason, rows, bytes)
            }
        }
    }
}

/// How a read of one file went, by what was wrong with its text.
pub(super) fn outcome_of(path: &str, issues: &[Issue], rows: &Rows, bytes: u64) -> Outcome {
    let reason = issues.first();
    let reason = reason.map(|first| reason_of(&path, first, issues.len()));
    Outcome::of_rows(reason, rows, bytes)
}

/// What was wrong with a text, by the first of its issues.
pub(super) fn reason_of(path: &dyn Display, first: &Issue, count: usize) -> String {
    match count {
        1 => format!("{path}: {first}"),
        n => format!("{path}: {first} and {} more", n - 1),
    }
}

/// How a reason says that the user may not read something.
pub const DENIED: &str = "permission denied";

/// Why a sample lacks what belongs to other users' processes.
pub(super) const SOME_DENIED: &str = "some processes: permission denied (needs CAP_SYS_PTRACE)";

/// What a source of processes or mounts needs.
pub(super) const A_MOUNTED_PROC: &str = "a mounted /proc";

/// How a sample went for which /proc could not be listed.
pub(super) fn no_processes(error: Errno) -> Outcome {
    Outcome::nothing(explain(error, "proc", A_MOUNTED_PROC))
}

/// What a refusal of the kernel means, with what to do about it.
pub fn explain(error: Errno, path: &str, needs: &str) -> (Status, String) {
    let hint = if needs.is_empty() {
        String::new()
    } else {
        format!(" (needs {needs})")
    };
    match error {
        Errno::ACCESS | Errno::PERM => (Status::Unavailable, format!("{path}: {DENIED}{hint}")),
        Errno::NOENT | Errno::NOTDIR => (
            Status::Unavailable,
            format!("{path}: not on this machine{hint}"),
        ),
        Errno::OPNOTSUPP => (
            Status::Unavailable,
            format!("{path}: switched off in this kernel{hint}"),
        ),
        error => (Status::Failed, format!("{path}: {error}")),
    }
}
