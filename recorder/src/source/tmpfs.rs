//! What is kept on mounted tmpfs: the mounts of `/proc/self/mountinfo` and statvfs of each.

#![deny(clippy::indexing_slicing)]

use std::collections::BTreeMap;

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Status, Trend, Unit, Value};

use super::files::{A_MOUNTED_PROC, HeldFile};
use super::text::{Issues, MALFORMED, lines, parse_u64, unescape, words};
use super::{Moment, Outcome, Sampler, Setup};
use crate::root::Root;

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "tmpfs",
    paths: &["proc/self/mountinfo"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("used_bytes", Unit::Bytes)
                .judged(Trend::Memory)
                .part_of("meminfo/Shmem"),
            MetricSpec::gauge("size_bytes", Unit::Bytes),
            MetricSpec::gauge("inodes", Unit::Count).judged(Trend::Count),
        ],
    },
    interval_s: 10,
    needs: A_MOUNTED_PROC,
    caveats: "A tmpfs that is mounted at several places stands once, at the first where it can be \
        reached. used_bytes includes what is swapped out and files that are deleted and still \
        open; what is mapped stands in rss_shmem_kib of processes too. Only the recorder's mount \
        namespace is seen. A ramfs, and a tmpfs without a limit, do not say what they use; memfds \
        and System V segments are on no mount.",
    overhead: "100 us a read with 19 mounts, 3 of them tmpfs, on a held descriptor; takes the namespace lock while the mounts are listed.",
};

/// Its `f_type`, which memfds have too (include/uapi/linux/magic.h).
pub(crate) const MAGIC: u64 = 0x0102_1994;

/// Mounts that one sample asks: hosts of many containers have thousands.
const MOST_MOUNTS: usize = 1024;

/// A mount of a file system that keeps its files in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Number of the device, as `major:minor`.
    pub device: (u32, u32),
    /// Which part of the file system is mounted; `/` is all of it.
    pub root: Vec<u8>,
    /// Where it is mounted.
    pub point: Vec<u8>,
    /// `tmpfs`, `devtmpfs`, `ramfs`, or `rootfs`, which is one of them.
    pub kind: Vec<u8>,
    /// What stands for its device.
    pub source: Vec<u8>,
}

/// Finds the mounts in a text of `mountinfo` (proc_pid_mountinfo(5)).
pub fn parse_mounts(text: &[u8]) -> (Vec<Mount>, Vec<Issue>) {
    let mut issues = Issues::default();
    let mut mounts = Vec::new();
    for (number, line) in lines(text, &mut issues) {
        match parse_line(line) {
            Some(mount) if in_memory(&mount.kind) => mounts.push(mount),
            Some(_) => {}
            None => issues.add(number, MALFORMED, line),
        }
    }
    (mounts, issues.finish())
}

/// Which devices are mounted, and whether each is a tmpfs.
pub(super) fn devices(text: &[u8]) -> impl Iterator<Item = ((u32, u32), bool)> + '_ {
    let mounts = text.split(|byte| *byte == b'\n').filter_map(parse_line);
    mounts.map(|mount| (mount.device, mount.kind == b"tmpfs"))
}

fn in_memory(kind: &[u8]) -> bool {
    matches!(kind, b"tmpfs" | b"devtmpfs" | b"ramfs" | b"rootfs")
}

/// `25 24 0:23 / /dev/shm rw,relatime shared:2 - tmpfs tmpfs rw,size=24684084k`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let plain = |word: &[u8]| {
        let mut out = Vec::with_capacity(word.len());
        unescape(word, &mut out);
        out
    };
    let mut words = words(line);
    let (_id, _parent) = (parse_u64(words.next()?)?, parse_u64(words.next()?)?);
    let device = words.next()?;
    let colon = device.iter().position(|byte| *byte == b':')?;
    let (major, minor) = device.split_at_checked(colon)?;
    let number = |digits: &[u8]| u32::try_from(parse_u64(digits)?).ok();
    let device = (number(major)?, number(minor.strip_prefix(b":")?)?);
    let (root, point) = (plain(words.next()?), plain(words.next()?));
    words.find(|word| *word == b"-")?;
    let kind = words.next()?.to_vec();
    // A device can have an empty name.
    let source = words.next().map_or_else(Vec::new, plain);
    Some(Mount {
        device,
        root,
        point,
        kind,
        source,
    })
}

#[derive(Default)]
struct Tmpfs {
    file: HeldFile,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Tmpfs::default())
}

impl Sampler for Tmpfs {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let path = "proc/self/mountinfo";
        if let Err(outcome) = self.file.read(moment, path, SPEC.needs) {
            return outcome;
        }
        let (mounts, issues) = parse_mounts(&self.file.text);
        let mut reason = issues.first().map(|first| format!("{path}: {first}"));
        let devices = by_device(mounts);
        if devices.len() > MOST_MOUNTS {
            reason = Some(format!("more than {MOST_MOUNTS} mounts: not all are asked"));
        }
        for mounts in devices.values().take(MOST_MOUNTS) {
            match mounts.iter().find_map(|mount| ask(moment.root, mount)) {
                Some((mount, values @ [Value::Int(_), ..])) => put(mount, &values, rows),
                Some((mount, _)) => {
                    let point = mount.point.escape_ascii();
                    reason.get_or_insert_with(|| format!("{point} does not say what it uses"));
                }
                // Another mount lies over it, or it is in a folder that this user may not enter.
                None => {}
            }
        }
        let bytes = self.file.text.len() as u64;
        match reason {
            Some(reason) if rows.is_empty() => {
                Outcome::nothing((Status::Unavailable, reason)).having_read(bytes)
            }
            reason => Outcome::obtained(reason, bytes),
        }
    }
}

