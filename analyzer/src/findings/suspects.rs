//! Who moves with memory of the kernel that has no owner of its own.
//!
//! A cache, a vmalloc caller or pages that no counter owns do not say for whom they are held. What a
//! process holds beside them does: its descriptors, threads and mappings, the number of processes of
//! its name, or just the time that it lived. Where several hold such things the number of all of them
//! fits better than that of any one, and each has its share.

use memsoak_schema::Labels;

use super::curve::Curve;
use crate::ledger::UNACCOUNTED;
use crate::load::{Quantity, SeriesKey, SeriesName};
use crate::stats::{Agreement, agreement};

/// What a process has must explain at least this share of the variance of what leaks: less is left
/// over only where both go the same way all along.
const SHAPE: f64 = 0.9;

/// What a process has must be known for this share of the time in which what leaks is known: a short
/// life agrees with anything.
const KNOWN: f64 = 0.5;

/// From this strength on a suspect stands out: nine tenths are explained and either the changes agree
/// or the ratio is whole. Under it a process is told only where it is the only one that fits.
pub(super) const STANDS_OUT: f64 = 0.7;

/// The line over a process's life must leave at most this share of what the line over all the time
/// leaves: a process that is there all the time, or anywhere, explains nothing.
const LIFE_LEFT_OVER: f64 = 0.25;

/// A ratio is whole when it is off by at most this much: half the distance at which chance would do
/// it in one of five.
const WHOLE: f64 = 0.1;

/// A mapping covers a page at least, and no cache has more objects for each than this many: so much
/// address space at the least must have come with them. (An `anon_vma_chain` is there once more for
/// each generation of forks.)
const MOST_OF_A_MAPPING: f64 = 2.0;

/// What all processes hold has to fit better by this much than what one holds, or the one it is.
const CLEARLY_BETTER: f64 = 0.05;

/// A process with less than this share of what all hold is no suspect beside those that have more.
const LEAST_SHARE: f64 = 0.1;

/// Suspects are told from this share of the strength of the best on.
const NEAR_THE_BEST: f64 = 0.8;

/// At most so many are told of one finding.
const MOST: usize = 3;

/// What a process has that the kernel keeps things for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Held {
    Descriptors,
    Threads,
    Processes,
    AddressSpace,
}

impl Held {
    /// What a metric of a process counts.
    pub(super) fn of(name: &SeriesName) -> Option<Self> {
        match (name.source.as_str(), name.metric.as_str()) {
            ("process", "fds") => Some(Self::Descriptors),
            ("process", "threads") => Some(Self::Threads),
            ("process", "processes") => Some(Self::Processes),
            ("process", "vm_size_bytes") => Some(Self::AddressSpace),
            _ => None,
        }
    }

    /// What a count over the whole machine counts.
    pub(super) fn of_total(name: &SeriesName) -> Option<Self> {
        match name.id.as_str() {
            "fs/file-nr.allocated" => Some(Self::Descriptors),
            "loadavg/tasks" => Some(Self::Threads),
            _ => None,
        }
    }

    fn words(self, count: f64) -> &'static str {
        let one = (count - 1.0).abs() < 0.5;
        match self {
            Self::Descriptors if one => "descriptor",
            Self::Descriptors => "descriptors",
            Self::Threads if one => "thread",
            Self::Threads => "threads",
            Self::Processes if one => "process",
            Self::Processes => "processes",
            Self::AddressSpace => "bytes of address space",
        }
    }

    /// Whether the kernel keeps a thing of this name for it and for nothing else.
    fn must_hold(self, word: &str) -> bool {
        match self {
            Self::AddressSpace => OF_MAPPINGS.contains(&word),
            Self::Descriptors => is_of_descriptors(word),
            Self::Threads | Self::Processes => OF_TASKS.contains(&word),
        }
    }

    /// Whether the kernel can keep a thing of this name for it. Most names do not say; what a thread
    /// and what a mapping consist of do (kernel/fork.c), and so does what a descriptor is, where that
    /// is known.
    fn may_hold(self, word: &str, kind: Option<&str>) -> bool {
        match self {
            Self::AddressSpace => OF_MAPPINGS.contains(&word),
            Self::Descriptors => {
                !OF_MAPPINGS.contains(&word)
                    && !OF_TASKS.contains(&word)
                    && kind.is_none_or(|kind| fits(kind, word))
            }
            // The stack of a thread is a mapping or two.
            Self::Threads => !is_of_descriptors(word),
            Self::Processes => !OF_MAPPINGS.contains(&word) && !is_of_descriptors(word),
        }
    }
}

