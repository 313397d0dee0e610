//! Probes: what can be done to a machine to see how its memory answers, and how each is done.
//!
//! | probe | does | what it costs the machine |
//! |---|---|---|
//! | `drop-caches N` | `sync`, then N to vm.drop_caches (Documentation/admin-guide/sysctl/vm.rst) | files and names are read from disk again |
//! | `compact` | 1 to vm.compact_memory | moves pages for seconds, minutes on a large machine |
//! | `kmemleak-scan` | `scan` twice (Documentation/dev-tools/kmemleak.rst) | reads all memory of the kernel, twice |
//! | `sysrq-m` | `m` to /proc/sysrq-trigger (Documentation/admin-guide/sysrq.rst) | some 50 lines on every console, with interrupts off where that is a serial line |

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::clock::boottime_us;
use crate::root::Root;

/// kmemleak reports no object at the first scan that sees it, as its checksum is new then, and none
/// younger than 5 s (mm/kmemleak.c, `update_checksum`, `MSECS_MIN_AGE`): what was allocated just
/// before the first scan is reported by the second.
const BETWEEN_SCANS: Duration = Duration::from_secs(6);

/// Something intrusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// 1 drops the page cache, 2 what shrinkers free (dentries, inodes), 3 both. Only what is clean.
    DropCaches(u8),
    /// Compacts every zone.
    Compact,
    /// Has kmemleak look for leaks.
    KmemleakScan,
    /// Has the kernel print what it knows of its memory.
    SysrqM,
}

/// Every kind, for the command line.
pub const KINDS: [&str; 4] = ["drop-caches", "compact", "kmemleak-scan", "sysrq-m"];

impl Probe {
    /// Reads one from its words; `drop-caches` is `drop-caches 3`.
    ///
    /// # Errors
    /// Says what there is.
    pub fn from_words(kind: &str, argument: Option<&str>) -> Result<Self, String> {
        let plain = |probe| match argument {
            None => Ok(probe),
            Some(_) => Err(format!("{kind} takes no number")),
        };
        match kind {
            "drop-caches" => match argument.unwrap_or("3") {
                "1" => Ok(Self::DropCaches(1)),
                "2" => Ok(Self::DropCaches(2)),
                "3" => Ok(Self::DropCaches(3)),
                _ => Err(
                    "drop-caches takes 1 (page cache), 2 (dentries and inodes) or 3 (both)"
                        .to_owned(),
                ),
            },
            "compact" => plain(Self::Compact),
            "kmemleak-scan" => plain(Self::KmemleakScan),
            "sysrq-m" => plain(Self::SysrqM),
            _ => Err(format!(
                "there is no probe \"{}\"; there are: {}",
                kind.escape_debug(),
                KINDS.join(", ")
            )),
        }
    }

