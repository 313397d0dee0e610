//! `memsoak-record capture`: the raw files of now in a folder, which [`import`](crate::import) and
//! the parsers' tests read as they would read the machine.
//!
//! It holds what the sources read and nothing else: no command line, no environment, and no name of
//! the host, which is replaced where users name things. The folder has mode 0700 and the files 0600.

pub(crate) mod find;
mod scrub;

use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use memsoak_schema::printable;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::clock::{Clocks, boottime_us};
use crate::host::{read_boot, read_host};
use crate::manifest::{self, Manifest};
use crate::root::Root;
use crate::source::SOURCES;
use crate::source::captured::Kept;
use crate::source::files::explain;
use crate::source::kmsg_copy;
use find::{Finder, Found, errno};
use scrub::Scrub;

/// What tells which machine, boot and moment the rest is of.
const FACTS: &[Kept] = &[
    Kept::Text("proc/uptime"),
    Kept::Text("proc/version"),
    Kept::Text("proc/stat"),
    Kept::Text("proc/sys/kernel/osrelease"),
    Kept::Text("proc/sys/kernel/random/boot_id"),
    Kept::Text("proc/sys/vm/overcommit_memory"),
];

/// A longer text is cut at a line's end. A vmallocinfo of 30,000 areas has 3 MiB.
const LONGEST_TEXT: usize = 8 << 20;

/// Reasons that stand in the manifest one by one; the rest are counted.
const MOST_REASONS: usize = 64;

/// What was captured.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many files and links.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many are cut.
    pub cut: usize,
    /// How many could not be read or are not there.
    pub refused: usize,
}

/// Captures the machine below `root` into a new folder.
///
/// # Errors
/// When the folder exists or cannot be written; what was written of it is then removed. A file that
/// cannot be read is no error: the manifest says so.
pub fn capture(dir: &Path, root: &Path) -> anyhow::Result<Summary> {
    let machine =
        Root::open(root).with_context(|| format!("cannot open the root {}", root.display()))?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!(
                "{} exists; a capture is never written over, name a new folder",
                dir.display()
            )
        }
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
    }
    let taken = Capture::new(dir, machine, root).take();
    if taken.is_err() {
        let _ = std::fs::remove_dir_all(dir);
    }
    taken
}

struct Capture<'a> {
    dir: &'a Path,
    machine: Root,
    finder: Finder<'a>,
    scrub: Scrub,
    manifest: Manifest,
    summary: Summary,
    buffer: Vec<u8>,
}

impl<'a> Capture<'a> {
    fn new(dir: &'a Path, machine: Root, root: &'a Path) -> Self {
        let (host, boot) = (read_host(&machine), read_boot(&machine));
        let clocks = Clocks::read();
        Self {
            dir,
            scrub: Scrub::of(&host.name),
            finder: Finder::new(root),
            manifest: Manifest {
                kernel: boot.kernel,
                arch: Some(host.arch),
                page_bytes: Some(boot.page_bytes),
                user_hz: Some(boot.user_hz),
                cpus: boot.cpus,
                boot_id: Some(boot.boot_id),
                machine: Some(host.machine),
                uid: Some(geteuid().as_raw()),
                time_us: Some(clocks.boottime_us + clocks.wall_offset_us),
                boottime_us: Some(clocks.boottime_us),
                ..Manifest::default()
            },
            machine,
            summary: Summary {
                files: 0,
                bytes: 0,
                cut: 0,
                refused: 0,
            },
            buffer: Vec::new(),
        }
    }

    fn take(mut self) -> anyhow::Result<Summary> {
        let mut taken: Vec<Kept> = Vec::new();
        let of_sources = SOURCES.iter().flat_map(crate::source::Source::kept);
        for kept in FACTS.iter().copied().chain(of_sources) {
            if !taken.contains(&kept) {
                taken.push(kept);
                self.keep(kept)?;
            }
        }
        let began = self.manifest.boottime_us.unwrap_or_default();
        self.manifest.took_us = Some(boottime_us() - began);
        self.write(Path::new(manifest::NAME), self.manifest.render().as_bytes())?;
        Ok(self.summary)
    }