/// Whether a descriptor of a kind can have a thing of this name behind it.
fn fits(kind: &str, word: &str) -> bool {
    if word == UNACCOUNTED {
        // Their memory is in caches or in the page cache; buffers of pipes, sockets and devices are
        // pages that no counter owns.
        return ![
            "eventfd",
            "eventpoll",
            "timerfd",
            "signalfd",
            "inotify",
            "file",
            "memfd",
        ]
        .contains(&kind);
    }
    if word == "Shmem" || word == "shmem_inode_cache" {
        return ["memfd", "file", "dmabuf"].contains(&kind) || kind.starts_with("/dev/");
    }
    if word.starts_with("eventpoll_") {
        return kind == "eventpoll";
    }
    if word.starts_with("bpf_") {
        return kind.starts_with("bpf");
    }
    let of_any = ["filp", "lsm_file_cache", "file-nr.allocated"].contains(&word);
    of_any || !is_of_descriptors(word) || kind == "socket"
}

/// What a task consists of: the struct, its number, its stack by the names of those who map it, its
/// signals.
const OF_TASKS: &[&str] = &[
    "task_struct",
    "pid",
    "thread_stack",
    "KernelStack",
    "dup_task_struct",
    "alloc_thread_stack_node",
    "copy_process",
    "kernel_clone",
    "_do_fork",
    "signal_cache",
    "sighand_cache",
    "taskstats",
    "task_delay_info",
];

/// Caches of what a mapping consists of.
const OF_MAPPINGS: &[&str] = &[
    "vm_area_struct",
    "vma_lock",
    "maple_node",
    "anon_vma",
    "anon_vma_chain",
];

/// Whether it is a cache of what a mapping consists of.
pub(super) fn is_of_mappings(word: &str) -> bool {
    OF_MAPPINGS.contains(&word)
}

/// What hangs on an open file: the file, what polls it, sockets and the protocols' own structs.
fn is_of_descriptors(word: &str) -> bool {
    [
        "filp",
        "lsm_file_cache",
        "sock_inode_cache",
        "mqueue_inode_cache",
        "UNIX",
        "PING",
        "RAW",
    ]
    .contains(&word)
        || [
            "eventpoll_",
            "TCP",
            "UDP",
            "UNIX-",
            "PINGv6",
            "RAWv6",
            "MPTCP",
            "SCTP",
            "bpf_",
        ]
        .iter()
        .any(|start| word.starts_with(start))
}

/// Something of a process that may move with a leak.
#[derive(Debug)]
pub(super) struct Clue {
    pub(super) key: SeriesKey,
    pub(super) name: SeriesName,
    pub(super) held: Held,
    pub(super) curve: Curve,
    pub(super) growth: f64,
}

impl Clue {
    pub(super) fn kind(&self) -> Option<&str> {
        newest_kind(&self.name)
    }
}

/// What the newest descriptors of a process are.
fn newest_kind(name: &SeriesName) -> Option<&str> {
    name.labels.get("newest_fds")?.as_str()
}

/// What all processes hold of something, and what part of its growth each has.
pub(super) struct All<'a> {
    pub(super) held: Held,
    /// Of which kind, where only descriptors of one are meant.
    pub(super) kind: Option<&'a str>,
    pub(super) curve: Curve,
    /// Series of the processes, with their shares.
    pub(super) parts: Vec<(SeriesKey, &'a SeriesName, f64)>,
}