/// The mounts of each device; first those of the whole file system.
fn by_device(mounts: Vec<Mount>) -> BTreeMap<(u32, u32), Vec<Mount>> {
    let mut devices: BTreeMap<(u32, u32), Vec<Mount>> = BTreeMap::new();
    for mount in mounts {
        devices.entry(mount.device).or_default().push(mount);
    }
    for mounts in devices.values_mut() {
        mounts.sort_by_key(|mount| mount.root != b"/");
    }
    devices
}

/// Asks a mount for its use; `None` when it cannot be reached.
fn ask<'a>(root: &Root, mount: &'a Mount) -> Option<(&'a Mount, [Value; 3])> {
    let path = mount.point.strip_prefix(b"/")?;
    let place = root
        .open_place(if path.is_empty() { b"." } else { path })
        .ok()?;
    let stat = rustix::fs::fstat(&place).ok()?;
    let device = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    if device != mount.device {
        return None;
    }
    let fs = rustix::fs::fstatvfs(&place).ok()?;
    // Without a limit the kernel gives zeros (mm/shmem.c, shmem_statfs).
    let used = |all: u64, free: u64| (all > 0).then(|| all.saturating_sub(free));
    let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
    let values = [
        used(fs.f_blocks, fs.f_bfree).map(bytes).into(),
        (fs.f_blocks > 0).then_some(bytes(fs.f_blocks)).into(),
        used(fs.f_files, fs.f_ffree).into(),
    ];
    Some((mount, values))
}

fn put(mount: &Mount, values: &[Value; 3], rows: &mut Rows) {
    let (major, minor) = mount.device;
    let device = format!("{major}:{minor}");
    let key = [device.as_bytes(), b" ", &mount.point].concat();
    rows.entity(&key, &mount.point, values);
    rows.label("dev", Label::Bytes(device.as_bytes()));
    rows.label("fstype", Label::Bytes(&mount.kind));
    rows.label("device", Label::Bytes(&mount.source));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::path::Path;

    use super::super::fixtures::capture;
    use super::super::made_up::sampled;
    use super::*;

    #[test]
    fn of_each_device_it_is_known_whether_it_is_a_tmpfs() {
        let text = b"25 24 0:23 / /dev/shm rw shared:2 - tmpfs tmpfs rw\n\
            1 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            33 24 0:41 / /srv rw - nfs4 server:/srv rw,hard\nbroken\n";
        let devices: Vec<_> = devices(text).collect();
        assert_eq!(
            devices,
            [((0, 23), true), ((8, 1), false), ((0, 41), false)]
        );
    }

    #[test]
    fn mounts_that_keep_files_in_memory_are_found_and_no_others() {
        let text = capture("6.18-x86_64-microvm/t0", "proc/self/mountinfo");
        let (mounts, issues) = parse_mounts(&text);
        assert_eq!(issues, vec![]);
        let found: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.device, String::from_utf8_lossy(&mount.point)))
            .collect();
        assert_eq!(
            found,
            [
                ((0, 6), "/dev".into()),
                ((0, 23), "/dev/shm".into()),
                ((0, 27), "/dev/shm".into()),
                ((0, 28), "/sys/fs/cgroup".into()),
            ]
        );
    }

    #[test]
    fn spaces_optional_fields_and_missing_names_are_understood() {
        let (mounts, issues) = parse_mounts(
            b"25 24 0:23 /a\\040b /my\\040dir rw shared:2 master:1 - tmpfs  rw\n\
              26 24 0:24 / /x rw - ext4 /dev/vda rw\n\
              27 24 024 / /y rw - tmpfs tmpfs rw\n\
              28 24 0:25 / /z rw tmpfs tmpfs rw\n",
        );
        assert_eq!(issues.len(), 2, "{issues:?}");
        assert_eq!(mounts.len(), 1);
        let mount = mounts.first().unwrap();
        assert_eq!(
            (mount.root.as_slice(), mount.point.as_slice()),
            (&b"/a b"[..], &b"/my dir"[..])
        );
    }

    #[test]
    fn a_file_system_mounted_twice_is_asked_as_a_whole_first() {
        let mount = |root: &str, point: &str| Mount {
            device: (0, 9),
            root: root.into(),
            point: point.into(),
            kind: b"tmpfs".to_vec(),
            source: b"tmpfs".to_vec(),
        };
        let devices = by_device(vec![mount("/part", "/a"), mount("/", "/b")]);
        let points: Vec<_> = devices
            .values()
            .flatten()
            .map(|mount| mount.point.as_slice())
            .collect();
        assert_eq!(points, [b"/b", b"/a"]);
    }

    #[test]
    fn a_file_written_to_a_mounted_tmpfs_is_in_its_use() {
        let file = Path::new("/dev/shm").join(format!("memsoak-test-{}", std::process::id()));
        let used = || {
            let root = Root::open(Path::new("/")).unwrap();
            let (rows, outcome) = sampled(&mut Tmpfs::default(), &root, true);
            assert!(outcome.status.has_values(), "{:?}", outcome.reason);
            rows.iter()
                .find(|row| row.name() == b"/dev/shm")
                .and_then(|row| row.values().first()?.as_f64())
        };
        let Some(before) = used() else {
            return; // no tmpfs there
        };
        if std::fs::write(&file, vec![7; 5 << 20]).is_err() {
            return; // not for this user
        }
        let after = used();
        std::fs::remove_file(&file).unwrap();
        // Others write there too: most of it must be seen.
        assert!(after.unwrap() - before > f64::from(4 << 20));
    }
}