    /// Its kind, as it stands in a recording.
    pub fn kind(self) -> &'static str {
        match self {
            Self::DropCaches(_) => "drop-caches",
            Self::Compact => "compact",
            Self::KmemleakScan => "kmemleak-scan",
            Self::SysrqM => "sysrq-m",
        }
    }

    /// Its argument.
    pub fn argument(self) -> Option<String> {
        match self {
            Self::DropCaches(level) => Some(level.to_string()),
            _ => None,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::DropCaches(_) => "proc/sys/vm/drop_caches",
            Self::Compact => "proc/sys/vm/compact_memory",
            Self::KmemleakScan => "sys/kernel/debug/kmemleak",
            Self::SysrqM => "proc/sysrq-trigger",
        }
    }

    /// What the kernel lacks where the file is not there.
    fn needs(self) -> &'static str {
        match self {
            Self::DropCaches(_) => "the kernel needs CONFIG_SYSCTL",
            Self::Compact => "the kernel needs CONFIG_COMPACTION",
            Self::KmemleakScan => {
                "the kernel needs CONFIG_DEBUG_KMEMLEAK (a debug kernel), and debugfs mounted: \
                 mount -t debugfs none /sys/kernel/debug"
            }
            Self::SysrqM => {
                "the kernel needs CONFIG_MAGIC_SYSRQ (kernel.sysrq does not matter: it binds the \
                 keyboard, not /proc/sysrq-trigger)"
            }
        }
    }

    /// Whether it can be done here, without doing it.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn check(self, root: &Root) -> anyhow::Result<()> {
        root.open_to_write(self.path())
            .map(drop)
            .map_err(|error| self.refusal(error))
    }

    fn refusal(self, error: Errno) -> anyhow::Error {
        let path = self.path();
        let why = match error {
            Errno::NOENT | Errno::NXIO | Errno::NODEV => {
                format!("there is no /{path}: {}", self.needs())
            }
            Errno::ACCESS | Errno::PERM if self == Self::KmemleakScan => format!(
                "no permission to write /{path}: run it as root, on a kernel that is not locked \
                 down (see /sys/kernel/security/lockdown)"
            ),
            Errno::ACCESS | Errno::PERM => {
                format!("no permission to write /{path}: run it as root of the host itself")
            }
            Errno::ROFS => format!(
                "/{path} is read-only here: in a container run it on the host, where it does \
                 it to all containers at once"
            ),
            error => format!("cannot open /{path} to write: {error}"),
        };
        anyhow::Error::msg(why)
    }

    /// Does it, and says what was done one after the other with the time each took in us.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn act(self, root: &Root) -> anyhow::Result<Vec<(String, i64)>> {
        let mut steps = Vec::new();
        match self {
            Self::DropCaches(level) => {
                // Only what is clean is dropped, so what is dirty is written first.
                timed(&mut steps, "sync".to_owned(), || {
                    rustix::fs::sync();
                    Ok(())
                })?;
                self.write(root, &level.to_string(), &mut steps)?;
            }
            Self::Compact => self.write(root, "1", &mut steps)?,
            Self::KmemleakScan => {
                self.write(root, "scan", &mut steps)?;
                std::thread::sleep(BETWEEN_SCANS);
                self.write(root, "scan", &mut steps)?;
            }
            Self::SysrqM => self.write(root, "m", &mut steps)?,
        }
        Ok(steps)
    }

    fn write(self, root: &Root, word: &str, steps: &mut Vec<(String, i64)>) -> anyhow::Result<()> {
        let path = self.path();
        let did = format!("{word} to /{path}");
        timed(steps, did, || {
            let file = root
                .open_to_write(path)
                .map_err(|error| self.refusal(error))?;
            loop {
                match rustix::io::write(&file, word.as_bytes()) {
                    Ok(_) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(error @ (Errno::PERM | Errno::BUSY)) if self == Self::KmemleakScan => {
                        bail!(
                            "kmemleak is switched off ({error}): boot with kmemleak=on, and look in \
                             the kernel's log whether it ran out of memory for itself"
                        )
                    }
                    Err(error) => {
                        return Err(error).with_context(|| format!("writing {word} to /{path}"));
                    }
                }
            }
        })
    }
}

fn timed(
    steps: &mut Vec<(String, i64)>,
    did: String,
    act: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let from = boottime_us();
    act()?;
    steps.push((did, boottime_us() - from));
    Ok(())
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropCaches(level) => write!(f, "drop-caches {level}"),
            other => f.write_str(other.kind()),
        }
    }
}