impl<'a> All<'a> {
    pub(super) fn new(
        held: Held,
        kind: Option<&'a str>,
        curve: Curve,
        mut parts: Vec<(SeriesKey, &'a SeriesName, f64)>,
    ) -> Self {
        parts.sort_by(|a, b| b.2.total_cmp(&a.2));
        Self {
            held,
            kind,
            curve,
            parts,
        }
    }
}

/// The part of a recording in which a process lived.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) key: SeriesKey,
    pub(super) from_s: f64,
    pub(super) to_s: f64,
}

/// A process that moves with a leak.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The series that moves, or the first series of the process where only its life fits.
    pub key: SeriesKey,
    /// What that series is called.
    pub series: String,
    /// Its process id; `None` for processes of one name together.
    pub pid: Option<i64>,
    /// Its name.
    pub comm: String,
    /// What moves, in words and numbers.
    pub why: String,
    /// 0 to 1: the share of variance explained, halved where neither the changes agree nor the
    /// ratio is whole.
    pub strength: f64,
    /// Objects (or pages, where no objects are counted) for each descriptor, thread, process.
    pub ratio: Option<f64>,
    /// The kernel's name for what leaks says that it is kept for such things as move here.
    pub(super) by_name: bool,
    /// What all processes hold, where that moves with the leak and this one has a share of it.
    pub(super) of_all: Option<(Held, Option<String>)>,
}

/// What leaks, as suspects are compared with it.
pub(super) struct Leak<'a> {
    /// The bare kernel word.
    pub(super) name: &'a str,
    /// Objects, or bytes.
    pub(super) curve: &'a Curve,
    /// What the curve counts.
    pub(super) quantity: Quantity,
    pub(super) page_bytes: f64,
    pub(super) span_s: f64,
}

/// The processes that move with a leak, the strongest first; none where nothing fits.
pub(super) fn suspects(leak: &Leak<'_>, clues: &[&Clue], totals: &[&All<'_>]) -> Vec<Suspect> {
    let mut single: Vec<Suspect> = clues.iter().filter_map(|clue| leak.held_by(clue)).collect();
    single.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    let of_one = single.first().map_or(0.0, |best| best.strength);
    let of_all = totals
        .iter()
        .map(|all| leak.held_by_all(all))
        .max_by(|a, b| strongest(a).total_cmp(&strongest(b)))
        .unwrap_or_default();
    if strongest(&of_all) > of_one + CLEARLY_BETTER {
        return unless_weak(of_all);
    }
    // Of one process what fits best, and rather the process than all of its name.
    let mut told: Vec<Suspect> = Vec::new();
    for suspect in single {
        if suspect.strength < NEAR_THE_BEST * of_one {
            break;
        }
        let same = |other: &&mut Suspect| {
            let together = other.pid.is_none() || suspect.pid.is_none();
            other.comm == suspect.comm && (together || other.pid == suspect.pid)
        };
        match told.iter_mut().find(same) {
            Some(other) if other.pid.is_none() => *other = suspect,
            Some(_) => {}
            None => told.push(suspect),
        }
    }
    told = unless_weak(told);
    told.truncate(MOST);
    told
}

/// Several of which none stands out say nothing.
fn unless_weak(found: Vec<Suspect>) -> Vec<Suspect> {
    if found.len() > 1 && strongest(&found) < STANDS_OUT {
        return Vec::new();
    }
    found
}

/// Strength of the first, which is the strongest.
fn strongest(of: &[Suspect]) -> f64 {
    of.first().map_or(0.0, |best| best.strength)
}

