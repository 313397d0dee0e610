//! The captures that are imported: of which machine, boot and moment each is, and in which order.
//!
//! Captures of a boot stand in the order of its clock; boots, and captures that do not tell their
//! boot or their time, in the order of the folders' names as they were given. The wall clock orders
//! nothing: a board without one begins anew in 1970 at each boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use memsoak_schema::{BootInfo, HostInfo};

use crate::host::{UNNAMED, read_boot, read_host};
use crate::manifest::Manifest;
use crate::root::Root;

/// A wall clock that tells whole seconds goes to and fro by one against the boot's clock.
const COARSE_US: i64 = 1_500_000;

/// One capture.
#[derive(Debug)]
pub(super) struct Shot {
    /// Where it is.
    pub(super) folder: PathBuf,
    /// What it says of itself; empty where it says nothing.
    pub(super) manifest: Manifest,
    /// CLOCK_BOOTTIME in us.
    pub(super) boottime_us: i64,
    /// Wall time minus boot time, in us.
    pub(super) wall_offset_us: i64,
}

/// The captures of one boot, in order of time.
#[derive(Debug)]
pub(super) struct Boot {
    /// The machine.
    pub(super) host: HostInfo,
    /// The boot.
    pub(super) boot: BootInfo,
    /// Its captures, at least one.
    pub(super) shots: Vec<Shot>,
    /// The usual time between them, in us.
    pub(super) interval_us: i64,
}

/// A capture before its place in a boot is known.
struct Loose {
    shot: Shot,
    host: HostInfo,
    boot: BootInfo,
    /// `None` when the capture does not tell.
    boottime_us: Option<i64>,
    wall_us: Option<Wall>,
}

/// What a capture tells of the wall clock.
#[derive(Clone, Copy)]
enum Wall {
    /// The time when it was made, in us.
    Time(i64),
    /// The time of the boot, in us.
    Boot(i64),
}

/// Reads what the captures say of themselves and puts them in order. Returns the boots and what had
/// to be assumed.
pub(super) fn read(
    folders: &[PathBuf],
    interval: Duration,
) -> anyhow::Result<(Vec<Boot>, Vec<String>)> {
    let mut notes = Vec::new();
    let mut loose = Vec::new();
    for folder in folders {
        for capture in captures_in(folder)? {
            loose.push(load(capture)?);
        }
    }
    one_machine(&loose)?;
    let interval_us = i64::try_from(interval.as_micros())?;
    if loose.iter().all(|one| one.boottime_us.is_none()) {
        for (one, at) in loose.iter_mut().zip(1..) {
            one.boottime_us = Some(at * interval_us);
        }
        notes.push(format!(
            "no capture tells when it was made: taken to be {interval:?} apart, in the order given"
        ));
    }
    loose.retain(|one| {
        if one.boottime_us.is_none() {
            let folder = one.shot.folder.display();
            notes.push(format!(
                "{folder} is left out: it does not tell when it was made"
            ));
        }
        one.boottime_us.is_some()
    });
    let mut groups: Vec<Vec<Loose>> = Vec::new();
    let mut has_unnamed = false;
    for one in loose {
        has_unnamed |= one.boot.boot_id == UNNAMED;
        match boot_among(&groups, &one).and_then(|at| groups.get_mut(at)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    if has_unnamed {
        notes.push(
            "some captures have no boot id: a boot ends where the time since boot goes back, in \
             the order given"
                .to_owned(),
        );
    }
    let mut boots = Vec::new();
    for (at, group) in groups.into_iter().enumerate() {
        boots.push(boot_of(group, at, interval_us, &mut notes)?);
    }
    Ok((boots, notes))
}

/// A capture, or those in a folder in the order of their names.
fn captures_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_capture = |path: &Path| path.join("proc").is_dir();
    let is_hidden = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(b".")
    };
    if is_capture(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot read {}", folder.display()))?
        .into_iter()
        .map(|entry| entry.path())
        // What is still being made has a dot before its name.
        .filter(|path| is_capture(path) && !is_hidden(path))
        .collect();
    found.sort();
    if found.is_empty() {
        bail!(
            "{} is no capture and has none in it: a capture is a folder with proc/ in it, as \
             `memsoak-record capture` makes it",
            folder.display()
        );
    }
    Ok(found)
}

fn load(folder: PathBuf) -> anyhow::Result<Loose> {
    let root = Root::open(&folder).with_context(|| format!("cannot open {}", folder.display()))?;
    if !root.is_captured() {
        bail!(
            "{} is a running machine and no capture: record it with `run --root`",
            folder.display()
        );
    }
    let manifest = Manifest::of(&root)
        .map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))?
        .unwrap_or_default();
    let (host, boot) = (read_host(&root), read_boot(&root));
    let boottime_us = manifest.boottime_us.or_else(|| {
        let uptime = root.text("proc/uptime")?;
        hundredths_us(uptime.split_whitespace().next()?)
    });
    let wall_us = manifest.time_us.map(Wall::Time).or_else(|| {
        let stat = root.text("proc/stat")?;
        let btime = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        Some(Wall::Boot(
            btime.trim().parse::<i64>().ok()?.checked_mul(1_000_000)?,
        ))
    });
    Ok(Loose {
        shot: Shot {
            folder,
            manifest,
            boottime_us: 0,
            wall_offset_us: 0,
        },
        host,
        boot,
        boottime_us,
        wall_us,
    })
}

