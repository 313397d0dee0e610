//! `show` and `diff`: the classical tools, as they would have looked at an instant of a recording.
//!
//! Same columns, same units, same order as the tool that people know, so that eyes and scripts find
//! what they expect. What the recording lacks is `-`, never 0.

mod activity;
mod blocks;
mod groups;
mod instant;
mod kmemleak;
mod mappings;
mod mem_info;
mod memory;
mod plain;
mod processes;
mod said;
mod sheet;
mod slabs;
mod vmalloc;
mod zones;

use anyhow::{Context, bail};
use memsoak_schema::Recording;

use self::instant::Instant;
use self::sheet::Sheet;
use crate::load::Index;
use crate::when::{self, Moment};

/// What a view is asked for beside the instant.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The key to sort by, in the tool's own letters.
    pub sort: Option<String>,
    /// The process, for pmap.
    pub pid: Option<i64>,
}

/// A classical tool.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub about: &'static str,
    build: fn(&Instant<'_>, &Ask) -> anyhow::Result<Sheet>,
}

/// The views, in the order in which help lists them.
pub const VIEWS: &[View] = &[
    view("free", "totals in KiB, as free", memory::free),
    view("meminfo", "/proc/meminfo", memory::meminfo),
    view(
        "top",
        "processes by resident memory, as top -o RES",
        processes::top,
    ),
    view(
        "mem-info",
        "what sysrq-m prints, rebuilt",
        mem_info::mem_info,
    ),
    view("buddyinfo", "/proc/buddyinfo", blocks::buddyinfo),
    view("pagetypeinfo", "/proc/pagetypeinfo", blocks::pagetypeinfo),
    view("zoneinfo", "/proc/zoneinfo", zones::zoneinfo),
    view("slabinfo", "/proc/slabinfo", slabs::slabinfo),
    view("slabtop", "slab caches, as slabtop -o", slabs::slabtop),
    view(
        "vmstat",
        "swap, I/O and CPU over the minute before, as vmstat",
        activity::vmstat,
    ),
    view(
        "vmallocinfo",
        "/proc/vmallocinfo by caller",
        vmalloc::vmallocinfo,
    ),
    view("pmap", "mappings of a process, as pmap -x", mappings::pmap),
    view("kmemleak", "kmemleak's report by stack", kmemleak::kmemleak),
    view("kmsg", "what the kernel said by then, as dmesg", said::kmsg),
    view("cgroups", "control groups by memory", groups::cgroups),
];

const fn view(
    name: &'static str,
    about: &'static str,
    build: fn(&Instant<'_>, &Ask) -> anyhow::Result<Sheet>,
) -> View {
    View { name, about, build }
}

/// A view as text, and in words of which instant it is.
#[derive(Debug)]
pub struct Shown {
    /// The text.
    pub text: String,
    /// The instant.
    pub of: String,
}

/// The view at a time; at the end where none is given.
///
/// # Errors
/// When there is no such view or time, or what it shows was not recorded by then.
pub fn show(
    recording: &Recording,
    name: &str,
    at: Option<&str>,
    ask: &Ask,
) -> anyhow::Result<Shown> {
    let index = Index::read(recording)?;
    let moment = match at {
        Some(text) => when::find(&index, text)?,
        None => when::end(&index)?,
    };
    Ok(Shown {
        text: build(recording, &index, name, moment, ask)?.print(),
        of: format!("{name} at {}", when::words(&index, moment)),
    })
}

/// What changed in a view between two times.
///
/// # Errors
/// As [`show`]; also when a reboot lies between them.
pub fn diff(
    recording: &Recording,
    name: &str,
    from: &str,
    to: &str,
    ask: &Ask,
) -> anyhow::Result<Shown> {
    let index = Index::read(recording)?;
    let from = when::find(&index, from).context("--from")?;
    let to = when::find(&index, to).context("--to")?;
    if from.boot != to.boot {
        bail!("the machine was booted between the two times: nothing is the same there");
    }
    let earlier = build(recording, &index, name, from, ask)?;
    let later = build(recording, &index, name, to, ask)?;
    Ok(Shown {
        text: later.print_changes(&earlier),
        of: format!(
            "{name}, changes from {} to {}",
            when::words(&index, from),
            when::words(&index, to)
        ),
    })
}

/// A view of that name, or any source by its name.
fn build(
    recording: &Recording,
    index: &Index,
    name: &str,
    moment: Moment,
    ask: &Ask,
) -> anyhow::Result<Sheet> {
    let instant = Instant::new(recording, index, moment)?;
    if let Some(view) = VIEWS.iter().find(|view| view.name == name) {
        return (view.build)(&instant, ask);
    }
    if index.sources.iter().any(|source| source.name == name) {
        return plain::source(&instant, name);
    }
    let names: Vec<_> = VIEWS.iter().map(|view| view.name).collect();
    bail!(
        "there is no view \"{}\"; there are {}, and each source by its name (memsoak-analyze info)",
        memsoak_schema::printable(name.as_bytes()),
        names.join(", ")
    )
}

/// Says which sort keys there are where one is asked for that there is not.
fn no_key(tool: &str, asked: &str, keys: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{tool} cannot sort by \"{}\"; the keys are {keys}",
        memsoak_schema::printable(asked.as_bytes())
    )
}