/// How a probe went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provoked {
    /// When it began, in us of CLOCK_BOOTTIME.
    pub began_us: i64,
    /// How long it took in all.
    pub took_us: i64,
    /// What was done one after the other, with the time each took.
    pub steps: Vec<(String, i64)>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Provoked {
    /// Does it.
    pub fn by(probe: Probe, root: &Root) -> Self {
        let began_us = boottime_us();
        let (steps, error) = match probe.act(root) {
            Ok(steps) => (steps, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        Self {
            began_us,
            took_us: boottime_us() - began_us,
            steps,
            error,
        }
    }

    /// As one line, for the process that waits for it.
    pub fn to_line(&self) -> String {
        json!({
            "began_us": self.began_us,
            "took_us": self.took_us,
            "steps": self.steps,
            "error": self.error,
        })
        .to_string()
    }

    /// Reads that line again.
    pub fn from_line(line: &str) -> Option<Self> {
        let read: Value = serde_json::from_str(line.trim()).ok()?;
        let steps = read.get("steps")?.as_array()?.iter().filter_map(|step| {
            let did = step.get(0)?.as_str()?;
            Some((did.to_owned(), step.get(1)?.as_i64()?))
        });
        Some(Self {
            began_us: read.get("began_us")?.as_i64()?,
            took_us: read.get("took_us")?.as_i64()?,
            steps: steps.collect(),
            error: read.get("error").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::fs;

    use super::*;

    /// A machine with these files to write to.
    fn machine(paths: &[&str]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn words_make_a_probe_and_a_probe_its_words() {
        for (kind, argument, shown) in [
            ("drop-caches", None, "drop-caches 3"),
            ("drop-caches", Some("1"), "drop-caches 1"),
            ("compact", None, "compact"),
            ("kmemleak-scan", None, "kmemleak-scan"),
            ("sysrq-m", None, "sysrq-m"),
        ] {
            let probe = Probe::from_words(kind, argument).unwrap();
            assert_eq!(probe.to_string(), shown);
            let again = Probe::from_words(probe.kind(), probe.argument().as_deref());
            assert_eq!(again, Ok(probe));
        }
        for (kind, argument) in [
            ("drop-caches", Some("4")),
            ("compact", Some("1")),
            ("reboot", None),
        ] {
            assert!(Probe::from_words(kind, argument).is_err());
        }
    }

    #[test]
    fn each_word_goes_to_its_file_and_every_step_is_told() {
        for (probe, path, word, steps) in [
            (
                Probe::DropCaches(2),
                "proc/sys/vm/drop_caches",
                "2",
                &["sync", "2 to /proc/sys/vm/drop_caches"][..],
            ),
            (
                Probe::Compact,
                "proc/sys/vm/compact_memory",
                "1",
                &["1 to /proc/sys/vm/compact_memory"],
            ),
            (
                Probe::SysrqM,
                "proc/sysrq-trigger",
                "m",
                &["m to /proc/sysrq-trigger"],
            ),
        ] {
            let (dir, root) = machine(&[path]);
            probe.check(&root).unwrap();
            assert_eq!(fs::read_to_string(dir.path().join(path)).unwrap(), "");
            let done = Provoked::by(probe, &root);
            assert_eq!(done.error, None);
            assert_eq!(fs::read_to_string(dir.path().join(path)).unwrap(), word);
            let did: Vec<_> = done.steps.iter().map(|(did, _)| did.as_str()).collect();
            assert_eq!(did, steps);
            assert_eq!(Provoked::from_line(&done.to_line()), Some(done));
        }
    }

    #[test]
    fn what_the_kernel_lacks_is_refused_with_what_it_needs() {
        let (_dir, root) = machine(&[]);
        for (probe, needs) in [
            (Probe::DropCaches(3), "CONFIG_SYSCTL"),
            (Probe::Compact, "CONFIG_COMPACTION"),
            (Probe::KmemleakScan, "CONFIG_DEBUG_KMEMLEAK"),
            (Probe::SysrqM, "CONFIG_MAGIC_SYSRQ"),
        ] {
            let error = probe.check(&root).unwrap_err().to_string();
            assert!(error.contains(needs), "{error}");
            assert!(Provoked::by(probe, &root).error.unwrap().contains(needs));
        }
        for (errno, hint) in [(Errno::ACCESS, "as root"), (Errno::ROFS, "on the host")] {
            let error = Probe::Compact.refusal(errno).to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