impl Leak<'_> {
    /// How far what leaks moves with what is held: strength, and the ratio in objects or pages.
    fn moves_with(&self, held: Held, kind: Option<&str>, curve: &Curve) -> Option<Link> {
        if !held.may_hold(self.name, kind) {
            return None;
        }
        let known = self.curve.iter().filter(|value| value.is_finite()).count();
        let found = agreement(self.curve, curve)
            .filter(|found| found.shape >= SHAPE && found.n as f64 >= KNOWN * known as f64)?;
        let (ratio, unit) = match self.quantity {
            Quantity::Count => (found.ratio, "objects"),
            Quantity::Bytes => (found.ratio / self.page_bytes, "pages"),
        };
        let of_pages = (held == Held::AddressSpace && self.quantity == Quantity::Count)
            .then_some(found.ratio * self.page_bytes);
        if of_pages.is_some_and(|each| each > MOST_OF_A_MAPPING) {
            return None;
        }
        let ratio = (held != Held::AddressSpace).then_some((ratio, unit));
        // Where nearly each new page of address space has an object, they are mappings of a page.
        let crowded = of_pages.map_or(0.0, |each| each.min(1.0));
        let whole = ratio.map_or(crowded, |(ratio, _)| match kind {
            Some("pipe") if self.name == UNACCOUNTED => full_pipes(ratio),
            _ => wholeness(ratio),
        });
        let support = whole.max(found.changes).clamp(0.0, 1.0);
        Some(Link {
            strength: found.shape * f64::midpoint(1.0, support),
            ratio,
            found,
        })
    }

    fn held_by(&self, clue: &Clue) -> Option<Suspect> {
        let link = self.moves_with(clue.held, clue.kind(), &clue.curve)?;
        let pid = pid(&clue.name);
        let how_many = match (clue.held, pid) {
            (Held::AddressSpace, _) => "its address space grows with it".to_owned(),
            (held, Some(_)) => format!(
                "it has {:.0} {} more{}",
                clue.growth,
                held.words(clue.growth),
                match (held, clue.kind()) {
                    (Held::Descriptors, Some(kind)) => format!(", the newest of kind {kind}"),
                    _ => String::new(),
                }
            ),
            (held, None) => format!(
                "all of its name have {:.0} {} more",
                clue.growth,
                held.words(clue.growth)
            ),
        };
        Some(Suspect {
            key: clue.key,
            series: clue.name.id.clone(),
            pid,
            comm: clue.name.name.clone(),
            why: format!("{how_many}{}", link.in_words(clue.held)),
            strength: link.strength,
            ratio: link.ratio.map(|(ratio, _)| ratio),
            by_name: clue.held.must_hold(self.name),
            of_all: None,
        })
    }

    /// All who hold a large part of something whose number on the whole machine moves with it.
    fn held_by_all(&self, all: &All<'_>) -> Vec<Suspect> {
        // Where a part of them is nothing that it can belong to, it does not move with them all.
        let of_others = all
            .parts
            .iter()
            .filter(|(_, name, _)| !all.held.may_hold(self.name, newest_kind(name)))
            .map(|(_, _, share)| share);
        if of_others.sum::<f64>() >= LEAST_SHARE {
            return Vec::new();
        }
        let Some(link) = self.moves_with(all.held, all.kind, &all.curve) else {
            return Vec::new();
        };
        let largest = all.parts.first().map_or(1.0, |(_, _, share)| *share);
        all.parts
            .iter()
            .filter(|(_, _, share)| *share >= LEAST_SHARE)
            .take(MOST)
            .map(|(key, name, share)| Suspect {
                key: *key,
                series: name.id.clone(),
                pid: pid(name),
                comm: name.name.clone(),
                why: format!(
                    "of all {}{} that came it has {:.0} %{}",
                    all.kind.map_or_else(String::new, |kind| format!("{kind} ")),
                    all.held.words(2.0),
                    share * 100.0,
                    link.in_words(all.held)
                ),
                strength: link.strength * share / largest,
                ratio: link.ratio.map(|(ratio, _)| ratio),
                by_name: all.held.must_hold(self.name),
                of_all: Some((all.held, all.kind.map(str::to_owned))),
            })
            .collect()
    }
}