    /// Keeps all that a pattern names.
    fn keep(&mut self, kept: Kept) -> anyhow::Result<()> {
        let pattern = kept.pattern();
        let Found { paths, more } = match self.finder.find(pattern) {
            Ok(found) => found,
            Err(error) => {
                self.refuse(pattern, error);
                return Ok(());
            }
        };
        if more > 0 {
            self.summary.cut += 1;
            self.manifest
                .cut
                .push(format!("{pattern}: {more} more are left out"));
        }
        // What comes and goes, and was named by a pattern, may be gone by now.
        let is_named = paths.len() == 1 && paths.first().is_some_and(|p| p == Path::new(pattern));
        let mut refused: Vec<(Errno, usize)> = Vec::new();
        for path in paths {
            match self.keep_one(kept, &path)? {
                Ok(()) => {}
                Err(error) if is_named => self.refuse(pattern, error),
                Err(Errno::NOENT | Errno::SRCH | Errno::NODEV) => {}
                // No link, where some of those with such names are.
                Err(Errno::INVAL) if matches!(kept, Kept::Link(_)) => {}
                Err(error) => match refused.iter_mut().find(|(known, _)| *known == error) {
                    Some((_, count)) => *count += 1,
                    None => refused.push((error, 1)),
                },
            }
        }
        for (error, count) in refused {
            self.refuse(&format!("{pattern} ({count} of them)"), error);
        }
        Ok(())
    }

    /// Copies one thing. The outer result is the folder's that is written, the inner the machine's.
    fn keep_one(&mut self, kept: Kept, path: &Path) -> anyhow::Result<Result<(), Errno>> {
        let is_users = scrub::is_named_by_users(path);
        match kept {
            Kept::Text(_) => {
                // With `read`, since files of debugfs may know no place to read from, and without
                // waiting, since a file may be a pipe.
                self.buffer.clear();
                let read = OpenOptions::new()
                    .read(true)
                    .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
                    .open(self.finder.full(path))
                    .and_then(|mut file| file.read_to_end(&mut self.buffer));
                if let Err(error) = read {
                    return Ok(Err(errno(&error)));
                }
                if self.buffer.len() > LONGEST_TEXT {
                    let kept = self.buffer.get(..LONGEST_TEXT).unwrap_or_default();
                    let end = kept.iter().rposition(|byte| *byte == b'\n');
                    self.buffer
                        .truncate(end.map_or(LONGEST_TEXT, |end| end + 1));
                    self.summary.cut += 1;
                    self.manifest.cut.push(format!(
                        "{}: longer than {} MiB",
                        printable(path.as_os_str().as_bytes()),
                        LONGEST_TEXT >> 20
                    ));
                }
                let mut text = std::mem::take(&mut self.buffer);
                if is_users {
                    text = self.scrub.apply(&text);
                }
                self.write(path, &text)?;
                self.buffer = text;
            }
            Kept::Names(_) => {
                let names = match self.finder.names(path) {
                    Ok(names) => names,
                    Err(error) => return Ok(Err(error)),
                };
                let mut text = names.join(&b'\n');
                if !names.is_empty() {
                    text.push(b'\n');
                }
                self.write(path, &text)?;
            }
            Kept::Log(_) => {
                let log = match kmsg_copy::read_log(&self.machine, kept.pattern()) {
                    Ok(log) => kmsg_copy::reports_only(&log),
                    Err(error) => return Ok(Err(error)),
                };
                let log = self.scrub.apply(&log);
                self.write(path, &log)?;
            }
            Kept::Link(_) => {
                let target = match std::fs::read_link(self.finder.full(path)) {
                    Ok(target) => target.into_os_string().into_vec(),
                    Err(error) => return Ok(Err(errno(&error))),
                };
                let name = target
                    .rsplit(|byte| *byte == b'/')
                    .next()
                    .unwrap_or(&target);
                let name = self.scrub.apply(name);
                let to = self.place(path)?;
                std::os::unix::fs::symlink(OsStr::from_bytes(&name), &to)
                    .with_context(|| format!("cannot write {}", to.display()))?;
                self.summary.files += 1;
            }
        }
        Ok(Ok(()))
    }

    fn refuse(&mut self, what: &str, error: Errno) {
        self.summary.refused += 1;
        if self.manifest.refused.len() < MOST_REASONS {
            self.manifest.refused.push(explain(error, what, "").1);
        }
    }

    /// Where something goes, with the folders to it made.
    fn place(&self, path: &Path) -> anyhow::Result<PathBuf> {
        let to = self.dir.join(self.scrub.apply_to_path(path));
        let folder = to.parent().unwrap_or(self.dir);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(to)
    }

