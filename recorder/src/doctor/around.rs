//! What a recording needs beside its sources: rights, room, memory that may be locked, and what a
//! probe would write to.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use rustix::process::{Resource, geteuid, getrlimit};

use super::{Finding, State};
use crate::root::Root;

/// Capabilities that stand in for root, with their numbers (include/uapi/linux/capability.h).
const KNOWN: &[(&str, u32)] = &[
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYSLOG", 34),
];

/// A capability that opens something.
#[derive(Clone, Debug)]
pub struct Capability {
    /// Its name (capabilities(7)).
    pub name: &'static str,
    /// Whether this process has it.
    pub is_held: bool,
    /// The sources that it opens wholly or in part.
    pub sources: Vec<&'static str>,
}

/// Something intrusive that may be done once.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it writes to.
    pub path: PathBuf,
    /// Why it cannot be done; `None` when it can.
    pub reason: Option<String>,
}

/// What was found beside the sources.
#[derive(Clone, Debug)]
pub struct Around {
    /// The effective user.
    pub uid: u32,
    /// Capabilities that suffice instead of root.
    pub capabilities: Vec<Capability>,
    /// Where the recording would be.
    pub folder: PathBuf,
    /// Bytes free there to this user; `None` when the folder is not there.
    pub free_bytes: Option<u64>,
    /// Bytes that this process may lock in memory; `None` is no limit.
    pub lock_bytes: Option<u64>,
    /// What a probe could do here.
    pub probes: Vec<Probe>,
}

/// The probes: name, file, and what gives that file.
const PROBES: &[(&str, &str, &str)] = &[
    ("drop-caches", "proc/sys/vm/drop_caches", "CONFIG_SYSCTL"),
    ("compact", "proc/sys/vm/compact_memory", "CONFIG_COMPACTION"),
    (
        "kmemleak-scan",
        "sys/kernel/debug/kmemleak",
        "CONFIG_DEBUG_KMEMLEAK, kmemleak=on where it is off by default, and debugfs mounted",
    ),
    ("sysrq-m", "proc/sysrq-trigger", "CONFIG_MAGIC_SYSRQ"),
];

impl Around {
    /// Looks around.
    pub(super) fn look(root: &Root, db: &Path, findings: &[Finding]) -> Self {
        let capabilities = KNOWN
            .iter()
            .map(|&(name, _)| Capability {
                name,
                is_held: is_held(name),
                sources: findings
                    .iter()
                    .filter(|finding| {
                        finding.state != State::Absent && finding.capabilities.contains(&name)
                    })
                    .map(|finding| finding.source)
                    .collect(),
            })
            .filter(|capability| !capability.sources.is_empty())
            .collect();
        let folder = match db.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self {
            uid: geteuid().as_raw(),
            capabilities,
            free_bytes: rustix::fs::statvfs(&folder)
                .ok()
                .map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize)),
            folder,
            lock_bytes: getrlimit(Resource::Memlock).current,
            probes: PROBES
                .iter()
                .map(|&(name, path, needs)| probe(root, name, path, needs))
                .collect(),
        }
    }
}

/// Whether what a probe writes to is there and may be written. A probe is of the running machine.
fn probe(root: &Root, name: &'static str, path: &str, needs: &str) -> Probe {
    let path = Path::new("/").join(path);
    let reason = if root.is_live() {
        match rustix::fs::accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS) {
            Ok(()) => None,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Some(format!("not on this machine (needs {needs})"))
            }
            Err(Errno::ACCESS | Errno::PERM) => Some("permission denied (needs root)".to_owned()),
            Err(Errno::ROFS) => Some("mounted to be read only, as in a container".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    } else {
        Some("another root than / is read".to_owned())
    };
    Probe { name, path, reason }
}

/// Whether this process has a capability in force. Where that cannot be told, it has not.
pub(super) fn is_held(name: &str) -> bool {
    let held = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0);
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.is_some_and(|(_, number)| held >> number & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    #[test]
    fn every_capability_that_a_source_names_is_known() {
        for source in SOURCES {
            for name in source.capabilities {
                let known = KNOWN.iter().any(|(known, _)| known == name);
                assert!(known, "{}: {name}", source.spec.name);
            }
        }
    }
}