/// What two series have in common.
struct Link {
    strength: f64,
    ratio: Option<(f64, &'static str)>,
    found: Agreement,
}

impl Link {
    fn in_words(&self, held: Held) -> String {
        let each = self.ratio.map_or_else(String::new, |(ratio, unit)| {
            format!(", {ratio:.2} {unit} for each {}", held.words(1.0))
        });
        format!(
            "{each}; that explains {:.1} % of the variance, and the changes agree with a rank correlation of {:.2} over {} stretches",
            100.0 * self.found.shape,
            self.found.changes,
            self.found.n
        )
    }
}

/// How much a ratio looks like a number of things that belong to one: 1 for one, less for more, as
/// larger numbers are whole by chance too; a power of two is likelier, as the kernel takes pages so
/// (and half an object is one for both ends of a pipe), and counts for less with each doubling.
fn wholeness(ratio: f64) -> f64 {
    let nearest = if ratio < 0.75 { 0.5 } else { ratio.round() };
    let off = (ratio - nearest).abs() / (WHOLE * nearest.min(1.0));
    let doublings = nearest.log2();
    let likely = if doublings.fract().abs() < 1e-9 {
        (1.0 + doublings.abs()).recip()
    } else {
        nearest.recip()
    };
    (likely * (1.0 - off)).max(0.0)
}

/// How much a number of pages for each descriptor looks like full pipes, which have 16 buffers of a
/// page and two ends (include/linux/pipe_fs_i.h, PIPE_DEF_BUFFERS).
fn full_pipes(ratio: f64) -> f64 {
    (1.0 - (ratio / 8.0 - 1.0).abs() / WHOLE).max(0.0)
}

/// Whether it is a thread of the kernel: a child of kthreadd, which is process 2 in the first pid
/// namespace. What it does it does for others.
pub(super) fn is_kernel_thread(labels: &Labels) -> bool {
    let number = |label| labels.get(label).and_then(serde_json::Value::as_i64);
    number("ppid") == Some(2) || (number("pid") == Some(2) && number("ppid") == Some(0))
}

/// The process that a thing is or belongs to.
pub(super) fn pid(name: &SeriesName) -> Option<i64> {
    name.labels.get("pid").and_then(serde_json::Value::as_i64)
}

/// Processes during whose life it grew, and not before and after; none where several fit as well.
pub(super) fn by_life(
    leak: &Leak<'_>,
    lives: &[&Life],
    name: impl Fn(SeriesKey) -> Option<SeriesName>,
) -> Option<Suspect> {
    let step = leak.span_s / leak.curve.len() as f64;
    let mut fitting = lives
        .iter()
        // It has to begin or to end within the time, or its life is the line itself.
        .filter(|life| life.from_s > 3.0 * step || life.to_s < leak.span_s - 3.0 * step)
        .filter_map(|life| {
            let age: Curve = (0..leak.curve.len())
                .map(|k| {
                    let t = (k as f64 + 0.5) * step;
                    (t - life.from_s).clamp(0.0, life.to_s - life.from_s)
                })
                .collect();
            let found = agreement(leak.curve, &age)?;
            let explains =
                found.shape >= SHAPE && 1.0 - found.shape <= LIFE_LEFT_OVER * (1.0 - found.line);
            explains.then_some((life.key, found))
        });
    let (key, found) = fitting.next()?;
    if fitting.next().is_some() {
        return None;
    }
    let name = name(key)?;
    Some(Suspect {
        key,
        pid: pid(&name),
        series: name.id,
        comm: name.name,
        why: format!(
            "it grows only while this process lives, which explains {:.1} % of the variance (a line over all the time: {:.1} %)",
            100.0 * found.shape,
            100.0 * found.line
        ),
        strength: found.shape / 2.0,
        ratio: None,
        by_name: false,
        of_all: None,
    })
}