    fn write(&mut self, path: &Path, text: &[u8]) -> anyhow::Result<()> {
        let to = self.place(path)?;
        let mut file = OpenOptions::new();
        file.write(true).create_new(true).mode(0o600);
        match file.open(&to).and_then(|mut file| file.write_all(text)) {
            Ok(()) => {}
            // Two groups may have one name once the host's is taken out.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.refuse(&to.display().to_string(), Errno::EXIST);
                return Ok(());
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write {}", to.display()));
            }
        }
        self.summary.files += 1;
        self.summary.bytes += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A made-up machine with processes, groups and a host name; its clock is this machine's.
    fn machine() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/sys/kernel/hostname", "lab7\n");
        put("proc/meminfo", "MemTotal: 8 kB\nlab7: 5 kB\n");
        put("proc/12/stat", "12 (lab7) S 1 x\n");
        put("proc/12/cmdline", "secret\0");
        put("proc/12/environ", "SECRET=1\0");
        put("proc/12/status", "Name:\tlab7x\n");
        put("sys/fs/cgroup/cgroup.controllers", "memory\n");
        put("sys/fs/cgroup/lab7.slice/a/memory.current", "4096\n");
        put("proc/swaps", &"x\n".repeat(LONGEST_TEXT / 2 + 9));
        fs::create_dir_all(dir.path().join("proc/12/fd")).unwrap();
        for fd in ["0", "11"] {
            std::os::unix::fs::symlink("/etc/passwd", dir.path().join("proc/12/fd").join(fd))
                .unwrap();
        }
        std::os::unix::fs::symlink("/opt/secret/hog", dir.path().join("proc/12/exe")).unwrap();
        dir
    }

    #[test]
    fn a_capture_holds_what_sources_read_without_names_of_the_host_and_without_command_lines() {
        let (from, to) = (machine(), tempfile::tempdir().unwrap());
        let dir = to.path().join("now");
        let summary = capture(&dir, from.path()).unwrap();
        let text = |path: &str| fs::read_to_string(dir.join(path)).unwrap();
        // Only where users name things: the kernel's own words are left alone.
        assert_eq!(text("proc/meminfo"), "MemTotal: 8 kB\nlab7: 5 kB\n");
        assert_eq!(text("proc/12/stat"), "12 (host) S 1 x\n");
        assert_eq!(text("proc/12/status"), "Name:\tlab7x\n");
        assert_eq!(text("sys/fs/cgroup/host.slice/a/memory.current"), "4096\n");
        assert_eq!(text("proc/12/fd"), "0\n11\n");
        assert_eq!(
            fs::read_link(dir.join("proc/12/exe")).unwrap(),
            Path::new("hog")
        );
        for absent in [
            "proc/12/cmdline",
            "proc/12/environ",
            "proc/sys/kernel/hostname",
        ] {
            assert!(!dir.join(absent).exists(), "{absent}");
        }
        assert_eq!(
            fs::metadata(dir.join("proc/swaps")).unwrap().len(),
            LONGEST_TEXT as u64
        );
        let manifest = Manifest::parse(&text("MANIFEST.toml")).unwrap();
        assert_eq!(manifest.cut, ["proc/swaps: longer than 8 MiB"]);
        assert_eq!(summary.cut, 1);
        assert!(
            manifest
                .refused
                .contains(&"proc/vmstat: not on this machine".to_owned()),
            "{:?}",
            manifest.refused
        );
        assert!(manifest.boottime_us.is_some() && manifest.took_us.is_some());
        let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode(""), mode("proc/12"), mode("proc/12/stat")],
            [0o700, 0o700, 0o600]
        );
    }

    #[test]
    fn a_capture_is_never_written_over() {
        let (from, to) = (machine(), tempfile::tempdir().unwrap());
        let error = capture(to.path(), from.path()).unwrap_err().to_string();
        assert!(error.contains("name a new folder"), "{error}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_every_source_keeps_is_files_that_can_be_found() {
        for source in SOURCES {
            let name = source.spec.name;
            for kept in source.kept() {
                let pattern = kept.pattern();
                assert!(!pattern.starts_with('/'), "{name}: {pattern}");
                // A word of capitals stands for something: a new one must be taught to the finder.
                let unknown = pattern.split('/').find(|part| {
                    *part != "PID"
                        && !part.is_empty()
                        && part.bytes().all(|b| b.is_ascii_uppercase())
                });
                assert_eq!(unknown, None, "{name}: {pattern}");
                let at = Path::new("/").join(pattern.replace("/PID/", "/self/"));
                let is_text = matches!(kept, Kept::Text(_));
                assert!(!(is_text && at.is_dir()), "{name}: {pattern} is a folder");
            }
        }
    }
}