/// Seconds with two digits behind the point, as `/proc/uptime` gives them, in us.
fn hundredths_us(text: &str) -> Option<i64> {
    let (seconds, part) = text.split_once('.')?;
    if part.len() != 2 {
        return None;
    }
    let hundredths = seconds
        .parse::<i64>()
        .ok()?
        .checked_mul(100)?
        .checked_add(part.parse::<i64>().ok()?)?;
    hundredths.checked_mul(10_000)
}

/// One recording is of one machine.
fn one_machine(loose: &[Loose]) -> anyhow::Result<()> {
    let face = |one: &Loose| {
        (
            one.host.machine.clone(),
            one.host.arch.clone(),
            one.boot.page_bytes,
        )
    };
    for pair in loose.windows(2) {
        if let [one, other] = pair
            && face(one) != face(other)
        {
            bail!(
                "{} and {} are of different machines; import them into a file each",
                one.shot.folder.display(),
                other.shot.folder.display()
            );
        }
    }
    Ok(())
}

/// The place of the boot that a capture is of, among those known. One that does not tell its boot is
/// of the last one, unless the time since boot went back or the kernel is another one.
fn boot_among(groups: &[Vec<Loose>], one: &Loose) -> Option<usize> {
    if one.boot.boot_id != UNNAMED {
        let is_same = |group: &Vec<Loose>| {
            let first = group.first();
            first.is_some_and(|first| first.boot.boot_id == one.boot.boot_id)
        };
        return groups.iter().position(is_same);
    }
    let last = groups.last()?.last()?;
    let is_other_kernel = match (&last.boot.kernel, &one.boot.kernel) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    (last.boottime_us < one.boottime_us && !is_other_kernel).then(|| groups.len() - 1)
}

fn boot_of(
    mut group: Vec<Loose>,
    at: usize,
    interval_us: i64,
    notes: &mut Vec<String>,
) -> anyhow::Result<Boot> {
    group.sort_by_key(|one| one.boottime_us);
    let (host, mut boot) = group
        .first()
        .map(|one| (one.host.clone(), one.boot.clone()))
        .unwrap_or_default();
    if boot.boot_id == UNNAMED && at > 0 {
        boot.boot_id = format!("{UNNAMED}-{}", at + 1);
    }
    // Not every capture need hold what does not change.
    for one in &group {
        boot.kernel = boot.kernel.or_else(|| one.boot.kernel.clone());
        boot.version = boot.version.or_else(|| one.boot.version.clone());
        boot.cpus = boot.cpus.filter(|cpus| *cpus > 0).or(one.boot.cpus);
    }
    if group.iter().all(|one| one.wall_us.is_none()) {
        notes.push(format!("boot {}: no capture tells the date", boot.boot_id));
    }
    let mut shots: Vec<Shot> = Vec::with_capacity(group.len());
    for one in group {
        let mut shot = one.shot;
        shot.boottime_us = one.boottime_us.unwrap_or_default();
        let before = shots.last();
        if let Some(before) = before.filter(|before| before.boottime_us == shot.boottime_us) {
            bail!(
                "{} and {} are of the same instant of one boot; name each capture once",
                before.folder.display(),
                shot.folder.display()
            );
        }
        let known = before.map(|before| before.wall_offset_us);
        let told = match one.wall_us {
            Some(Wall::Time(us)) => Some(us - shot.boottime_us),
            Some(Wall::Boot(us)) => Some(us),
            None => None,
        };
        let is_coarse = shot.manifest.is_time_coarse || matches!(one.wall_us, Some(Wall::Boot(_)));
        shot.wall_offset_us = match (known, told) {
            (Some(known), Some(told)) if is_coarse && (told - known).abs() < COARSE_US => known,
            (known, told) => told.or(known).unwrap_or(0),
        };
        shots.push(shot);
    }
    let mut steps: Vec<i64> = shots
        .windows(2)
        .filter_map(|pair| Some(pair.last()?.boottime_us - pair.first()?.boottime_us))
        .collect();
    steps.sort_unstable();
    Ok(Boot {
        host,
        boot,
        interval_us: steps.get(steps.len() / 2).copied().unwrap_or(interval_us),
        shots,
    })
}
